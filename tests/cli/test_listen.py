"""`listen` as a process: the page as a file, and as an address that ends with Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from modelslab_async.sandbox import Sandbox

from ..listening.batches import made
from ..support.batches import quick
from .test_cli import COMMAND, against, command, environment

pytestmark = pytest.mark.anyio


@contextmanager
def listening(tmp_path: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, "listen", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_the_address_is_printed_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    await made(tmp_path / "out", "bells")
    with listening(tmp_path, "out", SSH_CONNECTION="10.0.0.2 5 10.0.0.1 22") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urlopen(url) as answer:  # noqa: ASYNC210, S310
            assert b"bells" in answer.read()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    port = url.split(":")[2].partition("/")[0]
    assert f"ssh -L {port}:127.0.0.1:{port} " in told


async def test_a_browser_is_started_with_an_address_that_holds_once(tmp_path: Path) -> None:
    await made(tmp_path / "out", "bells")
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > opened.part; mv opened.part opened\n')
    browser.chmod(0o700)
    with listening(tmp_path, "out", "--json", BROWSER=f"{browser} %s") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        while not (tmp_path / "opened").exists():
            os.sched_yield()
        opened = (tmp_path / "opened").read_text().strip()
        assert told["event"] == "listening"
        assert not opened.startswith(told["url"])
        with urlopen(opened) as answer:  # noqa: ASYNC210, S310
            assert answer.url == told["url"]


async def test_a_batch_with_its_page_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("bells\n")
    async with Sandbox(quick()) as box:
        done = await against(box, tmp_path, "batch", "m.txt", "-o", "out", "--listen", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [one["event"] for one in events if one["event"] != "progress"]
    assert kinds == ["listening", "succeeded", "ended"], done.stderr
    assert events[0]["url"].startswith("http://127.0.0.1:")


async def test_the_page_as_a_file_and_wrong_usage(tmp_path: Path) -> None:
    await made(tmp_path / "out", "bells")
    done = command(tmp_path, "listen", "out", "--file")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out/listen.html\n", "")
    assert b"bells" in (tmp_path / "out/listen.html").read_bytes()
    told = json.loads(command(tmp_path, "listen", "out", "--file", "--json").stdout)
    assert told == {"schema_version": 1, "event": "page", "path": "out/listen.html"}
    wrong = command(tmp_path, "listen", "out", "--file", "--port", "8000")
    assert (wrong.returncode, "excludes --port" in wrong.stderr) == (2, True)
    nothing = command(tmp_path, "listen", str(tmp_path / "home"), "--file")
    assert (nothing.returncode, "there is no batch in" in nothing.stderr) == (5, True)
