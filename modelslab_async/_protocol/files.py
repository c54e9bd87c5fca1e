"""Examine a file against the kind of output that was requested.

The requested kind sets the rules: an HTML page is never accepted as a transcript, nor a sound as a
text. Bytes of an unknown format are accepted as an image, a video or a file, but with completeness
``UNJUDGED``.
"""

from __future__ import annotations

from . import audio
from .image import examine_image, image_extension
from .output import Content, Judged, Output
from .sound import AudioFormat, Completeness, NotSound, ReadAt, Sound
from .text import examine_text, text_refusal
from .video import examine_mp4, is_mp4

_NAMED = (
    # Offset, magic number, extension, kind: formats that are recognised but not examined.
    (4, b"ftypavif", ".avif", "image"),
    (4, b"ftypheic", ".heic", "image"),
    (0, b"II*\0", ".tiff", "image"),
    (0, b"MM\0*", ".tiff", "image"),
    (0, b"\x1aE\xdf\xa3", ".webm", "video"),
    (0, b"PK\3\4", ".zip", "file"),
    (0, b"%PDF-", ".pdf", "file"),
)
_NEVER_MEDIA = frozenset({"empty", "zero bytes", "HTML page", "XML", "JSON", "base64 text"})
_NEVER_FILES = frozenset({"empty", "zero bytes", "HTML page"})


def examine(gives: Output, read_at: ReadAt, size: int) -> Judged | str:
    """Examine a file of ``size`` bytes; return the result, or why it is not the requested kind."""
    if gives == "audio":
        sound = audio.examine(read_at, size)
        return sound.reason if isinstance(sound, NotSound) else sound
    if gives == "text":
        return examine_text(read_at, size)
    head = read_at(0, min(size, audio.HEAD))
    return refusal(gives, head) or _examine_any(gives, head, read_at, size)


def _examine_any(gives: Output, head: bytes, read_at: ReadAt, size: int) -> Judged | str:
    if image := examine_image(read_at, size):
        return image
    extension = _named(head)[0]
    if extension is not None:
        return Content(extension, Completeness.UNJUDGED)
    if is_mp4(head):
        return examine_mp4(read_at, size)
    if head.startswith(b"glTF"):
        return Content(".glb", _glb(head, size))
    if gives == "file":
        sound = audio.examine(read_at, size)
        if isinstance(sound, Sound):
            return sound
        if text_refusal(head) is None:
            return examine_text(read_at, size)
    return Content(".bin", Completeness.UNJUDGED)


def begins_as(gives: Output, head: bytes) -> bool:
    """Return whether a body starts, unencoded and at byte 0, with the requested kind."""
    if gives == "audio":
        return isinstance(audio.sniff(head), AudioFormat)
    if gives == "text":
        return text_refusal(head) is None
    return refusal(gives, head) is None and _kind(head) is not None


def may_hold(gives: Output, head: bytes) -> bool:
    """Return whether the requested kind starts in ``head``; other bytes may precede a sound."""
    if gives == "audio":
        return not isinstance(audio.begins(head), str)
    return begins_as(gives, head)


def refusal(gives: Output, head: bytes) -> str | None:
    """Return why a body with these first bytes cannot be the requested kind, or ``None``.

    Use it to reject a body while it is still arriving; :func:`examine` makes the final decision.
    """
    if gives == "audio":
        return audio.refusal(head)
    if gives == "text":
        return text_refusal(head)
    look, kind = audio.sniff(head), _kind(head)
    if gives == "file":
        is_error = look == "XML" and b"<Error>" in head
        return str(look) if is_error or look in _NEVER_FILES else None
    if kind in (None, gives) or (gives == "video" and image_extension(head) == ".gif"):
        is_text = look == "text" and text_refusal(head) is None
        return str(look) if is_text or look in _NEVER_MEDIA else None
    return f"{look.name} sound" if isinstance(look, AudioFormat) else look


def _kind(head: bytes) -> str | None:
    """Return the kind of output with these first bytes, or ``None`` if unknown."""
    if image_extension(head):
        return "image"
    if named := _named(head)[1]:
        return named
    if is_mp4(head):
        return "video"
    if head.startswith(b"glTF"):
        return "file"
    return "audio" if isinstance(audio.sniff(head), AudioFormat) else None


def _named(head: bytes) -> tuple[str, str] | tuple[None, None]:
    for offset, magic, extension, kind in _NAMED:
        if head.startswith(magic, offset):
            return extension, kind
    return None, None


def _glb(head: bytes, size: int) -> Completeness:
    """Compare the size with the length in the binary glTF header (Khronos, glTF 2.0, GLB)."""
    length = int.from_bytes(head[8:12], "little")
    if length > size:
        return Completeness.SHORT
    return Completeness.LONG if length < size else Completeness.EXACT
