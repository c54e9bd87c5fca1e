"""S rows about submits that never left this machine: they are sent again, and cost nothing."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from modelslab_async import (
    ModelsLab,
    MusicGen,
    Network,
    PollPolicy,
    RequestTimeout,
    SubmitUnknown,
    TransportError,
)
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.fastloop import fast
from ..support.quick import client_of, free_port

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rock music from the 90s", max_new_token=256, track_id=4711)
POLL = PollPolicy(rate=1000)
KEY = "a-key-that-is-long-enough"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return fast()


def submits(box: Sandbox) -> int:
    return box.book.count("api", MusicGen.ENDPOINT)


class _Watch(logging.Handler):
    """Does something when a submit was not sent."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then

    def emit(self, record: logging.LogRecord) -> None:
        if "NotSent" in record.getMessage():
            self.then()


@contextmanager
def when_not_sent(then: Callable[[], None]) -> Iterator[None]:
    log = logging.getLogger("modelslab_async.submit")
    handler, level = _Watch(then), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Resolver(AbstractResolver):
    """Knows no name at first."""

    def __init__(self, failures: float) -> None:
        self.failures = failures
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        if self.asked <= self.failures:
            raise OSError(None, "Name or service not known")
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return


async def test_s01_a_name_that_is_not_found_at_first_is_tried_again() -> None:
    resolver = _Resolver(2)
    async with Sandbox() as box, aiohttp.TCPConnector(resolver=resolver) as connector:
        url = box.url.replace("127.0.0.1", "localhost")
        network = Network(connector=connector)
        async with ModelsLab(box.key, base_url=url, network=network, poll=POLL) as client:
            assert (await client.submit(REQUEST)).id
        assert submits(box) == len(box.book.debits) == 1
    assert resolver.asked >= 3


async def test_s01_a_name_that_is_never_found_is_an_error_that_says_nothing_was_accepted() -> None:
    resolver = _Resolver(float("inf"))
    async with aiohttp.TCPConnector(resolver=resolver) as connector:
        network = Network(connector=connector)
        async with ModelsLab(KEY, network=network) as client:
            with pytest.raises(TransportError, match=r"cannot be resolved.*nothing was accepted"):
                await client.submit(REQUEST)
    assert resolver.asked == 5


async def test_s02_a_refused_connection_is_tried_again_until_somebody_listens() -> None:
    refused = asyncio.Event()
    port = free_port()
    async with ModelsLab(KEY, base_url=f"http://127.0.0.1:{port}", poll=POLL) as client:
        with when_not_sent(refused.set):
            submitting = asyncio.create_task(client.submit(REQUEST))
            await refused.wait()
        async with Sandbox(key=KEY, port=port) as box:
            assert (await submitting).id
            assert submits(box) == len(box.book.debits) == 1


async def test_s02_a_connection_that_stays_refused_is_an_error_after_five_tries() -> None:
    tries: list[None] = []
    async with ModelsLab(KEY, base_url=f"http://127.0.0.1:{free_port()}") as client:
        with (
            when_not_sent(lambda: tries.append(None)),
            pytest.raises(TransportError, match="nothing was accepted") as caught,
        ):
            await client.submit(REQUEST)
    assert caught.value.retryable
    assert len(tries) == 5


async def test_s03_a_connection_that_is_not_taken_up_is_not_sent() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with _filled(deaf.getsockname()):
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
            async with ModelsLab(KEY, base_url=url) as client:
                with pytest.raises(RequestTimeout, match="no connection within the time allowed"):
                    await client.submit(REQUEST)


@contextmanager
def _filled(address: tuple[str, int]) -> Iterator[None]:
    """Connections that nobody accepts, until no more fit into the backlog."""
    socks = [socket.socket() for _ in range(4)]
    for sock in socks:
        sock.setblocking(False)
        sock.connect_ex(address)
    try:
        yield
    finally:
        for sock in socks:
            sock.close()


@asynccontextmanager
async def _listening(heard: list[bytes], tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    """A server that only listens; with ``tls``, it shakes hands first."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            heard.append(data)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_s04_a_stalled_handshake_is_not_sent() -> None:
    heard: list[bytes] = []
    async with _listening(heard, None) as url, ModelsLab(KEY, base_url=url) as client:
        with pytest.raises(RequestTimeout):
            await client.submit(REQUEST)
    assert len(heard) == 5
    assert KEY.encode() not in b"".join(heard)


async def test_s04_a_bad_certificate_is_an_error_at_once(tmp_path: Path) -> None:
    heard: list[bytes] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(tmp_path))
    tries: list[None] = []
    async with _listening(heard, tls) as url, ModelsLab(KEY, base_url=url) as client:
        with (
            when_not_sent(lambda: tries.append(None)),
            pytest.raises(TransportError, match="nothing was accepted"),
        ):
            await client.submit(REQUEST)
    assert (len(tries), heard) == (1, [])


def _certificate(directory: Path) -> Path:
    """For 127.0.0.1, signed by nobody that anybody knows, and good for nothing else."""
    path = directory / "certificate.pem"
    path.write_text(CERTIFICATE)
    return path


async def test_s05_a_wait_for_a_connection_of_the_callers_pool_is_not_sent() -> None:
    scenario = Scenario(faults=(Fault(on="submit", kind="silent"),))
    async with Sandbox(scenario=scenario) as box, aiohttp.TCPConnector(limit=1) as connector:
        settings: dict[str, Any] = {"network": Network(connector=connector), "poll": POLL}
        async with client_of(box, submit_timeout=200.0, **settings) as first:
            holding = asyncio.create_task(first.submit(REQUEST))
            while not box.book.debits:
                await asyncio.sleep(0)
            async with client_of(box, submit_timeout=2.0, **settings) as second:
                with pytest.raises(RequestTimeout, match="nothing was accepted"):
                    await second.submit(REQUEST)
            assert submits(box) == len(box.book.debits) == 1
            with pytest.raises(SubmitUnknown):
                await holding


async def test_s06_without_a_free_descriptor_nothing_is_sent_and_it_is_tried_again() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def give_back() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    async with Sandbox() as box, client_of(box, poll=POLL, submit_timeout=180.0) as client:
        with when_not_sent(give_back):
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                assert (await client.submit(REQUEST)).id
            finally:
                give_back()
        assert submits(box) == len(box.book.debits) == 1


CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPTE4CGaoWXTH4SlI
5PUIO6jyMCOdCD9tAphF+KBtqL+hRANCAAQCQhK1pJ86+YV21noJkDAUIjK585EN
xjlU2dp2qoSX+DvZv1YNNeu6y851iqDRWxv450yU+jLqKNiv31p+Rw5R
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBijCCATCgAwIBAgIUMIjom0HBqkG7hTz+8cbl/yMZfwwwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyMjExMjQ0M1oYDzIxMjYxMDI5MTEy
NDQzWjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQCQhK1pJ86+YV21noJkDAUIjK585ENxjlU2dp2qoSX+DvZv1YNNeu6y851iqDR
Wxv450yU+jLqKNiv31p+Rw5Ro2QwYjAdBgNVHQ4EFgQUDLugifIoAvIyXoU2BlVV
z239yXAwHwYDVR0jBBgwFoAUDLugifIoAvIyXoU2BlVVz239yXAwDwYDVR0TAQH/
BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUCIBTc7DLw
R+317RrTWXK17iCPkR2/KFJbMsf5RkB+A1qBAiEAv57hOu3CcJwCTSQQ9eHxMhvo
n6ezJmm+LYqYnJp0poM=
-----END CERTIFICATE-----
"""
