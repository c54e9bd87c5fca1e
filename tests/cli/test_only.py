"""``batch --only`` and ``skip``: some rows now, some never, and nothing that was not agreed to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelslab_async.sandbox import Sandbox

from ..support.manifests import last_line, manifest, row
from .test_cli import QUICK, against, command, wavs

pytestmark = pytest.mark.anyio

NAMES = ("waltz", "raga", "tango", "polka", "techno")


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(QUICK) as box:
        yield box


def named(tmp_path: Path) -> str:
    (tmp_path / "rows.jsonl").write_text("\n".join(row(name, id=name) for name in NAMES))
    return "rows.jsonl"


async def test_only_the_chosen_rows_are_paid_for_and_the_plan_says_so_first(
    box: Sandbox, tmp_path: Path
) -> None:
    start = ("batch", named(tmp_path), "-o", "out", "-y")
    only = ("--only", "1-2,polka")
    shown = await against(box, tmp_path, *start, *only, "-n")
    assert shown.stdout.splitlines()[1].startswith("3 jobs, ")
    assert shown.stdout.splitlines()[1].endswith("; 2 rows left for another run")
    some = await against(box, tmp_path, *start, *only)
    assert (some.returncode, len(box.book.debits)) == (9, 3), some.stderr
    assert wavs(tmp_path) == ["polka.wav", "raga.wav", "waltz.wav"]  # their ids
    assert last_line(some.stderr) == "resume with: modelslab-async resume out"
    rest = await against(box, tmp_path, "resume", "out", "--only", "tango", "--only", "5", "-y")
    assert (rest.returncode, len(box.book.debits), len(wavs(tmp_path))) == (0, 5, 5), rest.stderr


async def test_a_limit_counts_among_the_chosen_rows(box: Sandbox, tmp_path: Path) -> None:
    start = ("batch", manifest(tmp_path, *NAMES), "-o", "out", "-y")
    done = await against(box, tmp_path, *start, "--only", "3-5", "--limit", "2")
    assert (done.returncode, wavs(tmp_path)) == (9, ["00003-tango.wav", "00004-polka.wav"])


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ("tangp", "did you mean tango?"),
        ("1,6", "there is no row 6: the last one is row 5"),
        (",", "no row is named"),
    ],
)
async def test_a_row_that_is_not_there_is_refused_before_anything_is_sent(
    box: Sandbox, tmp_path: Path, only: str, says: str
) -> None:
    done = await against(box, tmp_path, "batch", named(tmp_path), "-o", "out", "-y", "--only", only)
    assert (done.returncode, done.stdout, box.book.requests) == (2, "", [])
    assert says in done.stderr
    assert not (tmp_path / "out").exists()


async def test_the_nearest_row_is_named_by_every_command_that_takes_one(
    box: Sandbox, tmp_path: Path
) -> None:
    await against(box, tmp_path, "batch", named(tmp_path), "-o", "out", "--limit", "0")
    for words in (["status", "out", "tangp"], ["reconcile", "out", "--abandon", "tangp"]):
        done = command(tmp_path, *words)
        assert (done.returncode, done.stdout) == (5, "")
        assert "did you mean tango?" in done.stderr
    assert command(tmp_path, "skip", "out", "tangp").returncode == 2
    several = command(tmp_path, "status", "out", "1-2")
    assert (several.returncode, "1-2 is several rows" in several.stderr) == (5, True)


async def test_skipped_rows_are_never_paid_for_until_they_are_wanted_again(
    box: Sandbox, tmp_path: Path
) -> None:
    start = ("batch", named(tmp_path), "-o", "out", "-y")
    await against(box, tmp_path, *start, "--only", "1")
    skipped = command(tmp_path, "skip", "out", "2-3", "techno")
    assert skipped.returncode == 0, skipped.stderr
    assert skipped.stdout.splitlines()[-1] == "row 5 (techno): skipped"
    assert last_line(skipped.stderr) == "3 rows skipped: never paid for"
    shown = await against(box, tmp_path, *start, "-n")
    assert "3 rows skipped by hand: not generated" in shown.stdout
    for again in (start, ("resume", "out")):
        done = await against(box, tmp_path, *again)
        assert (done.returncode, len(box.book.debits)) == (0, 2), done.stderr
        assert "not in this manifest" not in done.stderr
    assert "skipped by hand" in command(tmp_path, "status", "out").stdout
    told = command(tmp_path, "skip", "--undo", "out", "2", "--json")
    assert json.loads(told.stdout)["changed"] == [{"row": 2, "id": "raga", "state": "planned"}]
    done = await against(box, tmp_path, "resume", "out")
    assert (done.returncode, len(box.book.debits), len(wavs(tmp_path))) == (0, 3, 3), done.stderr


async def test_a_row_that_was_corrected_while_it_was_skipped_is_sent_as_it_is_now(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(row("rage", id="a"))
    start = ("batch", "rows.jsonl", "-o", "out")
    await against(box, tmp_path, *start, "--limit", "0")
    command(tmp_path, "skip", "out", "a")
    (tmp_path / "rows.jsonl").write_text(row("raga", id="a"))
    assert (await against(box, tmp_path, *start)).returncode == 0
    assert not box.book.debits
    command(tmp_path, "skip", "out", "a", "--undo")
    await against(box, tmp_path, "resume", "out")
    assert [job.prompt for job in box.book.jobs.values()] == ["raga"]


async def test_rows_that_were_sent_are_not_skipped(box: Sandbox, tmp_path: Path) -> None:
    await against(box, tmp_path, "batch", named(tmp_path), "-o", "out", "--only", "waltz")
    done = command(tmp_path, "skip", "out", "2", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "row waltz is done: only rows that were not sent yet can be skipped" in done.stderr
    assert "skipped" not in command(tmp_path, "status", "out").stdout
