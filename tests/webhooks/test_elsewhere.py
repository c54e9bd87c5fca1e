"""Webhooks that are lost, late, or taken by another process or thread (W04, W16, W21, W23, W24)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import Job, ModelsLab, MusicGen, PollPolicy
from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.webhooks import Delivery, Inbox, MemoryInbox, SqliteInbox, WebhookReceiver

from ..support.fastloop import virtual
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

SECRET = "a secret of sixteen bytes"
NOWHERE = "http://127.0.0.1:9"
REQUEST = MusicGen("rain", max_new_token=256)
LONELY = PollPolicy(first=600, min_interval=600, max_interval=600, patience=60)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual()


class Store:
    """An inbox that processes share, such as one in Redis."""

    def __init__(self) -> None:
        self.kept: list[Delivery] = []

    async def put(self, delivery: Delivery) -> None:
        self.kept.append(delivery)

    async def take(self, track_id: str) -> list[Delivery]:
        return [one for one in self.kept if one.track_id == track_id]


class Broken(Store):
    async def take(self, track_id: str) -> list[Delivery]:
        raise RuntimeError("the store is away")


class Silent(Store):
    async def take(self, track_id: str) -> list[Delivery]:
        await asyncio.sleep(10_000)
        return []


def receiver_with(inbox: Inbox | None = None) -> WebhookReceiver:
    return WebhookReceiver(SECRET, NOWHERE, inbox=inbox)


async def deliver(receiver: WebhookReceiver, job: Job) -> None:
    """What ModelsLab posts when a job ends, as the process of this receiver takes it."""
    path = receiver.url_for(job.track_id or "").removeprefix(NOWHERE)
    body = f'{{"status": "success", "id": {job.id}, "output": ["https://e.test/a.wav"]}}'
    assert await receiver.deliver(path, body.encode()) == 200


def now() -> float:
    return asyncio.get_running_loop().time()


def fetches(box: Sandbox) -> int:
    return box.book.count(path_prefix="/api/v6/voice/fetch")


# --- another process takes the delivery


@asynccontextmanager
async def two_processes(
    tmp_path: Path, kind: str, **settings: Any
) -> AsyncIterator[tuple[Sandbox, ModelsLab, WebhookReceiver]]:
    """A client, and the receiver of another process that has the same inbox."""
    file = tmp_path / "hooks.sqlite3"
    scenario = Scenario(generation_seconds=30, eta="absent")
    async with AsyncExitStack() as stack:
        mine: Inbox = Store()
        theirs = mine
        if kind == "sqlite":
            mine, theirs = [await stack.enter_async_context(SqliteInbox(file)) for _ in range(2)]
        box = await stack.enter_async_context(Sandbox(scenario=scenario))
        client = await stack.enter_async_context(
            client_of(box, webhook=receiver_with(mine), **{"poll": LONELY, **settings})
        )
        yield box, client, receiver_with(theirs)


@pytest.mark.parametrize("kind", ["sqlite", "a store"])
async def test_w23_a_job_ends_within_a_second_of_its_delivery_to_another_process(
    kind: str, tmp_path: Path
) -> None:
    async with two_processes(tmp_path, kind) as (box, client, theirs):
        jobs = [await client.submit(REQUEST) for _ in range(3)]
        await asyncio.sleep(100)
        assert not fetches(box)
        for job in jobs:
            begun = now()
            await deliver(theirs, job)
            assert (await job.result()).files
            assert now() - begun < 1.0
        assert fetches(box) == 3


async def test_w23_a_job_ends_within_a_second_of_its_delivery_whatever_number_of_jobs_waits() -> (
    None
):
    class Far(Store):
        async def take(self, track_id: str) -> list[Delivery]:
            await asyncio.sleep(0.05)
            return await super().take(track_id)

    inbox, scenario = Far(), Scenario(generation_seconds=30, eta="absent")
    async with (
        Sandbox(scenario=scenario, slots=40) as box,
        client_of(box, webhook=receiver_with(inbox), poll=LONELY, max_jobs=40) as client,
    ):
        jobs = [await client.submit(REQUEST) for _ in range(40)]
        await asyncio.sleep(100)
        for job in (jobs[0], jobs[20], jobs[39]):
            begun = now()
            await deliver(receiver_with(inbox), job)
            assert (await job.result()).files
            assert now() - begun < 1.0


@pytest.mark.parametrize("kind", ["sqlite", "a store"])
async def test_w04_a_delivery_to_another_process_before_the_answer_to_the_submit_is_used(
    kind: str, tmp_path: Path
) -> None:
    async with two_processes(tmp_path, kind) as (box, client, theirs):
        box.scenario = Scenario(
            generation_seconds=0, faults=(Fault(on="submit", kind="delay", seconds=5.0),)
        )
        submitting = asyncio.create_task(client.submit(REQUEST))
        while not box.book.jobs:
            await asyncio.sleep(0.1)
        [made] = box.book.jobs.values()
        path = theirs.url_for(made.track_id or "").removeprefix(NOWHERE)
        await theirs.deliver(path, b'{"status": "success", "id": %d}' % made.id)
        job = await submitting
        begun = now()
        assert (await job.result()).files
        assert now() - begun < 1.0


@pytest.mark.parametrize("kind", ["sqlite", "a store"])
async def test_w23_a_job_that_was_taken_up_by_its_handle_is_looked_for_too(
    kind: str, tmp_path: Path
) -> None:
    async with two_processes(tmp_path, kind) as (box, client, theirs):
        handle = (await client.submit(REQUEST)).to_json()
        async with client_of(box, webhook=client._webhook, poll=LONELY) as other:
            job = other.job(handle)
            waiting = asyncio.create_task(job.result())
            await asyncio.sleep(100)
            begun = now()
            await deliver(theirs, job)
            assert (await waiting).files
            assert now() - begun < 1.0


@pytest.mark.parametrize("kind", ["sqlite", "a store"])
async def test_w05_a_lost_answer_is_found_by_a_delivery_to_another_process(
    kind: str, tmp_path: Path
) -> None:
    async with two_processes(tmp_path, kind) as (box, client, theirs):
        lost = Fault(on="submit", kind="reset", accepted=True)
        box.scenario = Scenario(generation_seconds=1, faults=(lost,))
        submitting = asyncio.create_task(client.submit(REQUEST))
        while not box.book.jobs:
            await asyncio.sleep(0.1)
        [made] = box.book.jobs.values()
        await asyncio.sleep(10)
        path = theirs.url_for(made.track_id or "").removeprefix(NOWHERE)
        await theirs.deliver(path, b'{"status": "success", "id": %d}' % made.id)
        assert (await submitting).id == str(made.id)
        assert len(box.book.debits) == 1


async def test_an_inbox_of_this_process_alone_is_not_looked_into_again_and_again() -> None:
    class Counted(MemoryInbox):
        looks = 0

        async def take(self, track_id: str) -> list[Delivery]:
            self.looks += 1
            return await super().take(track_id)

    inbox, scenario = Counted(), Scenario(generation_seconds=30, eta="absent")
    async with (
        Sandbox(scenario=scenario) as box,
        client_of(box, webhook=receiver_with(inbox), poll=LONELY) as client,
    ):
        job = await client.submit(REQUEST)
        await asyncio.sleep(100)
        assert inbox.looks == 1
        await deliver(client._webhook or receiver_with(), job)
        assert (await job.result()).files


async def test_w23_a_receiver_that_is_served_in_a_thread_wakes_the_loop_of_the_client() -> None:
    receiver = receiver_with()
    async with (
        Sandbox(scenario=Scenario(generation_seconds=0, eta="absent")) as box,
        client_of(box, webhook=receiver, poll=LONELY) as client,
    ):
        job = await client.submit(REQUEST)
        waiting = asyncio.create_task(job.result())
        await asyncio.sleep(1)
        thread = threading.Thread(target=lambda: asyncio.run(deliver(receiver, job)))
        thread.start()
        thread.join()
        assert (await waiting).files
        assert fetches(box) == 1


# --- nobody takes it


async def took(scenario: Scenario, webhook: WebhookReceiver | None, jobs: int = 1) -> float:
    """How long so many jobs take through five slots."""
    async with (
        Sandbox(scenario=scenario) as box,
        client_of(box, webhook=webhook, poll=PollPolicy(), max_jobs=5) as client,
    ):
        begun = now()
        for made in await asyncio.gather(*(client.generate(REQUEST) for _ in range(jobs))):
            assert made.files
        return now() - begun


INBOXES: dict[str, Callable[[], Inbox]] = {
    "memory": MemoryInbox,
    "shared": Store,
    "broken": Broken,
    "silent": Silent,
}


@pytest.mark.parametrize("inbox", INBOXES.values(), ids=INBOXES)
@pytest.mark.parametrize("eta", ["absent", "int", "float"])
@pytest.mark.parametrize(("seconds", "jobs"), [(2, 1), (60, 1), (300, 1), (20, 25)])
async def test_w16_a_lost_webhook_costs_what_polling_would_have_and_holds_no_slot(
    inbox: Callable[[], Inbox], eta: Any, seconds: float, jobs: int
) -> None:
    scenario = Scenario(generation_seconds=seconds, eta=eta, webhook_lost=1.0)
    polled = await took(scenario, None, jobs)
    assert await took(scenario, receiver_with(inbox()), jobs) <= 1.1 * polled + 0.1


@pytest.mark.parametrize(
    "before",
    [[100] * 4, [95, 105] * 4, [40, 160, 70, 250, 55, 180, 90, 110]],
    ids=["alike", "nearly", "various"],
)
async def test_w16_nor_does_one_that_is_lost_after_others_arrived(before: list[int]) -> None:
    async def last_of(webhook: WebhookReceiver | None) -> float:
        async with (
            Sandbox(scenario=Scenario(eta="absent")) as box,
            client_of(box, webhook=webhook, poll=PollPolicy(), max_jobs=1) as client,
        ):
            for seconds in before:
                box.scenario = Scenario(generation_seconds=seconds, eta="absent")
                job = await client.submit(REQUEST)
                await asyncio.sleep(seconds - (now() - job.state.started) + 0.01)
                if webhook is not None:
                    await deliver(webhook, job)
                assert (await job.result()).files
            box.scenario = Scenario(generation_seconds=100, eta="absent")
            return (await client.generate(REQUEST)).waited

    # When a poll comes is partly drawn, which makes a fifth of a difference at most.
    assert await last_of(receiver_with()) <= 1.25 * await last_of(None)


async def test_an_inbox_that_fails_is_said_once_and_looked_into_ever_less(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks: list[float] = []

    class Counted(Broken):
        async def take(self, track_id: str) -> list[Delivery]:
            looks.append(now())
            return await super().take(track_id)

    scenario = Scenario(generation_seconds=600, eta="int", webhook_lost=1.0)
    with caplog.at_level(logging.WARNING):
        await took(scenario, receiver_with(Counted()))
    assert caplog.text.count("the webhook inbox failed") == 1
    assert len(looks) < 40
