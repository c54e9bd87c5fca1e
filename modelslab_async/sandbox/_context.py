"""One request with its scenario, body and raw connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from ._answer import Answer, json_answer
from ._php import read_json, with_booleans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from ._account import RequestRecord
    from ._fault import Fault, FaultPlan
    from ._scenario import Scenario

MAX_BODY = 16 * 2**20


@define
class ActiveScenario:
    """A scenario in use: its fault plan, and the time of its first submit."""

    scenario: Scenario
    plan: FaultPlan
    name: str | None = None
    first_submit: float | None = None


@frozen
class Origins:
    """The four hosts of one sandbox, each `http://127.0.0.1:PORT`."""

    api: str
    storage: str
    mirror: str
    foreign: str


class BodyTooLargeError(Exception):
    """The request's body is above `MAX_BODY`."""


@define(eq=False)
class RequestContext:
    """A request that the sandbox is handling."""

    request: web.BaseRequest
    record: RequestRecord
    active: ActiveScenario
    origins: Origins
    key: bytes = field(repr=False)
    body: bytes = b""
    pace: tuple[int, float] | None = None
    document: dict[str, Any] = field(factory=dict)

    @property
    def scenario(self) -> Scenario:
        return self.active.scenario

    @property
    def path(self) -> str:
        """The path of the request without its query."""
        return self.record.path.partition("?")[0]

    def draw(self, on: str, *, host: str | None = None, early: bool = False) -> Fault | None:
        prompt = str(self.document.get("prompt", ""))
        return self.active.plan.draw(on, host=host, early=early, prompt=prompt)

    async def read(self) -> None:
        """Read the whole body and record whether it contains the key."""
        if not self.request.body_exists:
            return
        if self.request.headers.get("Expect", "").lower() == "100-continue":
            await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.request.writer.output_size = 0  # it is not part of the response
        parts, size = [], 0
        while part := await self._read_some():
            size += len(part)
            if size > MAX_BODY:
                raise BodyTooLargeError
            parts.append(part)
        self.body = b"".join(parts)
        self.record.has_key = self.record.has_key or self.key in self.body

    async def _read_some(self) -> bytes:
        if self.pace is None:
            return await self.request.content.readany()
        size, pause = self.pace
        await asyncio.sleep(pause)
        return await self.request.content.read(size)

    def parse(self) -> bool:
        """Parse the body as a JSON object into `document`; return whether it is one."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.scenario.checks_content_type and kind != "application/json":
            return False
        found = read_json(self.body)
        if not isinstance(found, dict):
            return False
        self.document = with_booleans(found)
        return True

    def json(self, document: Mapping[str, Any], *, status: int = 200) -> Answer:
        return json_answer(document, status=status, style=self.scenario.json_style)

    def refuse(self, document: Mapping[str, Any], *, status: int) -> Answer:
        """Return a refusal with the HTTP status that the scenario uses for refusals."""
        return self.json(document, status=200 if self.scenario.error_status != "http" else status)

    def reply(self, document: Mapping[str, Any]) -> Answer:
        """Return a response about a job; the scenario may echo the caller's key in it."""
        if not self.scenario.echo_key:
            return self.json(document)
        key = self.key.decode()
        word = self.scenario.spelling
        echo: dict[str, Any] = {word: f"{document.get(word, '')} (request by {key})"}
        return self.json({**document, **echo, "meta": {**document.get("meta", {}), "key": key}})


class RawConnection:
    """The raw connection, for responses that no HTTP library would write."""

    def __init__(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            raise ConnectionResetError("the client has gone")
        self._transport = transport
        self._writer = request.writer
        # With a limit of 0, `drain` returns only after all bytes have been written to the socket.
        transport.set_write_buffer_limits(0)

    async def send(self, data: bytes) -> None:
        """Write, and wait until the peer has read enough."""
        self._transport.write(data)
        await self._writer.drain()

    def close(self) -> None:
        """Close the connection in the normal way, with FIN."""
        self._transport.close()

    def reset(self) -> None:
        """Close the connection with RST."""
        reset_connection(self._transport)


def reset_connection(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
