"""A process that was stopped for minutes has waited for nothing meanwhile (X12, X14, X24)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelslab_async import JobTimeout, MusicGen, PollPolicy, SubmitUnknown
from modelslab_async._engine.aio import time_limit
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..simulation.loop import VirtualLoop
from ..support.fastloop import virtual
from ..support.quick import client_of

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
