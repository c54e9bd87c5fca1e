"""Links reach the file that they name (D48, D49), or the true reason why not (T40, T41)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import (
    DownloadError,
    DownloadPolicy,
    IncompleteDownload,
    MusicGen,
    Network,
    OutputLost,
    RemoteFile,
)

from ..security.hostile import WHOLE, Asked, Certificate, Server, reply, staged
from ..support.tracks import NO_PATIENCE, QUICK, Host, downloader, names, says

pytestmark = pytest.mark.anyio


def signature(text: str) -> str:
    return hashlib.sha256(b"secret" + text.encode()).hexdigest()


class Signed(Host):
    """An object store behind a redirect: a target is served only as it was signed."""

    def __init__(self, location: Callable[[str], str]) -> None:
        super().__init__(self._answer)
        self._location = location

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        target = self.asked[-1].split(" ")[1]
        signed, mark, given = target.rpartition("&sig=")
        if not mark:
            moved = f"Location: {self._location(self.url)}"
            writer.write(says(b"", moved, status="302 Found"))
        elif given == signature(signed):
            writer.write(says(WHOLE))
        else:
            writer.write(says(b"SignatureDoesNotMatch", status="403 Forbidden"))


SIGNED = [
    *(
        "/it%27s%2001.wav?owner=a%40b.c",
        "/it's.wav?o=it's",
        "/a%2Fb%2fc.wav?x=%2F%2f",
        "/a+b?c=d+e",
    ),
    *("/a|b^c?x=|", '/"q"?x="q"', "/a;b=c?d;e", "/me@home?to=me@home", "/a?empty=&", "/a??b=?"),
    *("//twice//slashed?x=//", "/%e9%E9?y=%c3%A9", "/a=b,c!?x=(1)*2$3", "/[1].wav?a[]=1"),
    "/o?X-Amz-Credential=K%2F20260101%2Fauto%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host",
    "/o?sv=2024-11-04&se=2026-01-01T00%3A00%3A00Z&sr=b&sp=r&sks=Zm9v%2Bbar%3D",
    "/o?Policy=eyJ_~-&Key-Pair-Id=K2&Expires=9999999999",
    "/o?token=" + "x" * 8000,
]


@pytest.mark.parametrize("target", SIGNED)
@pytest.mark.parametrize("relative", [False, True])
async def test_d48_a_redirect_to_a_signed_link_is_followed_as_it_is_spelled(
    target: str, relative: bool, tmp_path: Path
) -> None:
    def location(url: str) -> str:
        full = f"{target}&sig={signature(target)}"
        # A path that begins with two slashes names a host where it stands alone.
        return full if relative and not target.startswith("//") else url + full

    async with Signed(location) as host, downloader(NO_PATIENCE) as client:
        saved = await client.download(RemoteFile((f"{host.url}/first",)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE
    assert len(host.asked) == 2


@pytest.mark.parametrize(
    ("spelled", "sent"),
    [
        ("/a song.wav", "/a%20song.wav"),
        ("/m\u00fcsik \u266b.wav?t=\u00fc", "/m%C3%BCsik%20%E2%99%AB.wav?t=%C3%BC"),
        ("/already%20there.wav", "/already%20there.wav"),
        ("/twice%2520there.wav", "/twice%2520there.wav"),
        ("/half done%20.wav", "/half%20done%20.wav"),
        ("/a.wav?", "/a.wav?"),
        ("/a.wav#t=1", "/a.wav"),
        ("?a=b", "/?a=b"),
    ],
)
@pytest.mark.parametrize("hop", [False, True])
async def test_d48_spaces_and_other_letters_are_encoded_once(
    spelled: str, sent: str, hop: bool, tmp_path: Path
) -> None:
    moved = f"HTTP/1.1 301 Moved\r\nLocation: {spelled}\r\nContent-Length: 0\r\n\r\n"
    answers = [*([moved.encode()] if hop else []), says(WHOLE)]
    async with Host(*answers) as host, downloader(NO_PATIENCE) as client:
        link = host.url if hop else host.url + spelled
        saved = await client.download(RemoteFile((link,)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE
    assert host.asked[-1].split("\r\n")[0] == f"GET {sent} HTTP/1.1"


async def test_t13_a_long_header_of_a_file_host_is_read(tmp_path: Path) -> None:
    policy = "Content-Security-Policy: " + "x" * 60_000
    async with Host(says(WHOLE, policy)) as host, downloader(NO_PATIENCE) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE


# Refusals


REFUSALS = {
    "scheme": ("ftp://cdn.test/a.wav", "no https:// URL"),
    "plain http": ("http://cdn.test/a.wav", "http:// and not https://"),
    "user": ("https://me:secret@cdn.test/a.wav", "names a user or password"),
    "too long": ("https://cdn.test/" + "x" * 9000, "too long: over 8192 bytes"),
    "control": ("https://cdn.test/a\x00.wav", "control character"),
    "private": ("https://10.0.0.1/a.wav", "the link leads to 10.0.0.1"),
    "port": ("https://cdn.test:99999/a.wav", "from 1 to 65535"),
}


@pytest.mark.parametrize(("url", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_t41_the_error_says_the_true_reason_of_a_refusal(
    url: str, words: str, tmp_path: Path
) -> None:
    async with downloader(NO_PATIENCE) as client:
        with pytest.raises(DownloadError, match=re.escape(words)) as caught:
            await client.download(RemoteFile((url,), "7"), f"{tmp_path}/")
    assert "secret" not in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/again", "more than 3 redirects"),
        ("ftp://cdn.test/", "no https:// URL"),
        ("https://10.0.0.1/", "leads to 10.0.0.1"),
        ("https://me@cdn.test/", "user or password"),
        ("http://cdn.test/", "http:// and not https://"),
        ("", "a redirect without a location"),
        ("/" + "x" * 9000, "too long"),
    ],
)
async def test_t41_the_error_says_why_a_redirect_is_not_followed(
    location: str, words: str, tmp_path: Path
) -> None:
    hop = says(b"", f"Location: {location}", status="302 Found")
    async with Host(hop) as host, downloader(NO_PATIENCE) as client:
        with pytest.raises(DownloadError, match=words):
            await client.download(RemoteFile((host.url,), "7"), f"{tmp_path}/")


# Addresses


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.made(tmp_path_factory.mktemp("tls") / "both.pem")


FAKE = "198.18.0.27"


@pytest.mark.parametrize("address", [FAKE, "100.64.0.9", "10.9.8.7", "fd00::9"])
async def test_t40_a_refused_address_is_named_with_its_host_and_the_setting(
    address: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Asked) -> bytes:
        return reply(status="success", id=7, output=["https://pub.test/1.wav"])

    known = {"pub.test": [address]}
    async with staged(monkeypatch, certificate, answer, known) as stage, stage.client() as client:
        made = await client.generate(MusicGen("quiet", max_new_token=256))
        words = rf"pub\.test leads to {address}.*Network\(allow_addresses=.*--allow-addresses"
        with pytest.raises(DownloadError, match=words) as caught:
            await client.download(made, to=tmp_path / "a.wav")
        assert not isinstance(caught.value, OutputLost | IncompleteDownload)
        assert caught.value.retryable
        stage.assert_nobody_strayed()


async def test_t40_the_file_behind_an_allowed_range_comes(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tunnel takes connections to 198.18.0.27, and here leads them to the file host."""
    async with staged(monkeypatch, certificate, lambda _: b"", {"cdn.test": [FAKE]}) as stage:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", _tunnel(stage.cdn))
        link = RemoteFile((stage.good,), "7")
        network = Network(allow_addresses=("198.18.0.0/15",))
        async with stage.client(network=network) as client:
            saved = await client.download(link, to=tmp_path / "a.wav")
            assert saved.path.read_bytes() == WHOLE
        async with stage.client() as client:
            with pytest.raises(DownloadError, match=FAKE):
                await client.download(link, to=tmp_path / "b.wav")


def _tunnel(server: Server) -> Any:
    connect = asyncio.get_running_loop().sock_connect

    async def to_the_server(sock: Any, address: Any) -> None:
        await connect(sock, server.place if address[0] == FAKE else address)

    return to_the_server


async def test_t40_a_host_with_one_address_that_may_be_used_is_not_refused(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"both.test": ["93.184.215.14", FAKE]}
    link = RemoteFile(("https://both.test/a.wav",))
    async with (
        staged(monkeypatch, certificate, lambda _: b"", known) as stage,
        stage.client() as client,
    ):
        with pytest.raises(IncompleteDownload, match="the connection failed"):
            await client.download(link, to=tmp_path)


async def test_t40_the_guard_of_the_batch_keeps_the_row_for_the_next_run(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Asked) -> bytes:
        return reply(status="success", id=7, output=[stage.good])

    async with staged(monkeypatch, certificate, answer, {"cdn.test": [FAKE]}) as stage:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", _tunnel(stage.cdn))
        for network in (Network(), Network(allow_addresses=[FAKE])):
            outcomes = []
            async with stage.client(network=network) as client:
                batch = client.batch(["quiet"], directory=tmp_path / "out")
                async with batch as found:
                    outcomes = [type(one).__name__ async for one in found]
            assert outcomes == (["Succeeded"] if network.allow_addresses else ["Failed"])
        assert [asked.path for asked in stage.api.asked].count("/api/v6/voice/music_gen") == 1


# Drips


def dripping(chunk: int, seconds: float, *, length: int | None) -> Any:
    async def drip(writer: asyncio.StreamWriter) -> None:
        size = "" if length is None else f"Content-Length: {length}\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{size}\r\n".encode() + WHOLE[:100])
        while True:
            writer.write(bytes(chunk))
            await writer.drain()
            await asyncio.sleep(seconds)

    return drip


@pytest.mark.parametrize("length", [None, 400_000_000])
async def test_d49_hosts_that_drip_for_ever_do_not_keep_others_waiting(
    length: int | None, tmp_path: Path
) -> None:
    policy = DownloadPolicy(patience=0.05, first_wait=0.01, timeout=0.05, min_rate=1000.0)
    async with (
        Host(dripping(30, 0.01, length=length)) as slow,
        Host(says(WHOLE)) as good,
        downloader(policy, max_downloads=2) as client,
    ):
        stuck = [
            asyncio.ensure_future(
                client.download(RemoteFile((slow.url,), f"{n}"), tmp_path / f"{n}.wav")
            )
            for n in range(2)
        ]
        saved = await client.download(RemoteFile((good.url,), "9"), tmp_path / "9.wav")
        assert saved.path.read_bytes() == WHOLE
        for result in await asyncio.gather(*stuck, return_exceptions=True):
            assert isinstance(result, IncompleteDownload)
            assert "too slow" in str(result)


async def test_d49_a_slow_link_that_will_end_in_time_is_kept(tmp_path: Path) -> None:
    async def steady(writer: asyncio.StreamWriter) -> None:
        answer = says(WHOLE)
        for start in range(0, len(answer), 400):
            writer.write(answer[start : start + 400])
            await writer.drain()
            await asyncio.sleep(0.01)

    policy = DownloadPolicy(patience=0.05, first_wait=0.01, timeout=0.05, min_rate=100.0)
    async with Host(steady) as host, downloader(policy) as client:
        saved = await client.download(RemoteFile((host.url,), "7"), tmp_path / "a.wav")
    assert saved.path.read_bytes() == WHOLE
    assert host.accepted == 1
    assert QUICK.min_rate > 0
