"""Stopping the command: once politely, twice at once, and no id is lost either way."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from modelslab_async.sandbox import Sandbox, Scenario

from .test_cli import COMMAND, environment, reaches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import Process

pytestmark = pytest.mark.anyio

ENDLESS = Scenario(never_finishes=True)
SLOW_ANSWER = Scenario(mode="sync", generation_seconds=3600)


class Running:
    """A command that runs, and what it has said so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        assert process.stderr is not None
        self._stderr = TextReceiveStream(process.stderr)
        self.said = ""

    async def says(self, text: str, times: int = 1) -> None:
        """Wait until this has been said so often."""
        while self.said.count(text) < times:
            self.said += await self._stderr.receive()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """The exit code and all of stdout, once the process has ended."""
        assert self.process.stdout is not None
        async for text in self._stderr:
            self.said += text
        output = "".join([text async for text in TextReceiveStream(self.process.stdout)])
        return await self.process.wait(), output


@asynccontextmanager
async def running(box: Sandbox, tmp_path: Path, *arguments: str) -> AsyncIterator[Running]:
    async with await anyio.open_process(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **reaches(box)),
        stdin=subprocess.DEVNULL,
    ) as process:
        with anyio.fail_after(30):
            yield Running(process)


async def until(true: Callable[[], object]) -> None:
    """Let the sandbox of this process go on until something has happened in it."""
    while not true():
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
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
        assert "310815 are gone with the sandbox" in cli.said.splitlines()[-1]


async def test_sandbox_serves_until_it_is_stopped(tmp_path: Path) -> None:
    async with Sandbox() as box, running(box, tmp_path, "sandbox", "--json") as cli:
        assert cli.process.stdout is not None
        printed = json.loads(await TextReceiveStream(cli.process.stdout).receive())
        assert printed["url"].startswith("http://127.0.0.1:")
        cli.send(signal.SIGINT)
        assert (await cli.ended())[0] == 130
