"""The whole loop: make many, hear them, choose, make more, hand over; each job is paid for once."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from modelslab_async.listening import serve
from modelslab_async.sandbox import Sandbox

from ..cli.test_cli import COMMAND, against, environment, reaches, wavs
from ..support.batches import quick
from ..support.ledgers import states
from .browsers import browser

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

ALBUM = """
[defaults]
max_new_token = 256

[[tracks]]
prompt = "{mood} techno"
takes = 2
matrix = {mood = ["calm", "tense", "dark"]}
"""


async def killed_after_its_first_file(box: Sandbox, tmp_path: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        cwd=tmp_path,
        env=environment(tmp_path, **reaches(box)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    process.kill()
    await process.communicate()


async def test_from_a_matrix_to_files_that_were_chosen_each_job_is_paid_for_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "album.toml").write_text(ALBUM)
    out, make = tmp_path / "out", ("batch", "album.toml", "-o", "out", "--yes", "--max-jobs", "2")
    async with Sandbox(quick(generation_seconds=0.3)) as box, browser("chromium") as tab:
        await killed_after_its_first_file(box, tmp_path, *make)
        done = await against(box, tmp_path, *make)
        assert (done.returncode, states(out)) == (0, ["done"] * 6), done.stderr
        async with serve(out) as page:
            await tab.go(page.url)
            await tab.press(*"ynyyny")
            await tab.until("document.getElementById('saved').textContent.startsWith('All dec')")
        for _ in range(2):
            done = await against(box, tmp_path, "reroll", "out", "--yes")
            assert (done.returncode, states(out)) == (0, ["done"] * 8), done.stderr
        done = await against(box, tmp_path, *make)
        assert done.returncode == 0, done.stderr
        async with serve(out) as page:
            await tab.go(page.url)
            await tab.press("End", "k", "y", "y")  # the new takes
            await tab.until("document.getElementById('saved').textContent.startsWith('All dec')")
        assert len(box.book.debits) == 8
    picked = await against(box, tmp_path, "picks", "out", "--json")
    assert json.loads(picked.stdout)["counts"] == {"kept": 6, "rejected": 2, "to_hear": 0}
    kept = sorted(os.path.basename(one["path"]) for one in json.loads(picked.stdout)["kept"])  # noqa: PTH119
    handed = await against(box, tmp_path, "export", "out", "final", "--kept")
    assert (handed.returncode, wavs(tmp_path / "final")) == (0, kept), handed.stderr
