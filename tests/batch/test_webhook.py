"""Batches whose lost answers a webhook finds: named by a delivery, believed after a fetch."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import ModelsLab, MusicGen
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.webhooks import Delivery, MemoryInbox, WebhookReceiver

from ..support.batches import pieces, quick, rows, run, states
from ..support.quick import POLL, client_of, free_port

pytestmark = pytest.mark.anyio

LOST = Fault(on="submit", kind="reset", accepted=True)
NEVER = Fault(on="submit", kind="reset", accepted=False)


@asynccontextmanager
async def told(
    scenario: Scenario, inbox: MemoryInbox | None = None
) -> AsyncIterator[tuple[Sandbox, ModelsLab, WebhookReceiver]]:
    """A sandbox, and a client of it with a receiver that listens on loopback."""
    port = free_port()
    receiver = WebhookReceiver("a secret of sixteen bytes", f"http://127.0.0.1:{port}", inbox=inbox)
    async with (
        receiver.serve(port=port),
        Sandbox(scenario=scenario) as box,
        client_of(box, webhook=receiver, poll=evolve(POLL, patience=0.3)) as client,
    ):
        yield box, client, receiver


async def deliver(receiver: WebhookReceiver, track_id: str | None, **body: Any) -> None:
    """Post to the URL of a job what ModelsLab may never have said."""
    path = receiver.url_for(track_id or "").removeprefix("http://").partition("/")[2]
    assert await receiver.deliver(path, json.dumps({"status": "success", **body}).encode()) == 200


async def test_a_delivery_that_came_between_two_runs_finds_the_job_of_a_lost_answer(
    tmp_path: Path,
) -> None:
    async with told(Scenario(generation_seconds=3600, faults=(LOST,))) as (box, client, _):
        await run(client, pieces(1), directory=tmp_path)
        assert states(tmp_path) == {RowState.AMBIGUOUS: 1}
        box.advance(3600)
        await box.delivered()
        await run(client, None, directory=tmp_path)
        assert states(tmp_path) == {RowState.DONE: 1}
        assert len(box.book.debits) == 1


async def test_a_job_that_still_runs_is_found_by_a_delivery_too(tmp_path: Path) -> None:
    async with told(Scenario(generation_seconds=3600, faults=(LOST,))) as (box, client, receiver):
        await run(client, pieces(1), directory=tmp_path)
        await deliver(receiver, rows(tmp_path)[0].track_id, id=next(iter(box.book.jobs)))
        async with client.batch(None, directory=tmp_path) as outcomes:
            while not box.book.count(path_prefix="/api/v6/voice/fetch"):
                await outcomes.ledger.counts()
            box.advance(3600)
            assert len([outcome async for outcome in outcomes]) == 1
        assert states(tmp_path) == {RowState.DONE: 1}
        assert len(box.book.debits) == 1


async def test_a_delivery_that_names_the_job_of_another_row_finds_nothing(tmp_path: Path) -> None:
    async with told(quick(NEVER, fetch_meta=False)) as (box, client, receiver):
        await run(client, pieces(2), directory=tmp_path)
        [lost] = [row for row in rows(tmp_path) if row.state is RowState.AMBIGUOUS]
        await deliver(receiver, lost.track_id, id=next(iter(box.book.jobs)))
        await run(client, None, directory=tmp_path)
        assert states(tmp_path) == {RowState.AMBIGUOUS: 1, RowState.DONE: 1}


async def test_a_delivery_that_names_a_job_the_api_does_not_know_finds_nothing(
    tmp_path: Path,
) -> None:
    async with told(quick(NEVER)) as (box, client, receiver):
        await run(client, pieces(1), directory=tmp_path)
        await deliver(receiver, rows(tmp_path)[0].track_id, id=999)
        await run(client, None, directory=tmp_path)
        assert states(tmp_path) == {RowState.AMBIGUOUS: 1}
        assert box.book.count(path_prefix="/api/v6/voice/fetch") > 0


async def test_a_delivery_that_names_a_job_with_another_track_id_finds_nothing(
    tmp_path: Path,
) -> None:
    async with told(quick(NEVER)) as (_, client, receiver):
        await run(client, pieces(1), directory=tmp_path)
        other = await client.generate(MusicGen("of somebody else", max_new_token=256))
        await deliver(receiver, rows(tmp_path)[0].track_id, id=other.id)
        await run(client, None, directory=tmp_path)
        assert states(tmp_path) == {RowState.AMBIGUOUS: 1}


class Broken(MemoryInbox):
    """An inbox whose disk is gone."""

    async def put(self, delivery: Delivery) -> None:
        raise OSError("no disk")

    async def take(self, track_id: str) -> list[Delivery]:
        raise OSError("no disk")


async def test_w15_a_batch_with_a_broken_inbox_gets_its_files_by_polling(tmp_path: Path) -> None:
    async with told(quick(LOST), Broken()) as (box, client, _):
        await run(client, pieces(3), directory=tmp_path)
        assert states(tmp_path) == {RowState.DONE: 3}
        assert len(box.book.debits) == 3
