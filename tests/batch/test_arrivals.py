"""Nothing more is paid for while nothing can arrive: names that are taken, storage that is down."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelslab_async import DownloadError, IncompleteDownload, OutputLost
from modelslab_async.batch._arrivals import Arrivals
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox

from ..cli.test_cli import against
from ..support.batches import errors, paid, pieces, quick, run, run_until_stopped, states
from ..support.fastloop import fast
from ..support.manifests import manifest
from ..support.quick import SOON_GIVEN_UP, client_of

pytestmark = pytest.mark.anyio

S = RowState
SOON = [pytest.param(fast(20), id="fast")]


# Names


def a_file(path: Path) -> None:
    path.write_text("an older take")


def an_empty_file(path: Path) -> None:
    path.touch()


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("ending", [".wav", ".mp3", ".flac"])
@pytest.mark.parametrize(
    "stand", [a_file, an_empty_file, Path.mkdir, a_dangling_link, a_pipe], ids=lambda f: f.__name__
)
async def test_m04_a_name_that_is_taken_is_found_before_its_row_is_paid_for(
    tmp_path: Path, ending: str, stand: Callable[[Path], None]
) -> None:
    name = f"00002-piece-2{ending}"
    stand(tmp_path / name)
    async with Sandbox(quick()) as box, client_of(box) as client:
        outcomes = await run(client, pieces(3), tmp_path)
        error = errors(outcomes)[2]
        assert isinstance(error, DownloadError)
        assert f"{tmp_path / name} exists" in str(error)
        assert "was not sent" in str(error)
        assert states(tmp_path) == {S.DONE: 2, S.PLANNED: 1}
        assert len(box.book.debits) == 2

        (tmp_path / name).rename(tmp_path / "moved")
        assert not errors(await run(client, None, tmp_path))
        assert states(tmp_path) == {S.DONE: 3}
        assert set(paid(box).values()) == {1}


async def test_m04_all_names_of_a_lost_ledger_are_found_and_nothing_is_paid_again(
    tmp_path: Path,
) -> None:
    lines = manifest(tmp_path, "waltz", "raga", "techno")
    async with Sandbox(quick()) as box:
        await against(box, tmp_path, "batch", lines, "-o", "out")
        for path in (tmp_path / "out").glob("ledger*"):
            path.unlink()
        again = await against(box, tmp_path, "batch", lines, "-o", "out")
        assert (again.returncode, len(box.book.debits)) == (8, 3), again.stderr
        assert again.stderr.count("exists, and is not this batch's") == 3


@pytest.mark.parametrize(
    "name",
    [
        *("00001-piece-1", "00001-piece-1.txt", "00001-piece-1.wav.bak", ".00001-piece-1.wav"),
        *("0001-piece-1.wav", "00001-piece-1-2.wav", "00001-piece.wav"),
    ],
)
async def test_m04_other_names_stop_nothing(tmp_path: Path, name: str) -> None:
    a_file(tmp_path / name)
    async with Sandbox(quick()) as box, client_of(box) as client:
        assert not errors(await run(client, pieces(1), tmp_path))


async def test_m04_a_name_that_holds_the_job_is_new_each_time(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        assert not errors(await run(client, pieces(2), tmp_path, template="{seq}+{job}"))


# Files that do not arrive


def broken(kind: Any, *, times: int | None = None, **fields: Any) -> Fault:
    return Fault(on="download", kind=kind, times=times, **fields)


DOWN = {
    "gone": broken("answer", status=404),
    "expired": broken("answer", status=403),
    "away": broken("answer", status=503),
    "a page": broken("html"),
    "a refusal in XML": broken("xml"),
    "empty": broken("empty"),
    "reset": broken("reset"),
    "cut": broken("cut_body"),
    "elsewhere": broken("redirect", headers={"Location": "http://10.0.0.1/x.wav"}),
}


@pytest.mark.parametrize("anyio_backend", SOON)
@pytest.mark.parametrize("fault", DOWN.values(), ids=DOWN)
async def test_m05_no_more_is_paid_for_when_no_file_arrives(tmp_path: Path, fault: Fault) -> None:
    async with Sandbox(quick(fault)) as box:
        async with client_of(box, download=SOON_GIVEN_UP) as client:
            await run_until_stopped(
                client, pieces(60), tmp_path, IncompleteDownload, "downloads keep failing"
            )
        first = len(box.book.debits)
        assert 3 <= first <= 25  # what was in the queue, or just finished, when it was noticed
        # Whatever starts it again and again pays for one job each time at most.
        for _ in range(2):
            async with client_of(box, download=SOON_GIVEN_UP) as client:
                await run_until_stopped(
                    client, None, tmp_path, IncompleteDownload, retry={S.OUTPUT_LOST}
                )
        assert len(box.book.debits) <= first + 2
        box.scenario = quick()
        async with client_of(box) as client:
            assert not errors(await run(client, None, tmp_path, retry={S.OUTPUT_LOST}))
        assert states(tmp_path) == {S.DONE: 60}
        assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("anyio_backend", SOON)
async def test_m05_no_more_is_paid_for_when_all_jobs_fail(tmp_path: Path) -> None:
    async with Sandbox(quick(status="failed")) as box:
        async with client_of(box) as client:
            await run_until_stopped(
                client, pieces(60), tmp_path, IncompleteDownload, "downloads keep failing"
            )
        assert 3 <= len(box.book.debits) <= 25
        assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("anyio_backend", SOON)
async def test_m05_silent_storage_is_noticed_by_the_jobs_that_finish_meanwhile(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick(broken("silent"))) as box, client_of(box) as client:
        async with client.batch(pieces(90), directory=tmp_path) as outcomes:
            with anyio.move_on_after(20):  # seconds until a download is given up: 30
                async for _ in outcomes:
                    pytest.fail("nothing can arrive")
        assert len(box.book.debits) <= 25 + 2 * 5  # in the queue, or just finished


@pytest.mark.parametrize("anyio_backend", SOON)
@pytest.mark.parametrize("times", [3, 12, 40])
async def test_m05_an_outage_that_ends_is_waited_out_in_the_same_run(
    tmp_path: Path, times: int
) -> None:
    async with Sandbox(quick(broken("answer", status=503, times=times))) as box:
        async with client_of(box) as client:
            assert not errors(await run(client, pieces(30), tmp_path))
        assert states(tmp_path) == {S.DONE: 30}
        assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("anyio_backend", SOON)
async def test_m05_rows_whose_own_file_is_gone_stop_no_others(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        async with client_of(box, max_jobs=1, download=SOON_GIVEN_UP) as client:
            for first in (1, 3, 5):
                box.scenario = quick(broken("answer", status=404))
                await run(client, pieces(2, start=first), tmp_path)
                box.scenario = quick()
                assert not errors(await run(client, pieces(1, start=first + 90), tmp_path))
        assert states(tmp_path) == {S.DONE: 3, S.OUTPUT_LOST: 6}


# The counting


def late(missing: int = 0) -> Arrivals:
    return Arrivals(missing)


def test_m05_three_that_were_given_up_hold_the_rest_back_and_one_that_arrives_frees_it() -> None:
    arrivals = late()
    for row in (1, 2):
        arrivals.gave_up(row, OutputLost("gone"))
        arrivals.gave_up(row, OutputLost("gone"))  # the same row
    assert not arrivals.are_late
    arrivals.gave_up(3, OutputLost("gone"))
    assert arrivals.are_late
    arrivals.arrived()
    assert not arrivals.are_late


@pytest.mark.parametrize(("missing", "held"), [(0, False), (2, False), (3, True), (99, True)])
def test_m05_a_run_begins_as_the_last_one_ended(missing: int, held: bool) -> None:
    arrivals = late(missing)
    assert arrivals.are_late is held
    arrivals.arrived()
    assert not arrivals.are_late


def test_m05_who_stops_anyway_does_not_wait() -> None:
    arrivals = late(3)
    arrivals.end()
    assert not arrivals.are_late


@pytest.mark.parametrize("anyio_backend", [pytest.param(fast(), id="fast")])
async def test_m05_slow_files_are_waited_for_without_paying_to_find_out() -> None:
    arrivals = late()
    for row in range(25):
        arrivals.finished(row)
    assert arrivals.are_late
    with anyio.move_on_after(3600) as scope:
        await arrivals.probe()
    assert scope.cancelled_caught
    async with anyio.create_task_group() as group:
        group.start_soon(arrivals.probe)
        await anyio.sleep(1)
        arrivals.arrived()
    assert not arrivals.are_late
