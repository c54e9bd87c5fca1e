"""Make checked rows with unique ids, and convert them to and from the records of the ledger.

The only files opened are those that a row names in a field such as ``init_audio_file``, or that a
caller passes as a `Path`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from attrs import evolve, field, fields, frozen

from .._protocol.audio import examine_bytes, sniff
from .._protocol.sound import NotSound
from .._protocol.wire_json import check_json, encode_json
from .._text import shown
from ..endpoints import MusicGen, RawRequest, Request, known_fields
from ..endpoints.base import encode, routed
from ..endpoints.clips import encode_clip, why_no_video
from ..endpoints.fields import Clip
from ..endpoints.media import MAX_CLIP_BYTES, MAX_MEDIA_TEXT, base64_text
from ..errors import RequestError
from . import _rows
from ._combinations import taken
from ._fields import ENDPOINT, FILES, ROW_FIELDS, build, request_class
from ._lines import BadRow, inside

_ID_LENGTH: Final = 12
_MAX_ID: Final = 191
_SHORT: Final = 16 * 1024


@frozen
class NewRow:
    """A checked row, which the ledger may not hold yet.

    Attributes:
        id: its own stable key: as given, or made from what is sent. Rows that send the same are
            different jobs; the second has ``-2`` after its id, the third ``-3``.
        request: what to submit.
        fields: its unknown fields, which are copied to the results.
        line: number of its first line in the manifest, from 1; ``None`` without a file.
        payload_hash: SHA-256 in hex of what is sent, including the bytes of a local clip, but not
            a generated ``track_id``.
        has_own_id: its id was given.
    """

    id: str
    request: Request
    fields: dict[str, Any] = field(repr=False, hash=False)
    line: int | None
    payload_hash: str = field(repr=False)
    has_own_id: bool = field(default=False, eq=False)  # a row read again from its record is equal

    def planned(self, *, enterprise: bool = False) -> _rows.PlannedRow:
        """What the ledger keeps of the row.

        From here on the row says itself whether it goes to an enterprise twin. Its id and hash say
        nothing of that preference: another one makes no new row, which would be paid for again.

        Args:
            enterprise: if the row does not say, send it to an enterprise twin, if there is one.
        """
        record = evolve(self, request=routed(self.request, enterprise=enterprise)).to_record()
        return _rows.PlannedRow(self.id, record, self.payload_hash, self.request.title)

    def to_record(self) -> dict[str, Any]:
        """The row as an object of a JSONL manifest, for the ledger; `from_record` reads it.

        A local file is named by its absolute path, in a field such as ``init_audio_file``.
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


def from_record(record: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
    """The request of a record, and its unknown fields. Opens no file.

    Raises:
        RequestError: it is not a record that `NewRow.to_record` makes.
    """
    if record.get(ENDPOINT) == RawRequest.NAME:  # in no manifest: its price is not known
        own = known_fields(RawRequest)
        return RawRequest(**{name: record[name] for name in own if name in record}), {}
    request = request_class(record.get(ENDPOINT))
    clips = {name: Path(record[file]) for file, name in FILES.items() if file in record}
    # Since the row was planned, this version may have learned a field that was unknown then.
    known = {*known_fields(request), *(f"{name}_file" for name in clips), ENDPOINT, "id"}
    values = {name: value for name, value in record.items() if name in known}
    rest = {name: value for name, value in record.items() if name not in known}
    return build({**values, **clips}), rest


def read_record(text: str) -> tuple[Request, dict[str, Any]]:
    """The request that the ledger keeps as JSON, and its unknown fields.

    A run reads the same rows repeatedly, so short ones are cached; megabytes of audio are not.
    """
    return _read_cached(text) if len(text) <= _SHORT else from_record(json.loads(text))


@functools.lru_cache(maxsize=256)
def _read_cached(text: str) -> tuple[Request, dict[str, Any]]:
    return from_record(json.loads(text))


def request_of(row: _rows.Row) -> Request:
    """The request of a row of the ledger."""
    return read_record(row.request)[0]


class RowMaker:
    """Makes rows, and ensures that no two of them have the same id or ``track_id``.

    It remembers the id of each row, so its memory grows by about 200 bytes per row.

    Args:
        folder: where the paths in fields such as ``init_audio_file`` start, and what they must
            not leave.
        unit: what the numbers of rows count: lines of a manifest, requests, or combinations.
    """

    def __init__(self, folder: Path, unit: Literal["line", "request", "row"]) -> None:
        self._folder = folder
        self._unit = unit
        self._digest = functools.lru_cache(maxsize=256)(_digest)
        self._first: dict[str, int] = {}
        self._given_ids: set[str] = set()
        self._copies: dict[str, int] = {}

    def bad(self, number: int, reason: str) -> BadRow:
        """The row of this number, which cannot be used."""
        if self._unit != "request":  # a manifest has fields, not arguments
            reason = reason.replace("pass unchecked=True", "set its field `unchecked` to true")
        return BadRow(f"{self._unit} {number}", number if self._unit == "line" else None, reason)

    def takes(self, number: int, given: Mapping[str, Any]) -> Iterator[NewRow | BadRow]:
        """The rows of these fields: as many as their field ``takes`` says."""
        try:
            for fields in taken(given):
                yield self.make(number, fields)
        except RequestError as error:
            yield self.bad(number, str(error))

    def make(self, number: int, given: Mapping[str, Any]) -> NewRow | BadRow:
        """A row of these fields, or why it cannot be used."""
        try:
            if "key" in given:
                raise RequestError(
                    "a manifest holds no API key: remove the field key, the client has the key",
                    field="key",
                )
            row_id = self._given_id(given.get("id"), number)
            clips = self._clips(given)
            request = build({**given, **clips})
            rest = {name: value for name, value in given.items() if name not in ROW_FIELDS}
            for name, value in rest.items():
                try:
                    check_json({name: value}, MAX_MEDIA_TEXT)
                except ValueError as error:
                    raise RequestError(
                        f"field {shown(name)} cannot be kept as JSON: {error}", field=str(name)
                    ) from None
            return self._finished(number, request, row_id, rest, named=bool(clips))
        except RequestError as error:
            return self.bad(number, str(error))

    def wrap(self, number: int, request: Request) -> NewRow | BadRow:
        """A row of a request that a caller has made, or why it cannot be used."""
        try:
            return self._finished(number, request, None, {}, named=False)
        except RequestError as error:
            return self.bad(number, str(error))

    def _finished(
        self,
        number: int,
        request: Request,
        row_id: str | None,
        rest: dict[str, Any],
        *,
        named: bool,
    ) -> NewRow:
        if request.track_id is not None:
            self._claim("track_id", str(request.track_id), number)
        digests = {}
        for name, media in request.local_media().items():
            clip = known_fields(type(request))[name].clip
            if isinstance(media, bytes):
                encode_clip(name, media, clip=clip, unchecked=request.unchecked)
                digests[name] = hashlib.sha256(media).hexdigest()
            else:
                digests[name] = self._digest(name, media, clip, request.unchecked, named)
        payload_hash, has_own_id = _payload_hash(request, digests), row_id is not None
        if row_id is None:  # equal rows of equal manifests get the same
            row_id = payload_hash[:_ID_LENGTH]
            if f"id {row_id}" in self._first and row_id not in self._given_ids:
                copies = self._copies[row_id] = self._copies.get(row_id, 1) + 1
                row_id = f"{row_id}-{copies}"
            self._claim("id", row_id, number)
        line = number if self._unit == "line" else None
        return NewRow(row_id, request, rest, line, payload_hash, has_own_id)

    # Ids

    def _given_id(self, value: object, number: int) -> str | None:
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
        self._claim("id", text, number)
        self._given_ids.add(text)
        return text

    def _claim(self, name: str, value: str, number: int) -> None:
        first = self._first.setdefault(f"{name} {value}", number)
        if first != number:
            raise RequestError(
                f"{name} {value!r} is also that of {self._unit} {first}; give each row its own",
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
            clip = inside(self._folder, path)
            if clip is None:
                raise RequestError(
                    f"{file} is {shown(path)}, but must be the path of a file in the manifest's "
                    "directory or below it",
                    field=file,
                    value=path,
                )
            clips[field_name] = clip
        return clips


def _digest(field_name: str, path: Path, clip: Clip, unchecked: bool, named: bool) -> str:
    """SHA-256 of a clip that can be sent.

    Args:
        named: a manifest names the file. Then not even ``unchecked`` allows anything but a clip of
            the right kind, so that no manifest can send another file of this machine.
    """
    data = _bytes_of(field_name, path)
    if named:
        if clip.is_video:
            what, reason = "no video", why_no_video(data)
        else:
            # Unlike in a download, nothing may come before the sound.
            sound, kind = examine_bytes(data), sniff(data[:512])
            no_sound = sound.reason if isinstance(sound, NotSound) else ""
            what, reason = "not audio", kind if isinstance(kind, str) else no_sound
        if reason:
            raise RequestError(
                f"{field_name}_file {path.name!r} is {what}: {reason}", field=f"{field_name}_file"
            )
    encode_clip(field_name, data, clip=clip, name=path.name, unchecked=unchecked)
    return hashlib.sha256(data).hexdigest()


def check_media(request: Request, payload_hash: str) -> None:
    """Blocking: check that a row's local files are those with which it was planned.

    Raises:
        RequestError: one is not, or cannot be read.
    """
    clips = request.local_media()
    digests = {
        name: hashlib.sha256(clip if isinstance(clip, bytes) else _bytes_of(name, clip)).hexdigest()
        for name, clip in clips.items()
    }
    # The hash says nothing of a twin that the client preferred and the row did not ask for.
    asked = (request, evolve(request, enterprise=None))
    if payload_hash not in [_payload_hash(one, digests) for one in asked]:
        named = " or ".join(f"{str(clip)!r}" for clip in clips.values())
        raise RequestError(
            f"the clip {named} has changed since its row was planned; restore it, or plan the new "
            "one as another row; nothing was sent",
            field=next(iter(clips)),
        )


def _bytes_of(field_name: str, path: Path) -> bytes:
    try:
        if not path.is_file():  # opening a pipe would block
            raise FileNotFoundError(None, "there is no such file")
        with path.open("rb") as file:
            return file.read(MAX_CLIP_BYTES + 1)
    except OSError as error:
        raise RequestError(
            f"the clip {str(path)!r} cannot be read: {error.strerror}", field=field_name
        ) from None


def _payload_hash(request: Request, digests: Mapping[str, str]) -> str:
    """Of what is sent, of its endpoint, and of the row's own choice of an enterprise twin.

    The endpoint of music is left out, as in the first ledgers.
    """
    media = {name: f"sha256:{digest}" for name, digest in digests.items()}
    wire = encode(request, track_id=0, media=media)
    if not isinstance(request, MusicGen):
        wire[ENDPOINT] = request.path
    if request.enterprise is not None:
        wire["enterprise"] = request.enterprise
    if request.track_id is None:
        del wire["track_id"]
    if isinstance(request, RawRequest):  # whose fields may have any names
        wire = {"path": request.path, "gives": request.gives, "fields": wire}
    return hashlib.sha256(encode_json(wire, sort_keys=True)).hexdigest()
