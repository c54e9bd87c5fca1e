"""The commands ``status`` and ``reconcile`` as processes: what is stuck, and how it goes on."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelslab_async import Failed, RowState
from modelslab_async._cli.file_check import FileCheck
from modelslab_async._cli.status import Overview
from modelslab_async.batch import Runner, SoundSummary, StateSummary
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.batches import quick
from ..support.manifests import last_line, manifest, row
from ..support.quick import SOON_GIVEN_UP, client_of
from ..support.screens import on_screen
from .test_cli import QUICK, against, command, started_against, wavs
from .test_stopping import ENDLESS, running, until

pytestmark = pytest.mark.anyio

LATE = Scenario(mode="sync", generation_seconds=3600, fetch_meta=True)
NAMELESS = Scenario(mode="sync", generation_seconds=3600)
PRICE = {"MODELSLAB_ASYNC_PRICE_PER_JOB": "0.25"}


async def killed_before_an_answer(box: Sandbox, tmp_path: Path) -> None:
    """Leave a batch of one row whose job is paid for and whose id nobody knows; it finishes."""
    rows = manifest(tmp_path, "waltz")
    async with running(box, tmp_path, "batch", rows, "-o", "out") as cli:
        await until(lambda: box.book.debits)
        cli.send(signal.SIGKILL)
        await cli.ended()
    box.advance(3600)


def found(tmp_path: Path, *arguments: str) -> Any:
    """What ``status`` says in JSON."""
    done = command(tmp_path, "status", "out", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


# --- status ---------------------------------------------------------------------------------------


async def test_status_counts_and_says_what_is_stuck_and_what_to_do(tmp_path: Path) -> None:
    bad = Scenario(
        mode="sync", generation_seconds=0, failure_probability=1, failure_message="\x1b[31mno"
    )
    async with Sandbox(bad) as box:
        rows = manifest(tmp_path, "waltz", "raga", "techno")
        await against(box, tmp_path, "batch", rows, "-o", "out", "--max-jobs-total", "2")
    told = command(tmp_path, "status", "out")
    assert told.returncode == 0
    lines = told.stdout.splitlines()
    assert lines[0].startswith("3 rows, last change ")
    assert "modelslab-async resume out" in next(line for line in lines if "planned" in line)
    assert "\x1b" not in told.stdout
    states = found(tmp_path)["states"]
    [ended] = set(states) - {"planned"}
    assert (states["planned"]["rows"], states[ended]["rows"]) == (1, 2)
    assert f"--retry {ended}" in states[ended]["advice"]
    assert "no" in states[ended]["errors"][0]["example"]
    (tmp_path / "out").rename(tmp_path / "two words")
    assert "modelslab-async resume 'two words'" in command(tmp_path, "status", "two words").stdout


async def test_status_of_a_row_is_its_history(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(f"{row('waltz', id='2')}\n{row('raga')}\n")
    async with Sandbox(QUICK) as box:
        await against(box, tmp_path, "batch", "rows.jsonl", "-o", "out")
    by_id, by_number = found(tmp_path, "2"), found(tmp_path, "1")
    assert (by_id["details"]["prompt"], by_id["details"]["state"]) == ("waltz", "done")
    assert by_id == by_number
    assert [step["new"] for step in by_id["history"]] == ["submitting", "ready", "done"]
    told = command(tmp_path, "status", "out", "2")
    assert "planned -> submitting  attempt 1, track_id" in told.stdout
    assert "path = 00001-waltz.wav" in told.stdout


async def test_status_works_beside_a_run_and_a_second_run_is_told_of_the_first(
    tmp_path: Path,
) -> None:
    async with (
        Sandbox(ENDLESS) as box,
        running(box, tmp_path, "batch", manifest(tmp_path, "waltz"), "-o", "out", "-v") as cli,
    ):
        await cli.says("accepted")
        await until(lambda: "submitted" in found(tmp_path)["states"])  # it is said before
        assert found(tmp_path)["states"]["submitted"]["rows"] == 1
        second = await against(box, tmp_path, "resume", "out")
        assert second.returncode == 1
        assert "another process" in second.stderr
        assert len(box.book.debits) == 1
        cli.send(signal.SIGINT)
        await cli.ended()


@pytest.mark.parametrize("name", ["status", "reconcile"])
def test_code_5_where_there_is_no_batch(tmp_path: Path, name: str) -> None:
    done = command(tmp_path, name, "nowhere")
    assert done.returncode == 5
    assert "there is no batch in nowhere" in done.stderr


def test_a_batch_that_was_killed_before_its_ledger_was_begun_begins_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "out").mkdir()
    with closing(sqlite3.connect(tmp_path / "out" / "ledger.sqlite3")) as db:
        db.execute("PRAGMA journal_mode = WAL")  # what is there before the tables are
    for name in ("status", "resume"):
        done = command(tmp_path, name, "out", *(["--sandbox"] if name == "resume" else []))
        assert (done.returncode, "there is no batch in out" in done.stderr) == (5, True)
    done = command(tmp_path, "batch", manifest(tmp_path, "waltz"), "-o", "out", "--sandbox")
    assert (done.returncode, done.stdout) == (0, "out/00001-waltz.wav\n"), done.stderr


async def test_files_that_no_link_led_to_are_looked_for_again_on_request(tmp_path: Path) -> None:
    gone = Fault(on="download", kind="answer", status=404, times=None)
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, faults=(gone,))) as box:
        async with (
            client_of(box, download=SOON_GIVEN_UP) as client,
            client.batch(["waltz"], directory=tmp_path / "out") as b,
        ):
            assert [type(outcome) async for outcome in b] == [Failed]
        box.scenario = QUICK
        assert "resume out --retry output_lost" in command(tmp_path, "status", "out").stdout
        assert (await against(box, tmp_path, "resume", "out")).returncode == 8
        again = ["resume", "out", "--retry", "output_lost"]
        plan = await against(box, tmp_path, *again, "--dry-run")
        assert plan.stdout.startswith("1 row, 0 done, 1 paid for and unfinished, in out\n0 jobs")
        done = await against(box, tmp_path, *again)
        assert (done.returncode, done.stdout) == (0, "out/00001-waltz.wav\n"), done.stderr
        assert len(box.book.debits) == 1


def test_a_damaged_ledger_is_said_to_be_damaged(tmp_path: Path) -> None:
    rows = manifest(tmp_path, *(f"waltz {number}" for number in range(20)))
    assert command(tmp_path, "batch", rows, "-o", "out", "--sandbox").returncode == 0
    ledger = tmp_path / "out" / "ledger.sqlite3"
    ledger.write_bytes(ledger.read_bytes()[:4096].ljust(ledger.stat().st_size, b"x"))
    for name in ("status", "resume"):
        done = command(tmp_path, name, "out", *(["--sandbox"] if name == "resume" else []))
        assert done.returncode == 1
        assert "it is damaged: keep a copy of all ledger files" in done.stderr
        assert "Traceback" not in done.stderr


# --- reconcile ------------------------------------------------------------------------------------


async def test_reconcile_finds_a_lost_job_and_resume_brings_its_file(tmp_path: Path) -> None:
    async with Sandbox(LATE) as box:
        await killed_before_an_answer(box, tmp_path)
        done = await against(box, tmp_path, "reconcile", "out")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(": submitted, job 310815\n")
        assert last_line(done.stderr) == "resume with: modelslab-async resume out"
        brought = await against(box, tmp_path, "resume", "out")
        assert (brought.returncode, brought.stdout) == (0, "out/00001-waltz.wav\n")
        assert len(box.book.debits) == 1


async def test_without_a_key_reconcile_only_lists_with_track_id_time_and_likely_cost(
    tmp_path: Path,
) -> None:
    async with Sandbox(LATE) as box:
        await killed_before_an_answer(box, tmp_path)
        asked = len(box.book.requests)
        done = command(tmp_path, "reconcile", "out", MODELSLAB_BASE_URL=box.url, **PRICE)
        assert done.returncode == 8
        assert len(box.book.requests) == asked
        [job] = box.book.jobs.values()
        assert f"ambiguous, track_id {job.track_id}, sent 20" in done.stdout
        assert "likely cost 0.25: waltz" in done.stdout
        adopted = command(tmp_path, "reconcile", "out", "--adopt", "1=310815")
        assert adopted.returncode == 3
    abandoned = command(tmp_path, "reconcile", "out", "--abandon", "1")
    assert (abandoned.returncode, abandoned.stderr) == (0, "no API key: the account is not asked\n")
    assert command(tmp_path, "resume", "out").returncode == 8


async def test_code_3_when_the_account_cannot_be_asked_and_the_rows_are_listed_all_the_same(
    tmp_path: Path,
) -> None:
    async with Sandbox(LATE) as box:
        await killed_before_an_answer(box, tmp_path)
        wrong = {"MODELSLAB_API_KEY": "k" * 20}
        for option, says in (
            ([], "this run uses another key"),
            (["--same-account"], "the list of the account's assets"),
        ):
            done = await against(box, tmp_path, "reconcile", "out", *option, **wrong)
            assert done.returncode == 3
            assert "ambiguous, track_id" in done.stdout
            assert says in done.stderr


async def test_a_job_that_does_not_say_whose_it_is_is_shown_and_may_be_adopted(
    tmp_path: Path,
) -> None:
    async with Sandbox(NAMELESS) as box:
        await killed_before_an_answer(box, tmp_path)
        listed = await against(box, tmp_path, "reconcile", "out", "--json")
        report = json.loads(listed.stdout)
        assert listed.returncode == 8
        assert [row["row"] for row in report["ambiguous"]] == [1]
        assert [job["id"] for job in report["unmatched"]] == ["310815"]
        typo = await against(box, tmp_path, "reconcile", "out", "--adopt", "1=310851")
        assert typo.returncode == 2
        assert "the API does not confirm job 310851" in typo.stderr
        adopt = ("reconcile", "out", "--adopt", "1=310815")
        done = await started_against(box, tmp_path, *adopt)
        assert done.returncode == 0, done.stderr
        assert (await against(box, tmp_path, "resume", "out")).returncode == 0
        assert (len(box.book.debits), wavs(tmp_path)) == (1, ["00001-waltz.wav"])


async def test_candidates_have_a_time_and_are_proposed_with_commands_that_work(
    tmp_path: Path,
) -> None:
    """The second of three answers is lost: its job lies between those of its neighbours."""
    second = Fault(on="submit", kind="reset", times=1, skip=1)
    async with Sandbox(quick(second, fetch_meta=False)) as box:
        rows = manifest(tmp_path, "waltz", "raga", "tango")
        batch = ("batch", rows, "-o", "out", "-y", "--max-jobs", "1")
        assert (await against(box, tmp_path, *batch)).returncode == 8
        shown = await against(box, tmp_path, "reconcile", "out")
        [candidate] = [line for line in shown.stdout.splitlines() if "unmatched job" in line]
        assert re.search(r"job 310816 of the account, accepted after 20.* and before 20", candidate)
        assert "proposed: row 2 has job 310816; only the order of sending" in shown.stdout
        listen, take = (line.partition(": ")[2] for line in shown.stderr.splitlines()[-3:-1])
        for printed in (listen, take):
            done = await against(box, tmp_path, *shlex.split(printed)[1:])
            assert done.returncode == 0, done.stderr
        assert (tmp_path / "unmatched").is_dir()
        assert (await against(box, tmp_path, "resume", "out")).returncode == 0
        assert len(box.book.debits) == 3


async def test_all_ambiguous_rows_are_planned_again_after_a_yes(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset", times=2)
    async with Sandbox(quick(lost, fetch_meta=False)) as box:
        rows = manifest(tmp_path, "waltz", "raga", "tango")
        batch = ("batch", rows, "-o", "out", "-y", "--max-jobs", "1")
        assert (await against(box, tmp_path, *batch)).returncode == 8
        asked = await against(box, tmp_path, "reconcile", "out", "--resubmit", "all")
        assert asked.returncode == 2
        assert "2 rows (1, 2) may be paid for twice" in asked.stderr
        again = ("reconcile", "out", "--resubmit", "all", "--yes")
        assert (await against(box, tmp_path, *again)).returncode == 0
        assert (await against(box, tmp_path, "resume", "out", "-y")).returncode == 0
        assert len(box.book.debits) == 5


async def test_only_resubmit_with_a_yes_pays_again(tmp_path: Path) -> None:
    async with Sandbox(NAMELESS) as box:
        await killed_before_an_answer(box, tmp_path)
        asked = await against(box, tmp_path, "reconcile", "out", "--resubmit", "1")
        assert asked.returncode == 2
        assert "1 row (1) may be paid for twice" in asked.stderr
        assert "--yes" in asked.stderr
        planned = await against(box, tmp_path, "reconcile", "out", "--resubmit", "1", "--yes")
        assert (planned.returncode, len(box.book.debits)) == (0, 1), planned.stderr
        assert planned.stdout.endswith(": planned\n")
    async with Sandbox(QUICK, seed=1) as box:
        done = await against(box, tmp_path, "resume", "out", "--same-account")
        assert (done.returncode, len(box.book.debits)) == (0, 1), done.stderr


@pytest.mark.parametrize("arguments", [["--adopt", "1"], ["--no-such"], []], ids=str)
def test_code_2_for_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    done = command(tmp_path, "reconcile", *(["out", *arguments] if arguments else []))
    assert done.returncode == 2


# --- status beside a run --------------------------------------------------------------------------


async def test_status_beside_a_run_shows_who_works_and_advises_nothing(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    async with (
        Sandbox(ENDLESS) as box,
        running(box, tmp_path, "batch", rows, "-o", "out", "-v") as cli,
    ):
        await cli.says("accepted")
        seen = command(tmp_path, "status", "out")
        about = found(tmp_path)
        cli.send(signal.SIGINT)
        await cli.ended()
        after = command(tmp_path, "status", "out")
    assert "works on it" in seen.stdout
    assert "resume" not in seen.stdout
    assert isinstance(about["running"]["pid"], int)
    assert all(not state["advice"] for state in about["states"].values())
    assert "works on it" not in after.stdout
    assert "modelslab-async resume out" in after.stdout


def test_the_pace_of_a_run_and_the_time_left_are_shown() -> None:
    summary = {
        RowState.DONE: StateSummary(50, 0.0, 0.0, 10, 5.0, ()),
        RowState.PLANNED: StateSummary(100, 0.0, 0.0, None, None, ()),
    }
    seen = Overview(summary, SoundSummary(0, 0, {}), FileCheck(), Runner(17, "host"), 0.5, 100, {})
    assert seen.lines()[1] == "pid 17 works on it: 30.0 rows per minute, about 3 min 20 s left"
    running = seen.as_json()["running"]
    assert (running["rows_per_minute"], running["seconds_left"]) == (30, 200)


async def test_watch_follows_a_run_to_its_end_on_the_screen(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    async with (
        Sandbox(ENDLESS) as box,
        running(box, tmp_path, "batch", rows, "-o", "out", "-v") as cli,
    ):
        await cli.says("accepted")

        def watch() -> int:
            with on_screen(tmp_path, "status", "out", "--watch") as (terminal, process):
                terminal.until(lambda lines: any("works on it" in line for line in lines))
                cli.send(signal.SIGKILL)
                while terminal.read():
                    pass
                assert "works on it" not in "\n".join(terminal.lines())
                assert "modelslab-async resume out" in "".join(terminal.lines())
                return process.wait()

        assert await anyio.to_thread.run_sync(watch) == 0
        await cli.ended()


def test_one_row_is_not_watched(tmp_path: Path) -> None:
    done = command(tmp_path, "batch", manifest(tmp_path, "waltz"), "--sandbox", "-o", "out")
    assert done.returncode == 0
    assert command(tmp_path, "status", "out", "1", "--watch").returncode == 2
