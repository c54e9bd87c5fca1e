"""What stands before a payment: the price, the limits of the root, and a person's yes.

The quote of a call is made once; the question, the check of the limits and the run all use that
one. So what is paid for is never more than what was agreed to.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from .._text import decimal_text, duration_text, plural, safe_text
from ..batch import Budget, Manifest, Reader, RowState, holds_batch, plan_batch
from ._root import Root
from ._tracks import Track, rows_of

_NAMED: Final = 3
_NAME: Final = 60
_UNSENT: Final = (RowState.PLANNED, RowState.SKIPPED)
NOT_SENT: Final = "nothing was sent, and nothing is paid"


class Approval(BaseModel):
    """What a person answers. No argument of the tool: the model cannot answer it."""

    pay: bool = Field(description="Pay for these tracks?")


@frozen
class Quote:
    """What a call would pay for.

    Attributes:
        batch: its name.
        rows: all tracks of the call, as rows.
        titles: of those that are not paid for yet, as the model wrote them.
        jobs: how many these are.
        cost: of these; ``None``: not known.
        seconds: of their audio.
        template: how files are named.
    """

    batch: str
    rows: Sequence[dict[str, Any]]
    titles: Sequence[str]
    jobs: int
    cost: Decimal | None
    seconds: float
    template: str

    @property
    def ids(self) -> frozenset[str]:
        """The keys of all tracks."""
        return frozenset(row["id"] for row in self.rows)

    @property
    def question(self) -> str:
        """What the person is asked. What the model wrote comes last, in quotes, as one line."""
        cost = "unknown" if self.cost is None else decimal_text(self.cost)
        named = ", ".join(self.titles[:_NAMED])
        more = f" and {len(self.titles) - _NAMED} more" if len(self.titles) > _NAMED else ""
        return (
            f"Pay for {plural(self.jobs, 'new track')}, {duration_text(self.seconds)} of music? "
            f"Price: {cost}. Batch: {safe_text(self.batch, _NAME)}. The prompts: {named}{more}"
        )


def quote_of(root: Root, batch: str, tracks: Sequence[Track]) -> Quote:
    """What these tracks would cost now. Blocking; nothing is written.

    Raises:
        ToolError: the name of the batch, or a track, cannot be used.
        ModelsLabError: a value is out of bounds, or a track of that id was sent differently.
    """
    folder, rows = root.folder(batch), rows_of(tracks)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    manifest = Manifest(io.BytesIO(text.encode()), "jsonl", None)
    plan = plan_batch(folder, manifest, limits=root.prices)
    if plan.replaced or plan.corrected:
        raise ToolError(
            f"a track of such an id is planned in another form; {NOT_SENT}: give another id"
        )
    new = unsent(folder, [row["id"] for row in rows])
    titles = [_title(one) for one, row in zip(tracks, rows, strict=True) if row["id"] in new]
    seconds = float(plan.total.seconds)
    return Quote(batch, rows, titles, plan.jobs, plan.price, seconds, plan.template)


def _title(track: Track) -> str:
    take = f" (take {track.take})" if track.take > 1 else ""
    return json.dumps(safe_text(track.prompt, _NAME), ensure_ascii=False) + take


def unsent(folder: Path, ids: Iterable[str]) -> set[str]:
    """Those of these tracks that nobody has sent yet. Blocking."""
    if not holds_batch(folder):
        return set(ids)
    with Reader.open(folder) as reader:
        known = {row_id: reader.planned_as(row_id) for row_id in ids}
    return {row_id for row_id, one in known.items() if one is None or one.state in _UNSENT}


def check_budget(root: Root, quote: Quote, spent: Budget) -> None:
    """See that the limits of the root allow it.

    Args:
        root: with its limits.
        quote: what would be paid for.
        spent: what is spent, or promised to runs under way.

    Raises:
        ToolError: they do not.
    """
    if not quote.jobs:
        return
    limits = root.limits
    most = limits.max_jobs_total
    if most is not None and quote.jobs > most - spent.jobs:
        raise ToolError(
            f"over the limit: these are {plural(quote.jobs, 'new job')}, and of {most} there are "
            f"{max(most - spent.jobs, 0)} left; {NOT_SENT}. The person who runs this server can "
            "raise --max-jobs-total"
        )
    if limits.max_cost is None:
        return
    if quote.cost is None:
        raise ToolError(f"the price of these cannot be told, and the cost is limited; {NOT_SENT}")
    left = limits.max_cost - spent.cost
    if quote.cost > left:
        raise ToolError(
            f"over budget: these cost {decimal_text(quote.cost)}, and of "
            f"{decimal_text(limits.max_cost)} there is {decimal_text(max(left, Decimal(0)))} left; "
            f"{NOT_SENT}. The person who runs this server can raise --max-cost"
        )


class Unasked:
    """In place of an `Approval`: the call costs so little that nobody was asked."""


class Allowance:
    """What may be paid without a question, added up since the last yes.

    A limit for each call alone would be none: a model could split what it wants into many.

    Args:
        ask_above: that amount; ``None``: all, where nothing costs money.
    """

    def __init__(self, ask_above: Decimal | None) -> None:
        self._ask_above = ask_above
        self._used = Decimal(0)

    def needs_yes(self, quote: Quote) -> bool:
        """Whether a person has to agree."""
        if not quote.jobs or self._ask_above is None:
            return False
        return quote.cost is None or self._used + quote.cost > self._ask_above

    def use(self, quote: Quote, *, asked: bool) -> None:
        """Note that a quote is being paid for.

        Raises:
            ToolError: nobody was asked, and other calls have used up what needs no question.
        """
        if asked:
            self._used = Decimal(0)
        elif self.needs_yes(quote):
            raise ToolError(f"other calls were paid for meanwhile: call this again; {NOT_SENT}")
        else:
            self._used += quote.cost or 0

    def give_back(self, quote: Quote) -> None:
        """Note that a quote for which nobody was asked is not paid for after all."""
        self._used -= quote.cost or 0


def check_can_ask(context: Context[Any, Any], quote: Quote) -> None:
    """See that the client can ask its person.

    Raises:
        ToolError: it cannot, so nothing may be paid.
    """
    known = context.client_capabilities
    asks = known.elicitation if known is not None else None
    if asks is not None and (asks.form is not None or asks.url is None):
        return
    cost = "unknown" if quote.cost is None else decimal_text(quote.cost)
    raise ToolError(
        f"a person must agree to these ({plural(quote.jobs, 'new track')}, price {cost}), and this "
        f"client cannot ask one (it has no elicitation); {NOT_SENT}. The person who runs this "
        "server can allow more without a question, with --ask-above and a price"
    )
