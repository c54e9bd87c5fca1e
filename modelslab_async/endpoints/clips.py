"""Judge a local clip before it is sent along."""

from __future__ import annotations

from pathlib import Path

from .._protocol.audio import examine_bytes
from .._protocol.sound import NotSound
from .._text import shown
from ..errors import RequestError
from .media import MAX_CLIP_BYTES, base64_text, out_of_bounds

MAX_CLIP_SECONDS = 30.0
"""Longest clip that `init_audio` takes (ModelsLab docs, music-gen page)."""

_SOURCE = "ModelsLab docs, music-gen page since 2026-03-27"
_SUFFIXES = {".wav": ".wav", ".wave": ".wav", ".mp3": ".mp3", ".flac": ".flac"}


def encode_clip(field: str, data: bytes, *, name: str = "", unchecked: bool = False) -> str:
    """Base64 text of a local clip, once its bytes have shown that it is one.

    Args:
        field: the field that it goes into, for the error.
        data: the file, whole.
        name: its file name, whose ending must not contradict the bytes.
        unchecked: send it whatever it is.

    Raises:
        RequestError: not WAV, MP3 or FLAC; another type than the name says; longer than 30 s; over
            32 MiB, which is as far as a file is read, so that more of it is not even there.
    """
    if len(data) > MAX_CLIP_BYTES:
        raise RequestError(
            f"{field} {shown(name)} is over 32 MiB; send a clip of 30 s at most",
            field=field,
            value=name,
        )
    if not unchecked:
        _check_clip(field, data, name)
    return base64_text(data)


def _check_clip(field: str, data: bytes, name: str) -> None:
    sound = examine_bytes(data)
    if isinstance(sound, NotSound):
        raise out_of_bounds(field, name, f"is not audio: {sound.reason}", "send WAV, MP3 or FLAC")
    promised = _SUFFIXES.get(Path(name).suffix.lower())
    if promised not in (None, sound.format.extension):
        raise out_of_bounds(
            field, name, f"holds {sound.format.name}", "rename it to what it really is"
        )
    if sound.seconds is not None and sound.seconds > MAX_CLIP_SECONDS:
        raise out_of_bounds(
            field,
            name,
            f"is {sound.seconds:.1f} s long, but must be 30 s at most ({_SOURCE})",
            "cut it",
        )
