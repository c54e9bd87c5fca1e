"""Jobs whose end a webhook tells: no polls, no trust, no loss."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from attrs import evolve

from modelslab_async import JobStatus, ModelsLab, MusicGen, PollPolicy, SubmitUnknown
from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.webhooks import WebhookReceiver

from ..support.quick import client_of, free_port

pytestmark = pytest.mark.anyio

SHORT = MusicGen("rock music from the 90s", max_new_token=256)
LONELY = PollPolicy(first=600, min_interval=600, max_interval=600, rate=1000, patience=5)
"""So slow that a job which ends within a test was told of, not asked for."""
SOON = PollPolicy(first=0.01, min_interval=0.005, max_interval=0.02, rate=1000)
"""A job that nobody tells of is asked about after twice the longest interval."""


@asynccontextmanager
async def told(
    scenario: Scenario, **settings: Any
) -> AsyncIterator[tuple[Sandbox, ModelsLab, WebhookReceiver]]:
    """A sandbox, and a client of it with a receiver that listens on loopback."""
    port = free_port()
    receiver = WebhookReceiver("a secret of sixteen bytes", f"http://127.0.0.1:{port}")
    async with (
        receiver.serve(port=port),
        Sandbox(scenario=scenario) as box,
        client_of(box, webhook=receiver, **{"poll": LONELY, **settings}) as client,
    ):
        yield box, client, receiver


def fetches(box: Sandbox) -> int:
    return box.book.count(path_prefix="/api/v6/voice/fetch")


async def test_a_job_is_told_of_and_confirmed_by_one_fetch() -> None:
    async with told(Scenario(generation_seconds=0.05, eta="absent")) as (box, client, _):
        generation = await client.generate(SHORT)
        assert generation.files
        assert fetches(box) == 1


async def test_w02_repeated_deliveries_bring_one_fetch() -> None:
    scenario = Scenario(generation_seconds=0.05, eta="absent", webhook_duplicates=20)
    async with told(scenario) as (box, client, _):
        await client.generate(SHORT)
        await box.delivered()
        assert fetches(box) == 1


async def test_w03_deliveries_about_a_running_job_bring_none() -> None:
    scenario = Scenario(generation_seconds=0.05, eta="absent", webhook_processing=3)
    async with told(scenario) as (box, client, _):
        await client.generate(SHORT)
        assert fetches(box) == 1


async def test_w04_a_delivery_before_the_answer_to_the_submit_is_not_lost() -> None:
    scenario = Scenario(generation_seconds=0, eta="absent", webhook_early=True)
    async with told(scenario) as (_, client, _):
        assert (await client.generate(SHORT)).files


async def test_w05_a_lost_answer_is_found_by_the_webhook_and_nothing_is_paid_twice() -> None:
    lost = Fault(on="submit", kind="reset", accepted=True)
    scenario = Scenario(generation_seconds=0.05, eta="absent", faults=(lost,))
    async with told(scenario) as (box, client, _):
        assert (await client.generate(SHORT)).files
        assert len(box.book.debits) == 1


async def deliver(receiver: WebhookReceiver, track_id: str, body: str) -> None:
    path = receiver.url_for(track_id).partition(":")[2].partition("/")[2]
    assert await receiver.deliver(path, body.encode()) == 200


@pytest.mark.parametrize("named", ["of_another_process", "of_no_job"])
async def test_w05_a_delivery_with_another_id_than_the_lost_one_is_passed_over(named: str) -> None:
    lost = Fault(on="submit", kind="reset", accepted=True, skip=1)
    scenario = Scenario(
        generation_seconds=0, eta="absent", fetch_meta=True, webhook_lost=1.0, faults=(lost,)
    )
    async with told(scenario) as (box, client, receiver), client_of(box) as another:
        other = await another.submit(SHORT)
        submitting = asyncio.create_task(client.submit(SHORT))
        while len(box.book.jobs) < 2:
            await asyncio.sleep(0.01)
        made = list(box.book.jobs.values())[-1]
        wrong = "999999999" if named == "of_no_job" else other.id
        await deliver(receiver, str(made.track_id), f'{{"status": "success", "id": {wrong}}}')
        while not fetches(box):
            await asyncio.sleep(0.01)
        await deliver(receiver, str(made.track_id), f'{{"status": "success", "id": {made.id}}}')
        job = await submitting
        assert job.id == str(made.id)
        assert len(box.book.debits) == 2


async def test_w05_a_delivery_takes_no_job_from_a_submit_whose_answer_is_on_its_way() -> None:
    lost = Fault(on="submit", kind="reset", accepted=True)
    held = Fault(on="submit", kind="delay", seconds=1.0)
    scenario = Scenario(
        generation_seconds=0, eta="absent", fetch_meta=True, webhook_lost=1.0, faults=(lost, held)
    )
    async with told(scenario, poll=evolve(LONELY, patience=1.5)) as (box, client, receiver):
        losing = asyncio.create_task(client.submit(SHORT))
        while not box.book.jobs:
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(client.submit(SHORT))
        while len(box.book.jobs) < 2:
            await asyncio.sleep(0.01)
        first, second = box.book.jobs.values()
        await deliver(receiver, str(first.track_id), f'{{"status": "success", "id": {second.id}}}')
        with pytest.raises(SubmitUnknown):
            await losing
        assert (await waiting).id == str(second.id)


async def test_w05_a_lost_answer_of_which_no_webhook_comes_stays_unknown() -> None:
    lost = Fault(on="submit", kind="reset", accepted=False)
    brief = PollPolicy(patience=0.1)
    async with told(Scenario(faults=(lost,)), poll=brief) as (box, client, _):
        with pytest.raises(SubmitUnknown):
            await client.generate(SHORT)
        assert not box.book.debits


async def test_w16_a_lost_webhook_costs_time_only() -> None:
    scenario = Scenario(generation_seconds=0.05, eta="absent", webhook_lost=1.0)
    async with told(scenario, poll=SOON) as (_, client, _):
        assert (await client.generate(SHORT)).files


async def test_w17_a_failure_that_the_fetch_does_not_confirm_is_no_failure() -> None:
    async with told(Scenario(generation_seconds=600, eta="absent")) as (box, client, receiver):
        job = await client.submit(SHORT)
        spoof = {"status": "failed", "id": job.id, "track_id": job.track_id, "message": "gone"}
        url = receiver.url_for(job.track_id or "")
        async with aiohttp.ClientSession() as liar, liar.post(url, json=spoof) as answer:
            assert answer.status == 200
        while not fetches(box):
            await asyncio.sleep(0)
        box.advance(600)
        while await job.refresh() is JobStatus.PROCESSING:
            pass
        assert (await job.result()).files


async def test_w17_a_true_delivery_right_after_a_false_one_is_heard() -> None:
    async with told(Scenario(generation_seconds=600, eta="absent")) as (box, client, receiver):
        job = await client.submit(SHORT)
        false = f'{{"status": "success", "id": {job.id}, "output": ["https://e.test/a.wav"]}}'
        await deliver(receiver, str(job.track_id), false)
        while not fetches(box):
            await asyncio.sleep(0)
        box.advance(600)
        assert (await job.result()).files
        assert fetches(box) == 2


async def test_w18_a_link_that_only_a_webhook_names_is_not_used() -> None:
    async with told(Scenario(generation_seconds=600, eta="absent")) as (box, client, receiver):
        job = await client.submit(SHORT)
        spoof = {"status": "success", "id": job.id, "output": [f"{box.foreign_url}/x.wav"]}
        url = receiver.url_for(job.track_id or "")
        async with aiohttp.ClientSession() as liar, liar.post(url, json=spoof) as answer:
            assert answer.status == 200
        box.advance(600)
        await job.refresh()
        await job.result()
        assert not any(box.foreign_url in url for url in job.links.output)
        assert box.book.count(host="foreign") == 0


async def test_a_request_with_a_webhook_of_its_own_keeps_it() -> None:
    own = MusicGen("bells", max_new_token=256, webhook="http://127.0.0.1:9/mine")
    async with told(Scenario(generation_seconds=0), poll=SOON) as (box, client, _):
        await client.generate(own)
        assert next(iter(box.book.jobs.values())).webhook == own.webhook


async def test_many_jobs_need_hardly_more_than_one_fetch_each() -> None:
    scenario = Scenario(generation_seconds=0.01, eta="absent")
    async with told(scenario) as (box, client, _):
        requests = (MusicGen(f"{number}", max_new_token=256) for number in range(200))
        await asyncio.gather(*(client.generate(request) for request in requests))
        assert fetches(box) <= 210


async def test_w17_a_flood_of_hints_about_one_job_brings_one_fetch_a_second_at_most() -> None:
    async with told(Scenario(generation_seconds=600, eta="absent")) as (box, client, receiver):
        job = await client.submit(SHORT)
        url = receiver.url_for(job.track_id or "")
        async with aiohttp.ClientSession() as liar:
            for number in range(100):
                spoof = {"status": "success", "id": job.id, "generationTime": number}
                async with liar.post(url, json=spoof) as answer:
                    assert answer.status == 200
        seconds = asyncio.get_running_loop().time() - job.state.started
        assert 1 <= fetches(box) <= 1 + seconds


async def test_x02_who_is_cancelled_while_a_lost_answer_is_looked_for_hears_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "modelslab_async")
    lost = Fault(on="submit", kind="reset", accepted=True)
    scenario = Scenario(generation_seconds=600, faults=(lost,))
    async with told(scenario) as (box, client, _):
        task = asyncio.create_task(client.submit(SHORT))
        while "Unknown" not in caplog.text:
            await asyncio.sleep(0)
        (job,) = box.book.jobs.values()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert str(job.track_id) in "".join(caught.value.__notes__)
