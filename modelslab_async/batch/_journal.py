"""Record one row's submit in the ledger: the intent before it is sent, the answer on arrival.

This is the only place that decides what an answer means for the row.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import assert_never

from attrs import define

from .._engine.job import Job, JobStatus
from .._engine.prepare import Submission
from .._engine.submit import SubmitResult
from .._policy.submit import Busy, NotSent, Rejected, Unknown
from .._protocol.replies import Failed, Failure, Refusal, Refused
from .._text import decimal_text
from ..errors import ModelsLabError
from . import _transitions as changes
from ._ledger import Ledger
from ._rows import Row
from ._states import RowState


class BatchOver(ModelsLabError):
    """The batch submits no more rows; this one stays planned."""


class OnHold(ModelsLabError):
    """No files arrive, so this row is not paid for yet; it stays planned."""


class SetAside(ModelsLabError):
    """This row is refused while others are accepted, so they go first; it stays planned."""


@define
class Journal:
    """The journal of one row while it is being submitted.

    Attributes:
        row: as of the last write.

    Raises:
        ModelsLabError: from `intent`, why this attempt is not made: nothing is written or sent.
        LedgerError: the ledger cannot be written.
    """

    _ledger: Ledger
    row: Row
    _cost: Decimal | None
    _refuses: Callable[[int], ModelsLabError | None]

    async def intent(self, submission: Submission, attempt: int) -> None:
        reason = self._refuses(attempt)  # it may have become true while the row waited for a slot
        if reason is not None:
            raise reason
        number = self.row.attempt + 1
        cost = None if self._cost is None else decimal_text(self._cost)
        change = changes.intent(self.row.seq, submission.track_id, number, cost)
        self.row = await self._ledger.write(change)

    async def answer(self, answer: SubmitResult) -> SubmitResult:
        if isinstance(answer, Job) and self.row.state is RowState.AMBIGUOUS:  # reconciled since
            change = changes.accepted(self.row.seq, answer.id, answer.to_json())
        else:
            change = _change_of(self.row.seq, answer)
        self.row = await self._ledger.write(change)
        if change.paid and self.row.state is RowState.AMBIGUOUS:
            return Unknown("the API gave it the job of another row", str(change.values["job_id"]))
        return answer


def _change_of(row: int, answer: SubmitResult) -> changes.Change:
    """A refusal that concerns the account or the URL, not the row, leaves the row planned."""
    match answer:
        case Job(status=JobStatus.SUCCESS):
            return changes.finished_at_once(row, answer.id or None, answer.to_json())
        case Job():
            return changes.accepted(row, answer.id, answer.to_json())
        case NotSent(reason=reason):
            return changes.not_sent(row, reason)
        case Busy(reply) | Rejected(
            Refused(reason=Refusal.KEY | Refusal.CREDITS | Refusal.PLAN)
            | Failed(reason=Failure.NO_ROUTE) as reply
        ):
            return changes.not_sent(row, reply.message)
        case Rejected(reply):
            return changes.rejected(row, "BadRequest", reply.message)
        case Unknown(reason=reason):
            return changes.ambiguous(row, reason)
    assert_never(answer)
