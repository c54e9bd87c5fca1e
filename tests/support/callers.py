"""Speak to the sandbox without our own client: as JSON over aiohttp, as bytes over a socket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import aiohttp
from attrs import frozen

from modelslab_async.sandbox import HEADER, Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

SUBMIT = "/api/v6/voice/music_gen"
SHORT: dict[str, Any] = {"prompt": "sitar", "max_new_token": 256, "sampling_rate": 5000}


class Caller:
    """A client that knows nothing but HTTP."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box

    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def post(self, path: str, scenario: object = None, **body: object) -> tuple[int, Any]:
        headers = {HEADER: str(scenario)} if scenario else {}
        body = {"key": self.box.key, **body}
        async with self.http.post(self.box.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
        is_json = answer.content_type == "application/json"
        return answer.status, json.loads(text) if is_json else text

    async def submit(self, **body: object) -> dict[str, Any]:
        status, ticket = await self.post(SUBMIT, **{**SHORT, **body})
        assert status == 200, ticket
        return dict(ticket)

    async def fetch(self, job: object) -> dict[str, Any]:
        status, reply = await self.post(f"/api/v6/voice/fetch/{job}")
        assert status == 200, reply
        return dict(reply)

    async def finished(self, **body: object) -> dict[str, Any]:
        """Submit, let the time pass, and return the finished answer."""
        ticket = await self.submit(**body)
        self.box.advance(60)
        return await self.fetch(ticket["id"])

    async def get(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with self.http.request(method, url, headers=headers) as answer:
            return answer.status, answer.headers, await answer.read()


@frozen
class Seen:
    """What came back over a socket until it ended: `end` is eof, reset or silence."""

    data: bytes
    end: str

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


async def ask(
    url: str, body: dict[str, Any] | None = None, *headers: str, patience: float = 5
) -> Seen:
    """Send one request on a connection of its own and read all that comes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        return await _talk(reader, writer, _request(parts, body, headers), patience)
    finally:
        writer.transport.abort()


def _request(parts: SplitResult, body: dict[str, Any] | None, headers: tuple[str, ...]) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{'GET' if body is None else 'POST'} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += ["Connection: close", f"Content-Length: {len(data)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + data


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, patience: float
) -> Seen:
    data, end = b"", "eof"
    try:
        writer.write(request)
        async with asyncio.timeout(patience):
            while part := await reader.read(65536):
                data += part
    except ConnectionResetError:
        end = "reset"
    except TimeoutError:
        end = "silence"
    return Seen(data, end)


async def submit(box: Sandbox, **more: object) -> Seen:
    return await ask(box.url + SUBMIT, {"key": box.key, **SHORT, **more})


async def fetch(box: Sandbox, job: object, family: str = "voice") -> Seen:
    return await ask(f"{box.url}/api/v6/{family}/fetch/{job}", {"key": box.key})


async def finished(box: Sandbox) -> tuple[int, dict[str, Any]]:
    """Return a finished job's id and the answer of its fetch."""
    ticket = (await submit(box)).json
    box.advance(10)
    return ticket["id"], (await fetch(box, ticket["id"])).json
