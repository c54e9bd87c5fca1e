"""Nothing more is paid for while nothing can arrive: names that are taken, storage that is down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from modelslab_async import DownloadError, IncompleteDownload, ModelsLab, OutputLost
from modelslab_async.batch._arrivals import Arrivals
from modelslab_async.batch._runner import AHEAD
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..cli.test_cli import against
from ..support.batches import errors, paid, pieces, quick, run, run_until_stopped, states
from ..support.fastloop import fast
from ..support.manifests import manifest
from ..support.quick import POLL, SOON_GIVEN_UP, client_of

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
        assert again.stderr.count("exists and does not belong to this batch") == 3


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


def led_to(*links: str) -> Fault:
    """All links of a finished job are these."""
    fields = {"output": links, "proxy_links": [], "future_links": [], "meta": {}}
    return Fault(on="fetch", kind="patch", times=None, fields=fields)


BARE = Fault(on="submit", kind="patch", times=None, without=("future_links", "proxy_links", "meta"))
"""A ticket without links, which would lead to the file whatever becomes of the fetch."""

NOTHING = {
    "silent": quick(broken("silent")),
    "silent after the first bytes": quick(broken("stall_body", at=100)),
    "no such host": quick(BARE, led_to("http://storage.invalid/x.wav")),
    "no such port": quick(BARE, led_to("http://127.0.0.1:1/x.wav")),
    "guarded": quick(BARE, led_to("http://10.0.0.1/x.wav")),
    "no scheme of the web": quick(BARE, led_to("ftp://127.0.0.1/x.wav")),
    "no output": quick(BARE, led_to()),
    "failed": quick(status="failed"),
    "forgotten": quick(BARE, not_found_polls=-1),
    "endless": quick(BARE, never_finishes=True),
    "nobody tells": quick(BARE, Fault(on="fetch", kind="edge", times=None, status=502)),
    "a wrong id": quick(BARE, wrong_id_polls=10**6),
}


def hasty(box: Sandbox, **settings: Any) -> ModelsLab:
    return client_of(
        box,
        timeout=3,
        poll=evolve(POLL, patience=0.3),
        download=evolve(SOON_GIVEN_UP, timeout=0.5),
        **settings,
    )


@pytest.mark.parametrize("anyio_backend", SOON)
@pytest.mark.parametrize("scenario", NOTHING.values(), ids=NOTHING)
async def test_m05_few_jobs_are_paid_for_whatever_keeps_the_first_file(
    tmp_path: Path, scenario: Scenario
) -> None:
    async with Sandbox(scenario, slots=100) as box:  # it is not the queue that holds rows back
        async with hasty(box) as client:
            await run_until_stopped(
                client, pieces(60), tmp_path, IncompleteDownload, "downloads keep failing"
            )
        first = len(box.book.debits)
        assert 3 <= first <= 10 + 8 + 5  # 8 downloads that began well, and the last tries
        async with hasty(box) as client:
            await run_until_stopped(
                client, None, tmp_path, IncompleteDownload, retry={S.OUTPUT_LOST}
            )
        assert len(box.book.debits) <= first + 1
        assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("anyio_backend", SOON)
@pytest.mark.parametrize("name", ["silent", "no output", "forgotten", "nobody tells"])
async def test_m05_all_that_a_stopped_run_has_paid_for_is_brought_later(
    tmp_path: Path, name: str
) -> None:
    async with Sandbox(NOTHING[name]) as box:
        async with hasty(box) as client:
            await run_until_stopped(client, pieces(30), tmp_path, IncompleteDownload)
        box.scenario = quick()
        async with client_of(box) as client:
            assert not errors(await run(client, None, tmp_path, retry={S.OUTPUT_LOST}))
        assert states(tmp_path) == {S.DONE: 30}
        assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("anyio_backend", SOON)
@pytest.mark.parametrize(
    ("scenario", "most"),
    [(quick(broken("silent")), 12 + AHEAD), (quick(never_finishes=True), 5)],
    ids=["storage", "jobs"],
)
async def test_m05_no_more_are_paid_for_than_have_room_by_all_runs_before_the_first_file(
    tmp_path: Path, scenario: Scenario, most: int
) -> None:
    async with Sandbox(scenario) as box:
        for patience in (20, 5):  # seconds until a download is given up: 30
            async with (
                client_of(box, max_jobs=12) as client,
                client.batch(pieces(60), directory=tmp_path) as outcomes,
            ):
                with anyio.move_on_after(patience):
                    async for _ in outcomes:
                        pytest.fail("nothing can arrive")
        # The second run pays for one more at most, to find out whether files arrive again.
        assert most <= len(box.book.debits) <= most + 1


@pytest.mark.parametrize("anyio_backend", SOON)
async def test_m05_slow_files_whose_bytes_come_hold_nothing_back(tmp_path: Path) -> None:
    drip = broken("drip", at=4000, seconds=2.0)
    async with (
        Sandbox(quick(drip)) as box,
        client_of(box, max_downloads=60) as client,
        client.batch(pieces(60), directory=tmp_path) as outcomes,
    ):
        while len(box.book.debits) < 60:
            await anyio.sleep(0.1)
        assert not states(tmp_path)[S.DONE]
        assert not errors([outcome async for outcome in outcomes])


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


def paying(*rows: int, under_way: Iterable[int] = (), room: int = 0) -> Arrivals:
    arrivals = Arrivals(0, under_way, room)
    for row in rows:
        assert arrivals.pay(row)
    return arrivals


def test_m05_ten_are_paid_for_before_a_first_sign_and_one_that_is_alone_comes_on_top() -> None:
    arrivals = paying(*range(10))
    assert arrivals.are_late
    assert not arrivals.pay(10)
    assert arrivals.pay(10, alone=True)
    assert not arrivals.pay(11)


@pytest.mark.parametrize(("room", "most"), [(0, 10), (9, 10), (10, 10), (19, 19)])
def test_m05_as_many_are_paid_for_as_there_is_room(room: int, most: int) -> None:
    assert not paying(*range(most), room=room).pay(most)
    assert paying(*range(most - 1), room=room).pay(most)


def test_m05_who_is_refused_or_tries_again_counts_once_at_most() -> None:
    arrivals = paying(*range(9), 3, 3)
    assert not arrivals.are_late
    arrivals.unpaid(3)
    arrivals.unpaid(3)
    assert arrivals.pay(10)
    assert arrivals.pay(11)
    assert arrivals.are_late
    assert not arrivals.pay(12)


def test_m05_what_earlier_runs_have_under_way_counts() -> None:
    arrivals = paying(*range(6), under_way=(20, 21, 22, 23))
    assert not arrivals.pay(7)
    arrivals.arrived()
    assert arrivals.pay(7)


def test_m05_bytes_are_a_sign_unless_their_row_was_in_trouble() -> None:
    arrivals = paying(*range(10))
    arrivals.in_trouble(1)
    arrivals.moves(1)
    assert arrivals.are_late
    arrivals.moves(2)
    assert not arrivals.are_late


def test_m05_bytes_bring_back_nothing_that_was_given_up() -> None:
    arrivals = paying(1, 2, 3)
    for row in (1, 2, 3):
        arrivals.gave_up(row, OutputLost("gone"))
    arrivals.moves(4)
    assert arrivals.are_late


@pytest.mark.parametrize("anyio_backend", [pytest.param(fast(), id="fast")])
async def test_m05_slow_files_are_waited_for_without_paying_to_find_out() -> None:
    arrivals = paying(*range(10))
    with anyio.move_on_after(600) as scope:
        await arrivals.probe()
    assert scope.cancelled_caught
    async with anyio.create_task_group() as group:
        group.start_soon(arrivals.probe)
        await anyio.sleep(1)
        arrivals.arrived()
    assert not arrivals.are_late
