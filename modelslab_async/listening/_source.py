"""Read what the page shows from a batch's directory. Blocking; it changes nothing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from .._engine.filesystem import spelled
from .._engine.partfile import open_unfollowed
from ..batch import Decisions, Reader, Row, RowState, read_decisions, runner_of
from ..batch._advice import ADVICE, unpaid
from ..batch._decisions import DECISIONS_NAME
from ..batch._sqlite.reader import LEDGER_NAME
from ..errors import LedgerError
from ._facts import MAX_ROWS, advice_as_json, decision_as_json, fact_of, money_of

_WATCHED: Final = (LEDGER_NAME, f"{LEDGER_NAME}-wal", DECISIONS_NAME)


@frozen
class Seen:
    """How much of a batch a page knows.

    Attributes:
        step: the last transition.
        row: the last row.
    """

    step: int = 0
    row: int = 0

    def __str__(self) -> str:
        return f"{self.step}-{self.row}"

    @classmethod
    def of(cls, text: str) -> Seen:
        """What `str` made; nothing, if it did not."""
        step, _, row = text.partition("-")
        numbers = [int(part) if part.isdecimal() and len(part) < 19 else 0 for part in (step, row)]
        return cls(*numbers)


class Source:
    """A batch as its page sees it.

    Args:
        directory: of the batch.
        program: how the command line is called in advice.

    Attributes:
        files: for each done row, its file's name and SHA-256, as known last.
    """

    def __init__(self, directory: Path, program: str) -> None:
        self.directory = directory
        self.files: dict[int, tuple[str, str]] = {}
        self._program = program

    def all(self) -> dict[str, Any]:
        """Everything, for a new page.

        Raises:
            LedgerError: there is no batch, it cannot be read, or it is too large for a page.
        """
        decisions = read_decisions(self.directory)
        found = self.changed(Seen())
        if len(found["rows"]) > MAX_ROWS:
            raise LedgerError(
                f"{self.directory} has over {MAX_ROWS} rows, which no browser shows on one page"
            )
        name = os.path.basename(os.path.abspath(self.directory))  # noqa: PTH100, PTH119
        with Reader.open(self.directory) as reader:
            batch, _ = reader.batch()
        return {
            "name": name,
            "batch": batch,
            **found,
            "decisions": [decision_as_json(one) for one in decisions],
        }

    def changed(self, seen: Seen) -> dict[str, Any]:
        """What has changed in the ledger since a page knew this much."""
        with Reader.open(self.directory) as reader:
            step, rows = reader.changed(seen.step, seen.row, limit=MAX_ROWS + 1)
            counts, money = reader.counts(), money_of(list(reader.paid()))
        last = max((row.seq for row in rows), default=0)
        runner = runner_of(self.directory)
        states = [state for state, count in counts.items() if count]
        return {
            "seen": str(Seen(step, max(last, seen.row))),
            "rows": [self._fact(row) for row in rows],
            "money": money,
            "running": runner is not None,
            "advice": {} if runner else self._advice(states),
        }

    def decisions(self) -> Decisions:
        """All that is decided."""
        return read_decisions(self.directory)

    def stamp(self) -> object:
        """Changes whenever something else may be read."""
        return [*map(self._stamp, _WATCHED), runner_of(self.directory) is not None]

    def opened(self, number: int) -> int | None:
        """A descriptor of a done row's file; ``None``: there is none.

        Raises:
            OSError: it cannot be opened; among others, because it is a link.
        """
        name, _ = self.files.get(number, ("", ""))
        return open_unfollowed(self._path(name)) if name else None

    def _fact(self, row: Row) -> dict[str, Any]:
        name = os.path.basename(row.path or "")  # noqa: PTH119 - an edited ledger names others
        is_there = row.state is RowState.DONE and name == row.path and "\0" not in name
        if is_there:
            self.files[row.seq] = name, row.sha256 or ""
        else:
            self.files.pop(row.seq, None)
        return fact_of(row, name if is_there else "")

    def _advice(self, states: Iterable[RowState]) -> dict[str, dict[str, str]]:
        """What to do about rows in these states, while no process works on them."""
        path = f"{self.directory}"
        words = {
            "program": self._program,
            "place": shlex.quote(f"./{path}" if path.startswith("-") else path),
            "unpaid": unpaid(list(states)),
        }
        return {state: advice_as_json(ADVICE[state], words) for state in states if state in ADVICE}

    def _path(self, name: str) -> Path:
        return self.directory / spelled(name)

    def _stamp(self, name: str) -> tuple[int, int]:
        try:
            about = (self.directory / name).stat()
        except OSError:
            return 0, 0
        return about.st_mtime_ns, about.st_size
