"""Render music for the sandbox: choose what to play, compute samples, encode files.

Needs NumPy and soundfile (the extra ``sandbox``); they are imported at the first render.
"""
