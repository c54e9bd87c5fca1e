"""Keep the ids of paid jobs in a file until their files are saved.

``generate`` has no ledger, and what it says can be lost with its terminal. Each line of the file is
a job that ``fetch @FILE`` brings to disk; lines that begin with # are for people.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelslab_async import SubmitUnknown

from .._engine.filesystem import sync_directory, sync_file

if TYPE_CHECKING:
    from .tracks import Track

_HEAD = "# Jobs of modelslab-async. To bring their files to disk, free: fetch @THIS_FILE"


class KeptIds:
    """The file of one run. Plain blocking code.

    Args:
        directory: where the files go; this one stands there, readable by its owner alone.
        tracks: what will be asked for.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, directory: Path, tracks: Sequence[Track]) -> None:
        self.path = directory / f"modelslab-jobs-{secrets.token_hex(4)}.txt"
        self._tracks = tracks
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
        self._fd = os.open(self.path, flags, 0o600)
        # If the process dies before an answer, these are what the jobs can be found by.
        self.add(_HEAD, *(f"# asked for: track_id {one.track_id}: {one.name}" for one in tracks))
        sync_directory(directory)

    def add(self, *lines: str) -> None:
        """Write lines, durably.

        Raises:
            OSError: the disk does not take them.
        """
        os.write(self._fd, "".join(f"{line}\n" for line in lines).encode())
        sync_file(self._fd)

    def close(self) -> None:
        """Close the file; remove it if every job in it is over."""
        os.close(self._fd)
        if not any(map(_may_be_unfinished, self._tracks)):
            self.path.unlink(missing_ok=True)


def _may_be_unfinished(track: Track) -> bool:
    unknown = isinstance(track.error, SubmitUnknown) or (track.notes and not track.handle)
    return bool(track.resume_id or unknown)
