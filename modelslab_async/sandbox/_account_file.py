"""Keep the jobs of an account in a file, so that a later sandbox goes on with the account.

The first line has the seed, on which every job's file depends, and the port of the storage, which
is in links that clients have kept; each further line is an accepted job. A line is written in one
piece before the submit is answered, so a killed sandbox has told nobody of a job that is not in the
file.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ._account import Job

_FORMAT: Final = "modelslab_sandbox"
_VERSION: Final = 1
_FIELDS: Final = ("id", "path", "at", "price", "request")
_REPAIR: Final = b"\n\n"
"""Ends a line that was cut, and marks it by the empty line after it."""
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class AccountFileError(ValueError):
    """A file is no account of a sandbox."""


@frozen
class KeptJob:
    """An accepted job: `at` is its time in seconds of the system's clock, `price` in dollars."""

    number: int
    path: str
    at: float
    price: float
    request: Mapping[str, Any] = field(repr=False)


class AccountFile:
    """A file of accepted jobs, which is read at once and appended to once it is open. Blocking.

    Args:
        path: the file; there may be none yet.
        seed: of a new file.

    Attributes:
        seed: of the file.
        storage_port: of the storage of the first sandbox with this file; 0 if there was none.
        jobs: those that are in the file, in the order in which they were accepted.

    Raises:
        AccountFileError: it is another kind of file.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.seed = seed
        self.storage_port = 0
        self.jobs: list[KeptJob] = []
        self._path = path
        self._end = b""
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            self._end = data[-1:]
            self._read(data.splitlines())

    def _read(self, lines: list[bytes]) -> None:
        try:
            if lines:
                first = json.loads(lines[0])
                if first[_FORMAT] != _VERSION:
                    raise AccountFileError(f"{self._path} is of another version of the sandbox")
                self.seed = int(first["seed"])
                self.storage_port = int(first["storage_port"])
        except AccountFileError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise AccountFileError(f"{self._path} is no account of a sandbox") from error
        for number, line in enumerate(lines[1:], 2):
            if not line:
                continue
            try:
                kept = json.loads(line)
                self.jobs.append(KeptJob(*(kept[name] for name in _FIELDS)))
            except (ValueError, LookupError, TypeError) as error:
                # A killed process may have left a part of a line, which it never answered for.
                if number < len(lines) and lines[number]:
                    raise AccountFileError(
                        f"{self._path} is damaged: line {number} is no job of a sandbox"
                    ) from error

    def open(self, storage_port: int) -> None:
        """Open the file to append to it, and begin a new one.

        Args:
            storage_port: of this sandbox.

        Raises:
            OSError: it cannot be opened or written.
        """
        self._fd = os.open(self._path, _FLAGS, 0o600)
        if not self._end:
            self._write({_FORMAT: _VERSION, "seed": self.seed, "storage_port": storage_port})
        elif self._end != b"\n":
            os.write(self._fd, _REPAIR)

    def add(self, job: Job, price: float) -> None:
        """Append an accepted job."""
        line = {"id": job.id, "path": job.path, "at": time.time(), "price": price}
        self._write({**line, "request": job.request})

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        if os.write(self._fd, data) != len(data):
            raise OSError("the account's file cannot be written to its end")
