"""Keep the answers to paid submits when the ledger cannot be written: one synced JSON line each.

Blocking. The file's blocks are allocated when the ledger is opened, so that some hundred lines fit
even if the disk has become full since.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Final

from ..errors import LedgerError
from ._sqlite.directory import Directory
from ._sqlite.location import open_private
from ._transitions import Change, from_fields, to_fields

ROOM: Final = 128 * 1024

_NAME: Final = "ledger.rescue.jsonl"


class Rescue:
    """The side file of one ledger. Used by one thread at a time."""

    def __init__(self, directory: Directory, batch: str) -> None:
        self.path = directory.shown(_NAME)
        self._at = directory.at(_NAME)
        self._batch = batch
        self._fd = open_private(self._at, self.path)
        directory.sync()  # a synced file is lost if its name is not synced
        self._end = 0
        # The rest of the file is line ends, or zeros after a power loss.
        written = os.pread(self._fd, os.fstat(self._fd).st_size, 0).strip(b"\0\n")
        self._lines = [line for line in written.split(b"\n") if line.strip()]

    def kept(self) -> Iterator[Change]:
        """The changes that an earlier process could not write to its ledger.

        Raises:
            LedgerError: a line cannot be read, or belongs to another batch. Nothing is removed.
        """
        for number, line in enumerate(self._lines, 1):
            try:
                data = json.loads(line)
                change, batch = from_fields(data), data["batch"]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise self._unusable(number, "cannot be read") from error
            if batch != self._batch:
                raise self._unusable(number, "belongs to another batch")
            yield change

    def clear(self) -> None:
        """Remove the lines that the ledger has now, and allocate space for new ones.

        Raises:
            OSError: the disk is full.
        """
        os.ftruncate(self._fd, 0)  # in one step: a crash must not leave half a line
        self._lines, self._end = [], 0
        self._write(b"\n" * ROOM, 0)
        os.fsync(self._fd)

    def keep(self, change: Change) -> None:
        """Write one line, and return when it is on disk.

        Raises:
            OSError: the disk is full, or fails.
        """
        line = json.dumps({"batch": self._batch, **to_fields(change)}).encode() + b"\n"
        try:
            self._write(line, self._end)
        except OSError:
            os.ftruncate(self._fd, self._end)  # half a line would make the file unreadable
            raise
        os.fsync(self._fd)
        self._end += len(line)
        self._lines.append(line)

    def close(self) -> None:
        """Close the file, and remove it if it is empty."""
        try:
            if not self._lines:
                self._at.unlink(missing_ok=True)
        finally:
            os.close(self._fd)

    def _write(self, data: bytes, offset: int) -> None:
        while data:
            written = os.pwrite(self._fd, data, offset)
            data, offset = data[written:], offset + written

    def _unusable(self, number: int, what: str) -> LedgerError:
        return LedgerError(
            f"line {number} of {self.path} {what}; it may name a job that is paid for: copy it "
            "elsewhere, remove it, and run again"
        )
