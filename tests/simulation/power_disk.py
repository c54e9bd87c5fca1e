"""A disk that forgets: what of a program's writes is on it after a power loss is drawn by lot.

What was synced is there. Of the rest, every write, and every 512 bytes of it, and every name made
or removed in a directory is there or not: POSIX promises nothing about their order.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from attrs import Factory, define, frozen

SECTOR: Final = 512


@frozen
class Write:
    """Bytes at a place; ``None`` for bytes: the file ends here from now on."""

    offset: int
    data: bytes | None
    ended: int


@define(eq=False)
class File:
    """What a program sees of a file, what is synced of it, and what was done since."""

    live: bytearray = Factory(bytearray)
    synced: bytes = b""
    waiting: list[Write] = Factory(list)

    def take(self, write: Write) -> None:
        _apply(self.live, write)
        self.waiting.append(write)

    def sync(self, begun: int) -> None:
        """Nothing is promised for what was still under way when the sync was asked for."""
        kept = bytearray(self.synced)
        for write in self.waiting:
            if write.ended < begun:
                _apply(kept, write)
        self.synced = bytes(kept)
        self.waiting = [write for write in self.waiting if write.ended >= begun]

    def after_loss(self, lot: Lot) -> bytes:
        how = lot.how() if self.waiting else "none"
        if how == "none":
            return self.synced
        if how == "all":
            return bytes(self.live)
        found = bytearray(self.synced)
        for write in self.waiting:
            for piece in _sectors(write) if how == "torn" else (write,):
                if lot.dice.random() < 0.5:
                    _apply(found, piece)
        if lot.dice.random() < 0.3:  # the size can be there before the bytes
            found.extend(bytes(max(len(self.live) - len(found), 0)))
        return bytes(found)


@frozen(eq=False)
class Renaming:
    """Names that come to stand for something else, or for nothing, in one step."""

    names: dict[str, File | Folder | None]
    ended: int


@define(eq=False)
class Folder:
    """The names in a directory, as `File` keeps bytes."""

    live: dict[str, File | Folder] = Factory(dict)
    synced: dict[str, File | Folder] = Factory(dict)
    waiting: list[Renaming] = Factory(list)

    def take(self, step: Renaming) -> None:
        _rename(self.live, step)
        self.waiting.append(step)

    def sync(self, begun: int) -> None:
        for step in self.waiting:
            if step.ended < begun:
                _rename(self.synced, step)
        self.waiting = [step for step in self.waiting if step.ended >= begun]

    def after_loss(self, lot: Lot) -> dict[str, File | Folder]:
        how = lot.how() if self.waiting else "none"
        found = dict(self.synced)
        for number, step in enumerate(self.waiting):
            if (
                how == "all"
                or (how == "torn" and lot.dice.random() < 0.5)
                or (how == "some" and number < lot.cut(len(self.waiting)))
            ):
                _rename(found, step)
        return found


class Lot:
    """How one power loss goes: nothing of the rest is there, or all of it, or each by lot."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self._for_all = dice.choice(("none", "all", "", "", "", ""))
        self._cut = dice.random()

    def how(self) -> str:
        return self._for_all or self.dice.choice(("none", "all", "some", "torn"))

    def cut(self, count: int) -> int:
        """A journal keeps the first steps of so many."""
        return int(self._cut * (count + 1))


class Disk:
    """The files under one directory, which is itself safely there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = Folder()

    def find(self, path: Path) -> File | Folder | None:
        found: File | Folder | None = self.top
        for part in path.relative_to(self.root).parts:
            found = found.live.get(part) if isinstance(found, Folder) else None
        return found

    def file(self, path: Path) -> File:
        found = self.find(path)
        assert isinstance(found, File), path
        return found

    def rename(self, names: dict[Path, File | Folder | None], ended: int) -> None:
        """All in one directory, as one step."""
        folder = self.find(next(iter(names)).parent)
        assert isinstance(folder, Folder), names
        folder.take(Renaming({path.name: thing for path, thing in names.items()}, ended))

    def after_loss(self, dice: random.Random) -> dict[Path, bytes]:
        """The files that are found after a power loss now, by path from the root."""
        lot, known = Lot(dice), dict[int, bytes]()
        found: dict[Path, bytes] = {}
        folders = [(Path(), self.top)]
        while folders:
            place, folder = folders.pop()
            for name, thing in folder.after_loss(lot).items():
                if isinstance(thing, Folder):
                    folders.append((place / name, thing))
                    continue
                if id(thing) not in known:  # a file of two names has the same bytes under both
                    known[id(thing)] = thing.after_loss(lot)
                found[place / name] = known[id(thing)]
        return found


def put(files: dict[Path, bytes], place: Path) -> None:
    """Lay found files down in a real directory."""
    for path, data in files.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        os.close(fd)


def _sectors(write: Write) -> Iterable[Write]:
    if write.data is None:
        yield write
        return
    at = 0
    while at < len(write.data):
        step = SECTOR - (write.offset + at) % SECTOR
        yield Write(write.offset + at, write.data[at : at + step], write.ended)
        at += step


def _apply(content: bytearray, write: Write) -> None:
    if write.data is None:
        del content[write.offset :]
        content.extend(bytes(write.offset - len(content)))
        return
    content.extend(bytes(max(write.offset - len(content), 0)))
    content[write.offset : write.offset + len(write.data)] = write.data


def _rename(names: dict[str, File | Folder], step: Renaming) -> None:
    for name, thing in step.names.items():
        if thing is None:
            names.pop(name, None)
        else:
            names[name] = thing
