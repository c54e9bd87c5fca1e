"""The last step to disk: whole or not at all, never over anything (D24 to D29, D31 to D35, T15).

A disk fails here for real where that can be arranged, and where not, the system call does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelslab_async import DownloadError, ModelsLab, RemoteFile, SavedFile
from modelslab_async._engine.partfile import PartFile
from modelslab_async._protocol.sound import Completeness, Sound
from modelslab_async.sandbox import Fault

from ..support.lacking import LACKING, NOT_SUPPORTED, failing, lack
from ..support.quick import SOON_GIVEN_UP
from ..support.tracks import QUICK, Host, done, downloader, names, says, silence, track, wav

WHOLE = wav()
LONG = silence(8 * 2**20)  # more than is held in memory


@pytest.fixture
def part(tmp_path: Path) -> Iterator[PartFile]:
    """An open part file of a whole song, on its way to `song.wav`."""
    part = PartFile(tmp_path, "song")
    write(part, WHOLE)
    yield part
    part.discard()


def write(part: PartFile, data: bytes) -> None:
    part.add(data)
    part.flush()


def parts(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.endswith(".part")]


# One part file


def test_a_part_file_becomes_the_file_and_nothing_else_stays(
    part: PartFile, tmp_path: Path
) -> None:
    assert parts(tmp_path) == [part.path.name]
    assert part.size == len(WHOLE)
    assert part.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert part.publish("song.wav") == tmp_path / "song.wav"
    assert (tmp_path / "song.wav").read_bytes() == WHOLE
    assert names(tmp_path) == ["song.wav"]


def test_d52_a_part_file_is_written_anew_from_its_own_bytes(part: PartFile, tmp_path: Path) -> None:
    part.mend((b"RIFF", range(4, len(WHOLE) - 9), b"end"))
    new = b"RIFF" + WHOLE[4:-9] + b"end"
    assert (part.size, part.sha256) == (len(new), hashlib.sha256(new).hexdigest())
    assert parts(tmp_path) == [part.path.name]
    assert part.publish("song.wav") == tmp_path / "song.wav"
    assert (tmp_path / "song.wav").read_bytes() == new
    assert names(tmp_path) == ["song.wav"]


def test_d52_bytes_that_cannot_be_written_anew_stay_as_they_are(
    part: PartFile, tmp_path: Path
) -> None:
    def blocks() -> Iterator[bytes]:
        yield from part.read(range(100))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        part.rewrite(blocks())
    assert parts(tmp_path) == [part.path.name]
    assert part.path.read_bytes() == WHOLE
    assert part.sha256 == hashlib.sha256(WHOLE).hexdigest()


def test_what_is_added_is_nowhere_but_in_memory_until_it_is_flushed(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "new", "song")
    part.add(WHOLE)
    part.discard()
    assert part.size == len(WHOLE)
    assert names(tmp_path) == []
    part.flush()
    assert part.path.read_bytes() == WHOLE


@pytest.mark.parametrize("piece", [b"x", bytes(1460), bytes(2**18)])
def test_a_part_file_holds_a_bounded_number_of_pieces_in_memory(piece: bytes) -> None:
    part = PartFile(Path("nowhere"), "song")
    pieces = 0
    while not part.is_full:
        part.add(piece)
        pieces += 1
    assert 1 < pieces <= 256
    assert part.size <= 2**20


def test_a_part_file_begun_again_without_a_file_forgets_what_it_held(tmp_path: Path) -> None:
    part = PartFile(tmp_path, "song")
    part.add(WHOLE)
    part.restart()
    write(part, b"new")
    assert part.path.read_bytes() == b"new"


def test_a_part_file_begun_again_forgets_what_it_had(part: PartFile, tmp_path: Path) -> None:
    part.restart()
    assert part.size == 0
    write(part, b"new")
    assert part.sha256 == hashlib.sha256(b"new").hexdigest()
    assert part.path.read_bytes() == b"new"


def test_a_part_file_says_what_it_holds(part: PartFile) -> None:
    sound = part.examine("audio")
    assert isinstance(sound, Sound)
    assert sound.completeness is Completeness.EXACT
    assert part.check_sound()[1] is False
    part.restart()
    assert isinstance(part.examine("audio"), str)
    write(part, silence(3 * 2**20))
    assert part.check_sound()[1] is True


def test_a_discarded_part_file_is_gone_and_can_be_discarded_again(
    part: PartFile, tmp_path: Path
) -> None:
    part.discard()
    part.discard()
    assert names(tmp_path) == []


def test_a_part_file_that_cannot_be_removed_is_left_to_the_next_download(
    part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    part.discard()
    monkeypatch.undo()
    assert parts(tmp_path) == [part.path.name]
    PartFile(tmp_path, "song", sweep=True).flush()
    assert part.path.name not in names(tmp_path)


def test_a_published_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        part = PartFile(tmp_path, "song")
        part.flush()
    finally:
        os.umask(before)
    write(part, WHOLE)
    path = part.publish("song.wav")
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["\u97f3" * 80, "\U0001f3b5" * 60, "a" * 251, "\udce4" * 200])
def test_d25_a_name_of_any_letters_fits_where_the_file_does(name: str, tmp_path: Path) -> None:
    part = PartFile(tmp_path, name)
    write(part, WHOLE)
    assert part.publish(f"{name}.wav") == tmp_path / f"{name}.wav"


def test_the_disk_is_asked_to_store_large_buffers_before_the_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _fd, *where: asked.append(where[:2]))
    part = PartFile(tmp_path, "song")
    for size in (2**20, 1000, 2**21):
        write(part, bytes(size))
    part.discard()
    assert asked == [(0, 2**20), (2**20 + 1000, 2**21)]


@pytest.mark.parametrize("known", [True, False])
def test_a_disk_that_takes_no_advice_gets_the_file_all_the_same(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known:
        monkeypatch.setattr(os, "posix_fadvise", failing(errno.EINVAL))
    else:
        monkeypatch.delattr(os, "posix_fadvise")
    part = PartFile(tmp_path, "song")
    write(part, LONG)
    assert part.publish("song.wav") is not None
    assert (tmp_path / "song.wav").read_bytes() == LONG


@pytest.mark.anyio
async def test_a_file_that_fits_into_the_buffer_takes_one_way_to_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    run_in_executor, ways = loop.run_in_executor, 0

    def counting(executor: Any, function: Callable[..., Any], *given: Any) -> asyncio.Future[Any]:
        nonlocal ways
        ways += 1
        return run_in_executor(executor, function, *given)

    async with Host(says(WHOLE)) as host, downloader() as client:
        monkeypatch.setattr(loop, "run_in_executor", counting)
        await client.download(RemoteFile((host.url,), "77"), tmp_path)
    assert ways == 1


# D28, T15: something has that name already


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "other_file": lambda path, _: path.write_bytes(WHOLE[:-1] + b"x"),
    "empty_file": lambda path, _: path.touch(),
    "directory": lambda path, _: path.mkdir(),
    "pipe": lambda path, _: os.mkfifo(path),
    "link_to_a_file": lambda path, secret: path.symlink_to(secret),
    "link_to_nothing": lambda path, secret: path.symlink_to(secret.parent / "nothing"),
    "link_to_itself": lambda path, _: path.symlink_to(path),
    "link_to_a_directory": lambda path, secret: path.symlink_to(secret.parent),
    "hard_link": lambda path, secret: path.hardlink_to(secret),
}
"""What somebody else may have put where a file wants to be; `secret` lies elsewhere."""


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in another folder that has nothing to do with us, as large as ours."""
    path = tmp_path_factory.mktemp("elsewhere") / "secret"
    path.write_bytes(bytes(len(WHOLE)))
    return path


@pytest.mark.parametrize("missing", LACKING)
@pytest.mark.parametrize("kind", PLANTED)
def test_t15_nothing_that_has_the_name_is_replaced_or_written_through(
    kind: str,
    missing: str,
    part: PartFile,
    tmp_path: Path,
    secret: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    PLANTED[kind](tmp_path / "song.wav", secret)
    before = (tmp_path / "song.wav").lstat()
    lack(monkeypatch, missing)
    assert part.publish("song.wav") is None
    after = (tmp_path / "song.wav").lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (
        before.st_ino,
        before.st_mode,
        before.st_size,
    )
    assert secret.read_bytes() == bytes(len(WHOLE))
    assert names(secret.parent) == ["secret"]


def test_t15_a_link_to_the_same_bytes_is_not_taken_for_ours(
    part: PartFile, tmp_path: Path, secret: Path
) -> None:
    secret.write_bytes(WHOLE)
    (tmp_path / "song.wav").symlink_to(secret)
    assert part.publish("song.wav") is None


@pytest.mark.parametrize("missing", LACKING)
def test_d28_a_file_of_the_same_bytes_is_taken_for_ours(
    missing: str, part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "song.wav").write_bytes(WHOLE)
    before = (tmp_path / "song.wav").stat()
    lack(monkeypatch, missing)
    assert part.publish("song.wav") == tmp_path / "song.wav"
    assert (tmp_path / "song.wav").stat().st_ino == before.st_ino
    assert names(tmp_path) == ["song.wav"]


@pytest.mark.parametrize("missing", LACKING)
@pytest.mark.parametrize("error", NOT_SUPPORTED)
def test_h01_a_file_system_without_hard_links_gets_the_file_by_renaming(
    error: str, missing: str, part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monkeypatch, missing, getattr(errno, error))
    assert part.publish("song.wav") == tmp_path / "song.wav"
    assert (tmp_path / "song.wav").read_bytes() == WHOLE
    assert names(tmp_path) == ["song.wav"]


def killed_with_a_reserved_name(directory: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """What a kill leaves between the reserved name and the rename; its descriptor, still open."""
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if target.name == "song.wav":
            raise SystemExit
        return rename(path, target)

    part = PartFile(directory, "song")
    part.add(WHOLE[:-1] + b"?")
    part.flush()
    with monkeypatch.context() as patch:
        lack(patch, "exclusive_renames")
        patch.setattr(Path, "rename", killed)
        with pytest.raises(SystemExit):
            part.publish("song.wav")
    assert (directory / "song.wav").stat().st_size == 0
    return part._fd


@pytest.mark.parametrize("missing", LACKING)
def test_h01_a_name_that_a_killed_process_has_reserved_is_taken(
    missing: str, part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(killed_with_a_reserved_name(tmp_path, monkeypatch))
    lack(monkeypatch, missing)
    assert part.publish("song.wav") == tmp_path / "song.wav"
    assert (tmp_path / "song.wav").read_bytes() == WHOLE
    assert names(tmp_path) == ["song.wav"]


def test_h01_the_next_sweep_gives_a_reserved_name_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(killed_with_a_reserved_name(tmp_path, monkeypatch))
    (tmp_path / "other.wav").touch()
    part = PartFile(tmp_path, "other", sweep=True)
    part.add(WHOLE)
    part.flush()
    assert names(tmp_path) == [part.path.name, "other.wav"]
    part.discard()


@pytest.mark.parametrize("missing", LACKING)
def test_h01_a_name_that_a_living_process_has_reserved_stays_its_own(
    missing: str, part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = killed_with_a_reserved_name(tmp_path, monkeypatch)
    before = names(tmp_path)
    lack(monkeypatch, missing)
    assert part.publish("song.wav") is None
    assert names(tmp_path) == before
    os.close(living)


@pytest.mark.parametrize("missing", LACKING)
def test_h01_an_empty_file_of_somebody_else_is_not_replaced(
    missing: str, part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "song.wav").touch()
    before = (tmp_path / "song.wav").stat()
    lack(monkeypatch, missing)
    assert part.publish("song.wav") is None
    assert (tmp_path / "song.wav").stat().st_ino == before.st_ino


@pytest.mark.parametrize("missing", LACKING)
def test_h01_a_reserved_name_that_holds_something_by_now_is_not_replaced(
    missing: str, part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(killed_with_a_reserved_name(tmp_path, monkeypatch))
    (tmp_path / "song.wav").write_bytes(b"x")
    lack(monkeypatch, missing)
    assert part.publish("song.wav") is None
    assert (tmp_path / "song.wav").read_bytes() == b"x"


def test_d34_the_bytes_are_durable_before_the_name_and_the_name_before_we_say_so(
    part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link, unlink = os.fsync, os.link, Path.unlink

    def synced(fd: int) -> None:
        steps.append("sync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        fsync(fd)

    def linked(*args: Any, **options: Any) -> None:
        steps.append("link")
        link(*args, **options)

    def removed(path: Path, missing_ok: bool = False) -> None:
        steps.append("unlink")
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(Path, "unlink", removed)
    part.publish("song.wav")
    assert steps == ["sync file", "link", "unlink", "sync directory"]


# D33: what dead processes leave


def test_d33_a_dead_part_is_swept_and_a_living_one_stays(part: PartFile, tmp_path: Path) -> None:
    dead = tmp_path / ".song.0123456789ab.part"
    dead.write_bytes(WHOLE[:1000])
    second = PartFile(tmp_path, "song", sweep=True)
    second.flush()
    assert sorted(parts(tmp_path)) == sorted([part.path.name, second.path.name])
    second.discard()
    assert part.publish("song.wav") is not None


@pytest.mark.parametrize(
    "name",
    [
        ".song.part",
        ".song.live.part",
        ".song.0123456789AB.part",
        ".song.0123456789ab.part.bak",
        "..0123456789ab.part",
        "song.0123456789ab.part",
    ],
)
def test_d33_what_only_resembles_a_part_is_not_swept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    part = PartFile(tmp_path, "song", sweep=True)
    part.flush()
    part.discard()
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("kind", ["directory", "pipe", "link_to_a_file", "link_to_nothing"])
def test_t15_what_is_planted_as_a_part_leads_nowhere(
    kind: str, tmp_path: Path, secret: Path
) -> None:
    PLANTED[kind](tmp_path / ".song.0123456789ab.part", secret)
    part = PartFile(tmp_path, "song", sweep=True)
    write(part, WHOLE)
    assert part.publish("song.wav") is not None
    assert secret.read_bytes() == bytes(len(WHOLE))


def test_d29_a_part_swept_between_its_making_and_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    swept: list[str] = []

    def late(fd: int, how: int) -> None:
        if not swept:
            swept.extend(parts(tmp_path))
            (tmp_path / swept[0]).unlink()
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    part = PartFile(tmp_path, "song")
    write(part, WHOLE)
    assert part.path.name not in swept
    assert part.publish("song.wav") is not None
    assert names(tmp_path) == ["song.wav"]


# D24 to D27: the disk says no


def fails(client: ModelsLab, url: str, to: Path) -> Coroutine[Any, Any, DownloadError]:
    """Download, and give the error."""

    async def error() -> DownloadError:
        with pytest.raises(DownloadError) as caught:
            await client.download(RemoteFile((url,), "77"), to)
        return caught.value

    return error()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("open", errno.ENOSPC),
        ("write", errno.ENOSPC),
        ("fsync", errno.ENOSPC),
        ("link", errno.ENOSPC),
        ("open", errno.EACCES),
        ("write", errno.EDQUOT),
        ("write", errno.EIO),
        ("fsync", errno.EIO),
        ("link", errno.EROFS),
        ("mkdir", errno.EACCES),
    ],
)
async def test_d24_a_disk_error_names_itself_leaves_nothing_and_can_be_tried_again(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Host(says(WHOLE)) as host, downloader() as client:
        monkeypatch.setattr(Path if call == "mkdir" else os, call, failing(number))
        error = await fails(client, host.url, tmp_path / "song.wav")
        monkeypatch.undo()
        assert os.strerror(number) in str(error)
        assert "job 77" in str(error)
        assert "paid for" in str(error)
        assert error.job_id == "77"
        assert names(tmp_path) == []
        saved = await client.download(RemoteFile((host.url,), "77"), tmp_path / "song.wav")
        assert saved.path.read_bytes() == WHOLE


@pytest.mark.anyio
async def test_d26_a_file_that_could_not_be_synced_is_fetched_into_a_new_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def broken_once(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        if len(synced) == 1:
            failing(errno.EIO)()
        fsync(fd)

    monkeypatch.setattr(os, "fsync", broken_once)
    keep = (tmp_path / "keep").open("wb")  # so that the inode is not used again
    async with Host(says(WHOLE)) as host, downloader() as client:
        await fails(client, host.url, tmp_path / "song.wav")
        assert len(synced) == 1
        await client.download(RemoteFile((host.url,), "77"), tmp_path / "song.wav")
    keep.close()
    assert host.accepted == 2


@pytest.mark.anyio
async def test_d25_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    async with Host(says(WHOLE)) as host, downloader() as client:
        error = await fails(client, host.url, tmp_path / "taken" / "deep" / "song")
    assert "cannot be written" in str(error)


@pytest.mark.anyio
async def test_d25_a_name_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    async with Host(says(WHOLE)) as host, downloader() as client:
        error = await fails(client, host.url, tmp_path / ("x" * 300))
    assert os.strerror(errno.ENAMETOOLONG) in str(error)
    assert names(tmp_path) == []


@pytest.mark.anyio
async def test_d25_a_folder_that_goes_away_meanwhile_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def take_away(*_: object) -> None:
        if folder.exists():
            shutil.rmtree(folder)

    async with Host(says(LONG)) as host, downloader() as client:
        link = RemoteFile((host.url,), "77")
        with pytest.raises(DownloadError, match=os.strerror(errno.ENOENT)):
            await client.download(link, f"{folder}/", progress=take_away)
        saved = await client.download(link, f"{folder}/")
        assert saved.path.read_bytes() == LONG


@contextlib.contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@pytest.mark.anyio
async def test_d25_a_file_over_the_limit_of_the_process_is_an_error(tmp_path: Path) -> None:
    async with Host(says(WHOLE)) as host, downloader() as client:
        with limited(resource.RLIMIT_FSIZE, 50_000):
            error = await fails(client, host.url, tmp_path / "song.wav")
    assert os.strerror(errno.EFBIG) in str(error)
    assert names(tmp_path) == []


@pytest.mark.anyio
async def test_d27_too_many_open_files_is_an_error_and_the_next_try_works(tmp_path: Path) -> None:
    async with Host(says(WHOLE)) as host, downloader(SOON_GIVEN_UP) as client:
        await client.download(RemoteFile((host.url,), "1"), f"{tmp_path}/")  # warm: threads are up
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        with limited(resource.RLIMIT_NOFILE, free):
            error = await fails(client, host.url, tmp_path / "song.wav")
        assert os.strerror(errno.EMFILE) in str(error)
        saved = await client.download(RemoteFile((host.url,), "77"), tmp_path / "song.wav")
        assert saved.path.read_bytes() == WHOLE


SAVE = """
import asyncio, sys
from modelslab_async import DownloadError, DownloadPolicy, ModelsLab, RemoteFile

async def main(url, *folders):
    policy = DownloadPolicy(timeout=5, first_wait=0.01)
    async with ModelsLab("no-key", base_url="http://127.0.0.1:9", download=policy) as client:
        for folder in folders:
            try:
                print(await client.download(RemoteFile((url,), "77"), folder,
                                            progress=lambda got, _: print("got", got, flush=True)))
            except DownloadError as error:
                print(error)

asyncio.run(main(*sys.argv[1:]))
"""
RUN = [sys.executable, "-W", "error", "-c", SAVE]


@pytest.mark.anyio
async def test_d24_a_disk_that_is_full_or_read_only_is_an_error_and_left_clean(
    tmp_path: Path,
) -> None:
    small, fixed = tmp_path / "small", tmp_path / "fixed"
    small.mkdir()
    fixed.mkdir()
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {small} && mount -t tmpfs -o ro tmpfs {fixed} || exit 9;"
        f' "$@" {small}/ {fixed}/; ls -A {small} {fixed}'
    )
    async with Host(says(WHOLE)) as host:
        shell = ["unshare", "-Urm", "sh", "-c", script, "sh", *RUN, host.url]
        try:
            ran = await anyio.run_process(shell, check=False, stderr=subprocess.STDOUT)
        except FileNotFoundError:
            pytest.skip("needs the unshare command")
    if ran.returncode == 9 or b"unshare: " in ran.stdout:
        pytest.skip("needs a mount namespace")
    told = [line for line in ran.stdout.decode().splitlines() if not line.startswith("got ")]
    assert os.strerror(errno.ENOSPC) in told[0]
    assert os.strerror(errno.EROFS) in told[1]
    assert told[2:] == [f"{fixed}:", "", f"{small}:"]


# D28 and D29 as a caller sees them


@pytest.mark.anyio
async def test_d28_a_name_that_was_asked_for_is_never_another(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_text("mine")
    async with track(tmp_path, done()) as it:
        with pytest.raises(DownloadError, match="nothing was overwritten") as caught:
            await it.save(to="song.wav")
        assert it.made.id in str(caught.value)
    assert (tmp_path / "song.wav").read_text() == "mine"
    assert names(tmp_path) == ["song.wav"]


@pytest.mark.anyio
async def test_d28_a_name_of_ours_counts_on_until_it_is_free(tmp_path: Path) -> None:
    async with track(tmp_path, done()) as it:
        own = it.made.id
        (tmp_path / f"{own}.wav").write_text("mine")
        (tmp_path / f"{own}-2.wav").mkdir()
        (tmp_path / f"{own}-3.wav").symlink_to("nowhere")
        saved = await it.save()
        assert saved.path.name == f"{own}-4.wav"
        assert await it.save() == saved
        assert saved.path.read_bytes() == it.whole
        assert (tmp_path / f"{own}.wav").read_text() == "mine"


@pytest.mark.anyio
@pytest.mark.parametrize("to", ["", "song.wav"])
async def test_d29_many_tasks_that_download_one_job_get_one_file(to: str, tmp_path: Path) -> None:
    async with track(tmp_path, done(), max_downloads=8) as it:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(it.save(to=to)) for _ in range(16)]
        saved = {task.result() for task in tasks}
        assert len(saved) == 1
        assert names(tmp_path) == [to or f"{it.made.id}.wav"]
        assert saved.pop().path.read_bytes() == it.whole


@pytest.mark.anyio
async def test_d29_two_processes_that_download_one_job_get_one_file(tmp_path: Path) -> None:
    met = asyncio.Barrier(2)

    async def both(writer: asyncio.StreamWriter) -> None:
        await met.wait()  # both part files are open now
        writer.write(says(WHOLE))

    async with Host(both) as host, asyncio.TaskGroup() as group:
        run = [*RUN, host.url, f"{tmp_path}/"]
        tasks = [group.create_task(anyio.run_process(run)) for _ in range(2)]
    assert {b"77.wav" in task.result().stdout for task in tasks} == {True}
    assert names(tmp_path) == ["77.wav"]
    assert (tmp_path / "77.wav").read_bytes() == WHOLE


@pytest.mark.anyio
async def test_d33_a_killed_process_leaves_a_part_that_the_next_download_sweeps(
    tmp_path: Path,
) -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(says(LONG[: len(LONG) // 2], length=len(LONG)))
        await writer.drain()
        await writer.wait_closed()

    async with Host(half, says(LONG)) as host, downloader() as client:
        async with await anyio.open_process([*RUN, host.url, f"{tmp_path}/"]) as child:
            assert child.stdout is not None
            said = b""
            while b"got %d\n" % (len(LONG) // 2) not in said:
                said += await child.stdout.receive()
            assert len(parts(tmp_path)) == len(names(tmp_path)) == 1
            child.send_signal(signal.SIGKILL)
        assert len(parts(tmp_path)) == len(names(tmp_path)) == 1
        saved = await client.download(RemoteFile((host.url,), "77"), f"{tmp_path}/")
        assert names(tmp_path) == ["77.wav"]
        assert saved.path.read_bytes() == LONG


# D31: a slow disk


@pytest.mark.anyio
async def test_d31_a_disk_slower_than_the_network_holds_the_network_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = memoryview(silence(32 * 2**20))
    sent = written = furthest = 0
    write = os.write

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(says(b"", length=len(body)))
        for start in range(0, len(body), 2**16):
            writer.write(body[start : start + 2**16])
            sent += 2**16
            await writer.drain()

    def crawl(fd: int, data: memoryview) -> int:
        nonlocal written, furthest
        furthest = max(furthest, sent - written)
        done = write(fd, data[: 2**18])
        written += done
        return done

    async with Host(pour) as host, downloader(QUICK) as client:
        monkeypatch.setattr(os, "write", crawl)
        tracemalloc.start()
        saved = await client.download(RemoteFile((host.url,), "77"), f"{tmp_path}/")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert saved.size == len(body)
    assert peak < 16 * 2**20
    assert furthest < 24 * 2**20


# D32: cancelled anywhere


class Interrupted:
    """A coroutine that is stopped when it waits for the n-th time."""

    def __init__(self, work: Coroutine[Any, Any, SavedFile], at: int, stop: Callable[[], object]):
        self._work = work
        self._at = at
        self._stop = stop
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, SavedFile]:
        waiting = self._work.__await__()
        send, value = waiting.send, None
        while True:
            try:
                future = send(value)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self.waits += 1
            if self.waits == self._at:
                self._stop()
            try:
                value = yield future
                send = waiting.send
            except BaseException as error:  # noqa: BLE001  handed on to the coroutine
                value, send = error, waiting.throw


async def cancelled_natively(work: Coroutine[Any, Any, SavedFile], at: int) -> bool:
    """Run, and cancel the task where it waits for the n-th time; True if it got that far."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        await Interrupted(work, at, task.cancel)

    task = asyncio.ensure_future(run())
    await asyncio.wait([task])
    return task.cancelled()


async def cancelled_by_a_scope(work: Coroutine[Any, Any, SavedFile], at: int) -> bool:
    with anyio.CancelScope() as scope:
        await Interrupted(work, at, scope.cancel)
    return scope.cancelled_caught


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled", [cancelled_natively, cancelled_by_a_scope])
async def test_d32_a_download_cancelled_at_any_wait_leaves_all_or_nothing(
    cancelled: Callable[[Coroutine[Any, Any, SavedFile], int], Coroutine[Any, Any, bool]],
    tmp_path: Path,
) -> None:
    cut = Fault(on="download", kind="cut_body", times=None, host="primary", at=150_000)
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    async with track(tmp_path, done(cut)) as it:
        at = 1
        while await cancelled(it.save(), at):
            left = names(tmp_path)
            assert left in ([], [f"{it.made.id}.wav"])
            for name in left:
                assert (tmp_path / name).read_bytes() == it.whole
                (tmp_path / name).unlink()
            at += 1
        assert at > 5  # two links, each with a connection, an answer and a body to wait for
        assert names(tmp_path) == [f"{it.made.id}.wav"]
    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208
