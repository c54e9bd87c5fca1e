"""Read and write what listeners decide about the files of a batch: ``decisions.jsonl``. Blocking.

Each line is all that is decided about one file; the last line about a file wins. A decision belongs
to the bytes that were heard: once a row has another file, it no longer counts. Decisions are not
in the ledger, because that has one writer, and people listen while a run works on it.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen

from .._engine.filesystem import lock, sync_directory, sync_file
from .._text import shown
from ..errors import LedgerError, RequestError
from ._rows import Row
from ._sqlite.location import open_private

DECISIONS_NAME: Final = "decisions.jsonl"
MAX_STARS: Final = 5
MAX_NOTE: Final = 2000
_HEX: Final = frozenset("0123456789abcdef")


class Verdict(enum.StrEnum):
    """What is to become of a file."""

    KEPT = "kept"
    REJECTED = "rejected"


@frozen(kw_only=True)
class Decision:
    """What is decided about one file.

    Attributes:
        row: number of its row in the batch.
        id: the row's own stable key.
        sha256: of the file, in hex.
        verdict: what is to become of it; ``None``: nothing is decided.
        stars: from 1 to 5; ``None``: it has none.
        note: the listener's own text.
        at: when it was decided, in seconds since the epoch.
    """

    row: int
    id: str = ""
    sha256: str
    verdict: Verdict | None = None
    stars: int | None = None
    note: str = ""
    at: float = field(factory=time.time, eq=False)

    @classmethod
    def of(cls, data: object) -> Decision:
        """The decision that a line or a message describes. Unknown values are ignored.

        Raises:
            RequestError: it is none.
        """
        if not isinstance(data, Mapping):
            raise RequestError(f"{shown(data, 40)} is no decision: it must be an object")
        verdict, note = data.get("verdict"), data.get("note") or ""
        if verdict not in (None, *Verdict):
            raise _wrong("verdict", verdict, "kept, rejected or null")
        if not isinstance(note, str) or len(note) > MAX_NOTE:
            raise _wrong("note", note, f"text of at most {MAX_NOTE} characters")
        return cls(
            row=_number(data, "row", 1, 2**63 - 1),
            id=str(data.get("id") or "")[:200],
            sha256=_digest(data),
            verdict=None if verdict is None else Verdict(verdict),
            stars=None if data.get("stars") is None else _number(data, "stars", 1, MAX_STARS),
            note=note,
            at=_instant(data),
        )

    def __bool__(self) -> bool:
        """Whether anything is decided, and not only taken back."""
        return bool(self.verdict or self.stars or self.note)


class Decisions:
    """The decisions of some lines, the last about each file.

    Args:
        lines: of the file, each with its line end.

    Attributes:
        unreadable: the number of lines that are no decisions, and are ignored.
    """

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self.unreadable = 0
        self._last: dict[tuple[int, str], Decision] = {}
        for line in lines:
            try:
                self.add(Decision.of(json.loads(line)))
            except (ValueError, RecursionError):
                # A line without an end is being written, or its process was killed.
                self.unreadable += bool(line.strip()) and line.endswith(b"\n")

    def add(self, decision: Decision) -> None:
        """Let a decision replace earlier ones about the same file."""
        self._last[decision.row, decision.sha256] = decision

    def of(self, row: Row) -> Decision | None:
        """What is decided about the file that a row has now; ``None``: nothing."""
        return self._last.get((row.seq, row.sha256 or "")) or None

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._last.values())

    def __len__(self) -> int:
        return len(self._last)


def read_decisions(directory: Path) -> Decisions:
    """The decisions about the files of a batch; none if nobody has decided anything.

    Raises:
        LedgerError: the file cannot be read.
    """
    path = directory / DECISIONS_NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return Decisions(file)
    except FileNotFoundError:
        return Decisions()
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror}") from error


def write_decisions(directory: Path, decisions: Iterable[Decision]) -> None:
    """Append decisions, and return when they are on disk. Several processes may do so at once.

    Raises:
        LedgerError: they cannot be written; none of them is.
    """
    path = directory / DECISIONS_NAME
    text = "".join(json.dumps(asdict(one)) + "\n" for one in decisions).encode("ascii")
    fd = open_private(path)
    try:
        lock(fd, wait=True)
        end = os.fstat(fd).st_size
        if end and os.pread(fd, 1, end - 1) != b"\n":  # a writer was killed within its line
            text = b"\n" + text
        try:
            _write(fd, text, end)
            sync_file(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, end)
            raise
        if not end:
            sync_directory(directory)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        os.close(fd)


def _write(fd: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        data, at = data[written:], at + written


def _number(data: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = data.get(name)
    if type(value) is not int or not least <= value <= most:
        raise _wrong(name, value, f"a whole number from {least} to {most}")
    return value


def _digest(data: Mapping[str, Any]) -> str:
    value = data.get("sha256")
    if not isinstance(value, str) or len(value) != 64 or not _HEX.issuperset(value):
        raise _wrong("sha256", value, "64 hexadecimal digits")
    return value


def _instant(data: Mapping[str, Any]) -> float:
    value = data.get("at")
    known = type(value) in (int, float) and value is not None and 0 <= value < 1e11
    return float(value) if known and value is not None else time.time()


def _wrong(name: str, value: object, must: str) -> RequestError:
    text = f"the {name} of a decision is {shown(value, 40)}, but must be {must}"
    return RequestError(text, field=name, value=value)
