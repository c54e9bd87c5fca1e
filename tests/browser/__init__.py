"""The listening page in real browsers, driven by keys."""
