"""The command as clients start it: over pipes, killed, closed and stopped at any moment."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from mcp import Client
from mcp.client.stdio import stdio_client

from modelslab_async.batch import Reader, runner_of
from modelslab_async.sandbox import Sandbox, Scenario

from ..support.batches import quick
from . import kills
from .servers import Person, environment, links, numbered, parameters, refused, told, tracks

pytestmark = pytest.mark.anyio

INSPECTOR = shutil.which("mcp-inspector")
WALTZES = {"batch": "waltzes", "tracks": tracks("slow waltz", "fast waltz")}


async def test_a_client_over_pipes_asks_its_person_and_sees_no_key(tmp_path: Path) -> None:
    root, person, log = tmp_path / "music", Person(), tmp_path / "log.txt"
    options = ["--price-per-job", "0.05", "--max-cost", "0.12", "--ask-above", "0.06", "-vv"]
    said: list[str] = []

    async def call(client: Client, tool: str, **arguments: Any) -> Any:
        answer = await client.call_tool(tool, arguments)
        said.append(answer.model_dump_json())
        return answer

    async with Sandbox(quick()) as box:
        with log.open("w") as errors:
            transport = stdio_client(parameters(box, root, *options), errlog=errors)
            async with Client(transport, elicitation_callback=person) as client:
                made = await call(client, "make_music", **WALTZES)
                again = await call(client, "make_music", **WALTZES)
                more = await call(client, "make_music", batch="b", tracks=tracks("tango"))
                for tool in ("wait_music", "list_music", "check_music", "reconcile_music"):
                    told(await call(client, tool, batch="waltzes"))
        assert len(box.book.debits) == 2
        assert box.key not in "".join(said) + log.read_text()
    assert told(made) == told(again)
    assert len(links(made)) == 2
    assert len(person.questions) == 1
    assert "over budget" in refused(more)


@asynccontextmanager
async def raw(box: Sandbox, root: Path, *options: str) -> AsyncIterator[anyio.abc.Process]:
    """A server that is spoken to by hand, killed at the end if it still runs."""
    known = environment(MODELSLAB_API_KEY=box.key, MODELSLAB_BASE_URL=box.url)
    command = [sys.executable, "-m", "modelslab_async", "mcp", "--root", str(root), *options]
    async with await anyio.open_process(command, env=known, cwd=root.parent) as server:
        try:
            yield server
        finally:
            if server.returncode is None:
                server.kill()


def call(tool: str, arguments: dict[str, Any], **capabilities: Any) -> bytes:
    """The handshake of an old client, and one call."""
    about = {
        "protocolVersion": "2025-06-18",
        "capabilities": capabilities,
        "clientInfo": {"name": "by hand", "version": "1"},
    }
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": about},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}},
    ]
    return b"".join(json.dumps({"jsonrpc": "2.0", **one}).encode() + b"\n" for one in messages)


@pytest.mark.parametrize("end", ["stdin closed", "SIGTERM"])
async def test_a_server_that_ends_in_a_call_leaves_a_batch_to_go_on_with(
    end: str, tmp_path: Path
) -> None:
    root = tmp_path / "music"
    arguments = {"batch": "a", "tracks": tracks(*numbered(7)), "wait": 45}
    async with Sandbox(Scenario(never_finishes=True)) as box:
        async with raw(box, root) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            await server.stdin.send(b"no JSON\n" + call("make_music", arguments))
            while len(box.book.debits) < 5:
                await asyncio.sleep(0.005)
            if end == "SIGTERM":
                server.terminate()
            else:
                await server.stdin.aclose()
            output = b"".join([part async for part in server.stdout])
            assert await server.wait() == (143 if end == "SIGTERM" else 0)
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in output.splitlines())
        assert runner_of(root / "a") is None
        assert len(box.book.debits) == 5
        with Reader.open(root / "a") as reader:
            states = {state.value: n for state, n in reader.counts().items() if n}
        assert states == {"submitted": 5, "planned": 2}


async def test_a_server_that_waits_for_a_persons_yes_ends_at_once_and_pays_nothing(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box:
        async with raw(box, tmp_path / "music", "--ask-above", "0") as server:
            assert server.stdin is not None
            assert server.stdout is not None
            asking = call("make_music", WALTZES, elicitation={})
            await server.stdin.send(asking)
            output = b""
            while b"elicitation/create" not in output:
                output += await server.stdout.receive()
            server.terminate()
            assert await server.wait() == 143
        assert not box.book.requests


async def test_a_client_that_is_gone_ends_the_server(tmp_path: Path) -> None:
    root = tmp_path / "music"
    async with Sandbox(Scenario(generation_seconds=0.2, eta="float")) as box:
        async with raw(box, root) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            await server.stdin.send(call("make_music", {**WALTZES, "wait": 45}))
            while not box.book.debits:
                await asyncio.sleep(0.005)
            await server.stdout.aclose()  # its next line cannot be written
            await server.stdin.aclose()
            assert await server.wait() == 0
            assert server.stderr is not None
            talk = b"".join([part async for part in server.stderr])
        assert b"Traceback" not in talk
        assert len(box.book.debits) == 2


@pytest.mark.proof
@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_a_server_that_is_killed_three_times_and_called_again_pays_for_each_track_once(
    seed: int, tmp_path: Path
) -> None:
    (await kills.trial(seed, tmp_path / "music")).check()


async def test_standard_input_that_is_a_terminal_is_refused_with_what_helps(
    tmp_path: Path,
) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "modelslab_async", "mcp", "--sandbox", "--root", "a"]
    done = await anyio.run_process(
        command, stdin=slave, cwd=tmp_path, env=environment(), check=False
    )
    assert done.returncode == 2
    assert b"--print-config" in done.stderr
    assert [*tmp_path.iterdir()] == []
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(INSPECTOR is None, reason="npm install -g @modelcontextprotocol/inspector@2")
async def test_the_command_line_of_the_inspector_makes_music(tmp_path: Path) -> None:
    serve = [sys.executable, "-m", "modelslab_async", "mcp", "--sandbox", "--root", "music"]
    arguments = ["--tool-arg", "batch=waltz", "--tool-arg", f"tracks={json.dumps(tracks('waltz'))}"]
    made = ["--method", "tools/call", "--tool-name", "make_music", *arguments]
    done = await anyio.run_process(
        [str(INSPECTOR), "--cli", *serve, *made], cwd=tmp_path, env=environment()
    )
    content = json.loads(done.stdout)["content"]
    assert json.loads(content[0]["text"])["states"] == {"done": 1}
    assert content[1]["type"] == "resource_link"
