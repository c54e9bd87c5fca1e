"""Finished tracks to download, and a host that says exactly what a test wants it to say."""

from __future__ import annotations

import asyncio
import contextlib
import io
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, Self

from modelslab_async import DownloadPolicy, Generation, ModelsLab, MusicGen, RemoteFile, SavedFile
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from .quick import DOWNLOAD, client_of

SHORT = MusicGen("slow piano", max_new_token=256, sampling_rate=10000)
QUICK = DownloadPolicy(patience=20.0, first_wait=0.01, timeout=5.0)
NO_PATIENCE = DownloadPolicy(patience=0.05, first_wait=0.01, timeout=5.0)


def done(*faults: Fault, **fields: Any) -> Scenario:
    """A sandbox whose jobs are finished when they are submitted, so that only downloads fail."""
    return Scenario(**{"mode": "sync", "generation_seconds": 0.0, **fields}, faults=faults)


class Track:
    """A finished job in a sandbox, with the client that made it."""

    def __init__(self, box: Sandbox, client: ModelsLab, made: Generation, folder: Path) -> None:
        self.box = box
        self.client = client
        self.made = made
        self.folder = folder

    async def save(self, *urls: str, to: str = "", **options: Any) -> SavedFile:
        """Download it into the folder, from these links when some are given."""
        what = RemoteFile(urls, self.made.id) if urls else self.made
        return await self.client.download(what, f"{self.folder}/{to}", **options)

    @property
    def whole(self) -> bytes:
        return self.box.canonical(self.made.id)

    @property
    def links(self) -> tuple[str, ...]:
        return self.made.files[0].urls

    def statuses(self, host: str = "storage") -> list[int | None]:
        """What this host answered to each download, in order; `None`: it did not answer."""
        records = self.box.book.requests
        return [record.status for record in records if record.host == host]


@contextlib.asynccontextmanager
async def track(
    folder: Path,
    scenario: Scenario,
    request: MusicGen = SHORT,
    *,
    policy: DownloadPolicy = QUICK,
    **settings: Any,
) -> AsyncIterator[Track]:
    """A job in such a sandbox, finished and not yet downloaded."""
    async with (
        Sandbox(scenario=scenario) as box,
        client_of(box, download=policy, **settings) as client,
    ):
        yield Track(box, client, await client.generate(request), folder)


def names(folder: Path) -> list[str]:
    """All that is in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def wav(frames: int = 50_000, seed: int = 0) -> bytes:
    """A whole mono WAV file of noise, the same for the same seed."""
    return _in_wav(Random(seed).randbytes(2 * frames))


def silence(size: int) -> bytes:
    """A whole WAV file of so many bytes, without a sound in it."""
    return _in_wav(bytes(size - 44))


def _in_wav(sound: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(10_000)
        writer.writeframes(sound)
    return file.getvalue()


def says(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """The bytes of one answer, with the true Content-Length or another."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {size}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


Says = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


class Host:
    """A file host on 127.0.0.1: one answer for each connection, in order, the last for ever.

    `asked` holds the head of each request, `accepted` counts connections.
    """

    def __init__(self, *answers: Says, tls: Any = None) -> None:
        self._answers = list(answers)
        self._tls = tls
        self.asked: list[str] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(
            self._writers
        ):  # since Python 3.12 the server waits for all that are open
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.append(writer)
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            await self._say(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._writers.remove(writer)  # what is closed cannot be aborted on every Python

    async def _say(self, writer: asyncio.StreamWriter) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
        else:
            await answer(writer)

    def header(self, name: str, request: int = -1) -> str | None:
        """A header of a request that came, or `None` when it had none of that name."""
        lines = (line.partition(":") for line in self.asked[request].split("\r\n"))
        return next((value.strip() for key, _, value in lines if key.lower() == name), None)


def downloader(policy: DownloadPolicy = DOWNLOAD, **settings: Any) -> ModelsLab:
    """A client for links that no job of an API leads to."""
    return ModelsLab("no-key", base_url="http://127.0.0.1:9", download=policy, **settings)
