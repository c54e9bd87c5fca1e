"""Files that arrive packed, or are only said to be: bytes come before labels (D12, T10)."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from modelslab_async import IncompleteDownload, NotAudio, RemoteFile
from modelslab_async.sandbox import Fault

from ..support.tracks import (
    NO_PATIENCE,
    QUICK,
    Host,
    done,
    downloader,
    names,
    says,
    silence,
    track,
    wav,
)

pytestmark = pytest.mark.anyio

WHOLE = wav()
HEADER = WHOLE[:44]


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def upload(data: bytes, size: int = 65_536) -> bytes:
    """The body of an upload in signed chunks, with a checksum behind them."""
    signed = b";chunk-signature=" + b"5" * 64
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    made = b"".join(b"%x%b\r\n%b\r\n" % (len(part), signed, part) for part in parts)
    return made + b"0%b\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n" % signed


def packed_elsewhere() -> Iterator[tuple[str, tuple[bytes, str]]]:
    brotli = pytest.importorskip("brotli")
    zstd = pytest.importorskip("backports.zstd")
    yield "br", (brotli.compress(WHOLE), "br")
    yield "zstd", (zstd.compress(WHOLE), "zstd")
    yield "zstd without a label", (zstd.compress(WHOLE), "")


PACKED = {
    "gzip": (gzip.compress(WHOLE), "gzip"),
    "gzip by its old name": (gzip.compress(WHOLE), "X-GZIP"),
    "gzip without a label": (gzip.compress(WHOLE), ""),
    "gzip under another label": (gzip.compress(WHOLE), "br"),
    "gzip without compression": (gzip.compress(WHOLE, 0), "identity"),
    "gzip twice": (gzip.compress(gzip.compress(WHOLE)), "gzip, gzip"),
    "gzip twice, said once": (gzip.compress(gzip.compress(WHOLE)), "gzip"),
    "gzip of two members": (gzip.compress(WHOLE[:999]) + gzip.compress(WHOLE[999:]), "gzip"),
    "gzip and padding": (gzip.compress(WHOLE) + bytes(512), "gzip"),
    "zlib": (zlib.compress(WHOLE), "deflate"),
    "zlib without compression": (zlib.compress(WHOLE, 0), "deflate"),
    "raw deflate": (deflated(WHOLE), "deflate"),
    "chunks of an upload": (upload(WHOLE), "aws-chunked"),
    "chunks of an upload, unsaid": (upload(WHOLE, 999), ""),
    "gzip in chunks of an upload": (upload(gzip.compress(WHOLE)), "aws-chunked,gzip"),
    **dict(packed_elsewhere()),
}


@pytest.mark.parametrize(("body", "label"), PACKED.values(), ids=PACKED.keys())
async def test_d12_a_packed_file_is_unpacked_and_both_hashes_are_kept(
    body: bytes, label: str, tmp_path: Path
) -> None:
    answer = says(body, f"Content-Encoding: {label}")
    async with Host(answer) as host, downloader(NO_PATIENCE) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE
    assert saved.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert saved.source_sha256 == hashlib.sha256(body).hexdigest()
    assert saved.integrity == "exact"
    assert names(tmp_path) == [saved.path.name]


@pytest.mark.parametrize(
    "label",
    [
        "gzip", "GZIP", "deflate", "br", "zstd", "aws-chunked", "none", "utf-8", "identity", "",
        "gzip, gzip", "identity, gzip", "x-odd", "binary", "audio/wav", "7bit", "compress", "null",
    ],
)  # fmt: skip
async def test_d12_a_label_that_is_wrong_does_not_matter(label: str, tmp_path: Path) -> None:
    """Object stores keep the label of an upload whose bytes they have stored unpacked."""
    plain = says(WHOLE, f"Content-Encoding: {label}")
    async with Host(plain) as host, downloader(NO_PATIENCE) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE
    assert saved.integrity == "exact"
    assert saved.source_sha256 == saved.sha256


@pytest.mark.parametrize("label", ["br", "deflate"])
async def test_d12_a_wrong_label_and_something_in_front_are_both_seen_through(
    label: str, tmp_path: Path
) -> None:
    answer = says(b"\xef\xbb\xbf" + WHOLE, f"Content-Encoding: {label}")
    async with Host(answer) as host, downloader(NO_PATIENCE) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE


@pytest.mark.parametrize("body", [body for body, _ in PACKED.values()], ids=PACKED.keys())
async def test_d12_packing_without_its_end_is_never_published_and_a_mirror_is_asked(
    body: bytes, tmp_path: Path
) -> None:
    """However often the same part comes, with the length of what is left of it."""
    labels = {name: label for name, (data, label) in PACKED.items() if data == body}
    cut = says(body[: len(body) * 2 // 3], f"Content-Encoding: {next(iter(labels.values()))}")
    async with (
        Host(cut) as host,
        Host(says(WHOLE)) as mirror,
        downloader(NO_PATIENCE) as client,
    ):
        with pytest.raises((IncompleteDownload, NotAudio)):
            await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert names(tmp_path) == []
        saved = await client.download(RemoteFile((host.url, mirror.url)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE


async def test_d12_gzip_that_nobody_asked_for_is_undone_in_every_framing(tmp_path: Path) -> None:
    fault = Fault(on="download", kind="gzip", host=None, times=None)
    async with track(tmp_path, done(fault)) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert it.statuses() == [200]
    chunk = gzip.compress(WHOLE)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunk), chunk)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    closed = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + chunk
    for number, answer in enumerate((chunked, closed)):
        async with Host(answer) as host, downloader(NO_PATIENCE) as client:
            again = await client.download(RemoteFile((host.url,)), f"{tmp_path}/{number}.wav")
        assert again.path.read_bytes() == WHOLE
        assert again.integrity == "riff"


async def test_d12_a_packed_file_that_is_cut_is_gone_on_with_and_then_unpacked(
    tmp_path: Path,
) -> None:
    body = gzip.compress(WHOLE)
    half = len(body) // 2
    headers = ('ETag: "one"', "Content-Encoding: gzip")
    first = says(body[:half], *headers, length=len(body))
    place = f"Content-Range: bytes {half}-{len(body) - 1}/{len(body)}"
    rest = says(body[half:], *headers, place, status="206 Partial Content")
    async with Host(first, rest) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE
    assert host.header("range") == f"bytes={half}-"


BOMBS = {
    "zeros": gzip.compress(bytes(2**26), 1),
    "zeros in zeros": gzip.compress(gzip.compress(bytes(2**24))),
    "a sound that is too large": gzip.compress(silence(2**23), 1),
    "a sound that is too large, twice": gzip.compress(gzip.compress(silence(2**23), 1)),
    "many members": b"".join([gzip.compress(b"x")] * 1000),
    "seven layers": WHOLE,
    "a page": gzip.compress(b"<html>Not found</html>"),
    "broken": gzip.compress(WHOLE)[:-5] + b"wrong",
    "no chunks": b"404\r\nNot found, and here is why: " + b"x" * 5000,
}
for _ in range(7):
    BOMBS["seven layers"] = gzip.compress(BOMBS["seven layers"])


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
async def test_t10_a_bomb_is_unpacked_no_further_than_it_can_be_a_sound(
    body: bytes, tmp_path: Path
) -> None:
    policy = evolve(NO_PATIENCE, max_bytes=2**21)
    async with (
        Host(says(body, "Content-Encoding: gzip")) as host,
        downloader(policy) as client,
    ):
        tracemalloc.start()
        with pytest.raises((NotAudio, IncompleteDownload)):
            await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * 2**20
    assert names(tmp_path) == []
