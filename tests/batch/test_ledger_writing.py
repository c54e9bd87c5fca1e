"""Many write to the ledger at once, some are cancelled, and at times it cannot be written."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
from pathlib import Path
from typing import NoReturn

import anyio
import anyio.lowlevel
import pytest

from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._sqlite.reader import LEDGER_NAME, Reader
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.batch._states import RowState
from modelslab_async.errors import LedgerError

from ..support.ledgers import planned, states, submitting

pytestmark = pytest.mark.anyio


class Held:
    """The ledger's thread stands still inside; what is asked for meanwhile gathers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._entered = anyio.Event()
        self._leave = threading.Event()
        self.commits = 0

    async def __aenter__(self) -> Held:
        loop = asyncio.get_running_loop()

        def hold(reader: Reader) -> None:
            reader.db.set_trace_callback(self._trace)
            loop.call_soon_threadsafe(self._entered.set)
            self._leave.wait()

        self._task = asyncio.ensure_future(self._ledger.read(hold))
        await self._entered.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        await anyio.wait_all_tasks_blocked()
        self._leave.set()
        await self._task

    def _trace(self, statement: str) -> None:
        self.commits += statement == "COMMIT"


async def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(50))
        async with anyio.create_task_group() as tasks, Held(ledger) as held:
            for seq in range(1, 51):
                tasks.start_soon(submitting, ledger, seq)
        assert held.commits == 2  # of the question that held them up, and of all the rest
        assert (await ledger.counts())[RowState.SUBMITTING] == 50


async def test_a_write_that_fails_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    async def twice(ledger: Ledger) -> None:
        with pytest.raises(LedgerError, match="-> done"):
            await ledger.write(changes.done(2, "a", sha256="", size=0, seconds=None, integrity=""))

    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(3))
        async with anyio.create_task_group() as tasks, Held(ledger):
            tasks.start_soon(submitting, ledger, 1)
            tasks.start_soon(twice, ledger)
            tasks.start_soon(submitting, ledger, 3)
    assert states(tmp_path) == ["submitting", "planned", "submitting"]


async def test_l03_a_commit_outlives_a_power_loss(tmp_path: Path) -> None:
    wanted = {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "trusted_schema": 0}

    def settings(reader: Reader) -> dict[str, object]:
        return {name: reader.db.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}

    async with Ledger(tmp_path) as ledger:
        assert await ledger.read(settings) == wanted


async def test_a_write_is_in_the_file_when_it_returns(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        await submitting(ledger, 1)
        assert states(tmp_path) == ["submitting"]


async def test_l11_a_write_cancelled_by_its_task_is_still_made(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        async with Held(ledger):
            task = asyncio.ensure_future(submitting(ledger, 1))
            await anyio.wait_all_tasks_blocked()
            task.cancel()
            await anyio.wait_all_tasks_blocked()
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await ledger.row(1)).state is RowState.SUBMITTING


async def test_l11_a_write_cancelled_by_a_scope_is_still_made(tmp_path: Path) -> None:
    async def write(ledger: Ledger, scope: anyio.CancelScope) -> None:
        with scope:
            await submitting(ledger, 1)
            await anyio.lowlevel.checkpoint()

    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        async with anyio.create_task_group() as tasks, Held(ledger):
            tasks.start_soon(write, ledger, scope := anyio.CancelScope())
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
        assert scope.cancelled_caught
        assert (await ledger.row(1)).state is RowState.SUBMITTING


async def test_a_question_that_fails_fails_alone(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        with pytest.raises(ZeroDivisionError):
            await ledger.read(lambda _: 1 // 0)
        with pytest.raises(SystemExit):
            await ledger.read(lambda _: sys.exit(3))
        with pytest.raises(sqlite3.ProgrammingError):
            await ledger.read(lambda reader: reader.db.execute("SELECT ?"))
        assert (await ledger.plan(planned(1))).added == 1


def no_more_pages(reader: Reader) -> None:
    pages = reader.db.execute("PRAGMA page_count").fetchone()[0]
    reader.db.execute(f"PRAGMA max_page_count = {pages}")


BIG = json.dumps({"id": "job-1", "padding": "x" * 20_000})


async def full_while_paid(directory: Path) -> LedgerError:
    """Leave a ledger that was full when the answer to a paid submit came."""
    async with Ledger(directory) as ledger:
        await ledger.plan(planned(3))
        await submitting(ledger, 1)
        await ledger.read(no_more_pages)
        with pytest.raises(LedgerError) as caught:
            await ledger.write(changes.accepted(1, "job-1", BIG))
        with pytest.raises(LedgerError, match="disk is full"):
            await submitting(ledger, 2)
        assert (await ledger.counts())[RowState.PLANNED] == 2  # it can still be asked
    return caught.value


async def test_l04_a_paid_id_outlives_a_full_disk(tmp_path: Path) -> None:
    error = await full_while_paid(tmp_path)
    assert (error.job_id, error.job) == ("job-1", BIG)
    assert "free some space" in str(error)
    assert "ledger.rescue.jsonl" in str(error)
    assert states(tmp_path) == ["submitting", "planned", "planned"]
    async with Ledger(tmp_path) as ledger:
        row = await ledger.row(1)
        assert (row.state, row.job_id, row.handle) == (RowState.SUBMITTED, "job-1", BIG)
        assert ledger.recovered == 0
    assert not (tmp_path / "ledger.rescue.jsonl").exists()


async def test_answers_that_come_after_the_ledger_broke_are_kept_as_well(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(3))
        for seq in (1, 2, 3):
            await submitting(ledger, seq)
        await ledger.read(lambda reader: reader.db.execute("PRAGMA query_only = ON"))
        with pytest.raises(LedgerError, match="permissions"):
            await ledger.write(changes.rejected(3, "BadRequest", "no"))
        with pytest.raises(LedgerError, match="job-1"):
            await ledger.write(changes.accepted(1, "job-1", "{}"))
        with pytest.raises(LedgerError, match="row 2"):
            await ledger.write(changes.finished_at_once(2, None, "{}", 3.5))
    async with Ledger(tmp_path) as ledger:
        found = [(row.state.value, row.job_id) for row in await ledger.page()]
        assert found == [("submitted", "job-1"), ("ready", None), ("ambiguous", None)]


async def test_a_job_that_was_found_outlives_a_full_disk(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        await submitting(ledger, 1)
        await ledger.write(changes.ambiguous(1, "no answer"))
        await ledger.read(no_more_pages)
        with pytest.raises(LedgerError, match=r"ledger\.rescue\.jsonl"):
            await ledger.write(changes.accepted(1, "job-1", BIG))
    async with Ledger(tmp_path) as ledger:
        row = await ledger.row(1)
        assert (row.state, row.job_id) == (RowState.SUBMITTED, "job-1")


async def test_a_paid_id_outlives_a_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(_: Store) -> NoReturn:
        raise MemoryError

    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        await submitting(ledger, 1)
        monkeypatch.setattr(Store, "transaction", no_memory)
        with pytest.raises(LedgerError, match="job-1"):
            await ledger.write(changes.accepted(1, "job-1", "{}"))
    monkeypatch.undo()
    async with Ledger(tmp_path) as ledger:
        assert (await ledger.row(1)).job_id == "job-1"


async def test_a_fault_that_nobody_thought_of_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Store) -> NoReturn:
        raise RuntimeError("a fault")

    async with Ledger(tmp_path) as ledger:
        with monkeypatch.context() as patched, anyio.fail_after(10):
            patched.setattr(Store, "transaction", broken)
            with pytest.raises(RuntimeError, match="a fault"):
                await ledger.counts()
        assert (await ledger.plan(planned(1))).added == 1


async def test_a_line_taken_in_twice_changes_nothing(tmp_path: Path) -> None:
    await full_while_paid(tmp_path)
    kept = (tmp_path / "ledger.rescue.jsonl").read_bytes()
    async with Ledger(tmp_path):
        pass
    (tmp_path / "ledger.rescue.jsonl").write_bytes(kept)
    (tmp_path / "ledger.rescue.jsonl").chmod(0o600)
    async with Ledger(tmp_path) as ledger:
        assert (await ledger.row(1)).job_id == "job-1"
        assert len(await ledger.read(lambda reader: reader.history(1))) == 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'{"batch"', b'{"batch', "line 1 .* cannot be read"),
        (b'"values"', b'"worth"', "line 1 .* cannot be read"),
        (b'{"batch": "', b'{"batch": "x', "another batch"),
        (b'"row": 1', b'"row": 9', "no row 9"),
        (b'"row": 1', b'"row": 2', "row row-2 has job"),
    ],
)
async def test_a_side_file_that_makes_no_sense_is_shown_and_not_dropped(
    tmp_path: Path, old: bytes, new: bytes, reason: str
) -> None:
    await full_while_paid(tmp_path)
    side = tmp_path / "ledger.rescue.jsonl"
    side.write_bytes(side.read_bytes().replace(old, new, 1))
    content = side.read_bytes()
    with pytest.raises(LedgerError, match=reason):
        Store.open(tmp_path)
    assert side.read_bytes() == content


async def test_l05_a_ledger_that_another_program_holds_stops_the_batch(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        await ledger.read(lambda reader: reader.db.execute("PRAGMA busy_timeout = 1"))
        other = sqlite3.connect(tmp_path / LEDGER_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another program holds it"):
            await submitting(ledger, 1)
        other.close()
        with pytest.raises(LedgerError, match="another program holds it"):
            await submitting(ledger, 1)
