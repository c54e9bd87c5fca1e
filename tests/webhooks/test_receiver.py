"""What the receiver does with deliveries, and whom it tells."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from modelslab_async import MusicGen
from modelslab_async.sandbox import Sandbox, Scenario
from modelslab_async.webhooks import Delivery, MemoryInbox, WebhookReceiver

from ..support.doors import receiver_of, target_of
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

GOOD = b'{"status":"success","id":7,"output":["https://cdn.example.com/7.wav"],"track_id":5}'


def hint(number: int) -> bytes:
    return b'{"status":"processing","id":%d}' % number


def heard_by(receiver: WebhookReceiver) -> list[Delivery]:
    heard: list[Delivery] = []
    receiver.subscribe(heard.append)
    return heard


async def test_w07_w08_ten_thousand_mutated_requests_change_nothing() -> None:
    receiver, dice = receiver_of(), Random(11)
    heard = heard_by(receiver)
    good = target_of(receiver, 5)
    for _ in range(10_000):
        at = dice.randrange(7, len(good))  # from the version on: what is before proves nothing
        forged = good[:at] + chr(dice.randrange(33, 0x250)) + good[at + dice.randrange(2) :]
        body = bytearray(GOOD)
        body[dice.randrange(len(body))] = dice.randrange(256)
        if forged != good and not forged.endswith(f"/{good[7:]}"):
            assert await receiver.deliver(forged, bytes(body)) == 404
    assert heard == await receiver.inbox.take("5") == []
    assert set(receiver.counts) == {404}


async def test_w08_ten_thousand_mutated_bodies_are_never_our_fault() -> None:
    receiver, dice = receiver_of(), Random(13)
    good = target_of(receiver, 5)
    for _ in range(10_000):
        body = bytearray(GOOD)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(body))
            body[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
        await receiver.deliver(good, bytes(body))
    assert set(receiver.counts) <= {200, 400}


async def test_w02_a_thousand_replays_fifty_at_once_have_one_effect() -> None:
    receiver = receiver_of(inbox=SlowInbox())
    heard = heard_by(receiver)
    for _ in range(20):
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(receiver.deliver, target_of(receiver, 5), GOOD)
    assert receiver.counts == {200: 1000}
    assert len(heard) == 1


class SlowInbox(MemoryInbox):
    async def put(self, delivery: Delivery) -> None:
        await anyio.lowlevel.checkpoint()
        await super().put(delivery)


async def test_w01_a_delivery_is_kept_before_anybody_is_told() -> None:
    receiver = receiver_of()
    kept: list[int] = []

    def look(delivery: Delivery) -> None:
        assert isinstance(receiver.inbox, MemoryInbox)
        kept.append(len(receiver.inbox._jobs[delivery.track_id]))

    receiver.subscribe(look)
    await receiver.deliver(target_of(receiver, 5), GOOD)
    assert kept == [1]


async def test_a_listener_that_fails_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = receiver_of()

    def broken(_: Delivery) -> None:
        raise RuntimeError("boom")

    receiver.subscribe(broken)
    heard = heard_by(receiver)
    assert await receiver.deliver(target_of(receiver, 5), GOOD) == 200
    assert len(heard) == 1
    assert "boom" in caplog.text


async def test_a_listener_is_told_until_it_unsubscribes() -> None:
    receiver = receiver_of()
    heard: list[Delivery] = []
    ends = [receiver.subscribe(heard.append) for _ in range(2)]
    ends[0]()
    ends[0]()
    await receiver.deliver(target_of(receiver, 5), hint(1))
    ends[1]()
    await receiver.deliver(target_of(receiver, 5), hint(2))
    assert [one.job_id for one in heard] == ["1"]


async def test_the_sandbox_delivers_to_a_listener() -> None:
    listener = receiver_of()
    heard = heard_by(listener)
    scenario = Scenario(
        generation_seconds=0.02, eta="float", webhook_duplicates=2, webhook_processing=1
    )
    async with listener.serve(port=0) as port, Sandbox(scenario=scenario) as box:
        url = listener.url_for(5).replace("https://music.example.com", f"http://127.0.0.1:{port}")
        async with client_of(box) as client:
            generation = await client.generate(MusicGen("sitar", webhook=url, track_id=5))
        await box.delivered()
    assert [type(one.reply).__name__ for one in heard] == ["Ticket", "Finished"]
    assert {one.job_id for one in heard} == {generation.id}
    assert {one.status for one in box.book.webhooks} == {200}
