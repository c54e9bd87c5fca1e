"""Decide which transitions a row of a batch may make. Nothing here reads a clock or does I/O.

::

    planned -> submitting -> submitted -> ready -> done -> ready (its file is missing; on request)
                  |              |          |        '---> planned (on request: a new job)
                  |              |          |-> output_lost -> ready (on request)
                  |              |          '-> submitted (fresh links asked for)
                  |              |-> failed -> planned (on request: a new job)
                  |              '-> detached -> submitted | ready | failed | abandoned
                  |-> planned (proof that no job exists) <-> skipped (dropped or by hand)
                  |-> ready (finished at once)
                  |-> rejected -> planned (on request)
                  '-> ambiguous -> submitted | planned (an operator pays again) | abandoned

Rule 0: a row leaves SUBMITTING for PLANNED only with proof that no job exists. The absence of an
answer is not proof.
"""

from __future__ import annotations

import enum
from typing import Final

from ..errors import LedgerError


class RowState(enum.StrEnum):
    """The state of one row of a batch."""

    PLANNED = "planned"
    """Not submitted; nothing is paid."""
    SUBMITTING = "submitting"
    """The intent is on disk; from now on a job may exist."""
    SUBMITTED = "submitted"
    """The API accepted the job and returned its id; it is paid for."""
    READY = "ready"
    """The job has finished; its file is not on disk yet."""
    DONE = "done"
    """The complete file was saved. It may be missing or changed since: see `verify_batch`."""
    REJECTED = "rejected"
    """The API refused the request; there is no job."""
    AMBIGUOUS = "ambiguous"
    """A job may exist and be paid for; it is never submitted again automatically."""
    FAILED = "failed"
    """The server reported that the job failed."""
    DETACHED = "detached"
    """Polling was stopped; the job may continue."""
    OUTPUT_LOST = "output_lost"
    """Finished and paid for, but no link leads to a file."""
    ABANDONED = "abandoned"
    """An operator gave up looking for its job."""
    SKIPPED = "skipped"
    """Not submitted, and not wanted: the manifest dropped it, or `Ledger.skip` was called."""


_S = RowState

EDGES: Final[dict[RowState, frozenset[RowState]]] = {
    _S.PLANNED: frozenset({_S.SUBMITTING, _S.SKIPPED}),
    _S.SKIPPED: frozenset({_S.PLANNED}),
    _S.SUBMITTING: frozenset({_S.PLANNED, _S.SUBMITTED, _S.READY, _S.REJECTED, _S.AMBIGUOUS}),
    _S.SUBMITTED: frozenset({_S.READY, _S.FAILED, _S.DETACHED}),
    _S.READY: frozenset({_S.DONE, _S.OUTPUT_LOST, _S.SUBMITTED}),
    _S.DONE: frozenset({_S.READY, _S.PLANNED}),
    _S.REJECTED: frozenset({_S.PLANNED}),
    _S.AMBIGUOUS: frozenset({_S.SUBMITTED, _S.PLANNED, _S.ABANDONED}),
    _S.FAILED: frozenset({_S.PLANNED}),
    _S.DETACHED: frozenset({_S.SUBMITTED, _S.READY, _S.FAILED, _S.ABANDONED}),
    _S.OUTPUT_LOST: frozenset({_S.READY}),
    _S.ABANDONED: frozenset(),
}

_SETTLED: Final = frozenset(
    {_S.DONE, _S.REJECTED, _S.FAILED, _S.OUTPUT_LOST, _S.ABANDONED, _S.SKIPPED},
)


UNSENT: Final = frozenset({_S.PLANNED, _S.SKIPPED})
"""Rows that follow their manifest: nothing has been sent or paid for them."""


def check(old: RowState, new: RowState, row: object) -> None:
    """Check a transition against the table.

    Raises:
        LedgerError: the table has no edge from ``old`` to ``new``. It is a bug of the caller.
    """
    if new not in EDGES[old]:
        raise LedgerError(f"invalid transition {old} -> {new} for row {row}; nothing was written")


def settled(state: RowState) -> bool:
    """Whether a normal run has nothing left to do for such a row.

    An AMBIGUOUS row is not settled: a run tries to find its job.
    """
    return state in _SETTLED
