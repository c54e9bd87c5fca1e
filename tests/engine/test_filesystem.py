"""What file systems lack is found out before anything is paid (H01 to H03).

The calls fail here with each errno that mounts are known to give.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from modelslab_async import LedgerError, ModelsLab, MusicGen, Succeeded
from modelslab_async._engine import filesystem
from modelslab_async._engine.filesystem import make_durably, probe, publish, sync_file
from modelslab_async.batch._naming import longest_name
from modelslab_async.batch._sqlite.directory import Directory
from modelslab_async.batch._sqlite.location import UNSURE, Lock
from modelslab_async.sandbox import Sandbox, Scenario

from ..support.lacking import (
    LACKING,
    NOT_SUPPORTED,
    failing,
    lack,
    lack_directory_sync,
    lack_locks,
)
from ..support.tracks import names

NUMBERS = [getattr(errno, name) for name in NOT_SUPPORTED]
NUMBERS_OF_SYNC = [
    getattr(errno, name) for name in ("ENOSYS", "EINVAL", "ENOTSUP", "EPERM", "EACCES", "EBADF")
]
QUICK = Scenario(generation_seconds=0.01, eta="float")
ONE = [MusicGen("rain", max_new_token=256, sampling_rate=10000)]


async def brought(box: Sandbox, directory: Path) -> list[bool]:
    """Run a batch of one row; whether it got its file."""
    async with (
        ModelsLab(box.key, base_url=box.url) as client,
        client.batch(ONE, directory=directory) as outcomes,
    ):
        return [isinstance(outcome, Succeeded) async for outcome in outcomes]


def text_of(number: int) -> str:
    return os.strerror(number)


# H01: publishing


@pytest.mark.anyio
@pytest.mark.parametrize("missing", LACKING)
@pytest.mark.parametrize("number", NUMBERS, ids=NOT_SUPPORTED)
async def test_h01_a_batch_brings_its_files_without_what_is_missing(
    missing: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monkeypatch, missing, number)
    async with Sandbox(QUICK) as box:
        assert await brought(box, tmp_path / "out") == [True]


@pytest.mark.anyio
@pytest.mark.parametrize("number", NUMBERS, ids=NOT_SUPPORTED)
async def test_h01_a_directory_where_nothing_can_be_published_is_refused_before_payment(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monkeypatch, "renames", number)
    async with Sandbox(QUICK) as box:
        with pytest.raises(LedgerError, match="without replacing another") as caught:
            await brought(box, tmp_path / "out")
        assert box.book.debits == []
    assert text_of(number) in str(caught.value)


@pytest.mark.parametrize("missing", LACKING)
def test_h01_a_probe_leaves_nothing_behind(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monkeypatch, missing)
    probe(tmp_path, "a name: with [marks] and \u97f3.flac")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("call", "number"), [("open", errno.ENOSPC), ("write", errno.EDQUOT), ("fsync", errno.EIO)]
)
def test_h01_a_probe_that_fails_leaves_nothing_behind_and_says_why(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failure:
        failure.setattr(os, call, failing(number))
        with pytest.raises(OSError, match=f"files cannot be created there: {text_of(number)}"):
            probe(tmp_path)
    assert names(tmp_path) == []


def doing(call: Callable[..., object], number: int) -> Callable[..., object]:
    """It does what it is asked for, and says that it could not."""

    def done(*arguments: object, **options: object) -> NoReturn:
        call(*arguments, **options)
        raise OSError(number, os.strerror(number))

    return done


@pytest.mark.parametrize("missing", ["nothing", "hard_links", "exclusive_renames"])
@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOENT, errno.EIO, errno.ESTALE])
def test_h01_a_name_that_was_given_though_an_error_was_the_answer_is_ours(
    missing: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monkeypatch, missing)
    owner, name = {
        "nothing": (os, "link"),
        "hard_links": (filesystem, "_rename_exclusively"),
        "exclusive_renames": (Path, "rename"),
    }[missing]
    monkeypatch.setattr(owner, name, doing(getattr(owner, name), number))
    (tmp_path / "part").write_bytes(b"music")
    assert filesystem.publish(tmp_path / "part", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"music"


def test_h01_a_python_without_ctypes_reserves_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setitem(sys.modules, "ctypes", None)
    (tmp_path / "part").write_bytes(b"music")
    assert publish(tmp_path / "part", tmp_path / "a.wav")
    (tmp_path / "part").write_bytes(b"other")
    assert not publish(tmp_path / "part", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"music"


@pytest.mark.parametrize("missing", ["nothing", "hard_links", "exclusive_renames"])
def test_h01_files_that_have_one_number_are_told_apart(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monkeypatch, missing)
    monkeypatch.setattr(os.path, "samestat", lambda *_: True)
    (tmp_path / "a.wav").write_bytes(b"other")
    (tmp_path / "part").write_bytes(b"music")
    assert not filesystem.publish(tmp_path / "part", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"other"


def test_h01_a_file_system_that_replaces_files_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", lambda old, new, **_: os.replace(old, new))  # noqa: PTH105
    with pytest.raises(OSError, match="a file was replaced"):
        probe(tmp_path)
    assert names(tmp_path) == []


def test_h01_a_file_system_that_publishes_nothing_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", lambda *_, **__: None)
    with pytest.raises(FileNotFoundError, match="without replacing another there"):
        probe(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_h01_a_disk_without_room_is_not_taken_for_one_without_links(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part").touch()
    monkeypatch.setattr(os, "link", failing(number))
    with pytest.raises(OSError, match=text_of(number)):
        publish(tmp_path / "part", tmp_path / "song.wav")
    assert names(tmp_path) == ["part"]


def test_h01_a_reserved_name_is_given_back_when_the_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part").touch()
    lack(monkeypatch, "renames", errno.ENOSYS)
    with pytest.raises(OSError, match=text_of(errno.ENOSYS)):
        publish(tmp_path / "part", tmp_path / "song.wav")
    assert names(tmp_path) == ["part"]


@pytest.mark.parametrize("length", [256, 300, 3000])
def test_h01_a_name_that_is_too_long_is_found_out(length: int, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=text_of(errno.ENAMETOOLONG)):
        probe(tmp_path, "x" * length)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 255, "\u97f3" * 85, "".join(map(chr, range(900, 1027)))])
def test_h01_a_name_that_just_fits_is_none_that_is_too_long(name: str, tmp_path: Path) -> None:
    probe(tmp_path, name)


def test_h01_the_longest_name_of_a_template_is_known_before_its_rows() -> None:
    assert longest_name("{seq:05d}-{slug}") == 1 + 10 + 1 + 60 + 9
    assert longest_name("{id}") == 1 + 65 + 9


# H02: locks


@pytest.mark.parametrize("number", NUMBERS, ids=NOT_SUPPORTED)
def test_h02_without_flock_one_run_still_keeps_the_other_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack_locks(monkeypatch, number, all_kinds=False)
    lock = Lock(Directory(tmp_path))
    lock.remember("batch", 1, 0, UNSURE)
    with pytest.raises(LedgerError, match=f"another process .pid {os.getpid()}"):
        Lock(Directory(tmp_path))
    lock.release()
    Lock(Directory(tmp_path)).release()


@pytest.mark.anyio
@pytest.mark.parametrize("number", NUMBERS, ids=NOT_SUPPORTED)
async def test_h02_a_directory_without_any_locks_is_refused_before_payment(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack_locks(monkeypatch, number, all_kinds=True)
    async with Sandbox(QUICK) as box:
        with pytest.raises(LedgerError, match="has no file locks") as caught:
            await brought(box, tmp_path / "out")
        assert box.book.debits == []
    assert text_of(number) in str(caught.value)


# H03: the sync of a directory


@pytest.mark.anyio
@pytest.mark.parametrize("number", NUMBERS_OF_SYNC)
async def test_h03_a_batch_does_without_the_sync_of_directories(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack_directory_sync(monkeypatch, number)
    async with Sandbox(QUICK) as box:
        assert await brought(box, tmp_path / "out") == [True]


@pytest.mark.anyio
async def test_h03_a_directory_whose_sync_fails_is_refused_before_payment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack_directory_sync(monkeypatch, errno.EIO)
    async with Sandbox(QUICK) as box:
        with pytest.raises(LedgerError, match="directories cannot be synced there"):
            await brought(box, tmp_path / "out")
        assert box.book.debits == []
    assert names(tmp_path) == []


def test_h03_a_directory_that_cannot_be_read_gets_files_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def unreadable(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECTORY:
            failing(errno.EACCES)()
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "open", unreadable)
    make_durably(tmp_path / "new")
    probe(tmp_path / "new")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_h03_a_file_system_that_knows_no_sync_keeps_the_file(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(number))
    sync_file(0)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=text_of(errno.EIO)):
        sync_file(0)


# The system calls themselves, through a library that stands before the C library


SHIM = """
#include <errno.h>
#include <stdlib.h>
static int lacking(void) { errno = atoi(getenv("LACKING")); return -1; }
int link(const char *a, const char *b) { return lacking(); }
int linkat(int a, const char *b, int c, const char *d, int e) { return lacking(); }
int flock(int a, int b) { return lacking(); }
"""
RENAME = """
int renameat2(int a, const char *b, int c, const char *d, unsigned e) { return lacking(); }
"""
RUN = """
import asyncio, sys
from modelslab_async import ModelsLab, MusicGen
from modelslab_async.sandbox import Sandbox, Scenario

async def main():
    async with Sandbox(Scenario(generation_seconds=0.01, eta="float")) as box:
        async with ModelsLab(box.key, base_url=box.url) as client:
            request = MusicGen("rain", max_new_token=256, sampling_rate=10000)
            async with client.batch([request], directory="out") as outcomes:
                async for outcome in outcomes:
                    print(type(outcome).__name__, outcome.saved[0].path.stat().st_nlink)

asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("source", [SHIM, SHIM + RENAME], ids=["links", "exclusive_renames"])
def test_h01_and_h02_the_real_calls_may_be_missing(source: str, tmp_path: Path) -> None:
    (tmp_path / "shim.c").write_text(source)
    build = ["gcc", "-shared", "-fPIC", "-o", "shim.so", "shim.c"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    environment = {"LD_PRELOAD": f"{tmp_path}/shim.so", "LACKING": f"{errno.ENOSYS}"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("Succeeded 1\n", "")
