"""Five tasks of somebody who has never used the command, each on a terminal as they see it."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest

from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.batches import quick
from ..support.screens import BEFORE, Terminal, on_screen, shown_by
from .test_cli import reaches, wavs

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[2] / "README.md"
T = TypeVar("T")


def prompts(tmp_path: Path, lines: Sequence[str]) -> str:
    (tmp_path / "prompts.txt").write_text("".join(f"{line}\n" for line in lines))
    return "prompts.txt"


def words(printed: str) -> list[str]:
    """The arguments of a command that stands on the screen or in the README."""
    return shlex.split(printed.rpartition("modelslab-async ")[2])


def text(lines: list[str]) -> str:
    """What a person reads, wherever the terminal has broken a line."""
    return "".join(lines)


async def watched(act: Callable[[], T]) -> T:
    """What a person does, while the sandbox of this process answers."""
    return await anyio.to_thread.run_sync(act)


def to_its_end(terminal: Terminal) -> None:
    while terminal.read():
        pass


def test_one_from_the_readme_to_the_first_sounds(tmp_path: Path) -> None:
    block = README.read_text().partition("```bash\n")[2].partition("\n```")[0]
    code, lines = shown_by(tmp_path, *words(block))
    assert code == 0
    made = wavs(tmp_path / "modelslab-demo")
    assert len(made) == 6
    assert {f"modelslab-demo/{name}" for name in made} <= set(lines)
    [own] = re.findall(r"Your own: (.*)", "\n".join(lines))
    code, lines = shown_by(tmp_path, *words(own))
    assert (code, lines[0], lines[-1]) == (0, BEFORE, "sitar.wav")
    assert (tmp_path / "sitar.wav").read_bytes()[:4] == b"RIFF"


async def test_two_three_of_twelve_rows_fail_and_the_printed_command_mends_it(
    tmp_path: Path,
) -> None:
    refused = Fault(
        on="submit",
        kind="answer",
        status=400,
        body='{"status": "error", "message": "not this prompt"}',
        accepted=False,
        times=3,
        prompt="odd",
    )
    lines = [f"{'odd' if row in (2, 7, 11) else 'fine'} waltz {row}" for row in range(1, 13)]
    start = ("batch", prompts(tmp_path, lines), "-o", "out")
    async with Sandbox(quick(refused)) as box:
        env = reaches(box)
        code, shown = await watched(lambda: shown_by(tmp_path, *start, environ=env))
        assert code == 8
        assert {f"out/{name}" for name in wavs(tmp_path)} <= set(shown)
        assert len(wavs(tmp_path)) == 9
        for row in (2, 7, 11):
            assert re.search(rf"error: row {row} \(\w+\): .*prompt", text(shown))
        [why] = re.findall(r"3 rows have no file; (.*) says why", text(shown))
        code, shown = await watched(lambda: shown_by(tmp_path, *words(why), environ=env))
        assert code == 0
        [mend] = re.findall(r"refused, not paid for: (.*--retry rejected)", text(shown))
        code, shown = await watched(lambda: shown_by(tmp_path, *words(mend), environ=env))
        assert (code, len(wavs(tmp_path)), len(box.book.debits)) == (0, 12, 12)
        assert shown[-1].startswith("12 of 12 done")


async def test_three_the_same_command_after_ctrl_c_pays_for_nothing_twice(tmp_path: Path) -> None:
    rows = prompts(tmp_path, [f"waltz {number}" for number in range(40)])
    start = ("batch", rows, "-o", "out", "--max-jobs", "10")
    async with Sandbox(quick(), slots=10) as box:
        env = reaches(box)

        def interrupt() -> list[str]:
            with on_screen(tmp_path, *start, environ=env) as (terminal, process):
                terminal.until(lambda lines: any(line.endswith(".wav") for line in lines))
                process.send(signal.SIGINT)
                to_its_end(terminal)
                assert process.wait() == 130
                assert not terminal.cursor_hidden
                return terminal.lines()

        shown = await watched(interrupt)
        assert shown[-1].startswith("resume with: ")
        paid = len(box.book.debits)
        assert 0 < paid < 40
        code, shown = await watched(lambda: shown_by(tmp_path, *start, environ=env))
        assert (code, len(wavs(tmp_path)), len(box.book.debits)) == (0, 40, 40)
        assert shown[-1].startswith("40 of 40 done")


def test_three_in_a_sandbox_of_its_own_the_same_command_continues(tmp_path: Path) -> None:
    start = ("batch", prompts(tmp_path, [f"waltz {n}" for n in range(24)]), "--sandbox")
    with on_screen(tmp_path, *start) as (terminal, process):
        terminal.until(lambda lines: any(line.endswith(".wav") for line in lines))
        process.send(signal.SIGINT)
        to_its_end(terminal)
        assert process.wait() == 130
    paths = {line for line in terminal.lines() if line.startswith("prompts-batch/")}
    assert paths <= {f"prompts-batch/{name}" for name in wavs(tmp_path)}
    assert 0 < len(paths) < 24
    code, shown = shown_by(tmp_path, *start)
    assert (code, len(wavs(tmp_path))) == (0, 24)
    assert shown[-1].startswith("24 of 24 done")
    _, *jobs = (tmp_path / "prompts-batch/sandbox.jsonl").read_text().splitlines()
    assert len({json.loads(job)["request"]["prompt"] for job in jobs}) == len(jobs) == 24


def test_four_a_plan_of_five_thousand_rows(tmp_path: Path) -> None:
    rows = prompts(tmp_path, [f"waltz {number}" for number in range(5000)])
    code, shown = shown_by(tmp_path, "batch", rows, "-n", "--price-per-job", "0.01", columns=100)
    assert code == 0
    assert shown[0] == BEFORE
    assert shown[1] == "5000 rows, 0 done, 0 paid for and unfinished, in prompts-batch"
    assert re.match(r"5000 jobs, \d+ h .* of audio, about [\d.]+ GB, price 50\b", shown[2])
    assert [line.split() for line in shown[4:7]] == [
        [f"0000{number + 1}-waltz-{number}.wav", "waltz", f"{number}"] for number in range(3)
    ]
    assert not (tmp_path / "prompts-batch").exists()


async def test_four_a_few_rows_then_the_rest_and_a_deleted_file_brought_again_free(
    tmp_path: Path,
) -> None:
    rows = prompts(tmp_path, [f"waltz {number}" for number in range(30)])
    start = ("batch", rows, "-o", "out", "--max-jobs", "10")
    async with Sandbox(quick(), slots=10) as box:
        env = reaches(box)
        few = (*start, "--limit", "5")
        code, shown = await watched(lambda: shown_by(tmp_path, *few, environ=env))
        assert (code, len(wavs(tmp_path))) == (9, 5)
        assert shown[-1].startswith("resume with: ")

        def rest() -> tuple[int, int, str]:
            with on_screen(tmp_path, *start, environ=env) as (one, batch):
                one.until(lambda lines: any(" of 30 done" in line for line in lines))
                with on_screen(tmp_path, "status", "out", "--watch") as (two, status):
                    two.until(lambda lines: any("works on it" in line for line in lines))
                    to_its_end(one)
                    to_its_end(two)
                    return batch.wait(), status.wait(), text(two.lines())

        code, watching, seen = await watched(rest)
        assert (code, watching, len(wavs(tmp_path))) == (0, 0, 30)
        assert re.search(r"30 done +", seen)

        (tmp_path / "out/00003-waltz-2.wav").unlink()
        code, shown = await watched(lambda: shown_by(tmp_path, "status", "out", environ=env))
        assert code == 8
        assert "1 missing; such as row 3: 00003-waltz-2.wav is not there" in text(shown)
        [bring] = re.findall(r"is not there; (.*) downloads them again, free", text(shown))
        code, shown = await watched(lambda: shown_by(tmp_path, *words(bring), environ=env))
        assert (code, len(wavs(tmp_path)), len(box.book.debits)) == (0, 30, 30)
        assert "out/00003-waltz-2.wav" in shown


async def test_five_a_batch_refuses_the_key_of_somebody_else_in_words(tmp_path: Path) -> None:
    rows = prompts(tmp_path, ["waltz", "raga"])
    start = ("batch", rows, "-o", "out")
    async with Sandbox(Scenario(mode="sync", generation_seconds=0)) as box:
        env = reaches(box)
        few = (*start, "--limit", "1")
        code, _ = await watched(lambda: shown_by(tmp_path, *few, environ=env))
        assert code == 9
        theirs = {**env, "MODELSLAB_API_KEY": "somebody-elses-key-0000"}
        code, shown = await watched(lambda: shown_by(tmp_path, *start, environ=theirs))
        assert (code, len(box.book.debits), len(wavs(tmp_path))) == (3, 1, 1)
        assert "this run uses another key" in text(shown)
        assert "somebody-elses" not in text(shown)
