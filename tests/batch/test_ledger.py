"""What the ledger keeps of each row, on real files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from modelslab_async._engine.handle import write_handle
from modelslab_async._protocol.replies import Links
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._rows import PlannedRow
from modelslab_async.batch._sqlite.reader import LEDGER_NAME, Reader
from modelslab_async.batch._sqlite.schema import VERSION
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.batch._states import RowState
from modelslab_async.errors import LedgerError

from ..support.ledgers import planned, states, submitting

pytestmark = pytest.mark.anyio


async def test_a_row_goes_from_planned_to_done_and_all_of_it_is_kept(tmp_path: Path) -> None:
    times = iter(range(1000, 2000))
    async with Ledger(tmp_path, clock=lambda: float(next(times))) as ledger:
        await ledger.plan(planned(1))
        await ledger.write(changes.intent(1, 42, 1))
        await ledger.write(changes.accepted(1, "job-7", '{"id": "job-7"}'))
        await ledger.write(changes.ready(1, '{"links": {}}', generation_time=4.5, polls=3))
        await ledger.write(
            changes.done(1, "1.wav", sha256="ab", size=9, seconds=2.0, integrity="whole")
        )
    async with Ledger(tmp_path) as ledger:
        row = await ledger.row("row-1")
    assert (row.seq, row.state, row.track_id, row.attempt) == (1, RowState.DONE, "42", 1)
    assert (row.job_id, row.handle) == ("job-7", '{"links": {}}')
    assert (row.path, row.sha256, row.size, row.seconds) == ("1.wav", "ab", 9, 2.0)
    assert (row.generation_time, row.polls, row.integrity) == (4.5, 3, "whole")
    instants = [row.planned_at, row.submitted_at, row.accepted_at, row.finished_at, row.done_at]
    assert instants == sorted(map(float, filter(None, instants)))


async def test_each_step_leaves_a_line_of_history(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        await ledger.write(changes.intent(1, 42, 1))
        await ledger.write(changes.not_sent(1, "no route to host"))
        steps = await ledger.read(lambda reader: reader.history(1))
    assert [(step.old, step.new, step.note) for step in steps] == [
        ("planned", "submitting", "attempt 1, track_id 42"),
        ("submitting", "planned", "no route to host"),
    ]


def test_people_can_ask_with_sqlite_alone_what_happened_to_a_row(tmp_path: Path) -> None:
    store = Store.open(tmp_path, clock=lambda: 1_700_000_000.25)
    with store.transaction():
        store.plan(planned(1))
        store.apply(changes.intent(1, 42, 1))
    store.close()
    db = sqlite3.connect(tmp_path / LEDGER_NAME)
    status = db.execute("SELECT id, state, planned, submitted, done FROM row_status").fetchall()
    steps = db.execute("SELECT id, new, at FROM history").fetchall()
    db.close()
    at = "2023-11-14T22:13:20.250Z"
    assert status == [("row-1", "submitting", at, at, None)]
    assert steps == [("row-1", "planned", at), ("row-1", "submitting", at)]


async def test_planning_the_same_rows_again_adds_nothing(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        first = await ledger.plan(planned(3))
        again = await ledger.plan(planned(5))
    assert (first.added, first.kept) == (3, 0)
    assert (again.added, again.kept, again.changed) == (2, 3, ())


async def test_changed_rows_are_named_and_then_nothing_is_planned(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(3))
        other = PlannedRow("row-2", {"prompt": "tabla"}, "another hash")
        result = await ledger.plan([*planned(1), other, *planned(2, start=7)])
        assert (result.added, result.changed) == (0, ("row-2",))
        assert len(await ledger.page()) == 3


async def test_two_rows_of_one_id_are_refused_together(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        with pytest.raises(LedgerError, match="two rows have the id 'row-1'"):
            await ledger.plan([*planned(2), *planned(1)])
        assert await ledger.page() == []


async def test_a_manifest_that_fails_halfway_plans_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[PlannedRow]:
        yield from planned(2)
        raise OSError("the disk of the manifest fails")

    async with Ledger(tmp_path) as ledger:
        with pytest.raises(OSError, match="manifest"):
            await ledger.plan(broken())
        assert (await ledger.plan(planned(1))).added == 1


async def test_an_illegal_step_writes_nothing(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        with pytest.raises(LedgerError, match="invalid transition planned -> submitted"):
            await ledger.write(changes.accepted(1, "job-1", "{}"))
        with pytest.raises(LedgerError, match="invalid transition planned -> failed"):
            await ledger.write(changes.failed(1, "JobFailed", "no"))
        assert (await ledger.row(1)).job_id is None
        assert await ledger.read(lambda reader: reader.history(1)) == []


async def test_s35_a_job_id_given_twice_makes_the_second_row_ambiguous(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(2))
        await submitting(ledger, 1)
        await submitting(ledger, 2)
        first = await ledger.write(changes.accepted(1, "job-1", "{}"))
        second = await ledger.write(changes.accepted(2, "job-1", "{}"))
        assert [first, second] == await ledger.page()
    assert (first.state, second.state) == (RowState.SUBMITTED, RowState.AMBIGUOUS)
    assert (first.job_id, second.job_id) == ("job-1", None)
    assert second.error == "the API gave it job job-1, which row row-1 has already"


async def test_reconciling_with_another_rows_job_is_refused(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(2))
        await submitting(ledger, 1)
        await ledger.write(changes.accepted(1, "job-1", "{}"))
        await submitting(ledger, 2)
        await ledger.write(changes.ambiguous(2, "reset"))
        with pytest.raises(LedgerError, match="cannot have job job-1"):
            await ledger.write(changes.accepted(2, "job-1", "{}"))


async def test_a_track_id_is_used_by_one_row_only(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(2))
        await ledger.write(changes.intent(1, 42, 1))
        with pytest.raises(LedgerError, match="track_id"):
            await ledger.write(changes.intent(2, 42, 1))
        assert (await ledger.row(2)).state is RowState.PLANNED


async def test_a_row_is_found_by_its_job(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(2))
        await ledger.write(changes.intent(2, 42, 1))
        await ledger.write(changes.accepted(2, "job-9", "{}"))
        by_job = await ledger.read(lambda reader: reader.with_job_id("job-9"))
        assert by_job == await ledger.row("row-2")
        assert await ledger.read(lambda reader: reader.with_job_id("job-1")) is None
        with pytest.raises(LedgerError, match="no row 'row-3'"):
            await ledger.row("row-3")


async def test_pages_of_some_states_come_in_order_and_without_gaps(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(30))
        for seq in range(1, 31, 3):
            await submitting(ledger, seq)
        for seq in range(1, 31, 6):
            await ledger.write(changes.ambiguous(seq, "reset"))
        wanted = [RowState.AMBIGUOUS, RowState.PLANNED]
        found = [row.seq async for row in ledger.each(wanted, size=4)]
        assert found == [seq for seq in range(1, 31) if seq % 6 != 4]
        assert await ledger.page([]) == []
        counts = await ledger.counts()
    assert counts == dict.fromkeys(RowState, 0) | {
        "planned": 20,
        "submitting": 5,
        "ambiguous": 5,
    }


async def test_l14_odd_text_is_kept(tmp_path: Path) -> None:
    odd = PlannedRow("a\0\ud800", {"prompt": "\ud800\0", "mood": 2**70}, "h", "\ud800\0")
    async with Ledger(tmp_path) as ledger:
        await ledger.plan([odd])
        assert (await ledger.plan([odd])).kept == 1
        await submitting(ledger, 1)
        await ledger.write(changes.accepted(1, "j\0", "\ud800"))
        await ledger.write(changes.failed(1, "JobFailed", "\ud800" * 1_000_000, polls=2**63))
        row = await ledger.row("a\0\ud800")
    assert json.loads(row.request) == odd.request
    assert row.polls == 2**63 - 1
    assert len(str(row.error)) < 20_000


async def test_a_ledger_is_used_inside_its_block_only(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for _ in range(2):
        with pytest.raises(LedgerError, match="not open"):
            await ledger.counts()
        async with ledger:
            await ledger.counts()


async def test_writes_that_wait_are_made_before_it_closes(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks, Ledger(tmp_path) as ledger:
        await ledger.plan(planned(20))
        for seq in range(1, 21):
            tasks.start_soon(submitting, ledger, seq)
        await anyio.wait_all_tasks_blocked()
    assert states(tmp_path) == ["submitting"] * 20


async def test_a_ledger_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / LEDGER_NAME).mkdir()
    with pytest.raises(LedgerError, match="cannot be opened"):
        await Ledger(tmp_path).__aenter__()
    assert "modelslab-ledger" not in {thread.name for thread in threading.enumerate()}


async def test_opening_that_is_cancelled_leaves_no_thread_and_no_lock(tmp_path: Path) -> None:
    opening = asyncio.ensure_future(Ledger(tmp_path).__aenter__())
    await anyio.lowlevel.checkpoint()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert "modelslab-ledger" not in {thread.name for thread in threading.enumerate()}
    Store.open(tmp_path).close()


async def test_a_ledger_belongs_to_one_loop(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        errors: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(ledger.row(1))
            except LedgerError as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert "another event loop" in str(errors[0])


def test_a_program_that_forgets_to_close_its_ledger_still_ends(tmp_path: Path) -> None:
    script = f"""
import asyncio
from pathlib import Path
from modelslab_async.batch._ledger import Ledger
ledger = Ledger(Path({str(tmp_path)!r}))
asyncio.run(ledger.__aenter__())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)
    Store.open(tmp_path).close()


async def test_a_row_does_not_show_its_request_by_accident(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(1))
        assert "sitar" not in repr(await ledger.row(1))


def handle_of(job_id: str, family: str) -> str:
    return write_handle(id=job_id, track_id=1, path=f"{family}/{job_id}", links=Links())


async def test_s35_two_families_may_give_one_id_to_two_rows_and_one_family_may_not(
    tmp_path: Path,
) -> None:
    voice, images = "/api/v6/voice/fetch", "/api/v6/images/fetch"
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(3))
        for seq, family in ((1, voice), (2, images), (3, images)):
            await ledger.write(changes.intent(seq, seq, 1))
            await ledger.write(changes.accepted(seq, "7", handle_of("7", family)))
        states = [row.state for row in await ledger.page()]
        assert states == [RowState.SUBMITTED, RowState.SUBMITTED, RowState.AMBIGUOUS]
        for family in (voice, images, "/api/v6/video/fetch"):
            found = await ledger.read(partial(_row_of, family))
            assert found == {voice: 1, images: 2}.get(family)


def _row_of(family: str, reader: Reader) -> int | None:
    row = reader.with_job_id("7", family)
    return None if row is None else row.seq


BEFORE_SOUND = """
DROP VIEW row_status;
DROP INDEX rows_by_sound;
ALTER TABLE rows DROP COLUMN flags;
ALTER TABLE rows DROP COLUMN peak_dbfs;
ALTER TABLE rows DROP COLUMN sound_sha256;
ALTER TABLE rows DROP COLUMN peaks;
CREATE VIEW row_status AS SELECT seq FROM rows;
PRAGMA user_version = 3;
"""


async def finished(ledger: Ledger, seq: int, **sound: str | float | bytes | None) -> None:
    await ledger.write(changes.intent(seq, seq, 1))
    await ledger.write(changes.finished_at_once(seq, f"job-{seq}", "{}"))
    file = {"sha256": "ab", "size": 9, "seconds": 1.0, "integrity": "exact"}
    await ledger.write(changes.done(seq, f"{seq}.wav", **file, **sound))  # type: ignore[arg-type]


async def test_a_ledger_of_before_the_sound_check_is_read_as_it_is_and_brought_up_to_date(
    tmp_path: Path,
) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(2))
        await finished(ledger, 1)
    with contextlib.closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db:
        db.executescript(BEFORE_SOUND)
    before = (tmp_path / LEDGER_NAME).read_bytes()
    with Reader.open(tmp_path) as reader:
        row = reader.row(1)
        assert (row.path, row.flags, row.peaks) == ("1.wav", None, None)
        assert reader.sounds().unchecked == 1
    assert (tmp_path / LEDGER_NAME).read_bytes() == before
    async with Ledger(tmp_path) as ledger:
        await finished(ledger, 2, sound_sha256="cd", flags="dc", peaks=b"\1\2", peak_dbfs=-0.5)
    with Reader.open(tmp_path) as reader:
        row = reader.row(2)
        assert (row.flags, row.peaks, row.peak_dbfs) == (("dc",), b"\1\2", -0.5)
    with contextlib.closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db:
        assert db.execute("SELECT flags FROM row_status").fetchall() == [(None,), ("dc",)]


async def test_the_second_row_with_the_same_sound_names_the_first(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(5))
        await finished(ledger, 2, sound_sha256="ab", flags="")
        await finished(ledger, 1, sound_sha256="ab", flags="clipped")
        await finished(ledger, 3, sound_sha256="cd", flags="")
        await finished(ledger, 4, sound_sha256="ab", flags="silent")
        await finished(ledger, 5, sound_sha256=None, flags=None)
        flags = [row.flags for row in await ledger.page()]
        found = await ledger.read(lambda reader: reader.sounds())
    assert flags == [("clipped", "same_as:2"), (), (), ("silent",), None]
    assert (found.flagged, found.unchecked) == (2, 5)
    assert found.flags == {"clipped": 1, "same_as": 1, "silent": 1}


async def test_a_ledger_of_before_the_families_is_read_as_it_is_and_brought_up_to_date(
    tmp_path: Path,
) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(2))
        await ledger.write(changes.intent(1, 1, 1))
        await ledger.write(changes.accepted(1, "7", handle_of("7", "/api/v6/voice/fetch")))
    with contextlib.closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db:
        db.executescript(BEFORE_SOUND)
        db.executescript(
            "DROP INDEX one_row_a_job; ALTER TABLE rows DROP COLUMN family;"
            "PRAGMA user_version = 2;"
            "CREATE UNIQUE INDEX one_row_a_job ON rows (job_id) WHERE job_id IS NOT NULL"
        )
    with Reader.open(tmp_path) as reader:
        assert reader.row(1).job_id == "7"
    async with Ledger(tmp_path) as ledger:
        await ledger.write(changes.intent(2, 2, 1))
        await ledger.write(changes.accepted(2, "7", handle_of("7", "/api/v6/images/fetch")))
        assert [row.job_id for row in await ledger.page()] == ["7", "7"]
    with contextlib.closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
