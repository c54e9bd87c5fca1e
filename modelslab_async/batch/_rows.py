"""Say what the ledger keeps of one row. Nothing here waits, reads a clock or touches a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, fields, frozen

from .._protocol.wire_json import encode_json
from ..errors import LedgerError
from ._states import RowState

_LARGEST: Final = 2**63 - 1  # what an SQLite integer holds
MESSAGE_LIMIT: Final = 2000

Storable = str | int | float | None


@frozen
class PlannedRow:
    """A row as the manifest gives it.

    Attributes:
        id: the row's own stable key.
        request: what is asked for, as it was given, with the fields that we do not know.
        payload_hash: tells two requests apart; the same row with another hash has been changed.
        prompt: for people who look into the ledger.
    """

    id: str
    request: Mapping[str, Any] = field(repr=False)
    payload_hash: str
    prompt: str = ""


@frozen(kw_only=True)
class Planned:
    """What `plan` did. When ``changed`` names rows, nothing was written at all.

    Attributes:
        added: rows that are new.
        kept: rows that are as they were.
        replaced: rows that were not sent yet, and have their new version now.
        skipped: rows that were not sent yet, and were not given.
        changed: ids of rows that were sent already, and were given otherwise.
    """

    added: int
    kept: int
    replaced: int = 0
    skipped: int = 0
    changed: tuple[str, ...] = ()


HELD: Final = "SkippedByHand"
"""``error_kind`` of a skipped row that stays so although its manifest holds it."""


@frozen
class KnownRow:
    """What the ledger knows of a row that a manifest gives.

    Attributes:
        seq: its number.
        payload_hash: as it was planned.
        state: where it stands.
        is_held: it is skipped until `Ledger.unskip`.
    """

    seq: int
    payload_hash: str
    state: RowState = field(converter=RowState)
    is_held: bool = field(converter=bool)


@frozen
class Row:
    """A row as the ledger knows it. Instants are seconds since the epoch, UTC.

    Attributes:
        seq: its number, from 1, in the order of planning.
        id: its own stable key.
        state: where it stands.
        request: JSON of what is asked for.
        payload_hash: as it was planned.
        track_id: what its latest submit carries, as text.
        attempt: how many submits were begun; 0 before the first.
        cost: of its latest submit, in decimal digits; ``None``: no price was known.
        job_id: the server's id of its job.
        handle: what `ModelsLab.job` takes to go on with the job.
        path: the file, relative to the output directory; it may not have its name yet when the
            row is READY.
        sha256: of the file, in hex.
        source_sha256: of the bytes as the server sent them.
        size: of the file, in bytes.
        seconds: of audio in the file.
        integrity: what the check of the file said.
        error_kind: the name of the error's class.
        error: its message.
        polls: how often the job was asked for.
        generation_time: seconds on the server, if it said so.
        planned_at, submitted_at, accepted_at, finished_at, done_at, updated_at: when it got there.
    """

    seq: int
    id: str
    state: RowState = field(converter=RowState)
    request: str = field(repr=False)
    payload_hash: str = field(repr=False)
    track_id: str | None
    attempt: int
    cost: str | None
    job_id: str | None
    handle: str | None = field(repr=False)
    prompt: str = field(repr=False)
    path: str | None
    sha256: str | None = field(repr=False)
    source_sha256: str | None = field(repr=False)
    size: int | None
    seconds: float | None
    integrity: str | None
    error_kind: str | None
    error: str | None
    planned_at: float
    submitted_at: float | None
    accepted_at: float | None
    finished_at: float | None
    done_at: float | None
    polls: int
    generation_time: float | None
    updated_at: float


COLUMNS: Final = tuple(column.name for column in fields(Row))
FILE_COLUMNS: Final = ("path", "sha256", "source_sha256", "size", "seconds", "integrity")
"""What is known of a row's file, from just before it gets its name."""


@frozen
class StoredFile:
    """What the ledger says of the file of a done row.

    Attributes:
        row: number of the row.
        id: its own stable key.
        path: the file, relative to the output directory.
        size: in bytes.
        sha256: in hex.
    """

    row: int
    id: str
    path: str
    size: int
    sha256: str


@frozen
class Step:
    """One line of the history: a row went from ``old`` to ``new`` at ``at`` (epoch seconds)."""

    n: int
    row: int
    old: RowState = field(converter=RowState)
    new: RowState = field(converter=RowState)
    at: float
    note: str


@frozen
class ErrorSummary:
    """Rows of one state that ended with the same kind of error.

    Attributes:
        kind: the name of the error's class; ``None``: not known.
        rows: how many there are.
        first_row: the number of the first of them.
        example: its message.
    """

    kind: str | None
    rows: int
    first_row: int
    example: str


@frozen
class StateSummary:
    """The rows of one state.

    Attributes:
        rows: how many there are.
        first_change, last_change: when rows came to this state: the first and the last of them,
            in seconds since the epoch.
        size: bytes of their files; ``None``: there are none.
        seconds: of audio in them; ``None``: not known.
        errors: the kinds of errors, the most frequent first; none for rows that are done.
    """

    rows: int
    first_change: float
    last_change: float
    size: int | None
    seconds: float | None
    errors: tuple[ErrorSummary, ...]


def storable(value: Storable) -> Storable:
    """A value that SQLite takes and gives back, and that its tools can show.

    Lone surrogates and NUL become visible escapes; an integer is cut to 64 bits.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if isinstance(value, int):
        return max(min(value, _LARGEST), -_LARGEST - 1)
    return value


def family_of(handle: str | None) -> str:
    """The family that the job of a handle is of: its path without the id. Empty: it names none.

    Families count their jobs each by itself, so that this and the id are what names a job.
    """
    try:
        path = json.loads(handle or "")["path"]
    except (ValueError, TypeError, KeyError):
        return ""
    return path.rpartition("/")[0] if isinstance(path, str) else ""


def message(text: str) -> str:
    """A message from outside, cut to a length that a ledger is made for."""
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "..."


def own_track_id(row: PlannedRow) -> str | None:
    """The track_id that the caller has given the row, as text."""
    own = row.request.get("track_id")
    return None if own is None else str(own)


def request_text(row: PlannedRow) -> str:
    """The request as JSON.

    Raises:
        LedgerError: it holds a field ``key``, or something that JSON has no form for.
    """
    if "key" in row.request:
        raise LedgerError(
            f"row {row.id!r} has a field 'key': the ledger keeps no API key; take the field out"
        )
    try:
        return encode_json(dict(row.request)).decode("ascii")
    except (TypeError, ValueError) as error:
        raise LedgerError(f"the request of row {row.id!r} cannot be kept: {error}") from error
