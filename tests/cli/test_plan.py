"""``plan`` and ``--takes``: what a manifest comes to, and its rows, without sending anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelslab_async.sandbox import Sandbox

from ..support.batches import quick
from ..support.schemas import check
from .test_cli import against, command, wavs

pytestmark = pytest.mark.anyio

ALBUM = """
prompt = "{mood} {genre}"
takes = 2
matrix = {genre = ["techno", "waltz"], mood = ["calm", "tense"]}
max_new_token = 256
"""


def test_a_plan_shows_count_length_price_and_the_first_rows(tmp_path: Path) -> None:
    (tmp_path / "album.toml").write_text(ALBUM)
    seen = command(tmp_path, "plan", "album.toml", "--price-per-job", "0.1")
    assert seen.returncode == 0, seen.stderr
    assert "TOML, combinations of values; 8 rows" in seen.stdout
    assert "calm-techno.take2.wav" in seen.stdout
    assert "8 jobs, 41 s of audio, about 5.2 MB, price 0.8" in seen.stdout
    assert not [path.name for path in tmp_path.iterdir() if path.is_dir()]
    document = json.loads(command(tmp_path, "plan", "album.toml", "--json").stdout)
    check(document, "manifest")
    assert (document["rows"], document["cost"], document["doubles"]) == (8, None, 0)


def test_the_rows_of_a_plan_are_a_manifest_of_the_same_jobs(tmp_path: Path) -> None:
    (tmp_path / "album.toml").write_text(ALBUM)
    assert command(tmp_path, "plan", "album.toml", "-o", "rows.jsonl").returncode == 0
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert command(tmp_path, "plan", "album.toml", "-o", "-").stdout.splitlines() == lines
    dry = ["-o", "out", "-n", "--json"]
    one = json.loads(command(tmp_path, "batch", "album.toml", *dry).stdout)
    other = json.loads(command(tmp_path, "batch", "rows.jsonl", *dry).stdout)
    assert one["manifest"]["first"] == other["manifest"]["first"]
    assert one["jobs"] == other["jobs"] == 8
    again = command(tmp_path, "plan", "album.toml", "-o", "rows.jsonl")
    assert again.returncode == 2
    assert "rows.jsonl already exists; name another file" in again.stderr


def test_rows_that_ask_for_the_same_are_named_and_takes_are_not(tmp_path: Path) -> None:
    rows = '{"id": "a", "prompt": "waltz", "takes": 3}\n{"id": "b", "prompt": "waltz"}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    seen = command(tmp_path, "plan", "rows.jsonl")
    assert "a and b ask for the same" in seen.stderr
    assert "1 row asks for the same as another" in seen.stdout


def test_a_mistake_is_said_with_its_place_before_anything_is_paid(tmp_path: Path) -> None:
    (tmp_path / "album.toml").write_text('[[tracks]]\nprompt = "{mod}"\nmatrix = {mood = ["x"]}')
    for seen in (
        command(tmp_path, "plan", "album.toml"),
        command(tmp_path, "batch", "album.toml", "--sandbox"),
    ):
        assert seen.returncode == 2
        assert "tracks 1: prompt names mod, which the matrix does not have" in seen.stderr
        assert "did you mean mood?" in seen.stderr


async def test_takes_are_so_many_files_and_jobs_of_each_prompt(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        done = await against(
            box, tmp_path, "generate", "--takes", "2", "waltz", "raga", "-o", "out/"
        )
        assert done.returncode == 0, done.stderr
        assert len(box.book.debits) == 4
    assert wavs(tmp_path / "out") == ["raga-2.wav", "raga.wav", "waltz-2.wav", "waltz.wav"]
