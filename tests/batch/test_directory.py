"""A directory and its ledger stay together: moved, copied, restored, damaged, shared (L, T, D).

Whatever becomes of the directory, nothing is paid for twice, and what was paid for is found.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import (
    Failed,
    LedgerCopied,
    LedgerError,
    LedgerMoved,
    Limits,
    ModelsLab,
    RowState,
    Succeeded,
)
from modelslab_async._protocol.wire_values import MAX_TRACK_ID
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._fallback_log import Rescue
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._rows import Row
from modelslab_async.batch._sqlite import directory
from modelslab_async.batch._sqlite import location as place
from modelslab_async.batch._sqlite.files import Files
from modelslab_async.batch._sqlite.identity import (
    Stamp,
    Stamps,
    identity_of,
    is_in_doubt,
    is_suspect,
    track_id_of,
)
from modelslab_async.batch._sqlite.location import UNSURE
from modelslab_async.batch._sqlite.reader import LEDGER_NAME
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

pytestmark = pytest.mark.anyio

LOG = f"{LEDGER_NAME}-wal"
ROWS = 24  # more than can be done before the loss, however busy the machine is


def wavs(directory: Path) -> int:
    return len(list(directory.glob("*.wav"))) if directory.is_dir() else 0


# --- the directory goes away while a batch runs -------------------------------------------------


def rename(out: Path) -> None:
    out.rename(out.with_name("moved"))


def rename_parent(out: Path) -> None:
    out.parent.rename(out.parent.with_name("moved"))


def remove(out: Path) -> None:
    gone = out.with_name("gone")
    out.rename(gone)
    while gone.exists():  # a download may be making a file there
        shutil.rmtree(gone, ignore_errors=True)


def recreate(out: Path) -> None:
    remove(out)
    out.mkdir()


def recreate_parent(out: Path) -> None:
    remove(out)
    out.parent.rmdir()
    out.mkdir(parents=True)


def replace_by_a_file(out: Path) -> None:
    rename(out)
    out.write_text("mine")


def replace_by_a_link(out: Path) -> None:
    rename(out)
    out.with_name("elsewhere").mkdir()
    out.symlink_to("elsewhere")


def replace_by_another_batch(out: Path) -> None:
    rename(out)
    Store.open(out).close()


def replace_by_a_copy(out: Path) -> None:
    shutil.copytree(out, out.with_name("copy"))
    rename(out)
    out.with_name("copy").rename(out)


def replace_file(name: str) -> Callable[[Path], None]:
    def replace(out: Path) -> None:
        shutil.copy(out / name, out / "copy")
        (out / "copy").rename(out / name)

    return replace


def remove_file(name: str) -> Callable[[Path], None]:
    return lambda out: (out / name).unlink()


def link_file(name: str) -> Callable[[Path], None]:
    def link(out: Path) -> None:
        (out / name).rename(out / "moved")
        (out / name).symlink_to("moved")
        (out / "moved").rename(out / "again")

    return link


LOSSES: dict[str, Callable[[Path], None]] = {
    "renamed": rename,
    "parent renamed": rename_parent,
    "removed": remove,
    "recreated": recreate,
    "parent recreated": recreate_parent,
    "a file": replace_by_a_file,
    "a link": replace_by_a_link,
    "another batch": replace_by_another_batch,
    "a copy": replace_by_a_copy,
    "ledger removed": remove_file(LEDGER_NAME),
    "ledger replaced": replace_file(LEDGER_NAME),
    "ledger linked": link_file(LEDGER_NAME),
    "log removed": remove_file(LOG),
    "log replaced": replace_file(LOG),
    "log cut": lambda out: os.truncate(out / LOG, 0),
    "lock removed": remove_file("ledger.lock"),
    "lock replaced": replace_file("ledger.lock"),
}
GONE = {"removed", "recreated", "parent recreated"}


async def lose(client: ModelsLab, out: Path, loss: Callable[[Path], None]) -> None:
    """Lose the directory after the first file, and run until the batch notices."""

    async def take_all() -> None:
        async with client.batch(pieces(ROWS), directory=out, max_jobs=1) as outcomes:
            await anext(outcomes)
            await outcomes.ledger.read(lambda _: loss(out))  # between two commits
            async for _ in outcomes:
                pass

    with pytest.raises(LedgerMoved, match="Nothing more is paid for"):
        await take_all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
async def test_x23_a_directory_that_is_lost_while_a_batch_runs_stops_it(
    loss: Callable[[Path], None], tmp_path: Path
) -> None:
    out = tmp_path / "parent" / "out"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await lose(client, out, loss)
        assert len(box.book.debits) < ROWS
        assert max(paid(box).values()) == 1


@pytest.mark.parametrize("loss", ["renamed", "parent renamed", "a file", "a link", "another batch"])
async def test_x23_files_stay_beside_their_ledger_and_the_batch_ends_where_it_is_now(
    loss: str, tmp_path: Path
) -> None:
    out = tmp_path / "parent" / "out"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await lose(client, out, LOSSES[loss])
        [moved] = {path.parent.resolve() for path in tmp_path.rglob("*.wav")}
        assert wavs(moved) == len(box.book.debits)
        assert (moved / LEDGER_NAME).exists()
        assert not wavs(out)
        await run(client, pieces(ROWS), moved)
        assert paid(box) == {piece.prompt: 1 for piece in pieces(ROWS)}
        assert wavs(moved) == ROWS


@pytest.mark.parametrize("loss", ["renamed", "parent renamed", "removed", "recreated"])
async def test_x23_the_same_call_again_does_not_begin_a_lost_batch_anew(
    loss: str, tmp_path: Path
) -> None:
    out = tmp_path / "parent" / "out"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await lose(client, out, LOSSES[loss])
        before = len(box.book.debits)
        words = "is missing, and only it" if loss in GONE else "moved.* now: continue it there"
        with pytest.raises(LedgerError, match=words):
            await run(client, pieces(ROWS), out)
        assert len(box.book.debits) == before


async def test_x23_what_has_taken_the_place_of_a_directory_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await lose(client, out, replace_by_another_batch)
    assert rows(out) == []
    assert files(out) == set()
    async with Sandbox(quick()) as box, client_of(box) as client:
        await lose(client, tmp_path / "second" / "out", replace_by_a_link)
    assert list((tmp_path / "second" / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("loss", ["renamed", "removed", "another batch", "a link"])
async def test_x23_a_system_without_paths_of_descriptors_writes_nothing_elsewhere(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_DESCRIPTORS", tmp_path / "nothing")
    out = tmp_path / "parent" / "out"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await lose(client, out, LOSSES[loss])
        before = len(box.book.debits)
        assert not wavs(out)
        if loss == "another batch":
            assert rows(out) == []
            assert files(out) == set()
        if loss != "removed":
            await run(client, pieces(ROWS), tmp_path / "parent" / "moved")
            assert paid(box) == {piece.prompt: 1 for piece in pieces(ROWS)}
        assert before < ROWS


async def test_x23_a_link_to_the_directory_may_be_followed(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def link(_: Path) -> None:
        rename(out)
        out.symlink_to("moved")

    async with (
        Sandbox(quick()) as box,
        client_of(box) as client,
        client.batch(pieces(3), directory=out, max_jobs=1) as outcomes,
    ):
        await anext(outcomes)
        link(out)
        assert [type(outcome) async for outcome in outcomes] == [Succeeded] * 2
    assert wavs(tmp_path / "moved") == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
async def test_x23_a_directory_that_is_covered_by_a_mount_is_lost(tmp_path: Path) -> None:
    out = tmp_path / "out"
    mount = ["mount", "-t", "tmpfs", "none", str(out)]

    def cover(_: Path) -> None:
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("this container may not mount")

    async with Sandbox(quick()) as box, client_of(box) as client:
        try:
            await lose(client, out, cover)
            assert not wavs(out)
        finally:
            undo = ["umount", str(out)]
            subprocess.run(undo, check=False, capture_output=True)  # noqa: ASYNC221
        await run(client, pieces(ROWS), out)
        assert paid(box) == {piece.prompt: 1 for piece in pieces(ROWS)}


async def test_x23_the_jobs_of_a_removed_ledger_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    async with Sandbox(quick(), slots=1) as box, client_of(box) as client:

        async def take_all() -> None:
            async with client.batch(pieces(ROWS), directory=out) as outcomes:
                await outcomes.ledger.read(lambda _: remove(out))
                async for _ in outcomes:
                    pass

        with pytest.raises((LedgerError, Exception)):
            await take_all()
        for job in box.book.jobs:
            assert f"job {job} is paid for and not on disk" in caplog.text


# --- a directory that is not the one that was worked on -----------------------------------------


def copy(out: Path) -> Path:
    return Path(shutil.copytree(out, out.with_name("second")))


def archive(out: Path) -> Path:
    made = shutil.make_archive(str(out), "tar", out)
    shutil.unpack_archive(made, out.with_name("second"), filter="data")
    return out.with_name("second")


def copy_without_lock(out: Path) -> Path:
    second = copy(out)
    (second / "ledger.lock").unlink()
    return second


def copy_file_by_file(out: Path) -> Path:
    second = out.with_name("second")
    second.mkdir()
    for path in out.iterdir():
        (second / path.name).write_bytes(path.read_bytes())
    return second


COPIES = {
    "cp -a": copy,
    "tar": archive,
    "without the lock": copy_without_lock,
    "cp": copy_file_by_file,
}


async def begun(client: ModelsLab, out: Path, count: int = 2) -> None:
    """A batch of six rows, of which some are paid for."""
    await run_until_stopped(
        client, pieces(6), out, Exception, "max_jobs_total", limits=Limits(max_jobs_total=count)
    )


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
async def test_t36_a_copy_asks_its_user_before_it_pays(
    copied: Callable[[Path], Path], tmp_path: Path
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await begun(client, tmp_path / "out")
        second = copied(tmp_path / "out")
        free = Limits(max_jobs_total=6)
        for _ in range(2):  # it is asked about again, until there is an answer
            found = await run_until_stopped(
                client, pieces(6), second, LedgerCopied, "copied or restored", limits=free
            )
            assert found == []
        assert len(box.book.debits) == 2
        outcomes = await run(client, None, second, accept_copy=True, limits=free)
        assert len(outcomes) == 4
        assert paid(box) == {piece.prompt: 1 for piece in pieces(6)}
        await run(client, pieces(7), second, limits=Limits(max_jobs_total=7))  # once is enough


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
async def test_t36_a_copy_takes_over_what_the_original_has_paid_for_since(
    copied: Callable[[Path], Path], tmp_path: Path
) -> None:
    free = Limits(max_jobs_total=6)
    async with Sandbox(quick()) as box, client_of(box) as client:
        await begun(client, tmp_path / "out")
        second = copied(tmp_path / "out")
        await run(client, pieces(6), tmp_path / "out", limits=free)
        outcomes = await run(client, pieces(6), second, limits=free)
        assert [type(outcome) for outcome in outcomes] == [Succeeded] * 4
        assert states(second) == {RowState.DONE: 6}
        assert paid(box) == {piece.prompt: 1 for piece in pieces(6)}


def put_back_whole(out: Path, backup: Path) -> None:
    shutil.rmtree(out)
    shutil.copytree(backup, out)


def put_back_the_ledger(out: Path, backup: Path) -> None:
    shutil.copy2(backup / LEDGER_NAME, out / LEDGER_NAME)


def put_back_a_new_file(out: Path, backup: Path) -> None:
    (out / LEDGER_NAME).unlink()
    put_back_the_ledger(out, backup)


def put_back_over(out: Path, backup: Path) -> None:
    for path in backup.iterdir():
        (out / path.name).unlink()  # as tar does, and rsync in its way
        shutil.copy2(path, out / path.name)


def put_back_in_place(out: Path, backup: Path) -> None:
    for path in backup.iterdir():
        (out / path.name).touch()
        with (out / path.name).open("r+b") as file:  # as `rsync -a --inplace` does
            file.write(path.read_bytes())
            file.truncate()
        shutil.copystat(path, out / path.name)


def put_back_by_cp(out: Path, backup: Path) -> None:
    subprocess.run(["/bin/cp", "-a", f"{backup}/.", str(out)], check=True)


def put_back_with_the_times_of_now(out: Path, backup: Path) -> None:
    subprocess.run(["/bin/cp", "-r", f"{backup}/.", str(out)], check=True)


def put_back_by_tar(out: Path, backup: Path) -> None:
    archive = backup.with_suffix(".tar")
    pack = ["-cf", str(archive), "-C", str(backup), "."]
    unpack = ["-xf", str(archive), "--overwrite", "-C", str(out)]
    for options in (pack, unpack):
        subprocess.run(["/bin/tar", *options], check=True)


def put_back_an_older_state(out: Path, backup: Path) -> None:
    for path in set(out.iterdir()):
        if not (backup / path.name).exists():
            path.unlink()
    put_back_by_cp(out, backup)


def put_back_for_a_group(out: Path, backup: Path) -> None:
    put_back_by_cp(out, backup)
    subprocess.run(["/bin/chmod", "-R", "g+rwX", str(out)], check=True)


PUT_BACK = {
    "cp over, then other modes": put_back_for_a_group,
    "in place": put_back_in_place,
    "cp over": put_back_by_cp,
    "cp over, times of now": put_back_with_the_times_of_now,
    "tar over": put_back_by_tar,
    "cp over, newer files removed": put_back_an_older_state,
    "whole": put_back_whole,
    "ledger alone": put_back_the_ledger,
    "a new ledger": put_back_a_new_file,
    "file by file": put_back_over,
}


@pytest.mark.parametrize("put_back", PUT_BACK.values(), ids=PUT_BACK)
@pytest.mark.parametrize("listed", [True, False])
async def test_t36_a_backup_that_is_put_back_pays_for_nothing_unasked(
    put_back: Callable[[Path, Path], None], listed: bool, tmp_path: Path
) -> None:
    out, backup, free = tmp_path / "out", tmp_path / "backup", Limits(max_jobs_total=6)
    async with Sandbox(quick()) as box, client_of(box) as client:
        await begun(client, out)
        shutil.copytree(out, backup)
        await run(client, pieces(6), out, limits=free)
        put_back(out, backup)
        if not listed:
            box.scenario = quick(Fault(on="assets", kind="answer", status=500, times=None))
            await run_until_stopped(
                client, pieces(6), out, LedgerCopied, "could not be read", limits=free
            )
            box.scenario = quick()
        await run(client, pieces(6), out, limits=free)
        assert states(out) == {RowState.DONE: 6}
        assert paid(box) == {piece.prompt: 1 for piece in pieces(6)}


async def test_t36_a_renamed_directory_just_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = Limits(max_jobs_total=6)
    async with Sandbox(quick()) as box, client_of(box) as client:
        await begun(client, tmp_path / "out")
        (tmp_path / "out").rename(tmp_path / "second")
        monkeypatch.setattr(place.platform, "node", lambda: "another-pod")  # type: ignore[attr-defined]
        await run(client, pieces(6), tmp_path / "second", limits=free)
        assert len(box.book.debits) == 6


async def test_t36_without_its_lock_file_a_ledger_is_still_the_same(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await begun(client, tmp_path)
        (tmp_path / "ledger.lock").unlink()
        await run(client, pieces(6), tmp_path, limits=Limits(max_jobs_total=6))
        assert len(box.book.debits) == 6


@pytest.mark.parametrize(
    ("rows", "known", "lost_steps", "doubt"),
    [
        (3, "inode 7", False, False),
        (3, "inode 8", False, True),
        (3, "", False, True),
        (3, None, False, False),
        (3, None, True, True),
        (3, "inode 7", True, True),
        (0, "inode 8", False, False),
        (0, "inode 7", True, True),
    ],
)
def test_t36_a_ledger_is_in_doubt_when_it_may_be_a_copy(
    rows: int, known: str | None, lost_steps: bool, doubt: bool
) -> None:
    assert is_in_doubt(rows=rows, known=known, now="inode 7", lost_steps=lost_steps) is doubt


FILE = Stamp(changed=5, written=5, size=4096)
CHANGES = {
    "nothing": ({}, False),
    "written over by cp -a, or chmod, or both": ({"changed": 6}, True),
    "written over by cp": ({"changed": 6, "written": 6}, True),
    "an older file": ({"changed": 6, "written": 4}, True),
    "a shorter file": ({"changed": 6, "size": 1024}, True),
}


@pytest.mark.parametrize(("changes", "suspect"), CHANGES.values(), ids=CHANGES)
def test_t36_a_ledger_is_suspect_when_a_file_may_have_been_written_over(
    changes: dict[str, int], suspect: bool
) -> None:
    now = FILE._replace(**changes)
    for known, found in [((FILE, Stamp()), (now, Stamp())), ((FILE, FILE), (FILE, now))]:
        assert is_suspect(rows=3, known=known, now=found) is suspect


@pytest.mark.parametrize(
    ("rows", "known", "now", "suspect"),
    [
        (3, (FILE, FILE), (FILE, Stamp()), True),
        (3, (FILE, Stamp()), (FILE, FILE), True),
        (3, UNSURE, (FILE, Stamp()), True),
        (0, UNSURE, (FILE, Stamp()), True),
        (3, None, (FILE, Stamp()), True),
        (0, None, (FILE, Stamp()), False),
    ],
)
def test_t36_a_ledger_is_suspect_when_a_file_came_or_went_or_nothing_is_known(
    rows: int, known: Stamps | None, now: Stamps, suspect: bool
) -> None:
    assert is_suspect(rows=rows, known=known, now=now) is suspect


@pytest.mark.parametrize("files", ["no", [], [["a"] * 3] * 2, [[0] * 4] * 2])
def test_t36_a_lock_file_that_says_nonsense_of_the_files_says_nothing(
    files: object, tmp_path: Path
) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "ledger.lock").write_text(json.dumps({"files": files}))
    store = Store.open(tmp_path)
    assert not store.is_suspect
    store.close()


@pytest.mark.parametrize("count", [2, 6])
async def test_t36_an_old_state_without_the_rows_that_were_paid_for_since(
    count: int, tmp_path: Path
) -> None:
    out, backup = tmp_path / "out", tmp_path / "backup"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(2), out)
        shutil.copytree(out, backup)
        await run(client, pieces(6), out)
        put_back_an_older_state(out, backup)
        for number in (count, 6):
            await run(client, pieces(number), out)
        assert states(out) == {RowState.DONE: 6}
        assert paid(box) == {piece.prompt: 1 for piece in pieces(6)}


@pytest.mark.parametrize("put_back", [put_back_in_place, put_back_by_cp, put_back_by_tar])
async def test_t36_an_old_state_that_is_put_back_after_a_kill(
    put_back: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    out, backup = tmp_path / "out", tmp_path / "backup"

    def killed() -> None:
        Store.open(out)
        os.kill(os.getpid(), signal.SIGKILL)

    async with Sandbox(quick()) as box, client_of(box) as client:
        await begun(client, out)
        assert in_child(killed) == -signal.SIGKILL
        shutil.copytree(out, backup)
        await run(client, pieces(6), out, limits=Limits(max_jobs_total=6))
        put_back(out, backup)
        await run(client, pieces(6), out, limits=Limits(max_jobs_total=6))
        assert states(out) == {RowState.DONE: 6}
        assert paid(box) == {piece.prompt: 1 for piece in pieces(6)}


def other_modes(out: Path) -> None:
    subprocess.run(["/bin/chmod", "-R", "g+rwX", str(out)], check=True)


def other_group(out: Path) -> None:
    others = {*os.getgroups(), *([12345] if os.geteuid() == 0 else [])} - {out.stat().st_gid}
    if not others:
        pytest.skip("this user has one group")
    for path in (out, *out.iterdir()):
        os.chown(path, -1, min(others))


def same_modes(out: Path) -> None:
    for path in (out, *out.iterdir()):
        path.chmod(stat.S_IMODE(path.stat().st_mode))


def a_link_for_a_while(out: Path) -> None:
    (out / "link").hardlink_to(out / LEDGER_NAME)
    (out / "link").unlink()


def lists(box: Sandbox) -> int:
    return sum(record.path.endswith("assets_generated") for record in box.book.requests)


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize(
    "touched", [other_modes, other_group, same_modes, a_link_for_a_while], ids=lambda f: f.__name__
)
async def test_t36_a_change_of_the_ledger_between_two_runs_is_asked_about_once(
    touched: Callable[[Path], None], others: bool, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await begun(client, out)
        if others:  # jobs of somebody else in the same account
            await run(client, pieces(3, start=11), tmp_path / "other")
        touched(out)
        await begun(client, out, 3)
        looked = lists(box)
        assert looked
        await begun(client, out, 4)
        assert lists(box) == looked
        await run(client, pieces(6), out, limits=Limits(max_jobs_total=6))
        assert states(out) == {RowState.DONE: 6}
        assert [paid(box)[piece.prompt] for piece in pieces(6)] == [1] * 6


def test_t36_neither_a_close_nor_a_kill_makes_a_ledger_suspect(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store.transaction():
        store.plan(planned(5))
    store.close()
    store = Store.open(tmp_path)
    assert not store.is_suspect
    store.close()
    assert in_child(lambda: steps(tmp_path)) == -signal.SIGKILL
    store = Store.open(tmp_path)
    assert not store.is_suspect
    store.close()


def test_t36_opening_a_suspect_ledger_is_no_answer(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store.transaction():
        store.plan(planned(5))
    store.close()
    (tmp_path / LEDGER_NAME).touch()
    for _ in range(2):
        store = Store.open(tmp_path)
        assert store.is_suspect
        store.close()


@pytest.mark.parametrize("kind", ["", "ext4", "xfs", "overlay", "vfat", "exfat", "fuse.mergerfs"])
def test_t36_a_file_keeps_its_identity_and_a_copy_has_another(kind: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"ledger")
    shutil.copy2(first, second)

    def identity(path: Path) -> str:
        fd = os.open(path, os.O_RDONLY)
        try:
            return identity_of(fd, path, kind)
        finally:
            os.close(fd)

    before = identity(first)
    first.chmod(0o660)
    assert identity(first) == before
    assert identity(second) != before


def test_t36_copies_of_a_batch_send_a_row_with_the_same_track_id() -> None:
    ids = {track_id_of(batch, f"row-{n}", "a") for batch in ("one", "two") for n in range(1000)}
    assert len(ids) == 2000
    assert all(0 < track_id < MAX_TRACK_ID for track_id in ids)
    assert track_id_of("one", "row-1", "a") == track_id_of("one", "row-1", "a")
    assert track_id_of("one", "row-1", "a") != track_id_of("one", "row-1", "b")
    assert track_id_of("one", "\ud800", "a") > 0


# --- a log that has lost its end ----------------------------------------------------------------


def steps(directory: Path) -> None:
    """A life of a ledger that ends without a close: its last commits are in the log alone."""
    store = Store.open(directory)
    for seq in (1, 2, 3):
        with store.transaction():
            store.apply(changes.intent(seq, seq, 1))
        with store.transaction():
            store.apply(changes.accepted(seq, f"{seq}", "{}"))
    os.kill(os.getpid(), signal.SIGKILL)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "emptied": lambda log: os.truncate(log, 0),
    "half": lambda log: os.truncate(log, log.stat().st_size // 2),
    "one frame less": lambda log: os.truncate(log, log.stat().st_size - 4096 - 24),
    "a byte less": lambda log: os.truncate(log, log.stat().st_size - 1),
    "a bit of the last frame": lambda log: flip(log, log.stat().st_size - 100),
    "a bit of the first frame": lambda log: flip(log, 32 + 24 + 100),
    "a bit of the header": lambda log: flip(log, 16),
    "zeros at the end": lambda log: log.write_bytes(log.read_bytes()[:-6000] + bytes(6000)),
    "another log": lambda log: log.write_bytes(os.urandom(log.stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_l21_a_damaged_end_of_the_log_is_noticed(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    store = Store.open(tmp_path)
    with store.transaction():
        store.plan(planned(5))
    store.close()
    assert in_child(lambda: steps(tmp_path)) == -signal.SIGKILL
    damage(tmp_path / LOG)
    store = Store.open(tmp_path)
    try:
        assert store.in_doubt
        with pytest.raises(LedgerCopied, match="lost writes"), store.transaction():
            store.apply(changes.intent(4, 4, 1))
    finally:
        store.close()


@pytest.mark.parametrize(
    "harmless",
    [lambda _: None, lambda log: log.write_bytes(log.read_bytes() + os.urandom(3000))],
    ids=["nothing", "garbage behind the end"],
)
def test_l21_a_killed_process_alone_raises_no_alarm(
    harmless: Callable[[Path], object], tmp_path: Path
) -> None:
    store = Store.open(tmp_path)
    with store.transaction():
        store.plan(planned(5))
    store.close()
    assert in_child(lambda: steps(tmp_path)) == -signal.SIGKILL
    harmless(tmp_path / LOG)
    store = Store.open(tmp_path)
    assert not store.in_doubt
    assert store.counts()[RowState.SUBMITTED] == 3
    store.close()


# --- modes and owners ---------------------------------------------------------------------------

MODES = [0o660, 0o664, 0o666, 0o777, 0o2660, 0o640, 0o644]
NAMES = [LEDGER_NAME, "ledger.lock", "ledger.rescue.jsonl", LOG, f"{LEDGER_NAME}-shm"]


@pytest.fixture(autouse=True)
def _warn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_warned", set())


@pytest.mark.parametrize("mode", MODES, ids=oct)
@pytest.mark.parametrize("name", NAMES)
def test_t44_a_mode_that_a_volume_gives_stops_nobody(
    name: str, mode: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def killed() -> None:
        Store.open(tmp_path)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(killed) == -signal.SIGKILL
    (tmp_path / name).chmod(mode)
    for _ in range(2):
        Store.open(tmp_path).close()
    own = name in NAMES[:3]  # SQLite makes the others itself
    warned = [record for record in caplog.records if "by others" in record.message]
    assert len(warned) == (own and mode & 0o022 != 0)
    if (tmp_path / name).exists():
        assert not stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o022


@pytest.mark.parametrize("mode", [0o2770, 0o775, 0o777, 0o1777], ids=oct)
async def test_t44_a_group_writable_volume_goes_on_as_before(mode: int, tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        for count in (2, 4):
            await run(client, pieces(count), tmp_path / "out")
            (tmp_path / "out").chmod(mode)
            for path in (tmp_path / "out").iterdir():
                path.chmod(path.stat().st_mode | 0o060)
        assert paid(box) == {piece.prompt: 1 for piece in pieces(4)}


def test_t44_a_file_system_without_modes_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Store.open(tmp_path).close()
    (tmp_path / LEDGER_NAME).chmod(0o777)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(place, "_warned", set())
    monkeypatch.setattr(os, "fchmod", refuse)
    for _ in range(2):
        Store.open(tmp_path).close()
    [warning] = [one.message for one in caplog.records if "by others" in one.message]
    assert "can be written to by others (mode 0777)" in warning


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["ledger.lock", "ledger.rescue.jsonl", LEDGER_NAME])
def test_t44_a_file_of_another_user_is_warned_about(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(place, "_warned", set())  # a file of an earlier test may have had its inode
    (tmp_path / name).touch(mode=0o600)
    os.chown(tmp_path / name, 12345, 12345)
    Store.open(tmp_path).close()
    assert f"{tmp_path / name} belongs to user 12345" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to become somebody else")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o200, 0o444], ids=oct)
def test_t44_permissions_that_were_taken_from_us_are_taken_back(mode: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)

    def work() -> None:
        os.setuid(65534)
        out = tmp_path / "out"
        Store.open(out).close()
        (out / LEDGER_NAME).chmod(mode)
        Store.open(out).close()

    assert in_child(work) == 0


@pytest.mark.parametrize("name", NAMES)
def test_t15_a_second_hard_link_is_refused_and_the_file_is_to_be_kept(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).touch(mode=0o600)
    (tmp_path / "snapshot").hardlink_to(tmp_path / name)
    with pytest.raises(LedgerError, match="remove the other name, and keep this file"):
        Store.open(tmp_path)


def test_no_message_advises_to_leave_a_ledger_behind() -> None:
    package = Path(place.__file__).parents[2]
    texts = [
        path.read_text() for part in ("batch", "_cli") for path in (package / part).rglob("*.py")
    ]
    assert texts
    for advice in ("move it away", "use another place", "use another directory"):
        assert not [text for text in texts if advice in text]


# --- a file that is complete under its name -----------------------------------------------------


async def published_and_lost(
    client: ModelsLab,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    prompt: str = "waltz",
    **settings: str,
) -> Path:
    """A run that ends after its file was published, and before its row was called done."""
    write = Ledger.write

    async def break_down(ledger: Ledger, change: changes.Change) -> Row:
        if change.to is RowState.DONE:
            raise LedgerError("the process was killed here")
        return await write(ledger, change)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", break_down)
        await run_until_stopped(
            client, [{"prompt": prompt, "max_new_token": 256, **settings}], out, LedgerError
        )
    assert states(out) == {RowState.READY: 1}
    assert results(out)[0]["path"] is None
    [path] = [path for path in out.iterdir() if path.suffix in (".wav", ".mp3", ".flac")]
    return path


GONE_LINKS = Fault(on="download", kind="answer", status=403, times=None)
GONE_JOBS = Fault(on="fetch", kind="answer", status=404, times=None)


@pytest.mark.parametrize("form", ["wav", "mp3", "flac"])
async def test_d42_a_published_file_needs_no_link_any_more(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(quick()) as box, client_of(box, download=SOON_GIVEN_UP) as client:
        path = await published_and_lost(client, tmp_path, monkeypatch, output_format=form)
        part = tmp_path / ".00001-waltz.0123456789ab.part"
        part.hardlink_to(path)  # a kill just after the link
        before = path.read_bytes()
        box.scenario = quick(GONE_LINKS, GONE_JOBS)
        [outcome] = await run(client, None, tmp_path)
        assert isinstance(outcome, Succeeded)
        [saved] = outcome.saved
        assert (saved.path, saved.size) == (path, len(before))
        assert saved.sample_rate
        assert (path.read_bytes(), part.exists()) == (before, False)
        assert results(tmp_path)[0]["path"] == path.name
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("change", ["other bytes", "cut", "longer", "a link", "gone"])
async def test_d42_only_the_file_that_was_written_down_is_taken(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(quick()) as box, client_of(box, download=SOON_GIVEN_UP) as client:
        path = await published_and_lost(client, tmp_path, monkeypatch)
        whole = path.read_bytes()
        path.unlink()
        match change:
            case "other bytes":
                path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            case "cut":
                path.write_bytes(whole[:-1])
            case "longer":
                path.write_bytes(whole + b"\0")
            case "a link":
                (tmp_path / "elsewhere").write_bytes(whole)
                path.symlink_to("elsewhere")
        box.scenario = quick(GONE_LINKS, GONE_JOBS)
        [outcome] = await run(client, None, tmp_path)
        assert isinstance(outcome, Failed)


async def test_d42_a_file_that_never_got_its_name_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        path = await published_and_lost(client, tmp_path, monkeypatch)
        path.unlink()
        [outcome] = await run(client, None, tmp_path)
        assert isinstance(outcome, Succeeded)
        assert path.exists()
        assert len(box.book.debits) == 1


# --- errors at the end --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Rescue, Files])
async def test_l23_an_error_at_close_is_raised_and_the_lock_is_free(
    kind: type[Rescue | Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close: Callable[..., None] = kind.close

    def closing(self: object, **more: Any) -> None:
        close(self, **more)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "close", closing)
        with pytest.raises(LedgerError, match="Input/output error"):
            async with Ledger(tmp_path):
                pass
        with pytest.raises(ZeroDivisionError):  # what is under way already matters more
            async with Ledger(tmp_path):
                raise ZeroDivisionError
    Store.open(tmp_path).close()


@pytest.mark.parametrize("kind", [directory.Directory, Rescue])
def test_l23_an_error_at_close_after_one_at_opening_is_said_in_words_and_the_lock_is_free(
    kind: type[directory.Directory | Rescue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close: Callable[[Any], None] = kind.close

    def closing(self: object) -> None:
        close(self)
        raise OSError(5, "Input/output error")

    def opening(self: Files) -> None:
        raise LedgerError("it was renamed")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "close", closing)
        patch.setattr(Files, "watch", opening)
        with pytest.raises(LedgerError, match="it was renamed"):
            Store.open(tmp_path)
    Store.open(tmp_path).close()


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EPERM, "correct that"),
    ],
)
async def test_results_that_cannot_be_named_are_said_to_be_with_the_reason(
    number: int, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def replacing(self: Path, target: Path) -> Path:
        if target.name == "results.jsonl":
            raise OSError(number, os.strerror(number))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replacing)
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(
            client, pieces(1), tmp_path, LedgerError, f"{os.strerror(number)}.*{cure}"
        )
        monkeypatch.undo()
        await run(client, pieces(1), tmp_path)
        assert (tmp_path / "results.jsonl").exists()
        assert len(box.book.debits) == 1


async def test_l23_every_descriptor_of_a_batch_is_closed(tmp_path: Path) -> None:
    def descriptors() -> list[str]:
        own = list(Path("/proc/self/fd").iterdir())
        return [str(fd.readlink()) for fd in own if fd.is_symlink()]

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell")
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(2), tmp_path)
        assert not [path for path in descriptors() if path.startswith(str(tmp_path))]
