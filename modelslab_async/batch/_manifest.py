"""Read a batch's rows, from a file or from Python, one by one and in constant memory.

A manifest is UTF-8, or UTF-16 with its mark, in one of three formats, told apart by its first line
that is no comment. Lines end in LF, CR LF or CR.

* text: a prompt a line, without the blanks around it. A line that begins with ``#`` is a comment;
  a prompt that begins so is written ``\\#``.
* JSONL: an object a line, with the fields of a request by their names; comments as in text.
* CSV: a header, and a column a field; comma, semicolon, tab or bar, or what a first line such as
  ``sep=;`` says. An empty cell leaves a field unset, and an empty row is none. Comments stand
  before the header alone: below it, ``#`` may begin a prompt.

Four more fields are known: ``id``, a row's own stable key; ``endpoint``, such as ``sfx``, for
another request than music; ``init_audio_file``, a clip beside the manifest; ``unchecked``, to send
values beyond the documented bounds. All others are handed through to the results.

Read the `snapshot` of a manifest twice: with `check_manifest` to the end before anything is
planned, and then to plan. A clip may change between the two, so the second reading may still come
upon a `BadRow`.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
    Mapping,
)
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from attrs import frozen

from .._engine.aio import in_thread
from .._protocol.wire_json import is_small
from .._text import shown
from ..endpoints import Request
from ..endpoints.base import is_light
from ..errors import ConfigurationError
from ._lines import CHUNK, BadRow, Given
from ._records import Row, Rows
from ._sources import Format, Reading, read_given
from ._strict import FILES

__all__ = [
    "BadRow",
    "Format",
    "Reading",
    "Report",
    "Row",
    "check_manifest",
    "from_requests",
    "from_sequence",
    "read_manifest",
    "snapshot",
]

MAX_REPORTED: Final = 1000
"""Bad rows that a report shows; further ones are counted."""

MAX_COPY: Final = 1024 * 1024 * 1024
"""Bytes that are taken from a pipe, which may have no end."""

_MAX_NAMES: Final = 100
_IN_MEMORY: Final = 16 * 1024 * 1024


@frozen
class Report:
    """What a manifest holds.

    Attributes:
        rows: how many rows there are, good and bad.
        bad: the bad ones, the first 1,000 of them.
        bad_rows: how many bad ones there are.
        unknown: names of fields that are not ours, the first 100: handed through, or misspelt.
    """

    rows: int
    bad: tuple[BadRow, ...]
    bad_rows: int
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        unseen = self.bad_rows - len(self.bad)
        return "\n".join(
            [
                f"{self.bad_rows} of {self.rows} rows cannot be used",
                *map(str, self.bad),
                *([f"and {unseen} more"] if unseen else []),
            ]
        )


def read_manifest(
    file: BinaryIO,
    format: Format | None = None,  # noqa: A002 - the word of the command line
    *,
    folder: Path | None = None,
    reading: Reading | None = None,
) -> Iterator[Row | BadRow]:
    """The rows of a manifest, good and bad, in its order.

    Args:
        file: from where it stands to its end; not closed.
        format: ``text``, ``jsonl`` or ``csv``; ``None`` finds out.
        folder: the manifest's directory, for ``init_audio_file``; ``None`` is the current one.
        reading: is filled in while rows are read: the format, and what is no row.

    Raises:
        OSError: the file cannot be read.
        ConfigurationError: there is no room for temporary files.
    """
    with Rows(folder or Path()) as rows:
        for given in read_given(file, format, reading):
            yield given if isinstance(given, BadRow) else rows.make(given)


def check_manifest(rows: Iterable[Row | BadRow]) -> Report:
    """Go through all rows, and say what is wrong with which."""
    count = bad_rows = 0
    bad = list[BadRow]()
    unknown = dict[str, None]()
    for row in rows:
        count += 1
        if isinstance(row, BadRow):
            bad_rows += 1
            bad += [row] if len(bad) < MAX_REPORTED else []
        elif len(unknown) < _MAX_NAMES:
            unknown.update(dict.fromkeys(row.fields))
    return Report(count, tuple(bad), bad_rows, tuple(unknown)[:_MAX_NAMES])


def snapshot(file: BinaryIO) -> BinaryIO:
    """A file's content as it is now, to be read twice, whatever becomes of the file meanwhile.

    Close what you get; it then disappears.

    Raises:
        OSError: the file cannot be read, a pipe has no end, or there is no room for a large copy.
    """
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        while chunk := file.read(CHUNK):
            copy.write(chunk)
            if copy.tell() > MAX_COPY and not file.seekable():
                raise OSError(errno.EFBIG, "over 1 GiB came, and no end of it")
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return cast("BinaryIO", copy)


RequestLike = Request | Mapping[str, Any] | str


def from_requests(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[Row | BadRow, None]:
    """The rows of requests from Python, in their order; it may go on for ever.

    Args:
        requests: each a request such as `MusicGen`, a mapping of fields as in a JSONL manifest,
            or a prompt.

    Raises:
        ConfigurationError: it is one request and not many, or there is no room for temporary files.
    """
    _check_many(requests)
    return _from_requests(requests)


def from_sequence(requests: Iterable[RequestLike]) -> Iterator[Row | BadRow]:
    """The same of requests that are at hand, for a thread: clips are read where this runs.

    Raises:
        ConfigurationError: as `from_requests`.
    """
    _check_many(requests)
    with Rows(Path()) as rows:
        for number, request in enumerate(requests, 1):
            yield _row(rows, request, number)


def _check_many(requests: object) -> None:
    if isinstance(requests, str | bytes | Mapping):
        raise ConfigurationError(
            f"a batch takes many requests, but this is one {type(requests).__name__}; "
            "put it into a list"
        )


async def _from_requests(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncGenerator[Row | BadRow, None]:
    number = 0
    with Rows(Path()) as rows:
        async for request in _each(requests):
            number += 1
            if _is_light(request):
                yield _row(rows, request, number)
            else:
                yield await in_thread(partial(_row, rows, request, number))


async def _each(
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike],
) -> AsyncIterator[RequestLike]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _is_light(request: object) -> bool:
    """Whether no file may have to be read, and no megabytes to be hashed."""
    if isinstance(request, Mapping):
        names_file = not FILES.keys().isdisjoint(request) or any(
            isinstance(request.get(name), Path | bytes) for name in FILES.values()
        )
        return not names_file and is_small([*request, *request.values()])
    return not isinstance(request, Request) or is_light(request)


def _row(rows: Rows, request: object, number: int) -> Row | BadRow:
    where = f"request {number}"
    match request:
        case Request():
            return rows.wrap(request, where)
        case str():
            return rows.make(Given(where, None, {"prompt": request}))
        case Mapping():
            return rows.make(Given(where, None, dict(request)))
    return BadRow(where, None, f"is {shown(request)}, but must be a request, a mapping or text")
