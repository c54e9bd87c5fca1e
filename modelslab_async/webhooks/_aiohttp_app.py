"""The aiohttp frontends: a route for your application, and a standalone listener.

The listener accepts one request per connection. aiohttp's keep-alive timer starts with the
connection, and so limits the time for the headers. The body has its own deadline, because aiohttp
has none. At the connection limit the oldest connection is closed, so idle ones block nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import anyio
from aiohttp import hdrs, web

from .._engine.aio import now
from ..errors import WebhookError
from ._asgi import Receiver
from ._limits import Buckets
from ._logs import HIDE_TOKENS
from ._signing import BODY_SECONDS, MAX_BODY, Head

_log = logging.getLogger("modelslab_async.webhooks")

MAX_CONNECTIONS: Final = 500
HEAD_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 1.0
_CLOSING_SECONDS: Final = 2.0
FORGED_RATE: Final = 50.0
_WORTHLESS_BURST: Final = 500.0


# --- a route for an application


def add_to(receiver: Receiver, app: web.Application, prefix: str) -> None:
    """See `WebhookReceiver.add_to`."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=await answer(receiver, request))

    for name in ("aiohttp.access", "aiohttp.server"):  # the second quotes invalid requests
        logging.getLogger(name).addFilter(HIDE_TOKENS)
    app.router.add_route(
        "*", prefix.rstrip("/") + "/{webhook:.*}", handler, expect_handler=_leave_expectation
    )


async def _leave_expectation(_: web.Request) -> None:
    """Leave ``100 Continue`` to `answer`, which sends it only after it has checked the token."""


async def answer(receiver: Receiver, request: web.BaseRequest) -> int:
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
    body: bytes | int = 408
    with anyio.move_on_after(BODY_SECONDS):
        body = await _read(request)
    return await receiver.deliver(head.path, body) if isinstance(body, bytes) else body


async def _read(request: web.BaseRequest) -> bytes | int:
    body = bytearray()
    try:
        await _ask_on(request)
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY:
                return 413
    except (web.RequestPayloadError, ConnectionError, RuntimeError):
        return 400  # broken chunks, or a closed connection, for which aiohttp raises RuntimeError
    return bytes(body)


async def _ask_on(request: web.BaseRequest) -> None:
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # this was not part of the response


# --- a listener of our own


@contextlib.asynccontextmanager
async def listening(receiver: Receiver, host: str, port: int) -> AsyncIterator[int]:
    """See `WebhookReceiver.serve`."""
    loop = asyncio.get_running_loop()
    server = web.Server(_handler(receiver), request_factory=_Request.made)
    try:
        listener = await loop.create_server(_factory(server, loop), host, port, backlog=1024)
    except (OSError, OverflowError) as error:
        raise WebhookError(
            f"cannot listen for webhooks on {host} port {port} ({error}); choose another port"
        ) from error
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        server.pre_shutdown()
        await server.shutdown(_CLOSING_SECONDS)


def _handler(
    receiver: Receiver,
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    worthless = Buckets(FORGED_RATE, _WORTHLESS_BURST)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        status = await answer(receiver, request)
        if status == 404 and not worthless.take(request.remote or "", now()):
            # Count forged requests only: behind a proxy, genuine ones have the same address.
            status = 429
        return _closing(status)

    return handle


def _closing(status: int) -> web.Response:
    response = web.Response(status=status)
    response.force_close()
    return response


def _factory(server: web.Server, loop: asyncio.AbstractEventLoop) -> Callable[[], _Connection]:
    def connect() -> _Connection:
        connections = server.connections
        for oldest in connections[: len(connections) - MAX_CONNECTIONS + 1]:
            oldest.force_close()
        return _Connection(
            server,
            loop=loop,
            keepalive_timeout=HEAD_SECONDS,
            lingering_time=_LINGER_SECONDS,
            access_log=None,  # type: ignore[arg-type] # aiohttp documents None, and types it not
            auto_decompress=False,
        )

    return connect


class _Connection(web.RequestHandler):
    """A connection that answers invalid requests briefly and does not quote them in any log."""

    __slots__ = ()

    def connection_lost(self, exc: BaseException | None) -> None:
        # aiohttp drops its reference to the task here, which keeps waiting for the rest of a body
        # that will never come; a shutdown would not wait for it. A delivery being stored goes on.
        lingering = None if self._request_in_progress else self._task_handler
        super().connection_lost(exc)
        if lingering is not None:
            lingering.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            _log.error("the webhook listener crashed; please report this", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response has already started")
        return _closing(status)


class _Request(web.BaseRequest):
    """A request whose response has no ``Server`` header."""

    @classmethod
    def made(cls, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> _Request:
        return cls(message, payload, protocol, writer, task, asyncio.get_running_loop())

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers.popall(hdrs.SERVER, None)
