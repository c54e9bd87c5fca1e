"""A server, made far away: ``python -m benchmarks.far_away PORT LATENCY CERTIFICATE KEY``.

Two relays in one process, before a plain server of this machine at PORT: the outer one passes bytes
on half a round trip late, in each direction, and takes a round trip to open; the inner one speaks
TLS, so that its handshake is late, too. The first line printed is JSON: ``port``, where to connect,
and ``count``, a port that says how many connections there have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import Awaitable, Callable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Relay:
    """Passes on what it gets to a port of this machine, ``delay`` seconds late each way."""

    def __init__(self, port: int, delay: float) -> None:
        self._port = port
        self._delay = delay
        self.connections = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self.connections += 1
        await asyncio.sleep(2 * self._delay)
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(reader, forth))
            both.create_task(self._pass(back, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Bytes in their order, each at its time, however many are on their way."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                loop.call_later(self._delay, writer.write, data)
        loop.call_later(self._delay, writer.close)


async def _listen(handler: Handler, tls: ssl.SSLContext | None = None) -> int:
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
    asyncio.get_running_loop().create_task(server.serve_forever())
    port: int = server.sockets[0].getsockname()[1]
    return port


async def main(port: int, latency: float, certificate: str, key: str) -> None:
    """Relay until the process is ended."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    inner = Relay(port, 0.0)
    outer = Relay(await _listen(inner.handle, tls), latency / 2)

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(outer.connections).encode())
        writer.close()

    ports = {"port": await _listen(outer.handle), "count": await _listen(count)}
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]))
