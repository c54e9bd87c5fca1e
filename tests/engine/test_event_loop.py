"""The event loop does not stand still for what a value holds, however large the value is."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import pytest
from aiohttp.abc import AbstractStreamWriter
from attrs import define

from modelslab_async import ModelsLab, MusicGen
from modelslab_async._engine.http import KeyedTransport, Network, Response, _KeyedPayload
from modelslab_async._engine.prepare import completed, prepare
from modelslab_async._engine.secret import Secret
from modelslab_async._protocol import replies
from modelslab_async._protocol.wire_json import Encoded, decode_json
from modelslab_async.batch._intake import RequestLike, chunks
from modelslab_async.batch._records import NewRow
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.quick import client_of

pytestmark = pytest.mark.anyio
T = TypeVar("T")

SIZE = 16 * 1024 * 1024
TEXT = "QUJD" * (SIZE // 4)

REQUESTS = {
    "base64 text": MusicGen("rock", init_audio=TEXT, base64=True),
    "bytes": MusicGen("rock", init_audio=bytes(SIZE // 4 * 3), unchecked=True),
    "prompt": MusicGen("rock " * (SIZE // 5)),
    "text in extra": MusicGen("rock", extra={"clip": TEXT}),
    "text deep in extra": MusicGen("rock", extra={"clips": [{"clip": TEXT}]}),
    "values in extra": MusicGen("rock", extra={"marks": [1, 2] * 5_000}),
    "names in extra": MusicGen("rock", extra={str(n): "x" * 100 for n in range(8_000)}),
}


@pytest.fixture(params=list(REQUESTS.values()), ids=list(REQUESTS))
def large(request: pytest.FixtureRequest) -> MusicGen:
    assert isinstance(request.param, MusicGen)
    return request.param


@define
class Turns:
    """How often the loop has gone round."""

    count: int = 0

    async def during(self, work: Awaitable[T]) -> tuple[T, int]:
        before = self.count
        return await work, self.count - before


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Turns]:
    turns = Turns()

    async def beat() -> None:
        while True:
            turns.count += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(beat())
    try:
        yield turns
    finally:
        task.cancel()


async def test_a_large_request_is_made_ready_beside_the_loop(large: MusicGen) -> None:
    clips = anyio.CapacityLimiter(1)
    async with heartbeat() as turns:
        submission, while_prepared = await turns.during(prepare(large, 1, clips=clips))
        body, while_encoded = await turns.during(completed(submission))
    fields = json.loads(body.data)
    assert fields["prompt"] == large.prompt
    assert {name: fields[name] for name in large.extra} == large.extra
    # Done by the loop itself, each would be over within its first turn.
    assert while_prepared > 1
    assert while_encoded > 3


async def test_a_large_request_becomes_a_row_beside_the_loop(large: MusicGen) -> None:
    values = {"prompt": large.prompt, "extra": dict(large.extra)}

    async def stream(request: RequestLike) -> AsyncIterator[RequestLike]:
        yield request

    for request in (large, values if large.extra else large):
        async with heartbeat() as turns:
            rows = chunks(stream(request))
            (row,), count = await turns.during(anext(rows))
            await rows.aclose()
        assert isinstance(row, NewRow)
        assert count > 3


async def test_a_small_request_needs_no_thread() -> None:
    request = MusicGen("rock", extra={"model_id": "x"}, duration=60)
    async with heartbeat() as turns:
        submission, _ = await turns.during(prepare(request, 1, clips=anyio.CapacityLimiter(1)))
        _, count = await turns.during(completed(submission))
    assert count == 0


class Wire(AbstractStreamWriter):
    """Where a body is written to, and in which turn of the loop."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.pieces: list[tuple[int, bytes]] = []

    async def write(self, chunk: Any) -> None:
        self.pieces.append((self.turns.count, bytes(chunk)))

    async def write_eof(self, chunk: bytes = b"") -> None: ...
    async def drain(self) -> None: ...
    def enable_compression(self, *args: Any) -> None: ...
    def enable_chunking(self) -> None: ...
    async def write_headers(self, *args: Any) -> None: ...


async def test_a_large_body_is_sent_in_pieces_of_which_one_short_one_holds_the_key() -> None:
    key = "sk_live_0123456789"
    body = json.dumps({"prompt": "x" * 2**22}).encode()
    payload = _KeyedPayload(Secret(key), Encoded(body))
    async with heartbeat() as turns:
        wire = Wire(turns)
        await payload.write(wire)
    sent = b"".join(piece for _, piece in wire.pieces)
    assert json.loads(sent) == {"key": key, "prompt": "x" * 2**22}
    assert len(sent) == payload.size
    assert len({turn for turn, _ in wire.pieces}) >= len(wire.pieces) - 1 > 10
    assert max(len(piece) for _, piece in wire.pieces) <= 2**18
    assert [key.encode() in piece for _, piece in wire.pieces] == [True] + [False] * (
        len(wire.pieces) - 1
    )
    assert len(wire.pieces[0][1]) < 2**13


async def test_large_text_arrives_as_it_was_given() -> None:
    prompt = "rock 🎵 " * 160_000
    async with (
        Sandbox(scenario=Scenario(mode="sync", generation_seconds=0)) as box,
        client_of(box) as client,
    ):
        await client.submit(MusicGen(prompt))
        (job,) = box.book.jobs.values()
    assert job.request["prompt"] == prompt


LONG = {
    "objects": b'"message":[' + b'{"":0},' * 49_000 + b"0]",
    "values": b'"message":[' + b"7," * 95_000 + b"0]",
    "lists of words": b'"message":[' + b'["no"],' * 45_000 + b"0]",
    "deep lists": b'"message":[' + (b"[" * 60 + b"]" * 60 + b",") * 1_500 + b"0]",
    "links": b'"output":[' + b'{"url":"https://e.test/a"},' * 45_000 + b"0]",
    "data": b'"data":[' + b'{"id":7},' * 45_000 + b"0]",
}


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that parse JSON of over 16 KiB, one after the other."""
    threads: list[threading.Thread] = []

    def watched(body: bytes) -> object:
        if len(body) > 16 * 1024:
            threads.append(threading.current_thread())
        return decode_json(body)

    monkeypatch.setattr(replies, "decode_json", watched)
    return threads


ASKING: dict[str, Callable[[ModelsLab], Awaitable[object]]] = {
    "submit": lambda client: client.submit(MusicGen("rock")),
    "poll": lambda client: client.job("7").refresh(),
    "balance": lambda client: client.balance(),
}


@pytest.mark.parametrize("asks", ASKING)
@pytest.mark.parametrize("name", LONG)
async def test_n03_an_answer_of_many_values_is_parsed_beside_the_loop(
    name: str, asks: str, readers: list[threading.Thread]
) -> None:
    body = b'{"status":"success",%s}' % LONG[name]
    faults = [
        Fault(on=on, kind="answer", body=body.decode(), times=None)
        for on in ("submit", "fetch", "balance")
    ]
    async with Sandbox(scenario=Scenario(faults=tuple(faults))) as box, client_of(box) as client:
        await asyncio.gather(ASKING[asks](client), return_exceptions=True)
    assert readers
    assert threading.main_thread() not in readers


class Watched(Secret):
    """A key that knows where it was taken out of an answer."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.threads: list[threading.Thread] = []

    def redact(self, data: bytes) -> bytes:
        self.threads.append(threading.current_thread())
        return super().redact(data)


ANSWERS = {
    "escapes": b'{"status":"error","message":"' + b"\\u0073" * 10_000 + b'"}',
    "gzip": gzip.compress(b'{"status":"error","message":"' + b"%73" * 50_000 + b'"}'),
    "a page": b"<html>" + b"&#115;" * 10_000,
    "short": b'  {"status":"error","message":"no"}',
    "nothing": b"",
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_takes_long_to_read_is_read_beside_the_loop(name: str) -> None:
    body = ANSWERS[name]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    secret = Watched("sk_live_0123456789")
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with KeyedTransport(secret, f"http://127.0.0.1:{port}", Network()) as transport:
            found = await transport.post("/x", {}, timeout=30)
    assert isinstance(found, Response)
    inline = name in ("short", "nothing")
    assert [thread is threading.main_thread() for thread in secret.threads] == [inline]
