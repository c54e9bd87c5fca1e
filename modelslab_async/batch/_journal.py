"""Write down one row's submit: the intent before it leaves, the answer before it is told.

What an answer means to the row is decided here, once. Only the ledger is written to.
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
    """The batch submits nothing more: this row stays planned."""


class OnHold(ModelsLabError):
    """No file arrives: this row is not paid for yet, and stays planned."""


class SetAside(ModelsLabError):
    """This row is refused while others are accepted: it lets them go first, and stays planned."""


@define
class Journal:
    """Of one row, for as long as it tries to be submitted.

    Attributes:
        row: as it is after what was written last.

    Raises:
        ModelsLabError: from `intent`, what its owner has against an attempt: nothing was written,
            nothing leaves.
        LedgerError: it cannot be written.
    """

    _ledger: Ledger
    row: Row
    _cost: Decimal | None
    _refuses: Callable[[int], ModelsLabError | None]

    async def intent(self, submission: Submission, attempt: int) -> None:
        reason = self._refuses(attempt)  # since this row began to wait for its slot
        if reason is not None:
            raise reason
        number = self.row.attempt + 1
        cost = None if self._cost is None else decimal_text(self._cost)
        change = changes.intent(self.row.seq, submission.track_id, number, cost)
        self.row = await self._ledger.write(change)

    async def answer(self, answer: SubmitResult) -> SubmitResult:
        if isinstance(answer, Job) and self.row.state is RowState.AMBIGUOUS:  # found since
            change = changes.accepted(self.row.seq, answer.id, answer.to_json())
        else:
            change = _written(self.row.seq, answer)
        self.row = await self._ledger.write(change)
        if change.paid and self.row.state is RowState.AMBIGUOUS:
            return Unknown("the API gave it the job of another row", str(change.values["job_id"]))
        return answer


def _written(row: int, answer: SubmitResult) -> changes.Change:
    """A refusal that is about the account or the address, and not the row, leaves it planned."""
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
