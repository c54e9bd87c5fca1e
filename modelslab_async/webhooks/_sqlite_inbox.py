"""Store deliveries in one SQLite file that the processes of one machine share.

A delivery is on disk when `put` returns. Deliveries that arrive during a commit share the next one.
The journal mode is not WAL: several processes write here, and SQLite before 3.51.3 can corrupt a
WAL that two connections reset (SQLite documents, WAL page).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, TypeVar
from weakref import WeakKeyDictionary

import anyio
from attrs import define, field

from .._engine.aio import in_thread
from ..errors import WebhookError
from ._delivery import Delivery

T = TypeVar("T")

_APPLICATION_ID: Final = 0x4D4C4942  # "MLIB"
_MOST: Final = 100_000
_BUSY_SECONDS: Final = 10.0
_SETTINGS: Final = (
    "PRAGMA journal_mode = TRUNCATE",
    "PRAGMA synchronous = FULL",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA mmap_size = 0",
)
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS deliveries (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    track_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    delivery TEXT NOT NULL,
    UNIQUE (track_id, digest)
)
"""
_PUT: Final = "INSERT OR IGNORE INTO deliveries (track_id, digest, delivery) VALUES (?, ?, ?)"
_AGE: Final = "DELETE FROM deliveries WHERE n <= (SELECT max(n) FROM deliveries) - ?"
_TAKE: Final = "SELECT delivery FROM deliveries WHERE track_id = ? ORDER BY n"


@define(eq=False)
class _Group:
    """Deliveries that share a commit, and its result."""

    deliveries: list[Delivery] = field(factory=list)
    done: bool = False
    error: str | None = None


@define(eq=False)
class _Loop:
    """The state per event loop: its next group and its lock, since locks belong to one loop."""

    lock: anyio.Lock = field(factory=anyio.Lock)
    group: _Group = field(factory=_Group)


class SqliteInbox:
    """Keeps the newest 100,000 deliveries in a file that only its owner can read.

    Use it as an asynchronous context manager, or close it with `aclose`. The first use creates the
    file, but not its directory. Several event loops in different threads may share one inbox, for
    example if a receiver is served in a thread.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._db: sqlite3.Connection | None = None
        self._closed = False
        self._in_use = threading.Lock()  # the database; held by one thread at a time
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()
        self._looking = threading.Lock()

    async def put(self, delivery: Delivery) -> None:
        """Store it, unless an equal one is stored; it is on disk when this returns.

        Raises:
            WebhookError: it could not be stored.
        """
        here = self._here()
        group = here.group
        group.deliveries.append(delivery)
        async with here.lock:
            if not group.done:
                here.group = _Group()
                await in_thread(lambda: self._write(group))
        if group.error is not None:
            raise WebhookError(group.error)

    async def take(self, track_id: str) -> list[Delivery]:
        """Return all deliveries that any process has stored for a job, oldest first.

        Raises:
            WebhookError: the file cannot be read, or another program wrote to it.
        """

        def read() -> list[tuple[str]]:
            return self._opened().execute(_TAKE, (track_id,)).fetchall()

        async with self._here().lock:
            rows = await in_thread(lambda: self._tried(read))
        return [Delivery.from_json(text) for (text,) in rows]

    async def aclose(self) -> None:
        """Close the file."""

        def close() -> None:
            with self._in_use:
                self._closed = True
                if self._db is not None:
                    self._db.close()
                    self._db = None

        async with self._here().lock:
            await in_thread(close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _here(self) -> _Loop:
        """Return this event loop's state. At most one thread per loop waits for the database."""
        with self._looking:
            return self._loops.setdefault(asyncio.get_running_loop(), _Loop())

    # --- in a thread, one at a time

    def _write(self, group: _Group) -> None:
        group.done = True

        def insert() -> None:
            rows = [(one.track_id, one.digest, one.to_json()) for one in group.deliveries]
            db = self._opened()
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(_PUT, rows)
                db.execute(_AGE, (_MOST,))

        try:
            self._tried(insert)
        except WebhookError as error:
            group.error = str(error)

    def _tried(self, work: Callable[[], T]) -> T:
        try:
            with self._in_use:
                return work()
        except (sqlite3.Error, OSError) as error:
            raise WebhookError(
                f"the inbox {self._path} cannot be used ({error}): until it can, deliveries are "
                "refused and jobs are polled"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._closed:
            raise WebhookError(f"the inbox {self._path} is closed")
        if self._db is None:
            self._db = _open(self._path)
        return self._db


def _open(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        # Only SQLite may open an existing file: closing another descriptor would drop the POSIX
        # locks that this process holds on it.
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            raise WebhookError(
                f"{path} is not a regular file with a single link; name another file"
            ) from None
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if owner != _APPLICATION_ID and not empty:
            raise WebhookError(f"{path} is another program's database; name another file")
        path.chmod(0o600)
        for setting in _SETTINGS:
            db.execute(setting)
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_TABLE)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    except BaseException:
        db.close()
        raise
    return db
