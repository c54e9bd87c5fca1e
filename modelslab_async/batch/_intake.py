"""Turn requests from Python into checked rows, and rows into what the ledger plans."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from .._protocol.wire_json import is_small
from .._text import shown
from ..endpoints import Request
from ..endpoints.base import is_light, routed
from ..errors import ConfigurationError, RequestError
from ._combinations import TAKES, taken
from ._fields import FILES
from ._lines import BadRow
from ._manifest import Report
from ._records import NewRow, RowMaker
from ._rows import PlannedRow

CHUNK: Final = 500
"""Rows that are planned together when the requests may never end."""

RequestLike = Request | Mapping[str, Any] | str
"""A request such as `MusicGen`, a mapping of fields as in a JSONL manifest, or a prompt."""


def to_plan(row: NewRow, *, enterprise: bool = False) -> PlannedRow:
    """What the ledger keeps of a row.

    From here on the row says itself whether it goes to an enterprise twin. Its id and hash say
    nothing of that preference: another one makes no new row, which would be paid for again.
    """
    record = evolve(row, request=routed(row.request, enterprise=enterprise)).to_record()
    return PlannedRow(row.id, record, row.payload_hash, row.request.title)


def from_requests(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[NewRow | BadRow, None]:
    """The rows of requests, in order, which may never end.

    Raises:
        ConfigurationError: it is one request instead of many.
    """
    _check_many(requests)

    async def rows() -> AsyncGenerator[NewRow | BadRow, None]:
        from .._engine.aio import in_thread  # a dry run needs no event loop

        maker, number = RowMaker(Path(), "request"), 0
        async for request in _each(requests):
            number += 1
            for row in _takes(maker, number, request):
                if isinstance(row, BadRow):
                    yield row
                elif _is_quick(row):
                    yield _row(maker, number, row)
                else:
                    yield await in_thread(partial(_row, maker, number, row))

    return rows()


def from_sequence(requests: Iterable[RequestLike]) -> Iterator[NewRow | BadRow]:
    """The same without an event loop. Blocking: it reads clips.

    Raises:
        ConfigurationError: as `from_requests`.
    """
    _check_many(requests)
    maker = RowMaker(Path(), "request")
    for number, request in enumerate(requests, 1):
        for row in _takes(maker, number, request):
            yield row if isinstance(row, BadRow) else _row(maker, number, row)


async def chunks(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[list[NewRow], None]:
    """The rows of requests, several at a time; the first bad one ends them.

    Raises:
        RequestError: one is bad.
    """
    size = 1 if isinstance(requests, AsyncIterable) else CHUNK  # the next may be an hour away
    chunk: list[NewRow] = []
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


def plan_of(requests: Sequence[RequestLike], *, enterprise: bool = False) -> Iterator[PlannedRow]:
    """The rows of a finite list, for a plan that is committed completely or not at all. Blocking.

    Raises:
        RequestError: at the end, about all that cannot be used.
    """
    report = Report()
    for row in from_sequence(requests):
        report.add(row)
        if isinstance(row, NewRow):
            yield to_plan(row, enterprise=enterprise)
    if report.bad_rows:
        raise RequestError(f"{report}\nnothing was sent")


def _check_many(requests: object) -> None:
    if isinstance(requests, str | bytes | Mapping):
        raise ConfigurationError(
            f"a batch takes many requests, but this is one {type(requests).__name__}; "
            "put it into a list"
        )


async def _each(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[RequestLike, None]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _is_quick(request: object) -> bool:
    """Whether a row needs no file to be read, and no megabytes to be hashed."""
    if isinstance(request, Mapping):
        names_file = not FILES.keys().isdisjoint(request) or any(
            isinstance(request.get(name), Path | bytes) for name in FILES.values()
        )
        return not names_file and is_small([*request, *request.values()])
    return not isinstance(request, Request) or is_light(request)


def _takes(maker: RowMaker, number: int, request: object) -> Iterator[object]:
    """A request as often as its field ``takes`` says; a `BadRow` if that says nothing."""
    if not isinstance(request, Mapping) or TAKES not in request:
        yield request
        return
    try:
        yield from taken(request)
    except RequestError as error:
        yield maker.bad(number, str(error))


def _row(maker: RowMaker, number: int, request: object) -> NewRow | BadRow:
    match request:
        case Request():
            return maker.wrap(number, request)
        case str():
            return maker.make(number, {"prompt": request})
        case Mapping():
            return maker.make(number, request)
    return maker.bad(number, f"is {shown(request)}, but must be a request, a mapping or text")
