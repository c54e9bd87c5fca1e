"""What an examination of bytes says. Values only; `audio` examines."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TypeAlias

from attrs import field, frozen

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""``read_at(offset, count)`` gives at most ``count`` bytes; fewer, or none, past the end."""

Piece: TypeAlias = bytes | range
"""Bytes of ours, or a range of offsets in the file that was examined."""


class AudioFormat(enum.Enum):
    """The formats that can come out of a music generation."""

    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"

    @property
    def extension(self) -> str:
        """The file name extension with its dot, such as ``".wav"``."""
        return f".{self.value}"


class Completeness(enum.Enum):
    """How far the bytes vouch for their own length."""

    EXACT = "exact"
    """The format's own sizes or counts account for the sound up to its end."""
    STREAMING = "streaming"
    """A size is left open and sound follows: something else must vouch."""
    SHORT = "short"
    """The format promises more than there is, or the last frame is cut."""
    LONG = "long"
    """All that the format promises is there, and more: fine if something else vouches."""
    UNKNOWN = "unknown"
    """The last frame is whole, and nothing says how many there should be."""
    UNJUDGED = "unjudged"
    """Bytes of a format that nobody here can judge."""


@frozen
class Sound:
    """Bytes that are, or begin, a sound.

    Attributes:
        seconds: length of the sound that is really there, or ``None`` when it cannot be told.
        sample_rate: frames per second.
        completeness: whether the bytes are all of it.
        declared_size: size of the whole file in bytes by its own account, ``None`` when it does
            not say.
        actual_size: size of the whole file in bytes.
        note: what is odd about it, in a few words; empty when nothing is.
        mended: the file with a header that other programs read too, piece by piece; empty when
            they read it as it is. The samples are the same bytes.
    """

    format: AudioFormat
    seconds: float | None = field(kw_only=True)
    sample_rate: int = field(kw_only=True)
    channels: int = field(kw_only=True)
    completeness: Completeness = field(kw_only=True)
    declared_size: int | None = field(kw_only=True)
    actual_size: int = field(kw_only=True)
    note: str = field(kw_only=True, default="")
    mended: tuple[Piece, ...] = field(kw_only=True, default=(), repr=False)

    @property
    def extension(self) -> str:
        """For its name, with the dot."""
        return self.format.extension


@frozen
class NotSound:
    """Bytes that cannot be used as a sound. ``reason`` is our own words, never the bytes'."""

    reason: str
