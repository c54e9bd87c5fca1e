"""Tell a ledger from a copy of it, and know what the copy's rows were sent as.

A file is known by its inode number and the inode's generation: both stay with the file when its
volume is mounted elsewhere, on another machine or under another device number, and when the
directory is renamed; a copy, a restored backup or an image has others. The host's name and the
device number say nothing: a container has new ones each time. The id of the file system is added
where it is part of the file system itself. Some file systems number their inodes anew on each
mount; there the path is all that is known.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

from ..._protocol.wire_values import MAX_TRACK_ID
from ...errors import LedgerCopied, ModelsLabError

IDENTITY: Final = "identity"
"""What it is called among the things that hold for the whole batch."""

# Their f_fsid comes from what is on the disk; elsewhere it is made of the device number.
_OWN_ID: Final = frozenset({"ext2", "ext3", "ext4", "btrfs", "zfs"})
_NUMBERED_ANEW: Final = frozenset({"vfat", "msdos", "exfat", "virtiofs", "fuseblk", "fuse"})
# FS_IOC_GETVERSION of linux/fs.h, as most processors number it; others answer ENOTTY.
_GET_GENERATION: Final = 0x80007601 | struct.calcsize("l") << 16


class Stamp(NamedTuple):
    """What the file system says of a file, times in nanoseconds; all 0: it is not there.

    Attributes:
        changed: the inode's last change. Only this cannot be set: `cp -a` and `rsync -a` give a
            file any other time they like. `chmod` and `chown` change it too, and a backup may be
            restored before them, so they are no excuse.
        written: the content's last change.
        size: bytes.
    """

    changed: int = 0
    written: int = 0
    size: int = 0


Stamps = tuple[Stamp, Stamp]
"""Of a ledger's database and of its log."""


def identity_of(fd: int, path: Path, kind: str) -> str:
    """What tells this file from a copy.

    Args:
        fd: of the file.
        path: its resolved path.
        kind: the type of its file system; empty when it is not known.
    """
    if kind in _NUMBERED_ANEW or kind.startswith("fuse."):
        return f"path {os.fsencode(path).hex()}"
    about = os.fstat(fd)
    volume = os.fstatvfs(fd).f_fsid if kind in _OWN_ID else 0
    return f"inode {about.st_ino} {_generation(fd)} {volume}"


def is_in_doubt(*, rows: int, known: str | None, now: str, lost_steps: bool) -> bool:
    """Whether rows that a ledger calls planned may have been paid for by another copy of it.

    Args:
        rows: how many it has.
        known: the identity that it had when it was last worked on; ``None``: it kept none then.
        now: the one it has.
        lost_steps: more was once written to it than it holds.
    """
    return lost_steps or (bool(rows) and known is not None and known != now)


def is_suspect(*, rows: int, known: Stamps | None, now: Stamps) -> bool:
    """Return whether an older state may have been restored into the ledger's own files.

    If so, the account's list is read before anything is paid for; that alone stops no run.

    Args:
        rows: how many it has.
        known: what database and log were when they were last worked on, says the lock file;
            ``None``: nothing.
        now: what they are.
    """
    if known is None:
        return bool(rows)
    return known != now


def track_id_of(batch: str, row_id: str, payload_hash: str) -> int:
    """The ``track_id`` of a row that has none of its own: the same in all copies of a batch.

    So a copy finds the jobs that another has paid for in the account's list; but not for a row
    that has a new version here.
    """
    text = f"{batch}\n{payload_hash}\n{row_id}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return 1 + int.from_bytes(digest[:8], "big") % (MAX_TRACK_ID - 1)


def copied(directory: Path, rows: int, trouble: ModelsLabError | None = None) -> LedgerCopied:
    """Nothing is sent from a directory that may not be the one that was last worked on.

    Args:
        directory: which.
        rows: how many of its rows are planned.
        trouble: why the account's list could not be read, if so.
    """
    if trouble is None:
        looked = "jobs of theirs that the account's list names were taken over"
    else:
        looked = f"the account's list could not be read ({trouble}): run again when it can be"
    return LedgerCopied(
        f"{directory} was copied or restored from a backup, or its ledger has lost writes: {rows} "
        f"rows that it calls planned may have been paid for since; {looked}. Nothing was sent. Go "
        "on in the original if there is one, or say that these rows are to be paid for from here "
        "(accept_copy=True)"
    )


def _generation(fd: int) -> int:
    buffer = bytearray(8)
    try:
        fcntl.ioctl(fd, _GET_GENERATION, buffer)
    except OSError:  # a file system without generations
        return 0
    return int(struct.unpack_from("I", buffer)[0])
