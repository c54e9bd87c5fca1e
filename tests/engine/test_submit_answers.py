"""The one answer that cannot be requested again is read however it comes, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from modelslab_async import ModelsLab, MusicGen, SubmitUnknown

from ..support.tracks import says

pytestmark = pytest.mark.anyio

TICKET = b'{"status":"processing","id":310816,"eta":12.5}'
REQUEST = MusicGen("rain", max_new_token=256, track_id=4711)
LABELLED = "Content-Encoding: {}".format


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@asynccontextmanager
async def api(
    answer: bytes | Callable[[str], bytes],
) -> AsyncIterator[tuple[ModelsLab, list[bytes]]]:
    """A client of an API that gives one answer to everything, and the requests that it got."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split()[0])
        asked.append(head.split()[1])
        await reader.readexactly(size)
        writer.write(answer if isinstance(answer, bytes) else answer(url))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with ModelsLab("k" * 20, base_url=url, submit_timeout=5.0) as client:
            yield client, asked
    finally:
        server.close()


READ: dict[str, bytes] = {
    "gzip": says(gzip.compress(TICKET), LABELLED("gzip")),
    "gzip without a label": says(gzip.compress(TICKET)),
    "zlib": says(zlib.compress(TICKET), LABELLED("deflate")),
    "bare deflate": says(bare(TICKET), LABELLED("deflate")),
    "gzip twice": says(gzip.compress(gzip.compress(TICKET)), LABELLED("gzip, gzip")),
    "gzip with a wrong sum": says(gzip.compress(TICKET)[:-8] + bytes(8), LABELLED("gzip")),
    **{
        f"plain under {label}": says(TICKET, LABELLED(label))
        for label in ("gzip", "br", "zstd", "deflate", "aws-chunked", "none", "utf-8")
    },
    "chunked twice": says(b"%x\r\n%b\r\n0\r\n\r\n" % (len(TICKET), TICKET)),
    "a header of 60 KiB": says(TICKET, "Content-Security-Policy: " + "a" * 60_000),
    "many headers": says(TICKET, *(f"X-{n}: a" for n in range(300))),
    "many long headers": says(TICKET, *("Set-Cookie: " + "a" * 1000 for _ in range(60))),
    "hints before it": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + says(TICKET),
    "a mark": says(b"\xef\xbb\xbf" + TICKET),
    "a notice before it": says(b"<br />\n<b>Notice</b>: x in y on line <b>3</b><br />\n" + TICKET),
    "a guard before it": says(b")]}'\n" + TICKET),
    "a text": says(json.dumps(TICKET.decode()).encode()),
    "a text in a text, compressed": says(
        gzip.compress(json.dumps(json.dumps(TICKET.decode())).encode()), LABELLED("gzip")
    ),
    "a list of one": says(b"[" + TICKET + b"]"),
    "a call": says(b"callback(" + TICKET + b");"),
    "an id as a float": says(TICKET.replace(b"310816", b"310816.0")),
    "an id with an exponent": says(TICKET.replace(b"310816", b"3.10816e5")),
    "an id as a padded text": says(TICKET.replace(b"310816", b'" 310816\\n"')),
    "an id twice": says(TICKET.replace(b"{", b'{"id":310816,', 1)),
    "a status twice": says(TICKET.replace(b"{", b'{"status":"processing",', 1)),
    "a comment behind it": says(TICKET + b"<!-- 3 ms -->"),
}
HINTED: dict[str, bytes] = {
    "cut": says(TICKET, length=400),
    "cut and compressed": says(gzip.compress(TICKET * 9)[:50], LABELLED("gzip")),
    "cut in a chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n" + TICKET + b"\r\n"
    ),
    "a bomb": says(gzip.compress(TICKET + b"x" * 2**23), LABELLED("gzip")),
    "too long": says(TICKET + b" " * 2**23),
    "words before it": says(b"so: " + TICKET),
    "a text that is cut": says(json.dumps(TICKET.decode()).encode(), length=400),
    "as Python writes it": says(str(json.loads(TICKET)).encode()),
    "what a page shows": says(b"<html><body><pre>" + TICKET + b"</pre></body></html>"),
    "server trouble": says(TICKET[:-1], status="500 Oops"),
    # Refused by the HTTP library, and read by others:
    "bytes behind its end": says(TICKET) + b"\r\n0\r\n",
    "a length in characters": says(TICKET[:-1] + b',"prompt":"caf\xc3\xa9"}', length=66),
    "two equal lengths": says(TICKET, f"Content-Length: {len(TICKET)}"),
    "a list of lengths": says(TICKET).replace(b": 46", b": 46, 46"),
    "identity and a length": says(TICKET, "Transfer-Encoding: identity"),
    "a space in a header's name": says(TICKET, "X Frame: a"),
    "a space behind a header's name": says(TICKET, "X-Frame : a"),
    "another version behind hints": b"HTTP/1.1 103 Early Hints\r\n\r\n"
    + says(TICKET).replace(b"/1.1 200", b"/1.x 200"),
    "packed, with bytes behind its end": says(gzip.compress(TICKET)) + b"\r\n0",
    "chunks that split the id, and a length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 46\r\n\r\n"
        b"1d\r\n" + TICKET[:29] + b"\r\n11\r\n" + TICKET[29:] + b"\r\n0\r\n\r\n"
    ),
    "chunks and a trailer that is none": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1d\r\n"
        + TICKET[:29]
        + b"\r\n11\r\n"
        + TICKET[29:]
        + b"\r\n0\r\nContent-Length: 5\r\n\r\n"
    ),
    "chunks under a broken header": (
        b"HTTP/1.1 200 OK\r\nX A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1d\r\n" + TICKET[:29] + b"\r\n11\r\n" + TICKET[29:] + b"\r\n0\r\n\r\n"
    ),
    "a header of 70 KiB": says(TICKET, "X: " + "a" * 70_000),
    "a thousand headers": says(TICKET, *(f"X-{n}: a" for n in range(1000))),
}
UNREAD: dict[str, bytes] = {
    "chunks that are none": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 46\r\n\r\n" + TICKET
    ),
    "chunks that end inside of the id": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 46\r\n\r\n"
        b"1d\r\n" + TICKET[:29]
    ),
    "a header of 300 KiB": says(TICKET, "X: " + "a" * 300_000),
    "a page": says(b"<html><script>{" + TICKET + b"}</script></html>"),
}


@pytest.mark.parametrize("answer", READ.values(), ids=READ)
async def test_s28_an_answer_that_can_be_read_is_read(answer: bytes) -> None:
    async with api(answer) as (client, asked):
        assert (await client.submit(REQUEST)).id == "310816"
        assert asked.count(MusicGen.ENDPOINT.encode()) == 1


@pytest.mark.parametrize("answer", HINTED.values(), ids=HINTED)
async def test_s12_what_is_left_of_a_broken_answer_gives_a_hint(answer: bytes) -> None:
    async with api(answer) as (client, asked):
        with pytest.raises(SubmitUnknown, match="310816") as caught:
            await client.submit(REQUEST)
        assert caught.value.job_id == "310816"
        assert asked == [MusicGen.ENDPOINT.encode()]


@pytest.mark.parametrize("answer", UNREAD.values(), ids=UNREAD)
async def test_s20_what_cannot_be_read_is_unknown(answer: bytes) -> None:
    async with api(answer) as (client, asked):
        with pytest.raises(SubmitUnknown) as caught:
            await client.submit(REQUEST)
        assert caught.value.job_id is None
        assert asked == [MusicGen.ENDPOINT.encode()]


@pytest.mark.parametrize(
    "prompt",
    [
        '{"status":"processing","id":5}',
        '{"status":"error","message":"Rate limit exceeded"}',
        "[{'id': 5}]",
    ],
)
@pytest.mark.parametrize(
    "echo", [str.encode, lambda prompt: json.dumps(prompt).encode()], ids=["plain", "as a text"]
)
@pytest.mark.parametrize("length", [None, 400])
async def test_s50_a_prompt_that_is_sent_back_is_neither_a_job_nor_a_refusal_nor_a_hint(
    prompt: str, echo: Callable[[str], bytes], length: int | None
) -> None:
    async with api(says(echo(prompt), length=length)) as (client, asked):
        with pytest.raises(SubmitUnknown) as caught:
            await client.submit(MusicGen(f"rain {prompt}", max_new_token=256))
        assert caught.value.job_id is None
        assert asked == [MusicGen.ENDPOINT.encode()]


@pytest.mark.parametrize("label", ["br", "zstd"])
async def test_s28_other_codings_are_read_where_their_packages_are_installed(label: str) -> None:
    package = pytest.importorskip({"br": "brotli", "zstd": "backports.zstd"}[label])
    async with api(says(package.compress(TICKET), LABELLED(label))) as (client, _):
        assert (await client.submit(REQUEST)).id == "310816"


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": 310816.5}, {"id": ""}, {"id": []}])
@pytest.mark.parametrize("family", ["v6/voice", "v6/whisper", "v7/voice"])
async def test_s46_a_job_that_only_a_trusted_link_names_is_followed_there(
    fields: dict[str, object], family: str
) -> None:
    def answer(url: str) -> bytes:
        link = f"{url}/api/{family}/fetch/310816"
        return says(json.dumps({"status": "processing", **fields, "fetch_result": link}).encode())

    async with api(answer) as (client, asked):
        job = await client.submit(REQUEST)
        await job.refresh()
        assert job.id == "310816"
        assert f"/api/{family}/fetch/310816".encode() in asked
