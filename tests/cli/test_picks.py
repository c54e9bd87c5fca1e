"""What was kept goes on, what was rejected is made again, and each new take is paid for once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelslab_async.batch import Decision, Reader, write_decisions
from modelslab_async.sandbox import Sandbox

from ..support.batches import quick
from ..support.ledgers import states
from .test_cli import against, command

pytestmark = pytest.mark.anyio


def judged(directory: Path, **verdicts: str) -> None:
    """Decide about rows by their ids, with ``_`` for ``~``."""
    with Reader.open(directory) as reader:
        rows = [(reader.row(name.replace("_", "~")), text) for name, text in verdicts.items()]
    write_decisions(
        directory,
        [
            Decision.of({"row": row.seq, "sha256": row.sha256, "verdict": text})
            for row, text in rows
        ],
    )


async def album(box: Sandbox, tmp_path: Path) -> Path:
    rows = [{"id": name, "prompt": name, "max_new_token": 256} for name in ("a", "b", "c")]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = await against(box, tmp_path, "batch", "m.jsonl", "-o", "out", "-y")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


async def test_rejected_files_lead_to_one_paid_take_each_however_often_it_is_run(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box:
        out = await album(box, tmp_path)
        nothing = await against(box, tmp_path, "reroll", "out")
        assert (nothing.returncode, "nothing is rejected" in nothing.stderr) == (0, True)
        judged(out, a="kept", b="rejected", c="rejected")
        plan = await against(
            box, tmp_path, "reroll", "out", "--dry-run", "--json", "--price-per-job", "0.5"
        )
        told = json.loads(plan.stdout)
        assert (told["takes"], told["jobs"], told["cost"]) == (["b~2", "c~2"], 2, 1.0)
        asked = command(tmp_path, "reroll", "out", MODELSLAB_API_KEY="x" * 32)
        assert (asked.returncode, "pass --yes" in asked.stderr) == (2, True)
        assert (len(box.book.debits), len(states(out))) == (3, 3)
        for _ in range(2):
            done = await against(box, tmp_path, "reroll", "out", "--yes")
            assert done.returncode == 0, done.stderr
            assert (len(box.book.debits), states(out)) == (5, ["done"] * 5)
        judged(out, b_2="rejected")
        done = await against(box, tmp_path, "reroll", "out", "--yes")
        assert (done.returncode, len(box.book.debits)) == (0, 6), done.stderr
    with Reader.open(out) as reader:
        assert [name for _, name in reader.ids()] == ["a", "b", "c", "b~2", "c~2", "b~3"]
        request = json.loads(reader.row("b~3").request)
    assert (request["max_new_token"], request["instead_of"]) == (256, "b~2")


async def test_a_second_take_of_the_manifest_is_no_new_take_of_the_first(tmp_path: Path) -> None:
    rows = [{"id": name, "prompt": "a", "max_new_token": 256} for name in ("a", "a~2")]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    async with Sandbox(quick()) as box:
        await against(box, tmp_path, "batch", "m.jsonl", "-o", "out", "-y")
        judged(tmp_path / "out", a="rejected", a_2="rejected")
        for _ in range(2):
            done = await against(box, tmp_path, "reroll", "out", "--yes")
            assert (done.returncode, len(box.book.debits)) == (0, 4), done.stderr
    with Reader.open(tmp_path / "out") as reader:
        made = {name: json.loads(reader.row(name).request)["instead_of"] for name in ("a~3", "a~4")}
    assert made == {"a~3": "a", "a~4": "a~2"}


async def test_a_take_that_was_planned_and_not_sent_is_sent_by_the_next_run(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        out = await album(box, tmp_path)
        judged(out, a="rejected", b="rejected")
        left = await against(box, tmp_path, "reroll", "out", "--yes", "--limit", "1")
        assert (left.returncode, len(box.book.debits)) == (9, 4), left.stderr
        done = await against(box, tmp_path, "reroll", "out", "--yes")
        assert (done.returncode, len(box.book.debits)) == (0, 5), done.stderr


async def test_kept_files_are_printed_and_copied_and_a_changed_one_is_not(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        out = await album(box, tmp_path)
    judged(out, a="kept", b="rejected", c="kept")
    shown = command(tmp_path, "picks", "out")
    assert shown.stdout == "out/a.wav\nout/c.wav\n"
    assert shown.stderr == "2 kept, 1 rejected, 0 to hear\n"
    for _ in range(2):
        done = command(tmp_path, "picks", "out", "--copy-kept", "best")
        assert (done.returncode, done.stdout) == (0, "best/a.wav\nbest/c.wav\n"), done.stderr
    assert (tmp_path / "best/a.wav").samefile(out / "a.wav")
    index = [json.loads(line) for line in (tmp_path / "best/index.jsonl").read_text().splitlines()]
    assert [(one["id"], one["path"]) for one in index] == [("a", "a.wav"), ("c", "c.wav")]
    (out / "c.wav").unlink()
    (out / "c.wav").write_bytes(b"another")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.wav").write_bytes(b"mine")
    done = command(tmp_path, "picks", "out", "--copy-kept", "other")
    assert (done.returncode, done.stdout) == (8, "")
    assert "another file" in done.stderr
    assert (tmp_path / "other/a.wav").read_bytes() == b"mine"


async def test_decisions_of_a_page_that_was_sent_along_are_imported(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        out = await album(box, tmp_path)
    with Reader.open(out) as reader:
        sha256 = reader.row("b").sha256
    lines = [
        {"row": 2, "sha256": sha256, "verdict": "kept", "stars": 3, "note": ""},
        {"row": 1, "sha256": "0" * 64, "verdict": "kept"},
    ]
    (tmp_path / "theirs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines) + "?\n")
    done = command(tmp_path, "picks", "out", "--import", "theirs.jsonl", "--json")
    told = json.loads(done.stdout)
    assert told["counts"] == {"kept": 1, "rejected": 0, "to_hear": 2}
    assert [(one["id"], one["stars"]) for one in told["kept"]] == [("b", 3)]
    missing = command(tmp_path, "picks", "out", "--import", "nowhere")
    assert (missing.returncode, "nowhere: No such file" in missing.stderr) == (5, True)
