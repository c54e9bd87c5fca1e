"""What stands on a terminal that is stdin, stdout and stderr at once: results stay, bars move."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import anyio.to_thread
import pyte
import pytest

from modelslab_async import MusicGen
from modelslab_async._cli.bars import Line, composed, shown
from modelslab_async._cli.console import Console
from modelslab_async._cli.kept_ids import KeptIds
from modelslab_async._cli.track_results import _keep
from modelslab_async._cli.tracks import Track
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.batches import quick
from ..support.lacking import failing
from ..support.screens import BEFORE, on_screen, shown_by
from .test_cli import QUICK, against, reaches, wavs
from .test_stopping import ENDLESS, running

WIDTHS = (60, 80, 200)
PROMPTS = [f"waltz number {number}" for number in range(12)]


def rows(tmp_path: Path) -> str:
    (tmp_path / "rows.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    return "rows.txt"


def joined(lines: list[str]) -> str:
    """What a person reads who does not mind where a long line was broken."""
    return "".join(lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_path_of_a_batch_stays_on_the_screen(columns: int, tmp_path: Path) -> None:
    arguments = ("batch", rows(tmp_path), "--sandbox", "-o", "out")
    code, lines = shown_by(tmp_path, *arguments, columns=columns)
    assert code == 0
    assert lines[0] == BEFORE
    paths = {f"out/{name}" for name in wavs(tmp_path)}
    assert len(paths) == 12
    assert paths <= set(lines)
    assert lines[-1].startswith("12 of 12 done")
    assert "\u2501" not in joined(lines)


@pytest.mark.parametrize(
    "words",
    [
        *("balance", "voices", "doctor", "fetch 1 -o x/", "sandbox", "generate waltz"),
        *("speak hello -o x/", "transcribe https://example.org/a.mp3", "batch -y rows.txt -o out"),
    ],
)
def test_something_is_seen_before_the_first_answer(tmp_path: Path, words: str) -> None:
    rows(tmp_path)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()  # and never answers
        environ = {
            "MODELSLAB_BASE_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}",
            "MODELSLAB_API_KEY": "a-key-that-is-long-enough",
        }
        with on_screen(tmp_path, *words.split(), environ=environ) as (terminal, _):
            terminal.until(lambda lines: any(line.strip() for line in lines if line != BEFORE))


REFUSED = '{"status": "error", "message": "not this prompt"}'


@pytest.mark.anyio
@pytest.mark.parametrize("columns", WIDTHS)
async def test_every_failed_row_stays_on_the_screen(columns: int, tmp_path: Path) -> None:
    refused = Fault(
        on="submit", kind="answer", status=400, body=REFUSED, accepted=False, times=None
    )
    async with Sandbox(quick(refused)) as box:
        code, lines = await anyio.to_thread.run_sync(
            lambda: shown_by(
                tmp_path,
                *("batch", rows(tmp_path), "-o", "out"),
                columns=columns,
                environ=reaches(box),
            )
        )
    assert code == 8
    assert lines[0] == BEFORE
    for row in range(1, 13):
        assert re.search(rf"error: row {row}\b", joined(lines))
    assert "12 rows have no file" in joined(lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_track_of_the_demo_stays_on_the_screen(columns: int, tmp_path: Path) -> None:
    code, lines = shown_by(tmp_path, "demo", "-o", "d", columns=columns)
    assert code == 0
    assert lines[0] == BEFORE
    assert {f"d/{name}" for name in wavs(tmp_path)} <= set(lines)
    assert joined(lines).count(": saved, ") == 6
    assert "Listen:" in joined(lines)
    assert "\u2501" not in joined(lines)


def test_paths_that_go_to_a_file_leave_the_screen_to_the_rest(tmp_path: Path) -> None:
    arguments = ("batch", rows(tmp_path), "--sandbox", "-o", "out")
    with (tmp_path / "paths.txt").open("wb") as file:
        code, lines = shown_by(tmp_path, *arguments, stdout=file.fileno())
    assert code == 0
    assert sorted((tmp_path / "paths.txt").read_text().split()) == [
        f"out/{name}" for name in wavs(tmp_path)
    ]
    assert lines[0] == BEFORE
    assert lines[-1].startswith("12 of 12 done")
    assert joined(lines[1:-1]).endswith("price unknown")
    assert "\u2501" not in joined(lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_bars_stand_below_what_is_final_while_a_batch_runs(columns: int, tmp_path: Path) -> None:
    arguments = ("batch", rows(tmp_path), "--sandbox", "-o", "out")
    with on_screen(tmp_path, *arguments, columns=columns) as (terminal, process):
        terminal.until(lambda lines: any(line.endswith(".wav") for line in lines))
        terminal.until(lambda lines: any(" of 12 done" in line for line in lines))
        lines = terminal.lines()
        final = [at for at, line in enumerate(lines) if line.endswith(".wav")]
        moving = next(at for at, line in enumerate(lines) if line.startswith("all"))
        assert all(at < moving for at in final)
        assert lines[0] == BEFORE
        while terminal.read():
            pass
        assert process.wait() == 0


@pytest.mark.parametrize("columns", WIDTHS)
def test_ctrl_c_leaves_every_path_and_the_way_on(columns: int, tmp_path: Path) -> None:
    arguments = ("batch", rows(tmp_path), "--sandbox", "-o", "out")
    with on_screen(tmp_path, *arguments, columns=columns) as (terminal, process):
        terminal.until(lambda lines: any(line.endswith(".wav") for line in lines))
        process.send(signal.SIGINT)
        while terminal.read():
            pass
        assert process.wait() == 130
    lines = terminal.lines()
    assert lines[0] == BEFORE
    assert (
        {f"out/{name}" for name in wavs(tmp_path)}
        >= {line for line in lines if line.endswith(".wav")}
        != set()
    )
    assert "warning: stopping" in joined(lines)
    assert "\u2501" not in joined(lines)
    assert not terminal.cursor_hidden


def test_after_ctrl_z_nothing_that_the_shell_wrote_is_erased(tmp_path: Path) -> None:
    arguments = ("batch", rows(tmp_path), "--sandbox", "-o", "out")
    with on_screen(tmp_path, *arguments) as (terminal, process):
        terminal.until(lambda lines: any(line.startswith("all") for line in lines))
        process.send(signal.SIGSTOP)
        terminal.feed(b"[1]+  Stopped\r\n$ fg\r\n")
        process.send(signal.SIGCONT)
        while terminal.read():
            pass
        assert process.wait() == 0
    assert {"[1]+  Stopped", "$ fg"} <= set(terminal.lines())


# The lines themselves


@pytest.mark.parametrize("columns", [20, 40, 59, 60, 80, 200])
@pytest.mark.parametrize("name", ["waltz", "\u97f3\u697d" * 30, "x" * 300, ""])
def test_no_moving_line_is_wider_than_the_terminal(columns: int, name: str) -> None:
    lines = [Line("all", 0.5, "5 of 10"), Line(name, None, "job 310815, 12 s, eta 30 s")]
    for line in composed(lines, columns, colored=False):
        screen = pyte.Screen(columns, 2)
        pyte.Stream(screen).feed(line)
        assert screen.cursor.y == 0


def test_on_a_narrow_terminal_names_and_bars_go_before_figures() -> None:
    words = "4 of 12 done, 5 in queue; 10.2 per minute, about 30 s left; 3.2 MB; cost 1.25"
    rows = [Line("a long name of a track, which says much", 0.5, "job 310815, 12 s")]
    lines = shown(Line("all", 0.3, "4 of 12"), words, rows, (59, 24), colored=True)
    assert " ".join(lines[1:-1]) == words
    assert lines[-1].endswith("job 310815, 12 s")
    assert "\u2501" not in lines[-1]


def test_there_are_never_more_moving_lines_than_the_terminal_has() -> None:
    rows = [Line("x", 0.5, "1 s")] * 20
    assert len(shown(Line("all", 0.3, "4 of 12"), "words", rows, (80, 9), colored=False)) == 9


@pytest.mark.parametrize(("columns", "lines"), [(1, 1), (1, 24), (2, 24), (200, 1)])
@pytest.mark.parametrize("name", ["batch", "generate"])
def test_h10_no_size_of_a_terminal_costs_a_file(
    columns: int, lines: int, name: str, tmp_path: Path
) -> None:
    asked = [rows(tmp_path)] if name == "batch" else PROMPTS
    arguments = (name, *asked, "--sandbox", "-o", "out/")
    with on_screen(tmp_path, *arguments, columns=columns, lines=lines) as (terminal, process):
        while terminal.read():
            pass
        assert process.wait() == 0, terminal.raw
    assert len(wavs(tmp_path)) == 12


# H09: a terminal that goes away


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["batch", "generate"])
@pytest.mark.parametrize("with_stdout", [True, False], ids=["both", "stderr alone"])
async def test_h09_a_run_whose_terminal_goes_away_ends_as_if_it_were_there(
    name: str, with_stdout: bool, tmp_path: Path
) -> None:
    asked = [rows(tmp_path)] if name == "batch" else PROMPTS
    arguments = (name, *asked, "-o", "out/", "--yes")

    def run(file: IO[bytes], box: Sandbox) -> int:
        stdout = None if with_stdout else file.fileno()
        with on_screen(tmp_path, *arguments, stdout=stdout, environ=reaches(box)) as (
            terminal,
            process,
        ):
            terminal.until(lambda lines: any(line.startswith("all") for line in lines))
            terminal.hang_up()
            return process.wait()

    with (tmp_path / "paths.txt").open("wb") as file:
        async with Sandbox(Scenario(generation_seconds=0.3, eta="float")) as box:
            code = await anyio.to_thread.run_sync(run, file, box)
            assert len(box.book.debits) == 12
    assert code == 0
    assert len(wavs(tmp_path)) == 12
    if not with_stdout:
        assert len((tmp_path / "paths.txt").read_text().split()) == 12


@pytest.mark.anyio
async def test_h09_accepted_jobs_are_in_a_file_while_they_are_not_saved(tmp_path: Path) -> None:
    async with (
        Sandbox(ENDLESS) as box,
        running(box, tmp_path, "generate", "a", "b", "-o", "x/", "--max-jobs", "1") as cli,
    ):
        await cli.says("accepted")
        (kept,) = (tmp_path / "x").glob("modelslab-jobs-*.txt")
        assert f"are in {kept.relative_to(tmp_path)} until" in cli.said
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        cli.send(signal.SIGKILL)
        await cli.ended()
    lines = kept.read_text().splitlines()
    (job,) = box.book.jobs.values()
    assert [json.loads(line)["id"] for line in lines if line.startswith("{")] == [f"{job.id}"]
    assert any(line.startswith(f"# asked for: track_id {job.track_id}: ") for line in lines)


@pytest.mark.anyio
async def test_h09_the_file_of_ids_is_what_fetch_reads(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        await against(box, tmp_path, "generate", "a", "-o", "a.wav")
        kept = KeptIds(tmp_path, [Track("rain", MusicGen("rain", track_id=5), ["a.wav"])])
        kept.add("310815")
        done = await against(box, tmp_path, "fetch", f"@{kept.path}", "-o", "again/")
    assert (done.returncode, done.stdout) == (0, "again/310815.wav\n")


@pytest.mark.anyio
async def test_h09_the_file_of_ids_is_removed_when_no_job_is_unfinished(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        done = await against(box, tmp_path, "generate", "a", "b", "-o", "x/")
        failed = await against(box, tmp_path, "generate", "c", "-o", "x/", MODELSLAB_API_KEY="no")
    assert (done.returncode, failed.returncode) == (0, 3)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["a.wav", "b.wav"]


@pytest.mark.anyio
@pytest.mark.parametrize("on", ["submit", "download"])
async def test_h09_the_file_of_ids_stays_where_something_is_unknown_or_unsaved(
    on: str, tmp_path: Path
) -> None:
    lost = Fault(on=on, kind="reset" if on == "submit" else "html", times=None)  # type: ignore[arg-type]
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, faults=(lost,))) as box:
        await against(box, tmp_path, "generate", "a", "-o", "x/", "--timeout", "2")
    (kept,) = (tmp_path / "x").glob("modelslab-jobs-*.txt")
    assert "# asked for: track_id " in kept.read_text()


@pytest.mark.anyio
async def test_h09_a_disk_that_takes_no_ids_costs_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = Track("rain", MusicGen("rain", track_id=5), ["a.wav"])
    kept = KeptIds(tmp_path, [track])
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC))
    monkeypatch.setattr(Console, "warn", lambda _, text: said.append(text))
    said: list[str] = []
    _keep(Console(), kept, "{}")
    assert said == [f"{kept.path} cannot be written: {os.strerror(errno.ENOSPC)}"]
    kept.close()
    assert not kept.path.exists()


def test_h09_a_pipe_that_somebody_made_nonblocking_gets_every_path(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    filler = b"x" * 4096
    try:
        while True:
            os.write(write, filler)
    except BlockingIOError:
        pass
    with on_screen(tmp_path, "batch", rows(tmp_path), "--sandbox", "-o", "out", stdout=write) as (
        terminal,
        process,
    ):
        os.close(write)
        terminal.until(lambda lines: any(line.startswith("all") for line in lines))
        # The process may wait for either to be read.
        with os.fdopen(read, "rb") as file, ThreadPoolExecutor(1) as beside:
            written = beside.submit(file.read)
            while terminal.read():
                pass
        assert process.wait() == 0
    assert len(written.result().lstrip(b"x").split()) == 12
