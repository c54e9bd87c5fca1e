"""The rows of a ledger as values. Nothing here reads a clock or does I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import evolve, field, fields, frozen

from .._protocol.sound_check import Flag
from .._protocol.wire_json import encode_json
from ..errors import ConfigurationError, LedgerError
from ._states import RowState

_LARGEST: Final = 2**63 - 1  # what an SQLite integer holds
MESSAGE_LIMIT: Final = 2000

Storable = str | bytes | int | float | None


@frozen
class PlannedRow:
    """A row to add to the ledger.

    Attributes:
        id: the row's own stable key.
        request: the fields of its request, and its unknown fields.
        payload_hash: identifies the request; if it differs, the row was changed.
        prompt: for people who read the ledger.
    """

    id: str
    request: Mapping[str, Any] = field(repr=False)
    payload_hash: str
    prompt: str = ""


@frozen(kw_only=True)
class Planned:
    """The result of `Ledger.plan`. If ``changed`` is not empty, nothing was written.

    Attributes:
        added: the number of new rows.
        kept: the number of unchanged rows.
        replaced: the number of rows that were not submitted, and were replaced.
        skipped: the number of rows that were not submitted, and were skipped.
        changed: ids of rows that differ from what was submitted.
    """

    added: int
    kept: int
    replaced: int = 0
    skipped: int = 0
    changed: tuple[str, ...] = ()


def checked_flags(names: Iterable[str]) -> frozenset[str]:
    """Names of flags, which exist.

    Raises:
        ConfigurationError: one does not.
    """
    found = frozenset([names] if isinstance(names, str) else names)
    for name in found - frozenset(Flag):
        raise ConfigurationError(f"{name!r:.40} is no flag of a sound; there are {', '.join(Flag)}")
    return found


def flag_names(stored: str | None) -> frozenset[str]:
    """The names of stored flags: without the number in ``same_as:7``."""
    return frozenset(word.partition(":")[0] for word in (stored or "").split())


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
        enterprise: whether it was planned for an enterprise twin.
        flags: of its sound, by name.
    """

    seq: int
    payload_hash: str
    state: RowState = field(converter=RowState)
    is_held: bool = field(converter=bool)
    enterprise: bool = field(converter=bool)
    flags: frozenset[str] = field(converter=flag_names)


def flags_text(flags: tuple[str, ...] | None) -> str | None:
    """Flags as the ledger stores them, with blanks between them."""
    return None if flags is None else " ".join(flags)


def _flags(stored: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return tuple(stored.split()) if isinstance(stored, str) else stored


@frozen
class Row:
    """A row of the ledger. Times are seconds since the epoch, UTC.

    Attributes:
        seq: its number, from 1, in the order of planning.
        id: its own stable key.
        state: its state.
        request: its request as JSON.
        payload_hash: as it was planned.
        track_id: of its latest submit, as text.
        attempt: the number of submits that were begun.
        cost: of its latest submit, in decimal digits; ``None``: no price was known.
        job_id: the server's id of its job.
        handle: continues the job with `ModelsLab.job`.
        path: the file, relative to the output directory; while the row is READY, it may not exist.
        sha256: of the file, in hex.
        source_sha256: of the bytes as the server sent them.
        size: of the file, in bytes.
        seconds: of audio in the file.
        integrity: the result of checking the file.
        flags: what may be wrong with its sound, such as ``dead_tail`` or ``same_as:7``, which names
            another row; ``None``: not checked. Only the length of MP3 and FLAC is checked.
        peak_dbfs: of its highest sample, in dB; ``None``: not known, or no sample is off zero.
        peaks: its waveform: the highest level, 0 to 127, at each of up to 240 places; ``None``:
            the samples were not checked.
        sound_sha256: of its samples, in hex.
        error_kind: the name of the error's class.
        error: its message.
        polls: the number of polls.
        generation_time: seconds on the server, as reported by it.
        planned_at, submitted_at, accepted_at, finished_at, done_at, updated_at: time of each event.
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
    flags: tuple[str, ...] | None = field(converter=_flags)
    peak_dbfs: float | None
    peaks: bytes | None = field(repr=False)
    sound_sha256: str | None = field(repr=False)
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
FILE_COLUMNS: Final = (
    *("path", "sha256", "source_sha256", "size", "seconds", "integrity"),
    *("flags", "peak_dbfs", "peaks", "sound_sha256"),
)
"""The values of a row's file, stored just before it is published."""


@frozen
class StoredFile:
    """The file of a done row, as recorded in the ledger.

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
    """One transition in the history: from ``old`` to ``new``, at ``at`` (epoch seconds)."""

    n: int
    row: int
    old: RowState = field(converter=RowState)
    new: RowState = field(converter=RowState)
    at: float
    note: str


@frozen
class ErrorSummary:
    """Rows in one state with the same kind of error.

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
class SoundSummary:
    """What was found of the sound of done rows.

    Attributes:
        flagged: the number of rows with a flag.
        unchecked: the number of audio files whose samples were not checked, such as MP3.
        flags: the number of rows by flag, most frequent first.
    """

    flagged: int
    unchecked: int
    flags: Mapping[str, int]


@frozen
class StateSummary:
    """The rows in one state.

    Attributes:
        rows: how many there are.
        first_change, last_change: when the first and the last row entered this state, in seconds
            since the epoch.
        size: bytes of their files; ``None``: there are none.
        seconds: of audio in them; ``None``: not known.
        errors: the kinds of errors, most frequent first; empty for done rows.
    """

    rows: int
    first_change: float
    last_change: float
    size: int | None
    seconds: float | None
    errors: tuple[ErrorSummary, ...]


def storable(value: Storable) -> Storable:
    """The value as SQLite can store it and its tools can print it.

    Lone surrogates and NUL become visible escapes; an integer is limited to 64 bits.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if isinstance(value, int):
        return max(min(value, _LARGEST), -_LARGEST - 1)
    return value


def family_of(handle: str | None) -> str:
    """The path of a handle's job without its id; empty if there is none.

    Job ids are unique only within a family.
    """
    try:
        path = json.loads(handle or "")["path"]
    except (ValueError, TypeError, KeyError):
        return ""
    return path.rpartition("/")[0] if isinstance(path, str) else ""


def message(text: str) -> str:
    """A message from outside, truncated to `MESSAGE_LIMIT` characters."""
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "..."


def own_track_id(row: PlannedRow) -> str | None:
    """The row's own track_id as text; ``None`` if one is generated."""
    own = row.request.get("track_id")
    return None if own is None else str(own)


def request_text(row: PlannedRow) -> str:
    """The request as JSON.

    Raises:
        LedgerError: it has a field ``key``, or cannot be written as JSON.
    """
    if "key" in row.request:
        raise LedgerError(
            f"row {row.id!r} has a field 'key': the ledger keeps no API key; take the field out"
        )
    try:
        return encode_json(dict(row.request)).decode("ascii")
    except (TypeError, ValueError) as error:
        raise LedgerError(f"the request of row {row.id!r} cannot be kept: {error}") from error


def is_relabelled(request: str, fields: Mapping[str, Any]) -> bool:
    """Whether a kept request has other values of these fields, which are not sent."""
    kept = json.loads(request)
    return any(name not in kept or kept[name] != value for name, value in fields.items())


def relabelled(request: str, row: PlannedRow) -> str:
    """A kept request with the other fields of a row that asks for the same.

    It stays planned for the enterprise twin or not, whatever the row says now.

    Raises:
        LedgerError: as `request_text`.
    """
    kept = json.loads(request)
    fresh = {name: value for name, value in row.request.items() if name != "enterprise"}
    if "enterprise" in kept:
        fresh["enterprise"] = kept["enterprise"]
    return request if fresh == kept else request_text(evolve(row, request=fresh))


def same_track_id(row: PlannedRow) -> LedgerError:
    """The error of a row whose ``track_id`` another row has."""
    return LedgerError(
        f"row {row.id} has the track_id of another row: {own_track_id(row)}; it identifies one "
        "job, so give the row another one; nothing was planned"
    )
