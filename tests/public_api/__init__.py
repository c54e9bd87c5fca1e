"""The public API as text, so that a change to it is seen."""
