"""Published JSON Schemas: what commands print is valid, and a field has one type everywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import RowState
from modelslab_async._cli.batch_progress import Events, ProgressLine
from modelslab_async._cli.console import Console
from modelslab_async._cli.schemas import SCHEMAS, schema_of
from modelslab_async.sandbox import Fault, Sandbox

from ..support.batches import quick
from ..support.manifests import manifest
from ..support.schemas import check, validator
from .test_cli import QUICK, against, command
from .test_stopping import running

pytestmark = pytest.mark.anyio


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(QUICK) as box:
        yield box


# --- the schemas ----------------------------------------------------------------------------------


def fields(schema: Any) -> Iterator[tuple[str, str]]:
    """Each field that a schema knows, and its own schema."""
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield name, json.dumps(inner, sort_keys=True)
        for inner in schema.values():
            yield from fields(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from fields(inner)


def test_a_field_has_one_type_everywhere() -> None:
    types: dict[str, set[str]] = {}
    for name in SCHEMAS:
        for field, schema in fields(schema_of(name)):
            types.setdefault(field, set()).add(schema)
    several = {field: found for field, found in types.items() if len(found) > 1}
    assert several.keys() <= {"files", "faults", "changed"}
    assert {json.loads(one)["type"] for one in several["files"]} == {"array"}
    assert {json.loads(one)["type"] for one in several["faults"]} == {"object"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_refuses_what_it_does_not_know(name: str) -> None:
    schema = schema_of(name)
    validator(schema).check_schema(schema)
    assert not validator(schema).is_valid({"there is no such field": 1})


def test_the_command_lists_and_prints_them(tmp_path: Path) -> None:
    listed = command(tmp_path, "schema").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(SCHEMAS)
    printed = command(tmp_path, "schema", "succeeded")
    assert json.loads(printed.stdout) == schema_of("succeeded")
    everything = json.loads(command(tmp_path, "schema", "--json").stdout)
    assert everything == {name: schema_of(name) for name in SCHEMAS}
    wrong = command(tmp_path, "schema", "suceeded")
    assert (wrong.returncode, "did you mean succeeded?" in wrong.stderr) == (2, True)


# --- what is printed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("generate waltz", "files"),
        ("sfx rain --duration 3", "files"),
        ("lyrics rain", "files"),
        ("generate waltz --track-id mine", "files"),
        ("generate waltz raga -n", "estimate"),
        ("generate waltz -n --price-per-job 2", "estimate"),
        ("generate waltz --print-curl", "requests"),
        ("balance", "balance"),
        ("voices", "voices"),
        ("config show", "settings"),
        ("config set max_jobs 3", "setting"),
        ("config path", "path"),
        ("auth status", "auth"),
    ],
)
async def test_what_a_command_prints_is_as_its_schema_says(
    arguments: str, name: str, box: Sandbox, tmp_path: Path
) -> None:
    done = await against(box, tmp_path, *arguments.split(), "--json")
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout), name)


async def test_the_document_of_failed_jobs(tmp_path: Path) -> None:
    async with Sandbox(quick(status="error")) as box:
        done = await against(box, tmp_path, "generate", "waltz", "--json")
    document = json.loads(done.stdout)
    assert document["failed"]
    check(document, "files")


async def test_the_document_of_an_adopted_job(box: Sandbox, tmp_path: Path) -> None:
    await against(box, tmp_path, "generate", "waltz")
    [job] = box.book.jobs
    done = await against(box, tmp_path, "fetch", str(job), "-o", "out/", "--json")
    check(json.loads(done.stdout), "files")


async def test_the_documents_of_keys_and_of_this_installation(box: Sandbox, tmp_path: Path) -> None:
    login = await against(box, tmp_path, "auth", "login", "--json", stdin=box.key)
    check(json.loads(login.stdout), "auth")
    check(json.loads(command(tmp_path, "auth", "logout", "--json").stdout), "logout")
    check(json.loads(command(tmp_path, "doctor", "--json").stdout), "doctor")


async def test_the_document_of_a_sandbox(box: Sandbox, tmp_path: Path) -> None:
    async with running(box, tmp_path, "sandbox", "--json") as cli:
        check(json.loads(await cli.stdout.readline()), "sandbox")


@pytest.mark.parametrize(
    "arguments",
    [["genrate"], ["fetch", "@nowhere", "--json"], ["generate", "--json", "waltz"]],
    ids=["usage", "file", "key"],
)
async def test_errors_are_documents_too(arguments: list[str], tmp_path: Path) -> None:
    done = command(tmp_path, *arguments, MODELSLAB_OUTPUT="json")
    assert done.returncode
    check(json.loads(done.stderr), "error")


async def test_the_events_and_documents_of_a_batch(tmp_path: Path) -> None:
    broken = Fault(on="fetch", kind="answer", status=200, body='{"status": "error"}', times=2)
    lost = Fault(on="submit", kind="reset", times=1)
    async with Sandbox(quick(lost, broken, fetch_meta=False), slots=1) as box:
        rows = manifest(tmp_path, "waltz", "raga", "tango", "polka")
        start = ("batch", rows, "-o", "out", "-y", "--json", "--max-jobs", "1")
        plan = await against(box, tmp_path, *start, "-n", "--price-per-job", "0.5")
        check(json.loads(plan.stdout), "plan")
        names = set()
        run = await against(box, tmp_path, *start, "--limit", "3", "--price-per-job", "0.5")
        for event in lines(run.stdout):
            names.add(event["event"])
            check(event, event["event"])
        assert {"succeeded", "failed", "ended"} <= names
        for document in lines(run.stderr):
            check(document, "warning" if "warning" in document else "error")
        again = await against(box, tmp_path, "resume", "out", "-n", "--json")
        check(json.loads(again.stdout), "plan")
        skipped = command(tmp_path, "skip", "out", "4", "--json")
        check(json.loads(skipped.stdout), "skip")
        found = await against(box, tmp_path, "reconcile", "out", "--json")
        document = json.loads(found.stdout)
        assert document["ambiguous"]
        check(document, "reconcile")
        check(json.loads(command(tmp_path, "status", "out", "--json").stdout), "status")
        for row in "1234":
            shown = command(tmp_path, "status", "out", row, "--json")
            check(json.loads(shown.stdout), "row")
        next((tmp_path / "out").glob("*.wav")).unlink()
        for event in lines(command(tmp_path, "verify", "out", "--json").stdout):
            check(event, "ended" if event["event"] == "ended" else "fault")
    for line in (tmp_path / "out/results.jsonl").read_text().splitlines():
        check(json.loads(line), "result")


async def test_why_nothing_moves_is_an_event(tmp_path: Path) -> None:
    async with Sandbox(quick(queue_full="text429", generation_seconds=1), slots=1) as box:
        rows = manifest(tmp_path, "waltz", "raga", "tango")
        run = await against(box, tmp_path, "batch", rows, "-o", "out", "-y", "--json")
    events = lines(run.stdout)
    assert "waiting" in {event["event"] for event in events}
    for event in events:
        check(event, event["event"])


def test_the_totals_of_a_run_are_an_event(capfd: pytest.CaptureFixture[str]) -> None:
    events = Events(Console(json=True))
    for events.stats.cost in (None, 0.5):
        events.tick(ProgressLine(dict.fromkeys(RowState, 1), []))
    for line in capfd.readouterr().out.splitlines():
        check(json.loads(line), "progress")
