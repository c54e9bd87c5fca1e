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
from typing import Final

from ..._protocol.wire_values import MAX_TRACK_ID

IDENTITY: Final = "identity"
"""What it is called among the things that hold for the whole batch."""

# Their f_fsid comes from what is on the disk; elsewhere it is made of the device number.
_OWN_ID: Final = frozenset({"ext2", "ext3", "ext4", "btrfs", "zfs"})
_NUMBERED_ANEW: Final = frozenset({"vfat", "msdos", "exfat", "virtiofs", "fuseblk", "fuse"})
# FS_IOC_GETVERSION of linux/fs.h, as most processors number it; others answer ENOTTY.
_GET_GENERATION: Final = 0x80007601 | struct.calcsize("l") << 16


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


def track_id_of(batch: str, row_id: str, payload_hash: str) -> int:
    """The ``track_id`` of a row that has none of its own: the same in all copies of a batch.

    So a copy finds the jobs that another has paid for in the account's list; but not for a row
    that has a new version here.
    """
    text = f"{batch}\n{payload_hash}\n{row_id}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return 1 + int.from_bytes(digest[:8], "big") % (MAX_TRACK_ID - 1)


def _generation(fd: int) -> int:
    buffer = bytearray(8)
    try:
        fcntl.ioctl(fd, _GET_GENERATION, buffer)
    except OSError:  # a file system without generations
        return 0
    return int(struct.unpack_from("I", buffer)[0])
