"""A batch belongs to the account that has paid for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelslab_async import LimitReached, Limits, ModelsLab, WrongAccount
from modelslab_async._engine.secret import Secret
from modelslab_async.batch._sqlite.reader import Reader
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox

from ..cli.test_cli import against, command
from ..support.batches import pieces, quick, rows, run, run_until_stopped, states
from ..support.manifests import last_line, manifest
from ..support.quick import POLL, client_of, free_port

pytestmark = pytest.mark.anyio

S = RowState
MINE, THEIRS = "m" * 40, "t" * 40
ONE, ALL = Limits(max_jobs_total=1), Limits(max_jobs_total=9)


async def one_of_three(box: Sandbox, directory: Path) -> None:
    """A batch whose first row is paid for and done."""
    async with client_of(box, max_jobs=1) as client:
        await run_until_stopped(client, pieces(3), directory, LimitReached, limits=ONE)


async def one_detached(box: Sandbox, directory: Path) -> None:
    """A batch that waits for its job no longer."""
    box.scenario = quick(generation_seconds=60)
    async with client_of(box, timeout=0.05) as client:
        await run(client, pieces(1), directory)
    assert states(directory) == {S.DETACHED: 1}


async def one_unknown(box: Sandbox, directory: Path) -> None:
    """A batch that does not know what became of its submit."""
    box.scenario = quick(Fault(on="submit", kind="reset"), fetch_meta=False)
    async with client_of(box) as client:
        await run(client, pieces(1), directory)
    assert states(directory) == {S.AMBIGUOUS: 1}


BEGUN = [one_of_three, one_detached, one_unknown]


@pytest.mark.parametrize("begun", BEGUN, ids=lambda begun: begun.__name__)
@pytest.mark.parametrize("same_key", [False, True], ids=["another key", "another origin"])
async def test_m07_a_run_with_another_account_is_refused_before_it_asks_anything(
    tmp_path: Path, begun: object, same_key: bool
) -> None:
    async with (
        Sandbox(quick(), key=MINE) as box,
        Sandbox(quick(), key=MINE if same_key else THEIRS) as other,
    ):
        await begun(box, tmp_path)  # type: ignore[operator]
        before = [(row.state, row.job_id) for row in rows(tmp_path)]
        async with client_of(other) as client:
            what = "the key that it was paid with at" if same_key else "another key at"
            with pytest.raises(WrongAccount, match=f"uses {what} {other.url}: .*same_account=True"):
                await run(client, None, tmp_path, limits=ALL)
        assert not other.book.requests
        assert [(row.state, row.job_id) for row in rows(tmp_path)] == before


async def test_m07_another_key_at_the_same_origin_is_refused_and_may_be_confirmed(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick(), key=MINE) as box:
        await one_of_three(box, tmp_path)
        url = box.url
        async with ModelsLab(THEIRS, base_url=url, poll=POLL) as client:
            with pytest.raises(WrongAccount, match="another key"):
                await run(client, None, tmp_path, limits=ALL)
    port = int(url.rpartition(":")[2])
    async with Sandbox(quick(), key=THEIRS, port=port, seed=1) as box:  # the key was changed
        async with client_of(box) as client:
            await run(client, None, tmp_path, limits=ALL, same_account=True)
        async with client_of(box) as client:  # that is kept
            await run(client, pieces(4), tmp_path)
        assert states(tmp_path) == {S.DONE: 4}
        async with ModelsLab(MINE, base_url=url, poll=POLL) as client:
            with pytest.raises(WrongAccount):
                await run(client, pieces(5), tmp_path)


async def test_m07_a_batch_that_has_paid_for_nothing_belongs_to_whoever_works_on_it(
    tmp_path: Path,
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with Sandbox(quick(), key=MINE) as refusing:
        async with ModelsLab("no-such-key", base_url=refusing.url) as client:
            await run_until_stopped(client, pieces(2), tmp_path, Exception, "key")
        assert not refusing.book.debits
    none = Limits(max_jobs_total=0)
    async with ModelsLab(THEIRS, base_url=nowhere) as client:
        await run_until_stopped(client, None, tmp_path, LimitReached, limits=none)
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, None, tmp_path, limits=ALL)
    assert states(tmp_path) == {S.DONE: 2}


async def test_m07_a_batch_that_is_done_asks_nobody_and_needs_no_account(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(2), tmp_path)
    async with Sandbox(quick()) as box, client_of(box) as client:  # as in a notebook
        assert await run(client, pieces(2), tmp_path) == []
        with pytest.raises(WrongAccount):
            await run(client, pieces(3), tmp_path)
        assert not box.book.requests


async def test_m07_two_ledgers_of_one_key_have_nothing_in_common(tmp_path: Path) -> None:
    async with Sandbox(quick(), key=MINE) as box, client_of(box) as client:
        for name in ("a", "b"):
            await run(client, pieces(1), tmp_path / name)
    found = []
    for name in ("a", "b"):
        with Reader.open(tmp_path / name) as reader:
            found.append(reader.meta())
    a, b = found
    assert a["origin"] == b["origin"]
    assert a["account_key"] != b["account_key"]
    assert a["account_salt"] != b["account_salt"]
    for path in tmp_path.glob("*/ledger.sqlite3*"):
        content = path.read_bytes()
        assert MINE.encode() not in content
        assert Secret(MINE).fingerprint.encode() not in content


@pytest.mark.parametrize(
    ("key", "salt", "is_same"),
    [(MINE, b"1", True), (MINE, b"2", False), (THEIRS, b"1", False), (MINE + "m", b"1", False)],
)
def test_m07_a_print_is_of_one_key_and_one_salt(key: str, salt: bytes, is_same: bool) -> None:
    known = Secret(MINE).salted_fingerprint(b"1")
    assert (Secret(key).salted_fingerprint(salt) == known) is is_same
    assert len(known) == 12


# The command line


async def test_m07_resume_says_whose_batch_it_is_and_how_to_go_on(tmp_path: Path) -> None:
    lines = manifest(tmp_path, "waltz", "raga")
    async with Sandbox(quick(), key=MINE) as box:
        await against(box, tmp_path, "batch", lines, "-o", "out", "--max-jobs-total", "1")
        more = ("resume", "out", "--max-jobs-total", "2")
        refused = await against(box, tmp_path, *more, MODELSLAB_API_KEY=THEIRS)
        assert (refused.returncode, len(box.book.debits)) == (3, 1), refused.stderr
        assert "another key" in refused.stderr
        assert "--same-account" in refused.stderr
        assert MINE not in refused.stderr + refused.stdout
        assert THEIRS not in refused.stderr + refused.stdout
        done = await against(box, tmp_path, *more)
        assert (done.returncode, len(box.book.debits)) == (0, 2), done.stderr


async def test_m07_a_batch_of_the_sandbox_goes_on_with_the_sandbox_only(tmp_path: Path) -> None:
    lines = manifest(tmp_path, "waltz", "raga")
    first = command(tmp_path, "batch", lines, "--sandbox", "-o", "out", "--max-jobs-total", "1")
    assert first.returncode == 9, first.stderr
    async with Sandbox(quick(), key=MINE) as box:
        more = ("resume", "out", "--max-jobs-total", "2")
        refused = await against(box, tmp_path, *more)
        assert (refused.returncode, box.book.requests) == (3, []), refused.stderr
    done = command(tmp_path, *more, "--sandbox")
    assert done.returncode == 0, done.stderr


async def test_m07_the_sandbox_mixes_nothing_into_a_batch_that_was_paid_for(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box:
        await one_of_three(box, tmp_path / "out")
    with Reader.open(tmp_path / "out") as reader:
        assert reader.meta()["origin"] == box.url
    from modelslab_async.batch._ledger import Ledger

    async with Ledger(tmp_path / "out") as ledger:
        await ledger.set_meta({"origin": "https://modelslab.com"})
    done = command(tmp_path, "resume", "out", "--sandbox", "--max-jobs-total", "2")
    assert done.returncode == 2
    assert "holds a batch of https://modelslab.com" in done.stderr


async def test_m07_reconcile_adopts_no_job_of_another_account(tmp_path: Path) -> None:
    async with Sandbox(quick(), key=MINE) as box, Sandbox(quick(), key=THEIRS) as other:
        await one_unknown(box, tmp_path / "out")
        await one_of_three(other, tmp_path / "theirs")
        [job] = other.book.jobs
        done = await against(other, tmp_path, "reconcile", "out", "--adopt", f"1={job}")
        assert done.returncode == 3
        assert states(tmp_path / "out") == {S.AMBIGUOUS: 1}
        assert "--same-account" in last_line(done.stderr)
