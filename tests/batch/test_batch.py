"""A batch from the library: rows, their order, their files, and leaving it early."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve

from modelslab_async import (
    BadRequest,
    ConfigurationError,
    DownloadError,
    IncompleteDownload,
    JobFailed,
    JobTimeout,
    LedgerError,
    ModelsLab,
    MusicGen,
    OutputLost,
    SubmitUnknown,
    Succeeded,
)
from modelslab_async.batch._intake import RequestLike
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.batches import (
    errors,
    files,
    paid,
    pieces,
    quick,
    results,
    rows,
    run,
    run_until_stopped,
    states,
    submits,
)
from ..support.fastloop import virtual
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

S = RowState


@pytest.mark.parametrize(
    ("kind", "integrity"), [("pcm16", "exact"), ("bad_list", "mended"), ("zero_size", "mended")]
)
async def test_d52_the_ledger_keeps_the_hash_of_a_file_and_of_what_the_server_sent(
    kind: Any, integrity: str, tmp_path: Path
) -> None:
    async with Sandbox(quick(wav=kind)) as box, client_of(box) as client:
        await run(client, pieces(1), tmp_path)
        sent = box.canonical(str(rows(tmp_path)[0].job_id))
    (row,), (line,) = rows(tmp_path), results(tmp_path)
    assert row.integrity == integrity
    assert row.path is not None
    data = (tmp_path / row.path).read_bytes()
    both = hashlib.sha256(data).hexdigest(), hashlib.sha256(sent).hexdigest()
    assert (row.sha256, row.source_sha256) == both
    assert (line["sha256"], line["source_sha256"]) == both
    assert (both[0] == both[1]) == (integrity != "mended")


async def test_each_row_has_one_outcome_one_file_and_one_debit(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        outcomes = await run(client, pieces(12), tmp_path)
        assert sorted(outcome.row for outcome in outcomes) == list(range(1, 13))
        assert set(paid(box).values()) == {1}
        for outcome in outcomes:
            assert isinstance(outcome, Succeeded)
            [file] = outcome.saved
            assert file.path.read_bytes() == box.canonical(outcome.job_id)
            assert file.path.name == f"{outcome.row:05d}-piece-{outcome.row}.wav"
    assert files(tmp_path) == {f"{row:05d}-piece-{row}.wav" for row in range(1, 13)}


async def test_a_batch_counts_its_rows_in_memory_for_any_thread(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        batch = client.batch(pieces(3), directory=tmp_path)
        assert not batch.counts
        async with batch as outcomes:
            async for _ in outcomes:
                counts = await asyncio.to_thread(lambda: outcomes.counts)
                assert sum(counts.values()) == 3
                assert counts[S.DONE] >= 1
        assert {state: count for state, count in batch.counts.items() if count} == {S.DONE: 3}


async def test_rows_that_are_done_are_not_made_again(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(3), tmp_path)
        asked = len(box.book.requests)
        assert await run(client, pieces(3), tmp_path) == []
        assert len(box.book.requests) == asked
        outcomes = await run(client, pieces(5), tmp_path)
        assert sorted(outcome.row for outcome in outcomes) == [4, 5]


async def test_results_are_sorted_and_hand_unknown_fields_through(tmp_path: Path) -> None:
    requests: list[RequestLike] = [
        {"id": "slow", "prompt": "sitar", "max_new_token": 256, "mood": "blue", "n": [1]},
        "piece",
    ]
    async with Sandbox(quick(generation_seconds=(0.0, 0.1))) as box, client_of(box) as client:
        await run(client, requests, tmp_path, template="{id}")
        first, second = results(tmp_path)
        assert first["fields"] == {"mood": "blue", "n": [1]}
        assert (first["id"], first["path"], first["attempts"]) == ("slow", "slow.wav", 1)
        assert first["track_id"] == str(next(iter(box.book.jobs.values())).track_id)
        assert (second["fields"], second["reason"]) == ({}, None)


async def test_rejected_rows_are_made_anew_only_when_told_so(tmp_path: Path) -> None:
    no = Fault(
        on="submit",
        kind="answer",
        status=400,
        body='{"status": "error", "message": "not this prompt"}',
        accepted=False,
    )
    async with Sandbox(quick(no)) as box, client_of(box, max_jobs=1) as client:
        assert isinstance(errors(await run(client, pieces(2), tmp_path))[1], BadRequest)
        assert await run(client, pieces(2), tmp_path) == []
        [outcome] = await run(client, pieces(2), tmp_path, retry={S.REJECTED})
        assert isinstance(outcome, Succeeded)
        assert set(paid(box).values()) == {1}
        assert results(tmp_path)[0]["attempts"] == 2


async def test_failed_rows_are_made_anew_only_when_told_so(tmp_path: Path) -> None:
    async with Sandbox(quick(status="error")) as box, client_of(box) as client:
        told = errors(await run(client, pieces(2), tmp_path))
        assert {type(error) for error in told.values()} == {JobFailed}
        assert "model ran out" in results(tmp_path)[0]["reason"]
        box.scenario = quick()
        assert await run(client, None, tmp_path) == []
        assert len(await run(client, None, tmp_path, retry=["failed"])) == 2
        assert states(tmp_path) == {S.DONE: 2}
        assert set(paid(box).values()) == {2}  # a failed job may have been paid for


async def test_states_that_cannot_be_made_anew_are_refused_at_once(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        for wrong in (S.DONE, S.READY, "doned"):
            with pytest.raises(ConfigurationError, match="retry accepts rejected, failed"):
                client.batch(pieces(1), directory=tmp_path, retry=[wrong])  # type: ignore[list-item]


@pytest.mark.parametrize("given", [{"retry": S.FAILED}, {"retry": "failed"}, {"retry_rows": "12"}])
async def test_one_text_is_not_taken_for_several_states_or_rows(
    given: dict[str, Any], tmp_path: Path
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match=f"{next(iter(given))} is .* into a list"):
            client.batch(pieces(1), directory=tmp_path, **given)


async def test_a_job_that_takes_too_long_goes_on_in_the_next_run(tmp_path: Path) -> None:
    async with Sandbox(quick(generation_seconds=30, eta_factor=0.001)) as box:
        async with client_of(box, timeout=0.1) as client:
            told = errors(await run(client, pieces(2), tmp_path))
            assert {type(error) for error in told.values()} == {JobTimeout}
        assert states(tmp_path) == {S.DETACHED: 2}
        box.advance(30)
        async with client_of(box) as client:
            assert len(await run(client, pieces(2), tmp_path)) == 2
        assert states(tmp_path) == {S.DONE: 2}
        assert len(box.book.debits) == 2


async def test_a_row_has_one_outcome_though_another_is_found_again_in_the_end(
    tmp_path: Path,
) -> None:
    lost = Fault(on="submit", kind="reset", skip=1)
    dead = Fault(on="download", kind="html", times=None)
    async with Sandbox(quick(lost, dead)) as box, client_of(box, max_jobs=1) as client:
        outcomes = await run(client, pieces(3), tmp_path)
        assert sorted(outcome.row for outcome in outcomes) == [1, 2, 3]


@pytest.mark.parametrize("anyio_backend", [virtual()], ids=["virtual"])
async def test_d30_a_finished_job_without_a_file_is_said_to_be_lost(tmp_path: Path) -> None:
    gone = Fault(on="download", kind="answer", status=404, times=None)
    async with Sandbox(quick(gone)) as box:
        async with client_of(box) as client:
            told = errors(await run(client, pieces(1), tmp_path))
            assert isinstance(told[1], OutputLost)
            assert states(tmp_path) == {S.OUTPUT_LOST: 1}
            assert results(tmp_path)[0]["reason"] == rows(tmp_path)[0].error
            box.scenario = quick()
            assert await run(client, pieces(1), tmp_path) == []
            [found] = await run(client, pieces(1), tmp_path, retry=["output_lost"])
            assert isinstance(found, Succeeded)
        assert (len(box.book.debits), states(tmp_path)) == (1, {S.DONE: 1})


@pytest.mark.parametrize("anyio_backend", [virtual()], ids=["virtual"])
async def test_d19_a_busy_host_and_a_dead_mirror_are_no_proof_that_a_file_is_lost(
    tmp_path: Path,
) -> None:
    busy = Fault(on="download", kind="edge", host="primary", times=None)
    dead = Fault(on="download", kind="answer", status=404, host="mirror", times=None)
    gone = Fault(on="download", kind="answer", status=404, host="future", times=None)
    async with Sandbox(quick(busy, dead, gone)) as box, client_of(box) as client:
        told = errors(await run(client, pieces(1), tmp_path))
        assert isinstance(told[1], IncompleteDownload)
        assert states(tmp_path) == {S.READY: 1}


async def test_fresh_links_are_asked_for_where_the_ticket_said(tmp_path: Path) -> None:
    dead = Fault(on="download", kind="answer", status=404, times=6)
    scenario = evolve(quick(dead), id="fetch_differs")
    async with Sandbox(scenario) as box, client_of(box) as client:
        [done] = await run(client, pieces(1), tmp_path)
        assert isinstance(done, Succeeded)
        fetches = [one.path for one in box.book.requests if "/fetch/" in one.path]
        assert len(fetches) > len(set(fetches)) == 1


DOWN = Fault(on="submit", kind="edge", status=502, times=None, accepted=False)


@pytest.mark.parametrize("anyio_backend", [virtual()], ids=["virtual"])
async def test_a_service_that_is_down_stops_the_batch_before_all_rows_are_ambiguous(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick(DOWN)) as box, client_of(box, max_jobs=2) as client:
        await run_until_stopped(client, pieces(40), tmp_path, SubmitUnknown, "submits in a row")
        assert 13 <= states(tmp_path)[S.AMBIGUOUS] <= 20


@pytest.mark.parametrize("anyio_backend", [virtual()], ids=["virtual"])
async def test_a_service_that_refuses_some_rows_is_not_down(tmp_path: Path) -> None:
    no = Fault(
        on="submit",
        kind="answer",
        status=400,
        body='{"status": "error", "message": "the prompt is refused"}',
        times=None,
        accepted=False,
    )
    some = quick(evolve(DOWN, probability=0.6), no)
    async with Sandbox(some) as box, client_of(box, max_jobs=2) as client:
        assert len(await run(client, pieces(60), tmp_path)) == 60
    assert set(states(tmp_path)) == {S.AMBIGUOUS, S.REJECTED}


async def test_a_track_id_of_the_callers_own_names_one_row_of_all_manifests(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        first = [{"id": "a", "prompt": "one", "track_id": 7}]
        await run(client, first, tmp_path)
        assert await run(client, first, tmp_path) == []
        again = [{"id": "b", "prompt": "two", "track_id": "7"}, {"id": "c", "prompt": "three"}]
        with pytest.raises(LedgerError, match="row b has the track_id of another row: 7"):
            await run(client, again, tmp_path)
        assert (len(box.book.debits), states(tmp_path)) == (1, {S.DONE: 1})


async def test_d05_a_page_instead_of_a_file_is_brought_by_the_next_run(tmp_path: Path) -> None:
    page = Fault(on="download", kind="html", times=None)
    async with Sandbox(quick(page)) as box, client_of(box) as client:
        told = errors(await run(client, pieces(2), tmp_path))
        assert all(isinstance(error, DownloadError) for error in told.values())
        assert states(tmp_path) == {S.READY: 2}
        box.scenario = quick()
        outcomes = await run(client, None, tmp_path)
        assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
        assert submits(box) == 2


async def test_d28_a_file_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    other = tmp_path / "00001-piece-1.wav"
    slow = Fault(on="download", kind="delay", seconds=0.3, times=1)
    async with Sandbox(quick(slow)) as box, client_of(box) as client:
        async with client.batch(pieces(1), directory=tmp_path) as outcomes:
            while not box.book.debits:  # a name that is taken before is found before payment
                await anyio.sleep(0.01)
            other.write_text("mine")
            told = errors([outcome async for outcome in outcomes])
        assert "nothing was overwritten" in str(told[1])
        assert other.read_text() == "mine"
        other.unlink()
        await run(client, None, tmp_path)
        assert other.read_bytes() == box.canonical(next(iter(box.book.jobs)))


async def test_the_next_submit_leaves_when_a_job_is_finished_and_not_when_its_file_is_here(
    tmp_path: Path,
) -> None:
    slow = Fault(on="download", kind="delay", seconds=30, times=None)
    async with Sandbox(quick(slow)) as box:
        async with (
            client_of(box, max_jobs=2) as client,
            client.batch(pieces(10), directory=tmp_path),
        ):
            with anyio.fail_after(5):
                while len(box.book.debits) < 10:
                    await anyio.sleep(0.01)
            assert not list(tmp_path.glob("*.wav"))
        assert box.book.peak_queue <= 2
        box.scenario = quick()
        async with client_of(box) as client:
            await run(client, pieces(10), tmp_path)
        assert states(tmp_path) == {S.DONE: 10}
        assert submits(box) == 10


# Requests without end


async def test_requests_without_end_are_read_only_as_far_as_there_is_room(tmp_path: Path) -> None:
    read = 0

    async def endless() -> AsyncIterator[MusicGen]:
        nonlocal read
        for piece in map(pieces, itertools.repeat(1), itertools.count(1)):
            read += 1
            yield piece[0]

    async with Sandbox(quick()) as box, client_of(box, max_jobs=2) as client:
        async with client.batch(endless(), directory=tmp_path) as outcomes:
            taken = [await anext(outcomes) for _ in range(10)]
        assert {type(outcome) for outcome in taken} == {Succeeded}
        assert read <= 10 + 30
        assert read == len(rows(tmp_path))


async def test_a_request_is_sent_when_it_comes_though_the_next_may_never_come(
    tmp_path: Path,
) -> None:
    async def one_and_silence() -> AsyncIterator[MusicGen]:
        yield pieces(1)[0]
        await anyio.sleep_forever()

    async with (
        Sandbox(quick()) as box,
        client_of(box) as client,
        client.batch(one_and_silence(), directory=tmp_path) as outcomes,
    ):
        with anyio.fail_after(5):
            assert isinstance(await anext(outcomes), Succeeded)


async def test_a_stop_does_not_wait_for_the_next_request(tmp_path: Path) -> None:
    async def one_and_silence() -> AsyncIterator[MusicGen]:
        yield pieces(1)[0]
        await anyio.sleep_forever()

    async with Sandbox(quick(), balance=0.0) as box, client_of(box) as client:
        with anyio.fail_after(5):
            await run_until_stopped(
                client, one_and_silence(), tmp_path, Exception, "Insufficient credits"
            )


async def test_an_error_of_the_requests_is_raised_as_itself_when_what_is_paid_has_ended(
    tmp_path: Path,
) -> None:
    async def broken() -> AsyncIterator[MusicGen]:
        for piece in pieces(5):
            yield piece
        raise ZeroDivisionError("mine")

    async with Sandbox(quick()) as box, client_of(box, max_jobs=2) as client:
        outcomes = await run_until_stopped(client, broken(), tmp_path, ZeroDivisionError)
        assert len(outcomes) == len(box.book.debits) == states(tmp_path)[S.DONE]


# Leaving early


async def leave_and_finish(box: Sandbox, directory: Path) -> None:
    """What was left is made by the next run, and nothing of it twice."""
    sent = submits(box)
    with anyio.fail_after(10):
        async with client_of(box) as client:
            await run(client, pieces(20), directory)
    assert states(directory) == {S.DONE: 20}
    assert submits(box) == 20 >= sent
    assert set(paid(box).values()) == {1}


SLOW_ANSWER = Fault(on="submit", kind="delay", seconds=0.2, times=3)


async def break_in(client: ModelsLab, directory: Path) -> None:
    async with client.batch(pieces(20), directory=directory) as outcomes:
        async for _ in outcomes:
            raise KeyError("mine")


async def test_x05_an_exception_in_the_block_is_raised_as_itself(tmp_path: Path) -> None:
    async with Sandbox(quick(SLOW_ANSWER)) as box:
        async with client_of(box, max_jobs=3) as client:
            with pytest.raises(KeyError, match="mine"):
                await break_in(client, tmp_path)
            left = states(tmp_path)
            assert left[S.SUBMITTING] == left[S.AMBIGUOUS] == 0
            assert sum(left.values()) - left[S.PLANNED] == len(box.book.debits) < 20
        await leave_and_finish(box, tmp_path)


async def test_a_break_submits_nothing_more(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        async with client_of(box, max_jobs=2) as client:
            async with client.batch(pieces(20), directory=tmp_path) as outcomes:
                async for _ in outcomes:
                    break
            sent = submits(box)
            await anyio.lowlevel.checkpoint()
            assert submits(box) == sent == len(box.book.debits)
        await leave_and_finish(box, tmp_path)


async def until_sent(box: Sandbox, count: int) -> None:
    while submits(box) < count:
        await anyio.sleep(0.005)


@pytest.mark.parametrize("times", [1, 3])
async def test_x02_a_native_cancellation_records_what_is_on_its_way(
    tmp_path: Path, times: int
) -> None:
    async with Sandbox(quick(SLOW_ANSWER)) as box:
        async with client_of(box, max_jobs=3) as client:
            task = asyncio.create_task(run(client, pieces(20), tmp_path))
            await until_sent(box, 2)
            for _ in range(times):
                task.cancel()
                await anyio.lowlevel.checkpoint()
            with pytest.raises(asyncio.CancelledError):
                await task
        left = states(tmp_path)
        assert left[S.SUBMITTING] == left[S.AMBIGUOUS] == 0
        assert sum(left.values()) - left[S.PLANNED] == len(box.book.debits)
        await leave_and_finish(box, tmp_path)


async def test_x01_a_scope_that_is_cancelled_records_what_is_on_its_way(tmp_path: Path) -> None:
    async with Sandbox(quick(SLOW_ANSWER)) as box:
        async with client_of(box, max_jobs=3) as client, anyio.create_task_group() as group:
            group.start_soon(run, client, pieces(20), tmp_path)
            await until_sent(box, 2)
            group.cancel_scope.cancel()
        left = states(tmp_path)
        assert left[S.SUBMITTING] == left[S.AMBIGUOUS] == 0
        assert sum(left.values()) - left[S.PLANNED] == len(box.book.debits)
        await leave_and_finish(box, tmp_path)


async def test_x01_a_batch_cancelled_at_any_turn_of_the_loop_pays_for_nothing_twice(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box:
        for turn in range(0, 90, 5):
            folder = tmp_path / f"{turn}"
            requests = [
                MusicGen(f"turn {turn} {n}", max_new_token=256, sampling_rate=10000)
                for n in range(2)
            ]
            async with client_of(box) as client:
                task = asyncio.create_task(run(client, requests, folder))
                for _ in range(turn):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                await run(client, requests, folder)
            assert states(folder) == {S.DONE: 2}
        assert set(paid(box).values()) == {1}


async def test_a_second_batch_in_the_directory_is_refused_while_one_runs(tmp_path: Path) -> None:
    async with (
        Sandbox(quick()) as box,
        client_of(box) as client,
        client.batch(pieces(1), directory=tmp_path) as first,
    ):
        with pytest.raises(LedgerError, match="works on"):
            await run(client, pieces(1), tmp_path)
        assert [type(outcome) async for outcome in first] == [Succeeded]


# A full disk

FULL = """
import asyncio, sys
from pathlib import Path
from modelslab_async import LedgerError, DownloadError, ModelsLab, MusicGen, PollPolicy

async def main(url, key, folder):
    poll = PollPolicy(first=0.01, min_interval=0.01, max_interval=0.05, rate=5000)
    short = dict(max_new_token=256, sampling_rate=10000)
    requests = [MusicGen(f"piece {n}", **short) for n in range(1, 31)]
    async with ModelsLab(key, base_url=url, poll=poll) as client:
        async with client.batch(requests, directory=folder) as outcomes:
            try:
                async for outcome in outcomes:
                    pass
            except (LedgerError, DownloadError) as error:
                print(type(error).__name__)
                return
    print("ended")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("spare", ["1200k", "1500k", "2500k"])
async def test_l04_a_disk_that_runs_full_loses_nothing(tmp_path: Path, spare: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size={spare} tmpfs {small} || exit 9; "
        f'"$@" {small}/out; mount -o remount,size=64m {small} || exit 9; '
        f'"$@" {small}/out; cp -r {small}/out {tmp_path}/kept'
    )
    async with Sandbox(quick()) as box:
        child = [sys.executable, "-W", "error", "-c", FULL, box.url, box.key]
        shell = ["unshare", "-Urm", "sh", "-c", script, "sh", *child]
        try:
            ran = await anyio.run_process(shell, check=False, stderr=subprocess.STDOUT)
        except FileNotFoundError:
            pytest.skip("needs the unshare command")
        if ran.returncode == 9 or b"unshare: " in ran.stdout:
            pytest.skip("needs a mount namespace")
        told = ran.stdout.decode().splitlines()
        assert [line for line in told if line in ("LedgerError", "DownloadError")], told
        assert told[-1] == "ended", told
        assert states(tmp_path / "kept") == {S.DONE: 30}
        assert set(paid(box).values()) == {1}
        assert files(tmp_path / "kept") == {row.path for row in rows(tmp_path / "kept")}


async def test_results_that_cannot_be_written_stop_the_batch_and_say_so(tmp_path: Path) -> None:
    taken = tmp_path / ".results.jsonl.part"  # the place of the file that is being written
    taken.mkdir()
    async with Sandbox(quick()) as box, client_of(box) as client:
        assert len(await run_until_stopped(client, pieces(2), tmp_path, LedgerError)) == 2
        taken.rmdir()
        await run(client, None, tmp_path)
        assert len(results(tmp_path)) == len(box.book.debits) == 2


async def test_a_batch_may_take_fewer_places_than_the_client_has(tmp_path: Path) -> None:
    scenario = Scenario(generation_seconds=0.02, eta="float")
    requests = [MusicGen(f"piece {number}", max_new_token=256) for number in range(12)]
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        async with client.batch(requests, directory=tmp_path, max_jobs=2) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 12
        assert box.book.peak_queue <= 2
