"""Capture the raw bytes of paid responses: one that aiohttp rejects may still name the job.

aiohttp drops a whole response that breaks a rule: a byte after its end, two equal lengths, a space
in a header name, headers that are too long. Other clients read it, and a paid request cannot be
repeated.
"""

from __future__ import annotations

import asyncio
import re
from contextvars import ContextVar
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from .._protocol.encoding import unchunked

_MAX_CAPTURED: Final = 256 * 1024
_HEAD_ENDS: Final = re.compile(rb"\r?\n\r?\n")

_current: ContextVar[bytearray | None] = ContextVar("modelslab_async_capture", default=None)


def capture_responses(connector: aiohttp.BaseConnector) -> None:
    """Make each new connection copy what it receives to the buffer of the task that opened it."""
    loop = asyncio.get_running_loop()
    connector._factory = lambda: _CapturingHandler(loop, _current.get())  # type: ignore[assignment]


def start_capture() -> bytearray:
    """Return a buffer for the first 256 KiB that this task's next connection receives."""
    captured = bytearray()
    _current.set(captured)
    return captured


def captured_body(captured: bytes) -> bytes:
    """Return the bytes after the response's headers, joined if they came in chunks."""
    body, chunked = captured, False
    while body.startswith(b"HTTP/"):  # also skip 1xx responses, and the proxy's to CONNECT
        ends = _HEAD_ENDS.search(body)
        if ends is None:
            return b""
        chunked = b"chunked" in body[: ends.start()].lower()
        body = body[ends.end() :]
    return unchunked(body) if chunked else body  # chunks can split an id


class _CapturingHandler(ResponseHandler):
    def __init__(self, loop: asyncio.AbstractEventLoop, captured: bytearray | None) -> None:
        super().__init__(loop=loop)
        self._captured = captured

    def data_received(self, data: bytes) -> None:
        if self._captured is not None:
            self._captured += data[: _MAX_CAPTURED - len(self._captured)]
        super().data_received(data)
