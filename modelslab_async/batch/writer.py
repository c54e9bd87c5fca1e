"""One thread owns the ledger, and commits together what waits together.

While one commit is on its way to the disk the next requests gather, so the cost of a sync is
shared by all that are waiting. Nobody is answered before the commit that holds his request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from ..errors import LedgerError
from .changes import Change
from .reading import explained
from .store import Store

_log = logging.getLogger("modelslab_async.batch")

_GROUP: Final = 1000
_LOOK_UP: Final = 1.0
# Errors of one statement; every other one of SQLite's says that the ledger itself is in trouble.
_OWN_FAULT: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
)


@frozen
class Answer:
    """What became of a request."""

    value: Any = None
    error: BaseException | None = None


@frozen(eq=False)
class Request:
    """Work for the thread. ``change`` is what it writes, if that is one change of one row."""

    future: asyncio.Future[Answer]
    work: Callable[[Store], Any]
    writes: bool = field(kw_only=True)
    change: Change | None = field(default=None, kw_only=True)


class Writer:
    """The thread, and the queue before it.

    Attributes:
        opened: done when the ledger is open, with how many rows were recovered, or cannot be.
        ended: done when the ledger is closed.
    """

    def __init__(
        self, directory: Path, clock: Callable[[], float], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.opened: asyncio.Future[Answer] = loop.create_future()
        self.ended: asyncio.Future[Answer] = loop.create_future()
        self._directory = directory
        self._clock = clock
        self._loop = loop
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._broken: LedgerError | None = None
        self._group: list[Request] = []
        self._over = False
        self._thread = threading.Thread(target=self._run, name="modelslab-ledger", daemon=False)

    def start(self) -> None:
        """Begin; `opened` tells how that went."""
        self._thread.start()

    def put(self, request: Request) -> None:
        """Have work done; its future tells how that went."""
        self._queue.put(request)
        if self._over:
            self._refuse_waiting()

    def end(self) -> None:
        """Do what waits, then close the ledger; `ended` tells when."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait for the thread's last breath, after `ended`."""
        self._thread.join()

    def _run(self) -> None:
        try:
            store = Store.open(self._directory, self._clock)
        except Exception as error:  # noqa: BLE001 - it is raised to whoever opens the ledger
            self._tell([(self.opened, Answer(error=error))])
        else:
            self._tell([(self.opened, Answer(store.recovered))])
            with contextlib.closing(store):
                self._serve(store)
        finally:
            self._over = True
            self._refuse_waiting()
            self._tell([(self.ended, Answer())])

    def _serve(self, store: Store) -> None:
        going_on = True
        while going_on:
            self._group, going_on = self._next_group()
            answers = self._answers(store, self._group)
            self._tell([(request.future, answer) for request, answer in answers])

    def _next_group(self) -> tuple[list[Request], bool]:
        """All that waits, and whether more may come. Waits for the first."""
        request = self._first()
        group: list[Request] = []
        while request is not None:
            group.append(request)
            if len(group) == _GROUP:
                return group, True
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _first(self) -> Request | None:
        while True:
            try:
                return self._queue.get(timeout=_LOOK_UP)
            except queue.Empty:
                # A program that ends without closing its ledger must still end.
                if not threading.main_thread().is_alive():
                    return None

    def _answers(self, store: Store, group: list[Request]) -> list[tuple[Request, Answer]]:
        if self._broken is None:
            try:
                with store.transaction():
                    return [(request, _done_alone(store, request)) for request in group]
            except sqlite3.Error as error:
                self._broken = explained(error, "rows were written")
                _log.error("%s", self._broken)
        return [(request, self._without_commit(store, request)) for request in group]

    def _without_commit(self, store: Store, request: Request) -> Answer:
        if request.writes:
            return Answer(error=_refusal(store, request.change, self._broken))
        return _done(store, request)

    def _refuse_waiting(self) -> None:
        waiting: list[Request | None] = [*self._group]  # without an answer if the thread failed
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.append(self._queue.get_nowait())
        refusal = Answer(error=LedgerError("the ledger is closed; open it again to go on"))
        self._tell([(request.future, refusal) for request in waiting if request])

    def _tell(self, answers: list[tuple[asyncio.Future[Answer], Answer]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: list[tuple[asyncio.Future[Answer], Answer]]) -> None:
    for future, answer in answers:
        if not future.done():
            future.set_result(answer)


def _done(store: Store, request: Request) -> Answer:
    try:
        return Answer(request.work(store))
    except BaseException as error:  # noqa: BLE001 - it is raised to the caller, to nobody else
        return Answer(error=error)


def _done_alone(store: Store, request: Request) -> Answer:
    try:
        with store.alone():
            return Answer(request.work(store))
    except sqlite3.Error as error:
        if not isinstance(error, _OWN_FAULT):
            raise
        return Answer(error=error)
    except BaseException as error:  # noqa: BLE001 - it is raised to the caller, to nobody else
        return Answer(error=error)


def _refusal(store: Store, change: Change | None, reason: LedgerError | None) -> LedgerError:
    """Why a write did not happen; what is paid for is kept in the side file first."""
    if change is None or not change.paid:
        return LedgerError(f"{reason}")
    job_id = change.values.get("job_id")
    what = f"the answer for row {change.row} ({f'job {job_id}' if job_id else 'without an id'})"
    try:
        store.rescue.keep(change)
        text = f"{reason}. {what} is kept in {store.rescue.path} and taken in by the next run"
    except OSError as error:
        text = f"{reason}. {what} could not be kept ({error}): write it down"
    _log.critical("%s", text)
    handle = change.values.get("handle")
    return LedgerError(
        text,
        job=None if handle is None else str(handle),
        job_id=None if job_id is None else str(job_id),
    )
