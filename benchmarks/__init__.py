"""Measurements, each a module with its own command: ``python -m benchmarks.NAME``."""
