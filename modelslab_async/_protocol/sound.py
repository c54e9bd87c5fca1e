"""The result types of examining audio; the code is in `audio`."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TypeAlias

from attrs import field, frozen

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""``read_at(offset, count)`` returns at most ``count`` bytes; fewer, or none, past the end."""

Piece: TypeAlias = bytes | range
"""New bytes, or a range of offsets in the examined file."""


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
    """How far the content itself shows that it is complete."""

    EXACT = "exact"
    """The format's own sizes or counts match the sound up to its end."""
    STREAMING = "streaming"
    """The header states no size: other evidence is needed."""
    SHORT = "short"
    """The header states more than there is, or the last frame is cut."""
    LONG = "long"
    """Everything that the header states is there, and more: other evidence is needed."""
    UNKNOWN = "unknown"
    """The last frame is complete, but the number of frames is not stated."""
    UNJUDGED = "unjudged"
    """A format that this package cannot check."""


@frozen
class Sound:
    """Bytes that are, or begin, a sound.

    Attributes:
        seconds: duration of the sound that is present, or ``None`` if unknown.
        sample_rate: frames per second.
        completeness: whether the bytes are complete.
        declared_size: the size of the file in bytes that its header states, or ``None``.
        note: what is unusual about it, in a few words; may be empty.
        mended: the pieces of the file with a header that other programs can read; empty if they
            can read it unchanged. The samples are the same bytes.
    """

    format: AudioFormat
    seconds: float | None = field(kw_only=True)
    sample_rate: int = field(kw_only=True)
    channels: int = field(kw_only=True)
    completeness: Completeness = field(kw_only=True)
    declared_size: int | None = field(kw_only=True)
    note: str = field(kw_only=True, default="")
    mended: tuple[Piece, ...] = field(kw_only=True, default=(), repr=False)

    @property
    def extension(self) -> str:
        """The file name extension with its dot."""
        return self.format.extension


@frozen
class NotSound:
    """Bytes that are not usable audio. ``reason`` is our own text, never part of the bytes."""

    reason: str
