"""What `verify`, `status`, `batch` and `resume` say of files that are missing or changed (L24)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelslab_async._cli.file_check import FileCheck
from modelslab_async.batch import FaultKind, FileFault
from modelslab_async.batch._advice import ADVICE
from modelslab_async.sandbox import Sandbox

from ..support.manifests import last_line, manifest
from .test_cli import QUICK, against, command, wavs

pytestmark = pytest.mark.anyio

FREE = "modelslab-async resume out --retry missing"
NONE = {"missing": 0, "changed": 0, "unreadable": 0}


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(QUICK) as box:
        yield box


async def finished(box: Sandbox, tmp_path: Path) -> list[Path]:
    """The files of a batch that is done."""
    rows = manifest(tmp_path, "waltz", "techno", "raga")
    done = await against(box, tmp_path, "batch", rows, "-o", "out")
    assert done.returncode == 0, done.stderr
    return sorted((tmp_path / "out").glob("*.wav"))


async def damaged(box: Sandbox, tmp_path: Path) -> None:
    """One file is deleted, and one is overwritten."""
    first, second, _ = await finished(box, tmp_path)
    first.unlink()
    second.write_bytes(b"garbage")


def other_bytes(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("name", ["batch", "resume"])
async def test_l24_a_finished_batch_says_that_files_are_missing(
    name: str, box: Sandbox, tmp_path: Path
) -> None:
    await damaged(box, tmp_path)
    words = ["resume", "out"] if name == "resume" else ["batch", "rows.jsonl", "-o", "out"]
    done = await against(box, tmp_path, *words)
    assert (done.returncode, done.stdout) == (8, "")
    assert "1 missing, 1 changed; such as row 1: 00001-waltz.wav is not there" in done.stderr
    assert "3 of 3 rows are done" not in done.stderr
    assert last_line(done.stderr) == f"resume with: {FREE}"
    [ended] = map(json.loads, (await against(box, tmp_path, *words, "--json")).stdout.splitlines())
    assert (ended["exit_code"], ended["resume"]) == (8, FREE)
    assert ended["faults"] == NONE | {"missing": 1, "changed": 1}
    assert len(box.book.debits) == 3


async def test_l24_a_run_that_brings_other_rows_says_it_too(box: Sandbox, tmp_path: Path) -> None:
    await damaged(box, tmp_path)
    rows = manifest(tmp_path, "waltz", "techno", "raga", "polka")
    done = await against(box, tmp_path, "batch", rows, "-o", "out")
    assert (done.returncode, done.stdout) == (8, "out/00004-polka.wav\n")
    assert last_line(done.stderr) == f"resume with: {FREE}"


async def test_l24_the_command_that_is_named_brings_all_files_free(
    box: Sandbox, tmp_path: Path
) -> None:
    await damaged(box, tmp_path)
    done = await against(box, tmp_path, *FREE.split()[1:], "--no-input")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["out/00001-waltz.wav", "out/00002-techno~2.wav"]
    assert "reading the files of 3 done rows first" in done.stderr
    assert (tmp_path / "out/00002-techno.wav").read_bytes() == b"garbage"
    for words in (["verify", "out"], ["status", "out"], ["resume", "out"]):
        assert command(tmp_path, *words).returncode == 0
    assert len(box.book.debits) == 3


async def test_l24_batch_takes_retry_missing_too(box: Sandbox, tmp_path: Path) -> None:
    other_bytes((await finished(box, tmp_path))[2])  # which no size tells
    done = await against(box, tmp_path, "batch", "rows.jsonl", "-o", "out", "--retry", "missing")
    assert (done.returncode, done.stdout) == (0, "out/00003-raga~2.wav\n")
    assert len(box.book.debits) == 3


async def test_l24_the_account_that_paid_is_named_again(box: Sandbox, tmp_path: Path) -> None:
    await damaged(box, tmp_path)
    done = await against(box, tmp_path, "resume", "out", "--base-url", box.url)
    assert last_line(done.stderr) == f"resume with: {FREE} --base-url {box.url}"


async def test_l24_a_dry_run_says_what_would_be_downloaded(box: Sandbox, tmp_path: Path) -> None:
    await damaged(box, tmp_path)
    done = command(tmp_path, "resume", "out", "--retry", "missing", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.startswith("3 rows, 1 done, 2 paid for and unfinished, in out\n0 jobs,")
    assert len(wavs(tmp_path)) == 2


async def test_l24_a_sandbox_of_its_own_has_the_files_of_earlier_runs(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz")
    assert command(tmp_path, "batch", rows, "-o", "out", "--sandbox").returncode == 0
    file = tmp_path / "out/00001-waltz.wav"
    before = file.read_bytes()
    file.unlink()
    done = command(tmp_path, "batch", rows, "-o", "out", "--sandbox")
    assert done.returncode == 8
    assert "--retry missing" in done.stderr
    done = command(tmp_path, "resume", "out", "--sandbox", "--retry", "missing")
    assert (done.returncode, file.read_bytes() == before) == (0, True), done.stderr


async def test_l24_jobs_of_another_sandbox_are_not_looked_for_in_one_of_its_own(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz")
    await against(box, tmp_path, "batch", rows, "-o", "out")
    done = command(tmp_path, "resume", "out", "--sandbox", "--retry", "missing")
    assert done.returncode == 2
    assert "jobs of another sandbox" in done.stderr


async def test_l24_status_says_which_files_are_missing_or_changed(
    box: Sandbox, tmp_path: Path
) -> None:
    await damaged(box, tmp_path)
    done = command(tmp_path, "status", "out")
    assert done.returncode == 8
    assert done.stdout.splitlines()[-1] == (
        "files of done rows: 1 missing, 1 changed; such as row 1: 00001-waltz.wav is not there; "
        f"{FREE} downloads them again, free"
    )
    told = json.loads(command(tmp_path, "status", "out", "--json").stdout)["faults"]
    advice = f"{FREE} downloads them again, free"
    assert told == NONE | {"missing": 1, "changed": 1, "advice": advice}


async def test_l24_verify_names_each_file_and_reads_them(box: Sandbox, tmp_path: Path) -> None:
    files = await finished(box, tmp_path)
    files[0].unlink()
    other_bytes(files[2])
    done = command(tmp_path, "verify", "out")
    assert done.returncode == 8
    assert done.stdout == (
        "missing    row 1: 00001-waltz.wav is not there\n"
        "changed    row 3: 00003-raga.wav has the same size, but other content\n"
    )
    assert done.stderr == (
        f"1 of 3 files are as they were saved\ndownload them again, free, with: {FREE}\n"
    )


async def test_l24_what_is_called_free_pays_for_no_row_that_is_not_sent_yet(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "techno", "raga")
    await against(box, tmp_path, "batch", rows, "-o", "out", "--limit", "2")
    (tmp_path / "out/00001-waltz.wav").unlink()
    told = command(tmp_path, "status", "out").stdout
    verified = last_line(command(tmp_path, "verify", "out").stderr)
    assert f"{FREE} --limit 0 downloads them again, free" in told
    assert verified.endswith(f"{FREE} --limit 0")
    done = await against(box, tmp_path, *verified.split("modelslab-async ")[1].split())
    assert (done.returncode, done.stdout) == (9, "out/00001-waltz.wav\n"), done.stderr
    idle = await against(box, tmp_path, "resume", "out", "--limit", "0")
    assert (idle.returncode, len(box.book.debits)) == (9, 2), idle.stderr


def test_l24_all_advice_that_is_called_free_pays_for_no_row_that_is_not_sent_yet() -> None:
    free = {state for state, advice in ADVICE.items() if "free" in advice.effect}
    assert free == {"submitted", "ready", "detached", "output_lost"}
    for state in free:
        words = {"program": "program", "place": "out", "unpaid": " --limit 0"}
        assert " --limit 0" in ADVICE[state].text(words)


async def test_l24_verify_gives_one_event_a_line_in_json(box: Sandbox, tmp_path: Path) -> None:
    await damaged(box, tmp_path)
    done = command(tmp_path, "verify", "out", "--json")
    missing, changed, ended = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (8, "")
    assert {missing["event"], changed["event"]} == {"missing", "changed"}
    assert (missing["row"], missing["path"]) == (1, "00001-waltz.wav")
    assert ended["faults"] == NONE | {"missing": 1, "changed": 1}
    assert (ended["checked"], ended["exit_code"], ended["resume"]) == (3, 8, FREE)


async def test_l24_verify_of_a_whole_batch_is_quiet_and_needs_no_key(
    box: Sandbox, tmp_path: Path
) -> None:
    await finished(box, tmp_path)
    done = command(tmp_path, "verify", "out")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "3 of 3 files are as they were saved\n"
    ended: Any = json.loads(command(tmp_path, "verify", "out", "--json").stdout)
    assert (ended["faults"], ended["exit_code"], ended["resume"]) == (NONE, 0, None)


def _fault(kind: FaultKind) -> FileFault:
    return FileFault(row=1, id="a", path="a\x1b[31m.wav", kind=kind, reason="cannot be read: I/O")


@pytest.mark.parametrize(
    ("kinds", "code", "lost"),
    [
        ([], 0, 0),
        ([FaultKind.UNREADABLE], 1, 0),
        ([FaultKind.UNREADABLE, FaultKind.MISSING], 8, 1),
        ([FaultKind.CHANGED, FaultKind.UNREADABLE, FaultKind.CHANGED], 8, 2),
    ],
)
def test_l24_a_file_that_cannot_be_read_is_neither_missing_nor_fine(
    kinds: list[FaultKind], code: int, lost: int
) -> None:
    check = FileCheck.of(map(_fault, kinds))
    assert (check.exit_code, check.lost) == (code, lost)
    assert "\x1b" not in check.words


def test_l24_verify_of_what_is_no_batch_is_code_5(tmp_path: Path) -> None:
    done = command(tmp_path, "verify", str(tmp_path))
    assert done.returncode == 5
    assert "there is no batch in" in done.stderr


def test_l24_completion_knows_verify_and_missing(tmp_path: Path) -> None:
    for words, incomplete, suggestion in (
        ("modelslab-async\nver", "ver", "verify\t"),
        ("modelslab-async\nresume\nout\n--retry\nmis", "mis", "missing"),
    ):
        done = command(
            tmp_path,
            _MODELSLAB_ASYNC_COMPLETE="powershell_complete",
            COMP_WORDS=words,
            COMP_INCOMPLETE=incomplete,
        )
        assert done.stdout.startswith(suggestion)
