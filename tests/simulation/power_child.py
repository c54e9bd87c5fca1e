"""The program that is recorded: batches against a sandbox, and what was acknowledged when.

``python -m tests.simulation.power_child FOLDER URL KEY ROWS WAY...`` works one batch for each way,
in two runs, in a directory of that name. One way is the product as it is; the others take out of
it one thing that makes it durable.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from modelslab_async._engine import partfile
from modelslab_async._engine.filesystem import sync_directory
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._rows import Row
from modelslab_async.batch._sqlite import store
from modelslab_async.batch._transitions import Change
from modelslab_async.errors import LedgerError

from .kill_sweep import Box, Trial, in_child

ACKS: Final = "acks"
OUT: Final = "out"
_FULL: Final = "PRAGMA synchronous = FULL"


def _level(name: str) -> Callable[[], None]:
    def weaken() -> None:
        assert _FULL in store._SETTINGS
        weaker = (setting.replace("FULL", name) for setting in store._SETTINGS)
        setattr(store, "_SETTINGS", tuple(weaker))  # noqa: B010 - it is final for all others

    return weaken


def _without_sync_of_the_file() -> None:
    setattr(partfile, "sync_file", lambda fd: None)  # noqa: B010 - so that mypy lets us


def _without_sync_of_the_directory() -> None:
    def sync_others(directory: Path) -> None:
        if directory.resolve().name != OUT:
            sync_directory(directory)

    setattr(partfile, "sync_directory", sync_others)  # noqa: B010


def _full_disk() -> None:
    """At the third answer the first run's ledger breaks; from then on the side file keeps them."""
    apply, taken = store.Store.apply, itertools.count()

    def refuse(opened: store.Store, change: Change) -> Row:
        if change.paid and next(taken) == 2:
            raise sqlite3.OperationalError("database or disk is full")
        return apply(opened, change)

    store.Store.apply = refuse  # type: ignore[method-assign, assignment]


AS_IT_IS: Final = "as-it-is"
FULL_DISK: Final = "full-disk"
CONTROLS: Final[dict[str, Callable[[], None]]] = {
    "normal": _level("NORMAL"),
    "off": _level("OFF"),
    "no-file-sync": _without_sync_of_the_file,
    "no-directory-sync": _without_sync_of_the_directory,
}
WAYS: Final = {AS_IT_IS: lambda: None, FULL_DISK: _full_disk, **CONTROLS}


class Acknowledgements:
    """A file that is told what is promised, the moment that it is; strace sees it being told."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *words: object) -> None:
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())

    def watch(self) -> None:
        """Only in a child: nothing is put back."""
        write, plan, transaction = Ledger.write, Ledger.plan, store.Store.transaction

        async def told_write(ledger: Ledger, change: Change) -> Row:
            try:
                row = await write(ledger, change)
            except LedgerError as error:
                if "is kept in" in str(error):
                    self.say("kept")
                    self.say("row", change.row, change.to.value)
                raise
            self.say("row", change.row, row.state.value)
            return row

        async def told_plan(ledger: Ledger, rows: object, **how: bool) -> object:
            planned = await plan(ledger, rows, **how)  # type: ignore[arg-type]
            self.say("planned", planned.added + planned.kept)
            return planned

        @contextlib.contextmanager
        def told_transaction(opened: store.Store) -> Iterator[None]:
            with transaction(opened):
                yield
            self.say("committed")

        Ledger.write = told_write  # type: ignore[method-assign, assignment]
        Ledger.plan = told_plan  # type: ignore[method-assign, assignment]
        store.Store.transaction = told_transaction  # type: ignore[method-assign, assignment]


def work(box: Box, folder: Path, way: str, rows: int) -> None:
    """Half of the batch, and then, in a ledger opened anew, all of it."""
    WAYS[way]()
    often = "PRAGMA wal_autocheckpoint = 30"  # as a long batch would, and not only at its end
    setattr(store, "_SETTINGS", (*store._SETTINGS, often))  # noqa: B010
    Acknowledgements(folder / ACKS).watch()
    with contextlib.suppress(LedgerError) if way == FULL_DISK else contextlib.nullcontext():
        Trial(box, folder / OUT, way, rows // 2).run()
    Trial(box, folder / OUT, way, rows).run()


def main() -> None:
    folder, url, key, rows, *ways = sys.argv[1:]
    logging.disable()  # a full disk is meant to be one
    for way in ways:
        place = Path(folder) / way
        place.mkdir()
        assert in_child(partial(work, Box(url, key), place, way, int(rows))) == 0


if __name__ == "__main__":
    main()
