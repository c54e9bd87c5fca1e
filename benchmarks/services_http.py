"""As little of HTTP/1.1 as a server needs that must cost less than any client.

It reads requests with a Content-Length, one after the other on a connection, and answers each when
the handler says so. It is no server for anything else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

_LENGTH = b"\r\ncontent-length:"
_CLOSE = b"\r\nconnection: close"
_REASONS = {200: b"OK", 201: b"Created", 404: b"Not Found", 429: b"Too Many Requests"}

Answer = Callable[[int, Sequence[bytes | memoryview], bytes], None]
"""``answer(status, pieces of the body, further header lines)``"""


@frozen
class Request:
    """One request; ``head`` is all of its header lines in small letters."""

    method: str
    path: str
    head: bytes
    body: bytes

    def document(self) -> Any:
        return json.loads(self.body)


Handler = Callable[[Request, Answer], None]


class Connection(asyncio.Protocol):
    """Hands requests to ``handle``, which answers now or later."""

    _transport: asyncio.Transport

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._received = bytearray()
        self._close = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        size = end + 4 + _length(head)
        if len(self._received) < size:
            return
        line = bytes(self._received[: self._received.find(b"\r\n")]).decode().split(" ")
        body = bytes(self._received[end + 4 : size])
        del self._received[:size]
        self._close = _CLOSE in head
        self._handle(Request(line[0], line[1], head, body), self._answer)

    def _answer(self, status: int, pieces: Sequence[bytes | memoryview], lines: bytes) -> None:
        if self._transport.is_closing():
            return
        size = sum(len(piece) for piece in pieces)
        head = b"HTTP/1.1 %d %b\r\nContent-Length: %d\r\n" % (status, _REASONS[status], size)
        self._transport.writelines([head, lines, b"\r\n", *pieces])
        if self._close:
            self._transport.close()


def _length(head: bytes) -> int:
    _, found, rest = head.partition(_LENGTH)
    return int(rest.partition(b"\r\n")[0]) if found else 0
