"""Forged and repeated webhooks change nothing, at a real port, while a job waits (T21, T22, T23).

What the core of the receiver does with ten thousand of each is tested beside it; here they come
over sockets, to a client whose job is not finished, with an inbox on disk.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import pytest
from attrs import frozen

from modelslab_async import Job, JobStatus, MusicGen, PollPolicy
from modelslab_async.sandbox import Sandbox, Scenario
from modelslab_async.webhooks import Delivery, SqliteInbox

from ..support.doors import Post, parsed, raw, receiver_of, talk, target_of
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

LONELY = PollPolicy(first=600, min_interval=600, max_interval=600, rate=1000, patience=5)
"""So slow that whatever is asked was asked because of a webhook."""


@frozen
class House:
    """A job that is not finished, and the port that its webhook would come to."""

    box: Sandbox
    job: Job
    port: int
    target: str
    heard: list[Delivery]
    inbox: SqliteInbox

    @property
    def fetches(self) -> int:
        return self.box.book.count(path_prefix="/api/v6/voice/fetch")

    def body(self, **more: object) -> bytes:
        told = {"status": "success", "id": self.job.id, "track_id": self.job.track_id, **more}
        return json.dumps(told).encode()

    async def say(self, *requests: bytes) -> Counter[int]:
        """Send each on a connection of its own, twenty at a time; how they were answered."""
        answers: Counter[int] = Counter()
        places = anyio.CapacityLimiter(20)

        async def one(request: bytes) -> None:
            async with places:
                answer = await talk(self.port, request)
            answers[parsed(answer).status if answer else 0] += 1

        async with anyio.create_task_group() as group:
            for request in requests:
                group.start_soon(one, request)
        return answers


@asynccontextmanager
async def waiting(folder: Path) -> AsyncIterator[House]:
    heard: list[Delivery] = []
    async with SqliteInbox(folder / "inbox.sqlite3") as inbox:
        receiver = receiver_of(inbox=inbox)
        receiver.subscribe(heard.append)
        async with (
            receiver.serve(port=0) as port,
            Sandbox(Scenario(generation_seconds=600, eta="absent")) as box,
            client_of(box, webhook=receiver, poll=LONELY) as client,
        ):
            job = await client.submit(MusicGen("bells", max_new_token=256))
            target = target_of(receiver, job.track_id or "")
            yield House(box, job, port, target, heard, inbox)


def mutated(house: House, dice: Random) -> bytes:
    """A request that is wrong in one to three places of its proof, and perhaps elsewhere."""
    target = bytearray(house.target.encode())
    token = house.target.rindex("/") + 1
    for _ in range(dice.randrange(1, 4)):
        target[dice.randrange(token, len(target))] = dice.choice(b"abcXYZ019-_%/.~")
    post = Post(
        target.decode(), house.body(seed=dice.random()), dice.choice(["POST", "POST", "PUT"])
    )
    request = bytearray(raw(post))
    if dice.random() < 0.3:
        at = dice.randrange(len(request))
        request[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(request)


def claims(house: House, request: bytes) -> bool:
    """Whether chance has made the proof whole again."""
    return house.target.encode() in request


async def test_t21_a_thousand_forged_requests_change_nothing(tmp_path: Path) -> None:
    dice = Random(21)
    async with waiting(tmp_path) as house:
        forged = [mutated(house, dice) for _ in range(1000)]
        answers = await house.say(*(one for one in forged if not claims(house, one)))
        assert {status for status in answers if status >= 500} == set()
        assert answers[200] == 0
        assert house.heard == await house.inbox.take(str(house.job.track_id)) == []
        assert house.fetches == 0
        assert house.job.status is JobStatus.PROCESSING


async def test_t22_two_hundred_replays_have_one_effect(tmp_path: Path) -> None:
    async with waiting(tmp_path) as house:
        answers = await house.say(*[raw(Post(house.target, house.body()))] * 200)
        assert answers == {200: 200}
        assert len(house.heard) == 1
        assert len(await house.inbox.take(str(house.job.track_id))) == 1
        while not house.fetches:
            await anyio.lowlevel.checkpoint()
        assert house.fetches == 1
        assert house.job.status is JobStatus.PROCESSING  # the fetch says so, and it counts


async def test_t22_deliveries_in_the_wrong_order_take_nothing_back(tmp_path: Path) -> None:
    async with waiting(tmp_path) as house:
        house.box.advance(600)
        made = house.box.book.jobs[int(house.job.id)].state
        assert made == "success"
        assert await house.job.refresh() is JobStatus.SUCCESS
        late = [house.body(status=word) for word in ("processing", "failed", "error", "queued")]
        answers = await house.say(*(raw(Post(house.target, body)) for body in late))
        assert answers == {200: 4}
        assert await house.job.refresh() is JobStatus.SUCCESS
        assert (await house.job.result()).id == house.job.id
