"""Reading a ledger needs no right to write, and leaves a directory as it is (L22)."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelslab_async import LedgerError, RowState
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._sqlite import reader as reading
from modelslab_async.batch._sqlite.reader import LEDGER_NAME, Reader, holds_batch, is_writable
from modelslab_async.batch._sqlite.store import Store

from ..cli.test_cli import command
from ..simulation.kill_sweep import in_child
from ..support.ledgers import planned

LOG = f"{LEDGER_NAME}-wal"
READ_ONLY = ["mount", "-o", "remount,ro,bind"]
UNDO = ["umount"]


def work(out: Path) -> Store:
    """A ledger with three rows that are planned and one of which nobody knows what became."""
    store = Store.open(out)
    with store.transaction():
        store.plan(planned(4))
    with store.transaction():
        store.apply(changes.intent(4, 4, 1))
        store.apply(changes.ambiguous(4, "reset"))
    return store


def closed(out: Path) -> None:
    work(out).close()


def killed(out: Path) -> None:
    def die() -> None:
        work(out)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die) == -signal.SIGKILL


def killed_without_shared_memory(out: Path) -> None:
    killed(out)
    (out / f"{LEDGER_NAME}-shm").unlink()


LEFT = {"closed": closed, "killed": killed, "no shared memory": killed_without_shared_memory}


@pytest.fixture(params=list(LEFT.values()), ids=list(LEFT))
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    request.param(tmp_path / "out")
    return tmp_path / "out"


def look(out: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in [out, *out.iterdir()]:
        about = path.stat()
        found[path.name] = (about.st_ino, about.st_size, about.st_mtime_ns)
    return found


def check(out: Path) -> None:
    assert holds_batch(out)
    with Reader.open(out) as reader:
        assert reader.counts()[RowState.PLANNED] == 3
        assert reader.row(4).state is RowState.AMBIGUOUS


def test_l22_reading_leaves_a_directory_as_it_is(out: Path) -> None:
    before = look(out)
    check(out)
    assert look(out) == before


def test_l22_reading_leaves_no_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    killed(tmp_path / "out")
    check(tmp_path / "out")
    for name in (LEDGER_NAME, LOG):
        (tmp_path / "out" / name).write_bytes(b"no database at all" * 1000)
    with pytest.raises(LedgerError):
        Reader.open(tmp_path / "out")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_l22_where_nothing_else_can_be_written_to_a_copy_is_taken_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in []")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    killed(tmp_path / "out")
    monkeypatch.setattr(reading, "_MEMORY", str(tmp_path / "memory"))
    with pytest.raises(LedgerError, match="No usable temporary directory"):
        Reader.open(tmp_path / "out")
    (tmp_path / "memory").mkdir()
    check(tmp_path / "out")
    assert list((tmp_path / "memory").iterdir()) == []


@pytest.mark.parametrize("mode", [0o555, 0o700, 0o500])
@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to become somebody else")
def test_l22_who_may_only_read_can_read(out: Path, mode: int) -> None:
    before = look(out)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        other = Path(place, "out")
        Path(place).chmod(0o755)
        shutil.copytree(out, other)
        for path in [*other.iterdir(), other]:
            path.chmod(0o444)
            if mode != 0o555:
                os.chown(path, 65534, 65534)
        other.chmod(mode)
        before = look(other)

        def read() -> None:
            os.setgroups([])
            os.setuid(65534)
            assert is_writable(other) is False
            check(other)

        assert in_child(read) == 0
        assert look(other) == before


@pytest.fixture
def read_only(out: Path) -> Iterator[Path]:
    bind = ["mount", "--bind", str(out), str(out)]
    if os.geteuid() or subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount")
    try:
        subprocess.run([*READ_ONLY, str(out)], check=True)
        yield out
    finally:
        subprocess.run([*UNDO, str(out)], check=True)


def test_l22_a_read_only_mount_can_be_read(read_only: Path, tmp_path: Path) -> None:
    before = look(read_only)
    check(read_only)
    status = command(tmp_path, "status", "out")
    assert (status.returncode, "4 rows" in status.stdout) == (0, True), status.stderr
    listed = command(tmp_path, "reconcile", "out")
    assert listed.returncode == 8, listed.stderr
    assert "row 4 (row-4): ambiguous, track_id 4" in listed.stdout
    assert "listing its rows only" in listed.stderr
    changed = command(tmp_path, "reconcile", "out", "--abandon", "4")
    assert changed.returncode == 1
    assert look(read_only) == before


def test_l22_a_run_is_read_beside_it_and_ends_in_order(tmp_path: Path) -> None:
    store = work(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    check(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before
    with store.transaction():
        store.plan(planned(2, start=10))
    store.close()
    assert LOG not in {path.name for path in tmp_path.iterdir()}
    with Reader.open(tmp_path) as reader:
        assert reader.counts()[RowState.PLANNED] == 5


def test_l22_a_run_whose_shared_memory_cannot_be_used_is_read_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = work(tmp_path)
    connect: Callable[..., object] = reading._connected

    def refuse(path: Path, how: str) -> object:
        return connect(path if how != "mode=ro" else path.with_name("nothing"), how)

    monkeypatch.setattr(reading, "_connected", refuse)
    check(tmp_path)
    store.close()


def test_l22_a_copy_is_taken_again_when_a_run_has_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = work(tmp_path)
    copyfile, times = shutil.copyfile, 0

    def beside_a_run(source: Path, target: Path) -> object:
        nonlocal times
        times += 1
        if times == 1:
            with store.transaction():
                store.plan(planned(1, start=10))
        return copyfile(source, target)

    monkeypatch.setattr(reading, "_is_worked_on", lambda _: False)
    monkeypatch.setattr(shutil, "copyfile", beside_a_run)
    with Reader.open(tmp_path) as reader:
        assert reader.counts()[RowState.PLANNED] == 4
    assert times == 4
    store.close()


def test_l22_who_looks_keeps_no_run_from_starting(tmp_path: Path) -> None:
    killed(tmp_path)

    def look_often() -> None:
        for _ in range(5):
            check(tmp_path)

    assert in_child(look_often) == 0
    Store.open(tmp_path).close()
