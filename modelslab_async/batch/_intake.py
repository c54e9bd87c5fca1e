"""Turn requests from Python into checked rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from .._text import shown
from ..endpoints import Request
from ..errors import ConfigurationError, RequestError
from ._lines import BadRow
from ._manifest import Reading
from ._records import NewRow, RowMaker
from ._rows import PlannedRow

CHUNK: Final = 500
"""Rows that are planned together when the requests may never end."""

RequestLike = Request | Mapping[str, Any] | str
"""A request such as `MusicGen`, a mapping of fields as in a JSONL manifest, or a prompt."""


def rows_of(
    requests: Iterable[RequestLike], maker: RowMaker | None = None, first: int = 1
) -> Iterator[NewRow | BadRow]:
    """The rows of requests, in order. Blocking: it reads clips.

    Args:
        requests: numbered from ``first``.
        maker: that of the requests before them.

    Raises:
        ConfigurationError: it is one request instead of many.
    """
    _check_many(requests)
    maker = maker or RowMaker(Path(), "request")
    for number, request in enumerate(requests, first):
        match request:
            case Request():
                yield maker.wrap(number, request)
            case str():
                yield maker.make(number, {"prompt": request})
            case Mapping():
                yield from maker.takes(number, request)
            case _:
                reason = f"is {shown(request)}, but must be a request, a mapping or text"
                yield maker.bad(number, reason)


def plan_of(requests: Sequence[RequestLike], *, enterprise: bool = False) -> Iterator[PlannedRow]:
    """The rows of a finite list, for a plan that is committed completely or not at all. Blocking.

    Raises:
        RequestError: at the end, about all that cannot be used.
        ConfigurationError: as `rows_of`.
    """
    reading = Reading()
    for row in rows_of(requests):
        reading.add(row)
        if isinstance(row, NewRow):
            yield row.planned(enterprise=enterprise)
    if reading.bad_rows:
        raise RequestError(f"{reading.faults()}\nnothing was sent")


async def chunks(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[list[NewRow], None]:
    """The rows of requests that may never end, several at a time; the first bad one ends them.

    Raises:
        RequestError: one is bad.
        ConfigurationError: as `rows_of`.
    """
    from .._engine.aio import in_thread  # a dry run needs no event loop

    _check_many(requests)
    maker, first = RowMaker(Path(), "request"), 1
    async with aclosing(_portions(requests)) as portions:
        async for portion in portions:
            rows = rows_of(portion, maker, first)
            first += len(portion)
            # Clips are read, and megabytes are hashed.
            while chunk := await in_thread(partial(_usable, islice(rows, CHUNK))):
                yield chunk


def _check_many(requests: object) -> None:
    if isinstance(requests, str | bytes | Mapping):
        raise ConfigurationError(
            f"a batch takes many requests, but this is one {type(requests).__name__}; "
            "put it into a list"
        )


async def _portions(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[list[RequestLike], None]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield [request]  # the next may be an hour away
    else:
        rest = iter(requests)
        while portion := list(islice(rest, CHUNK)):
            yield portion


def _usable(rows: Iterable[NewRow | BadRow]) -> list[NewRow]:
    usable = []
    for row in rows:
        if isinstance(row, BadRow):
            raise RequestError(f"{row}; nothing more was submitted")
        usable.append(row)
    return usable
