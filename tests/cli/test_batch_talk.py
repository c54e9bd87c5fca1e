"""What a batch says on a terminal, elsewhere, as JSON, and when it is stopped."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from modelslab_async import RowState
from modelslab_async._cli.batch_progress import Lines, ProgressLine
from modelslab_async._cli.console import Console
from modelslab_async.sandbox import Sandbox, Scenario

from ..support.batches import quick
from ..support.commands import loaded
from ..support.forking import fork
from ..support.manifests import last_line, manifest
from ..support.screens import on_screen
from .test_cli import COMMAND, QUICK, against, command, environment, reaches, started, wavs
from .test_stopping import ENDLESS, SLOW_ANSWER, running, until
from .test_talk import KEY, on_a_terminal

pytestmark = pytest.mark.anyio

COMMANDS = ("batch", "resume", "status", "verify", "reconcile")


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_and_loads_no_event_loop_no_network_and_no_database(
    tmp_path: Path, name: str
) -> None:
    done = subprocess.run(
        [COMMAND[0], "-X", "importtime", *COMMAND[1:], name, "--help"],
        env=environment(tmp_path, COVERAGE_PROCESS_CONFIG=""),  # which would load its own
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & {"aiohttp", "asyncio", "anyio", "rich", "cattrs", "sqlite3"}
    assert f"modelslab-async {name}" in done.stdout.partition("Options:")[0].partition("Example")[2]


def test_the_sandbox_examples_of_the_help_run(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a waltz\n")
    lines = [line.strip() for line in (loaded("batch").help or "").splitlines()]
    examples = [line for line in lines if re.search(r"modelslab-async batch --sandbox", line)]
    assert len(examples) == 2
    for example in examples:
        _, _, words = example.rpartition("modelslab-async ")
        done = started(tmp_path, *shlex.split(words), stdin="waltz\ntechno\n")
        assert done.returncode == 0, done.stderr


# --- elsewhere than on a terminal -----------------------------------------------------------------


async def test_there_is_one_line_for_each_row_that_ends(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        done = await against(
            box, tmp_path, "batch", manifest(tmp_path, "waltz"), "--price-per-job", "1"
        )
    *read, first, saved, last = done.stderr.splitlines()
    assert read == ["manifest: JSONL, one object per line; 1 row", "  00001-waltz.wav  waltz"]
    assert first.startswith("1 row in rows-batch, with http://127.0.0.1:")
    assert re.fullmatch(r"row 1 \(\w+\): saved, 5\.1 s, 32000 Hz, stereo, 0\.\d MB", saved)
    assert last.startswith("1 of 1 done; ")


def test_a_summary_is_not_repeated_while_nothing_moves(capfd: pytest.CaptureFixture[str]) -> None:
    reporter = Lines(Console())
    counts = dict.fromkeys(RowState, 0) | {RowState.DONE: 2, RowState.PLANNED: 3}
    reporter.stats.cost = 1.5
    for _ in range(2):
        reporter.tick(ProgressLine(counts, []))
    assert reporter.interval >= 10
    assert capfd.readouterr().err == "2 of 5 done, 3 waiting; 0.0 MB; cost 1.5\n"


async def test_quiet_says_nothing_and_still_gives_the_paths(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        done = await against(box, tmp_path, "batch", manifest(tmp_path, "waltz"), "-q")
    assert (done.stdout, done.stderr) == ("rows-batch/00001-waltz.wav\n", "")


async def test_json_gives_an_event_a_line(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        rows = manifest(tmp_path, "waltz", "raga")
        done = await against(box, tmp_path, "batch", rows, "--json", "--max-jobs-total", "1")
        [job] = box.book.jobs.values()
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["schema_version"] for event in events} == {1}
    [saved, ended] = [event for event in events if event["event"] != "progress"]
    assert (saved["event"], saved["track_id"]) == ("succeeded", str(job.track_id))
    assert (saved["row"], saved["paths"]) == (1, ["rows-batch/00001-waltz.wav"])
    assert (ended["event"], ended["exit_code"], ended["counts"]["planned"]) == ("ended", 9, 1)
    assert ended["resume"].startswith("modelslab-async resume rows-batch")
    error = json.loads(done.stderr)["error"]
    assert (error["code"], error["exit_code"], error["hint"]) == (
        "limit_reached",
        9,
        ended["resume"],
    )


async def test_json_tells_of_rows_that_fail_and_of_rows_that_cannot_be_used(
    tmp_path: Path,
) -> None:
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, failure_probability=1)) as box:
        done = await against(box, tmp_path, "batch", manifest(tmp_path, "waltz"), "--json")
    failed, ended = (json.loads(line) for line in done.stdout.splitlines())
    assert (failed["event"], failed["row"], ended["exit_code"]) == ("failed", 1, 8)
    assert failed["error"]["message"]
    (tmp_path / "bad").write_text("{}\n{}\n")
    error = json.loads(command(tmp_path, "batch", "bad", "--json").stderr)["error"]
    assert (error["code"], error["exit_code"]) == ("request_error", 2)
    assert "line 2: " in error["message"]


# --- terminals ------------------------------------------------------------------------------------


def test_on_a_terminal_there_are_bars_and_stdout_stays_clean(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "[bold]waltz", "raga")
    code, output, shown = on_a_terminal(tmp_path, "batch", rows, "--sandbox", "-o", "out")
    assert code == 0
    assert sorted(output.split()) == ["out/00001-bold-waltz.wav", "out/00002-raga.wav"]
    assert "\x1b[" in shown
    assert "[bold]waltz" in shown
    assert "0 of 2 done, 2 in queue" in shown
    assert "2 of 2 done" in shown


def test_several_paid_jobs_are_asked_about_once(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    code, output, shown = on_a_terminal(
        tmp_path, "batch", rows, "--max-jobs-total", "1", typed="n\n", MODELSLAB_API_KEY=KEY
    )
    assert (code, output) == (1, "")
    question = (
        "2 jobs, 10 s of audio, about 1.3 MB, price unknown (and no more than 1 job in all runs). "
        "Continue? [y/N]"
    )
    assert shown.replace("\r\n", "").count(question) == 1
    assert "nothing was sent" in shown
    assert not (tmp_path / "rows-batch").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["batch", "-", "-o", "out"], "use a pipe"), (["batch", "rows.jsonl", "--no-input"], "--yes")],
    ids=["stdin", "no input"],
)
def test_code_2_where_nobody_can_answer(tmp_path: Path, arguments: list[str], says: str) -> None:
    manifest(tmp_path, "waltz", "raga")
    code, _, shown = on_a_terminal(tmp_path, *arguments, MODELSLAB_API_KEY=KEY)
    assert code == 2
    assert says in shown


# --- stopping -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
async def test_a_signal_submits_nothing_more_and_the_last_line_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    rows = manifest(tmp_path, "waltz", "raga", "techno")
    slow = Scenario(generation_seconds=3600, eta="float", eta_factor=0.0001)
    async with Sandbox(slow) as box:
        arguments = ("batch", rows, "-o", "out", "--max-jobs", "2", "-v")
        async with running(box, tmp_path, *arguments) as cli:
            await cli.says("accepted", times=2)
            cli.send(number)
            assert await cli.ended() == (code, "")
        assert last_line(cli.said) == "resume with: modelslab-async resume out --max-jobs 2"
        assert len(box.book.debits) == 2
        box.scenario = QUICK
        box.advance(3600)
        done = await against(box, tmp_path, "resume", "out")
        assert (done.returncode, len(box.book.debits), len(wavs(tmp_path))) == (0, 3, 3)


async def test_an_answer_on_its_way_is_awaited_and_written_down(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz")
    async with Sandbox(SLOW_ANSWER) as box:
        async with running(box, tmp_path, "batch", rows, "-o", "out") as cli:
            await until(lambda: box.book.debits)
            cli.send(signal.SIGINT)
            await cli.says("stopping")
            box.advance(3600)
            assert (await cli.ended())[0] == 130
        done = await against(box, tmp_path, "resume", "out")
        assert (done.returncode, len(box.book.debits)) == (0, 1), done.stderr


async def test_the_second_signal_leaves_at_once_and_still_says_how_to_go_on(
    tmp_path: Path,
) -> None:
    rows = manifest(tmp_path, "waltz")
    async with (
        Sandbox(SLOW_ANSWER) as box,
        running(box, tmp_path, "batch", rows, "-o", "out") as cli,
    ):
        await until(lambda: box.book.debits)
        cli.send(signal.SIGINT)
        await cli.says("stopping")
        cli.send(signal.SIGINT)
        assert (await cli.ended())[0] == 130
        assert last_line(cli.said) == "resume with: modelslab-async resume out"


async def test_with_json_the_stop_is_json_too(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz")
    async with (
        Sandbox(ENDLESS) as box,
        running(box, tmp_path, "batch", rows, "-o", "out", "--json", "-v") as cli,
    ):
        await cli.says("accepted")
        cli.send(signal.SIGTERM)
        code, output = await cli.ended()
        ended = json.loads(last_line(output))
        assert (code, ended["exit_code"], ended["counts"]["submitted"]) == (143, 143, 1)
        error = json.loads(last_line(cli.said))["error"]
        assert (error["hint"], error["exit_code"]) == ("modelslab-async resume out", 143)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["accepted", "saved"])
async def test_a_batch_in_a_sandbox_of_its_own_goes_on_where_it_was_stopped(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    rows = manifest(tmp_path, *(f"waltz {number}" for number in range(4)))
    start = ("batch", rows, "-o", "out", "--sandbox", "--max-jobs", "2")
    async with Sandbox() as box, running(box, tmp_path, *start, "-v") as cli:
        await cli.says(moment)
        cli.send(number)
        await cli.ended()
    if number == signal.SIGINT:
        advice = "resume with: modelslab-async resume out --max-jobs 2 --sandbox"
        assert last_line(cli.said) == advice
    again = command(tmp_path, "resume", "out", "--sandbox")
    if again.returncode == 8:  # killed between the decision to send and the request
        sent = command(tmp_path, "reconcile", "out", "--sandbox", "--resubmit", "all", "--yes")
        assert sent.returncode == 0, sent.stderr
        again = command(tmp_path, "resume", "out", "--sandbox")
    assert (again.returncode, len(wavs(tmp_path))) == (0, 4), again.stderr
    _, *lines = (tmp_path / "out/sandbox.jsonl").read_text().splitlines()
    account = map(json.loads, lines)
    assert sorted(job["request"]["prompt"] for job in account) == [f"waltz {n}" for n in range(4)]


async def test_rows_of_a_sandbox_of_its_own_can_be_reconciled(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz")
    assert command(tmp_path, "batch", rows, "-o", "out", "--sandbox").returncode == 0
    asked = command(tmp_path, "reconcile", "out", "--sandbox")
    assert asked.returncode == 0, asked.stderr
    assert "asking a sandbox" in asked.stderr


# --- why nothing moves ----------------------------------------------------------------------------

FULL = evolve(QUICK, taken_slots=5, taken_seconds=1.5, retry_after=2)


async def test_a_full_queue_is_named_once_and_without_being_asked(tmp_path: Path) -> None:
    async with Sandbox(FULL) as box:
        done = await against(box, tmp_path, "batch", manifest(tmp_path, "waltz", "polka"))
    assert done.returncode == 0
    assert done.stderr.count("the account's queue is full (limit 5), next try in 2 s") == 1


async def test_a_full_queue_is_an_event(tmp_path: Path) -> None:
    async with Sandbox(FULL) as box:
        done = await against(box, tmp_path, "batch", manifest(tmp_path, "waltz"), "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (waiting,) = [event for event in events if event["event"] == "waiting"]
    assert waiting["reason"] == "the account's queue is full (limit 5)"
    assert waiting["track_id"] == events[-2]["track_id"]


@pytest.mark.parametrize("name", ["batch", "generate"])
async def test_a_full_queue_is_on_the_screen_while_it_is_full(name: str, tmp_path: Path) -> None:
    async with Sandbox(FULL) as box:
        asked = [manifest(tmp_path, "waltz")] if name == "batch" else ["waltz"]

        def watch() -> int:
            arguments = (name, *asked, "-o", "out/")
            with on_screen(tmp_path, *arguments, environ=reaches(box)) as (terminal, process):
                terminal.until(lambda lines: "queue is full" in " ".join(lines))
                while terminal.read():
                    pass
                assert "queue is full" not in " ".join(terminal.lines())
                return process.wait()

        assert await anyio.to_thread.run_sync(watch) == 0


# --- a reader that has enough ---------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["paths", "json"])
async def test_head_stops_new_submits_and_what_is_paid_for_is_finished(
    arguments: list[str], tmp_path: Path
) -> None:
    many = [f"piece {number}" for number in range(12)]
    async with Sandbox(quick()) as box:
        rows = manifest(tmp_path, *many)
        start = ("batch", rows, "-o", "out", "-y", "--max-jobs", "2", *arguments)
        env = environment(tmp_path, **reaches(box))
        with (tmp_path / "said").open("wb") as said:
            reader, writer = os.pipe()
            os.close(reader)  # as soon as anything is written, nobody reads it
            three = (os.open(os.devnull, os.O_RDONLY), writer, said.fileno())
            with fork(start, tmp_path, env, three) as process:
                for number in three[:2]:
                    os.close(number)
                code = await anyio.to_thread.run_sync(process.wait)
        text = (tmp_path / "said").read_text()
        paid = len(box.book.debits)
        assert (code, len(wavs(tmp_path))) == (141, paid)
        assert 0 < paid < 12
        assert "Traceback" not in text
        if not arguments:
            assert last_line(text) == "resume with: modelslab-async resume out --max-jobs 2"
        done = await against(box, tmp_path, "resume", "out", "-y")
        assert (done.returncode, len(box.book.debits)) == (0, 12), done.stderr
