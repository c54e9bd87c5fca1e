"""A process that was stopped for minutes has waited for nothing meanwhile (X12, X14, X24)."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import DownloadPolicy, JobTimeout, MusicGen, PollPolicy, SubmitUnknown
from modelslab_async._engine.aio import time_limit
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..simulation.loop import VirtualLoop
from ..support.fastloop import virtual
from ..support.quick import client_of
from ..support.tracks import Host, done, says, track, wav

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rain", max_new_token=256, track_id=4711)
POLITE = PollPolicy()
HELD = Scenario(faults=(Fault(on="submit", kind="delay", seconds=340.0),))


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual()


async def stop(seconds: float, *, after: float) -> None:
    """Stop this process, as Ctrl-Z or a paused container does; the world goes on."""
    await asyncio.sleep(after)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.skip(seconds)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("after", [0.5, 20, 50])
async def test_x24_a_submit_whose_process_is_stopped_keeps_the_rest_of_its_time(
    after: float,
) -> None:
    async with Sandbox(scenario=HELD) as box, client_of(box, submit_timeout=60) as client:
        stopping = asyncio.create_task(stop(300, after=after))
        job = await client.submit(REQUEST)
        assert {int(job.id)} == set(box.book.jobs)
        await stopping


async def test_x24_a_submit_whose_process_runs_has_its_time_and_no_more() -> None:
    async with Sandbox(scenario=HELD) as box, client_of(box, submit_timeout=60) as client:
        begun = now()
        with pytest.raises(SubmitUnknown):
            await client.submit(REQUEST)
        assert 60 <= now() - begun < 61


@pytest.mark.parametrize("timeout", [None, 200.0])
@pytest.mark.parametrize("after", [5, 100, 190])
@pytest.mark.parametrize("eta", ["absent", "int"])
async def test_x24_jobs_of_a_process_that_is_stopped_do_not_time_out_for_it(
    timeout: float | None, after: float, eta: Any
) -> None:
    long = Scenario(generation_seconds=780, eta=eta)
    async with (
        Sandbox(scenario=long) as box,
        client_of(box, poll=POLITE, timeout=200) as client,
    ):
        jobs = [await client.submit(REQUEST) for _ in range(5)]
        stopping = asyncio.create_task(stop(600, after=after))
        for job in jobs:
            assert (await job.result(timeout)).files
        await stopping


async def test_x24_a_job_that_is_not_ready_in_its_running_time_does_time_out() -> None:
    async with (
        Sandbox(scenario=Scenario(never_finishes=True)) as box,
        client_of(box, poll=POLITE, timeout=200) as client,
    ):
        job = await client.submit(REQUEST)
        stopping = asyncio.create_task(stop(600, after=50))
        begun = now()
        with pytest.raises(JobTimeout):
            await job.result()
        assert 790 <= now() - begun < 850
        await stopping


async def test_x12_after_a_stop_jobs_are_not_asked_about_all_at_once() -> None:
    long = Scenario(generation_seconds=780, eta="absent")
    policy = PollPolicy(rate=5)
    async with (
        Sandbox(scenario=long) as box,
        client_of(box, poll=policy, timeout=900, max_jobs=5) as client,
    ):
        jobs = [await client.submit(REQUEST) for _ in range(5)]
        await stop(600, after=5)
        begun = now()
        await asyncio.gather(*(job.result() for job in jobs))
        path = "/api/v6/voice/fetch"
        times = [one.time for one in box.book.requests if one.path.startswith(path)]
        assert len([at for at in times if 0 <= at - begun < 0.5]) <= 3


DOWNLOADS = """
import asyncio, sys
from modelslab_async import DownloadPolicy, ModelsLab, RemoteFile

async def main():
    policy = DownloadPolicy(timeout=2, patience=2)
    async with ModelsLab("no-key", base_url="http://127.0.0.1:9", download=policy) as client:
        await client.download(RemoteFile((sys.argv[1],), "4711"), sys.argv[2])

asyncio.run(main())
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("sent_before", [0, 20], ids=["nothing", "half_a_head"])
async def test_x24_a_real_process_that_is_stopped_reads_what_came_meanwhile(
    sent_before: int, tmp_path: Path
) -> None:
    whole = wav()
    answer = says(whole)
    waits, rest = asyncio.Event(), asyncio.Event()

    async def in_two(writer: asyncio.StreamWriter) -> None:
        writer.write(answer[:sent_before])
        await writer.drain()
        waits.set()
        await rest.wait()
        writer.write(answer[sent_before:])
        await writer.drain()

    async with Host(in_two, says(b"", status="404 Not Found")) as host:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DOWNLOADS, f"{host.url}/a.wav", f"{tmp_path}/")
        )
        await waits.wait()
        process.send_signal(signal.SIGSTOP)
        rest.set()
        await asyncio.sleep(3)  # longer than all limits of the process
        process.send_signal(signal.SIGCONT)
        assert await process.wait() == 0
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [whole]


LATE = {
    "before_the_head": Fault(on="download", kind="delay", seconds=320.0),
    "in_the_body": Fault(on="download", kind="drip", seconds=320.0, at=120_000),
    "dripping": Fault(on="download", kind="drip", seconds=1.0, at=4096),
}


@pytest.mark.parametrize("after", [0.5, 5.0, 19.0])
@pytest.mark.parametrize("fault", LATE.values(), ids=list(LATE))
async def test_x24_a_download_whose_process_is_stopped_is_one_download(
    fault: Fault, after: float, tmp_path: Path
) -> None:
    async with track(tmp_path, done(fault), policy=DownloadPolicy()) as made:
        stopping = asyncio.create_task(stop(300, after=after))
        saved = await made.save()
        assert saved.path.read_bytes() == made.whole
        assert (made.statuses(), made.statuses("mirror")) == ([200], [])
        await stopping


@pytest.mark.parametrize("after", [0.1, 10, 100])
async def test_x24_patience_with_dead_links_is_for_as_long_as_the_process_runs(
    after: float, tmp_path: Path
) -> None:
    lag = done(cdn_lag_seconds=400, cdn_lag_on="both")
    async with track(tmp_path, lag, policy=DownloadPolicy()) as made:
        stopping = asyncio.create_task(stop(300, after=after))
        assert (await made.save()).path.read_bytes() == made.whole
        await stopping


@pytest.mark.parametrize("fault", [LATE["before_the_head"], LATE["in_the_body"]])
async def test_d04_a_silent_link_of_a_process_that_runs_is_left_when_its_time_is_over(
    fault: Fault, tmp_path: Path
) -> None:
    async with track(tmp_path, done(fault), policy=DownloadPolicy(timeout=30)) as made:
        begun = now()
        assert (await made.save()).path.read_bytes() == made.whole
        assert 30 <= now() - begun < 32


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.001, 1.0, 90.0])
async def test_a_time_limit_lasts_as_long_as_it_says(seconds: float) -> None:
    begun = now()
    with pytest.raises(TimeoutError):
        async with time_limit(seconds):
            await asyncio.sleep(1000)
    assert abs(now() - begun - max(0.0, seconds)) < 1e-3


async def test_a_time_limit_that_is_kept_leaves_nothing_behind() -> None:
    async with time_limit(5):
        await asyncio.sleep(4)
    await asyncio.sleep(100)


@pytest.mark.parametrize("stops", [1, 3])
async def test_time_for_which_the_process_is_stopped_is_not_counted(stops: int) -> None:
    async def limited() -> None:
        async with time_limit(40):
            for _ in range(stops):
                await stop(500, after=10)
            await asyncio.sleep(1000)

    begun = now()
    with pytest.raises(TimeoutError):
        await limited()
    assert 500 * stops + 36 <= now() - begun <= 500 * stops + 41
