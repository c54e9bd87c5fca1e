"""README and help pages tell the truth: their blocks run, and print what the page shows."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

import aiohttp
import anyio
import pytest
import uvicorn
from aiohttp import web

from modelslab_async.sandbox import Sandbox, Scenario

from .support.forking import complaints
from .support.quick import free_port

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "modelslab_async" / "help").glob("*.md")))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FETCH = "/api/v6/voice/fetch"
KINDS = (".svg", ".png")
LINK = re.compile(r"\]\(([^)]+)\)")


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Each block of code: its language, its text, and the output that the page shows for it."""
    found = BLOCK.findall(page.read_text())
    for (language, text), (following, output) in zip(found, [*found[1:], ("", "")], strict=False):
        if language != "text":
            yield language, text, output if following == "text" else ""


def is_service(code: str) -> bool:
    return re.search(r"^app = ", code, re.MULTILINE) is not None


def of(language: str, *, services: bool = False) -> list[Any]:
    return [
        pytest.param(text, output, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, (kind, text, output) in enumerate(blocks(page))
        if kind == language and is_service(text) is services and "from arq " not in text
    ]


def service(page: str, framework: str) -> str:
    found = blocks(ROOT / "modelslab_async" / "help" / f"{page}.md")
    imports = re.compile(rf"^from {framework}[. ]", re.MULTILINE)
    return next(code for _, code, _ in found if imports.search(code))


def as_script(code: str) -> str:
    """What a notebook awaits by itself is awaited in a function."""
    if "asyncio.run(" in code or "await " not in code or "async def" in code:
        return code
    return f"import asyncio\nasync def main():\n{indent(code, '    ')}\nasyncio.run(main())"


def test_every_language_of_a_block_is_one_that_is_run_here() -> None:
    kinds = {language for page in PAGES for language, _, _ in blocks(page)}
    assert kinds == {"python", "bash", "dockerfile", "yaml"}  # the last two: test_containers


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_to_other_pages_lead_to_them(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_pictures_are_small_and_show_what_a_command_has_drawn() -> None:
    pictures = [ROOT / link for link in LINK.findall(PAGES[0].read_text()) if link[-4:] in KINDS]
    assert {picture.name for picture in pictures} >= {"terminal.svg", "listening.png"}
    assert max(picture.stat().st_size for picture in pictures) <= 150_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_one_title_and_lines_that_fit(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text()).splitlines()
    assert [line for line in prose if line.startswith("# ")] == prose[:1]
    assert [line for line in prose if len(line) > 112 and not line.startswith("|")] == []


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "output"), of("python"))
async def test_a_python_block_runs_and_prints_what_the_page_shows(
    code: str, output: str, tmp_path: Path
) -> None:
    """The port of its webhooks is any that is free: two suites may run at once."""
    script = as_script(code).replace("8787", str(free_port()))
    command = [sys.executable, "-W", "error", "-c", script]
    if "def test_" in code:
        (tmp_path / "test_page.py").write_text(code)
        without = ["-p", "no:cacheprovider", "-p", "no:asyncio"]
        command = [sys.executable, "-m", "pytest", "-q", *without, "test_page.py"]
    async with Sandbox(scenario=Scenario(generation_seconds=0.3, eta="float")) as box:
        done = await run(command, tmp_path, box)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
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


@asynccontextmanager
async def served(
    page: str, framework: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Sandbox, aiohttp.ClientSession, str]]:
    """The service of a page, and somebody who calls it."""
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    async with Sandbox(scenario=Scenario(generation_seconds=0.1, eta="absent")) as box:
        monkeypatch.setenv("MODELSLAB_API_KEY", box.key)
        monkeypatch.setenv("MODELSLAB_BASE_URL", box.url)
        monkeypatch.setenv("WEBHOOK_SECRET", "sixteen bytes or more")
        module = ModuleType("service")
        monkeypatch.setitem(sys.modules, "service", module)  # Django imports it by its name
        code = service(page, framework).replace("https://music.example.com", here)
        exec(code, vars(module))  # noqa: S102
        async with SERVERS[framework](module.app, port), aiohttp.ClientSession() as caller:
            yield box, caller, here


@pytest.mark.anyio
@pytest.mark.parametrize("framework", ["fastapi", "aiohttp"])
async def test_a_service_makes_a_track_and_its_webhook_ends_the_job(
    framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served("webhooks", framework, monkeypatch) as (box, caller, here):
        async with caller.post(f"{here}/tracks?prompt=bells") as answer:
            made = await answer.json()
        assert made["urls"]
        assert box.book.count(path_prefix=FETCH) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("framework", ["fastapi", "django"])
async def test_a_service_answers_with_an_id_and_later_with_links(
    framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served("services", framework, monkeypatch) as (box, caller, here):
        async with caller.post(f"{here}/orders?prompt=bells") as answer:
            order = await answer.json()
            assert answer.status == 202
        state: dict[str, Any] = {}
        while not state.get("urls"):
            async with caller.get(f"{here}/orders/{order['id']}") as answer:
                state = await answer.json()
        assert state["status"] == "success"
        assert len(box.book.debits) == 1


@asynccontextmanager
async def delivered(where: Path, box: Sandbox) -> AsyncIterator[anyio.abc.Process]:
    """A worker to which the page's task has been delivered; killed at the end if it still runs."""
    code = service("services", "celery")
    command = [sys.executable, "-c", code.replace(code[code.rindex("print(") :], "")]
    async with await anyio.open_process(command, cwd=where, env=environment_of(box)) as worker:
        yield worker
        with suppress(ProcessLookupError):
            worker.kill()


@pytest.mark.anyio
@pytest.mark.parametrize("until", ["it was paid for", "its id was known"])
async def test_a_task_that_is_killed_and_delivered_again_pays_once(
    until: str, tmp_path: Path
) -> None:
    """Killed before its answer could be noted, or while its job was polled for."""
    async with Sandbox(scenario=Scenario(generation_seconds=1, eta="absent")) as box:
        async with delivered(tmp_path, box):
            while not box.book.debits or (
                until == "its id was known" and not box.book.count(path_prefix=FETCH)
            ):
                await asyncio.sleep(0.005)
        async with delivered(tmp_path, box) as again:
            assert await again.wait() == 0
        assert len(box.book.debits) == 1
    if until == "its id was known":
        assert (tmp_path / "orders" / "order-17" / "00001-rain-on-a-tin-roof.wav").is_file()


@pytest.mark.anyio
async def test_a_task_that_is_delivered_twice_at_once_pays_once(tmp_path: Path) -> None:
    async with Sandbox(scenario=Scenario(generation_seconds=0.3, eta="absent")) as box:
        async with delivered(tmp_path, box) as one, delivered(tmp_path, box) as other:
            codes = {await one.wait(), await other.wait()}
        assert 0 in codes
        assert len(box.book.debits) == 1


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


SERVERS = {"fastapi": uvicorn_serves, "aiohttp": aiohttp_serves, "django": uvicorn_serves}


async def run(command: list[str], where: Path, box: Sandbox) -> subprocess.CompletedProcess[bytes]:
    return await anyio.run_process(command, cwd=where, env=environment_of(box), check=False)


def environment_of(box: Sandbox) -> dict[str, str]:
    return {
        **os.environ,
        "MODELSLAB_API_KEY": box.key,
        "MODELSLAB_BASE_URL": box.url,
        "PYTHONPATH": str(ROOT),
    }
