"""Say what may be asked for. A request is a frozen value that was checked when it was made.

Fields carry the API's own names, and an unset field is not sent. Nothing here opens a file: a
`Path` is only noted, and whoever submits reads it and hands the bytes to `encode_audio`.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from attrs import Attribute, field, fields, frozen

from .._protocol.audio import examine_bytes
from .._protocol.sound import NotSound
from .._protocol.urls import is_loopback
from .._protocol.wire_json import check_json, is_small
from .._protocol.wire_values import MAX_TRACK_ID, MAX_TRACK_ID_LENGTH
from .._text import shown
from ..errors import RequestError

MAX_INIT_AUDIO_SECONDS = 30.0
"""Longest clip that `init_audio` takes (ModelsLab docs, music-gen page)."""

MAX_INIT_AUDIO_BYTES = 32 * 1024 * 1024
"""More than 30 s of any PCM that is in use; a larger file is not a clip."""

MAX_INIT_AUDIO_TEXT = 45 * 1024 * 1024
"""Characters of base64 text: so many bytes with a line end after each 76 characters."""

MAX_PROMPT = 16 * 1024 * 1024
"""Characters; no limit is documented, and so many are checked without the event loop noticing."""

MAX_LINE = 8192
"""Characters of any other text, URLs included: servers take no longer ones in a request line."""

_OLD_PAGE = "ModelsLab docs, music-gen page of 2025"
_NEW_PAGE = "ModelsLab docs, music-gen page since 2026-03-27"
_BASE64 = string.ascii_letters.encode() + b"0123456789+/-_" + string.whitespace.encode()
_MEDIA_TYPE = frozenset(string.ascii_letters + string.digits + "_/+.;=-")
_MAX_MEDIA_TYPE = 256
_STEP = 3 * 256 * 1024  # a multiple of 3, so that no step but the last ends in padding
_NOT_SENT = frozenset({"extra", "unchecked"})

_AUDIO_SUFFIXES = {".wav": ".wav", ".wave": ".wav", ".mp3": ".mp3", ".flac": ".flac"}


@frozen
class _Bound:
    """One documented bound: what is allowed, in words too, and who says so."""

    allowed: Callable[[Any], bool]
    words: str
    source: str


def _between(low: int, high: float, words: str, source: str) -> _Bound:
    return _Bound(lambda value: low <= value <= high, words, source)


def _one_of(*allowed: str, source: str) -> _Bound:
    return _Bound(lambda value: value in allowed, f"one of {', '.join(allowed)}", source)


_BOUNDS = {
    "sampling_rate": _between(10_000, float("inf"), "at least 10000", _OLD_PAGE),
    "max_new_token": _between(256, 1024, "256 to 1024", _OLD_PAGE),
    "duration": _between(30, 480, "30 to 480 seconds", _NEW_PAGE),
    "output_format": _one_of("wav", "mp3", "flac", source=_NEW_PAGE),
    "bitrate": _one_of("128k", "192k", "320k", source=_NEW_PAGE),
}


def _typed(
    *types: type, optional: bool = True, longest: int = MAX_LINE
) -> Callable[[Any, Attribute[Any], Any], None]:
    """A validator that takes exactly these types: `True` is no int here, and 3.0 is not 3.

    It bounds the size too, first of all: whatever else is checked costs time by the length.
    """
    names = " or ".join(t.__name__ for t in types)

    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if type(value) in types or (Path in types and isinstance(value, Path)):
            _check_size(attribute.name, value, longest)
            return
        raise RequestError(
            f"{attribute.name} is {shown(value)}, but must be {names}",
            field=attribute.name,
            value=value,
        )

    return check


def _check_size(name: str, value: object, longest: int) -> None:
    if isinstance(value, str) and len(value) > longest:
        raise RequestError(
            f"{name} has {len(value)} characters, but may have {longest} at most; shorten it",
            field=name,
            value=value[:80],
        )
    if isinstance(value, int) and value.bit_length() > 63:
        raise RequestError(f"{name} is {shown(value)}, but must be below 2**63", field=name)


def _option(*types: type, longest: int = MAX_LINE, **settings: Any) -> Any:
    return field(default=None, kw_only=True, validator=_typed(*types, longest=longest), **settings)


def _short(value: object) -> str:
    if isinstance(value, str | bytes) and len(value) > 60:
        return f"{shown(value, 40)}...({len(value)} long)"
    return repr(value)


def _copied(extra: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(extra, Mapping):
        raise RequestError(f"extra is {shown(extra)}, but must be a mapping", field="extra")
    return dict(extra)


@frozen
class MusicGen:
    """One generation to ask for: ``POST /api/v6/voice/music_gen``.

    Both eras of the endpoint are here: ``sampling_rate`` and ``max_new_token`` (documented until
    2026-03), ``duration``, ``output_format`` and ``bitrate`` (documented since). ``None`` means
    that the field is not sent and the server's default holds.

    Args:
        prompt: what the music should be like.
        init_audio: a clip to condition on, of 30 s at most: a URL or base64 text as ``str``, a
            local file as ``pathlib.Path`` or ``bytes``. A ``str`` is never opened as a file.
        sampling_rate: Hz, at least 10000; the server's default is 32000.
        max_new_token: length of the music in tokens, 256 to 1024, about 50 a second.
        duration: length of the music in seconds, 30 to 480; the server's default is 30.
        output_format: ``wav``, ``mp3`` or ``flac``; the server's default is ``wav``.
        bitrate: ``128k``, ``192k`` or ``320k``; the server's default is ``320k``.
        base64: whether ``init_audio`` is base64 text; set by itself for local audio.
        temp: ask for links that die after 24 h, for regions that block the storage host.
        webhook: ``https://`` URL to be told on (``http://`` on loopback only).
        track_id: your own id, echoed by the server; one is made when you give none.
        extra: further fields, sent as they are.
        unchecked: send values beyond the documented bounds. The documents contradict themselves:
            their own example sends ``sampling_rate`` 5000 under a bound of 10000.

    Raises:
        RequestError: a value is of the wrong type or out of bounds; names field, bound and source.
    """

    ENDPOINT: ClassVar[str] = "/api/v6/voice/music_gen"

    prompt: str = field(validator=_typed(str, optional=False, longest=MAX_PROMPT))
    init_audio: str | Path | bytes | None = _option(
        str, Path, bytes, longest=MAX_INIT_AUDIO_TEXT, repr=_short
    )
    sampling_rate: int | None = _option(int)
    max_new_token: int | None = _option(int)
    duration: int | None = _option(int)
    output_format: Literal["wav", "mp3", "flac"] | None = _option(str)
    bitrate: Literal["128k", "192k", "320k"] | None = _option(str)
    base64: bool | None = _option(bool)
    temp: bool | None = _option(bool)
    webhook: str | None = _option(str, repr=False)
    track_id: int | str | None = _option(int, str)
    extra: Mapping[str, Any] = field(
        factory=dict, kw_only=True, converter=_copied, hash=False, repr=shown
    )
    unchecked: bool = field(default=False, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        _check_text("prompt", self.prompt)
        _check_track_id(self.track_id)
        _check_init_audio(self)
        _check_webhook(self.webhook)
        _check_extra(self.extra)
        if not self.unchecked:
            _check_bounds(self)

    @property
    def kind(self) -> tuple[int | None, int | None]:
        """What decides how long a generation takes: equal kinds take about equally long."""
        return (self.duration, self.max_new_token)


def is_light(request: MusicGen) -> bool:
    """Whether a request is encoded in next to no time, and opens no file for it."""
    clip = request.init_audio
    return not isinstance(clip, Path | bytes) and is_small(
        [request.prompt, clip, *request.extra.values()]
    )


def encode(request: MusicGen, *, track_id: int | str, audio: str | None = None) -> dict[str, Any]:
    """The JSON fields of a submit, without the key.

    Args:
        request: what to ask for.
        track_id: the one to send, given by the user or made by the client.
        audio: base64 text of the local ``init_audio``, for a request that has one.
    """
    wire = {
        attribute.name: getattr(request, attribute.name)
        for attribute in fields(MusicGen)
        if attribute.name not in _NOT_SENT
    }
    wire["track_id"] = track_id
    if audio is not None:
        wire |= {"init_audio": audio, "base64": True}
    known = {name: value for name, value in wire.items() if value is not None}
    return dict(request.extra) | known


def encode_audio(data: bytes, *, name: str = "", unchecked: bool = False) -> str:
    """Base64 text of a local clip, once its bytes have shown that it is one.

    Args:
        data: the file, whole.
        name: its file name, whose ending must not contradict the bytes.
        unchecked: send it whatever it is.

    Raises:
        RequestError: not WAV, MP3 or FLAC; another type than the name says; longer than 30 s; over
            32 MiB, which is as far as a file is read, so that more of it is not even there.
    """
    if len(data) > MAX_INIT_AUDIO_BYTES:
        raise RequestError(
            f"init_audio {shown(name)} is over 32 MiB; send a clip of 30 s at most",
            field="init_audio",
            value=name,
        )
    if not unchecked:
        _check_clip(data, name)
    return base64_text(data)


def base64_text(data: bytes) -> str:
    """Base64 text, made in steps: in one, no other thread would run for a tenth of a second."""
    steps = range(0, len(data), _STEP)
    return "".join(base64.b64encode(data[at : at + _STEP]).decode("ascii") for at in steps)


def _check_clip(data: bytes, name: str) -> None:
    sound = examine_bytes(data)
    if isinstance(sound, NotSound):
        raise _refused("init_audio", name, f"is not audio: {sound.reason}", "send WAV, MP3 or FLAC")
    promised = _AUDIO_SUFFIXES.get(Path(name).suffix.lower())
    if promised not in (None, sound.format.extension):
        raise _refused(
            "init_audio", name, f"holds {sound.format.name}", "rename it to what it really is"
        )
    if sound.seconds is not None and sound.seconds > MAX_INIT_AUDIO_SECONDS:
        raise _refused(
            "init_audio",
            name,
            f"is {sound.seconds:.1f} s long, but must be 30 s at most ({_NEW_PAGE})",
            "cut it",
        )


def _refused(name: str, value: object, what: str, remedy: str) -> RequestError:
    return RequestError(
        f"{name} {shown(value)} {what}; {remedy}, or pass unchecked=True to send it as it is",
        field=name,
        value=value,
    )


def _check_bounds(request: MusicGen) -> None:
    for name, bound in _BOUNDS.items():
        value = getattr(request, name)
        if value is not None and not bound.allowed(value):
            raise _refused(
                name, value, f"is out of bounds: {bound.words} ({bound.source})", "change it"
            )


def _check_text(name: str, text: str) -> None:
    if not text.strip():
        raise RequestError(f"{name} is empty; say what to generate", field=name, value=text)
    if not _encodable(text):
        raise RequestError(f"{name} holds text that UTF-8 cannot carry", field=name, value=text)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_track_id(track_id: int | str | None) -> None:
    match track_id:
        case None:
            return
        case int() if 0 <= track_id < MAX_TRACK_ID:
            return
        case str() if 0 < len(track_id) <= MAX_TRACK_ID_LENGTH and track_id.isprintable():
            return
    raise RequestError(
        f"track_id is {shown(track_id)}, but must be an integer from 0 to below 2**53 "
        f"or printable text of 1 to {MAX_TRACK_ID_LENGTH} characters",
        field="track_id",
        value=track_id,
    )


def _check_init_audio(request: MusicGen) -> None:
    audio = request.init_audio
    if not isinstance(audio, str):
        return
    if request.base64 is True:
        if _is_base64(audio):
            return
        raise RequestError(
            "init_audio is said to be base64 text, but is none; leave base64 unset for a URL, "
            "or pass a pathlib.Path to send a local file",
            field="init_audio",
            value=audio[:80],
        )
    if len(audio) <= MAX_LINE and _host(audio, "http", "https"):
        return
    raise RequestError(
        "init_audio is text, but no http(s) URL; pass base64=True if it is base64 text, "
        "or a pathlib.Path to send a local file",
        field="init_audio",
        value=audio[:80],
    )


def _is_base64(text: str) -> bool:
    """Whether it is base64 text by its characters, in either alphabet, or a data URL of such."""
    if text.startswith("data:"):
        kind, mark, _ = text[5 : 5 + _MAX_MEDIA_TYPE].partition(";base64,")
        if not mark or not _MEDIA_TYPE.issuperset(kind):
            return False
        text = text[5 + len(kind) + len(mark) :]
    if not text.isascii():
        return False
    # A pattern would do, but where blanks may stand both inside and at the end it takes quadratic
    # time, and any pattern takes ten times as long as this.
    text = text.strip()
    padding = text.encode("ascii").translate(None, _BASE64).decode("ascii")
    return padding in ("", "=", "==") and text.endswith(padding) and text != padding


def _check_webhook(webhook: str | None) -> None:
    if webhook is None or _host(webhook, "https") or is_loopback(_host(webhook, "http")):
        return
    raise RequestError(
        "webhook must be an https:// URL (ModelsLab docs, webhooks page; "
        "http:// is for loopback only)",
        field="webhook",
    )


def _host(url: str, *schemes: str) -> str:
    """The host of a URL with one of these schemes, or nothing."""
    if not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in schemes else ""
    except ValueError:
        return ""


def _check_extra(extra: Mapping[str, Any]) -> None:
    known = {attribute.name for attribute in fields(MusicGen)} | {"key"}
    for name in extra:
        if name in known:
            raise RequestError(
                f"extra holds {shown(name)}, which is a field of its own"
                + ("; the key is the client's" if name == "key" else f"; pass {name}= instead"),
                field=str(name),
            )
    try:
        check_json(extra, MAX_INIT_AUDIO_TEXT)
    except ValueError as error:
        raise RequestError(f"extra cannot be sent as JSON: {error}", field="extra") from None
