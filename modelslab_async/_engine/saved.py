"""A file that was saved, and how a notebook shows it."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from .._policy.download import Integrity
from .._policy.preview import Shown
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
