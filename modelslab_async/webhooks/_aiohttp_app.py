"""The aiohttp frontends: a route for your application, and a standalone listener.

aiohttp has no deadline for a body, so it is set here. Its keep-alive timeout also limits the time
for the headers of a request, because it starts with the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final, cast

import anyio
from aiohttp import hdrs, http, web
from aiohttp.typedefs import Handler

from ..errors import WebhookError
from ._asgi import Receiver
from ._logs import HIDE_TOKENS
from ._signing import BODY_SECONDS, MAX_BODY, Head

MAX_CONNECTIONS: Final = 500
HEAD_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 1.0
_CLOSING_SECONDS: Final = 2.0

_log = logging.getLogger("modelslab_async.webhooks.http")


# Anyone can send bytes that are not HTTP to an open port; that is not worth logging.
_log.addFilter(
    lambda record: (
        not (record.exc_info and isinstance(record.exc_info[1], http.HttpProcessingError))
    )
)
_log.addFilter(HIDE_TOKENS)


def add_to(receiver: Receiver, app: web.Application, prefix: str) -> None:
    """See `WebhookReceiver.add_to`."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=await answer(receiver, request))

    for name in ("aiohttp.access", "aiohttp.server"):  # the second quotes invalid requests
        logging.getLogger(name).addFilter(HIDE_TOKENS)
    app.router.add_route("*", prefix.rstrip("/") + "/{webhook:.*}", handler)


async def answer(receiver: Receiver, request: web.Request) -> int:
    """Return the HTTP status for a request; read its body only if the head is acceptable."""
    head = Head(
        method=request.method,
        path=request.path,
        encoding=request.headers.get(hdrs.CONTENT_ENCODING, ""),
        length=request.headers.get(hdrs.CONTENT_LENGTH, ""),
    )
    refusal = receiver.refusal(head)
    if refusal is not None:
        return refusal
    body = bytearray()
    try:
        with anyio.move_on_after(BODY_SECONDS) as deadline:
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    return 413
    except (web.RequestPayloadError, ConnectionError, RuntimeError):
        return 400  # broken chunks, or a closed connection, for which aiohttp raises RuntimeError
    return 408 if deadline.cancelled_caught else await receiver.deliver(head.path, bytes(body))


@web.middleware
async def _linger(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond, then read the rest of the body: closing with unread data resets the connection.

    aiohttp does the same after the handler, but keeps waiting if the sender leaves meanwhile.
    """
    response = await handler(request)
    with (
        contextlib.suppress(web.RequestPayloadError, ConnectionError, RuntimeError),
        anyio.move_on_after(_LINGER_SECONDS),
    ):
        await response.prepare(request)
        await response.write_eof()
        async for _ in request.content.iter_any():
            pass
    return response


@contextlib.asynccontextmanager
async def listening(receiver: Receiver, host: str, port: int) -> AsyncIterator[int]:
    """See `WebhookReceiver.serve`."""
    app = web.Application(middlewares=[_linger])
    add_to(receiver, app, "")
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=HEAD_SECONDS,
        lingering_time=0,
        logger=_log,
        shutdown_timeout=_CLOSING_SECONDS,
    )
    await runner.setup()
    server = cast("web.Server", runner.server)  # which `setup` has made

    def connect() -> asyncio.Protocol:
        # At the limit, the oldest connection is closed, so idle ones block nobody.
        connections = server.connections
        for oldest in connections[: len(connections) - MAX_CONNECTIONS + 1]:
            oldest.force_close()
        return server()

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(connect, host, port, backlog=1024)
        except (OSError, OverflowError) as error:
            raise WebhookError(
                f"cannot listen for webhooks on {host} port {port} ({error}); choose another port"
            ) from error
        stack.callback(listener.close)
        yield listener.sockets[0].getsockname()[1]
