"""X rows: cancel a submit wherever it stands, and no job that was paid for is without a name.

A job is named by what the caller got back, by the cancellation (``.job``), by ``client.jobs``, or
by a `SubmitUnknown` with its ``track_id``.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from modelslab_async import Generation, Job, ModelsLab, MusicGen
from modelslab_async._engine.aio import in_thread
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.quick import client_of

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rock music from the 90s", max_new_token=256)
MANY = 100
NEVER = Scenario(never_finishes=True)
AT_ONCE = Scenario(mode="sync", generation_seconds=0)


async def turns(count: int) -> None:
    """Let the event loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def id_of(error: BaseException | None) -> set[str]:
    """The job that an exception, or what it was made from, holds."""
    if error is None:
        return set()
    text = getattr(error, "job", None)
    own = {str(json.loads(text)["id"])} if text else set()
    return own | id_of(error.__cause__)


async def outcome(awaitable: Awaitable[Job | Generation]) -> set[str]:
    try:
        return {(await awaitable).id}
    except (asyncio.CancelledError, TimeoutError) as error:
        return id_of(error)


# --- ways to be cancelled: each runs the work, and cancels it after so many turns ---------------

Work = Callable[[], Awaitable[Job | Generation]]


async def natively(work: Work, after: int) -> set[str]:
    task = asyncio.ensure_future(work())
    await turns(after)
    task.cancel()
    return await outcome(task)


async def natively_three_times(work: Work, after: int) -> set[str]:
    task = asyncio.ensure_future(work())
    for pause in (after, 1, 1):
        await turns(pause)
        task.cancel()
    return await outcome(task)


async def by_asyncio_timeout(work: Work, after: int) -> set[str]:
    async def limited() -> Job | Generation:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            return await work()

    limits: list[asyncio.Timeout] = []
    task = asyncio.create_task(limited())
    await turns(after + 1)
    if not task.done():
        limits[0].reschedule(0)
    return await outcome(task)


async def by_anyio_scope(work: Work, after: int) -> set[str]:
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().create_task(_cancel(scope, after))
        return {(await work()).id}
    return set()


async def by_anyio_fail_after(work: Work, after: int) -> set[str]:
    try:
        with anyio.fail_after(60) as scope:
            asyncio.get_running_loop().create_task(_expire(scope, after))
            return {(await work()).id}
    except TimeoutError as error:
        return id_of(error)


async def _cancel(scope: anyio.CancelScope, after: int) -> None:
    await turns(after)
    scope.cancel()


async def _expire(scope: anyio.CancelScope, after: int) -> None:
    await turns(after)
    scope.deadline = anyio.current_time()


async def by_a_sibling_that_fails(work: Work, after: int) -> set[str]:
    async def fail() -> None:
        await turns(after)
        raise LookupError

    found: set[str] = set()

    async def watched() -> None:
        found.update({(await work()).id})

    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(watched())
            group.create_task(fail())
    return found


WAYS = {
    "x01_anyio_scope": by_anyio_scope,
    "x02_native": natively,
    "x03_native_three_times": natively_three_times,
    "x04_asyncio_timeout": by_asyncio_timeout,
    "x04_anyio_fail_after": by_anyio_fail_after,
    "x05_sibling": by_a_sibling_that_fails,
}
Way = Callable[[Work, int], Awaitable[set[str]]]


async def sweep(box: Sandbox, client: ModelsLab, way: Way, work: Work) -> list[bool]:
    """Cancel at every turn of a submit; whether a job was made, each time."""
    made = []
    for after in itertools.count():
        before = set(box.book.jobs)
        found = await way(work, after)
        found |= {job.id for job in client.jobs}
        assert {str(number) for number in box.book.jobs} - {str(one) for one in before} <= found
        made.append(set(box.book.jobs) != before)
        if made[-10:] == [True] * 10 and after > 60:
            return made
    raise AssertionError


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("method", ["submit", "generate"])
async def test_a_job_that_is_cancelled_anywhere_has_a_name(way: Way, method: str) -> None:
    boxed = Sandbox(scenario=NEVER, slots=MANY)
    async with boxed as box, client_of(box, max_jobs=MANY) as client:
        await sweep(box, client, way, lambda: getattr(client, method)(REQUEST))


@pytest.mark.parametrize(
    "way", [natively, natively_three_times, by_asyncio_timeout, by_anyio_scope]
)
async def test_a_job_that_is_finished_at_once_has_a_name_too(way: Way) -> None:
    async with Sandbox(scenario=AT_ONCE) as box, client_of(box) as client:
        await sweep(box, client, way, lambda: client.submit(REQUEST))


async def test_a_submit_that_is_cancelled_leaves_no_place_taken() -> None:
    async with Sandbox(scenario=AT_ONCE) as box, client_of(box, max_jobs=1) as client:
        for way in WAYS.values():
            for after in range(0, 60, 3):
                await way(lambda: client.generate(REQUEST), after)
        assert (await client.generate(REQUEST)).files


# --- cancelled before it begins ----------------------------------------------------------------


async def test_x02_a_task_that_is_cancelled_already_does_not_pay() -> None:
    async with Sandbox() as box, client_of(box) as client:

        async def cancelled() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await client.submit(REQUEST)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(cancelled())
        assert not box.book.requests


async def test_x01_a_scope_that_is_cancelled_already_does_not_pay() -> None:
    async with Sandbox() as box, client_of(box) as client:
        with anyio.move_on_after(0):
            await client.submit(REQUEST)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.submit(REQUEST)
        assert not box.book.requests


async def test_x04_a_time_that_is_over_already_does_not_pay() -> None:
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await client.submit(REQUEST)
        assert not box.book.requests


# --- cancelled while it waits ------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_a_submit_that_is_cancelled_while_it_waits_for_a_place_is_not_sent(way: Way) -> None:
    async with Sandbox(scenario=NEVER) as box, client_of(box, max_jobs=1) as client:
        await client.submit(REQUEST)
        for after in range(10):
            assert not await way(lambda: client.submit(REQUEST), after)
        assert len(box.book.requests) == len(box.book.debits) == 1


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_x03_a_cancelled_caller_of_a_silent_server_is_told_that_a_job_may_exist(
    cancels: int, caplog: pytest.LogCaptureFixture
) -> None:
    silent = Fault(on="submit", kind="silent")
    async with Sandbox(scenario=Scenario(faults=(silent,))) as box:
        async with client_of(box, submit_timeout=0.1) as client:
            task = asyncio.create_task(client.submit(MusicGen("rock", track_id=4711)))
            while not box.book.debits:
                await asyncio.sleep(0)
            for _ in range(cancels):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
        (note,) = caught.value.__notes__
        assert "a job may exist and be billed, with track_id 4711" in note
        (said,) = [one for one in caplog.records if one.message == note]
        assert said.__dict__["track_id"] == 4711
        assert box.book.count("api", MusicGen.ENDPOINT) == 1


def test_a_caller_who_is_cancelled_while_the_disk_fails_leaves_no_error_behind() -> None:
    said: list[dict[str, Any]] = []
    begun, failing = threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        failing.wait()
        raise OSError(errno.ENOSPC, "full")

    async def cancel_it() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        task = asyncio.create_task(in_thread(write))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        failing.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_it())
    gc.collect()
    assert not said


async def test_a_cancellation_that_holds_a_job_says_how_to_go_on_with_it() -> None:
    late = Fault(on="submit", kind="delay", seconds=0.02)
    async with Sandbox(scenario=Scenario(polls_to_finish=2, faults=(late,))) as box:
        async with client_of(box) as client:
            task = asyncio.create_task(client.generate(REQUEST))
            while not box.book.debits:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            (job_id,) = box.book.jobs
            assert f"client.job('{job_id}')" in caught.value.__notes__[0]
        async with client_of(box) as client:
            handle: str = caught.value.job  # type: ignore[attr-defined]
            assert (await client.job(handle)).id == str(job_id)
        assert len(box.book.debits) == 1


async def test_x06_a_loop_that_cancels_every_task_ends_every_submit() -> None:
    for after in range(40):
        async with Sandbox(scenario=NEVER) as box, client_of(box) as client:
            task = asyncio.create_task(client.submit(REQUEST))
            await turns(after)
            for other in asyncio.all_tasks():
                if other is task or "Submitter" in getattr(other.get_coro(), "__qualname__", ""):
                    other.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait([task])
