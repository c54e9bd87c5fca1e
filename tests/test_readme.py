"""The README tells the truth: its Python blocks run, and print what it says they print."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import uvicorn
from aiohttp import web

from modelslab_async.sandbox import Sandbox, Scenario

from .support.forking import complaints
from .support.quick import free_port

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[tuple[str, str, str]]:
    """Each block of code: its language, its text, and the output that the README shows for it."""
    found = BLOCK.findall(README.read_text())
    for (language, text), (following, output) in zip(found, [*found[1:], ("", "")], strict=True):
        if language != "text":
            yield language, text, output if following == "text" else ""


def of(language: str) -> list[tuple[str, str]]:
    return [(text, output) for kind, text, output in blocks() if kind == language]


def scripts() -> list[tuple[str, str]]:
    return [(code, output) for code, output in of("python") if "asyncio.run(" in code]


def service(framework: str) -> str:
    return next(code for code, _ in of("python") if f"from {framework} import" in code)


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "output"), scripts())
async def test_a_python_block_runs_and_prints_what_the_readme_shows(
    code: str, output: str, tmp_path: Path
) -> None:
    """The port of its webhooks is any that is free: two suites may run at once."""
    code = code.replace("8787", str(free_port()))
    async with Sandbox(scenario=Scenario(generation_seconds=0.3, eta="float")) as box:
        done = await run([sys.executable, "-W", "error", "-c", code], tmp_path, box)
    assert not complaints(done.stderr.decode())
    if output:
        assert done.stdout.decode() == output


@pytest.mark.anyio
@pytest.mark.parametrize(("script", "output"), of("bash"))
async def test_a_shell_block_runs(script: str, output: str, tmp_path: Path) -> None:
    """Installing is left to who runs this suite, and running this suite too."""
    steps = [step for step in re.split(r" && |\n", script) if "pip install" not in step]
    steps = [step for step in steps if "venv .venv" not in step and "pytest" not in step]
    command = f"{sys.executable} -m modelslab_async"
    script = "\n".join(steps).replace(".venv/bin/", "").replace("modelslab-async", command)
    script = script.replace("export MODELSLAB_API_KEY=your-key", "")
    async with Sandbox(scenario=Scenario(generation_seconds=0.3, eta="float")) as box:
        done = await run(["bash", "-euo", "pipefail", "-c", script], tmp_path, box)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.anyio
@pytest.mark.parametrize("framework", ["fastapi", "aiohttp"])
async def test_a_service_of_the_readme_makes_a_track_and_is_told_of_it(
    framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    scenario = Scenario(generation_seconds=0.1, eta="absent")
    async with Sandbox(scenario=scenario) as box:
        monkeypatch.setenv("MODELSLAB_API_KEY", box.key)
        monkeypatch.setenv("MODELSLAB_BASE_URL", box.url)
        monkeypatch.setenv("WEBHOOK_SECRET", "sixteen bytes or more")
        names: dict[str, Any] = {"__name__": "service"}
        exec(service(framework).replace("https://music.example.com", here), names)  # noqa: S102
        async with (
            SERVERS[framework](names["app"], port),
            aiohttp.ClientSession() as caller,
            caller.post(f"{here}/tracks?prompt=bells") as answer,
        ):
            made = await answer.json()
        assert made["urls"]
        assert box.book.count(path_prefix="/api/v6/voice/fetch") == 1


@asynccontextmanager
async def uvicorn_serves(app: Any, port: int) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    yield
    server.should_exit = True
    await task


@asynccontextmanager
async def aiohttp_serves(app: Any, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await runner.cleanup()


SERVERS = {"fastapi": uvicorn_serves, "aiohttp": aiohttp_serves}


async def run(command: list[str], where: Path, box: Sandbox) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ,
        "MODELSLAB_API_KEY": box.key,
        "MODELSLAB_BASE_URL": box.url,
        "PYTHONPATH": str(README.parent),
    }
    return await anyio.run_process(command, cwd=where, env=environment, check=False)
