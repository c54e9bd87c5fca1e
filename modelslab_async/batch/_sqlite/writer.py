"""The thread that owns the ledger, and commits waiting writes together.

While one commit is being synced, the next writes gather, so they share the cost of the next sync.
A caller returns only after the transaction with its write has committed.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from ..._engine.aio import in_thread, lacks_thread
from ...errors import LedgerError
from .._states import RowState
from .._transitions import Change
from .advice import explained
from .directory import Directory
from .store import Store

_log = logging.getLogger("modelslab_async.batch")

_GROUP: Final = 1000
# Errors of one statement; any other of SQLite's errors means that the ledger itself is broken.
_OWN_FAULT: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
)


@frozen
class Opened:
    """What was opened; see the attributes of `Store`."""

    place: Directory
    name: str
    recovered: int
    in_doubt: bool
    is_suspect: bool


@frozen
class Answer:
    """The result of a request."""

    value: Any = None
    error: BaseException | None = None


@frozen(eq=False)
class Request:
    """Work for the thread; ``change`` is set if it writes one change of one row."""

    future: asyncio.Future[Answer]
    work: Callable[[Store], Any]
    writes: bool = field(kw_only=True)
    change: Change | None = field(default=None, kw_only=True)


class Writer:
    """The thread, its open ledger, and the requests that wait for it. Used on one event loop.

    Attributes:
        counts: how many rows are in each state, as committed last; replaced, never changed.
    """

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="modelslab-ledger")
        self._store: Store | None = None
        self._broken: LedgerError | None = None
        self._waiting: list[Request] = []
        self._group: list[Request] = []
        self._idle: asyncio.Future[None] | None = None
        self.counts: Mapping[RowState, int] = {}

    async def open(self) -> Opened:
        """Open the ledger.

        Raises:
            LedgerError: see `Store.open`; or the system refuses a thread.
        """
        try:
            # Start the thread now: once the pool has its only thread, it starts no other.
            await self._loop.run_in_executor(self._thread, bool)
        except RuntimeError as error:
            if not lacks_thread(error):
                raise
            raise LedgerError(
                "the system refuses a thread for the ledger; nothing was sent: raise the limit of "
                "processes or memory (`ulimit -u`, `--pids-limit`), then run the same command again"
            ) from error

        def opened() -> Opened:
            one = self._store = Store.open(self._directory, self._clock)
            self.counts = dict(one.tally)
            return Opened(one.directory, one.name, one.recovered, one.in_doubt, one.is_suspect)

        return await in_thread(opened, self._thread)

    def put(self, request: Request) -> None:
        """Queue a request; its future gets the answer."""
        self._waiting.append(request)
        if not self._group:
            self._begin()

    async def close(self) -> None:
        """Process the waiting requests, then close the ledger and end the thread.

        Raises:
            LedgerError: a file could not be closed. What was committed is on disk, and the lock is
                released.
        """
        if self._group:
            self._idle = self._loop.create_future()
            await self._idle
        try:
            if self._store is not None:
                await self._loop.run_in_executor(self._thread, self._store.close)
        except OSError as error:
            raise LedgerError(
                f"the ledger's files could not be closed properly ({error.strerror}); what was "
                "committed is on disk: check the disk, then run the same command again"
            ) from error
        finally:
            self._thread.shutdown()

    def _begin(self) -> None:
        """Pass all waiting requests to the thread together."""
        self._group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
        work = self._loop.run_in_executor(self._thread, self._answers, self._group)
        work.add_done_callback(self._tell)

    def _tell(self, work: asyncio.Future[list[Answer]]) -> None:
        group, self._group = self._group, []
        broken = work.exception()  # not even an unexpected error may leave callers waiting
        answers = [Answer(error=broken)] * len(group) if broken else work.result()
        for request, answer in zip(group, answers, strict=True):
            if not request.future.done():
                request.future.set_result(answer)
        if self._waiting:
            self._begin()
        elif self._idle is not None:
            self._idle.set_result(None)

    def _answers(self, group: list[Request]) -> list[Answer]:
        store = self._store
        if store is None:
            return [Answer(error=LedgerError("the ledger is not open"))] * len(group)
        if self._broken is None:
            try:
                with store.transaction():
                    answers = [_answer(store, request) for request in group]
            except (sqlite3.Error, MemoryError) as error:  # SQLite, too, may find no memory
                self._broken = explained(error, "rows were written")
                _log.error("%s", self._broken)
            else:
                self.counts = dict(store.tally)
                return answers
        return [self._answer_uncommitted(store, request) for request in group]

    def _answer_uncommitted(self, store: Store, request: Request) -> Answer:
        """The ledger is broken: nothing is written, but it may still be readable."""
        if request.writes:
            return Answer(error=_refusal(store, request.change, self._broken))
        try:
            return Answer(request.work(store))
        except BaseException as error:  # noqa: BLE001 - raised to this caller only
            return Answer(error=error)


def _answer(store: Store, request: Request) -> Answer:
    try:
        with store.alone():
            return Answer(request.work(store))
    except sqlite3.Error as error:
        if not isinstance(error, _OWN_FAULT):
            raise
        return Answer(error=error)
    except BaseException as error:  # noqa: BLE001 - raised to this caller only
        return Answer(error=error)


def _refusal(store: Store, change: Change | None, reason: LedgerError | None) -> LedgerError:
    """Why a write was not made; an answer to a paid submit goes to the side file first."""
    if change is None or not change.paid:
        return LedgerError(f"{reason}")
    job_id = change.job_id
    what = f"the answer for row {change.row} ({f'job {job_id}' if job_id else 'without an id'})"
    try:
        store.rescue.keep(change)
        text = f"{reason}. {what} is kept in {store.rescue.path}, which the next run applies"
    except OSError as error:
        text = f"{reason}. {what} could not be kept ({error}): write it down"
    _log.critical("%s", text)
    handle = change.values.get("handle")
    return LedgerError(
        text,
        job=None if handle is None else str(handle),
        job_id=None if job_id is None else str(job_id),
    )
