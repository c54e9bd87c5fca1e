"""What goes through a proxy, what goes around it, and what is refused before it leaves (T08)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from modelslab_async import (
    ConfigurationError,
    DownloadError,
    ModelsLabError,
    MusicGen,
    Network,
    RemoteFile,
    TransportError,
)

from ..security.hostile import KEY, SUBMIT, WHOLE, Asked, Certificate, Stage, reply, staged

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.made(tmp_path_factory.mktemp("tls") / "both.pem")


@pytest.fixture(autouse=True)
def no_proxy_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper()):
            monkeypatch.delenv(name, raising=False)


class Tunnel:
    """An HTTP proxy: it knows names by itself, and keeps the heads of what it was asked."""

    def __init__(self, stage: Stage, *, status: str = "200 OK") -> None:
        self._stage = stage
        self._status = status
        self.asked: list[str] = []
        self.carried = b""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.5", 0)
        self.place = self._server.sockets[0].getsockname()
        self.url = f"http://{self.place[0]}:{self.place[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def targets(self) -> list[str]:
        return [head.split(" ")[1].partition(":")[0] for head in self.asked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.asked.append(head)
        writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        port = int(head.split(" ")[1].rpartition(":")[2])
        servers = (self._stage.api, self._stage.cdn)
        place = next((one.place for one in servers if one.place[1] == port), None)
        if not self._status.startswith("200") or place is None:
            writer.close()
            return
        out, into = await asyncio.open_connection(*place)
        for task in (self._pump(reader, into), self._pump(out, writer)):
            self._tasks.add(asyncio.ensure_future(task))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.carried += data
                writer.write(data)
                await writer.drain()
        writer.close()


def works(stage_of: Callable[[], Stage]) -> Callable[[Asked], bytes]:
    def answer(_: Asked) -> bytes:
        return reply(status="success", id=7, output=[stage_of().good])

    return answer


async def a_track(stage: Stage, folder: Path, **settings: Any) -> bytes:
    """The file of one job, made and saved."""
    async with stage.client(**settings) as client:
        made = await client.generate(MusicGen("quiet", max_new_token=256))
        return (await client.download(made, to=folder / "a.wav")).path.read_bytes()


@pytest.mark.parametrize("names", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_t08_the_api_and_files_are_reached_through_the_proxy_of_the_environment(
    names: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        staged(monkeypatch, certificate, works(lambda: stage)) as stage,
        Tunnel(stage) as tunnel,
    ):
        monkeypatch.setenv(names, tunnel.url)
        found = await a_track(stage, tmp_path, network=Network(trust_env=True))
        assert found == WHOLE
        assert tunnel.targets == ["api.test", "cdn.test"]
        assert KEY.encode() not in tunnel.carried
        assert {place[0] for place in stage.connected} >= {"127.0.0.5"}


async def test_t08_a_proxy_is_chosen_for_each_url(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        staged(monkeypatch, certificate, works(lambda: stage)) as stage,
        Tunnel(stage) as tunnel,
    ):
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        monkeypatch.setenv("NO_PROXY", "cdn.test")
        assert await a_track(stage, tmp_path, network=Network(trust_env=True)) == WHOLE
        assert tunnel.targets == ["api.test"]


@pytest.mark.parametrize(
    "variables",
    [
        {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "*"},
        {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "inside.test"},
        {"HTTP_PROXY": "{proxy}"},
    ],
)
async def test_t05_what_goes_around_the_proxy_is_guarded(
    variables: dict[str, str],
    certificate: Certificate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = {"inside.test": ["127.0.0.2"]}
    async with (
        staged(monkeypatch, certificate, works(lambda: stage), inside) as stage,
        Tunnel(stage) as tunnel,
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(proxy=tunnel.url))
        async with stage.client(network=Network(trust_env=True)) as client:
            link = RemoteFile((f"https://inside.test:{stage.trap.port}/a.wav",))
            with pytest.raises(DownloadError, match=r"inside\.test leads to 127\.0\.0\.2"):
                await client.download(link, to=tmp_path / "a.wav")
        assert stage.trap.caught == 0
        assert tunnel.asked == []


async def test_t08_a_redirect_to_another_host_decides_again(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hop: dict[str, str] = {}

    def answer(asked: Asked) -> bytes:
        return reply(status="success", id=7, output=[hop["link"]])

    async with staged(monkeypatch, certificate, answer) as stage, Tunnel(stage) as tunnel:
        port = stage.cdn.place[1]
        hop["link"] = f"https://cdn.test:{port}/hop?https://cdn.test:{port}/good.wav"
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        monkeypatch.setenv("NO_PROXY", "api.test")
        assert await a_track(stage, tmp_path, network=Network(trust_env=True)) == WHOLE
        assert set(tunnel.targets) == {"cdn.test"}


async def test_t08_a_user_of_a_proxy_is_told_to_it_alone(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password hidden\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with (
        staged(monkeypatch, certificate, works(lambda: stage)) as stage,
        Tunnel(stage) as tunnel,
    ):
        proxy = tunnel.url.replace("://", "://me:p%40ss@")
        assert await a_track(stage, tmp_path, network=Network(proxy=proxy)) == WHOLE
        told = base64.b64encode(b"me:p@ss").decode()
        assert all(f"Proxy-Authorization: Basic {told}" in head for head in tunnel.asked)
        heads = [asked.head.lower() for asked in (*stage.api.asked, *stage.cdn.asked)]
        assert len(heads) == 2
        assert not [head for head in heads if "authorization" in head]


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 No", "502 Bad"])
async def test_t08_a_proxy_that_says_no_is_named_and_nothing_was_sent(
    status: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        staged(monkeypatch, certificate, works(lambda: stage)) as stage,
        Tunnel(stage, status=status) as tunnel,
    ):
        async with stage.client(network=Network(proxy=tunnel.url)) as client:
            with pytest.raises(TransportError, match=f"proxy refused .*HTTP {status[:3]}"):
                await client.balance()
        assert stage.api.asked == []


async def test_t08_a_proxy_that_is_not_there_is_named(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(monkeypatch, certificate, works(lambda: stage)) as stage:
        proxy = "http://me:secret@127.0.0.6:9"
        async with stage.client(network=Network(proxy=proxy)) as client:
            with pytest.raises(TransportError, match=r"to the proxy 127\.0\.0\.6") as caught:
                await client.balance()
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "text", ["socks5://127.0.0.5:9", "socks4a://h", "proxy:99999", "ftp://p:1", "http://"]
)
async def test_t08_a_proxy_that_cannot_be_used_is_refused_before_anything_is_sent(
    text: str, name: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(monkeypatch, certificate, works(lambda: stage)) as stage:
        monkeypatch.setenv(name, text)
        for exceptions in ("", "api.test"):  # files would not be reached after all
            monkeypatch.setenv("NO_PROXY", exceptions)
            with pytest.raises(ConfigurationError, match=name):
                await stage.client(network=Network(trust_env=True)).__aenter__()
        assert stage.connected == []


@pytest.mark.parametrize("proxy", ["socks5://h:1", "", "proxy:99999", "ftp://h", "http://u:p@"])
def test_t08_a_proxy_of_the_caller_is_refused_when_it_is_named(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy is"):
        Network(proxy=proxy)


async def test_t09_a_certificate_that_is_not_trusted_names_the_way_to_trust_it(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Certificate.made(tmp_path / "other.pem")
    async with staged(monkeypatch, certificate, works(lambda: stage)) as stage:
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", other.trusted())
        async with stage.client() as client:
            with pytest.raises(ModelsLabError, match=r"api\.test is not trusted.*SSL_CERT_FILE"):
                await client.submit(MusicGen("quiet", max_new_token=256))
        assert SUBMIT not in stage.paths
