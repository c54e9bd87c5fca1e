"""No answer takes much memory or time, however it is made (T10, T11, T12, T13, G10).

Each question is asked by a process of its own. 64 MiB and 45 times the `bounded.reference`, which
are two seconds of a processor of 2023, are the most that an answer may cost; `naively` shows what
a bomb costs who reads without a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..support.tracks import Host, Says, says, wav

MIB = 2**20
ROOT = Path(__file__).parents[2]
HARMLESS = says(b'{"status": "error", "message": "no"}', status="400 Bad Request")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def bomb(mib: int) -> bytes:
    """So many MiB of noughts in about a thousandth of the bytes."""
    return gzip.compress(bytes(16 * MIB), 9) * (mib // 16)


def labelled(body: bytes) -> bytes:
    return says(body, "Content-Encoding: gzip", "Content-Type: application/json")


def poured(head: bytes, piece: bytes, count: int, pause: float = 0.0) -> Says:
    """An answer of so many pieces, as fast as they are taken, or one after each pause."""

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)

    return pour


def flood(head: bytes) -> Says:
    return poured(head, bytes(MIB), 10_000)


def in_single_bytes(count: int) -> Says:
    """A million chunks of one byte each."""
    return poured(CHUNKED, b"1\r\n \r\n" * 10_000, count // 10_000)


ENDLESS = b"RIFF\xff\xff\xff\xffWAVE" + wav(0)[12:40] + b"\xff\xff\xff\xff"

ANSWERS: dict[str, Callable[[], Says]] = {
    "a bomb of 1 GiB": lambda: labelled(bomb(1024)),
    "a bomb that does not say so": lambda: says(bomb(1024)),
    "a body without end": lambda: flood(PLAIN),
    "a file without end": lambda: flood(PLAIN + ENDLESS),
    "chunks without end": lambda: poured(CHUNKED, b"100000\r\n" + bytes(MIB) + b"\r\n", 10_000),
    "a length of 1 EiB": lambda: flood(PLAIN[:-2] + b"Content-Length: 1152921504606846976\r\n\r\n"),
    "100 MB of JSON": lambda: poured(PLAIN, b'["' + b"x" * (MIB - 5) + b'"],', 100),
    "100,000 levels": lambda: says(b"[" * 100_000 + b"]" * 100_000),
    "a million chunks": lambda: in_single_bytes(1_000_000),
    "a header without end": lambda: poured(b"HTTP/1.1 200 OK\r\nX: ", b"x" * MIB, 10_000),
    "headers without end": lambda: poured(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000, 100_000),
}

# These are not refused by what they are, but end with the time that the caller allows.
SLOW: dict[str, Callable[[], Says]] = {
    "a drip": lambda: poured(PLAIN, b" ", 100_000, pause=0.01),
    "a drip of chunks": lambda: poured(CHUNKED, b"1\r\n \r\n", 100_000, pause=0.01),
    "a drip of a header": lambda: poured(b"HTTP/1.1 200 OK\r\nX: ", b"x", 8_000, pause=0.01),
    "1xx without end": lambda: poured(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, 100_000),
    "silence": lambda: poured(PLAIN, b"", 100_000, pause=0.01),
}


async def costs(way: str, answers: Mapping[str, Callable[[], Says]]) -> dict[str, Any]:
    """What each of these answers cost to who asked in this way."""
    async with contextlib.AsyncExitStack() as hosts:
        given = [Host(HARMLESS, make()) for make in answers.values()]
        urls = [(await hosts.enter_async_context(host)).url for host in given]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.security.bounded", way, *urls),
            cwd=ROOT,
            env={**os.environ, "COVERAGE_PROCESS_CONFIG": ""},  # nothing else shall cost anything
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    return dict(zip(answers, json.loads(said), strict=True))


def assert_bounded(found: Mapping[str, Any]) -> None:
    assert {name: one for name, one in found.items() if one["mib"] > 64 or one["times"] > 45} == {}


ENDS = {
    "submit": {"SubmitUnknown"},
    "poll": {"done"},
    "download": {"NotAudio", "IncompleteDownload"},
}
"""How the asking ends. One bad answer to a poll is no end of a job."""


@pytest.mark.anyio
@pytest.mark.parametrize("way", ENDS)
async def test_t10_t11_t13_no_answer_takes_much_memory_or_time(way: str) -> None:
    found = await costs(way, ANSWERS)
    assert {one["outcome"] for one in found.values()} <= ENDS[way]
    assert_bounded(found)


@pytest.mark.anyio
async def test_t11_an_answer_that_never_ends_is_given_up_in_time() -> None:
    found = await costs("slowly", SLOW)
    assert {one["outcome"] for one in found.values()} == {"SubmitUnknown"}
    assert_bounded(found)


@pytest.mark.anyio
async def test_who_reads_a_bomb_without_a_limit_pays_for_it() -> None:
    found = await costs("naively", {"bomb": lambda: labelled(bomb(96))})
    assert found["bomb"]["mib"] > 96


def test_t12_no_answer_of_any_shape_takes_long_to_read() -> None:
    """Answers as large as they may be; one so large is read beside the event loop."""
    command = [sys.executable, "-m", "tests.security.shapes"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found.pop("memory") <= 64
    limit = found.pop("limit")
    assert {name: ratio for name, ratio in found.items() if ratio > limit} == {}
