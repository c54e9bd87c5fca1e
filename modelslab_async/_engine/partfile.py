"""Write a file so that its final name only ever refers to the complete file. Plain blocking code.

The bytes go to a part file in the target's directory, under a temporary name. It is synced and then
published under the final name; publishing never replaces an existing file.
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
from .._protocol.sound_check import Flag, SoundCheck, check_sound
from .filesystem import (
    SCRATCH_BYTES,
    is_empty,
    lock,
    make_durably,
    publish,
    release_reserved_name,
    sync_directory,
    sync_file,
)

_FLUSH_BYTES = 1024 * 1024
_FLUSH_CHUNKS = 256
_HEAD = 4 * 1024
_BLOCK = 64 * 1024
_HEADER = 64 * 1024
# Without NONBLOCK, opening a FIFO that someone put there would block forever.
_PEEK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class PartFile:
    """A file being written. Use it from one thread at a time.

    Only `add` and the attributes never block: bytes stay in memory until the first `flush`, which
    creates the file.

    Args:
        directory: the directory of the final file.
        name: roughly the final name, to make the part file recognizable.
        sweep: remove part files left there by dead processes.
    """

    def __init__(self, directory: Path, name: str, *, sweep: bool = False) -> None:
        self._directory = directory
        self._stem = f".{os.fsencode(name)[:100].decode(errors='ignore')}."
        self._must_sweep = sweep
        self.path = directory  # until the part file is created
        self._fd = -1
        self.size = 0
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._hash = hashlib.sha256()

    @property
    def is_open(self) -> bool:
        """Whether there is a file to discard."""
        return self._fd >= 0

    @property
    def is_full(self) -> bool:
        """Whether enough is buffered to be worth a flush."""
        return self._buffered_bytes >= _FLUSH_BYTES or len(self._buffer) >= _FLUSH_CHUNKS

    def add(self, data: bytes) -> None:
        """Append bytes to the buffer."""
        self._buffer.append(data)
        self._buffered_bytes += len(data)
        self.size += len(data)

    def flush(self) -> None:
        """Write the buffer to disk.

        Raises:
            OSError: it cannot be written.
        """
        if not self.is_open:
            self._open()
        data = b"".join(self._buffer)
        self._clear_buffer()
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        if len(data) >= _FLUSH_BYTES:
            self._start_writeback(len(data))

    def _start_writeback(self, last: int) -> None:
        """Start writing the last bytes to disk now, rather than the whole file at the sync.

        Linux reacts to this advice that way; dirty pages stay in memory.
        """
        if hasattr(os, "posix_fadvise"):  # not on macOS
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._fd, self.size - last, last, os.POSIX_FADV_DONTNEED)

    def _clear_buffer(self) -> None:
        self._buffer.clear()
        self._buffered_bytes = 0

    def _open(self) -> None:
        if self._must_sweep:
            make_durably(self._directory)
            _sweep(self._directory)
        try:
            self._create()
        except FileNotFoundError:  # the directory has been removed meanwhile
            make_durably(self._directory)
            self._create()

    def _create(self) -> None:
        """Create and lock the file; retry if another process swept it before it was locked."""
        # 0666 less the umask, as for any file of the user: a hard link keeps the mode.
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            self.path = self._directory / f"{self._stem}{secrets.token_hex(SCRATCH_BYTES)}.part"
            self._fd = os.open(self.path, flags, 0o666)
            with contextlib.suppress(OSError):  # without lock support, nothing is swept
                lock(self._fd, wait=True)  # the lock shows that the owner is alive
            if os.fstat(self._fd).st_nlink:
                return
            os.close(self._fd)
            self._fd = -1

    def restart(self) -> None:
        """Start over with an empty file."""
        if self.is_open:
            try:
                os.ftruncate(self._fd, 0)
                os.lseek(self._fd, 0, os.SEEK_SET)
            except OSError:  # some file systems are append-only
                self.discard()
        self._clear_buffer()
        self.size = 0
        self._hash = hashlib.sha256()

    def examine(self, gives: Output) -> Judged | str:
        """Examine the bytes on disk; a string says why they are not the requested content."""
        head = self.read_at(0, _HEAD)

        def read_at(offset: int, count: int) -> bytes:
            end = offset + count
            return head[offset:end] if end <= len(head) else self.read_at(offset, count)

        return examine(gives, read_at, self.size)

    def read_at(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes from disk; fewer, or none, at the end."""
        return os.pread(self._fd, count, offset)

    def read(self, part: range) -> Iterator[bytes]:
        """Yield the bytes on disk at these offsets, in blocks."""
        for at in range(part.start, part.stop, _BLOCK):
            yield self.read_at(at, min(_BLOCK, part.stop - at))

    def mend(self, pieces: Iterable[Piece]) -> None:
        """Replace the content by these pieces; a range refers to bytes of the old content."""
        self.rewrite(
            block
            for piece in pieces
            for block in ([piece] if isinstance(piece, bytes) else self.read(piece))
        )

    def rewrite(self, blocks: Iterable[bytes]) -> None:
        """Replace the content by these blocks; the iterable may read the old content.

        The old content stays if this fails, for example because the disk is full.
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

    def check_sound(self) -> tuple[SoundCheck | None, bool]:
        """Check the sound in the file, and return also whether it is silent."""
        return _sound_check(self._fd, self.size)

    @property
    def sha256(self) -> str:
        """Of the bytes on disk, in hex."""
        return self._hash.hexdigest()

    def publish(self, name: str) -> Path | None:
        """Durably give the file its final name; ``None`` if other content has that name.

        A regular file with the same bytes under that name counts as ours. An empty file with which
        a killed process reserved the name is removed.
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
        with contextlib.suppress(OSError):  # the next download sweeps what is left
            self.path.unlink(missing_ok=True)
        fd, self._fd = self._fd, -1  # before `close`: even a failing close closes the descriptor
        os.close(fd)


def published(
    target: Path, size: int, sha256: str, gives: Output
) -> tuple[Judged, SoundCheck | None, bool] | None:
    """Examine a published file and make its name durable; check its sound as `PartFile` does.

    Part files of dead processes are removed, since one may be a second link to this file. ``None``
    if there is no regular file of this size and hash.

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
        check, silent = _sound_check(fd, size) if isinstance(content, Sound) else (None, False)
        sync_file(fd)
    finally:
        os.close(fd)
    _sweep(target.parent)
    sync_directory(target.parent)
    return content, check, silent


def open_unfollowed(path: Path) -> int:
    """Open a path for reading without following links or blocking on a FIFO; return the descriptor.

    Raises:
        OSError: it is a link, or cannot be opened.
    """
    return os.open(path, _PEEK)


def holds(fd: int, size: int, sha256: str) -> bool:
    """Return whether it is a regular file of this size and hash. Reads all of it; leaves it open.

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


def _sound_check(fd: int, size: int) -> tuple[SoundCheck | None, bool]:
    """The check of a sound, if its samples can be read, and whether it is silent."""
    check = check_sound(lambda offset, count: os.pread(fd, count, offset), size)
    return check, _is_silent(fd, size) if check is None else Flag.SILENT in check.flags


def _is_silent(fd: int, size: int) -> bool:
    """Return whether only zeros follow the header. Stops at the first other byte."""
    start = min(_HEADER, size // 2)
    return all(is_silent(os.pread(fd, _BLOCK, offset)) for offset in range(start, size, _BLOCK))


_PART_NAME = re.compile(rf"\..+\.[0-9a-f]{{{2 * SCRATCH_BYTES}}}\.part", re.DOTALL)


def _sweep(directory: Path) -> None:
    """Remove part files whose owner is dead, which their free lock shows."""
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
        release_reserved_name(path)
        path.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(fd)
