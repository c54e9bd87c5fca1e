"""What a file system may lack, and what stands in for it. Plain blocking code.

Network mounts, FUSE and the file systems of memory cards lack hard links, `flock` or the sync of a
directory, and each says so with an errno of its own. What has a safe substitute is substituted
here; `probe` finds out before anything is paid for that one of them works.
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
"""Random bytes in the name of a file that is not meant to stay."""

# Errors that every other way to publish a file would meet as well.
_FINAL: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
)
# A file system answers so when it cannot sync this kind of file at all. EIO is not among them:
# that is a disk that has lost something.
_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_NO_DIRECTORY_SYNC: Final = _NO_SYNC | {errno.EPERM, errno.EACCES, errno.EBADF, errno.EISDIR}
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
    """Bring the content of a file to the disk, as far as its file system can be told to.

    Raises:
        OSError: the content may be lost.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, as far as its file system can be told to.

    Raises:
        OSError: the names may be lost.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # one may add names to a directory that one cannot read
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            text = f"directories cannot be synced there: {error.strerror}"
            raise OSError(error.errno, text, str(directory)) from error
    finally:
        os.close(fd)


def make_durably(directory: Path, mode: int = 0o777) -> list[Path]:
    """Make a directory, and those above it: what is synced in one is lost if its name is not.

    Args:
        directory: which; nothing happens if it is there.
        mode: of the directory itself.

    Returns:
        The directories that were made, the innermost first.

    Raises:
        OSError: it cannot be made; none of them is left.
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
    """Remove directories that `make_durably` made for nothing, the innermost first."""
    for directory in directories:
        with contextlib.suppress(OSError):  # something is in it by now
            directory.rmdir()


def lock(fd: int, *, wait: bool) -> None:
    """Lock a file for this open descriptor alone: by `flock`, or by the kernel's other such lock.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is false.
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise
        # Unlike the classic record lock, it is not lost when another descriptor is closed.
        whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, whole)
        except BlockingIOError:
            raise
        except OSError:
            raise error from None


def publish(part: Path, target: Path) -> bool:
    """Give a synced file its final name, in one step; ``False`` if something has that name.

    A hard link refuses to replace anything. Where there are none, a rename that is told not to
    replace does; and where that is unknown, too, the name is reserved by an empty file that only
    one process can create, and the rename replaces that. What a network mount has done it may call
    an error all the same: its answer was lost, and its second try found the work of the first.

    Raises:
        OSError: the file system knows none of these ways, or has no room.
    """
    ways: tuple[Callable[[Path, Path], None], ...] = (_link, _rename_exclusively, _take_reserved)
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
    # Some FUSE servers give all files one number.
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


def _take_reserved(part: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    # A kill may come between the empty file and the rename: by its name, the part file tells the
    # next sweep for which file it was, see `give_back`.
    ending = f"{secrets.token_hex(SCRATCH_BYTES)}.part"
    telling = part.with_name(f".{_MARK}{_digest(target.name)}.{ending}")
    about = part.lstat()
    try:
        part.rename(telling)
    except OSError:
        if not _is_there(telling, about):
            raise
    try:
        sync_directory(part.parent)
        os.close(os.open(target, _CREATE, 0o666))
        try:
            telling.rename(target)
        except OSError:
            if is_empty(target):  # else the rename was done all the same
                _remove(target)
            raise
    except OSError:
        with contextlib.suppress(OSError):
            telling.rename(part)
        raise


def give_back(part: Path) -> None:
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
    """Whether there is a regular file without content."""
    try:
        about = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and about.st_size == 0


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:_DIGEST]


def probe(directory: Path, name: str = "") -> None:
    """Find out, with files that do not stay, whether a file can be published in a directory.

    Args:
        directory: where; it is there.
        name: a file name that will be needed, for its length and its characters.

    Raises:
        OSError: it cannot; the text of the error says which step fails.
    """
    with contextlib.ExitStack() as cleaning, _named("files cannot be made", directory):
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
"""Whether this process can spell any name; by some locales it cannot."""


def spelled(name: str) -> str:
    """A name that stands on disk in UTF-8, as this process has to spell it to open the file."""
    return os.fsdecode(name.encode())


def takes_all_scripts(directory: Path) -> bool:
    """Find out, with a file that does not stay, whether names may hold letters of all scripts."""
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
    """A name with the length and the unusual characters of another one.

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
    """Say in an error which step failed, unless it says so already."""
    try:
        yield
    except OSError as error:
        if error.filename == str(directory):
            raise
        raise OSError(error.errno, f"{what} there: {error.strerror}", str(directory)) from error
