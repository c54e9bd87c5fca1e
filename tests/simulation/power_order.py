"""What must be on disk before the next thing may happen, looked up in a recorded run.

A submit may leave when its intent is synced; a file may get its name when its bytes and its hash
are; the ledger may call it done when its name is; and a commit has ended when its log is.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import Factory, define

from modelslab_async.batch._sqlite.reader import LEDGER_NAME

from .power import Recording
from .power_child import ACKS, OUT
from .power_disk import Disk, File, Folder
from .power_trace import Call

INTENT: Final = "the intent is synced before the submit leaves"
BYTES: Final = "the bytes are synced before the file has its name"
NAME: Final = "the name is synced before the ledger calls the row done"
HASH: Final = "the hash is synced in the ledger before the file has its name"
COMMIT: Final = "the log is synced before a commit has ended"

_SUBMIT: Final = b"/music_gen HTTP/"
_TRACK: Final = re.compile(rb'"track_id":(\d+)')
# A line of the history: from ready to done, at an instant of eight bytes, and the file's name.
_FINAL: Final = re.compile(rb"readydone.{8}(\d{5}-[\w-]+\.wav)", re.DOTALL)


@define
class Order:
    """How often each rule was kept, and how often it was broken."""

    kept: Counter[str] = Factory(Counter)
    broken: Counter[str] = Factory(Counter)

    @classmethod
    def of(cls, recording: Recording, way: str) -> Order:
        order, replay = cls(), recording.replay(way)
        watch = _Watch(replay.disk, way)
        for call in recording.calls:
            for rule, kept in watch.rules(call):
                (order.kept if kept else order.broken)[rule] += 1
            replay.do(call)
        return order


class _Watch:
    """Sees each call before it is done again."""

    def __init__(self, disk: Disk, way: str) -> None:
        self._disk = disk
        self._prompt = f'"prompt":"{way} '.encode()
        self._out = disk.root / OUT
        self._log = self._out / f"{LEDGER_NAME}-wal"
        self._named: set[bytes] = set()
        self._written = False

    def rules(self, call: Call) -> Iterator[tuple[str, bool]]:
        if call.is_send:
            yield from self._submit(call.data)
        elif call.name == "linkat" and self._is_final(call.paths[1]):
            part = self._disk.file(call.paths[0])
            yield BYTES, part.synced == part.live
            digest = hashlib.sha256(part.live).hexdigest().encode()
            yield HASH, any(digest in content for content in self._synced())
        elif call.name == "pwrite64" and call.file == self._log:
            self._written = True
            yield from self._done(call.data)
        elif call.name == "write" and call.file == self._disk.root / ACKS:
            yield from self._commit(call.data)

    def _is_final(self, path: Path) -> bool:
        """Whether it is the name of a row's file, and not of what `probe` tries."""
        return path.parent == self._out and not path.name.startswith(".")

    def _submit(self, data: bytes) -> Iterator[tuple[str, bool]]:
        track = _TRACK.search(data)
        if _SUBMIT in data and self._prompt in data and track is not None:
            yield INTENT, any(track[1] in content for content in self._synced())

    def _synced(self) -> list[bytes]:
        ledgers = [self._disk.find(self._out / LEDGER_NAME), self._disk.find(self._log)]
        return [file.synced for file in ledgers if isinstance(file, File)]

    def _done(self, data: bytes) -> Iterator[tuple[str, bool]]:
        folder = self._disk.find(self._out)
        assert isinstance(folder, Folder)
        for name in set(_FINAL.findall(data)) - self._named:
            self._named.add(name)
            yield NAME, name.decode() in folder.synced

    def _commit(self, data: bytes) -> Iterator[tuple[str, bool]]:
        if data == b"committed\n" and self._written:
            self._written = False
            yield COMMIT, not self._disk.file(self._log).waiting
