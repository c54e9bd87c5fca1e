"""Threads beside the event loop: they read what is in memory, and are told where to wait (X20)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from modelslab_async import ConfigurationError, Job, JobStatus, ModelsLab, MusicGen
from modelslab_async.sandbox import Sandbox, Scenario

from ..support.quick import client_of

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rain", max_new_token=256)
ENDLESS = Scenario(never_finishes=True)
QUICK = Scenario(generation_seconds=0.02)

READERS: dict[str, Callable[[ModelsLab, Job], object]] = {
    "the jobs of a client": lambda client, _: client.jobs,
    "a job by its id": lambda client, job: client.job(job.id),
    "a job by its handle": lambda client, job: client.job(job.to_json()),
    "the status": lambda _, job: job.status,
    "the snapshot": lambda _, job: (job.snapshot.status, job.snapshot.polls, job.snapshot.eta),
    "the handle": lambda _, job: job.to_json(),
    "the client in words": lambda client, _: repr(client),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
async def test_x20_what_is_in_memory_is_read_from_any_thread(
    read: Callable[[ModelsLab, Job], object],
) -> None:
    async with Sandbox(scenario=ENDLESS) as box, client_of(box) as client:
        job = await client.submit(REQUEST)
        assert await asyncio.to_thread(read, client, job) == read(client, job)


async def test_x20_a_job_is_logged_in_any_thread(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox(scenario=ENDLESS) as box, client_of(box) as client:
        job = await client.submit(REQUEST)
        await asyncio.to_thread(logging.getLogger("app").warning, "%r", job)
    assert f"<Job {job.id} processing" in caplog.text


async def test_x20_a_job_that_was_taken_up_in_a_thread_is_waited_for_on_the_loop() -> None:
    async with Sandbox(scenario=QUICK) as box:
        async with client_of(box) as client:
            handle = (await client.submit(REQUEST)).to_json()
        async with client_of(box) as client:
            job = await asyncio.to_thread(client.job, handle)
            assert (await job.result()).files


async def test_a_client_that_is_not_open_says_so_in_a_thread_too() -> None:
    with pytest.raises(ConfigurationError, match="not open"):
        await asyncio.to_thread(lambda: ModelsLab("k" * 20).jobs)


async def _updates(job: Job) -> None:
    async for _ in job.updates():
        pass


WAITS: dict[str, Callable[[Job], Awaitable[object]]] = {
    "result": lambda job: job.result(),
    "result in time": lambda job: job.result(timeout=0.01),
    "wait": lambda job: job.wait(),
    "refresh": lambda job: job.refresh(),
    "updates": _updates,
    "await": lambda job: job,
}


async def elsewhere(make: Callable[[], Awaitable[object]]) -> Any:
    """What comes of it on another event loop, in a thread."""

    async def waited() -> object:
        return await make()

    return await asyncio.to_thread(lambda: asyncio.run(waited()))


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
async def test_x20_waiting_for_a_job_of_another_loop_is_a_clear_error_at_once(
    wait: Callable[[Job], Awaitable[object]],
) -> None:
    async with Sandbox(scenario=ENDLESS) as box, client_of(box) as client:
        job = await client.submit(REQUEST)
        before = job.state
        with pytest.raises(ConfigurationError, match="another event loop") as caught:
            await elsewhere(lambda: wait(job))
        assert (caught.value.job, caught.value.job_id) == (job.to_json(), job.id)
        assert f"client.job('{job.id}')" in str(caught.value)
        assert job.state is before
        assert job.status is JobStatus.PROCESSING


async def test_x20_a_finished_job_is_read_on_any_loop() -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        job = await client.submit(REQUEST)
        generation = await job.result()
        assert await elsewhere(job.result) == generation


async def test_x20_a_thread_waits_through_the_loop_of_the_client() -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        job = await client.submit(REQUEST)
        loop = asyncio.get_running_loop()

        def wait() -> Any:
            return asyncio.run_coroutine_threadsafe(job.result(), loop).result()

        assert (await asyncio.to_thread(wait)).id == job.id


CALLS: dict[str, Callable[[ModelsLab], Any]] = {
    "submit": lambda client: client.submit(REQUEST),
    "generate": lambda client: client.generate(REQUEST),
    "balance": lambda client: client.balance(),
    "queue_depth": lambda client: client.queue_depth(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_x20_a_call_on_another_loop_is_a_clear_error_and_pays_for_nothing(
    call: Callable[[ModelsLab], Any],
) -> None:
    async with Sandbox(scenario=ENDLESS) as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await elsewhere(lambda: call(client))
        assert not box.book.requests


async def test_x20_a_batch_made_in_a_thread_is_a_clear_error(tmp_path: Any) -> None:
    async with Sandbox(scenario=ENDLESS) as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(lambda: client.batch([REQUEST], directory=tmp_path / "x"))
        assert not (tmp_path / "x").exists()
