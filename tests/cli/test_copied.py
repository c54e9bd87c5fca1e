"""What the commands say and ask in a directory that was copied, moved or may only be read."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from modelslab_async.sandbox import Sandbox

from ..support.batches import quick
from ..support.manifests import last_line, manifest
from .test_cli import against, reaches, wavs
from .test_stopping import running, until
from .test_talk import on_a_terminal

pytestmark = pytest.mark.anyio

NAMES = [f"piece {number}" for number in range(1, 7)]


async def begun(box: Sandbox, tmp_path: Path) -> None:
    """Six rows, of which two are paid for, and a copy of them."""
    rows = manifest(tmp_path, *NAMES)
    first = ["batch", rows, "-o", "out", "--yes", "--max-jobs-total", "2"]
    assert (await against(box, tmp_path, *first)).returncode == 9
    shutil.copytree(tmp_path / "out", tmp_path / "second")


FREE = ["--max-jobs-total", "6", "--yes"]


@pytest.mark.parametrize("command", ["resume", "batch"])
async def test_t36_a_copy_is_refused_by_name_and_paid_for_on_request(
    command: str, tmp_path: Path
) -> None:
    named = ["resume", "second"] if command == "resume" else ["batch", "rows.jsonl", "-o", "second"]
    async with Sandbox(quick()) as box:
        await begun(box, tmp_path)
        done = await against(box, tmp_path, *named, *FREE)
        assert done.returncode == 1
        assert "was copied or restored from a backup" in done.stderr
        assert "--accept-copy" in done.stderr
        assert len(box.book.debits) == 2
        done = await against(box, tmp_path, *named, *FREE, "--accept-copy")
        assert done.returncode == 0, done.stderr
        assert len(box.book.debits) == 6
        assert "--accept-copy" not in last_line(done.stderr)


async def test_t36_a_copy_is_an_error_in_json(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        await begun(box, tmp_path)
        done = await against(box, tmp_path, "resume", "second", *FREE, "--json")
    [error] = [json.loads(line)["error"] for line in done.stderr.splitlines() if '"error"' in line]
    assert (error["code"], error["exit_code"], error["retryable"]) == ("ledger_copied", 1, False)


@pytest.mark.parametrize(("typed", "code", "paid"), [("n\n", 1, 2), ("y\n", 0, 6), ("\n", 1, 2)])
async def test_t36_on_a_terminal_it_is_a_question(
    typed: str, code: int, paid: int, tmp_path: Path
) -> None:
    async with Sandbox(quick()) as box:
        await begun(box, tmp_path)
        found, _, shown = await asyncio.to_thread(
            on_a_terminal, tmp_path, "resume", "second", *FREE, typed=typed, **reaches(box)
        )
        assert shown.count("Pay for the planned rows from this copy?") == 1
        assert (found, len(box.book.debits)) == (code, paid), shown


async def test_t36_what_the_original_has_paid_for_is_brought_without_a_question(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box:
        await begun(box, tmp_path)
        assert (await against(box, tmp_path, "resume", "out", *FREE)).returncode == 0
        done = await against(box, tmp_path, "resume", "second", *FREE)
        assert done.returncode == 0, done.stderr
        assert len(wavs(tmp_path / "second")) == 6
        assert len(box.book.debits) == 6


@pytest.mark.parametrize("looked", [["status", "out"], ["resume", "out", "--dry-run"]])
async def test_t36_to_look_at_a_backup_that_was_put_back_in_place_is_no_answer(
    looked: list[str], tmp_path: Path
) -> None:
    def files() -> dict[str, tuple[bytes, int]]:
        found = (tmp_path / "out").iterdir()
        return {path.name: (path.read_bytes(), path.stat().st_ctime_ns) for path in found}

    async with Sandbox(quick()) as box:
        await begun(box, tmp_path)
        assert (await against(box, tmp_path, "resume", "out", *FREE)).returncode == 0
        shutil.copytree(tmp_path / "second", tmp_path / "out", dirs_exist_ok=True)
        before = files()
        assert (await against(box, tmp_path, *looked)).returncode == 0
        assert files() == before
        done = await against(box, tmp_path, "resume", "out", *FREE)
        assert done.returncode == 0, done.stderr
        assert len(box.book.debits) == 6


async def test_x23_a_renamed_directory_is_named_with_the_command_that_goes_on(
    tmp_path: Path,
) -> None:
    rows = manifest(tmp_path, *NAMES)
    options = ["-o", "out", "--yes", "--max-jobs", "1"]
    async with Sandbox(quick(), slots=1) as box:
        async with running(box, tmp_path, "batch", rows, *options) as cli:
            await until(lambda: list((tmp_path / "out").glob("*.wav")))
            (tmp_path / "out").rename(tmp_path / "moved")
            code, _ = await cli.ended()
        assert code == 1
        assert f"was renamed while the batch ran; it is {tmp_path / 'moved'} now" in cli.said
        assert f"resume {tmp_path / 'moved'}" in last_line(cli.said)
        again = await against(box, tmp_path, "batch", rows, *options)
        assert again.returncode == 1
        assert "continue it there" in again.stderr
        done = await against(box, tmp_path, "resume", "moved", "--yes")
        assert (done.returncode, len(box.book.debits)) == (0, 6), done.stderr
