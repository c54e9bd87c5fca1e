"""Every door that a webhook may come in by, with real software behind it, and one way to knock.

A door is an asynchronous context manager that gives a function: a request in, its answer out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias
from urllib.parse import unquote

import anyio
import uvicorn
from aiohttp import web
from attrs import Factory, frozen
from fastapi import FastAPI

from modelslab_async.webhooks import WebhookReceiver

SECRET = "a secret that only tests share"
PREFIX = "/hooks"


@frozen
class Post:
    """A request. ``target`` is the path as it stands in the request line."""

    target: str
    body: bytes = b""
    method: str = "POST"
    headers: dict[str, str] = Factory(dict)
    chunked: bool = False


@frozen
class Told:
    """An answer, without the headers that tell the time and the software."""

    status: int
    headers: frozenset[tuple[str, str]]
    body: bytes


Knock: TypeAlias = Callable[[Post], Awaitable[Told]]

_OF_THE_SERVER = ("date", "connection")


def receiver_of(**settings: Any) -> WebhookReceiver:
    return WebhookReceiver(SECRET, f"https://music.example.com{PREFIX}", **settings)


def target_of(receiver: WebhookReceiver, track_id: int | str) -> str:
    """What stands in the request line of a delivery for this job."""
    return receiver.url_for(track_id).removeprefix("https://music.example.com")


# --- knocking on a socket


def raw(post: Post) -> bytes:
    headers = {"Host": "music.example.com", "Connection": "close", **post.headers}
    if post.chunked:
        headers["Transfer-Encoding"] = "chunked"
    else:
        headers.setdefault("Content-Length", str(len(post.body)))
    lines = [f"{post.method} {post.target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + (
        _chunks(post.body) if post.chunked else post.body
    )


def _chunks(body: bytes) -> bytes:
    parts = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


async def talk(port: int, sent: bytes) -> bytes:
    """All that the server says to these bytes until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return await reader.read()
    finally:
        writer.close()


def parsed(answer: bytes) -> Told:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [line.lower().split(": ", 1) for line in lines]
    kept = frozenset((name, value) for name, value in headers if name not in _OF_THE_SERVER)
    return Told(int(first.split()[1]), kept, body)


def over(port: int) -> Knock:
    async def knock(post: Post) -> Told:
        return parsed(await talk(port, raw(post)))

    return knock


# --- the doors


@contextlib.asynccontextmanager
async def bare_asgi(receiver: WebhookReceiver) -> AsyncIterator[Knock]:
    """The application, called as a server would call it."""

    async def knock(post: Post) -> Told:
        messages = list(_messages(post))
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await receiver.app(_scope(post), receive, send)
        headers = frozenset((n.decode(), v.decode()) for n, v in sent[0]["headers"])
        return Told(sent[0]["status"], headers, b"".join(one["body"] for one in sent[1:]))

    yield knock


def _scope(post: Post) -> dict[str, Any]:
    headers = dict(post.headers)
    if not post.chunked:
        headers.setdefault("Content-Length", str(len(post.body)))
    return {
        "type": "http",
        "method": post.method,
        "path": unquote(post.target, errors="replace"),
        "raw_path": post.target.encode(),
        "root_path": PREFIX,
        "headers": [(n.lower().encode(), v.encode()) for n, v in headers.items()],
    }


def _messages(post: Post) -> Iterator[dict[str, Any]]:
    for at in range(0, len(post.body), 4096):
        yield {"type": "http.request", "body": post.body[at : at + 4096], "more_body": True}
    yield {"type": "http.request"}


class _Uvicorn(uvicorn.Server):
    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, lifespan="on"))
        self.up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextlib.asynccontextmanager
async def fastapi_under_uvicorn(receiver: WebhookReceiver) -> AsyncIterator[Knock]:
    app = FastAPI()
    app.mount(PREFIX, receiver.app)
    server = _Uvicorn(app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            await server.up.wait()
            yield over(listener.getsockname()[1])
            server.should_exit = True


@contextlib.asynccontextmanager
async def aiohttp_application(receiver: WebhookReceiver) -> AsyncIterator[Knock]:
    app = web.Application()
    receiver.add_to(app, PREFIX)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield over(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def own_listener(receiver: WebhookReceiver) -> AsyncIterator[Knock]:
    async with receiver.serve(port=0) as port:
        yield over(port)


DOORS = [bare_asgi, fastapi_under_uvicorn, aiohttp_application, own_listener]
