"""The README tells the truth: its Python blocks run, and print what it says they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from modelslab_async.sandbox import Sandbox, Scenario

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


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "output"), of("python"))
async def test_a_python_block_runs_and_prints_what_the_readme_shows(
    code: str, output: str, tmp_path: Path
) -> None:
    async with Sandbox(scenario=Scenario(generation_seconds=0.3, eta="float")) as box:
        done = await run([sys.executable, "-W", "error", "-c", code], tmp_path, box)
    assert done.stderr == b""
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


async def run(command: list[str], where: Path, box: Sandbox) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ,
        "MODELSLAB_API_KEY": box.key,
        "MODELSLAB_BASE_URL": box.url,
        "PYTHONPATH": str(README.parent),
    }
    return await anyio.run_process(command, cwd=where, env=environment, check=False)
