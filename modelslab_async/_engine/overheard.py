"""Keep what came of a paid answer that the HTTP library refuses, for it may name the job.

The library drops all of an answer that breaks a rule: a byte behind its end, two equal lengths, a
space in the name of a header, too long a head. Others read it, and it cannot be requested again.
"""

from __future__ import annotations

import asyncio
import re
from contextvars import ContextVar
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

_MOST: Final = 256 * 1024
_HEAD_ENDS: Final = re.compile(rb"\r?\n\r?\n")

_current: ContextVar[bytearray | None] = ContextVar("modelslab_async_overheard", default=None)


def listen(connector: aiohttp.BaseConnector) -> None:
    """Let each new connection write what it receives to the `overheard` of whoever opens it."""
    loop = asyncio.get_running_loop()
    connector._factory = lambda: _Listening(loop, _current.get())  # type: ignore[assignment]


def overheard() -> bytearray:
    """What the next connection of this task receives, its first 256 KiB."""
    heard = bytearray()
    _current.set(heard)
    return heard


def body_of(heard: bytes) -> bytes:
    """What stands behind the heads of an answer; nothing if it comes in chunks, which split ids."""
    body = heard
    while body.startswith(b"HTTP/"):  # also 1xx, and what a proxy says first
        ends = _HEAD_ENDS.search(body)
        if ends is None or b"chunked" in body[: ends.start()].lower():
            return b""
        body = body[ends.end() :]
    return body


class _Listening(ResponseHandler):
    def __init__(self, loop: asyncio.AbstractEventLoop, heard: bytearray | None) -> None:
        super().__init__(loop=loop)
        self._heard = heard

    def data_received(self, data: bytes) -> None:
        if self._heard is not None:
            self._heard += data[: _MOST - len(self._heard)]
        super().data_received(data)
