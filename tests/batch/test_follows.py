"""Rows that were not sent follow their manifest: removed ones are not made, corrected ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import LedgerError, LimitReached, Limits, RowState
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._rows import PlannedRow
from modelslab_async.batch._sqlite.reader import Reader
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..cli.test_cli import against, command, wavs
from ..support.batches import errors, paid, quick, rows, run, run_until_stopped, states
from ..support.manifests import manifest, row
from ..support.quick import SOON_GIVEN_UP, client_of

pytestmark = pytest.mark.anyio

S = RowState
NONE, ALL = ("--max-jobs-total", "0"), ("--max-jobs-total", "99")


def written(tmp_path: Path, *lines: str) -> str:
    """A manifest of these lines, whatever was in it before."""
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return "rows.jsonl"


def made(box: Sandbox) -> list[str]:
    """Prompts that were paid for."""
    return sorted(job.prompt for job in box.book.jobs.values())


@pytest.mark.parametrize(
    ("before", "after", "prompts"),
    [
        (["waltz", "raga", "techno"], ["waltz", "techno"], ["techno", "waltz"]),
        (["waltz", "rage"], ["waltz", "raga"], ["raga", "waltz"]),
        (["waltz", "waltz", "waltz"], ["waltz"], ["waltz"]),
        (["waltz"], ["raga"], ["raga"]),
        (["waltz", "raga"], ["raga", "waltz"], ["raga", "waltz"]),
        (["waltz"], ["waltz", "raga"], ["raga", "waltz"]),
    ],
    ids=["removed", "corrected", "twins", "another", "order", "added"],
)
async def test_m09_what_is_made_is_what_the_manifest_holds(
    tmp_path: Path, before: list[str], after: list[str], prompts: list[str]
) -> None:
    async with Sandbox(quick()) as box:
        await against(box, tmp_path, "batch", manifest(tmp_path, *before), "-o", "out", *NONE)
        done = await against(box, tmp_path, "batch", manifest(tmp_path, *after), "-o", "out", *ALL)
        assert (done.returncode, made(box)) == (0, prompts), done.stderr
        again = await against(box, tmp_path, "resume", "out")
        assert (again.returncode, made(box)) == (0, prompts), again.stderr


async def test_m09_a_row_with_an_id_takes_its_new_version_and_the_plan_says_so(
    tmp_path: Path,
) -> None:
    old = [row("rage", id="a", mood="red"), row("waltz", id="b"), row("techno", id="c")]
    new = [row("raga", id="a", mood="blue", track_id=7), row("waltz", id="b")]
    async with Sandbox(quick()) as box:
        await against(box, tmp_path, "batch", written(tmp_path, *old), "-o", "out", *NONE)
        name = written(tmp_path, *new)
        plan = command(tmp_path, "batch", name, "-o", "out", "-n", "--json", *ALL)
        told = json.loads(plan.stdout)
        assert (told["jobs"], told["rows"], told["replaced"], told["dropped"]) == (2, 2, 1, 1)
        done = await against(box, tmp_path, "batch", name, "-o", "out", *ALL)
        assert done.returncode == 0, done.stderr
        assert "1 row not sent yet and no longer in the manifest: not generated" in done.stderr
        assert "1 row not sent yet and changed in the manifest" in done.stderr
        assert made(box) == ["raga", "waltz"]
        ids = {job.prompt: str(job.track_id) for job in box.book.jobs.values()}
        assert ids["raga"] == "7"
    results = (tmp_path / "out/results.jsonl").read_text().splitlines()
    moods = [json.loads(line)["fields"].get("mood") for line in results]
    assert moods == ["blue", None, None]
    assert states(tmp_path / "out") == {S.DONE: 2, S.SKIPPED: 1}
    assert "no longer in the manifest" in command(tmp_path, "status", "out").stdout


async def test_m09_what_was_removed_comes_back_with_its_line(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        both, one = ("waltz", "raga"), ("waltz",)
        await against(box, tmp_path, "batch", manifest(tmp_path, *both), "-o", "out", *NONE)
        await against(box, tmp_path, "batch", manifest(tmp_path, *one), "-o", "out", *ALL)
        assert made(box) == ["waltz"]
        done = await against(box, tmp_path, "batch", manifest(tmp_path, *both), "-o", "out")
        assert (done.returncode, made(box)) == (0, ["raga", "waltz"]), done.stderr
        assert wavs(tmp_path) == ["00001-waltz.wav", "00002-raga.wav"]


async def test_m09_a_removal_holds_though_nothing_else_is_left_to_do(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        lines = manifest(tmp_path, "waltz", "raga")
        await against(box, tmp_path, "batch", lines, "-o", "out", "--max-jobs-total", "1")
        done = await against(box, tmp_path, "batch", manifest(tmp_path, "waltz"), "-o", "out")
        assert (done.returncode, made(box)) == (0, ["waltz"]), done.stderr
        again = await against(box, tmp_path, "resume", "out", *ALL)
        assert (again.returncode, made(box)) == (0, ["waltz"]), again.stderr


async def test_m09_what_was_sent_stays_as_it_was_sent(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset", times=1)
    async with Sandbox(quick(lost, fetch_meta=False)) as box:
        lines = [row("waltz", id="a"), row("raga", id="b")]
        await against(box, tmp_path, "batch", written(tmp_path, *lines), "-o", "out")
        assert states(tmp_path / "out") == {S.AMBIGUOUS: 1, S.DONE: 1}
        for wrong in ([row("tango", id="a"), lines[1]], [lines[0], row("tango", id="b")]):
            refused = await against(box, tmp_path, "batch", written(tmp_path, *wrong), "-o", "out")
            assert (refused.returncode, len(box.book.debits)) == (2, 2)
            assert "1 row not as planned before" in refused.stderr
        gone = await against(box, tmp_path, "batch", written(tmp_path, row("new")), "-o", "out")
        assert gone.returncode == 8
        assert states(tmp_path / "out") == {S.AMBIGUOUS: 1, S.DONE: 2}


_NO = Fault(
    on="submit",
    kind="answer",
    status=400,
    body='{"status": "error", "message": "not this prompt"}',
    accepted=False,
    times=None,
)


@pytest.mark.parametrize(
    ("state", "scenario"), [("failed", quick(status="error")), ("rejected", quick(_NO))]
)
async def test_m10_what_is_tried_again_is_in_the_manifest(
    tmp_path: Path, state: str, scenario: Scenario
) -> None:
    async with Sandbox(scenario) as box:
        lines = manifest(tmp_path, "waltz", "raga")  # three would be retried one by one
        await against(box, tmp_path, "batch", lines, "-o", "out")
        assert states(tmp_path / "out") == {RowState(state): 2}
        box.scenario, before = quick(), len(box.book.debits)
        another = manifest(tmp_path, "waltz", "tango")
        again = ("batch", another, "-o", "out", "--retry", state)
        told = json.loads(command(tmp_path, *again, "-n", "--json").stdout)
        assert told["jobs"] == 2
        done = await against(box, tmp_path, *again)
        assert done.returncode == 8, done.stderr
        assert len(box.book.debits) - before == 2
        assert states(tmp_path / "out") == {S.DONE: 2, RowState(state): 1}
        rest = await against(box, tmp_path, "resume", "out", "--retry", state)
        assert rest.returncode == 0, rest.stderr
        assert len(box.book.debits) - before == 3
        assert states(tmp_path / "out") == {S.DONE: 3}


async def test_m10_lost_files_are_looked_for_again_of_the_manifest_s_rows(tmp_path: Path) -> None:
    gone = Fault(on="download", kind="answer", status=404, times=None)
    async with Sandbox(quick(gone)) as box, client_of(box, download=SOON_GIVEN_UP) as client:
        lines = manifest(tmp_path, "waltz", "raga")
        await against(box, tmp_path, "batch", lines, "-o", "out", *NONE)
        await run(client, None, tmp_path / "out", limits=Limits(max_jobs_total=9))
        assert states(tmp_path / "out") == {S.OUTPUT_LOST: 2}
        box.scenario = quick()
        one = manifest(tmp_path, "raga")
        await against(box, tmp_path, "batch", one, "-o", "out", "--retry", "output_lost")
        assert states(tmp_path / "out") == {S.OUTPUT_LOST: 1, S.DONE: 1}
        assert len(box.book.debits) == 2


# The library, where requests are added to what the directory holds


async def test_m09_a_list_of_requests_adds_and_corrects_and_removes_nothing(tmp_path: Path) -> None:
    def one(name: str, prompt: str) -> dict[str, Any]:
        return {"id": name, "prompt": prompt, "max_new_token": 256}

    none = Limits(max_jobs_total=0)
    async with Sandbox(quick()) as box, client_of(box) as client:
        first = [one("a", "waltz"), one("b", "rage")]
        await run_until_stopped(client, first, tmp_path, LimitReached, limits=none)
        more = [one("b", "raga"), one("c", "tango")]
        assert not errors(await run(client, more, tmp_path, limits=Limits(max_jobs_total=9)))
        assert made(box) == ["raga", "tango", "waltz"]
        assert set(paid(box).values()) == {1}


async def test_m09_requests_that_come_one_by_one_replace_nothing(tmp_path: Path) -> None:
    def feed(prompt: str) -> Any:
        return ({"id": name, "prompt": prompt, "max_new_token": 256} for name in ("a", "b"))

    none = Limits(max_jobs_total=0)
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(client, feed("waltz"), tmp_path, LimitReached, limits=none)
        await run_until_stopped(client, feed("raga"), tmp_path, LedgerError, "2 rows not as")
        assert not box.book.debits


# The ledger


def planned(name: str, prompt: str, **more: Any) -> PlannedRow:
    return PlannedRow(name, {"prompt": prompt, **more}, f"hash of {prompt}", prompt)


async def test_m09_a_plan_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan([planned("a", "1", track_id=1), planned("b", "2", track_id=2)])
        twice = [planned("a", "3", track_id=2)]
        with pytest.raises(LedgerError, match="the track_id of another row"):
            await ledger.plan(twice, replaces=True, whole=True)
        double = [planned("c", "1"), planned("c", "2")]
        with pytest.raises(LedgerError, match="two rows have the id 'c'"):
            await ledger.plan(double, replaces=True, whole=True)
    assert [(one.prompt, one.state) for one in rows(tmp_path)] == [
        ("1", S.PLANNED),
        ("2", S.PLANNED),
    ]


async def test_m09_the_history_says_what_became_of_a_row(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan([planned("a", "1"), planned("b", "2"), planned("c", "3")])
        done = await ledger.plan([planned("b", "4"), planned("c", "3")], replaces=True, whole=True)
        assert (done.added, done.kept, done.replaced, done.skipped) == (0, 1, 1, 1)
        done = await ledger.plan([planned("a", "1")], replaces=True, whole=True)
        assert (done.kept, done.skipped) == (1, 2)
    with Reader.open(tmp_path) as reader:
        steps = {seq: [(s.old, s.new) for s in reader.history(seq)] for seq in (1, 2, 3)}
    out, back = (S.PLANNED, S.SKIPPED), (S.SKIPPED, S.PLANNED)
    assert steps == {1: [out, back], 2: [out, back, out], 3: [out]}
