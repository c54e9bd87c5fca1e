"""Make a checked request, with an id of its own, out of the fields that a row gives.

Nothing here is lenient: 7.9 is no whole number and 3 is no text. The one file that is opened is
the one that a row names in a field such as ``init_audio_file``, or that a caller gives as a `Path`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attrs import field, fields, frozen

from .._protocol.audio import examine_bytes, sniff
from .._protocol.sound import NotSound
from .._text import shown
from ..endpoints import MusicGen, RawRequest, Request, known_fields
from ..endpoints.base import encode
from ..endpoints.clips import encode_clip, why_no_video
from ..endpoints.fields import Clip
from ..endpoints.media import MAX_CLIP_BYTES, base64_text
from ..errors import ConfigurationError, RequestError
from . import _rows
from ._lines import BadRow, Given
from ._strict import ENDPOINT, FILES, ROW_FIELDS, build, canonical, request_class

_ID_LENGTH: Final = 12
_MAX_ID: Final = 191
_MAX_PATH: Final = 8192
_SHORT: Final = 16 * 1024
_COUNTED: Final = """
INSERT INTO claims VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n
"""


@frozen
class Row:
    """One row that can be paid for.

    Attributes:
        id: its own stable key: as given, or made from what is sent. Rows that send the same are
            different jobs; the second has ``-2`` after its id, the third ``-3``.
        request: what to ask for.
        fields: what the row says besides; handed through to the results.
        line: number of its first line in the manifest, from 1; ``None`` if there is no file.
        payload_hash: SHA-256 in hex of what is sent, the bytes of a local clip included and a
            ``track_id`` of our own making not.
    """

    id: str
    request: Request
    fields: dict[str, Any] = field(repr=False, hash=False)
    line: int | None
    payload_hash: str = field(repr=False)

    def given(self) -> dict[str, Any]:
        """The row as one object of a JSONL manifest would give it; `taken` reads it again.

        A local file is named by its absolute path, as ``init_audio_file`` is.
        """
        request = self.request
        values = {
            attribute.name: value
            for attribute in fields(type(request))
            if (value := getattr(request, attribute.name)) != attribute.default
        }
        if not request.extra:
            del values["extra"]
        for name, clip in request.local_media().items():
            del values[name]
            if isinstance(clip, Path):
                values[f"{name}_file"] = str(clip.absolute())
            else:
                values |= {name: base64_text(clip)}
                if "base64" in known_fields(type(request)):
                    values["base64"] = True
        endpoint = {} if isinstance(request, MusicGen) else {ENDPOINT: request.NAME}
        return {"id": self.id, **self.fields, **endpoint, **values}


def taken(given: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
    """What `Row.given` gave, as the request and the unknown fields. Opens no file.

    Raises:
        RequestError: it is nothing that `Row.given` gives.
    """
    if given.get(ENDPOINT) == RawRequest.NAME:  # in no manifest: its price is not known
        own = known_fields(RawRequest)
        return RawRequest(**{name: given[name] for name in own if name in given}), {}
    request = request_class(given.get(ENDPOINT))
    clips = {name: Path(given[file]) for file, name in FILES.items() if file in given}
    # A field of an endpoint that was not there when the row was planned is one of its own.
    taken = {*known_fields(request), *(f"{name}_file" for name in clips), ENDPOINT, "id"}
    values = {name: value for name, value in given.items() if name in taken}
    rest = {name: value for name, value in given.items() if name not in taken}
    return build({**values, **clips}), rest


def decoded(request: str) -> tuple[Request, dict[str, Any]]:
    """What the ledger keeps of a row's request, as the request and the unknown fields.

    A run looks at the same row several times in a row; megabytes of audio are not kept for that.
    """
    return _decoded_lately(request) if len(request) <= _SHORT else taken(json.loads(request))


def request_of(row: _rows.Row) -> Request:
    """The request of a row of the ledger."""
    return decoded(row.request)[0]


@functools.lru_cache(maxsize=256)
def _decoded_lately(request: str) -> tuple[Request, dict[str, Any]]:
    return taken(json.loads(request))


class Rows:
    """Makes rows, and sees to it that no two of them have the same id or ``track_id``.

    What it has seen is in a temporary file, so that memory does not grow with the manifest.

    Args:
        folder: where the paths in fields such as ``init_audio_file`` start, and what they must
            not lead out of.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = functools.lru_cache(maxsize=256)(_digest)
        with _explained():
            self._seen = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._seen.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                "CREATE TABLE claims (claim TEXT PRIMARY KEY, place TEXT, n INTEGER) WITHOUT ROWID;"
                "BEGIN"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._seen.close()

    def make(self, given: Given) -> Row | BadRow:
        """A row of these fields, or why there can be none.

        Raises:
            ConfigurationError: there is no room for temporary files.
        """
        try:
            return self._made(given)
        except RequestError as error:
            return BadRow(given.where, given.line, str(error))

    def wrap(self, request: Request, where: str) -> Row | BadRow:
        """The same, of a request that a caller has made."""
        try:
            return self._finished(request, None, {}, Given(where, None, {}))
        except RequestError as error:
            return BadRow(where, None, str(error))

    def _made(self, given: Given) -> Row:
        values = dict(given.values)
        if "key" in values:
            raise RequestError(
                "a manifest holds no API key: take the field key out, the client has it",
                field="key",
            )
        row_id = self._own_id(values.pop("id", None), given.where)
        clips = self._clips(values)
        request = build({**values, **clips})
        rest = {name: value for name, value in values.items() if name not in ROW_FIELDS}
        _check_fields(rest)
        return self._finished(request, row_id, rest, given, named=bool(clips))

    def _finished(
        self,
        request: Request,
        row_id: str | None,
        rest: dict[str, Any],
        given: Given,
        *,
        named: bool = False,
    ) -> Row:
        if request.track_id is not None:
            self._claim("track_id", str(request.track_id), given.where)
        digest = _payload_hash(request, self._digests(request, named))
        return Row(row_id or self._made_id(digest, given.where), request, rest, given.line, digest)

    # Ids

    def _own_id(self, value: object, where: str) -> str | None:
        if value is None:
            return None
        text = str(value) if type(value) in (int, str) else ""
        if not (0 < len(text) <= _MAX_ID and text.isprintable() and text == text.strip()):
            raise RequestError(
                f"id is {shown(value)}, but must be a whole number or printable text of 1 to "
                f"{_MAX_ID} characters",
                field="id",
                value=value,
            )
        self._claim("id", text, where)
        return text

    def _made_id(self, digest: str, where: str) -> str:
        content = digest[:_ID_LENGTH]
        with _explained():
            times = self._seen.execute(_COUNTED, [f"id {content}", where]).fetchone()[0]
        if times == 1:
            return content
        # NULL + 1 is NULL: a row has given itself this very id, and the claim fails.
        row_id = content if times is None else f"{content}-{times}"
        self._claim("id", row_id, where)
        return row_id

    def _claim(self, name: str, value: str, where: str) -> None:
        with _explained():
            claim = [f"{name} {value}"]
            if self._seen.execute(
                "INSERT INTO claims VALUES (?, ?, NULL) ON CONFLICT DO NOTHING", [*claim, where]
            ).rowcount:
                return
            first = self._seen.execute("SELECT place FROM claims WHERE claim = ?", claim)
            place = first.fetchone()[0]
        raise RequestError(
            f"{name} {value!r} is also that of {place}; give each row its own",
            field=name,
            value=value,
        )

    # Clips

    def _clips(self, values: Mapping[str, Any]) -> dict[str, Path]:
        """The local files that a row names, by the fields that they are sent in."""
        clips = {}
        for file, field_name in FILES.items():
            path = values.get(file)
            if path is None:
                continue
            if values.get(field_name) is not None:
                raise RequestError(f"has {field_name} and {file}; give one of them", field=file)
            if not isinstance(path, str) or not _is_inside(path, self._folder):
                raise RequestError(
                    f"{file} is {shown(path)}, but must be the path of a file in the manifest's "
                    "directory or below it",
                    field=file,
                    value=path,
                )
            clips[field_name] = (self._folder / path).resolve()
        return clips

    def _digests(self, request: Request, named: bool) -> dict[str, str]:
        """SHA-256 of each local file, once it has shown that it can be sent."""
        digests = {}
        for name, media in request.local_media().items():
            clip = known_fields(type(request))[name].clip
            if isinstance(media, bytes):
                encode_clip(name, media, clip=clip, unchecked=request.unchecked)
                digests[name] = hashlib.sha256(media).hexdigest()
            else:
                digests[name] = self._digest(name, media, clip, request.unchecked, named)
        return digests


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigurationError(
            f"the ids of a manifest cannot be compared ({error}); is there room for temporary "
            "files? TMPDIR says where they go"
        ) from error


def _is_inside(name: str, folder: Path) -> bool:
    if len(name) > _MAX_PATH:  # resolved in quadratic time
        return False
    try:
        path = (folder / name).resolve()
    except ValueError:  # a NUL, or text that no file system takes
        return False
    return path.is_relative_to(folder.resolve())


def _refuse_other(field_name: str, name: str, data: bytes, clip: Clip) -> None:
    """Not even `unchecked` lets a manifest send any other file of this machine.

    A sound behind something else would do for a download; here nothing may stand before it.
    """
    if clip.is_video:
        what, reason = "no video", why_no_video(data)
    else:
        sound, kind = examine_bytes(data), sniff(data[:512])
        no_sound = sound.reason if isinstance(sound, NotSound) else ""
        what, reason = "not audio", kind if isinstance(kind, str) else no_sound
    if reason:
        raise RequestError(
            f"{field_name}_file {name!r} is {what}: {reason}", field=f"{field_name}_file"
        )


def _digest(field_name: str, path: Path, clip: Clip, unchecked: bool, named: bool) -> str:
    """SHA-256 of a clip, once it has shown that it is one."""
    data = _bytes_of(field_name, path)
    if named:
        _refuse_other(field_name, path.name, data, clip)
    encode_clip(field_name, data, clip=clip, name=path.name, unchecked=unchecked)
    return hashlib.sha256(data).hexdigest()


def check_media(request: Request, payload_hash: str) -> None:
    """Blocking: see that a row's local files are still what they were planned with.

    Raises:
        RequestError: it is not, or cannot be read.
    """
    clips = request.local_media()
    digests = {
        name: hashlib.sha256(clip if isinstance(clip, bytes) else _bytes_of(name, clip)).hexdigest()
        for name, clip in clips.items()
    }
    if _payload_hash(request, digests) != payload_hash:
        named = " or ".join(f"{str(clip)!r}" for clip in clips.values())
        raise RequestError(
            f"the clip {named} is not what it was when its row was planned; put it back, or "
            "plan the new one as another row; nothing was sent",
            field=next(iter(clips)),
        )


def _bytes_of(field_name: str, path: Path) -> bytes:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise FileNotFoundError(None, "there is no such file")
        with path.open("rb") as file:
            return file.read(MAX_CLIP_BYTES + 1)
    except OSError as error:
        raise RequestError(
            f"the clip {str(path)!r} cannot be read: {error.strerror}", field=field_name
        ) from None


def _payload_hash(request: Request, digests: Mapping[str, str]) -> str:
    """Of what is sent, and where to: music alone names no endpoint, as in the first ledgers."""
    media = {name: f"sha256:{digest}" for name, digest in digests.items()}
    wire = encode(request, track_id=0, media=media)
    if not isinstance(request, MusicGen):
        wire[ENDPOINT] = request.path
    if request.track_id is None:
        del wire["track_id"]
    if isinstance(request, RawRequest):  # whose fields may have any names
        wire = {"path": request.path, "gives": request.gives, "fields": wire}
    return hashlib.sha256(canonical(wire)).hexdigest()


def _check_fields(rest: dict[str, Any]) -> None:
    for name, value in rest.items():
        try:
            canonical({name: value})
        except (TypeError, ValueError, RecursionError):
            raise RequestError(
                f"field {shown(name)} holds what JSON cannot carry", field=str(name)
            ) from None
