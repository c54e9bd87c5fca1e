"""The ASGI frontend. It removes the token from the scope before the response starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

import anyio

from ._signing import BODY_SECONDS, MAX_BODY, Head

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Receiver(Protocol):
    """Decides for a frontend whether to read a request's body, and with which status to respond."""

    def refusal(self, head: Head) -> int | None: ...

    async def deliver(self, path_tail: str, body: bytes) -> int: ...


class AsgiApp:
    """An ASGI 3 application that accepts webhooks and responds with 404 to everything else."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":  # acknowledge it; there is nothing to start or stop
                kind = ""
                while kind != "lifespan.shutdown":
                    kind = (await receive())["type"]
                    await send({"type": f"{kind}.complete"})
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        head = Head(
            method=scope["method"],
            path=scope["path"],
            encoding=headers.get(b"content-encoding", ""),
            length=headers.get(b"content-length", ""),
        )
        # Servers log the path of this very scope when the response starts: remove the token.
        scope["path"] = scope["path"].rpartition("/")[0] + "/..."
        if scope.get("raw_path"):
            scope["raw_path"] = scope["raw_path"].rpartition(b"/")[0] + b"/..."
        status = self._receiver.refusal(head)
        if status is None:
            body: bytes | int | None = 408
            with anyio.move_on_after(BODY_SECONDS):
                body = await _read(receive)
            if body is None:
                return
            if isinstance(body, bytes):
                body = await self._receiver.deliver(head.path, body)
            status = body
        length = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": length})
        await send({"type": "http.response.body", "body": b""})


async def _read(receive: Receive) -> bytes | int | None:
    """The body, or the status that rejects it; ``None`` if the client has disconnected."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body") or b""
        if len(body) > MAX_BODY:
            return 413
        more = message.get("more_body", False)
    return bytes(body)
