"""Judge a local clip before it is sent along."""

from __future__ import annotations

from pathlib import Path

from .._protocol.audio import examine_bytes
from .._protocol.sound import Completeness, NotSound
from .._protocol.video import examine_mp4, is_mp4
from .._text import shown
from ..errors import RequestError
from .fields import ANY_SOUND, Clip
from .media import MAX_CLIP_BYTES, base64_text, out_of_bounds

_SUFFIXES = {".wav": ".wav", ".wave": ".wav", ".mp3": ".mp3", ".flac": ".flac"}


def encode_clip(
    field: str, data: bytes, *, clip: Clip = ANY_SOUND, name: str = "", unchecked: bool = False
) -> str:
    """Base64 text of a local clip, once its bytes have shown that it is one.

    Args:
        field: the field that it goes into, for the error.
        data: the file, whole.
        clip: what it must be.
        name: its file name, whose ending must not contradict the bytes.
        unchecked: send it whatever it is.

    Raises:
        RequestError: not WAV, MP3 or FLAC, or no MP4 where a video is wanted; another type than
            the name says; too short or too long; over 32 MiB, which is as far as a file is read,
            so that more of it is not even there.
    """
    if len(data) > MAX_CLIP_BYTES:
        remedy = f"a clip of {clip.longest:g} s at most" if clip.longest else "its URL instead"
        raise RequestError(
            f"{field} {shown(name)} is over 32 MiB; send {remedy}", field=field, value=name
        )
    if not unchecked:
        (_check_video if clip.is_video else _check_sound)(field, data, name, clip)
    return base64_text(data)


def why_no_video(data: bytes) -> str:
    """Why some bytes are no whole video, in words; empty if they are one."""
    if not is_mp4(data[:16]):
        return "neither MP4 nor QuickTime"
    judged = examine_mp4(lambda at, count: data[at : at + count], len(data))
    return "not all of it is there" if judged.completeness is Completeness.SHORT else ""


def _check_video(field: str, data: bytes, name: str, _: Clip) -> None:
    if reason := why_no_video(data):
        raise out_of_bounds(field, name, f"is no video: {reason}", "send MP4")


def _check_sound(field: str, data: bytes, name: str, clip: Clip) -> None:
    sound = examine_bytes(data)
    if isinstance(sound, NotSound):
        raise out_of_bounds(field, name, f"is not audio: {sound.reason}", "send WAV, MP3 or FLAC")
    promised = _SUFFIXES.get(Path(name).suffix.lower())
    if promised not in (None, sound.format.extension):
        raise out_of_bounds(
            field, name, f"holds {sound.format.name}", "rename it to what it really is"
        )
    seconds = sound.seconds
    if seconds is None or clip.shortest <= seconds <= (clip.longest or seconds):
        return
    if seconds < clip.shortest:
        bound, remedy = f"{clip.shortest:g} s at least", "send a longer one"
    else:
        bound, remedy = f"{clip.longest:g} s at most", "cut it"
    raise out_of_bounds(
        field, name, f"is {seconds:.1f} s long, but must be {bound} ({clip.source})", remedy
    )
