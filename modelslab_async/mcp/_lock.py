"""One server at a time spends what the limits of a root allow. Blocking."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mcp.server.mcpserver.exceptions import ToolError

from .._engine.filesystem import lock

_NAME: Final = ".modelslab-mcp.lock"


class RootLock:
    """A lock that the runs of one process share, and that ends with the process.

    Two servers that each look at the ledgers, and then pay, could together exceed a limit.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / _NAME
        self._fd = -1
        self._users = 0

    def acquire(self) -> None:
        """Take it, once more if this process has it already.

        Raises:
            ToolError: another process has it, or the file system has no locks.
        """
        if not self._users:
            self._fd = self._opened()
        self._users += 1

    def release(self) -> None:
        """Give it back."""
        self._users -= 1
        if not self._users:
            os.close(self._fd)

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise ToolError(
                f"{self._path} cannot be opened ({error.strerror}); nothing was sent"
            ) from None
        try:
            lock(fd, wait=False)
        except OSError as error:
            os.close(fd)
            if isinstance(error, BlockingIOError):
                raise ToolError(
                    "another server is paying below the same root, and both share one limit: wait "
                    "until its batch is finished (list_music shows it), then call this again; "
                    "nothing was sent"
                ) from None
            raise ToolError(
                f"the limit cannot be kept: {self._path} cannot be locked ({error.strerror}); "
                "nothing was sent"
            ) from None
        return fd
