"""Rows are chosen by number, range or id; an id counts before a number that looks like it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelslab_async import LedgerError, LimitReached, RequestError, RowState
from modelslab_async.batch import Ledger, Reader, RowKey, choose
from modelslab_async.batch._chosen import Chosen
from modelslab_async.batch._rows import PlannedRow
from modelslab_async.sandbox import Fault, Sandbox

from ..support.batches import paid, quick, rows, run, run_until_stopped, states
from ..support.quick import client_of

S = RowState
ROWS = [(1, "intro"), (2, "17"), (3, "3-4"), (4, "outro")]


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        (["1"], {1}),
        (["1-2", "4"], {1, 2, 4}),
        (["intro", "outro"], {1, 4}),
        (["17"], {2}),
        (["3-4"], {3}),
        (["3", "2-2"], {2, 3}),
        (["3-900"], {3, 4}),
        ([4, range(1, 3)], {1, 2, 4}),
    ],
)
def test_a_key_chooses_rows(keys: list[RowKey], numbers: set[int]) -> None:
    chosen = Chosen(choose(keys, ROWS))
    assert {seq for seq, row_id in ROWS if chosen.holds(seq, row_id)} == numbers


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("intrq", "did you mean intro?"),
        ("zzz", "use its number or its id"),
        ("5", "the last one is row 4"),
        ("4-2", "4-2 is not a range of rows"),
        ("0", "numbered from 1"),
        ("-3", "the batch has no row '-3'"),
        ("9" * 30, "the batch has no row"),
    ],
)
def test_a_key_without_a_row_is_refused_and_the_nearest_id_is_named(key: str, says: str) -> None:
    with pytest.raises(RequestError, match="row") as refused:
        choose([key], ROWS)
    assert says in str(refused.value)


def test_what_is_no_key_is_refused() -> None:
    key: Any = 1.5
    with pytest.raises(RequestError, match="use a number, a range or an id"):
        Chosen([key])


def asked(*names: str) -> list[dict[str, Any]]:
    return [{"id": name, "prompt": f"piece {name}", "max_new_token": 256} for name in names]


@pytest.mark.anyio
async def test_a_run_submits_the_chosen_rows_alone_and_the_next_one_the_rest(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        told = "2 rows were not chosen for this run"
        made = await run_until_stopped(
            client, asked(*"abcd"), tmp_path, LimitReached, told, only=[1, "c"]
        )
        assert sorted(one.id for one in made) == ["a", "c"]
        assert states(tmp_path) == {S.DONE: 2, S.PLANNED: 2}
        await run(client, None, tmp_path)
        assert paid(box) == {f"piece {name}": 1 for name in "abcd"}


@pytest.mark.anyio
async def test_of_rows_to_retry_the_chosen_alone_are_tried_again(tmp_path: Path) -> None:
    async with Sandbox(quick(status="error")) as box, client_of(box) as client:
        await run(client, asked(*"ab"), tmp_path)  # three would be retried one by one
        box.scenario = quick()
        await run(client, None, tmp_path, retry=[S.FAILED], only=["b"])
        assert {row.id: row.state for row in rows(tmp_path)} == {"a": S.FAILED, "b": S.DONE}


@pytest.mark.anyio
async def test_what_is_paid_for_is_finished_though_it_is_not_chosen(tmp_path: Path) -> None:
    lost = Fault(on="download", kind="answer", status=503, times=None)
    async with Sandbox(quick(lost)) as box:
        async with (
            client_of(box) as client,
            client.batch(asked(*"ab"), directory=tmp_path, only=["a"]),
        ):
            await _until(box, 1)
        box.scenario = quick()
        async with client_of(box) as client:
            await run(client, None, tmp_path, only=["b"])
        assert states(tmp_path) == {S.DONE: 2}
        assert set(paid(box).values()) == {1}


async def _until(box: Sandbox, debits: int) -> None:
    import anyio

    while len(box.book.debits) < debits:
        await anyio.sleep(0.01)


@pytest.mark.anyio
async def test_a_batch_that_is_stopped_submits_nothing_more_and_ends_as_usual(
    tmp_path: Path,
) -> None:
    many = [f"{number}" for number in range(30)]
    async with Sandbox(quick()) as box, client_of(box, max_jobs=2) as client:
        async with client.batch(asked(*many), directory=tmp_path) as outcomes:
            async for _ in outcomes:
                outcomes.stop()
        count = len(box.book.debits)
        assert 0 < count < 30
        assert states(tmp_path) == {S.DONE: count, S.PLANNED: 30 - count}
        await run(client, None, tmp_path)
        assert set(paid(box).values()) == {1}


# --- rows that are skipped by hand ----------------------------------------------------------------


def planned(name: str, prompt: str = "waltz") -> PlannedRow:
    return PlannedRow(name, {"prompt": prompt}, f"hash of {prompt}", prompt)


@pytest.mark.anyio
async def test_a_skipped_row_stays_so_whatever_is_planned_and_takes_its_new_version(
    tmp_path: Path,
) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan([planned("a"), planned("b")])
        [row] = await ledger.skip(["a"])
        assert (row.state, row.error) == (S.SKIPPED, "skipped by hand")
        await ledger.plan([planned("a"), planned("b")], replaces=True, whole=True)
        await ledger.plan([planned("a", "raga"), planned("b")], replaces=True, whole=True)
        assert (await ledger.row("a")).state is S.SKIPPED
        [row] = await ledger.unskip([1])
        assert (row.state, row.prompt, row.error) == (S.PLANNED, "raga", None)


@pytest.mark.anyio
async def test_a_row_that_its_manifest_dropped_may_be_skipped_by_hand_too(tmp_path: Path) -> None:
    both = [planned("a"), planned("b")]
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(both)
        await ledger.plan(both[:1], whole=True)
        for _ in range(2):  # safe to repeat
            await ledger.skip(["b"])
        await ledger.plan(both, whole=True)
        assert (await ledger.row("b")).state is S.SKIPPED


@pytest.mark.anyio
async def test_a_row_that_was_sent_is_not_skipped_and_then_none_is(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(client, asked(*"ab"), tmp_path, LimitReached, only=["b"])
    async with Ledger(tmp_path) as ledger:
        for decide in (ledger.skip, ledger.unskip):
            with pytest.raises(LedgerError, match="row b is done: only rows that were not sent"):
                await decide(["a", "b"])
            with pytest.raises(LedgerError, match="no row 'c'"):
                await decide(["a", "c"])
        assert (await ledger.row("a")).state is S.PLANNED
    with Reader.open(tmp_path) as reader:
        assert list(reader.ids()) == [(1, "a"), (2, "b")]
