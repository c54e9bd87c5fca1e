"""The kinds of output that can be requested, and the result of examining a file."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from .sound import Completeness, Piece, Sound

Output: TypeAlias = Literal["audio", "text", "video", "image", "file"]
"""``file`` is anything else: it is only checked not to be an HTML page or an error."""

ENDINGS: dict[Output, tuple[str, ...]] = {
    "audio": (".wav", ".mp3", ".flac"),
    "text": (".txt", ".json"),
    "video": (".mp4", ".mov", ".webm", ".gif", ".bin"),
    "image": (".png", ".jpg", ".webp", ".gif", ".avif", ".heic", ".tiff", ".bin"),
}
ENDINGS["file"] = (*dict.fromkeys(sum(ENDINGS.values(), ())), ".glb", ".zip", ".pdf")
"""The possible file name extensions per kind of output."""


@frozen
class Content:
    """Content other than audio, with the same attributes as a `Sound`.

    Attributes:
        extension: for the file name, with the dot.
        completeness: whether the bytes are complete.
        seconds: duration of a video; ``None`` if it does not state one.
    """

    extension: str
    completeness: Completeness
    seconds: float | None = None
    sample_rate: None = None
    channels: None = None
    mended: tuple[Piece, ...] = ()


Judged: TypeAlias = Sound | Content
"""The content of a file that may be published if there is evidence that it is complete."""
