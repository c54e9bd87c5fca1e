"""Slots: the account's queue is kept full, never overfull, and nobody's place is lost."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import AsyncExitStack
from typing import Any

import pytest

from modelslab_async import (
    BadRequest,
    ConfigurationError,
    JobFailed,
    JobTimeout,
    ModelsLab,
    ModelsLabError,
    MusicGen,
    SubmitUnknown,
)
from modelslab_async._engine.queue import Slot, Slots, slots_of
from modelslab_async._engine.secret import Secret
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.quick import client_of

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rock music from the 90s", max_new_token=256)
QUICK = Scenario(generation_seconds=0.02, eta="float")
AT_ONCE = Scenario(mode="sync", generation_seconds=0)


def slots_with(places: int) -> Slots:
    slots = Slots()
    slots.join(places)
    return slots


def pace_of(box: Sandbox) -> Slots:
    return slots_of((box.url, Secret(box.key).fingerprint))


async def take(slots: Slots) -> Slot:
    slot = await slots.take()
    assert slot is not None
    return slot


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


class Line:
    """Tasks that wait for a place, and the order in which they got one."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.served: list[str] = []

    async def stand(self, name: str, **how: Any) -> asyncio.Task[Slot | None]:
        async def wait() -> Slot | None:
            slot = await self.slots.take(**how)
            self.served.append(name)
            return slot

        task = asyncio.create_task(wait())
        await settle()
        return task


# --- one place after the other ----------------------------------------------------------------


async def test_places_are_given_in_the_order_of_asking() -> None:
    slots = slots_with(1)
    line, slot = Line(slots), await take(slots)
    tasks = [await line.stand(name) for name in "abc"]
    for task in tasks:
        slot.release()
        held = await task
        assert held is not None
        slot = held
    assert line.served == ["a", "b", "c"]


async def test_who_was_refused_before_goes_before_newcomers() -> None:
    slots = slots_with(1)
    line, slot = Line(slots), await take(slots)
    await line.stand("newcomer")
    await line.stand("refused", retry=True)
    slot.release()
    await settle()
    assert line.served == ["refused"]


async def test_a_place_given_back_twice_is_given_back_once() -> None:
    slots = slots_with(2)
    slot, _ = await take(slots), await take(slots)
    slot.release()
    slot.release()
    assert slots.taken == 1


async def test_a_cancelled_waiter_leaves_the_line() -> None:
    slots = slots_with(1)
    line, slot = Line(slots), await take(slots)
    first, _ = await line.stand("first"), await line.stand("second")
    first.cancel()
    await settle()
    slot.release()
    await settle()
    assert line.served == ["second"]
    assert slots.taken == 1


async def test_a_place_handed_to_a_waiter_that_is_just_cancelled_goes_to_the_next() -> None:
    slots = slots_with(1)
    line, slot = Line(slots), await take(slots)
    first, _ = await line.stand("first"), await line.stand("second")
    slot.release()  # it is first's now, but first has not woken up yet
    first.cancel()
    await settle()
    assert line.served == ["second"]
    assert slots.taken == 1


async def test_a_waiter_cancelled_just_before_a_place_is_free_does_not_get_it() -> None:
    slots = slots_with(1)
    line, slot = Line(slots), await take(slots)
    first, _ = await line.stand("first"), await line.stand("second")
    first.cancel()
    slot.release()
    await settle()
    assert line.served == ["second"]
    assert slots.taken == 1


async def test_after_any_mixture_of_cancelling_and_giving_back_no_place_is_lost() -> None:
    slots = slots_with(3)
    line = Line(slots)
    tasks = [await line.stand(str(number)) for number in range(60)]
    for number, task in enumerate(tasks):
        if number % 3 == 0:
            task.cancel()
        await asyncio.wait([task], timeout=0 if number % 3 == 0 else None)
        if not task.cancelled() and task.done() and (slot := task.result()):
            slot.release()
    await settle()
    for task in tasks:
        if task.done() and not task.cancelled() and (slot := task.result()):
            slot.release()
    assert slots.taken == 0
    assert [await take(slots) for _ in range(3)]


# --- several clients --------------------------------------------------------------------------


async def test_the_smallest_setting_holds_for_all_while_its_client_is_open() -> None:
    slots = slots_with(10)
    slots.join(3)
    assert slots.limit == 3
    slots.leave(3)
    assert slots.limit == 10


async def test_a_maximum_that_the_server_named_stays_when_a_client_leaves() -> None:
    slots = slots_with(10)
    slots.join(6)
    slots.refused(
        await take(slots),
        maximum=4,
        retry_after=0,
    )
    assert slots.limit == 4
    slots.leave(6)
    assert slots.limit == 4


async def test_clients_with_one_key_share_the_account_and_others_do_not() -> None:
    async with Sandbox(scenario=QUICK) as box, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(box)) for _ in range(4)]
        await asyncio.gather(*(client.generate(REQUEST) for client in clients for _ in range(6)))
        assert len(box.book.debits) == 24
        assert box.book.count("api", MusicGen.ENDPOINT) == 24  # none was refused
        assert slots_of((box.url, Secret("another-long-key").fingerprint)) is not pace_of(box)


# --- when a place is given back ---------------------------------------------------------------

ENDINGS: dict[str, tuple[Scenario, type[ModelsLabError]]] = {
    "refused": (
        Scenario(faults=(Fault(on="submit", kind="json", status=400, accepted=False, times=9),)),
        BadRequest,
    ),
    "unknown": (
        Scenario(faults=(Fault(on="submit", kind="reset", accepted=False, times=9),)),
        SubmitUnknown,
    ),
    "failed": (Scenario(status="failed", generation_seconds=0), JobFailed),
    "timed_out": (Scenario(never_finishes=True), JobTimeout),
}


@pytest.mark.parametrize(("scenario", "kind"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_every_end_of_a_job_gives_its_place_back(
    scenario: Scenario, kind: type[ModelsLabError]
) -> None:
    settings = {"max_jobs": 1, "timeout": 0.05}
    async with Sandbox(scenario=scenario) as box, client_of(box, **settings) as client:
        for _ in range(3):
            with pytest.raises(kind):
                await client.generate(REQUEST)
        assert pace_of(box).taken == 0


async def test_a_place_is_free_before_the_download_begins() -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box, max_jobs=1) as client:
        generation = await client.generate(REQUEST)
        await settle()
        assert pace_of(box).taken == 0
        assert generation.files


async def test_a_job_that_nobody_waits_for_gives_its_place_back_all_the_same() -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box, max_jobs=1) as client:
        for _ in range(3):
            await client.submit(REQUEST)
            gc.collect()
        assert len(box.book.debits) == 3


# --- closing ----------------------------------------------------------------------------------


async def waiting(box: Sandbox, client: ModelsLab) -> asyncio.Task[Any]:
    task = asyncio.create_task(client.submit(REQUEST))
    while not box.book.count("api", MusicGen.ENDPOINT) or pace_of(box).taken:
        await asyncio.sleep(0)
    return task


async def test_a_client_that_closes_while_it_was_told_to_wait_lets_nobody_wait_for_ever() -> None:
    async with Sandbox(scenario=Scenario(taken_slots=5, retry_after=1000)) as box:
        async with client_of(box) as client:
            task = await waiting(box, client)
        with pytest.raises(ConfigurationError, match="closed before this request was sent"):
            await task
        assert not box.book.debits


async def test_a_client_that_closes_lets_nobody_wait_for_the_place_of_another_client() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box:
        async with client_of(box, max_jobs=1) as other:
            await other.submit(REQUEST)
            async with client_of(box, max_jobs=1) as client:
                task = asyncio.create_task(client.submit(REQUEST))
                staying = asyncio.create_task(other.submit(REQUEST))
                while len(pace_of(box)._waiting) < 2:
                    await asyncio.sleep(0)
            with pytest.raises(ConfigurationError, match="closed before this request was sent"):
                await task
            assert not staying.done()
        with pytest.raises(ConfigurationError):
            await staying
        assert len(box.book.debits) == 1


def test_a_loop_that_has_ended_is_forgotten_though_a_wait_was_left() -> None:
    async def leave_a_wait() -> weakref.ref[asyncio.AbstractEventLoop]:
        slots = slots_of(("https://modelslab.com", "an account that waits"))
        slots.join(1)
        slot = await slots.take()
        assert slot is not None
        slots.refused(slot, maximum=None, retry_after=1000)
        task = asyncio.create_task(slots.take())
        await asyncio.sleep(0)
        slots.leave(1)
        assert await task is None
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(leave_a_wait())
    gc.collect()
    assert loop() is None


async def test_a_session_that_closes_with_unfinished_jobs_names_each_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box:
        async with client_of(box) as client:
            jobs = [await client.submit(REQUEST) for _ in range(3)]
        said = [one for one in caplog.records if "is not finished" in one.message]
        named = {one.__dict__["job_id"] for one in said}
        assert named == {job.id for job in jobs} == {str(number) for number in box.book.jobs}
        assert pace_of(box).taken == 0


async def test_a_client_waits_for_the_answer_to_what_it_has_sent_before_it_closes() -> None:
    late = Fault(on="submit", kind="delay", seconds=0.05)
    async with Sandbox(scenario=Scenario(never_finishes=True, faults=(late,))) as box:
        async with client_of(box) as client:
            task = asyncio.create_task(client.submit(REQUEST))
            while not box.book.debits:
                await asyncio.sleep(0)
        (job_id,) = box.book.jobs
        assert (await task).id == str(job_id)


# --- many -------------------------------------------------------------------------------------


async def test_a_thousand_jobs_at_once_queue_up_and_none_fails() -> None:
    async with Sandbox(scenario=AT_ONCE) as box, client_of(box, timeout=5) as client:
        made = await asyncio.gather(*(client.generate(REQUEST) for _ in range(1000)))
        assert len({one.id for one in made}) == len(box.book.debits) == 1000
        assert box.book.peak_queue <= 5
        assert box.book.count("api", MusicGen.ENDPOINT) == 1000
        assert max(one.waited for one in made) < 5  # its own queueing does not count
