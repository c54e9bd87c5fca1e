"""Audible music for the sandbox: what to play, the samples, and the file formats.

Needs NumPy and soundfile (the extra ``sandbox``); they are imported at the first render.
"""
