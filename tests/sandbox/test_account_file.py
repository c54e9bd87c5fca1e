"""An account that is kept in a file is the account of the next sandbox with that file."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelslab_async import MusicGen
from modelslab_async.sandbox import AccountFileError, Sandbox, Scenario

from ..support.quick import client_of

pytestmark = pytest.mark.anyio

QUICK = Scenario(mode="sync", generation_seconds=0)
WALTZ = MusicGen("waltz", max_new_token=256)


async def test_a_later_sandbox_has_the_jobs_and_their_files(tmp_path: Path) -> None:
    file = tmp_path / "account"
    async with Sandbox(QUICK, account=file, seed=7) as box, client_of(box) as client:
        made = await client.generate(WALTZ)
        before = box.canonical(made.id)
    async with Sandbox(QUICK, account=file) as box, client_of(box) as client:
        assert (await client.download(made, to=tmp_path / "again.wav")).path.read_bytes() == before
        assert [number for number, _ in box.book.debits] == [int(made.id)]
        assert box.book.balance == 1000 - sum(price for _, price in box.book.debits)
        assert int((await client.generate(WALTZ)).id) == int(made.id) + 1


async def test_a_job_goes_on_while_no_sandbox_is_there(tmp_path: Path) -> None:
    file = tmp_path / "account"
    slow = Scenario(generation_seconds=3600)
    async with Sandbox(slow, account=file) as box, client_of(box) as client:
        job = await client.submit(WALTZ)
    file.write_text(file.read_text().replace('"at": ', '"at": -'))  # long ago
    async with Sandbox(slow, account=file) as box:
        assert box.book.jobs[int(job.id)].done


async def test_a_line_that_a_kill_has_cut_is_no_job_and_hides_no_later_one(tmp_path: Path) -> None:
    file = tmp_path / "account"
    for _ in range(2):
        async with Sandbox(QUICK, account=file) as box, client_of(box) as client:
            await client.generate(WALTZ)
        with file.open("ab") as end:
            end.write(file.read_bytes().splitlines()[-1][:40])
    async with Sandbox(QUICK, account=file) as box:
        assert len(box.book.debits) == 2


@pytest.mark.parametrize("line", [b"3", b"{}", b"\xff", b'{"id": 1', b"null"])
async def test_a_damaged_line_among_others_is_an_error(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "account"
    async with Sandbox(QUICK, account=file) as box, client_of(box) as client:
        await client.generate(WALTZ)
    first, job = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([first, line, job, b""]))
    with pytest.raises(AccountFileError, match="account is damaged: line 2 is no job"):
        Sandbox(account=file)


@pytest.mark.parametrize("text", ["music\n", "{}\n", "[]\n", '{"modelslab_sandbox": 9}\n'])
def test_another_file_is_refused_and_stays_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "notes"
    file.write_text(text)
    with pytest.raises(AccountFileError, match="notes is"):
        Sandbox(account=file)
    assert file.read_text() == text
