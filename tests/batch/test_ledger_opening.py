"""Who may open a ledger, where, and what it may have become meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._sqlite import location as place
from modelslab_async.batch._sqlite.advice import explained
from modelslab_async.batch._sqlite.reader import LEDGER_NAME, Reader
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.batch._states import RowState
from modelslab_async.errors import LedgerError

from ..support.ledgers import planned

pytestmark = pytest.mark.anyio

FAMILY = {"ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"}
SIDE = {"ledger.lock", "ledger.rescue.jsonl"}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_t16_nobody_else_can_read_a_ledger(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store.open(tmp_path / "new" / "out")
        with store.transaction():
            store.plan(planned(1))
        modes = {path.name: path.stat().st_mode & 0o777 for path in store_files(tmp_path)}
        store.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(FAMILY | SIDE, 0o600)
    assert stat.S_IMODE((tmp_path / "new" / "out").stat().st_mode) == 0o700


def store_files(directory: Path) -> list[Path]:
    return list((directory / "new" / "out").iterdir())


@pytest.mark.parametrize("name", sorted(SIDE | {LEDGER_NAME}))
def test_a_planted_link_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").touch(mode=0o600)
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="cannot be opened"):
        Store.open(tmp_path)
    assert (tmp_path / "elsewhere").read_bytes() == b""


@pytest.mark.parametrize("name", ["n" * 100, "\u97f3\u697d" * 20])
@pytest.mark.parametrize("link", [False, True])
def test_l06_a_path_that_is_too_long_for_sqlite_is_said_to_be(
    tmp_path: Path, name: str, link: bool
) -> None:
    directory = tmp_path.joinpath(*[name] * 6)
    directory.mkdir(parents=True)
    if link:
        (tmp_path / "short").symlink_to(directory)
        directory = tmp_path / "short"
    with pytest.raises(LedgerError, match="length of its path"):
        Store.open(directory)
    (directory / LEDGER_NAME).touch()
    with pytest.raises(LedgerError, match="length of its path"):
        Reader.open(directory)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LEDGER_NAME, 0o600)
    with pytest.raises(LedgerError, match="not a regular file"):
        Store.open(tmp_path)


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(LedgerError, match=r"cannot be created: .*; name another one"):
        Store.open(tmp_path / "out")


def test_h02_a_link_to_nothing_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("nowhere/deep")
    with pytest.raises(LedgerError, match=r"a link to nowhere/deep, which is not there: mount"):
        Store.open(tmp_path / "out")


def test_h02_no_room_for_the_lock_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, "_prepared", full)
    with pytest.raises(LedgerError, match="No space left on device; free disk space, then run"):
        Store.open(tmp_path / "out")


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("27 1 0:40 / / rw - nfs4 server:/ rw\n")
    monkeypatch.setattr(place, "_MOUNTS", mounts)
    with pytest.raises(LedgerError, match=r"network file system \(nfs4\)"):
        Store.open(tmp_path / "out")


@pytest.mark.parametrize("part", ["LOCK", "RDLOCK", "SHMLOCK", "SHMMAP", "SHMOPEN"])
def test_h02_a_file_system_without_what_sqlite_shares_is_no_disk_that_fails(part: str) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = f"SQLITE_IOERR_{part}"
    text = str(explained(error, "it was opened"))
    assert "this file system does not have" in text
    assert "copy the whole directory to another disk" in text


@pytest.mark.parametrize("name", ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"])
def test_h02_no_room_is_not_taken_for_a_file_system_that_lacks_something(name: str) -> None:
    """What SQLite shares is a file too: it cannot grow on a full disk or over a limit."""
    error = sqlite3.OperationalError("no room")
    error.sqlite_errorname = name
    text = str(explained(error, "it was opened"))
    assert "free some space" in text
    assert "another disk" not in text


def test_a_file_system_in_memory_is_only_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("27 1 0:40 / / rw - tmpfs none rw\n")
    monkeypatch.setattr(place, "_MOUNTS", mounts)
    Store.open(tmp_path / "out").close()
    assert "is in memory" in caplog.text


async def test_l09_one_process_at_a_time_works_on_a_directory(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from modelslab_async.batch._sqlite.store import Store
Store.open(Path({str(tmp_path)!r}))
"""
    async with Ledger(tmp_path):
        second = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
    assert f"another process (pid {os.getpid()} on " in second.stderr
    assert second.returncode == 1
    Store.open(tmp_path).close()


async def test_a_ledger_can_be_looked_at_while_another_works(tmp_path: Path) -> None:
    async with Ledger(tmp_path) as ledger:
        await ledger.plan(planned(2))
        with Reader.open(tmp_path) as reader:
            assert reader.counts()[RowState.PLANNED] == 2
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.db.execute("DELETE FROM rows")


def test_there_is_nothing_to_look_at_where_no_batch_was(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no batch"):
        Reader.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def made(directory: Path, rows: int = 1) -> Path:
    store = Store.open(directory)
    with store.transaction():
        store.plan(planned(rows))
    store.close()
    return directory / LEDGER_NAME


def edit(directory: Path, statement: str) -> None:
    db = sqlite3.connect(directory / LEDGER_NAME, isolation_level=None)
    db.execute(statement)
    db.close()


def test_l06_what_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_NAME
    path.write_bytes(b"my shopping list\n" * 100)
    path.chmod(0o600)
    for way in (Store.open, Reader.open):
        with pytest.raises(LedgerError, match="not a ledger"):
            way(tmp_path)
    assert path.read_bytes() == b"my shopping list\n" * 100


def test_l06_a_damaged_ledger_is_not_repaired(tmp_path: Path) -> None:
    path = made(tmp_path, rows=2000)
    content = bytearray(path.read_bytes())
    for offset in range(8192, len(content), 4096):
        content[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged"):
        Store.open(tmp_path)


def test_another_programs_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    edit(tmp_path, "CREATE TABLE songs (title)")
    (tmp_path / LEDGER_NAME).chmod(0o600)
    before = (tmp_path / LEDGER_NAME).read_bytes()
    with pytest.raises(LedgerError, match="another program"):
        Store.open(tmp_path)
    assert (tmp_path / LEDGER_NAME).read_bytes() == before


def test_l08_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    made(tmp_path)
    edit(tmp_path, "PRAGMA user_version = 99")
    for way in (Store.open, Reader.open):
        with pytest.raises(LedgerError, match="newer version"):
            way(tmp_path)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE rows SET state = 'ready'", "its history ends with 'planned'"),
        ("PRAGMA ignore_check_constraints = ON; UPDATE rows SET state = 'lost'", "damaged"),
    ],
)
def test_l15_a_ledger_changed_by_hand_is_noticed(
    tmp_path: Path, statement: str, reason: str
) -> None:
    path = made(tmp_path)
    db = sqlite3.connect(path)
    db.executescript(statement)
    db.close()
    with pytest.raises(LedgerError, match=reason):
        Store.open(tmp_path)


def test_t36_a_ledger_put_back_from_a_backup_is_noticed(tmp_path: Path) -> None:
    path = made(tmp_path)
    shutil.copy(path, tmp_path / "backup")
    Store.open(tmp_path).close()
    shutil.copy(tmp_path / "backup", path)  # into the same file
    store = Store.open(tmp_path)
    assert store.in_doubt
    store.close()
    store = Store.open(tmp_path)  # opening it is no answer
    assert store.in_doubt
    with store.transaction():
        store.accept()
    store.close()
    assert not opened_in_doubt(tmp_path)


def opened_in_doubt(directory: Path) -> bool:
    store = Store.open(directory)
    store.close()
    return store.in_doubt


def test_l07_a_ledger_that_is_gone_is_noticed(tmp_path: Path) -> None:
    made(tmp_path).unlink()
    with pytest.raises(LedgerError, match="is missing, and only it knows what was paid for"):
        Store.open(tmp_path)


def test_a_lock_file_torn_by_a_crash_stops_nobody(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "ledger.lock").write_text('{"pid": 1')
    Store.open(tmp_path).close()
