"""Bugs that somebody might write one day, planted one at a time: the suite must see each (G23).

A bug is a patch of today's code, and the few tests that must fail with it. The command
``python -m tests.mutants`` plants each in a copy of the tree and runs those tests there; the suite
itself only checks that the patches still fit the code. Whoever changes the code changes the patch.
"""
