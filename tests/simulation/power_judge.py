"""Open with the product what a power loss left, and hold it against what was promised."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import sqlite3
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

from attrs import Factory, define, evolve, frozen

from modelslab_async.batch._sqlite.reader import LEDGER_NAME
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.batch._states import RowState
from modelslab_async.errors import LedgerError

from .power_child import OUT
from .power_disk import put

_MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_OWN: Final = ("ledger.", ".", "results.")
_SIDE: Final = "ledger.rescue.jsonl"
_STRANGE: Final = re.compile(r"line (\d+) of .* cannot be read")


@define
class Promises:
    """What was acknowledged up to now: the steps of each row, and how many rows there are."""

    steps: defaultdict[int, list[str]] = Factory(lambda: defaultdict(list))
    planned: int = 0

    def take(self, line: str) -> None:
        match line.split():
            case ["row", row, state]:
                self.steps[int(row)].append(state)
            case ["planned", count]:
                self.planned = int(count)


@frozen
class Verdict:
    """What the product makes of a disk after a power loss.

    Attributes:
        lost: acknowledged steps that it does not know.
        refused: why it does not work on it at all; empty if it does.
        damaged: what SQLite's own check says; empty if the ledger is in order.
        missing: files that are done, and not there.
        torn: files that are there under their final name, and not whole.
        alarms: the ledger is said to have lost steps.
        by_hand: torn lines of the side file, which somebody had to take out.
    """

    lost: int = 0
    refused: str = ""
    damaged: str = ""
    missing: int = 0
    torn: int = 0
    alarms: int = 0
    by_hand: int = 0


def judge(found: dict[Path, bytes], promises: Promises, whole: set[str]) -> Verdict:
    """Say what is wrong; a verdict equal to ``Verdict()`` is an acquittal."""
    files = {path.name: data for path, data in found.items() if not path.name.startswith(_OWN)}
    torn = sum(hashlib.sha256(data).hexdigest() not in whole for data in files.values())
    ledger = {path: data for path, data in found.items() if path.name.startswith("ledger.")}
    with tempfile.TemporaryDirectory(dir=_MEMORY) as place:
        put(ledger, Path(place))
        try:
            store, by_hand = _opened(Path(place) / OUT)
        except LedgerError as error:
            return Verdict(refused=str(error), damaged=_damage(Path(place)), torn=torn)
        with contextlib.closing(store):
            try:
                verdict = _judged(store, promises, files)
            except (sqlite3.Error, ValueError) as error:  # opened, and yet it cannot be read
                verdict = Verdict(damaged=str(error))
            return evolve(verdict, torn=torn, alarms=int(store.has_lost_steps), by_hand=by_hand)


def _opened(place: Path) -> tuple[Store, int]:
    """The ledger, and how many lines had to be taken out of its side file."""
    for count in itertools.count():
        try:
            return Store.open(place), count
        except LedgerError as error:
            strange = _STRANGE.match(str(error))
            if strange is None:
                raise
            _take_out(place / _SIDE, int(strange[1]))
    raise AssertionError


def _take_out(side: Path, number: int) -> None:
    """What the message of the product asks for."""
    lines = [line for line in side.read_bytes().split(b"\n") if line]
    del lines[number - 1]
    side.write_bytes(b"".join(line + b"\n" for line in lines))


def _damage(place: Path) -> str:
    """What is wrong with a ledger that the product does not open."""
    try:
        with contextlib.closing(sqlite3.connect(place / OUT / LEDGER_NAME)) as db:
            found = str(db.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.Error as error:
        found = str(error)
    return "" if found == "ok" else found


def _judged(store: Store, promises: Promises, files: dict[str, bytes]) -> Verdict:
    check = str(store.db.execute("PRAGMA integrity_check").fetchone()[0])
    lost = max(promises.planned - sum(store.counts().values()), 0)
    for row, promised in promises.steps.items():
        kept = [step.new.value for step in store.history(row)]
        lost += sum(kept[n : n + 1] != [state] for n, state in enumerate(promised))
    missing = sum(row.path not in files for row in store.each([RowState.DONE]))
    return Verdict(lost=lost, damaged="" if check == "ok" else check, missing=missing)
