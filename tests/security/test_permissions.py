"""What a batch and an inbox keep is for their owner alone, whatever the umask (T16)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelslab_async import MusicGen
from modelslab_async.sandbox import Sandbox
from modelslab_async.webhooks import Delivery, SqliteInbox
from modelslab_async.webhooks._signing import read_hint

from ..support.batches import pieces, quick
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

OPEN_TO_ALL = (".wav", "results.jsonl", ".part")  # files that the user makes, by his own umask


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The mode of each file here that is not the user's to share."""
    entries = [entry for entry in os.scandir(folder) if not entry.name.endswith(OPEN_TO_ALL)]
    return {entry.name: entry.stat().st_mode & 0o7777 for entry in entries}


async def test_t16_a_batch_keeps_its_ledger_private_from_beginning_to_end(
    tmp_path: Path, umask: int
) -> None:
    out = tmp_path / "new" / "out"
    seen: dict[str, int] = {}
    async with (
        Sandbox(quick()) as box,
        client_of(box) as client,
        client.batch(pieces(3), directory=out) as outcomes,
    ):
        async for _ in outcomes:
            seen |= modes(out)
    family = {f"ledger.sqlite3{ending}" for ending in ("", "-wal", "-shm")}
    assert seen == dict.fromkeys(family | {"ledger.lock", "ledger.rescue.jsonl"}, 0o600)
    assert out.stat().st_mode & 0o7777 == 0o700
    assert set(modes(out).values()) == {0o600}


async def test_a_published_file_has_no_more_rights_than_the_umask_leaves(
    tmp_path: Path, umask: int
) -> None:
    async with Sandbox(quick(), seed=1) as box, client_of(box) as client:
        made = await client.generate(MusicGen("bells", max_new_token=256))
        saved = await client.download(made, to=tmp_path / "bells.wav")
    assert saved.path.stat().st_mode & 0o7777 == 0o666 & ~umask


async def test_t16_an_inbox_is_private_and_so_is_its_journal(tmp_path: Path, umask: int) -> None:
    reply = read_hint(b'{"status":"success","id":7}')
    assert reply is not None
    async with SqliteInbox(tmp_path / "inbox.sqlite3") as inbox:
        await inbox.put(Delivery("5", reply, 0.0, "digest"))
        assert modes(tmp_path) == {"inbox.sqlite3": 0o600, "inbox.sqlite3-journal": 0o600}


async def test_t16_an_inbox_that_was_open_to_all_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "inbox.sqlite3").touch(mode=0o666)
    (tmp_path / "inbox.sqlite3").chmod(0o666)
    async with SqliteInbox(tmp_path / "inbox.sqlite3") as inbox:
        await inbox.take("5")
    assert modes(tmp_path)["inbox.sqlite3"] == 0o600
