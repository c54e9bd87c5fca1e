"""What the standalone listener withstands: slow, idle and broken clients."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import anyio
import pytest

from modelslab_async import WebhookError
from modelslab_async.webhooks import (
    Delivery,
    MemoryInbox,
    WebhookReceiver,
)
from modelslab_async.webhooks import (
    _aiohttp_app as server,
)

from ..support.doors import Post, over, raw, receiver_of, talk, target_of
from ..support.fastloop import fast

pytestmark = pytest.mark.anyio

GOOD = b'{"status":"success","id":7,"output":["https://cdn.example.com/7.wav"],"track_id":5}'


def heard_by(receiver: WebhookReceiver) -> list[Delivery]:
    heard: list[Delivery] = []
    receiver.subscribe(heard.append)
    return heard


async def begun(port: int, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


def half_a_head(receiver: WebhookReceiver) -> bytes:
    return raw(Post(target_of(receiver, 6), GOOD))[:60]


def half_a_body(receiver: WebhookReceiver) -> bytes:
    return raw(Post(target_of(receiver, 6), GOOD))[:-10]


def nothing(_: WebhookReceiver) -> bytes:
    return b""


SLOW = [half_a_head, half_a_body, nothing]


@pytest.mark.parametrize("slow", SLOW)
async def test_w12_two_hundred_slow_connections_hold_up_no_good_one(slow: Any) -> None:
    receiver = receiver_of()
    heard = heard_by(receiver)
    async with receiver.serve(port=0) as port:
        connections = [await begun(port, slow(receiver)) for _ in range(200)]
        told = await over(port)(Post(target_of(receiver, 5), GOOD))
        waiting = [reader for reader, _ in connections if not reader.at_eof()]
        for _, writer in connections:
            writer.close()
    assert told.status == 200
    assert len(waiting) == 200
    assert [one.track_id for one in heard] == ["5"]


@pytest.mark.parametrize("anyio_backend", [fast(25)], ids=["fast"])
@pytest.mark.parametrize(("slow", "first"), [*zip(SLOW, [b"", b"HTTP/1.1 408", b""], strict=True)])
async def test_w10_w11_a_slow_request_is_ended(slow: Any, first: bytes) -> None:
    receiver = receiver_of()
    async with receiver.serve(port=0) as port:
        answer = await talk(port, slow(receiver))
    assert answer.startswith(first)
    assert bool(answer) == bool(first)
    assert await receiver.inbox.take("6") == []


@pytest.mark.parametrize("anyio_backend", [fast(25)], ids=["fast"])
async def test_w10_a_head_that_drips_is_ended_all_the_same() -> None:
    receiver = receiver_of()
    async with receiver.serve(port=0) as port:
        reader, writer = await begun(port, b"POST /hooks HTTP/1.1\r\n")
        async with anyio.create_task_group() as group:
            group.start_soon(drip, writer)
            with contextlib.suppress(ConnectionResetError):  # a drop may meet the end on its way
                assert await reader.read() == b""
            group.cancel_scope.cancel()
        writer.close()


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"X-Drop: 1\r\n")
        await anyio.sleep(0.5)


async def test_w12_when_all_places_are_taken_the_oldest_connection_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 20)
    receiver = receiver_of()
    async with receiver.serve(port=0) as port:
        idle = [await begun(port, b"") for _ in range(30)]
        told = await over(port)(Post(target_of(receiver, 5), GOOD))
        for reader, _ in idle[:11]:
            assert await reader.read() == b""
        assert not idle[-1][0].at_eof()
        for _, writer in idle:
            writer.close()
    assert told.status == 200


async def test_w13_pipelined_requests_are_all_answered() -> None:
    receiver = receiver_of()
    stay = {"Connection": "keep-alive"}
    posts = [raw(Post(target_of(receiver, job), GOOD, headers=stay)) for job in range(100)]
    posts.append(raw(Post(target_of(receiver, 100), GOOD)))
    async with receiver.serve(port=0) as port:
        answer = await talk(port, b"".join(posts))
    assert answer.count(b"HTTP/1.1 200") == answer.count(b"HTTP/1.1") == 101
    assert receiver.counts == {200: 101}


async def test_w14_a_client_that_goes_half_way_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = receiver_of()
    heard = heard_by(receiver)
    async with receiver.serve(port=0) as port:
        sent = raw(Post(target_of(receiver, 6), GOOD, headers={"Expect": "100-continue"}))
        reader, writer = await begun(port, sent[:-10])
        await reader.readuntil(b"100 Continue\r\n\r\n")  # so it is in the middle of reading
        writer.transport.abort()
        assert (await over(port)(Post(target_of(receiver, 5), GOOD))).status == 200
    assert [one.track_id for one in heard] == ["5"]
    assert caplog.records == []


async def test_w09_a_client_that_waits_to_be_asked_on_is_asked_on() -> None:
    receiver = receiver_of()
    whole = raw(Post(target_of(receiver, 5), GOOD, headers={"Expect": "100-continue"}))
    async with receiver.serve(port=0) as port:
        reader, writer = await begun(port, whole[: -len(GOOD)])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(GOOD)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"BREW /hooks/{token} HTTP/1.1\r\n\r\n",
        b"POST /hooks/{token} HTTP/9.9\r\nHost: a\r\n\r\n",
        b"POST {token} HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST {token} HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST {token} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_w09_a_broken_request_is_answered_briefly_and_logged_nowhere(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    receiver = receiver_of()
    async with receiver.serve(port=0) as port:
        answer = await talk(port, sent.replace(b"{token}", target_of(receiver, 5).encode()))
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert len(answer) < 1000
    token = target_of(receiver, 5).rpartition("/")[2]
    assert token not in caplog.text
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


async def test_t23_forged_requests_are_refused_without_delaying_good_ones() -> None:
    receiver = receiver_of()
    async with receiver.serve(port=0) as port:
        knock = over(port)
        forged = [(await knock(Post("/hooks/v1/5/forged", GOOD))).status for _ in range(50)]
        good = await knock(Post(target_of(receiver, 5), GOOD))
    assert set(forged) == {404}
    assert good.status == 200


async def test_w19_a_delivery_in_hand_is_answered_when_the_listener_ends() -> None:
    inbox = GatedInbox()
    receiver = receiver_of(inbox=inbox)
    answers: list[int] = []
    async with anyio.create_task_group() as group:

        async def post(port: int) -> None:
            answers.append((await over(port)(Post(target_of(receiver, 5), GOOD))).status)

        async with receiver.serve(port=0) as port:
            group.start_soon(post, port)
            await inbox.entered.wait()
            asyncio.get_running_loop().call_later(0.01, inbox.gate.set)
    assert answers == [200]
    assert len(await inbox.take("5")) == 1


async def test_w14_nothing_waits_for_the_rest_of_a_body_whose_sender_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_LINGER_SECONDS", 1000.0)
    forged = raw(Post("/hooks/v1/5/forged", GOOD))[:-10]
    async with receiver_of().serve(port=0) as port:
        before = asyncio.all_tasks()
        reader, writer = await begun(port, forged)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
        assert asyncio.all_tasks() > before  # it waits for the rest
        writer.transport.abort()
        async with asyncio.timeout(20):
            while asyncio.all_tasks() > before:
                await asyncio.sleep(0.001)


async def test_w14_a_delivery_in_hand_is_kept_though_its_sender_has_left() -> None:
    inbox = GatedInbox()
    receiver = receiver_of(inbox=inbox)
    async with receiver.serve(port=0) as port:
        _, writer = await begun(port, raw(Post(target_of(receiver, 5), GOOD)))
        await inbox.entered.wait()
        writer.transport.abort()
        await asyncio.sleep(0.01)
        inbox.gate.set()
    assert len(await inbox.take("5")) == 1


class GatedInbox(MemoryInbox):
    def __init__(self) -> None:
        super().__init__()
        self.entered = anyio.Event()
        self.gate = anyio.Event()

    async def put(self, delivery: Delivery) -> None:
        self.entered.set()
        await self.gate.wait()
        await super().put(delivery)


async def test_w20_a_port_that_is_taken_is_a_clear_error() -> None:
    receiver = receiver_of()
    async with receiver.serve(port=0) as port:
        with pytest.raises(WebhookError, match=f"cannot listen .* 127.0.0.1 port {port} "):
            async with receiver.serve(port=port):
                pass


async def test_w20_a_port_beyond_all_is_a_clear_error_too() -> None:
    with pytest.raises(WebhookError, match="choose another port"):
        async with receiver_of().serve(port=70_000):
            pass
