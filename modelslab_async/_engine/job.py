"""Hold one job that the API has accepted: its state, and everybody who waits for it.

A `Job` does not poll by itself. It is told what the polls brought, asks `_policy.poll` what that
means, and wakes those who wait.
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
from .._protocol.output import Output
from .._protocol.replies import Failed, Failure, Finished, Links, RemoteFile, Ticket
from .._protocol.urls import VOICE_FETCH
from ..errors import ModelsLabError
from .aio import Signal, now, time_limit
from .handle import short_handle, write_handle

_LAST_QUESTION = 5.0


class JobStatus(enum.StrEnum):
    """Where a job stands, as far as we know."""

    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"
    DETACHED = "detached"
    """We stopped asking; the job may go on. Waiting for it again asks again."""


@frozen(kw_only=True)
class Generation:
    """What a finished job made.

    Attributes:
        id: the job's id; empty for one that was finished at once and came without an id.
        track_id: as it was sent.
        files: one `RemoteFile` for each output; this API gives one.
        generation_time: seconds on the server, if it said so.
        audio_time: seconds of audio, if it said so.
        waited: seconds from acceptance until we knew.
        polls: how often we asked.
        meta: what the server says it did, as it says it.
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
    """A job at one instant. Times are seconds; ``eta`` is the server's guess at the start."""

    status: JobStatus
    elapsed: float
    eta: float | None
    polls: int
    message: str = ""


class Watcher(Protocol):
    """Whoever asks the API about jobs."""

    loop: asyncio.AbstractEventLoop
    policy: PollPolicy

    def ensure(self, job: Job, timeout: float | None) -> None:
        """See to it that this job is asked about, for at least ``timeout`` seconds from now."""

    async def ask(self, job: Job) -> None:
        """Ask once, now, and tell the job."""

    def require_open(self, job: Job) -> None:
        """Refuse a job that cannot be asked about from here, or not any more."""


class Job:
    """One generation on the server. Await it, or its `result`, for what it made.

    It holds no key. `to_json` is a handle that any process with the key can go on with.

    Attributes:
        id: the server's id for it, as text; empty when it was finished at once without one.
        track_id: as it was sent; ``None`` when the job was taken up by its id alone.
        eta: the server's guess at how many seconds it takes, if there was one.
        has_webhook: whether a receiver of ours is told when it ends.
        path: where it is asked about.
        identity: the family of that path, and the id: families count their jobs each by itself.
        gives: what it was asked for.
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
        has_webhook: bool = False,
        sent: tuple[str, ...] = (),
        gives: Output = "audio",
    ) -> None:
        self._watcher = watcher
        self.has_webhook = has_webhook
        self.id = id
        self.track_id = track_id
        self.kind = kind
        self.path = f"{path}/{fetch_id or id}"
        self.identity = (path, id)
        self.gives = gives
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
        self._news = Signal()
        self.asking = asyncio.Lock()

    # --- what callers use -------------------------------------------------------------------

    @property
    def status(self) -> JobStatus:
        """Where the job stands, without asking the server."""
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
        """The job at this instant, without asking the server."""
        return JobSnapshot(
            status=self.status,
            elapsed=self._elapsed,
            eta=self.eta,
            polls=self.state.polls,
            message=describe(self.state.result),
        )

    async def result(self, timeout: float | None = None) -> Generation:
        """What the job made, once it is finished.

        Args:
            timeout: seconds to wait from now; ``None`` for what is left of the client's.

        Raises:
            JobFailed: the server says so.
            JobTimeout: not finished in time. The job goes on, and can be waited for again.
            APIError: the API refuses to tell us about the job; `error.job` is its handle.
            OutputLost: the job is finished, and the API names no file.
        """
        await self.wait(timeout)
        if isinstance(self._ending, Finish):
            return self._generation(self._ending.finished)
        raise self._error()

    async def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has succeeded or failed, and say which.

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
        if self._ending is None:  # a job that ends with the last question is not late
            with anyio.move_on_after(_LAST_QUESTION):
                await self._watcher.ask(self)
        if self.status in (JobStatus.SUCCESS, JobStatus.FAILED):
            return self.status
        raise self._error()

    async def refresh(self) -> JobStatus:
        """Ask the server once, now, and say where the job stands.

        That a job has failed is believed when two answers in a row say so.
        """
        if self.status is JobStatus.DETACHED:
            self._reattach()
        if self._ending is None:
            await self._watcher.ask(self)
        return self.status

    async def updates(self) -> AsyncIterator[JobSnapshot]:
        """A snapshot now and after each answer at least, until the job has ended or is detached."""
        self._watcher.ensure(self, None)
        while True:
            generation = self._news.generation
            yield self.snapshot
            if self._ending is not None:
                return
            if self._news.generation == generation:
                await self._news.wait()

    def to_json(self) -> str:
        """A handle for `ModelsLab.job`, in this process or another. It holds no key."""
        return write_handle(
            id=self.id,
            track_id=self.track_id,
            path=self.path,
            links=self.links,
            gives=self.gives,
        )

    @property
    def short_handle(self) -> str:
        """A handle without links, for messages: the id, if that is enough."""
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
        """How the job ended for us, or ``None`` while it is asked about."""
        return self._ending

    @property
    def was_queued(self) -> bool:
        """Whether it was in the queue while we watched, for all we know."""
        return not self.state.resumed or self.state.unfinished_at is not None

    def set_schedule(self, schedule: Schedule, *, probe: bool) -> None:
        """From now on, ask about the job when that says; ``probe``: and early, to find out."""
        self.state = evolve(self.state, schedule=schedule, probe=probe)

    def next_action(self) -> Action:
        """What the job needs now."""
        action = next_action(self.state, now(), self._watcher.policy, self._draw)
        self.due = now() + action.delay if isinstance(action, PollAfter) else now()
        return action

    def is_due_sooner(self) -> bool:
        """Whether it should be asked about much sooner than was planned, for what is known now."""
        policy = self._watcher.policy
        action = next_action(self.state, now(), policy, self._draw)
        if not isinstance(action, PollAfter):
            return False
        late = policy.growth * (self.due - self.state.started)
        return now() + action.delay < self.due - late

    def heard(self, result: PollResult, asked_at: float, retry_after: float | None) -> Action:
        """Take in what one poll brought, wake whoever waits for result, and say what is next."""
        self.state = observe(self.state, result, now(), asked_at=asked_at, retry_after=retry_after)
        self._draw = random.random()
        if isinstance(result, Ticket | Finished):
            self.links = result.links.merged(self.links)
        self.wake()
        return self.next_action()

    def end(self, ending: Finish | Stop) -> None:
        """The job has ended for us."""
        if isinstance(ending, Finish):
            self.links = ending.finished.links.merged(self.links)
        self._ending = ending
        self._ended_at = self._loop.time()
        self.wake()

    def forgive(self, late: float) -> None:
        """Give it the time again that this process stood still."""
        if self.state.deadline is not None:
            self.state = evolve(self.state, deadline=self.state.deadline + late)

    async def wait_for_change(self, seconds: float) -> None:
        """Sleep for so long, or until something is heard of the job."""
        await self._news.wait(seconds)

    def wake(self) -> None:
        """Let all who wait for result look again."""
        self._news.notify()

    def extend(self, deadline: float | None) -> None:
        """Be asked about until then, if not for longer anyway; ``None`` is for ever."""
        current = self.state.deadline
        later = None if deadline is None or current is None else max(current, deadline)
        self.state = evolve(self.state, deadline=later)

    # --- inside -----------------------------------------------------------------------------

    @property
    def _elapsed(self) -> float:
        # Also for threads: whoever logs a job need not be on its event loop.
        end = self._loop.time() if self._ended_at is None else self._ended_at
        return end - self.state.started

    async def _until_ended(self) -> None:
        while self._ending is None:
            await self._news.wait()

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
        return Generation(
            id=self.id,
            track_id=self.track_id,
            files=self.links.files(self.id, self.path, self.gives),
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
