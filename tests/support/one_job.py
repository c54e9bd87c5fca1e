"""An API of one job in a few lines, for outputs that the sandbox does not make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from attrs import define, field


@define
class OneJob:
    """What it answers, and what it was asked.

    Attributes:
        ticket: the answer to any submit; ``{url}`` in its texts is where it listens.
        ends: the answer to any fetch.
        files: bodies by path; a chunked one names no length.
        chunked: whether files come without a length.
        asked: paths and bodies of the requests to the API, in order.
    """

    ticket: dict[str, Any]
    ends: dict[str, Any] = field(factory=dict)
    files: dict[str, bytes] = field(factory=dict)
    chunked: bool = False
    asked: list[tuple[str, dict[str, Any]]] = field(factory=list)
    url: str = ""

    async def api(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, await request.json()))
        return web.json_response(
            self.named(self.ends if "/fetch/" in request.path else self.ticket)
        )

    async def storage(self, request: web.Request) -> web.StreamResponse:
        body = self.files.get(request.path)
        if body is None:
            raise web.HTTPNotFound
        if not self.chunked:
            return web.Response(body=body)
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(body)
        return response

    def named(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.named(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.named(one) for one in value]
        return value.replace("{url}", self.url) if isinstance(value, str) else value


@asynccontextmanager
async def serving(job: OneJob) -> AsyncIterator[OneJob]:
    """Listen on loopback."""
    app = web.Application()
    app.router.add_post("/{any:.*}", job.api)
    app.router.add_get("/{any:.*}", job.storage)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        job.url = f"http://{host}:{port}"
        yield job
    finally:
        await runner.cleanup()
