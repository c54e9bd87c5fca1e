"""The events of a row, as values. Nothing here reads a clock or does I/O.

Each function describes one event; the store checks it against the table of transitions, adds the
time, and writes it together with a line of history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import Factory, evolve, field, frozen

from .._protocol.sound_check import Flag
from ..errors import LedgerError
from ._rows import COLUMNS, FILE_COLUMNS, HELD, Row, Storable, message
from ._states import UNSENT, RowState, check

_S = RowState
_NEVER_SET: Final = frozenset({"seq", "id", "state", "request", "payload_hash", "updated_at"})
_SETTABLE: Final = frozenset(COLUMNS) - _NEVER_SET
ELSEWHERE: Final = "sent by another copy of this directory"
"""Start of the note of a transition that another copy of the ledger has made."""

_NO_ERROR: Final[dict[str, Storable]] = {"error_kind": None, "error": None}
_NO_JOB: Final[dict[str, Storable]] = {
    **_NO_ERROR,
    "job_id": None,
    "handle": None,
    "accepted_at": None,
    "finished_at": None,
    "generation_time": None,
    "polls": 0,
}
_NO_FILE: Final[dict[str, Storable]] = dict.fromkeys((*FILE_COLUMNS, "done_at"))


@frozen
class Change:
    """One transition of one row.

    Attributes:
        row: its ``seq``.
        to: the new state.
        values: columns to set.
        stamps: columns to set to the time of writing.
        note: for the history.
        only_from: the states in which this event can happen; if empty, all that the table allows.
        paid: it carries the answer to a paid submit, which must not be lost.
        sends: a paid submit is sent as soon as this is on disk.
    """

    row: int
    to: RowState
    values: Mapping[str, Storable] = Factory(dict)
    stamps: tuple[str, ...] = ()
    note: str = ""
    only_from: frozenset[RowState] = frozenset()
    paid: bool = field(default=False, kw_only=True)
    sends: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        strange = (self.values.keys() | set(self.stamps)) - _SETTABLE
        if strange:
            raise LedgerError(f"a change cannot set {', '.join(sorted(map(str, strange)))}")

    @property
    def job_id(self) -> str | None:
        """The id of the job that it gives the row; ``None``: it gives none."""
        job_id = self.values.get("job_id")
        return None if job_id is None else str(job_id)


def validate(change: Change, row: Row) -> None:
    """Check a change against the current state of its row.

    Raises:
        LedgerError: it is not a valid transition, or its attempt was counted already.
    """
    check(row.state, change.to, row.id)
    if change.only_from and row.state not in change.only_from:
        raise LedgerError(f"invalid transition {row.state} -> {change.to} for row {row.id}")
    attempt = change.values.get("attempt")
    if isinstance(attempt, int) and attempt <= row.attempt:
        raise LedgerError(f"row {row.id} is at attempt {row.attempt} already, not {attempt}")


def intent(row: int, track_id: int | str, attempt: int, cost: str | None = None) -> Change:
    """A submit is about to be sent, as soon as this is on disk."""
    sent: dict[str, Storable] = {"track_id": str(track_id), "attempt": attempt, "cost": cost}
    values = {**sent, **_NO_ERROR}
    note = f"attempt {attempt}, track_id {track_id}"
    return Change(row, _S.SUBMITTING, values, ("submitted_at",), note, sends=True)


def sent_elsewhere(row: Row, track_id: str) -> Change:
    """Another copy of this ledger has submitted the row: a job of the account proves it."""
    change = intent(row.seq, track_id, row.attempt + 1)
    return evolve(change, note=f"{ELSEWHERE}, track_id {track_id}", sends=False)


def not_sent(row: int, note: str) -> Change:
    """There is proof that no job exists: nothing was sent, or the API refused temporarily."""
    return Change(row, _S.PLANNED, {}, (), message(note), frozenset({_S.SUBMITTING}))


def accepted(row: int, job_id: str, handle: str) -> Change:
    """The API accepted the job, as its reply or the reconciliation says."""
    values = {**_NO_ERROR, "job_id": job_id, "handle": handle}
    from_states = frozenset({_S.SUBMITTING, _S.AMBIGUOUS})
    return Change(
        row, _S.SUBMITTED, values, ("accepted_at",), f"job {job_id}", from_states, paid=True
    )


def finished_at_once(
    row: int, job_id: str | None, handle: str, generation_time: float | None = None
) -> Change:
    """The reply to the submit was the finished job; it may have no id."""
    values = {"job_id": job_id, "handle": handle, "generation_time": generation_time}
    stamps = ("accepted_at", "finished_at")
    note = f"job {job_id} finished at once" if job_id else "finished at once, without an id"
    return Change(row, _S.READY, values, stamps, note, frozenset({_S.SUBMITTING}), paid=True)


def rejected(row: int, kind: str, error: str) -> Change:
    """The API refused the request for good; there is no job."""
    return _ended(row, _S.REJECTED, kind, error)


def ambiguous(row: int, note: str) -> Change:
    """A submit was sent, and its outcome is unknown."""
    values: dict[str, Storable] = {"error_kind": "SubmitUnknown", "error": message(note)}
    return Change(row, _S.AMBIGUOUS, values, (), message(note))


def ready(
    row: int, handle: str, *, generation_time: float | None = None, polls: int | None = None
) -> Change:
    """The job has finished; ``handle`` holds its links. Also: retry the download of a lost file.

    ``None`` leaves a value unchanged.
    """
    given = _given(generation_time=generation_time, polls=polls)
    values: dict[str, Storable] = {**_NO_ERROR, "handle": handle, **given}
    from_states = frozenset({_S.SUBMITTED, _S.DETACHED, _S.OUTPUT_LOST})
    return Change(row, _S.READY, values, ("finished_at",), "", from_states)


def done(
    row: int,
    path: str,
    *,
    sha256: str,
    size: int,
    seconds: float | None,
    integrity: str,
    source_sha256: str | None = None,
    **sound: Storable,
) -> Change:
    """The file and its directory are synced; ``sound`` is what was measured of its sound."""
    file: dict[str, Storable] = {"path": path, "sha256": sha256, "size": size}
    values: dict[str, Storable] = {**file, "seconds": seconds, "integrity": integrity, **sound}
    values["source_sha256"] = source_sha256 or sha256
    return Change(row, _S.DONE, values, ("done_at",), path)


def same_sound(change: Change, other: int | None) -> Change:
    """The row's samples are those of another row: the API gave one sound to two jobs."""
    flags = str(change.values.get("flags") or "").split()
    if other is None or Flag.SILENT in flags:  # silence of one length is always the same
        return change
    flags.append(f"{Flag.SAME_AS.value}:{other}")
    return evolve(change, values={**change.values, "flags": " ".join(flags)})


def redownload(row: int, note: str) -> Change:
    """The file of a done row is missing or changed; its job exists, and is paid for.

    The values of the file are kept: if it is put back meanwhile, it is used. So is ``done_at``,
    which distinguishes such a row from one that never had a file.
    """
    return Change(row, _S.READY, {}, (), message(note), frozenset({_S.DONE}))


def failed(row: int, kind: str, error: str, *, polls: int | None = None) -> Change:
    """The server reported that the job failed."""
    change = _ended(row, _S.FAILED, kind, error)
    return evolve(change, values={**change.values, **_given(polls=polls)})


def detached(row: int, note: str, *, polls: int | None = None) -> Change:
    """Polling was stopped; the job may continue."""
    return Change(row, _S.DETACHED, _given(polls=polls), (), message(note))


def reattached(row: int, note: str) -> Change:
    """The job is polled again, after a stop or for fresh links."""
    return Change(row, _S.SUBMITTED, {}, (), message(note), frozenset({_S.DETACHED, _S.READY}))


def output_lost(row: int, kind: str, error: str) -> Change:
    """Finished and paid for, but no link leads to a file."""
    values: dict[str, Storable] = {"error_kind": kind, "error": message(error)}
    return Change(row, _S.OUTPUT_LOST, values, (), message(error))


def abandoned(row: int, note: str) -> Change:
    """An operator gives up looking for its job."""
    return Change(row, _S.ABANDONED, {}, (), message(note))


def replanned(row: Row, note: str) -> Change:
    """The row gets a new job on request; the ids of the old one stay in the history."""
    before = f"was job {row.job_id or 'unknown'} with track_id {row.track_id or 'unknown'}"
    from_states = frozenset({_S.REJECTED, _S.FAILED, _S.AMBIGUOUS})
    # If the old job's file is put back, it must not be mistaken for that of the new one.
    values = {**_NO_JOB, **_NO_FILE}
    return Change(row.seq, _S.PLANNED, values, (), message(f"{note}; {before}"), from_states)


def retaken(row: Row, note: str) -> Change:
    """A done row gets a new job because of its sound, on request; its file stays where it is.

    ``done_at`` is kept: so the new file gets a name beside the old one.
    """
    before = f"was job {row.job_id or 'unknown'}, whose file is {row.path}"
    values = {**_NO_JOB, **dict.fromkeys(FILE_COLUMNS)}
    text = message(f"{note}; {before}")
    return Change(row.seq, _S.PLANNED, values, (), text, frozenset({_S.DONE}))


def skipped(row: int, note: str, *, kind: str = "Skipped") -> Change:
    """A row that was not submitted is no longer wanted."""
    values: dict[str, Storable] = {"error_kind": kind, "error": message(note)}
    return Change(row, _S.SKIPPED, values, (), message(note))


def held(row: Row) -> list[Change]:
    """The transitions to a row that stays skipped, whatever its manifest says.

    Raises:
        LedgerError: it was submitted.
    """
    _check_unsent(row)
    if row.error_kind == HELD:
        return []
    back = [wanted_again(row.seq, "to be skipped by hand")] if row.state is _S.SKIPPED else []
    return [*back, skipped(row.seq, "skipped by hand", kind=HELD)]


def unheld(row: Row) -> list[Change]:
    """The transitions to a row that is submitted after all.

    Raises:
        LedgerError: it was submitted.
    """
    _check_unsent(row)
    return [wanted_again(row.seq, "skipped no more")] if row.state is _S.SKIPPED else []


def _check_unsent(row: Row) -> None:
    if row.state not in UNSENT:
        raise LedgerError(
            f"row {row.id} is {row.state}: only rows that were not sent yet can be skipped; "
            "nothing was changed"
        )


def wanted_again(row: int, note: str) -> Change:
    """A skipped row is to be submitted after all."""
    return Change(row, _S.PLANNED, _NO_ERROR, (), message(note), frozenset({_S.SKIPPED}))


def recovered(row: int) -> Change:
    """A process died between the intent and the answer."""
    return ambiguous(row, "found at start-up: the process ended before the answer was written")


def duplicate_job_id(change: Change, row: Row, holder: Row) -> Change:
    """The API returned one job id to two submits: the second row becomes AMBIGUOUS.

    Raises:
        LedgerError: the row is being reconciled, with the job of another row.
    """
    what = f"job {change.job_id}, which row {holder.id} has already"
    if row.state is not _S.SUBMITTING:
        raise LedgerError(f"row {row.id} cannot have {what}; it stays {row.state}")
    return ambiguous(change.row, f"the API gave it {what}")


def to_fields(change: Change) -> dict[str, Any]:
    """A paid change, as JSON values; `from_fields` reads it."""
    return {"row": change.row, "to": change.to.value, "values": dict(change.values)}


def from_fields(data: Mapping[str, Any]) -> Change:
    """The paid change that `to_fields` has written.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is not one.
    """
    values = data["values"]
    if RowState(data["to"]) is _S.SUBMITTED:
        change = accepted(int(data["row"]), values["job_id"], values["handle"])
    else:
        timing = values["generation_time"]
        change = finished_at_once(int(data["row"]), values["job_id"], values["handle"], timing)
    return evolve(change, note=f"{change.note} (from the rescue file)")


def _ended(row: int, to: RowState, kind: str, error: str) -> Change:
    values: dict[str, Storable] = {"error_kind": kind, "error": message(error)}
    return Change(row, to, values, ("finished_at",), message(error))


def _given(**values: Storable) -> dict[str, Storable]:
    return {name: value for name, value in values.items() if value is not None}
