"""What all requests have in common: their fields as data, the checks, and the JSON that is sent.

A request is a frozen value that was checked when it was made. Its class says of each field what it
may hold (`Field`); checks, JSON, manifests and the options of the command line are loops over that.
Nothing here opens a file: a `Path` is only noted, and whoever submits reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from attrs import evolve, field, fields, frozen

from .._protocol.output import Output
from .._protocol.urls import VOICE_FETCH, is_loopback
from .._protocol.wire_json import MAX_VALUES, check_json, is_small
from .._protocol.wire_values import MAX_TRACK_ID, MAX_TRACK_ID_LENGTH
from .._text import shown
from ..errors import RequestError
from .fields import FIELD, MAX_LINE, Bound, Field, flag, option
from .media import MAX_MEDIA_TEXT, is_base64, out_of_bounds

_LEAST_BASE64 = 256
"""Characters; where no field says what media are, shorter text is rather a forgotten path."""


def copied(what: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of further fields, which ``what`` names in errors."""
    if not isinstance(extra, Mapping):
        raise RequestError(f"{what} is {shown(extra)}, but must be a mapping", field=what)
    if len(extra) > MAX_VALUES:  # before a million names are copied and looked at
        raise RequestError(f"{what} holds over {MAX_VALUES} values", field=what)
    return dict(extra)


def _copied(extra: Mapping[str, Any]) -> dict[str, Any]:
    return copied("extra", extra)


@frozen(kw_only=True)
class Estimate:
    """What a request should come to, as far as the documents tell.

    Attributes:
        seconds: of audio.
        megabytes: size of the file, in millions of bytes.
        is_known: whether the request tells; if not, a price per second says nothing of it.
        characters: to be spoken.
    """

    seconds: Decimal
    megabytes: float
    is_known: bool = True
    characters: int = 0


def of_unknown_length(megabytes: float) -> Estimate:
    """What comes of a recording, whose length nobody here knows."""
    return Estimate(seconds=Decimal(0), megabytes=megabytes, is_known=False)


@frozen(repr=False, kw_only=True)
class Request:
    """One generation to ask for; each endpoint has a class of its own.

    Args:
        webhook: ``https://`` URL to be told on (``http://`` on loopback only).
        track_id: your own id, echoed by the server; one is made when you give none.
        extra: further fields, sent as they are.
        unchecked: send values beyond the documented bounds.
        enterprise: whether to send it to its twin on the account's own servers; ``None``: as the
            client says.

    Raises:
        RequestError: a value is of the wrong type or out of bounds; names field, bound and source.
    """

    NAME: ClassVar[str]
    """What manifests call it: the end of the endpoint's path."""

    ENDPOINT: ClassVar[str]
    """Path of the submit."""

    FETCH: ClassVar[str] = VOICE_FETCH
    """Path under which a job is asked about when its ticket names none."""

    GIVES: ClassVar[Output] = "audio"
    """What comes out, which decides when a file is whole and what is refused."""

    ENTERPRISE: ClassVar[str] = ""
    """Path of its twin on an account's own servers, whose jobs are asked about beside it."""

    webhook: str | None = option(str, help="Where the API shall report the end of a job.")
    track_id: int | str | None = option(int, str, help="Your own id for the job.")
    extra: Mapping[str, Any] = field(
        factory=dict,
        kw_only=True,
        converter=_copied,
        hash=False,
        metadata={FIELD: Field(types=(dict,), is_sent=False)},
    )
    unchecked: bool = flag()
    enterprise: bool | None = option(bool, is_sent=False)

    def __attrs_post_init__(self) -> None:
        known = known_fields(type(self))
        for name in _known(type(self)).required:
            value = getattr(self, name)
            if isinstance(value, str):
                _check_text(name, value)
        _check_media(self, known)
        if self.enterprise and not self.ENTERPRISE:
            raise RequestError(f"{self.NAME} has no enterprise twin", field="enterprise")
        _check_track_id(self.track_id)
        _check_webhook(self.webhook)
        check_extra("extra", self.extra, known)
        if not self.unchecked:
            _check_bounds(self)

    def __repr__(self) -> str:
        """Only what is set; a webhook's URL may hold a secret."""
        shown_fields = [
            f"{one.name}={(one.repr if callable(one.repr) else shown)(getattr(self, one.name))}"
            for one in sorted(fields(type(self)), key=lambda one: one.kw_only)
            if one.name not in ("webhook", "unchecked")
            and getattr(self, one.name) not in (one.default, {})
        ]
        return f"{type(self).__name__}({', '.join(shown_fields)})"

    @property
    def path(self) -> str:
        """Where it is sent."""
        return self.ENTERPRISE if self.enterprise else self.ENDPOINT

    @property
    def fetch(self) -> str:
        """Where its job is asked about when the ticket names no place."""
        return f"{self.path.rpartition('/')[0]}/fetch" if self.enterprise else self.FETCH

    @property
    def gives(self) -> Output:
        """What comes out."""
        return self.GIVES

    @property
    def further(self) -> Mapping[str, Any]:
        """Fields that are sent as they are, after all others."""
        return self.extra

    @property
    def title(self) -> str:
        """What to call it: its prompt, or else the name of what it is made from."""
        for name in ("prompt", "caption", "lyrics"):
            if words := getattr(self, name, None):
                return str(words)
        sent = (getattr(self, name) for name in _known(type(self)).media)
        return next(filter(None, map(_name_of, sent)), self.NAME)

    @property
    def kind(self) -> object:
        """What decides how long a generation takes: equal kinds take about equally long."""
        estimate = self.estimate()
        seconds = round(estimate.seconds, -1) if estimate.characters else estimate.seconds
        return (self.path, seconds)

    def estimate(self) -> Estimate:
        """How long the audio and how large the file will be."""
        raise NotImplementedError  # mypy takes no abstract class where a class is asked for

    def asked_seconds(self) -> tuple[float, float] | None:
        """The shortest and the longest duration that it asks for; ``None`` if it names none."""
        seconds: int | None = getattr(self, "duration", None)
        return None if seconds is None else (seconds, seconds)

    def local_media(self) -> dict[str, Path | bytes]:
        """The files of this machine that it sends, by the names of their fields."""
        return {
            name: value
            for name in _known(type(self)).media
            if isinstance(value := getattr(self, name), Path | bytes)
        }


def routed(request: Request, *, enterprise: bool) -> Request:
    """The request for a client that prefers enterprise twins, or does not: its own choice wins."""
    if not enterprise or request.enterprise is not None or not request.ENTERPRISE:
        return request
    return evolve(request, enterprise=True)


@frozen
class _Known:
    """What is known of the fields of a class.

    A manifest has thousands of rows, and a request a few dozen fields: each check looks at its own.
    """

    fields: Mapping[str, Field]
    required: tuple[str, ...]
    media: tuple[str, ...]
    bounds: tuple[tuple[str, Bound], ...]
    sent: tuple[tuple[str, str], ...]


_KNOWN: dict[type[Request], _Known] = {}


def _known(request: type[Request]) -> _Known:
    if request not in _KNOWN:
        known: dict[str, Field] = {one.name: one.metadata[FIELD] for one in fields(request)}
        _KNOWN[request] = _Known(
            fields=known,
            required=tuple(name for name, one in known.items() if one.is_sent and not one.optional),
            media=tuple(name for name, one in known.items() if one.is_media),
            bounds=tuple((name, one.bound) for name, one in known.items() if one.bound is not None),
            sent=tuple((name, one.wire or name) for name, one in known.items() if one.is_sent),
        )
    return _KNOWN[request]


def known_fields(request: type[Request]) -> Mapping[str, Field]:
    """What is known of each field of a class, by name."""
    return _known(request).fields


def is_light(request: Request) -> bool:
    """Whether a request is encoded in next to no time, and opens no file for it."""
    sent = [getattr(request, name) for name, _ in _known(type(request)).sent]
    return not request.local_media() and is_small([*sent, *request.further.values()])


def encode(
    request: Request, *, track_id: int | str, media: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON fields of a submit, without the key.

    Args:
        request: what to ask for.
        track_id: the one to send, given by the user or made by the client.
        media: base64 texts in place of local files, by field; without one, its field is left out.
    """
    local = request.local_media()
    wire = {
        wire_name: getattr(request, name)
        for name, wire_name in _known(type(request)).sent
        if name not in local
    }
    wire["track_id"] = track_id
    if media:
        wire |= {**media, **({"base64": True} if "base64" in wire else {})}
    return dict(request.further) | {
        name: value for name, value in wire.items() if value is not None
    }


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


def _check_bounds(request: Request) -> None:
    for name, bound in _known(type(request)).bounds:
        value = getattr(request, name)
        if value is not None and not bound.allowed(value):
            raise out_of_bounds(
                name, value, f"is out of bounds: {bound.words} ({bound.source})", "change it"
            )


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


def _check_media(request: Request, known: Mapping[str, Field]) -> None:
    """All media of a request have one form: it says only once whether they are base64 text."""
    is_flagged = getattr(request, "base64", None) is True
    media = {
        name: value
        for name in _known(type(request)).media
        if (value := getattr(request, name)) is not None
    }
    texts = {name: text for name, text in media.items() if isinstance(text, str)}
    for name, text in texts.items():
        takes_files = Path in known[name].types
        if not takes_files or "base64" in known:
            _check_media_text(name, text, is_base64_said=is_flagged, takes_files=takes_files)
        elif not (len(text) >= _LEAST_BASE64 and is_base64(text)):
            _check_media_text(name, text, is_base64_said=False, takes_files=True)
    if texts and len(texts) < len(media) and "base64" in known and not is_flagged:
        raise RequestError(
            f"{' and '.join(media)} must have one form: give both as URLs, or both as files",
            field=next(iter(texts)),
        )


def _check_media_text(name: str, text: str, *, is_base64_said: bool, takes_files: bool) -> None:
    if is_base64_said:
        if is_base64(text):
            return
        raise RequestError(
            f"{name} is said to be base64 text, but is none; leave base64 unset for a URL, "
            "or pass a pathlib.Path to send a local file",
            field=name,
            value=text[:80],
        )
    if len(text) <= MAX_LINE and _host(text, "http", "https"):
        return
    raise RequestError(
        f"{name} is text, but no http(s) URL; "
        + (
            "pass base64=True if it is base64 text, or a pathlib.Path to send a local file"
            if takes_files
            else "this endpoint takes nothing else: client.base64_to_url() makes one of a file"
        ),
        field=name,
        value=text[:80],
    )


def _name_of(media: object) -> str:
    """The name of a file, or of the end of a URL, without its ending."""
    if isinstance(media, str) and _host(media, "http", "https"):
        return PurePosixPath(unquote(urlsplit(media).path)).stem
    return media.stem if isinstance(media, Path) else ""


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


def check_extra(what: str, extra: Mapping[str, Any], known: Collection[str]) -> None:
    """See that further fields are none of their own, hold no key, and can be sent as JSON.

    Raises:
        RequestError: they are not; ``what`` names them.
    """
    for name in extra:
        if type(name) is not str:
            raise RequestError(f"{what} holds {shown(name)}, but names are text", field=what)
        if name in known or name == "key":
            raise RequestError(
                f"{what} holds {shown(name)}, which is a field of its own"
                + ("; the key is the client's" if name == "key" else f"; pass {name}= instead"),
                field=str(name),
            )
    try:
        check_json(extra, MAX_MEDIA_TEXT)
    except ValueError as error:
        raise RequestError(f"{what} cannot be sent as JSON: {error}", field=what) from None
