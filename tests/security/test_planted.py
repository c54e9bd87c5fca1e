"""Nothing is written through what somebody planted under a name of ours (T15).

For each name that we write, ten kinds of thing stand there before we come. Whether we refuse or go
on beside it is for us to choose; that nothing elsewhere changes is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from modelslab_async import DownloadError, LedgerError, RemoteFile, WebhookError
from modelslab_async.batch._results import (
    RESULTS_NAME,
    Result,
    check_results_name,
    write_results,
)
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.webhooks import Delivery, SqliteInbox
from modelslab_async.webhooks._signing import read_hint

from ..support.ledgers import planned
from ..support.tracks import NO_PATIENCE, Host, downloader, says, wav
from .planted import PLANTED, Elsewhere

LEDGER = ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"]
SIDE = ["ledger.lock", "ledger.rescue.jsonl"]

kinds = pytest.mark.parametrize("kind", PLANTED)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere.made(tmp_path / "elsewhere")


def plan_a_row(out: Path) -> None:
    store = Store.open(out)
    try:
        with store.transaction():
            store.plan(planned(1))
    finally:
        store.close()


def give_results(out: Path) -> None:
    check_results_name(out)
    write_results(out, [Result(row=1, id="a", prompt="rock")])


def works(work: Callable[[Path], None], out: Path) -> bool:
    """Whether it was done; what stands in the way may be refused."""
    with contextlib.suppress(LedgerError, OSError):
        work(out)
        return True
    return False


@kinds
@pytest.mark.parametrize("name", [*LEDGER, *SIDE])
def test_t15_no_ledger_is_written_through_what_is_planted(
    name: str, kind: str, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    elsewhere.plant(kind, tmp_path / "out" / name)
    done = works(plan_a_row, tmp_path / "out")
    assert elsewhere.untouched
    assert not done or name not in ("ledger.sqlite3", *SIDE)  # SQLite takes its own files away


@kinds
@pytest.mark.parametrize("name", [RESULTS_NAME, f".{RESULTS_NAME}.part"])
def test_t15_no_result_is_written_through_what_is_planted(
    name: str, kind: str, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    elsewhere.plant(kind, tmp_path / "out" / name)
    done = works(give_results, tmp_path / "out")
    assert elsewhere.untouched
    assert not done or not (tmp_path / "out" / RESULTS_NAME).is_symlink()


@pytest.mark.anyio
@kinds
@pytest.mark.parametrize("name", ["inbox.sqlite3", "inbox.sqlite3-journal"])
async def test_t15_no_delivery_is_written_through_what_is_planted(
    name: str, kind: str, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    elsewhere.plant(kind, tmp_path / "out" / name)
    reply = read_hint(b'{"status":"success","id":7}')
    assert reply is not None
    async with SqliteInbox(tmp_path / "out" / "inbox.sqlite3") as inbox:
        with contextlib.suppress(WebhookError):
            await inbox.put(Delivery("5", reply, 0.0, "digest"))
    assert elsewhere.untouched


FOLDERS = ("folder", "link to a folder")  # a target that is one means: some name in there


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [kind for kind in PLANTED if kind not in FOLDERS])
async def test_t15_no_song_is_written_through_its_own_name(
    kind: str, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    elsewhere.plant(kind, tmp_path / "out" / "song.wav")
    async with Host(says(wav())) as host, downloader(NO_PATIENCE) as client:
        with pytest.raises(DownloadError):
            await client.download(RemoteFile((host.url,)), tmp_path / "out" / "song.wav")
    assert elsewhere.untouched


@pytest.mark.anyio
@kinds
async def test_t15_no_song_is_written_through_the_name_of_a_part(
    kind: str, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    elsewhere.plant(kind, tmp_path / "out" / ".song.0123456789ab.part")
    async with Host(says(wav())) as host, downloader(NO_PATIENCE) as client:
        saved = await client.download(RemoteFile((host.url,)), tmp_path / "out" / "song.wav")
    assert saved.path.read_bytes() == wav()
    assert elsewhere.untouched
