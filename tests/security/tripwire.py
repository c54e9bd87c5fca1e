"""Every address that this process connects to, and a net where names lead where a test says.

The wire is an audit hook, which nothing can go around and which is never taken away again. It lets
nobody out: a connection to a public address is noted and refused.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import pytest

Place = tuple[str, int]


class _Wire:
    def __init__(self) -> None:
        self.watching = False
        self.connected: list[Place] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, details: tuple[Any, ...]) -> None:
        if not self.watching or event != "socket.connect" or not isinstance(details[1], tuple):
            return
        place = details[1][:2]
        self.connected.append(place)
        if not ipaddress.ip_address(place[0].partition("%")[0]).is_loopback:
            raise OSError(errno.ENETUNREACH, "no test leaves this machine")


_WIRE = _Wire()


@contextmanager
def watching() -> Iterator[list[Place]]:
    """The addresses and ports connected to meanwhile, whether or not anybody was there."""
    _WIRE.connected = []
    _WIRE.watching = True
    try:
        yield _WIRE.connected
    finally:
        _WIRE.watching = False


Names = Mapping[str, Sequence[str]]


def names_lead(monkeypatch: pytest.MonkeyPatch, names: Names) -> list[str]:
    """Resolve these names to these addresses and no others; returns the names asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [_info(address, port) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def _info(address: str, port: int) -> Any:
    kind, protocol = socket.SOCK_STREAM, socket.IPPROTO_TCP
    if ":" in address:
        return socket.AF_INET6, kind, protocol, "", (address, port, 0, 0)
    return socket.AF_INET, kind, protocol, "", (address, port)


class Trap:
    """A port that is open on every address of this machine, and counts who comes."""

    def __init__(self) -> None:
        self.caught = 0

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port: int = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._catch, sock=listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _catch(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.caught += 1
        writer.transport.abort()
