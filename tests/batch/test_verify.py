"""Files of a finished batch that are missing or changed are found, and brought again free (L24)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve

from modelslab_async import Failed, ModelsLab, Succeeded, WrongAccount
from modelslab_async.batch import (
    FaultKind,
    FileFault,
    Reader,
    RowState,
    plan_batch,
    verify_batch,
)
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch import _verify as verifying
from modelslab_async.batch._rows import StoredFile
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.sandbox import Fault, Sandbox

from ..simulation.kill_sweep import in_child
from ..support.batches import (
    files,
    paid,
    pieces,
    quick,
    results,
    rows,
    run,
    run_until_stopped,
    states,
)
from ..support.ledgers import planned
from ..support.quick import SOON_GIVEN_UP, client_of
from .test_ledger_reading import READ_ONLY, UNDO

pytestmark = pytest.mark.anyio

CONTENT = b"RIFF and so on, in place of music"
GONE_LINKS = Fault(on="download", kind="answer", status=403, times=None)
GONE_JOBS = Fault(on="fetch", kind="answer", status=404, times=None)


# --- what is wrong with a file ----------------------------------------------------------------


def finished(out: Path, count: int = 3) -> list[Path]:
    """A batch whose rows are all done, and its files."""
    store = Store.open(out)
    with store.transaction():
        store.plan(planned(count))
        for seq in range(1, count + 1):
            (out / f"{seq}.wav").write_bytes(CONTENT)
            about = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT)}
            store.apply(changes.intent(seq, seq, 1))
            store.apply(changes.finished_at_once(seq, f"job-{seq}", "{}"))
            store.apply(
                changes.done(seq, f"{seq}.wav", **about, seconds=1.0, integrity="exact")  # type: ignore[arg-type]
            )
    store.close()
    return [out / f"{seq}.wav" for seq in range(1, count + 1)]


def by_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def by_a_link_to_the_same(file: Path) -> None:
    file.rename(file.with_suffix(".moved"))
    file.symlink_to(file.with_suffix(".moved").name)


def by_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


SIZES: dict[str, tuple[Callable[[Path], object], FaultKind, str]] = {
    "deleted": (Path.unlink, FaultKind.MISSING, "is not there"),
    "a directory": (by_a_directory, FaultKind.CHANGED, "is now a directory"),
    "a link": (by_a_link_to_the_same, FaultKind.CHANGED, "is now a symbolic link"),
    "a pipe": (by_a_pipe, FaultKind.CHANGED, "is now not a regular file"),
    "cut": (
        lambda file: file.write_bytes(CONTENT[:-1]),
        FaultKind.CHANGED,
        f"has {len(CONTENT) - 1} bytes and was saved with {len(CONTENT)}",
    ),
    "longer": (
        lambda file: file.write_bytes(CONTENT + b"\0"),
        FaultKind.CHANGED,
        f"has {len(CONTENT) + 1} bytes and was saved with {len(CONTENT)}",
    ),
    "emptied": (
        lambda file: file.write_bytes(b""),
        FaultKind.CHANGED,
        f"has 0 bytes and was saved with {len(CONTENT)}",
    ),
}


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("damage", SIZES)
def test_l24_a_missing_or_changed_file_is_told_with_its_row(
    damage: str, content: bool, tmp_path: Path
) -> None:
    do, kind, reason = SIZES[damage]
    do(finished(tmp_path)[1])
    fault = FileFault(row=2, id=rows(tmp_path)[1].id, path="2.wav", kind=kind, reason=reason)
    assert list(verify_batch(tmp_path, content=content)) == [fault]


def test_l24_other_bytes_of_the_same_size_are_found_by_reading(tmp_path: Path) -> None:
    file = finished(tmp_path)[2]
    about = file.stat()
    file.write_bytes(CONTENT[:-1] + b"\0")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert list(verify_batch(tmp_path)) == []
    [fault] = verify_batch(tmp_path, content=True)
    assert (fault.row, fault.kind) == (3, FaultKind.CHANGED)


def test_l24_a_file_that_is_as_it_was_saved_is_no_fault(tmp_path: Path) -> None:
    """Times, modes and second names change with backups and copies."""
    first, second, third = finished(tmp_path)
    os.utime(first, (0, 0))
    second.chmod(0o444)
    (tmp_path / "backup.wav").hardlink_to(third)
    assert list(verify_batch(tmp_path, content=True)) == []


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O")])
def test_l24_a_file_that_cannot_be_read_may_be_as_it_was_saved(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads what no mode allows, so the refusal is made up."""
    finished(tmp_path)

    def refuse(path: Path) -> int:
        if path.name == "2.wav":
            raise error
        return os.open(path, os.O_RDONLY)

    monkeypatch.setattr(verifying, "open_unfollowed", refuse)
    [fault] = verify_batch(tmp_path, content=True)
    assert (fault.row, fault.kind) == (2, FaultKind.UNREADABLE)
    assert fault.reason == f"cannot be read: {error.strerror}"


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to become somebody else")
def test_l24_a_user_without_the_right_to_read_a_file_is_told_so() -> None:
    with TemporaryDirectory(dir="/tmp") as place:
        finished(Path(place))[1].chmod(0)
        Path(place, "ledger.sqlite3").chmod(0o644)
        Path(place).chmod(0o755)

        def check() -> None:
            os.setgroups([])
            os.setuid(65534)
            assert list(verify_batch(Path(place))) == []
            [fault] = verify_batch(Path(place), content=True)
            assert (fault.row, fault.kind) == (2, FaultKind.UNREADABLE)

        assert in_child(check) == 0


@pytest.mark.parametrize("path", ["/etc/passwd", "../1.wav", "a/1.wav", "1.wav/", "", "\0"])
def test_l24_an_edited_ledger_has_no_file_read_outside_its_directory(
    path: str, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    fault = verifying.fault_of(
        tmp_path / "out", StoredFile(1, "a", path, len(CONTENT), "0"), content=True
    )
    assert fault is not None
    assert (fault.kind, fault.reason) == (
        FaultKind.UNREADABLE,
        "is not a name in the directory: the ledger was edited",
    )


def test_l24_only_done_rows_have_a_file_to_be_checked(tmp_path: Path) -> None:
    """What the ledger knows of the file of a READY row may not have its name yet."""
    finished(tmp_path)[0].unlink()
    store = Store.open(tmp_path)
    with store.transaction():
        store.apply(changes.redownload(1, "1.wav is not there"))
    store.close()
    assert list(verify_batch(tmp_path)) == []


def test_l24_a_renamed_directory_is_as_good_as_before(tmp_path: Path) -> None:
    finished(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "album")
    assert list(verify_batch(tmp_path / "album", content=True)) == []
    (tmp_path / "album/3.wav").unlink()
    [fault] = verify_batch(tmp_path / "album")
    assert fault.path == "3.wav"


def test_l24_checking_a_read_only_directory_leaves_nothing(tmp_path: Path) -> None:
    finished(tmp_path)[0].unlink()
    mount = ["mount", "--bind", str(tmp_path), str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run([*READ_ONLY, str(tmp_path)], check=True)
        before = sorted(entry.name for entry in tmp_path.iterdir())
        [fault] = verify_batch(tmp_path, content=True)
        assert fault.kind is FaultKind.MISSING
        assert sorted(entry.name for entry in tmp_path.iterdir()) == before
    finally:
        subprocess.run([*UNDO, str(tmp_path)], check=True)


def test_l24_rows_come_in_their_order_page_after_page(tmp_path: Path) -> None:
    for file in finished(tmp_path, 1203)[::400]:
        file.unlink()
    told: list[int] = []
    faults = verify_batch(tmp_path, progress=told.append)
    assert [fault.row for fault in faults] == [1, 401, 801, 1201]
    assert told == list(range(1, 1204))


# --- they are brought again ---------------------------------------------------------------------


async def done(client: ModelsLab, out: Path, count: int = 3) -> list[Path]:
    """A batch that has brought all its files."""
    await run(client, pieces(count), out)
    assert states(out) == {RowState.DONE: count}
    return [out / (row.path or "") for row in rows(out)]


def overwrite(file: Path) -> None:
    """Other bytes of the same size, which only reading finds."""
    file.write_bytes(bytes(file.stat().st_size))


async def test_l24_missing_and_changed_files_are_downloaded_again_and_nothing_is_paid(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        missing, changed, _ = await done(client, tmp_path)
        before = files(tmp_path)
        missing.unlink()
        changed.write_bytes(b"garbage")
        assert await run(client, None, tmp_path) == []  # they are not asked for
        outcomes = await run(client, None, tmp_path, retry_missing=True)
        assert {outcome.row for outcome in outcomes if isinstance(outcome, Succeeded)} == {1, 2}
        assert paid(box) == dict.fromkeys((f"piece {n}" for n in (1, 2, 3)), 1)
        for row in rows(tmp_path):
            assert (tmp_path / (row.path or "")).read_bytes() == box.canonical(int(row.job_id or 0))
        assert changed.read_bytes() == b"garbage"
        beside = f"{changed.stem}~2.wav"
        assert files(tmp_path) == before | {beside}
        assert [line["path"] for line in results(tmp_path)][:2] == [missing.name, beside]
        assert list(verify_batch(tmp_path, content=True)) == []
        assert await run(client, None, tmp_path, retry_missing=True) == []


@pytest.mark.parametrize("damage", ["a directory", "a link", "a pipe", "cut", "same size"])
async def test_l24_what_has_the_name_of_a_file_is_never_overwritten(
    damage: str, tmp_path: Path
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        [file] = await done(client, tmp_path, 1)
        whole = file.read_bytes()
        overwrite(file) if damage == "same size" else SIZES[damage][0](file)
        about = file.lstat()
        for number in (2, 3):  # again, when the new one has gone the same way
            [outcome] = await run(client, None, tmp_path, retry_missing=True)
            assert isinstance(outcome, Succeeded)
            [saved] = outcome.saved
            assert saved.path == file.with_stem(f"{file.stem}~{number}")
            assert saved.path.read_bytes() == whole
            overwrite(saved.path)
        assert (file.lstat().st_ino, file.lstat().st_mtime_ns) == (about.st_ino, about.st_mtime_ns)
        assert len(box.book.debits) == 1


async def test_l24_a_missing_file_gets_the_name_that_it_had(tmp_path: Path) -> None:
    """Whatever names this run gives, other programs know the old one."""
    async with Sandbox(quick()) as box, client_of(box) as client:
        missing, changed = await done(client, tmp_path, 2)
        missing.unlink()
        changed.write_bytes(b"garbage")
        await run(client, None, tmp_path, retry_missing=True, template="{slug}-{seq}")
        assert files(tmp_path) == {missing.name, changed.name, "piece-2-2.wav"}


async def test_l24_a_file_that_was_put_back_is_taken_without_a_download(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box, download=SOON_GIVEN_UP) as client:
        [file] = await done(client, tmp_path, 1)
        file.rename(tmp_path / "backup")
        box.scenario = quick(GONE_LINKS, GONE_JOBS)
        [outcome] = await run(client, None, tmp_path, retry_missing=True)
        assert isinstance(outcome, Failed)
        (tmp_path / "backup").rename(file)
        [outcome] = await run(client, None, tmp_path, retry=[RowState.OUTPUT_LOST])
        assert isinstance(outcome, Succeeded)
        assert list(verify_batch(tmp_path, content=True)) == []


@pytest.mark.parametrize("faults", [(GONE_LINKS,), (GONE_LINKS, GONE_JOBS)])
async def test_l24_a_file_that_the_server_has_no_more_is_lost_and_not_paid_for_again(
    faults: tuple[Fault, ...], tmp_path: Path
) -> None:
    async with Sandbox(quick()) as box, client_of(box, download=SOON_GIVEN_UP) as client:
        missing, _ = await done(client, tmp_path, 2)
        missing.unlink()
        box.scenario = quick(*faults)
        [outcome] = await run(client, None, tmp_path, retry_missing=True)
        assert isinstance(outcome, Failed)
        assert states(tmp_path) == {RowState.OUTPUT_LOST: 1, RowState.DONE: 1}
        box.scenario = quick()
        assert await run(client, None, tmp_path, retry_missing=True) == []
        assert len(box.book.debits) == 2
        [outcome] = await run(client, None, tmp_path, retry=[RowState.OUTPUT_LOST])
        assert isinstance(outcome, Succeeded)
        assert (missing.exists(), len(box.book.debits)) == (True, 2)


async def test_l24_a_storage_that_is_down_leaves_the_row_to_the_next_run(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box, download=SOON_GIVEN_UP) as client:
        [file] = await done(client, tmp_path, 1)
        file.unlink()
        box.scenario = quick(Fault(on="download", kind="reset", times=None))
        [outcome] = await run(client, None, tmp_path, retry_missing=True)
        assert isinstance(outcome, Failed)
        assert states(tmp_path) == {RowState.READY: 1}
        box.scenario = quick()
        await run(client, None, tmp_path)  # it goes on by itself
        assert (file.exists(), len(box.book.debits)) == (True, 1)


async def test_l24_another_account_is_not_asked_for_a_missing_file(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        [file] = await done(client, tmp_path, 1)
    file.unlink()
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(client, None, tmp_path, WrongAccount, retry_missing=True)
        assert box.book.count("api") == 0
    assert states(tmp_path) == {RowState.DONE: 1}


async def test_l24_a_copy_of_the_ledger_alone_brings_all_files(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        names = [file.name for file in await done(client, tmp_path / "out")]
        (tmp_path / "copy").mkdir()
        shutil.copy(tmp_path / "out/ledger.sqlite3", tmp_path / "copy")
        await run(client, None, tmp_path / "copy", retry_missing=True)
        assert files(tmp_path / "copy") == set(names)
        assert len(box.book.debits) == 3


async def test_l24_a_file_that_cannot_be_read_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        [file] = await done(client, tmp_path, 1)
        before = files(tmp_path)

        def refuse(path: Path) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(verifying, "open_unfollowed", refuse)
        assert await run(client, None, tmp_path, retry_missing=True) == []
        assert f"{file.name} cannot be read: Permission denied; left" in caplog.text
        assert (files(tmp_path), states(tmp_path)) == (before, {RowState.DONE: 1})


async def test_l24_the_plan_counts_what_would_be_downloaded_again(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        missing, changed, _ = await done(client, tmp_path)
    missing.unlink()
    changed.write_bytes(b"")
    plan = plan_batch(tmp_path, retry_missing=True)
    assert (plan.missing, plan.underway, plan.jobs) == (2, 2, 0)
    plan = plan_batch(tmp_path)
    assert (plan.missing, plan.underway, plan.jobs) == (0, 0, 0)


async def test_l24_a_row_that_is_paid_for_anew_does_not_take_the_old_file(tmp_path: Path) -> None:
    """Its server forgets the job, says that it failed, and the user pays for another."""
    async with Sandbox(quick()) as box, client_of(box, download=SOON_GIVEN_UP) as client:
        [file] = await done(client, tmp_path, 1)
    store = Store.open(tmp_path)
    with store.transaction():
        store.apply(changes.redownload(1, "missing"))
        store.apply(changes.reattached(1, "asked for fresh links"))
        store.apply(changes.failed(1, "JobFailed", "expired"))
        store.apply(changes.replanned(store.row(1), "asked for anew"))
    store.close()
    with Reader.open(tmp_path) as reader:
        row = reader.row(1)
    assert evolve(row, path=None, sha256=None, done_at=None) == row
    assert file.exists()
