"""Write one file so that its final name only ever names the whole of it. Plain blocking code.

The bytes go to a part file beside the target, under a name of its own. It is synced, and then
published under the final name, which fails rather than replaces what stands there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from .._protocol.audio import is_silent
from .._protocol.files import examine
from .._protocol.output import Judged, Output
from .._protocol.sound import Piece, Sound
from .filesystem import (
    SCRATCH_BYTES,
    give_back,
    is_empty,
    lock,
    make_durably,
    publish,
    sync_directory,
    sync_file,
)

_ENOUGH = 1024 * 1024
_MANY = 256
_HEAD = 4 * 1024
_BLOCK = 64 * 1024
_HEADER = 64 * 1024
# Without NONBLOCK, opening a pipe that somebody put there would wait for ever.
_PEEK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class PartFile:
    """The bytes of one file on their way. Used by one thread at a time.

    Only `add` and the attributes never block: bytes are held in memory until `flush`, and there is
    no file before.

    Args:
        directory: where the file shall stand.
        name: its name, more or less, for whoever looks at the directory meanwhile.
        sweep: remove the part files there that dead processes have left.
    """

    def __init__(self, directory: Path, name: str, *, sweep: bool = False) -> None:
        self._directory = directory
        self._stem = f".{os.fsencode(name)[:100].decode(errors='ignore')}."
        self._must_sweep = sweep
        self.path = directory  # until there is a file of its own
        self._fd = -1
        self.size = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._hash = hashlib.sha256()

    @property
    def is_open(self) -> bool:
        """Whether there is a file to be discarded."""
        return self._fd >= 0

    @property
    def is_full(self) -> bool:
        """Whether enough is held to be worth the way to the disk."""
        return self._held_bytes >= _ENOUGH or len(self._held) >= _MANY

    def add(self, data: bytes) -> None:
        """Add bytes at the end, in memory for now."""
        self._held.append(data)
        self._held_bytes += len(data)
        self.size += len(data)

    def flush(self) -> None:
        """Write what is held.

        Raises:
            OSError: the disk does not take it.
        """
        if not self.is_open:
            self._open()
        data = b"".join(self._held)
        self._let_go()
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        if len(data) >= _ENOUGH:
            self._begin_to_store(len(data))

    def _begin_to_store(self, last: int) -> None:
        """Have the last bytes brought to the disk from now on, not all of the file at the sync.

        That is how Linux takes this advice; what is not stored yet stays in memory.
        """
        if hasattr(os, "posix_fadvise"):  # not on macOS
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._fd, self.size - last, last, os.POSIX_FADV_DONTNEED)

    def _let_go(self) -> None:
        self._held.clear()
        self._held_bytes = 0

    def _open(self) -> None:
        if self._must_sweep:
            make_durably(self._directory)
            _sweep(self._directory)
        try:
            self._create()
        except FileNotFoundError:  # somebody has removed the directory meanwhile
            make_durably(self._directory)
            self._create()

    def _create(self) -> None:
        """Create and lock the file, again if another's sweep came between the two."""
        # 0666 less the umask, as any file that the user makes: linking keeps the mode.
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            self.path = self._directory / f"{self._stem}{secrets.token_hex(SCRATCH_BYTES)}.part"
            self._fd = os.open(self.path, flags, 0o666)
            with contextlib.suppress(OSError):  # where there are no locks, nothing is swept
                lock(self._fd, wait=True)  # says to others: the owner lives
            if os.fstat(self._fd).st_nlink:
                return
            os.close(self._fd)
            self._fd = -1

    def restart(self) -> None:
        """Begin again with nothing."""
        if self.is_open:
            try:
                os.ftruncate(self._fd, 0)
                os.lseek(self._fd, 0, os.SEEK_SET)
            except OSError:  # some file systems only ever append
                self.discard()
        self._let_go()
        self.size = 0
        self._hash = hashlib.sha256()

    def examine(self, gives: Output) -> Judged | str:
        """What the bytes on disk are, or in words why they are not what was asked for."""
        head = self.read_at(0, _HEAD)

        def read_at(offset: int, count: int) -> bytes:
            end = offset + count
            return head[offset:end] if end <= len(head) else self.read_at(offset, count)

        return examine(gives, read_at, self.size)

    def read_at(self, offset: int, count: int) -> bytes:
        """Some of the bytes on disk; fewer, or none, at their end."""
        return os.pread(self._fd, count, offset)

    def read(self, part: range) -> Iterator[bytes]:
        """The bytes on disk at these offsets, in blocks."""
        for at in range(part.start, part.stop, _BLOCK):
            yield self.read_at(at, min(_BLOCK, part.stop - at))

    def mend(self, pieces: Iterable[Piece]) -> None:
        """Put these in place of the bytes on disk; ranges are of the old ones."""
        self.rewrite(
            block
            for piece in pieces
            for block in ([piece] if isinstance(piece, bytes) else self.read(piece))
        )

    def rewrite(self, blocks: Iterable[bytes]) -> None:
        """Put these bytes in place of those on disk, which may be read meanwhile.

        The old ones stay if that fails, as they do when the disk is full.
        """
        fresh = PartFile(self._directory, self._stem[1:-1])
        try:
            for block in blocks:
                fresh.add(block)
                if fresh.is_full:
                    fresh.flush()
            fresh.flush()
        except BaseException:
            fresh.discard()
            raise
        old = self.path, self._fd
        self.path, self._fd, self.size, self._hash = fresh.path, fresh._fd, fresh.size, fresh._hash
        fresh.path, fresh._fd = old
        fresh.discard()

    def is_silent(self) -> bool:
        """Whether nothing but zeros follows the header."""
        return _is_silent(self._fd, self.size)

    @property
    def sha256(self) -> str:
        """Of the bytes on disk, in hex."""
        return self._hash.hexdigest()

    def publish(self, name: str) -> Path | None:
        """Give the file its final name, durably; ``None`` if something else has that name.

        A regular file of the same bytes under that name is taken for ours, and an empty one that
        a killed process has reserved it with is removed.
        """
        sync_file(self._fd)
        target = self._directory / name
        while not publish(self.path, target):
            if _is_same(target, self.size, self.sha256):
                break
            if not is_empty(target):
                return None
            _sweep(self._directory)
            if is_empty(target):
                return None
        self.discard()
        sync_directory(self._directory)
        return target

    def discard(self) -> None:
        """Remove the part file, if it is still there, and close it."""
        if not self.is_open:
            return
        with contextlib.suppress(OSError):  # what stays is swept by the next download
            self.path.unlink(missing_ok=True)
        fd, self._fd = self._fd, -1  # first: a close that fails has closed it all the same
        os.close(fd)


def published(target: Path, size: int, sha256: str, gives: Output) -> tuple[Judged, bool] | None:
    """What a file is that has its final name, and whether it is silent; its name is durable then.

    Part files of dead processes are removed: this file's may be another link to it. ``None`` if
    there is no regular file of this size and hash.

    Raises:
        OSError: the disk fails.
    """
    if not _is_same(target, size, sha256):
        return None
    fd = open_unfollowed(target)
    try:
        content = examine(gives, lambda offset, count: os.pread(fd, count, offset), size)
        if isinstance(content, str):
            return None
        silent = isinstance(content, Sound) and _is_silent(fd, size)
        sync_file(fd)
    finally:
        os.close(fd)
    _sweep(target.parent)
    sync_directory(target.parent)
    return content, silent


def open_unfollowed(path: Path) -> int:
    """A file descriptor to read what a path names: no link is followed, no pipe waited for.

    Raises:
        OSError: it is a link, or cannot be opened.
    """
    return os.open(path, _PEEK)


def holds(fd: int, size: int, sha256: str) -> bool:
    """Whether it is a regular file of this size and hash. Reads all of it; leaves it open.

    Raises:
        OSError: the disk fails.
    """
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode) or about.st_size != size:
        return False
    with os.fdopen(fd, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _is_same(target: Path, size: int, sha256: str) -> bool:
    try:
        fd = open_unfollowed(target)
    except OSError:
        return False
    try:
        return holds(fd, size, sha256)
    finally:
        os.close(fd)


def _is_silent(fd: int, size: int) -> bool:
    """Whether nothing but zeros follows the header. Ends at the first sound."""
    start = min(_HEADER, size // 2)
    return all(is_silent(os.pread(fd, _BLOCK, offset)) for offset in range(start, size, _BLOCK))


_PART_NAME = re.compile(rf"\..+\.[0-9a-f]{{{2 * SCRATCH_BYTES}}}\.part", re.DOTALL)


def _sweep(directory: Path) -> None:
    """Remove part files whose owner has died: their lock is free."""
    for entry in os.scandir(directory):
        if _PART_NAME.fullmatch(entry.name):
            _remove_if_dead(directory / entry.name)


def _remove_if_dead(path: Path) -> None:
    try:
        fd = open_unfollowed(path)
    except OSError:
        return
    try:
        lock(fd, wait=False)
        give_back(path)
        path.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(fd)
