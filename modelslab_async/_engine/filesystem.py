"""Portable locking, syncing and publishing of files, with safe fallbacks. Plain blocking code.

Network mounts, FUSE and memory-card file systems lack hard links, `flock` or directory sync, and
each reports that with a different errno. This module falls back where that is safe. `probe` checks,
before anything is paid for, that one of the ways works.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

SCRATCH_BYTES: Final = 6
"""Random bytes in the name of a temporary file."""

# Errors that every other way to publish a file would hit as well.
_FINAL: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
)
# A file system returns these if it cannot sync this kind of file at all. EIO is not among them: it
# means that the disk has lost data.
_SYNC_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_DIRECTORY_SYNC_UNSUPPORTED: Final = _SYNC_UNSUPPORTED | {
    errno.EPERM,
    errno.EACCES,
    errno.EBADF,
    errno.EISDIR,
}
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCL: Final = 4
_NAME_MAX: Final = 255
_MARK: Final = "names-"
_DIGEST: Final = 32
_SCRIPTS: Final = "\u00e9\u97f3\U00020bb7"  # of two, three and four bytes in UTF-8
_CONTENT: Final = b"modelslab-async tries whether files can be published here\n"


def sync_file(fd: int) -> None:
    """Sync the content of a file to disk, if its file system supports that.

    Raises:
        OSError: the content may be lost.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _SYNC_UNSUPPORTED:
            raise


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, if its file system supports that.

    Raises:
        OSError: the names may be lost.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a directory can be writable but not readable
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _DIRECTORY_SYNC_UNSUPPORTED:
            text = f"directories cannot be synced there: {error.strerror}"
            raise OSError(error.errno, text, str(directory)) from error
    finally:
        os.close(fd)


def make_durably(directory: Path, mode: int = 0o777) -> list[Path]:
    """Create a directory and its parents, and sync their names: else synced files can be lost.

    Args:
        directory: the directory; it may already exist.
        mode: of the directory itself.

    Returns:
        The directories that were created, innermost first.

    Raises:
        OSError: it cannot be created; the parents created so far are removed again.
    """
    all_above = (directory, *directory.parents)
    missing = list(takewhile(lambda path: not path.exists(), all_above))
    try:
        directory.mkdir(mode, parents=True, exist_ok=True)
        for made in missing:
            sync_directory(made.parent)
    except OSError:
        remove_empty(missing)
        raise
    return missing


def remove_empty(directories: list[Path]) -> None:
    """Remove the still empty directories that `make_durably` created, innermost first."""
    for directory in directories:
        with contextlib.suppress(OSError):  # not empty any more
            directory.rmdir()


def lock(fd: int, *, wait: bool) -> None:
    """Lock a file for this open descriptor, with `flock` or an open file description lock.

    Raises:
        BlockingIOError: another process holds the lock, and ``wait`` is false.
        OSError: the file system does not support locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise
        # Unlike a classic record lock, it survives closing another descriptor of the file.
        whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, whole)
        except BlockingIOError:
            raise
        except OSError:
            raise error from None


def publish(part: Path, target: Path) -> bool:
    """Atomically give a synced file its final name; ``False`` if that name exists.

    A hard link never replaces a file. Without hard links, a rename with a no-replace flag is tried;
    without that flag, an empty file, which only one process can create, reserves the name, and a
    rename replaces it. A network mount may report an error for an operation that succeeded: its
    reply was lost, and the retry found the name taken by the first try. So each error is checked.

    Raises:
        OSError: the file system supports none of these ways, or is full.
    """
    ways: tuple[Callable[[Path, Path], None], ...] = (
        _link,
        _rename_exclusively,
        _rename_over_reserved,
    )
    refused: OSError | None = None
    about = part.lstat()
    for way in ways:
        try:
            way(part, target)
        except OSError as error:
            if _is_there(target, about):
                return True
            if isinstance(error, FileExistsError):
                return False
            if error.errno in _FINAL:
                raise
            refused = refused or error
        else:
            return True
    raise refused or OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _is_there(target: Path, about: os.stat_result) -> bool:
    try:
        found = target.lstat()
    except OSError:
        return False
    # Some FUSE servers give all files the same inode number.
    alike = (found.st_size, found.st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    return alike and os.path.samestat(found, about)


def _link(part: Path, target: Path) -> None:
    os.link(part, target, follow_symlinks=False)


def _rename_exclusively(part: Path, target: Path) -> None:
    if os.path.lexists(target):  # some FUSE servers ignore the flag and replace the file
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    old, new = os.fsencode(part), os.fsencode(target)
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = libc.renamex_np(old, new, _RENAME_EXCL)
        else:
            failed = libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE)
    except (AttributeError, ImportError):  # an older C library, or a Python without `ctypes`
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _rename_over_reserved(part: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    # The process may be killed between creating the empty file and the rename. The part file's name
    # then tells the next sweep which name it reserved, see `release_reserved_name`.
    ending = f"{secrets.token_hex(SCRATCH_BYTES)}.part"
    marked = part.with_name(f".{_MARK}{_digest(target.name)}.{ending}")
    about = part.lstat()
    try:
        part.rename(marked)
    except OSError:
        if not _is_there(marked, about):
            raise
    try:
        sync_directory(part.parent)
        os.close(os.open(target, _CREATE, 0o666))
        try:
            marked.rename(target)
        except OSError:
            if is_empty(target):  # if not, the rename succeeded despite the error
                _remove(target)
            raise
    except OSError:
        with contextlib.suppress(OSError):
            marked.rename(part)
        raise


def release_reserved_name(part: Path) -> None:
    """Remove the empty file that reserved a name for a part file whose process has died.

    Raises:
        OSError: the directory cannot be read.
    """
    mark, _, _ = part.name.removeprefix(".").partition(".")
    if not mark.startswith(_MARK):
        return
    for entry in os.scandir(part.parent):
        if mark == _MARK + _digest(entry.name) and is_empty(part.parent / entry.name):
            _remove(part.parent / entry.name)


def is_empty(path: Path) -> bool:
    """Return whether a path is an empty regular file."""
    try:
        about = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and about.st_size == 0


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:_DIGEST]


def probe(directory: Path, name: str = "") -> None:
    """Check with temporary files whether a file can be published in a directory.

    Args:
        directory: an existing directory.
        name: a file name that will be needed; the check uses its length and characters.

    Raises:
        OSError: it cannot; the error's text says which step fails.
    """
    with contextlib.ExitStack() as cleaning, _named("files cannot be created", directory):
        first, second, target = (directory / _scratch(like) for like in ("", "", name))
        for path in (first, second, target):
            cleaning.callback(_remove, path)
        for path in (first, second):
            _write(path)
        with _named("files cannot be given a name without replacing another", directory):
            published = publish(first, target)
            if not published or target.read_bytes() != _CONTENT:
                raise OSError(errno.EIO, "what was published is not there")
            if publish(second, target):
                raise OSError(errno.EEXIST, "a file was replaced")
        sync_directory(directory)


UTF8_NAMES: Final = sys.getfilesystemencoding() == "utf-8"
"""Whether this process can represent any name; in some locales it cannot."""


def spelled(name: str) -> str:
    """Return a UTF-8 file name as this process must spell it to open the file."""
    return os.fsdecode(name.encode())


def takes_all_scripts(directory: Path) -> bool:
    """Check with a temporary file whether names may contain letters of all scripts."""
    if not UTF8_NAMES:
        return False
    path = directory / _scratch(_SCRIPTS)
    try:
        os.close(os.open(path, _CREATE, 0o600))
    except OSError:
        return False
    finally:
        _remove(path)
    return True


def _scratch(like: str) -> str:
    """Return a temporary name with the length and the unusual characters of another one.

    If a killed process leaves it behind, the next sweep of part files removes it.
    """
    ending = f".{secrets.token_hex(SCRATCH_BYTES)}.part"
    unusual = dict.fromkeys(one for one in like if not (one.isascii() and one.isalnum()))
    room = max(len(os.fsencode(like)), _NAME_MAX) - len(ending)
    stem = os.fsencode(f".probe{''.join(unusual)}")[:room].decode(errors="ignore")
    missing = len(os.fsencode(like)) - len(ending) - len(os.fsencode(stem))
    return f"{stem}{'-' * missing}{ending}"


def _write(path: Path) -> None:
    fd = os.open(path, _CREATE, 0o600)
    try:
        os.write(fd, _CONTENT)
        sync_file(fd)
    finally:
        os.close(fd)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@contextlib.contextmanager
def _named(what: str, directory: Path) -> Iterator[None]:
    """Add the failed step to an error, unless the error already names it."""
    try:
        yield
    except OSError as error:
        if error.filename == str(directory):
            raise
        raise OSError(error.errno, f"{what} there: {error.strerror}", str(directory)) from error
