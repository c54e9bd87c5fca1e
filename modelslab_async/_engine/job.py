"""One job that the API has accepted: its state and its waiters.

A `Job` does not poll. The poller passes each result to it; the job asks `_policy.poll` what that
means, and wakes its waiters.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any, Protocol

import anyio
from attrs import Factory, evolve, field, frozen

from .._policy.durations import Schedule
from .._policy.error_mapping import polling_stopped
from .._policy.poll import (
    Action,
    Finish,
    PollAfter,
    PollPolicy,
    PollResult,
    PollState,
    Stop,
    describe,
    next_action,
    observe,
)
from .._protocol.marks import Provenance
from .._protocol.output import Output
from .._protocol.replies import Failed, Failure, Finished, Links, RemoteFile, Ticket
from .._protocol.urls import VOICE_FETCH
from ..errors import ModelsLabError
from .aio import Signal, now, time_limit
from .handle import short_handle, write_handle

_LAST_POLL_TIMEOUT = 5.0


class JobStatus(enum.StrEnum):
    """The state of a job, as far as the client knows."""

    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"
    DETACHED = "detached"
    """The client stopped polling; the job may still run. Waiting for it resumes polling."""


@frozen(kw_only=True)
class Generation:
    """The output of a finished job.

    Attributes:
        id: the job's id; empty for one that finished at once and has no id.
        track_id: as it was sent.
        files: one `RemoteFile` per output; this API gives one.
        generation_time: seconds on the server; ``None`` if not reported.
        audio_time: seconds of audio; ``None`` if not reported.
        waited: seconds from acceptance until the client noticed the end.
        polls: the number of polls.
        meta: the server's own metadata, unchanged.
    """

    id: str
    track_id: int | str | None
    files: tuple[RemoteFile, ...]
    generation_time: float | None = None
    audio_time: float | None = None
    waited: float = 0.0
    polls: int = 0
    meta: Mapping[str, Any] = field(default=Factory(dict), repr=False, eq=False)


@frozen(kw_only=True)
class JobSnapshot:
    """A job at one instant. Times are in seconds; ``eta`` is the server's initial estimate."""

    status: JobStatus
    elapsed: float
    eta: float | None
    polls: int
    message: str = ""


class Watcher(Protocol):
    """Polls the API for jobs."""

    loop: asyncio.AbstractEventLoop
    policy: PollPolicy

    def ensure(self, job: Job, timeout: float | None) -> None:
        """Make sure that this job is polled for at least ``timeout`` seconds from now."""

    async def poll(self, job: Job) -> None:
        """Poll once, now, and pass the result to the job."""

    def require_open(self, job: Job) -> None:
        """Raise if this job cannot be polled from here, or not any more."""


class Job:
    """One generation on the server. Await it, or its `result`, to get its output.

    It contains no key. `to_json` returns a handle from which any process with the key can resume.

    Attributes:
        id: the server's id, as text; empty for a job that finished at once and has no id.
        track_id: as it was sent; ``None`` if the job was resumed by its id alone.
        eta: the server's estimate of its duration in seconds; ``None`` if there is none.
        path: the path for polling it.
        identity: the family of that path, and the id: each family numbers its jobs separately.
        gives: the kind of output that was requested.
        asked: the shortest and the longest duration that was requested; ``None``: none, or the
            job was resumed.
        prompt: what was asked for; empty if the job was resumed.
        model: the endpoint's name; likewise.
    """

    def __init__(
        self,
        watcher: Watcher,
        *,
        id: str,  # noqa: A002  the API's own name
        track_id: int | str | None = None,
        path: str = VOICE_FETCH,
        fetch_id: str | None = None,
        links: Links | None = None,
        kind: object = None,
        state: PollState | None = None,
        eta: float | None = None,
        sent: tuple[str, ...] = (),
        gives: Output = "audio",
        asked: tuple[float, float] | None = None,
        prompt: str = "",
        model: str = "",
    ) -> None:
        self._watcher = watcher
        self.id = id
        self.track_id = track_id
        self.kind = kind
        self.path = f"{path}/{fetch_id or id}"
        self.identity = (path, id)
        self.gives = gives
        self.asked = asked
        self.prompt = prompt
        self.model = model
        self.ids = frozenset(one for one in (id, fetch_id) if one)
        self.links = links or Links()
        self._loop = watcher.loop
        self.state = state or PollState(started=self._loop.time())
        self.eta = eta
        self.sent = sent
        self.due = self.state.started
        self._draw = random.random()
        self._ending: Finish | Stop | None = None
        self._ended_at: float | None = None
        self._changed = Signal()
        self.poll_lock = asyncio.Lock()

    # --- what callers use -------------------------------------------------------------------

    @property
    def status(self) -> JobStatus:
        """The last known state of the job; sends no request."""
        match self._ending:
            case None:
                return JobStatus.PROCESSING
            case Finish():
                return JobStatus.SUCCESS
            case Stop(reply=Failed(reason=Failure.FAILED | Failure.TRY_AGAIN)):
                return JobStatus.FAILED
        return JobStatus.DETACHED

    @property
    def snapshot(self) -> JobSnapshot:
        """The job at this instant; sends no request."""
        return JobSnapshot(
            status=self.status,
            elapsed=self._elapsed,
            eta=self.eta,
            polls=self.state.polls,
            message=describe(self.state.result),
        )

    async def result(self, timeout: float | None = None) -> Generation:
        """Wait until the job is finished, and return its output.

        Args:
            timeout: seconds to wait from now; ``None``: the rest of the client's timeout.

        Raises:
            JobFailed: the server reports a failure.
            JobTimeout: not finished in time. The job keeps running; you can wait for it again.
            APIError: the API refuses polls for the job; `error.job` is its handle.
            OutputLost: the job is finished, but the API names no file.
        """
        await self.wait(timeout)
        if isinstance(self._ending, Finish):
            return self._generation(self._ending.finished)
        raise self._error()

    async def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has succeeded or failed, and return which.

        Raises:
            JobTimeout, APIError, OutputLost: as for `result`.
        """
        if self.status is JobStatus.DETACHED:
            self._reattach()
        self._watcher.ensure(self, timeout)
        if timeout is None:
            await self._until_ended()
        else:
            with contextlib.suppress(TimeoutError):
                async with time_limit(timeout):
                    await self._until_ended()
        if self._ending is None:  # a job that is found finished by the last poll is not late
            with anyio.move_on_after(_LAST_POLL_TIMEOUT):
                await self._watcher.poll(self)
        if self.status in (JobStatus.SUCCESS, JobStatus.FAILED):
            return self.status
        raise self._error()

    async def refresh(self) -> JobStatus:
        """Poll the server once, now, and return the job's state.

        A job counts as failed only after two replies in a row say so.
        """
        if self.status is JobStatus.DETACHED:
            self._reattach()
        if self._ending is None:
            await self._watcher.poll(self)
        return self.status

    async def updates(self) -> AsyncIterator[JobSnapshot]:
        """Yield a snapshot now and after each poll, until the job has ended or is detached."""
        self._watcher.ensure(self, None)
        while True:
            generation = self._changed.generation
            yield self.snapshot
            if self._ending is not None:
                return
            if self._changed.generation == generation:
                await self._changed.wait()

    def to_json(self) -> str:
        """Return a handle for `ModelsLab.job` in this process or another. It contains no key."""
        return write_handle(
            id=self.id,
            track_id=self.track_id,
            path=self.path,
            links=self.links,
            gives=self.gives,
        )

    @property
    def short_handle(self) -> str:
        """A handle without links, for messages: the bare id if that is enough."""
        return short_handle(self.id, self.path, self.gives)

    def __await__(self) -> Generator[Any, Any, Generation]:
        return self.result().__await__()

    def __repr__(self) -> str:
        eta = "" if self.eta is None else f", eta {self.eta:.0f} s"
        polls = f"{self.state.polls} poll{'' if self.state.polls == 1 else 's'}"
        return f"<Job {self.id} {self.status}, {polls}, {self._elapsed:.1f} s{eta}>"

    # --- what the watcher uses --------------------------------------------------------------

    @property
    def ending(self) -> Finish | Stop | None:
        """How polling ended; ``None`` while the job is polled."""
        return self._ending

    @property
    def was_queued(self) -> bool:
        """Whether the job was in the queue while this client watched it, as far as it knows."""
        return not self.state.resumed or self.state.unfinished_at is not None

    def set_schedule(self, schedule: Schedule, *, probe: bool) -> None:
        """Poll the job by this schedule from now on; ``probe``: also early, as a check."""
        self.state = evolve(self.state, schedule=schedule, probe=probe)

    def next_action(self) -> Action:
        """Return what to do now, and note when the next poll is due."""
        action = next_action(self.state, now(), self._watcher.policy, self._draw)
        self.due = now() + action.delay if isinstance(action, PollAfter) else now()
        return action

    def is_due_sooner(self) -> bool:
        """Return whether the current schedule asks for a poll much earlier than planned."""
        policy = self._watcher.policy
        action = next_action(self.state, now(), policy, self._draw)
        if not isinstance(action, PollAfter):
            return False
        late = policy.growth * (self.due - self.state.started)
        return now() + action.delay < self.due - late

    def on_poll_result(
        self, result: PollResult, asked_at: float, retry_after: float | None
    ) -> Action:
        """Record the result of one poll, wake the waiters, and return what to do next."""
        self.state = observe(self.state, result, now(), asked_at=asked_at, retry_after=retry_after)
        self._draw = random.random()
        if isinstance(result, Ticket | Finished):
            self.links = result.links.merged(self.links)
        self.wake()
        return self.next_action()

    def end(self, ending: Finish | Stop) -> None:
        """End polling."""
        if isinstance(ending, Finish):
            self.links = ending.finished.links.merged(self.links)
        self._ending = ending
        self._ended_at = self._loop.time()
        self.wake()

    def shift_deadline(self, late: float) -> None:
        """Move the deadline by the seconds for which this process was stopped."""
        if self.state.deadline is not None:
            self.state = evolve(self.state, deadline=self.state.deadline + late)

    async def wait_for_change(self, seconds: float) -> None:
        """Sleep for so many seconds, or until something changes."""
        await self._changed.wait(seconds)

    def wake(self) -> None:
        """Wake all waiters so that they check the job again."""
        self._changed.notify()

    def extend(self, deadline: float | None) -> None:
        """Move the deadline to a later time; ``None``: no deadline."""
        current = self.state.deadline
        later = None if deadline is None or current is None else max(current, deadline)
        self.state = evolve(self.state, deadline=later)

    # --- inside -----------------------------------------------------------------------------

    @property
    def error_name(self) -> str:
        """The name of the error with which waiting for this job has ended."""
        return type(self._error()).__name__

    @property
    def _elapsed(self) -> float:
        # Works in any thread: code that logs a job may not run on its event loop.
        end = self._loop.time() if self._ended_at is None else self._ended_at
        return end - self.state.started

    async def _until_ended(self) -> None:
        while self._ending is None:
            await self._changed.wait()

    def _reattach(self) -> None:
        self._watcher.require_open(self)
        self._ending = self._ended_at = None
        self.state = evolve(
            self.state,
            deadline=now(),
            result=None,
            retry_after=None,
            failures=0,
            contradicted_since=None,
            verdict_count=0,
            verdict=None,
        )

    def _generation(self, finished: Finished) -> Generation:
        meta = finished.raw.get("meta")
        files = self.links.files(self.id, self.path, self.gives)
        track_id = "" if self.track_id is None else f"{self.track_id}"
        about = Provenance(prompt=self.prompt, model=self.model, job_id=self.id, track_id=track_id)
        return Generation(
            id=self.id,
            track_id=self.track_id,
            files=tuple(evolve(file, asked=self.asked, about=about) for file in files),
            generation_time=finished.generation_time,
            audio_time=finished.audio_time,
            waited=self._elapsed,
            polls=self.state.polls,
            meta=meta if isinstance(meta, dict) else {},
        )

    def _error(self) -> ModelsLabError:
        stop = self._ending if isinstance(self._ending, Stop) else Stop(None)
        error = polling_stopped(
            stop,
            job=self.to_json(),
            job_id=self.id,
            known_as=self.short_handle,
            track_id=self.track_id,
            waited=self._elapsed,
            last=describe(self.state.result),
        )
        error.add_note(repr(self))
        return error
