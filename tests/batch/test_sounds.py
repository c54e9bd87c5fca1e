"""What is wrong with the sound of a row is kept, fails nothing, and pays again only on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelslab_async import ConfigurationError, MusicGen, Succeeded
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._ledger import Ledger
from modelslab_async.sandbox import Sandbox

from ..support.batches import paid, quick, results, rows, run
from ..support.quick import client_of

pytestmark = pytest.mark.anyio


async def test_what_is_wrong_with_a_sound_is_in_the_outcome_the_ledger_and_the_results(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick(wav="silent")) as box, client_of(box) as client:
        outcomes = await run(client, [MusicGen("waltz", duration=30)], tmp_path)
    [row], [line] = rows(tmp_path), results(tmp_path)
    [saved] = outcomes[0].saved  # type: ignore[union-attr]
    assert saved.flags == row.flags == tuple(line["flags"]) == ("silent",)
    assert saved.silent
    assert saved.peaks == row.peaks == bytes(240)
    assert line["peak_dbfs"] is None


async def test_a_done_row_is_made_again_on_request_because_of_its_sound_and_keeps_its_old_file(
    tmp_path: Path,
) -> None:
    two = [MusicGen("waltz", duration=30), MusicGen("raga", duration=30)]
    async with Sandbox(quick(wav="silent")) as box, client_of(box) as client:
        await run(client, two[:1], tmp_path)
    before = rows(tmp_path)[0]
    async with Sandbox(quick(), seed=100) as box, client_of(box) as client:
        same = {"same_account": True}
        assert len(await run(client, two, tmp_path, **same)) == 1  # no flag pays by itself
        assert len(await run(client, two, tmp_path, **same, retry_flagged=["dc"])) == 0
        [again] = await run(client, two, tmp_path, **same, retry_flagged=["silent", "dc"])
        assert not await run(client, two, tmp_path, **same, retry_flagged=["silent", "dc"])
        assert paid(box) == {"waltz": 1, "raga": 1}
    after = rows(tmp_path)[0]
    assert isinstance(again, Succeeded)
    assert after.flags == ()
    assert (after.job_id, after.sha256, after.path) != (before.job_id, before.sha256, before.path)
    assert (tmp_path / (before.path or "")).exists()
    assert (tmp_path / (after.path or "")).exists()


async def test_a_killed_run_pays_once_for_a_row_that_it_makes_again(tmp_path: Path) -> None:
    async with Sandbox(quick(wav="silent")) as box, client_of(box) as client:
        await run(client, [MusicGen("waltz", duration=30)], tmp_path)
    async with Ledger(tmp_path) as ledger:  # killed right after the row was planned again
        await ledger.write(changes.retaken(await ledger.row(1), "made again"))
    async with Sandbox(quick(), seed=100) as box, client_of(box) as client:
        again = {"same_account": True, "retry_flagged": ["silent"]}
        assert len(await run(client, None, tmp_path, **again)) == 1
        assert not await run(client, None, tmp_path, **again)
        assert paid(box) == {"waltz": 1}


async def test_a_flag_that_does_not_exist_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match="'loud' is no flag of a sound; there are si"):
            await run(client, ["waltz"], tmp_path, retry_flagged=["loud"])
        assert not paid(box)


async def test_a_run_that_is_killed_before_the_new_file_is_there_does_not_take_the_old_one(
    tmp_path: Path,
) -> None:
    waltz = MusicGen("waltz", duration=30)
    async with Sandbox(quick(wav="silent")) as box, client_of(box) as client:
        await run(client, [waltz], tmp_path)
    before = rows(tmp_path)[0]
    async with Sandbox(quick(), seed=100) as box, client_of(box) as client:
        job = await client.submit(waltz)
        await job.result()
        async with Ledger(tmp_path) as ledger:
            await ledger.write(changes.retaken(before, "made again"))
            await ledger.write(changes.intent(1, 7, before.attempt + 1))
            await ledger.write(changes.accepted(1, job.id, job.to_json()))
            await ledger.write(changes.ready(1, job.to_json()))
        await run(client, None, tmp_path, same_account=True)
        assert paid(box) == {"waltz": 1}
    after = rows(tmp_path)[0]
    assert after.flags == ()
    assert after.sha256 != before.sha256
    assert after.path != before.path
