"""Where a link may lead, and what a host may do to us (T05, T06, T08 to T11, T31, T32).

`Storage` is tested as it is in production, where loopback is out of bounds: a listener on this
machine is a wire that nothing may trip.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelslab_async import DownloadPolicy, RemoteFile
from modelslab_async._engine.http import Network
from modelslab_async._engine.storage import LinkFailed, Storage
from modelslab_async._policy.download import AttemptFailure, FailureKind
from modelslab_async.sandbox import Fault

from ..support.tracks import QUICK, Host, done, downloader, says, silence, track, wav

pytestmark = pytest.mark.anyio

WHOLE = wav()


class Tripwire:
    """Every address that this process connects to. An audit hook can never be taken away again."""

    def __init__(self) -> None:
        self.watching = False
        self.seen: list[Any] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, details: tuple[Any, ...]) -> None:
        if self.watching and event == "socket.connect":
            self.seen.append(details[1][0])


_TRIPWIRE = Tripwire()


@pytest.fixture
def connected() -> Iterator[list[Any]]:
    """The addresses connected to during a test."""
    _TRIPWIRE.seen.clear()
    _TRIPWIRE.watching = True
    yield _TRIPWIRE.seen
    _TRIPWIRE.watching = False


@asynccontextmanager
async def abroad(
    policy: DownloadPolicy = QUICK, network: Network | None = None
) -> AsyncIterator[Storage]:
    """Storage as against the real API: nothing on this machine may be read."""
    async with Storage(network or Network(), policy, allow_loopback=False) as storage:
        yield storage


def at_home(network: Network | None = None) -> Storage:
    """Storage as against a sandbox."""
    return Storage(network or Network(), QUICK, allow_loopback=True)


async def failure_of(storage: Storage, url: str) -> AttemptFailure:
    """Why this link gives nothing."""
    with pytest.raises(LinkFailed) as caught:
        async with storage.get(url) as body:
            await body.read(5)
    return caught.value.failure


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "\u2460\u2461\u2466.0.0.1",
        "127\u30020\u30020\u30021",
        "user@127.0.0.1",
        "a.example\\@127.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_t05_no_spelling_of_this_machine_is_connected_to(
    scheme: str, host: str, connected: list[Any]
) -> None:
    async with Host(says(WHOLE)) as tripwire, abroad() as storage:
        failure = await failure_of(storage, f"{scheme}://{host}:{tripwire.port}/a.wav")
        assert failure.kind is FailureKind.REFUSED
        assert tripwire.accepted == 0
        assert connected == []


PRIVATE = [
    "https://10.0.0.1/a.wav",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/a.wav",
    "https://192.168.1.1/a.wav",
    "https://[fd00::1]/a.wav",
    "https://[fe80::1]/a.wav",
    "http://cdn.example.com/a.wav",
]


@pytest.mark.parametrize("url", PRIVATE)
@pytest.mark.parametrize("place", ["output", "mirror", "location"])
async def test_t05_no_place_of_an_answer_leads_into_the_network_around_us(
    place: str, url: str, tmp_path: Path, connected: list[Any]
) -> None:
    hop = Fault(on="download", kind="redirect", location=url, times=None, host="primary")
    async with track(tmp_path, done(*[hop] if place == "location" else [])) as it:
        good = it.links[1] if place == "location" else it.links[0]
        order = {"output": (url, good), "mirror": (good, url), "location": it.links}[place]
        saved = await it.save(*order)
        assert saved.path.read_bytes() == it.whole
    assert set(connected) == {"127.0.0.1"}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "0.0.0.0",
        "100.64.0.1",
        "169.254.169.254",
        "192.88.99.1",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
    ],
)
async def test_t06_a_public_name_that_leads_inside_is_not_connected_to(
    address: str, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        sockaddr = (address, port, 0, 0) if ":" in address else (address, port)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", sockaddr)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with Host(says(WHOLE)) as tripwire, abroad() as storage:
        failure = await failure_of(storage, f"https://cdn.example.com:{tripwire.port}/a.wav")
        assert failure.kind in (FailureKind.REFUSED, FailureKind.ADDRESS)
        assert f"cdn.example.com leads to {address}" in failure.detail
        assert tripwire.accepted == 0
        assert connected == []


async def test_t05_through_the_callers_own_connector_the_spelling_is_still_checked(
    connected: list[Any],
) -> None:
    async with (
        aiohttp.TCPConnector() as connector,
        abroad(network=Network(connector=connector)) as storage,
    ):
        failure = await failure_of(storage, "https://127.0.0.1/a.wav")
    assert failure.kind is FailureKind.REFUSED
    assert connected == []


async def test_t08_a_proxy_in_the_environment_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Host(says(b"")) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with track(tmp_path, done()) as it:
            saved = await it.save()
            assert saved.path.read_bytes() == it.whole
        assert proxy.accepted == 0


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    name = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = [openssl, *f"{make} {name} -keyout {path} -out {path}.crt".split()]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@asynccontextmanager
async def trusting(certificate: Path) -> AsyncIterator[Network]:
    """A caller's own way to the network, which trusts that certificate."""
    context = ssl.create_default_context(cafile=str(certificate))
    async with aiohttp.TCPConnector(ssl=context) as connector:
        yield Network(connector=connector)


async def test_t09_a_certificate_that_nobody_has_signed_is_refused(tls: ssl.SSLContext) -> None:
    async with Host(says(WHOLE), tls=tls) as host, at_home() as storage:
        failure = await failure_of(storage, host.url)
        assert failure.kind is FailureKind.NETWORK
        assert host.asked == []


async def test_t09_a_redirect_away_from_https_is_refused(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    async with Host(says(WHOLE)) as plain, trusting(certificate) as network:
        away = says(b"", f"Location: {plain.url}", status="302 Found")
        async with (
            Host(away, says(WHOLE), tls=tls) as host,
            at_home(network) as storage,
        ):
            failure = await failure_of(storage, host.url)
            assert failure.kind is FailureKind.REFUSED
            assert plain.accepted == 0
            async with storage.get(host.url) as body:
                assert body.size == len(WHOLE)


# Bodies


async def test_t11_a_large_file_passes_through_a_small_memory(
    tmp_path: Path,
) -> None:
    answer = memoryview(says(silence(48 * 2**20)))

    async def pour(writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(answer), 2**16):
            writer.write(answer[start : start + 2**16])
            await writer.drain()

    async with Host(pour) as host, downloader(QUICK) as client:
        tracemalloc.start()
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert saved.size == 48 * 2**20
    assert saved.silent
    assert peak < 16 * 2**20


async def test_t31_a_cookie_of_a_host_is_not_kept() -> None:
    hop = says(b"", "Set-Cookie: a=b; Path=/", "Location: /x", status="302 Found")
    kept = says(WHOLE, "Set-Cookie: c=d")
    async with Host(hop, kept) as host, at_home() as storage:
        for _ in range(2):
            async with storage.get(host.url):
                pass
        assert len(host.asked) == 3
        assert all(host.header("cookie", request) is None for request in range(3))


async def test_t32_no_host_but_the_api_is_told_anything_about_us(tmp_path: Path) -> None:
    hop = Fault(on="download", kind="redirect", location="{foreign}{path}", host="primary")
    async with track(tmp_path, done(hop)) as it:
        await it.save()
        assert it.box.book.count("foreign") == 1
        assert it.box.book.key_seen_on() == {"api"}
