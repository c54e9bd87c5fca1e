"""Turn requests from Python into checked rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from .._protocol.wire_json import is_small
from .._text import shown
from ..endpoints import Request
from ..endpoints.base import is_light
from ..errors import ConfigurationError, RequestError
from ._combinations import TAKES
from ._fields import FILES
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
            take = partial(_usable, rows)
            # A thread for each request of a stream would cost ten times as much as its row.
            is_quick = len(portion) == 1 and _is_quick(portion[0])
            while chunk := take() if is_quick else await in_thread(take):
                yield chunk
                if len(chunk) < CHUNK:
                    break


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


def _is_quick(request: object) -> bool:
    """Whether a row needs no file to be read, and no megabytes to be hashed."""
    if isinstance(request, Mapping):
        names_file = not FILES.keys().isdisjoint(request) or any(
            isinstance(request.get(name), Path | bytes) for name in FILES.values()
        )
        return not names_file and TAKES not in request and is_small([*request, *request.values()])
    return is_light(request) if isinstance(request, Request) else is_small([request])


def _usable(rows: Iterable[NewRow | BadRow]) -> list[NewRow]:
    """The next rows."""
    usable = []
    for row in islice(rows, CHUNK):
        if isinstance(row, BadRow):
            raise RequestError(f"{row}; nothing more was submitted")
        usable.append(row)
    return usable
