"""Limits hold over all runs of a directory, whoever starts the next one and however."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import (
    ConfigurationError,
    LedgerError,
    LimitReached,
    Limits,
    ModelsLab,
    MusicGen,
)
from modelslab_async._cli.batch_plan import opened_manifest
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._confirmed import Selection
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._sqlite.reader import Reader
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox

from ..cli.test_cli import against, command
from ..support.batches import pieces, quick, run, run_until_stopped, states
from ..support.manifests import manifest
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

S = RowState
ONE = Limits(price_per_job=1, max_cost=3)


async def spent(box: Sandbox, tmp_path: Path, *steps: Limits | None) -> list[int]:
    """Jobs paid for after each run of the same ten requests in the same directory."""
    counts = []
    async with client_of(box, max_jobs=2) as client:
        for limits in steps:
            await run_until_stopped(client, pieces(10), tmp_path, LimitReached, limits=limits)
            counts.append(len(box.book.debits))
    return counts


@pytest.mark.parametrize(
    ("steps", "counts"),
    [
        ([Limits(max_jobs_total=2), None, Limits()], [2, 2, 2]),
        ([Limits(max_jobs_total=2), Limits(max_cost=9, price_per_job=1)], [2, 2]),
        ([Limits(max_jobs_total=4), Limits(max_jobs_total=1), None], [4, 4, 4]),
        ([Limits(max_jobs_total=1), Limits(max_jobs_total=3), None], [1, 3, 3]),
        ([ONE, None, Limits(price_per_job="0.5")], [3, 3, 3]),
        ([ONE, Limits(max_cost=4, price_per_job="0.5")], [3, 5]),
        ([ONE, Limits(max_cost="3.4", price_per_job="0.1")], [3, 7]),
        ([ONE, Limits(price_per_job=0, price_per_second=0.01, max_cost=3.2)], [3, 6]),
        ([Limits(max_jobs_total=2), Limits(max_cost=5, price_per_job=1, max_jobs_total=9)], [2, 5]),
        ([Limits(price_per_job=0.1, max_cost=0.3)], [3]),
        ([Limits(max_jobs_total=0), None], [0, 0]),
        ([Limits(max_cost=0, price_per_job=1), None], [0, 0]),
    ],
    ids=str,
)
async def test_m02_limits_hold_over_all_runs_at_the_prices_of_their_day(
    tmp_path: Path, steps: list[Limits | None], counts: list[int]
) -> None:
    async with Sandbox(quick()) as box:
        assert await spent(box, tmp_path, *steps) == counts


async def test_m02_a_run_pays_for_as_many_jobs_as_it_was_told_to_and_the_next_for_the_rest(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        for most, paid in ((3, 3), (1, 4)):
            await run_until_stopped(client, pieces(10), tmp_path, LimitReached, max_new_jobs=most)
            assert (len(box.book.debits), states(tmp_path)[S.DONE]) == (paid, paid)
        await run(client, pieces(10), tmp_path, max_new_jobs=6)
        assert (len(box.book.debits), states(tmp_path)[S.DONE]) == (10, 10)


@pytest.mark.parametrize(
    "limited",
    [
        {"max_new_jobs": 1},
        {"limits": Limits(max_jobs_total=1)},
        {"limits": Limits(max_cost=1, price_per_job=1)},
    ],
    ids=str,
)
async def test_m02_a_row_that_is_not_sent_as_its_name_is_taken_counts_for_no_limit(
    limited: dict[str, Any], tmp_path: Path
) -> None:
    for seq in (1, 2):
        (tmp_path / f"{seq:05d}-piece-{seq}.wav").touch()
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(client, pieces(4), tmp_path, LimitReached, **limited)
        assert (len(box.book.debits), states(tmp_path)) == (1, {S.DONE: 1, S.PLANNED: 3})


async def test_m02_what_an_earlier_run_has_paid_for_is_no_new_job(tmp_path: Path) -> None:
    down = Fault(on="fetch", kind="answer", status=503, times=None)
    async with Sandbox(quick(down)) as box:
        async with client_of(box, timeout=0.2) as client:
            await run_until_stopped(client, pieces(4), tmp_path, LimitReached, max_new_jobs=2)
        assert states(tmp_path) == {S.DETACHED: 2, S.PLANNED: 2}
        box.scenario = quick()
        async with client_of(box) as client:
            await run(client, pieces(4), tmp_path, max_new_jobs=2)
        assert (len(box.book.debits), states(tmp_path)) == (4, {S.DONE: 4})


@pytest.mark.parametrize("most", [-1, 1.0, True])
async def test_m02_a_run_pays_for_a_whole_number_of_jobs(most: object, tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match="max_new_jobs"):
            client.batch(pieces(1), directory=tmp_path, max_new_jobs=most)  # type: ignore[arg-type]


def test_m02_a_plan_counts_the_rows_that_the_run_would_take(tmp_path: Path) -> None:
    """By their numbers in the directory, in whatever order a manifest has them."""
    first = manifest(tmp_path, "waltz", "raga", "techno")
    capped = ("--sandbox", "-o", "out", "-q", "--price-per-second", "1")
    assert command(tmp_path, "batch", first, *capped, "--limit", "1").returncode == 9
    lines = [json.loads(line) for line in (tmp_path / first).read_text().splitlines()]
    lines += [{**lines[0], "id": "new", "duration": 480, "prompt": "long"}]
    text = "".join(f"{json.dumps(line)}\n" for line in reversed(lines))
    (tmp_path / "again.jsonl").write_text(text)
    told = []
    for most in ("1", "2", "3", "9"):
        done = command(tmp_path, "batch", "again.jsonl", *capped, "--limit", most, "-n", "--json")
        plan = json.loads(done.stdout)
        told.append((plan["jobs"], plan["left"], plan["cost"]))
    short = 5.12
    assert told == [(1, 2, short), (2, 1, 2 * short), (3, 0, 490.24), (3, 0, 490.24)]


async def test_m02_each_submit_is_kept_with_its_price(tmp_path: Path) -> None:
    failing = Fault(on="submit", kind="reset", accepted=False, times=1)
    async with Sandbox(quick(failing)) as box, client_of(box, max_jobs=1) as client:
        await run_until_stopped(
            client,
            pieces(3),
            tmp_path,
            LimitReached,
            limits=Limits(price_per_job="0.10", max_jobs_total=2),
        )
        await run(
            client,
            None,
            tmp_path,
            retry={S.AMBIGUOUS},
            limits=Limits(price_per_job=2, max_jobs_total=4),
        )
    with Reader.open(tmp_path) as reader:
        history = reader.db.execute(
            "SELECT row, new, cost FROM transitions WHERE cost IS NOT NULL ORDER BY n"
        ).fetchall()
        assert [row.cost for row in reader.each()] == ["2", "0.1", "2"]
    assert sorted(history) == sorted(
        [
            (1, "ambiguous", "0.1"),
            (2, "submitted", "0.1"),
            (1, "submitted", "2"),
            (3, "submitted", "2"),
        ]
    )


async def test_m02_what_died_between_intent_and_answer_counts_at_its_price(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(
            client, pieces(9), tmp_path, LimitReached, limits=Limits(price_per_job=2, max_cost=0)
        )
        async with Ledger(tmp_path) as ledger:
            await ledger.write(changes.intent(1, 7, 1, "2"))
        await run_until_stopped(
            client, None, tmp_path, LimitReached, limits=Limits(price_per_job=1, max_cost=4)
        )
        assert len(box.book.debits) == 2


async def test_m02_jobs_paid_for_without_a_price_count_at_todays(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(3), tmp_path)
        limits = Limits(price_per_job=1, max_cost=5)
        await run_until_stopped(client, pieces(9), tmp_path, LimitReached, limits=limits)
        assert len(box.book.debits) == 5


async def test_m02_a_row_planned_anew_by_hand_is_paid_for_under_the_limit(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset", accepted=False, times=1)
    async with Sandbox(quick(lost)) as box:
        lines = manifest(tmp_path, "waltz", "raga")
        cap = ("--price-per-job", "1", "--max-cost", "2")
        await against(box, tmp_path, "batch", lines, "-o", "out", *cap)
        assert len(box.book.debits) == 1
        await against(box, tmp_path, "reconcile", "out", "--resubmit", "1", "--yes")
        stopped = await against(box, tmp_path, "resume", "out")
        assert (stopped.returncode, len(box.book.debits)) == (9, 1), stopped.stderr
        done = await against(box, tmp_path, "resume", "out", "--max-cost", "3")
        assert (done.returncode, len(box.book.debits)) == (0, 2), done.stderr


async def test_m02_a_limit_of_cost_without_any_price_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match="price_per_job"):
            await run(client, pieces(2), tmp_path, limits=Limits(max_cost=1))
        assert not box.book.requests


# The command line


@pytest.mark.parametrize(
    ("first", "later", "jobs"),
    [
        (["--max-jobs-total", "2"], [], 2),
        (["--max-cost", "2", "--price-per-job", "1"], [], 2),
        (["--max-cost", "0.3", "--price-per-job", "0.1"], ["--price-per-job", "0.05"], 3),
        (["--max-jobs-total", "2"], ["--max-jobs-total", "3"], 3),
    ],
    ids=str,
)
async def test_m02_resume_keeps_limits_and_changes_those_that_are_named(
    tmp_path: Path, first: list[str], later: list[str], jobs: int
) -> None:
    async with Sandbox(quick()) as box:
        lines = manifest(tmp_path, *"abcdef")
        await against(box, tmp_path, "batch", lines, "-o", "out", *first)
        stopped = await against(box, tmp_path, "resume", "out", *later)
        assert (stopped.returncode, len(box.book.debits)) == (9, jobs), stopped.stderr
        told = command(tmp_path, "resume", "out", "-n")
        assert "no more than" in told.stdout


FILES = {"project": ".modelslab/config.toml", "user": "home/.config/modelslab/config.toml"}


def configure(tmp_path: Path, **files: str) -> None:
    for name, text in files.items():
        path = tmp_path / FILES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[async]\n{text}\n")


@pytest.mark.parametrize(
    ("files", "env", "price"),
    [
        ({"project": "price_per_job = 0.0001", "user": "price_per_job = 1.0"}, {}, 1),
        ({"project": "price_per_job = 3", "user": "price_per_job = 1.0"}, {}, 3),
        ({"project": "price_per_job = 0", "user": 'price_per_job = "1"'}, {}, 1),
        ({"project": "price_per_job = 2"}, {}, 2),
        ({"project": "price_per_job = 3", "user": "price_per_job = 1"}, {"PER_JOB": "0.5"}, 0.5),
        ({"project": "price_per_second = 0.001", "user": "price_per_second = 1"}, {}, 5.12),
        ({"project": "price_per_job = 0", "user": "price_per_second = 1"}, {}, 5.12),
        ({"user": "price_per_job = 5\nprice.music_gen.per_job = 2"}, {}, 2),
        ({"project": "price.music_gen.per_job = 1", "user": "price_per_job = 5"}, {}, 5),
        ({"project": "price.music_gen.per_job = 7", "user": "price_per_job = 5"}, {}, 7),
        ({"project": "price.music_gen.per_job = 0", "user": "price_per_second = 1"}, {}, 5.12),
        ({"project": "price.music_gen.per_second = 0", "user": "price_per_job = 5"}, {}, 5),
        ({"project": "price.music_gen.per_job = 1"}, {"PER_JOB": "5"}, 5),
        ({"project": "price.music_gen.per_job = 0"}, {}, None),
        ({"project": "price.music_gen.per_job = 1", "user": "price.music_gen.per_job = 5"}, {}, 5),
        ({"project": "price.music_gen.per_job = 5"}, {"": "music_gen.per_job=1"}, 1),
        ({"project": "price_per_job = 9"}, {"": "sfx.per_job=1, music_gen.per_job=2"}, 2),
    ],
    ids=str,
)
def test_m03_a_projects_file_never_lowers_a_price(
    tmp_path: Path, files: dict[str, str], env: dict[str, str], price: float | None
) -> None:
    configure(tmp_path, **files)
    names = {f"MODELSLAB_ASYNC_PRICE{name and '_'}{name}": value for name, value in env.items()}
    done = command(tmp_path, "batch", manifest(tmp_path, "waltz"), "-n", "--json", **names)
    assert json.loads(done.stdout)["cost"] == price


@pytest.mark.parametrize(
    ("files", "jobs"),
    [
        ({"project": "max_jobs = 500", "user": "max_jobs = 4"}, 4),
        ({"project": "max_jobs = 2", "user": "max_jobs = 4"}, 2),
        ({"project": "max_jobs = 10"}, 10),
    ],
    ids=str,
)
def test_m03_a_projects_file_never_raises_the_number_of_jobs_at_once(
    tmp_path: Path, files: dict[str, str], jobs: int
) -> None:
    configure(tmp_path, **files)
    shown = json.loads(command(tmp_path, "config", "show", "--json").stdout)
    assert shown["settings"]["max_jobs"]["value"] == jobs


async def test_m03_a_file_that_came_later_does_not_lower_the_price_of_a_batch(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box:
        lines = manifest(tmp_path, *"abcdef")
        cap = ("--price-per-job", "1", "--max-cost", "2")
        await against(box, tmp_path, "batch", lines, "-o", "out", *cap)
        configure(tmp_path, project="price_per_job = 0.0001", user="price_per_job = 0.0002")
        stopped = await against(box, tmp_path, "resume", "out", "--max-cost", "3")
        assert (stopped.returncode, len(box.book.debits)) == (9, 3), stopped.stderr
        configure(tmp_path, project="price.music_gen.per_job = 0.0001")
        again = await against(box, tmp_path, "resume", "out", "--max-cost", "4.0001")
        assert (again.returncode, len(box.book.debits)) == (9, 4), again.stderr


async def test_m02_each_endpoint_is_paid_at_its_own_price_over_all_runs(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        lines = tmp_path / "rows.jsonl"
        lines.write_text(
            '{"id": "m", "prompt": "waltz", "max_new_token": 256}\n'
            '{"id": "s", "endpoint": "text_to_speech", "prompt": "Hello there",'
            ' "voice_id": "tara", "language": "hindi"}\n'
            '{"id": "f", "endpoint": "sfx", "prompt": "rain", "duration": 3}\n'
        )
        prices = ("--price", "text_to_speech.per_character=0.01", "--price", "sfx.per_job=5")
        capped = ("--price-per-job", "1", *prices, "--max-cost", "1.11")
        stopped = await against(box, tmp_path, "batch", str(lines), "-o", "out", *capped)
        assert (stopped.returncode, len(box.book.debits)) == (9, 2), stopped.stderr
        assert "bring the cost to 6.11, and max_cost is 1.11" in stopped.stderr
        named = "--price sfx.per_job=5 --price text_to_speech.per_character=0.01"
        assert named in stopped.stderr  # of the command that goes on
        dearer = ("--price", "text_to_speech.per_character=9", "--max-cost", "6.11")
        done = await against(box, tmp_path, "resume", "out", *dearer)  # what was paid stays so
        assert (done.returncode, len(box.book.debits)) == (0, 3), done.stderr
        with Reader.open(tmp_path / "out") as reader:
            assert {row.id: row.cost for row in reader.each()} == {"m": "1", "s": "0.11", "f": "5"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price.text_to_speach.per_job = 1", "did you mean text_to_speech?"),
        ("price.sfx.per_jop = 1", "did you mean per_job?"),
        ("price.sfx = 1", "price.sfx is 1"),
        ("price = 1", "price is 1"),
        ("price.sfx.per_job = -1", "price.sfx.per_job is -1"),
    ],
)
@pytest.mark.parametrize("file", ["project", "user"])
def test_m03_a_price_of_nothing_known_is_named_with_its_file(
    tmp_path: Path, text: str, message: str, file: str
) -> None:
    configure(tmp_path, **{file: text})
    done = command(tmp_path, "batch", manifest(tmp_path, "waltz"), "-n")
    assert done.returncode == 2
    assert message in done.stderr
    assert "config.toml" in done.stderr


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text_to_speach.per_job=1", "did you mean text_to_speech?"),
        ("sfx.per_jop=1", "did you mean per_job?"),
        ("sfx.per_job=cheap", "'cheap' must be a number"),
        ("sfx.per_job", "'' must be a number"),
    ],
)
def test_m03_a_price_of_nothing_known_is_named_where_it_is_given(
    tmp_path: Path, value: str, message: str
) -> None:
    rows = manifest(tmp_path, "waltz")
    done = command(tmp_path, "batch", rows, "-n", "--price", value)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
    if "did you mean" in message:
        done = command(tmp_path, "batch", rows, "-n", MODELSLAB_ASYNC_PRICE=value)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert "environment, MODELSLAB_ASYNC_PRICE" in done.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "-1", '"0,1"', "true", "[1]", '"cheap"', "1e300"])
def test_m03_a_price_that_is_none_is_named_with_its_file(tmp_path: Path, value: str) -> None:
    configure(tmp_path, user=f"price_per_job = {value}")
    done = command(tmp_path, "batch", manifest(tmp_path, "waltz"), "-n")
    assert done.returncode == 2
    assert "price_per_job is " in done.stderr
    assert "config.toml" in done.stderr


@pytest.mark.parametrize("option", ["--max-cost", "--price-per-job", "--price-per-second"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0,1", "", "1e99", "\u0661"])
def test_m03_an_option_takes_amounts_only(tmp_path: Path, option: str, value: str) -> None:
    done = command(tmp_path, "batch", manifest(tmp_path, "waltz"), "-n", f"{option}={value}")
    assert (done.returncode, done.stdout) == (2, "")
    assert option in done.stderr


# What was agreed to


def fingerprint(directory: Path) -> str:
    """Of what is planned in a directory."""
    selection = Selection()
    with Reader.open(directory) as reader:
        for row in reader.planned():
            selection.add(*row)
    return selection.fingerprint


async def one_more(client: ModelsLab, directory: Path) -> None:
    await stopped_at_once(client, pieces(4), directory)


async def another_in_its_place(client: ModelsLab, directory: Path) -> None:
    async with Ledger(directory) as ledger:
        await ledger.write(changes.intent(1, 7, 1))
        await ledger.write(changes.rejected(1, "BadRequest", "no"))
    await stopped_at_once(client, pieces(3, start=2), directory)


async def one_less(_: ModelsLab, directory: Path) -> None:
    async with Ledger(directory) as ledger:
        await ledger.write(changes.intent(1, 7, 1))
        await ledger.write(changes.rejected(1, "BadRequest", "no"))


async def nothing_else(_: ModelsLab, __: Path) -> None:
    pass


async def stopped_at_once(client: ModelsLab, requests: list[MusicGen], directory: Path) -> None:
    none = Limits(max_jobs_total=0)
    await run_until_stopped(client, requests, directory, LimitReached, limits=none)


@pytest.mark.parametrize(
    ("meanwhile", "holds"),
    [(nothing_else, True), (one_more, False), (one_less, False), (another_in_its_place, False)],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_m06_nothing_is_sent_when_other_rows_are_planned_than_were_agreed_to(
    tmp_path: Path, meanwhile: Callable[[ModelsLab, Path], Awaitable[None]], holds: bool
) -> None:
    enough = Limits(max_jobs_total=9)
    async with Sandbox(quick()) as box, client_of(box) as client:
        await stopped_at_once(client, pieces(3), tmp_path)
        agreed = fingerprint(tmp_path)
        await meanwhile(client, tmp_path)
        if holds:
            await run(client, None, tmp_path, confirmed=agreed, limits=enough)
            assert states(tmp_path) == {S.DONE: 3}
            return
        with pytest.raises(LedgerError, match="changed since they were confirmed"):
            await run(client, None, tmp_path, confirmed=agreed, limits=enough)
        assert not box.book.debits


@pytest.mark.parametrize("name", ["rows.txt", "rows.jsonl", "rows.csv"])
def test_m06_a_manifest_that_grows_after_the_plan_is_paid_for_as_planned(
    tmp_path: Path, name: str
) -> None:
    lines = {
        "rows.txt": ["waltz\n", "raga\n", "techno\n"],
        "rows.jsonl": ['{"prompt": "waltz"}\n', '{"prompt": "raga"}\n', '{"prompt": "techno"}\n'],
        "rows.csv": ["prompt\nwaltz\n", "raga\n", "techno\n"],
    }[name]
    path = tmp_path / name
    path.write_text("".join(lines[:2]))
    with opened_manifest(str(path), None) as rows:
        with path.open("a") as more:
            more.write(lines[2])
        assert [row.prompt for row in rows.planned()] == ["waltz", "raga"]
    with opened_manifest(str(path), None) as rows:
        path.write_text(lines[2])
        assert [row.prompt for row in rows.planned()] == ["waltz", "raga", "techno"]


def test_m06_a_selection_is_of_rows_and_not_of_their_order() -> None:
    def of(*rows: tuple[str, str, bool]) -> str:
        return Selection.of(rows).fingerprint

    a, b, twin = ("a", "1", False), ("b", "2", False), ("a", "1", True)
    others = of(("a", "2", False)), of(("ab", "1", False)), of(twin)
    assert of(a, b) == of(b, a)
    assert len({of(), of(a), of(b), of(a, a), of(a, b), *others}) == 8
