"""Feed every reader of foreign bytes with bytes that nobody would send on purpose.

A target is a function from bytes to nothing: it lets errors through only that the reader declares,
and checks what must hold for any bytes. The suite runs each target over its corpus and over bytes
near to it; ``python -m tests.fuzz --seconds 600`` runs each for ten minutes under atheris. What
that finds goes into ``corpus/NAME/``, and is then run for ever.
"""
