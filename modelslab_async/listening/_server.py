"""Serve the page of a batch to one person on this machine, live beside a run.

A decision is on disk before it is acknowledged. A sound is asked for by the number of its row, so
no path comes from a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
import os
import secrets
import stat
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import evolve, field, frozen

from .._engine.aio import in_thread
from ..batch import Decision, write_decisions
from ..errors import ConfigurationError, ModelsLabError, RequestError
from ._facts import MEDIA, decision_as_json
from ._guard import byte_range, refusal
from ._page import PROGRAM, page_html, policy_of
from ._source import Seen, Source

_HOST: Final = "127.0.0.1"
_LOOK: Final = 0.25
"""Seconds between two looks at the directory; nothing is read while nothing changes."""
_SILENCE: Final = 60
"""Looks without news after which a comment is sent, to notice a page that is gone."""
_CHUNK: Final = 256 * 1024
_CLOSING_SECONDS: Final = 1.0
_FRAMES: Final = "frame-ancestors 'self' http://localhost:* http://127.0.0.1:*"

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_log = logging.getLogger("modelslab_async.listening")


@frozen(kw_only=True)
class Page:
    """A page that is being served.

    Attributes:
        url: of the page; whoever knows it can hear the files and decide about them.
        once: leads there, but one time only: for the command line of a browser, which other users
            of the machine can read.
    """

    url: str = field(repr=False)
    once: str = field(repr=False)
    _stack: contextlib.AsyncExitStack | None = field(default=None, repr=False, eq=False)

    async def close(self) -> None:
        """End a page of `open_page`."""
        if self._stack is not None:
            await self._stack.aclose()

    def _repr_html_(self) -> str:
        """The page in a frame, for a notebook whose kernel runs on this machine."""
        url = html.escape(self.url)
        style = "width:100%;height:640px;border:1px solid #8884;border-radius:8px"
        frame = f'<iframe src="{url}" style="{style}" allow="autoplay"></iframe>'
        return f'{frame}<br><a href="{url}" target="_blank" rel="noopener">open in a tab</a>'


@contextlib.asynccontextmanager
async def serve(
    directory: str | os.PathLike[str], *, port: int = 0, program: str = PROGRAM
) -> AsyncIterator[Page]:
    """Serve the page of a batch on 127.0.0.1 inside this context, also while the batch runs.

    Args:
        directory: of the batch.
        port: to listen on; 0: any that is free.
        program: how the command line is called in advice.

    Raises:
        LedgerError: there is no batch, it cannot be read, or it is too large for a page.
        ConfigurationError: the port cannot be listened on.
    """
    source = Source(Path(directory), program)
    await in_thread(source.all)
    server = _Server(source)
    app = web.Application(middlewares=[server.guard])
    app.add_routes(
        [
            web.get("/{token}/", server.page, name="page"),
            web.get("/{token}/events", server.events),
            web.get("/{token}/sound/{row:[0-9]{1,18}}", server.sound),
            web.post("/{token}/decisions", server.decide),
            web.get("/{token}", server.enter, name="once"),
        ]
    )
    runner = web.AppRunner(app, access_log=None, logger=_log, shutdown_timeout=_CLOSING_SECONDS)
    await runner.setup()
    try:
        try:
            site = web.TCPSite(runner, _HOST, port)
            await site.start()
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"cannot listen on {_HOST} port {port} ({error}); choose another port"
            ) from error
        server.port = runner.addresses[0][1]
        here = f"http://{_HOST}:{server.port}"
        yield Page(url=f"{here}/{server.token}/", once=f"{here}/{server.once}")
    finally:
        server.closing.set()
        await runner.cleanup()


async def open_page(
    directory: str | os.PathLike[str], *, port: int = 0, program: str = PROGRAM
) -> Page:
    """As `serve`, until `Page.close` or the end of the event loop: for a cell of a notebook.

    Raises:
        LedgerError, ConfigurationError: as `serve`.
    """
    stack = contextlib.AsyncExitStack()
    page = await stack.enter_async_context(serve(directory, port=port, program=program))
    return evolve(page, stack=stack)


class _Server:
    """Answers the requests of one page."""

    def __init__(self, source: Source) -> None:
        self.token = secrets.token_urlsafe(24)
        self.once = secrets.token_urlsafe(24)
        self.port = 0
        self.closing = asyncio.Event()
        self._source = source

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what is not the person's own page."""
        name = request.match_info.route.name
        status = refusal(
            method=request.method,
            token=self.once if name == "once" else self.token,
            given=request.match_info.get("token", ""),
            port=self.port,
            headers=request.headers,
            is_page=name in ("page", "once"),
        )
        if status is not None:
            return web.Response(status=status, headers=_HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status)
        except ModelsLabError as error:
            response = web.Response(status=500, text=str(error))
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    async def enter(self, _: web.Request) -> web.Response:
        """Lead a browser that was started with the address to the page, one time."""
        self.once = secrets.token_urlsafe(24)
        return web.Response(status=303, headers={"Location": f"/{self.token}/"})

    async def page(self, _: web.Request) -> web.Response:
        """The page with all that is known now."""
        data = await in_thread(self._source.all)
        text = await in_thread(lambda: page_html(data, live=True).encode("ascii"))
        policy = f"{policy_of(live=True)}; {_FRAMES}"
        return web.Response(
            body=text,
            content_type="text/html",
            charset="ascii",
            headers={"Content-Security-Policy": policy},
        )

    async def decide(self, request: web.Request) -> web.Response:
        """Keep one decision; the answer is its acknowledgement."""
        try:
            decision = Decision.of(json.loads(await request.read()))
        except (ValueError, RecursionError) as error:
            text = str(error) if isinstance(error, RequestError) else "the body is not JSON"
            return web.Response(status=400, text=text)
        # About a file that the page may have heard: one that a later download has replaced is not.
        if self._source.files.get(decision.row, ("", ""))[1] != decision.sha256:
            text = "the row has another file now: load the page again"
            return web.Response(status=409, text=text)
        await in_thread(lambda: write_decisions(self._source.directory, [decision]))
        return web.Response(status=204)

    async def sound(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a done row's file, or a range of them."""
        row = int(request.match_info["row"])
        try:
            fd = await in_thread(lambda: self._source.opened(row))
        except OSError:
            fd = None
        if fd is None:
            raise web.HTTPNotFound
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                raise web.HTTPNotFound
            return await _send(request, fd, about.st_size, self._source.files[row][0])
        finally:
            os.close(fd)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What changes in the directory, as server-sent events, until the page is closed."""
        known = request.headers.get("Last-Event-ID") or request.query.get("seen", "")
        seen, stamp, quiet = Seen.of(known), None, 0
        decided: dict[tuple[int, str], Decision] = {}
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        while not self.closing.is_set():
            now = await in_thread(self._source.stamp)
            if now != stamp:
                stamp, quiet = now, 0
                data = await in_thread(partial(self._source.changed, seen))
                seen = Seen.of(data["seen"])
                read = await in_thread(self._source.decisions)
                latest = {(one.row, one.sha256): one for one in read}
                data["decisions"] = [
                    decision_as_json(one) for key, one in latest.items() if decided.get(key) != one
                ]
                decided = latest
                await response.write(f"id: {seen}\ndata: {json.dumps(data)}\n\n".encode())
            elif (quiet := quiet + 1) % _SILENCE == 0:
                await response.write(b":\n\n")
            with anyio.move_on_after(_LOOK):
                await self.closing.wait()
        return response


async def _send(request: web.Request, fd: int, size: int, name: str) -> web.StreamResponse:
    asked = byte_range(request.headers.get("Range"), size)
    if asked is not None and not asked:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    part = range(size) if asked is None else asked
    response = web.StreamResponse(status=200 if asked is None else 206, headers=_HEADERS)
    response.content_type = MEDIA.get(Path(name).suffix.lower(), "application/octet-stream")
    response.headers["Accept-Ranges"] = "bytes"
    if asked is not None:
        response.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    response.content_length = len(part)
    await response.prepare(request)
    at = part.start
    while at < part.stop:
        count = min(_CHUNK, part.stop - at)
        data = await in_thread(partial(os.pread, fd, count, at))
        if not data:
            break  # the file has shrunk; the short body tells
        await response.write(data)
        at += len(data)
    await response.write_eof()
    return response
