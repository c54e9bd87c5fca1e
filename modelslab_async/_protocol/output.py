"""The kinds of output that a job can be asked for, and what an examination says of a file."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from .sound import Completeness, Piece, Sound

Output: TypeAlias = Literal["audio", "text", "video", "image", "file"]
"""``file`` is anything else: no more is known of it than that it is no page and no error."""

ENDINGS: dict[Output, tuple[str, ...]] = {
    "audio": (".wav", ".mp3", ".flac"),
    "text": (".txt", ".json"),
    "video": (".mp4", ".mov", ".webm", ".gif", ".bin"),
    "image": (".png", ".jpg", ".webp", ".gif", ".avif", ".heic", ".tiff", ".bin"),
}
ENDINGS["file"] = (*dict.fromkeys(sum(ENDINGS.values(), ())), ".glb", ".zip", ".pdf")
"""What the name of a file may end in, by what was asked for."""


@frozen
class Content:
    """What is no sound, as its bytes show it; it has the attributes that a `Sound` has.

    Attributes:
        extension: for its name, with the dot.
        completeness: whether the bytes are all of it.
        seconds: length of a video, if it says so.
    """

    extension: str
    completeness: Completeness
    seconds: float | None = None
    sample_rate: None = None
    channels: None = None
    mended: tuple[Piece, ...] = ()


Judged: TypeAlias = Sound | Content
"""What a file is that may be published, if something vouches for its being whole."""
