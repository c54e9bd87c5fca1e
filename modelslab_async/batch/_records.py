"""Make a checked request, with an id of its own, out of the fields that a row gives.

Nothing here is lenient: 7.9 is no whole number and 3 is no text. The one file that is opened is
the one that a row names in ``init_audio_file``, or that a caller gives as a `Path`.
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
from ..endpoints.music import MAX_INIT_AUDIO_BYTES, MusicGen, base64_text, encode, encode_audio
from ..errors import ConfigurationError, RequestError
from . import _rows
from ._lines import BadRow, Given
from ._strict import CLIP, REQUEST_FIELDS, build, canonical

_ID_LENGTH: Final = 12
_MAX_ID: Final = 191
_MAX_PATH: Final = 8192
_SHORT: Final = 16 * 1024
_OURS: Final = REQUEST_FIELDS | {"id", CLIP}
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
    request: MusicGen
    fields: dict[str, Any] = field(repr=False, hash=False)
    line: int | None
    payload_hash: str = field(repr=False)

    def given(self) -> dict[str, Any]:
        """The row as one object of a JSONL manifest would give it; `taken` reads it again.

        A local clip is named by its absolute path, under ``init_audio_file``.
        """
        values = {
            attribute.name: getattr(self.request, attribute.name)
            for attribute in fields(MusicGen)
            if getattr(self.request, attribute.name) != attribute.default
        }
        return {"id": self.id, **self.fields, **_in_json(values)}


def _in_json(values: dict[str, Any]) -> dict[str, Any]:
    if not values.get("extra", True):
        del values["extra"]
    audio = values.get("init_audio")
    if isinstance(audio, Path):
        values[CLIP] = str(values.pop("init_audio").absolute())
    if isinstance(audio, bytes):
        values |= {"init_audio": base64_text(audio), "base64": True}
    return values


def taken(given: Mapping[str, Any]) -> tuple[MusicGen, dict[str, Any]]:
    """What `Row.given` gave, as the request and the unknown fields. Opens no file.

    Raises:
        RequestError: it is nothing that `Row.given` gives.
    """
    clip = {"init_audio": Path(given[CLIP])} if CLIP in given else {}
    rest = {name: value for name, value in given.items() if name not in _OURS}
    return build({**given, **clip}), rest


def decoded(request: str) -> tuple[MusicGen, dict[str, Any]]:
    """What the ledger keeps of a row's request, as the request and the unknown fields.

    A run looks at the same row several times in a row; megabytes of audio are not kept for that.
    """
    return _decoded_lately(request) if len(request) <= _SHORT else taken(json.loads(request))


def request_of(row: _rows.Row) -> MusicGen:
    """The request of a row of the ledger."""
    return decoded(row.request)[0]


@functools.lru_cache(maxsize=256)
def _decoded_lately(request: str) -> tuple[MusicGen, dict[str, Any]]:
    return taken(json.loads(request))


class Rows:
    """Makes rows, and sees to it that no two of them have the same id or ``track_id``.

    What it has seen is in a temporary file, so that memory does not grow with the manifest.

    Args:
        folder: where the paths in ``init_audio_file`` start, and what they must not lead out of.
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

    def wrap(self, request: MusicGen, where: str) -> Row | BadRow:
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
        clip = self._clip(values)
        request = build({**values, **clip})
        rest = {name: value for name, value in values.items() if name not in _OURS}
        _check_fields(rest)
        return self._finished(request, row_id, rest, given, named=bool(clip))

    def _finished(
        self,
        request: MusicGen,
        row_id: str | None,
        rest: dict[str, Any],
        given: Given,
        *,
        named: bool = False,
    ) -> Row:
        if request.track_id is not None:
            self._claim("track_id", str(request.track_id), given.where)
        digest = _payload_hash(request, self._clip_digest(request, named))
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

    def _clip(self, values: Mapping[str, Any]) -> dict[str, Path]:
        name = values.get(CLIP)
        if name is None:
            return {}
        if values.get("init_audio") is not None:
            raise RequestError(f"has init_audio and {CLIP}; give one of them", field=CLIP)
        if not isinstance(name, str) or not _is_inside(name, self._folder):
            raise RequestError(
                f"{CLIP} is {shown(name)}, but must be the path of a file in the manifest's "
                "directory or below it",
                field=CLIP,
                value=name,
            )
        return {"init_audio": (self._folder / name).resolve()}

    def _clip_digest(self, request: MusicGen, named: bool) -> str | None:
        audio = request.init_audio
        if isinstance(audio, bytes):
            encode_audio(audio, unchecked=request.unchecked)
            return hashlib.sha256(audio).hexdigest()
        return self._digest(audio, request.unchecked, named) if isinstance(audio, Path) else None


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


def _refuse_other(name: str, data: bytes) -> None:
    """Not even `unchecked` lets a manifest send any other file of this machine.

    A sound behind something else would do for a download; here nothing may stand before it.
    """
    sound, kind = examine_bytes(data), sniff(data[:512])
    reason = kind if isinstance(kind, str) else isinstance(sound, NotSound) and sound.reason
    if reason:
        raise RequestError(f"{CLIP} {name!r} is not audio: {reason}", field=CLIP)


def _digest(path: Path, unchecked: bool, named: bool) -> str:
    """SHA-256 of a clip, once it has shown that it is one."""
    data = _bytes_of(path)
    if named:
        _refuse_other(path.name, data)
    encode_audio(data, name=path.name, unchecked=unchecked)
    return hashlib.sha256(data).hexdigest()


def check_clip(clip: Path, request: MusicGen, payload_hash: str) -> None:
    """Blocking: see that a row's local clip is still what it was planned with.

    Raises:
        RequestError: it is not, or cannot be read.
    """
    if _payload_hash(request, hashlib.sha256(_bytes_of(clip)).hexdigest()) != payload_hash:
        raise RequestError(
            f"the clip {str(clip)!r} is not what it was when its row was planned; put it back, or "
            "plan the new one as another row; nothing was sent",
            field="init_audio",
        )


def _bytes_of(path: Path) -> bytes:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise FileNotFoundError(None, "there is no such file")
        with path.open("rb") as file:
            return file.read(MAX_INIT_AUDIO_BYTES + 1)
    except OSError as error:
        raise RequestError(
            f"the clip {str(path)!r} cannot be read: {error.strerror}", field="init_audio"
        ) from None


def _payload_hash(request: MusicGen, clip: str | None) -> str:
    wire = encode(request, track_id=0, audio=f"sha256:{clip}" if clip else None)
    if request.track_id is None:
        del wire["track_id"]
    return hashlib.sha256(canonical(wire)).hexdigest()


def _check_fields(rest: dict[str, Any]) -> None:
    for name, value in rest.items():
        try:
            canonical({name: value})
        except (TypeError, ValueError, RecursionError):
            raise RequestError(
                f"field {shown(name)} holds what JSON cannot carry", field=str(name)
            ) from None
