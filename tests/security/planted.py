"""What another user of this machine may have put under a name that we are going to use.

`precious` is a file elsewhere that must stay as it is, byte for byte and mode for mode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

PRECIOUS = b"somebody's only copy\n" * 100


def _link_to_a_link(path: Path, precious: Path) -> None:
    middle = precious.with_name("middle")
    middle.symlink_to(precious)
    path.symlink_to(middle)


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda path, precious: path.symlink_to(precious),
    "relative link": lambda path, precious: path.symlink_to(
        os.path.relpath(precious, path.parent.resolve())
    ),
    "link to a link": _link_to_a_link,
    "link to nothing": lambda path, precious: path.symlink_to(precious.with_name("nothing")),
    "link to a folder": lambda path, precious: path.symlink_to(precious.parent),
    "link to a device": lambda path, _: path.symlink_to("/dev/full"),
    "link to itself": lambda path, _: path.symlink_to(path),
    "hard link": lambda path, precious: path.hardlink_to(precious),
    "folder": lambda path, _: path.mkdir(),
    "pipe": lambda path, _: os.mkfifo(path, 0o600),
}


@frozen
class Elsewhere:
    """A folder next to ours, and how it was at first."""

    folder: Path
    before: dict[str, tuple[bytes, int, int]]

    @classmethod
    def made(cls, folder: Path) -> Elsewhere:
        folder.mkdir()
        (folder / "precious").write_bytes(PRECIOUS)
        (folder / "precious").chmod(0o640)
        return cls(folder, {})

    @property
    def precious(self) -> Path:
        return self.folder / "precious"

    def plant(self, kind: str, path: Path) -> None:
        """Put such a thing there, and remember how all is elsewhere."""
        path.parent.mkdir(parents=True, exist_ok=True)
        PLANTED[kind](path, self.precious)
        self.before.update(_seen(self.folder))

    @property
    def untouched(self) -> bool:
        """Whether nothing in the folder has come, gone or changed."""
        return _seen(self.folder) == self.before


def _seen(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {path.name: _about(path) for path in folder.iterdir()}


def _about(path: Path) -> tuple[bytes, int, int]:
    found = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
    return content, found.st_mode, found.st_mtime_ns
