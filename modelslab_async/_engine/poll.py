"""Poll the API for jobs: the only poll loop, with one rate limit for the whole client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel

from .._policy.durations import DurationModel
from .._policy.poll import (
    Finish,
    NoReply,
    PollAfter,
    PollPolicy,
    PollResult,
    RateLimiter,
    Stop,
    describe,
    is_about,
    pause,
)
from .._protocol.inline import with_inline_text
from .._protocol.output import Output
from .._protocol.replies import Failed, Failure, Finished, Links, read_reply
from .._text import safe_text
from ..errors import ConfigurationError
from .aio import Signal, now, runs_on
from .events import EventKind, Events, JobEvent
from .http import KeyedTransport, NoResponse, Response, read_off_loop
from .job import Job, JobStatus

REPLAN_AFTER = frozenset({1, 2, 4, 8, 16})
"""Sample counts of one kind after which all jobs are rescheduled; later samples change little."""

_STALL_CHECK_INTERVAL = 1.0
_MIN_STALL = 2.0
"""Seconds; a timer that is this late means that the process, or its event loop, was stopped."""

_MIN_WAIT = 1e-6  # seconds; a shorter wait is a rounding error
_REPLAN_BATCH = 100
"""Jobs to reschedule before other tasks get the event loop."""


class Poller:
    """Polls every job of one client in its own task, all within one rate limit.

    Args:
        transport: sends the requests.
        policy: how often to poll.
        timeout: default seconds for which to poll a job; ``None``: no limit.
        probe: returns whether a link serves the requested kind of content.
        spawn: starts a task that the client cancels when it closes.
        left_queue: called for each job that has left the account's queue.
        events: receives each step.
    """

    def __init__(
        self,
        transport: KeyedTransport,
        policy: PollPolicy,
        *,
        timeout: float | None,
        probe: Callable[[str, Output], Awaitable[bool]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        left_queue: Callable[[], None],
        events: Events,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.policy = policy
        self.durations = DurationModel(policy.first, policy.min_interval)
        self._transport = transport
        self._timeout = timeout
        self._probe = probe
        self._spawn = spawn
        self._left_queue = left_queue
        self._events = events
        self.watch_started = Signal()
        """Notified when the poller starts to watch a job."""
        self._rate_limiter = RateLimiter(policy.rate)
        self._watched: dict[tuple[str, str], Job] = {}
        self._by_track: dict[str, Job] = {}
        self._closed = False
        self._watches_stalls = False

    def close(self) -> None:
        """Accept no more jobs."""
        self._closed = True

    def require_open(self, job: Job) -> None:
        """Check that a job can be polled.

        Raises:
            ConfigurationError: the client was closed, or is open on another event loop.
        """
        if not runs_on(self.loop):
            raise ConfigurationError(
                f"job {job.id} belongs to a client on another event loop, which keeps polling it: "
                "wait for it there (from a thread: asyncio.run_coroutine_threadsafe(job.result(), "
                "loop)), or open a client here and resume with "
                f"client.job({job.short_handle!r})",
                job=job.to_json(),
                job_id=job.id,
                track_id=job.track_id,
            )
        if self._closed:
            raise ConfigurationError(
                f"the client of job {job.id} is closed; the job keeps running: "
                f"open a client and resume with client.job({job.short_handle!r})",
                job=job.to_json(),
                job_id=job.id,
                track_id=job.track_id,
            )

    @property
    def watched(self) -> tuple[Job, ...]:
        """The jobs that are polled now."""
        return tuple(self._watched.values())

    def find(self, job_id: str, family: str | None = None) -> Job | None:
        """Return the job with this id if it is being polled, so that no job is polled twice.

        Args:
            job_id: of the job.
            family: of its fetch path; ``None``: any, if only one watched job has the id.
        """
        if family is not None:
            return self._watched.get((family, job_id))
        found = [job for job in self._watched.values() if job.id == job_id]
        return found[0] if len(found) == 1 else None

    def find_by_track_id(self, track_id: str) -> Job | None:
        """Return the job that was submitted with this ``track_id``, if it is being polled."""
        return self._by_track.get(track_id)

    def deadline(self) -> float | None:
        """Return the deadline of a job that is accepted now."""
        return None if self._timeout is None else now() + self._timeout

    def ensure(self, job: Job, timeout: float | None) -> None:
        """Make sure that the job is polled for at least ``timeout`` seconds from now.

        Raises:
            ConfigurationError: as `require_open`.
        """
        if job.ending is not None:
            return
        self.require_open(job)
        watched = self._watched.get(job.identity) is job
        if timeout is not None:
            job.extend(now() + timeout)
        elif not watched:
            job.extend(self.deadline())
        if not watched:
            self._watched[job.identity] = job
            self._spawn(self.watch(job))

    async def watch(self, job: Job) -> None:
        """Poll the job until it has ended or its time is up."""
        self._watched[job.identity] = self._by_track[str(job.track_id)] = job
        self.watch_started.notify()
        if not self._watches_stalls:
            self._watches_stalls = True
            self._spawn(self._watch_stalls())
        try:
            while job.ending is None:
                self._update_schedule(job)
                action = job.next_action()
                if not isinstance(action, PollAfter):
                    job.end(action)
                elif action.delay > _MIN_WAIT:
                    await job.wait_for_change(action.delay)
                else:
                    await self.poll(job, in_time=True)
        finally:
            if self._watched.get(job.identity) is job:
                del self._watched[job.identity]
                self._by_track.pop(str(job.track_id), None)
            if job.ending is None:  # the client closes: whoever still waits is ended_by_webhook so
                job.end(Stop(None))
            if job.status is JobStatus.SUCCESS:
                self._report(EventKind.FINISHED, job)
            else:
                reason, error = safe_text(job.snapshot.message), job.error_name
                self._report(EventKind.FAILED, job, reason=reason, error=error)
            if job.was_queued and job.status in (JobStatus.SUCCESS, JobStatus.FAILED):
                self._left_queue()

    async def _watch_stalls(self) -> None:
        """While jobs are watched, detect that this process was stopped, and extend deadlines.

        This timer is due before all others that expired during the stop, so no job has timed out
        yet.
        """
        try:
            while self._watched:
                due = now() + _STALL_CHECK_INTERVAL
                await anyio.sleep(_STALL_CHECK_INTERVAL)
                if (late := now() - due) > _MIN_STALL:
                    for job in self.watched:
                        job.shift_deadline(late)
        finally:
            self._watches_stalls = False

    def _update_schedule(self, job: Job) -> None:
        """Update the job's schedule from the durations of other jobs."""
        if job.kind is None:
            return
        probe = job.state.probe
        schedule = self.durations.schedule(job.kind, job.eta, probe=probe)
        job.set_schedule(schedule, probe=probe)

    def _observe_duration(self, job: Job, asked_at: float, *, ended_by_webhook: bool) -> None:
        """Record how long a job took, and reschedule the others if that is informative."""
        begun, unfinished = job.state.started, job.state.unfinished_at
        high = asked_at - begun
        low = None if unfinished is None else unfinished - begun
        self.durations.observe(job.kind, job.eta, high if ended_by_webhook else low, high)
        if self.durations.by_kind[job.kind].samples in REPLAN_AFTER:
            self._spawn(self._replan())

    async def _replan(self) -> None:
        for number, job in enumerate(self.watched, 1):
            self._update_schedule(job)
            if job.is_due_sooner():
                job.wake()
            if number % _REPLAN_BATCH == 0:
                await anyio.lowlevel.checkpoint()

    async def poll(
        self, job: Job, *, in_time: bool = False, ended_by_webhook: bool = False
    ) -> None:
        """Poll once, and pass the result to the job. Concurrent callers share one poll.

        Args:
            job: the job to poll.
            in_time: never wait beyond the job's deadline, even if the API is rate limiting.
            ended_by_webhook: a delivery says that the job has just ended.

        Raises:
            ConfigurationError: the client was closed.
        """
        self.require_open(job)
        polls = job.state.polls
        async with job.poll_lock:
            if job.state.polls == polls and job.ending is None:
                await self._poll_once(job, in_time=in_time, ended_by_webhook=ended_by_webhook)

    async def _poll_once(self, job: Job, *, in_time: bool, ended_by_webhook: bool) -> None:
        await self._wait_for_rate_limit(job, in_time=in_time)
        asked_at = now()
        answer = await self._transport.post(job.path, {}, timeout=self.policy.timeout)
        result = await read_off_loop(answer, partial(_poll_result, answer, job.sent, job.gives))
        if not is_about(result, job.ids):
            result = NoReply("the reply is about another job")
        retry_after = answer.retry_after if isinstance(answer, Response) else None
        action = job.on_poll_result(result, asked_at, retry_after)
        paused = pause(job.state, self.policy)
        if paused is not None:
            self._rate_limiter = self._rate_limiter.paused(now(), paused)
        if isinstance(action, Finish) and job.kind is not None:
            self._observe_duration(job, asked_at, ended_by_webhook=ended_by_webhook)
        if isinstance(action, Finish) or (isinstance(action, Stop) and action.reply):
            job.end(await self._probe_links(job, action) or action)
        elif isinstance(result, NoReply):
            wait = action.delay if isinstance(action, PollAfter) else None
            reason = f"no reply to a poll ({result.reason})"
            self._report(EventKind.WAITING, job, reason=safe_text(reason), seconds=wait)
        else:
            self._report(EventKind.POLLED, job, reason=safe_text(describe(result)))

    def _report(self, kind: EventKind, job: Job, **details: Any) -> None:
        self._events.emit(JobEvent(kind=kind, track_id=job.track_id, job_id=job.id, **details))

    async def _wait_for_rate_limit(self, job: Job, *, in_time: bool) -> None:
        """Wait for a reserved time; reserve again if a pause has begun meanwhile."""
        while True:
            at, self._rate_limiter = self._rate_limiter.reserve(
                now(), job.state.deadline if in_time else None
            )
            if (wait := at - now()) > 0:
                await anyio.sleep(wait)
            if now() >= self._rate_limiter.pause_ends(job.state.deadline if in_time else None):
                return

    async def _probe_links(self, job: Job, ending: Finish | Stop) -> Finish | None:
        """Look for the output of a job that the API has forgotten: at the links in its ticket."""
        match ending:
            case Stop(reply=Failed(reason=Failure.NOT_FOUND | Failure.NO_ROUTE)):
                links = (*job.links.output, *job.links.proxy, *job.links.future)
            case Stop(reply=Finished()):
                links = (*job.links.proxy, *job.links.future)
            case _:
                return None
        for url in dict.fromkeys(links):
            if await self._probe(url, job.gives):
                return Finish(Finished(links=Links(output=(url,))))
        return None


def _poll_result(answer: Response | NoResponse, sent: tuple[str, ...], gives: Output) -> PollResult:
    match answer:
        case NoResponse():
            return NoReply(answer.reason)
        case Response() if 300 <= answer.status < 400:
            return NoReply(f"a redirect (HTTP {answer.status}), which is not followed")
    reply = read_reply(answer.body, answer.status, sent=sent)
    return with_inline_text(reply) if gives == "text" else reply
