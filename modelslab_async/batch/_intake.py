"""Turn the requests of a batch into rows for its ledger, each checked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from ..errors import RequestError
from ._lines import BadRow
from ._manifest import MAX_REPORTED, Report, RequestLike, from_requests, from_sequence
from ._records import Row
from ._rows import PlannedRow

CHUNK: Final = 500
"""Rows that are planned at once where there may be no end to them."""


def to_plan(row: Row) -> PlannedRow:
    """What the ledger keeps of a row."""
    return PlannedRow(row.id, row.given(), row.payload_hash, row.request.title)


async def chunks(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[list[Row], None]:
    """Rows by the hundred, or as they come, each checked; the first that is bad ends them.

    Raises:
        RequestError: one is bad.
    """
    size = 1 if isinstance(requests, AsyncIterable) else CHUNK  # the next may be an hour away
    chunk: list[Row] = []
    async with aclosing(from_requests(requests)) as rows:
        async for row in rows:
            if isinstance(row, BadRow):
                raise RequestError(f"{row}; nothing more was submitted")
            chunk.append(row)
            if len(chunk) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def plan_of(requests: Sequence[RequestLike]) -> Iterator[PlannedRow]:
    """Rows of requests that are all at hand, for a plan that is kept whole or not at all. Blocking.

    Raises:
        RequestError: at the end, about all that cannot be used.
    """
    bad: list[BadRow] = []
    for row in from_sequence(requests):
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            yield to_plan(row)
    if bad:
        report = Report(len(requests), tuple(bad[:MAX_REPORTED]), len(bad), ())
        raise RequestError(f"{report}\nnothing was sent")
