"""One module for each client that is measured: ``python -m benchmarks.peers.NAME URL N C FOLDER``.

Each makes N jobs with C at once and leaves ``0.wav`` to ``N-1.wav`` in the folder, in the way its
own documentation shows, and prints what it cost. What is imported is not counted.
"""
