"""Decide which steps a row of a batch may take. Nothing here waits, reads a clock or does I/O.

::

    planned -> submitting -> submitted -> ready -> done -> ready (its file is missing; on request)
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
    """Where one row of a batch stands."""

    PLANNED = "planned"
    """Known, and not sent: nothing is paid."""
    SUBMITTING = "submitting"
    """The intent is on disk: from now on a job may exist."""
    SUBMITTED = "submitted"
    """The API accepted it and gave an id: it is paid for."""
    READY = "ready"
    """The job is finished; its file is not on disk yet."""
    DONE = "done"
    """The file was put on disk, whole. It may be missing or changed since: see `verify_batch`."""
    REJECTED = "rejected"
    """The API said no; there is no job."""
    AMBIGUOUS = "ambiguous"
    """A job may exist and may be paid for; it is never sent again by itself."""
    FAILED = "failed"
    """The server says that the job failed."""
    DETACHED = "detached"
    """We stopped asking; the job may go on."""
    OUTPUT_LOST = "output_lost"
    """Finished and paid for, and no link leads to a file."""
    ABANDONED = "abandoned"
    """An operator gave up finding out what became of it."""
    SKIPPED = "skipped"
    """It was not sent, and is not generated: its manifest no longer holds it, or `Ledger.skip`."""


_S = RowState

EDGES: Final[dict[RowState, frozenset[RowState]]] = {
    _S.PLANNED: frozenset({_S.SUBMITTING, _S.SKIPPED}),
    _S.SKIPPED: frozenset({_S.PLANNED}),
    _S.SUBMITTING: frozenset({_S.PLANNED, _S.SUBMITTED, _S.READY, _S.REJECTED, _S.AMBIGUOUS}),
    _S.SUBMITTED: frozenset({_S.READY, _S.FAILED, _S.DETACHED}),
    _S.READY: frozenset({_S.DONE, _S.OUTPUT_LOST, _S.SUBMITTED}),
    _S.DONE: frozenset({_S.READY}),
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
"""Rows that follow their manifest: nothing is on its way for them, and nothing is paid."""


def check(old: RowState, new: RowState, row: object) -> None:
    """Let a legal step pass.

    Raises:
        LedgerError: the table has no edge from ``old`` to ``new``. It is a bug of the caller.
    """
    if new not in EDGES[old]:
        raise LedgerError(f"row {row} is {old} and cannot become {new}; nothing was written")


def settled(state: RowState) -> bool:
    """Whether a normal run has nothing left to do for such a row.

    An AMBIGUOUS row is not settled: a normal run tries to find out what became of it.
    """
    return state in _SETTLED
