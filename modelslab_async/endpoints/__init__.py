"""Request classes, one per endpoint of the API."""

from __future__ import annotations

from .music import MusicGen

__all__ = ["MusicGen"]
