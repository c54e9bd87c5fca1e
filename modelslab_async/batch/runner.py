"""Take the rows of a batch from planned to done, and write down each step before the next.

The queue on the server is kept full: the next submit leaves when a generation is known to be
finished, not when its download is. Whatever ends the run, what is paid for is in the ledger.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import assert_never

import anyio
from anyio.abc import TaskGroup
from attrs import frozen

from ..downloads import SavedFile, Target
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCredits,
    JobFailed,
    LedgerError,
    ModelsLabError,
    OutputLost,
    PermissionDenied,
    RateLimited,
    TransportError,
)
from ..jobs import Generation, Job, JobStatus
from ..policy.polling import Finish
from ..policy.submitting import Busy, NotSent, Rejected, Unknown
from ..protocol.replies import Finished, Refusal, Refused, RemoteFile
from ..protocol.requests import MAX_TRACK_ID
from ..session import Session
from ..submits import Answered, Submission, prepare
from . import changes
from .given import taken
from .ledger import Ledger
from .money import Purse, seconds_of
from .naming import file_name
from .rows import Row
from .states import RowState

_AHEAD = 4
"""Rows that wait for a slot beside those that have one, so that no free slot is idle."""

_BACKLOG = 1000
"""Finished generations that may wait for their download."""

_UNFINISHED = (RowState.READY, RowState.SUBMITTED, RowState.DETACHED)

# Not about one row but about the account, the network or this machine.
_STOPPING = (
    AuthenticationError,
    ConfigurationError,
    InsufficientCredits,
    LedgerError,
    PermissionDenied,
    RateLimited,
    TransportError,
)

_log = logging.getLogger("modelslab_async.batch")


@frozen(kw_only=True)
class Succeeded:
    """One row that is done: its files are on disk, whole.

    Attributes:
        id: the row's own key.
        row: its number, from 1.
        job_id: the server's id of its job.
        saved: its files; this API gives one.
        generation: what the job made; its times are those of this run.
    """

    id: str
    row: int
    job_id: str
    saved: tuple[SavedFile, ...]
    generation: Generation


@frozen(kw_only=True)
class Failed:
    """One row that has no file, and why. What is paid for is kept in the ledger all the same."""

    id: str
    row: int
    error: ModelsLabError


Outcome = Succeeded | Failed


@frozen
class _Journal:
    """Writes down one row's submit: the intent before it leaves, the answer before it is told."""

    _ledger: Ledger
    _row: Row

    async def intent(self, submission: Submission, attempt: int) -> None:
        number = self._row.attempt + attempt
        await self._ledger.write(changes.intent(self._row.seq, submission.track_id, number))

    async def answer(self, answer: Answered) -> Answered:
        change = _written(self._row.seq, answer)
        state = await self._ledger.write(change)
        if change.paid and state is RowState.AMBIGUOUS:
            return Unknown("the API gave it the job of another row", str(change.values["job_id"]))
        return answer


def _written(row: int, answer: Answered) -> changes.Change:
    """A refusal that is about the account, not about the row, leaves the row planned."""
    match answer:
        case Job(status=JobStatus.SUCCESS):
            return changes.finished_at_once(row, answer.id or None, answer.to_json())
        case Job():
            return changes.accepted(row, answer.id, answer.to_json())
        case NotSent(reason=reason):
            return changes.not_sent(row, reason)
        case Busy(reply) | Rejected(
            Refused(reason=Refusal.KEY | Refusal.CREDITS | Refusal.PLAN) as reply
        ):
            return changes.not_sent(row, reply.message)
        case Rejected(reply):
            return changes.rejected(row, "BadRequest", reply.message)
        case Unknown(reason=reason):
            return changes.ambiguous(row, reason)
    assert_never(answer)


class Runner:
    """Works through the rows of one ledger, once.

    Args:
        session: the open client.
        ledger: open.
        directory: where the files go.
        template: how they are named, see `naming.file_name`.
        max_jobs: jobs that may be in the account's queue.
        purse: what is paid for, and may be.
        report: is told each outcome; while it waits, the run waits.
    """

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        *,
        directory: Path,
        template: str,
        max_jobs: int,
        purse: Purse,
        report: Callable[[Row, Outcome], Awaitable[None]],
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._directory = directory
        self._template = template
        self._purse = purse
        self._report = report
        self._room = anyio.Semaphore(max_jobs + _AHEAD)
        self._backlog = anyio.Semaphore(_BACKLOG)
        self.stopped: ModelsLabError | None = None

    async def run(self, planned: AsyncIterator[Row]) -> None:
        """Finish what is paid for, then submit what is planned, until there is nothing left.

        `stopped` then says why some rows were left planned, if some were.
        """
        async with anyio.create_task_group() as group:
            async for row in self._ledger.each(_UNFINISHED):
                await self._start(group, row)
            async for row in planned:
                if self.stopped is None:
                    self.stopped = self._purse.refusal(_seconds(row))
                if self.stopped is not None:
                    break
                self._purse.paid(_seconds(row))
                await self._start(group, row)

    async def _start(self, group: TaskGroup, row: Row) -> None:
        await self._backlog.acquire()
        await self._room.acquire()
        group.start_soon(self._work, row)

    async def _work(self, row: Row) -> None:
        try:
            outcome = await self._outcome(row)
        finally:
            self._backlog.release()
        if outcome is not None:
            await self._report(await self._ledger.row(row.seq), outcome)

    async def _outcome(self, row: Row) -> Outcome | None:
        """What became of the row; ``None``: that is not said yet, here or in this run."""
        try:
            generation = await self._generated(row)
            return None if generation is None else await self._saved(row, generation)
        except ModelsLabError as error:
            if _stops(error):
                self.stopped = self.stopped or error
            state = (await self._ledger.row(row.seq)).state
            if state is RowState.PLANNED:
                self._purse.returned(_seconds(row))
                return None
            if state is RowState.AMBIGUOUS or (state is RowState.READY and _stops(error)):
                return None
            return Failed(id=row.id, row=row.seq, error=error)

    async def _generated(self, row: Row) -> Generation | None:
        try:
            if row.state is not RowState.PLANNED:
                return await self._taken_up(row)
            if self.stopped is not None:
                return None
            return await self._awaited(row, await self._submit(row))
        finally:
            self._room.release()

    async def _submit(self, row: Row) -> Job:
        request, _ = taken(json.loads(row.request))
        track_id = request.track_id
        if track_id is None:
            track_id = int(row.track_id or 1 + secrets.randbelow(MAX_TRACK_ID - 1))
        journal = _Journal(self._ledger, row)
        return await self._session.submitter.submit(await prepare(request, track_id), journal)

    async def _taken_up(self, row: Row) -> Generation:
        """Go on with a job of an earlier run: by its links if they are known, else by its id."""
        job = self._session.job(row.handle or "")
        if row.state is RowState.READY and job.links.output:
            job.end(Finish(Finished(links=job.links)))
            return await job.result()
        if row.state is not RowState.SUBMITTED:
            await self._ledger.write(changes.waiting_again(row.seq, "asked for again"))
        return await self._awaited(row, job)

    async def _awaited(self, row: Row, job: Job) -> Generation:
        try:
            generation = await job.result()
        except JobFailed as error:
            kind = type(error).__name__
            await self._ledger.write(
                changes.failed(row.seq, kind, str(error), polls=job.snapshot.polls)
            )
            raise
        except OutputLost as error:
            await self._ledger.write(
                changes.ready(row.seq, job.to_json(), polls=job.snapshot.polls)
            )
            await self._lost(row, error)
            raise
        except ModelsLabError as error:
            await self._ledger.write(
                changes.detached(row.seq, str(error), polls=job.snapshot.polls)
            )
            raise
        if (await self._ledger.row(row.seq)).state is RowState.SUBMITTED:
            await self._ledger.write(
                changes.ready(
                    row.seq,
                    job.to_json(),
                    generation_time=generation.generation_time,
                    polls=generation.polls,
                )
            )
        return generation

    async def _saved(self, row: Row, generation: Generation) -> Succeeded:
        stem = file_name(self._template, row.seq, row.id, row.prompt, generation.id)
        try:
            saved = [
                await self._session.bring(
                    file, Target(self._directory, _numbered(stem, file), exact=True)
                )
                for file in generation.files
            ]
        except OutputLost as error:
            await self._lost(row, error)
            raise
        first = saved[0]
        await self._ledger.write(
            changes.done(
                row.seq,
                first.path.name,
                sha256=first.sha256,
                size=first.size,
                seconds=first.seconds,
                integrity=first.integrity,
            )
        )
        return Succeeded(
            id=row.id, row=row.seq, job_id=generation.id, saved=tuple(saved), generation=generation
        )

    async def _lost(self, row: Row, error: OutputLost) -> None:
        await self._ledger.write(changes.output_lost(row.seq, type(error).__name__, str(error)))


def _numbered(stem: str, file: RemoteFile) -> str:
    return f"{stem}-{file.index + 1}" if file.index else stem


def _stops(error: ModelsLabError) -> bool:
    """Whether going on to other rows is no use; an OSError is a disk that takes nothing."""
    return isinstance(error, _STOPPING) or isinstance(error.__cause__, OSError)


def _seconds(row: Row) -> float:
    return seconds_of(taken(json.loads(row.request))[0])
