"""Stopping the command: once politely, twice at once, and no id is lost either way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio import StreamReader
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from modelslab_async.sandbox import Sandbox, Scenario

from ..support.forking import Fork, fork
from .test_cli import COMMAND, environment, reaches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

ENDLESS = Scenario(never_finishes=True)
SLOW_ANSWER = Scenario(mode="sync", generation_seconds=3600)


class Running:
    """A command that runs, and what it has said so far."""

    def __init__(self, process: Fork, stdout: StreamReader, stderr: StreamReader) -> None:
        self.stdout = stdout
        self._process = process
        self._stderr = stderr
        self._said = b""

    @property
    def said(self) -> str:
        return self._said.decode(errors="replace")

    async def says(self, text: str, times: int = 1) -> None:
        """Wait until this has been said so often."""
        while self.said.count(text) < times:
            more = await self._stderr.read(65536)
            assert more, self.said
            self._said += more

    def send(self, number: signal.Signals) -> None:
        self._process.send(number)

    async def ended(self) -> tuple[int, str]:
        """The exit code and all of stdout, once the process has ended."""
        self._said += await self._stderr.read()
        output = await self.stdout.read()
        return await anyio.to_thread.run_sync(self._process.wait), output.decode()


@asynccontextmanager
async def pipe() -> AsyncIterator[tuple[StreamReader, int]]:
    """Its end to read from, and its end to write to."""
    read, write = os.pipe()
    reader = StreamReader()
    made = asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", buffering=0)
    )
    transport, _ = await made
    try:
        yield reader, write
    finally:
        transport.close()


@asynccontextmanager
async def running(box: Sandbox, tmp_path: Path, *arguments: str) -> AsyncIterator[Running]:
    async with pipe() as (stdout, output), pipe() as (stderr, talk):
        three = (os.open(os.devnull, os.O_RDONLY), output, talk)
        process = fork(arguments, tmp_path, environment(tmp_path, **reaches(box)), three)
        for number in three:
            os.close(number)
        with anyio.fail_after(30), process:
            yield Running(process, stdout, stderr)


async def until(true: Callable[[], object]) -> None:
    """Let the sandbox of this process go on until something has happened in it."""
    while not true():
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP"],
)
async def test_a_signal_submits_nothing_more_and_ends_with_the_command_that_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    async with (
        Sandbox(ENDLESS) as box,
        running(box, tmp_path, "generate", "a", "b", "c", "-o", "x/", "--max-jobs", "2") as cli,
    ):
        await cli.says("accepted", times=2)
        cli.send(number)
        assert await cli.ended() == (code, "")
        assert cli.said.splitlines()[-1] == (
            "resume with: modelslab-async fetch 310815 310816 -o x/"
        )
        assert len(box.book.debits) == 2


async def test_with_json_the_stop_is_json_too(tmp_path: Path) -> None:
    async with (
        Sandbox(ENDLESS) as box,
        running(box, tmp_path, "generate", "a", "--json", "-v") as cli,
    ):
        await cli.says("accepted")
        cli.send(signal.SIGINT)
        code, output = await cli.ended()
        assert (code, json.loads(output)["unfinished"]) == (130, ["310815"])
        error = json.loads(cli.said.splitlines()[-1])["error"]
        assert (error["hint"], error["exit_code"]) == ("modelslab-async fetch 310815", 130)


async def test_an_answer_on_its_way_is_awaited(tmp_path: Path) -> None:
    async with (
        Sandbox(SLOW_ANSWER) as box,
        running(box, tmp_path, "generate", "a", "-o", "a.wav") as cli,
    ):
        await until(lambda: box.book.debits)
        cli.send(signal.SIGINT)
        await cli.says("stopping")
        box.advance(3600)
        assert (await cli.ended())[0] == 130
        assert cli.said.splitlines()[-1].endswith("modelslab-async fetch 310815 -o a.wav")


async def test_x09_the_end_of_a_terminal_told_twice_is_one_signal(tmp_path: Path) -> None:
    """By the shell, and by the kernel."""
    async with (
        Sandbox(SLOW_ANSWER) as box,
        running(box, tmp_path, "generate", "a", "-o", "a.wav") as cli,
    ):
        await until(lambda: box.book.debits)
        cli.send(signal.SIGHUP)
        await cli.says("stopping")
        cli.send(signal.SIGHUP)
        box.advance(3600)
        assert (await cli.ended())[0] == 129
        assert cli.said.splitlines()[-1].endswith("modelslab-async fetch 310815 -o a.wav")


async def test_x09_under_nohup_the_end_of_a_terminal_is_nothing(tmp_path: Path) -> None:
    async with (
        Sandbox(SLOW_ANSWER) as box,
        await anyio.open_process(
            ["nohup", *COMMAND, "generate", "a", "-o", "a.wav"],
            cwd=tmp_path,
            env=environment(tmp_path, **reaches(box)),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        await until(lambda: box.book.debits)
        process.send_signal(signal.SIGHUP)
        box.advance(3600)
        assert process.stdout is not None
        assert await process.stdout.receive() == b"a.wav\n"
        assert await process.wait() == 0


BLOCKED = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_x27_signals_that_a_parent_blocked_for_itself_stop_us(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    async with (
        Sandbox(ENDLESS) as box,
        await anyio.open_process(
            [sys.executable, "-c", BLOCKED, *COMMAND, "generate", "a", "-o", "a.wav"],
            cwd=tmp_path,
            env=environment(tmp_path, **reaches(box)),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            with anyio.fail_after(30):
                await until(lambda: box.book.debits)
                process.send_signal(number)
                assert await process.wait() == code
        finally:
            if process.returncode is None:
                process.kill()


async def test_the_second_signal_leaves_at_once_and_says_which_job_may_exist(
    tmp_path: Path,
) -> None:
    async with (
        Sandbox(SLOW_ANSWER) as box,
        running(box, tmp_path, "generate", "a", "--track-id", "4711") as cli,
    ):
        await until(lambda: box.book.debits)
        cli.send(signal.SIGINT)
        await cli.says("stopping")
        cli.send(signal.SIGINT)
        assert (await cli.ended())[0] == 130
        assert "track_id 4711 may exist" in cli.said


async def test_the_jobs_of_a_sandbox_of_the_run_are_said_to_be_gone(tmp_path: Path) -> None:
    async with (
        Sandbox() as box,
        running(box, tmp_path, "generate", "--sandbox", "a") as cli,
    ):
        await cli.says("accepted")
        cli.send(signal.SIGINT)
        assert (await cli.ended())[0] == 130
        assert "job 310815 is gone with the sandbox" in cli.said.splitlines()[-1]


async def test_sandbox_serves_until_it_is_stopped(tmp_path: Path) -> None:
    async with Sandbox() as box, running(box, tmp_path, "sandbox", "--json") as cli:
        printed = json.loads(await cli.stdout.readline())
        assert printed["url"].startswith("http://127.0.0.1:")
        cli.send(signal.SIGINT)
        assert (await cli.ended())[0] == 130
