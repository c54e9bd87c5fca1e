"""`--record` keeps what was said, and `sandbox --replay` says it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelslab_async.sandbox import Fault, Sandbox

from ..support.batches import quick
from .test_cli import against, command


@pytest.mark.anyio
async def test_a_failed_command_is_replayed_from_its_recording(tmp_path: Path) -> None:
    words = "No access for karl@example.org"
    with_fault = quick(failure_probability=1, failure_message=words)
    arguments = ["generate", "a prompt of my own", "-o", "a.wav", "--record", "r.jsonl"]
    async with Sandbox(with_fault) as box:
        first = await against(box, tmp_path, *arguments)
    recorded = (tmp_path / "r.jsonl").read_text()
    assert "No access for {mail-1}" in recorded
    assert "of my own" not in recorded
    async with Sandbox(replay=tmp_path / "r.jsonl") as box:
        again = await against(box, tmp_path, *arguments[:-2])
    assert first.returncode == again.returncode == 1
    assert "No access for {mail-1}" in again.stderr


@pytest.mark.anyio
async def test_a_batch_is_recorded_too(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("waltz\ntango\n")
    async with Sandbox(quick(Fault(on="fetch", kind="edge", status=502))) as box:
        done = await against(box, tmp_path, "batch", "rows.txt", "--record", "r.jsonl", "--yes")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [one["status"] for one in lines[1:] if "fetch" in one["target"]].count(502) == 1


@pytest.mark.anyio
async def test_an_existing_recording_is_refused_before_payment(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("mine")
    async with Sandbox(quick()) as box:
        done = await against(box, tmp_path, "generate", "waltz", "--record", "r.jsonl")
        assert not box.book.requests
    assert done.returncode == 2
    assert "name a new file" in done.stderr


def test_what_is_no_recording_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "song.txt").write_text("la la")
    done = command(tmp_path, "sandbox", "--replay", "song.txt")
    assert done.returncode == 2
    assert "no recording" in done.stderr
