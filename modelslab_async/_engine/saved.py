"""A file that was saved, and how a notebook shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import field, frozen

from .._policy.download import Integrity
from .._policy.preview import Shown
from .._protocol.output import Judged
from .._protocol.sound_check import SoundCheck, length_flags
from .preview import html_of


@frozen(kw_only=True)
class SavedFile:
    """A complete file on disk.

    Attributes:
        path: where it is.
        size: bytes.
        sha256: of its bytes, in hex.
        source_sha256: of the bytes as sent by the server, before unpacking or mending its header.
        seconds: duration of the audio or video; ``None`` if the format does not state it.
        sample_rate, channels: Hz, and 1 for mono; ``None`` except for audio.
        integrity: the evidence that it is complete.
        silent: whether it is audio that contains only silence.
        flags: what may be wrong with its sound, such as ``dead_tail``; ``None``: not checked. Only
            the length of MP3 and FLAC is checked.
        peak_dbfs: of its highest sample in dB, where 0 is full scale; ``None``: not known, or no
            sample is off zero.
        peaks: its waveform: the highest level, 0 to 127, at each of up to 240 places; ``None``:
            the samples were not checked.
        sound_sha256: of its samples, in hex; equal for the same sound with other metadata.
    """

    path: Path
    size: int
    sha256: str
    source_sha256: str
    seconds: float | None
    sample_rate: int | None
    channels: int | None
    integrity: Integrity
    silent: bool
    flags: tuple[str, ...] | None = None
    peak_dbfs: float | None = None
    peaks: bytes | None = field(default=None, repr=False)
    sound_sha256: str | None = field(default=None, repr=False)

    def _repr_html_(self) -> str:
        """A small player, for notebooks."""
        return html_of([shown(self)])


def shown(saved: SavedFile, name: str = "") -> Shown:
    """What a preview needs to know of a file; ``name`` is what the user knows it by."""
    return Shown(
        name=name,
        path=str(saved.path),
        size=saved.size,
        sha256=saved.sha256,
        seconds=saved.seconds,
    )


def measured(
    content: Judged, check: SoundCheck | None, asked: tuple[float, float] | None
) -> dict[str, Any]:
    """The values of a `SavedFile` that come from its sound.

    Args:
        content: of the file.
        check: of its samples; ``None``: they cannot be read.
        asked: the shortest and the longest duration that was requested; ``None``: not known.
    """
    length = length_flags(content.seconds, asked)
    if check is None:
        is_judged = asked is not None and content.seconds is not None
        return {"flags": length if is_judged else None}
    return {
        "flags": (*check.flags, *length),
        "peak_dbfs": check.peak_dbfs,
        "peaks": check.peaks,
        "sound_sha256": check.digest,
    }
