"""Request classes, one per endpoint of the API."""

from __future__ import annotations

from .base import Bound, Estimate, Field, Request, known_fields
from .music import MusicGen
from .raw import RawRequest
from .sound_effects import SoundEffect

__all__ = [
    "REQUESTS",
    "Bound",
    "Estimate",
    "Field",
    "MusicGen",
    "RawRequest",
    "Request",
    "SoundEffect",
    "known_fields",
]

REQUESTS: dict[str, type[Request]] = {one.NAME: one for one in (MusicGen, SoundEffect)}
"""The classes by the names that manifests use for their endpoints."""
