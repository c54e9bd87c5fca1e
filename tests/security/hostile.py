"""An API and a file host that are hostile, met as in production: by name, over TLS, guard on.

The API is `api.test`. `cdn.test` is a file host on an address that plays the part of a public one,
the only one that does. All else on this machine is out of bounds for a download.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp.connector
import pytest
from attrs import define, frozen

from modelslab_async import DownloadPolicy, ModelsLab, PollPolicy
from modelslab_async._engine import storage
from modelslab_async._protocol.addresses import Range, forbidden_address

from ..support.tracks import says, wav
from .tripwire import Names, Place, Trap, names_lead, watching

KEY = "hostile-0123456789-abcdefghij-KLMNOPQRST"
SUBMIT = "/api/v6/voice/music_gen"
FETCH = "/api/v6/voice/fetch/"
WHOLE = wav(2000)
_PUBLIC = "127.0.0.77"
_SELF_SIGNED = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
_NAMES = "subjectAltName=DNS:api.test,DNS:cdn.test"
POLL = PollPolicy(first=0.005, min_interval=0.005, max_interval=0.02, rate=5000, patience=0.1)
DOWNLOAD = DownloadPolicy(patience=0.0, first_wait=0.001, timeout=2.0)

Answer = Callable[["Asked"], bytes]


@frozen
class Asked:
    """A request that came: its head as text, its body."""

    head: str
    body: bytes

    @property
    def path(self) -> str:
        return self.head.split(" ", 2)[1]

    @property
    def fields(self) -> dict[str, Any]:
        return dict(json.loads(self.body)) if self.body else {}


class Server:
    """One answer to each request, by a function; it remembers what it was asked."""

    def __init__(self, address: str, tls: ssl.SSLContext, answer: Answer) -> None:
        self._address = address
        self._tls = tls
        self.answer = answer
        self.asked: list[Asked] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._address, 0, ssl=self._tls)
        self.place: Place = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await reader.readexactly(int(lines.get("content-length", "0")))
            self.asked.append(Asked(head, body))
            writer.write(self.answer(self.asked[-1]))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def reply(**fields: Any) -> bytes:
    return says(json.dumps(fields).encode(), "Content-Type: application/json")


def in_raw(text: str) -> bytes:
    return says(text.encode("utf-8", "surrogatepass"), "Content-Type: application/json")


def file_or_nothing(asked: Asked) -> bytes:
    """What a file host says: `/good` is there, `/hop?URL` leads on, and all else is missing."""
    path, _, target = asked.path.partition("?")
    if path == "/hop":
        return says(b"", f"Location: {target}", status="302 Found")
    return says(WHOLE) if path.startswith("/good") else says(b"", status="404 Not Found")


@define(eq=False)
class Stage:
    """Where it plays: two servers, a trap on all of this machine, and the wire."""

    api: Server
    cdn: Server
    trap: Trap
    connected: list[Place]

    @property
    def good(self) -> str:
        return f"https://cdn.test:{self.cdn.place[1]}/good.wav"

    @property
    def missing(self) -> str:
        return f"https://cdn.test:{self.cdn.place[1]}/missing.wav"

    @property
    def base_url(self) -> str:
        return f"https://api.test:{self.api.place[1]}"

    def client(self, **settings: Any) -> ModelsLab:
        """A client as in production; only its waits are short."""
        quick: dict[str, Any] = {"poll": POLL, "download": DOWNLOAD, "submit_timeout": 5.0}
        return ModelsLab(KEY, base_url=self.base_url, **{**quick, **settings})

    @property
    def strayed(self) -> list[Place]:
        """Connections to anything but the two servers."""
        return [place for place in self.connected if place not in (self.api.place, self.cdn.place)]

    @property
    def paths(self) -> set[str]:
        """What the API was asked for."""
        return {asked.path for asked in self.api.asked}

    def assert_nobody_strayed(self) -> None:
        assert self.strayed == []
        assert self.trap.caught == 0
        assert not [asked for asked in self.cdn.asked if KEY in asked.head or asked.body]


@frozen
class Certificate:
    """A file with a key and a certificate."""

    path: Path

    @classmethod
    def made(cls, path: Path, names: str = _NAMES) -> Certificate:
        command = [*f"openssl {_SELF_SIGNED} -subj /CN=test -addext {names}".split(), "-keyout"]
        made = f"{path}.crt"
        subprocess.run([*command, str(path), "-out", made], check=True, capture_output=True)
        path.write_text(path.read_text() + Path(made).read_text())
        return cls(path)

    def shown(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context

    def trusted(self) -> ssl.SSLContext:
        """What the HTTP library trusts by default, and this one too."""
        return ssl.create_default_context(cafile=str(self.path))


@asynccontextmanager
async def staged(
    monkeypatch: pytest.MonkeyPatch,
    certificate: Certificate,
    answer: Answer,
    names: Names | None = None,
) -> AsyncIterator[Stage]:
    """The stage; names beside those of the two servers lead to where ``names`` says."""
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", certificate.trusted())
    monkeypatch.setattr(storage, "forbidden_address", _all_but_one)
    known = {"api.test": ["127.0.0.1"], "cdn.test": [_PUBLIC], **(names or {})}
    async with (
        Server("127.0.0.1", certificate.shown(), answer) as api,
        Server(_PUBLIC, certificate.shown(), file_or_nothing) as cdn,
        Trap() as trap,
    ):
        names_lead(monkeypatch, known)
        with watching() as connected:
            yield Stage(api, cdn, trap, connected)


def _all_but_one(ip: str, *, allow_loopback: bool, allowed: tuple[Range, ...]) -> bool:
    return ip != _PUBLIC and forbidden_address(ip, allow_loopback=allow_loopback, allowed=allowed)
