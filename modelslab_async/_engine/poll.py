"""Ask the API about jobs: the one poll loop, under one budget for the whole client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel

from .._policy.durations import DurationModel, fallback
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
from .http import KeyedTransport, NoResponse, Response, read_beside
from .job import Job, JobStatus

NEWS = frozenset({1, 2, 4, 8, 16})
"""After so many samples of one kind all jobs are planned anew; later ones change little at once."""

_PULSE = 1.0
_STOPPED = 2.0
"""Seconds by which nothing is late but because the process, or its event loop, stood still."""

_NO_TIME = 1e-6  # what sums of times are off by: a wait of that is over
_AT_A_TIME = 100
"""Jobs that are planned anew before others get the event loop."""


class Poller:
    """Asks about every job of one client, each by itself, all within one rate.

    Args:
        transport: to the API.
        policy: how often to ask.
        timeout: seconds that a job is asked about when nobody says otherwise; ``None``: no limit.
        probe: whether a link leads to what a job was asked for.
        spawn: starts a task that the client ends when it closes.
        left_queue: called for a job that is found to have left the account's queue.
        events: where each step is reported.
    """

    def __init__(
        self,
        transport: KeyedTransport,
        policy: PollPolicy,
        *,
        timeout: float | None,
        probe: Callable[[str, Output], Awaitable[bool]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        left_queue: Callable[[Job], None],
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
        self.begun = Signal()
        """Rings for each job that is watched from now on."""
        self.trusts_webhooks = False
        """Whether the end of a job that has a webhook will be told, for all we have seen."""
        self._rate_limiter = RateLimiter(policy.rate)
        self._watched: dict[tuple[str, str], Job] = {}
        self._by_track: dict[str, Job] = {}
        self._closed = False
        self._has_pulse = False

    def close(self) -> None:
        """Take up no job any more: whoever wants to go on with one needs an open client."""
        self._closed = True

    def require_open(self, job: Job) -> None:
        """See that a job can be asked about.

        Raises:
            ConfigurationError: the client was closed, or is open on another event loop.
        """
        if not runs_on(self.loop):
            raise ConfigurationError(
                f"job {job.id} belongs to a client on another event loop, where it goes on: wait "
                "for it there (asyncio.run_coroutine_threadsafe(job.result(), loop) does so from "
                "a thread), or open a client here and resume with "
                f"client.job({job.short_handle!r})",
                job=job.to_json(),
                job_id=job.id,
                track_id=job.track_id,
            )
        if self._closed:
            raise ConfigurationError(
                f"the client of job {job.id} was closed; the job goes on: "
                f"open a client and resume with client.job({job.short_handle!r})",
                job=job.to_json(),
                job_id=job.id,
                track_id=job.track_id,
            )

    @property
    def watched(self) -> tuple[Job, ...]:
        """The jobs that are asked about now."""
        return tuple(self._watched.values())

    def watching(self, job_id: str, family: str | None = None) -> Job | None:
        """The job with this id, if it is asked about now: one job is asked about once.

        Args:
            job_id: of the job.
            family: of the path that it is asked about under; ``None``: any, if only one has the id.
        """
        if family is not None:
            return self._watched.get((family, job_id))
        found = [job for job in self._watched.values() if job.id == job_id]
        return found[0] if len(found) == 1 else None

    def watching_track(self, track_id: str) -> Job | None:
        """The job that was sent with this ``track_id``, if it is asked about now."""
        return self._by_track.get(track_id)

    def deadline(self) -> float | None:
        """Until when a job is asked about that is accepted now."""
        return None if self._timeout is None else now() + self._timeout

    def ensure(self, job: Job, timeout: float | None) -> None:
        """See to it that the job is asked about, for ``timeout`` seconds at least.

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
        """Ask about the job until it has ended, or its time is over."""
        self._watched[job.identity] = self._by_track[str(job.track_id)] = job
        self.begun.notify()
        if not self._has_pulse:
            self._has_pulse = True
            self._spawn(self._pulse())
        try:
            while job.ending is None:
                self._expect(job)
                action = job.next_action()
                if not isinstance(action, PollAfter):
                    job.end(action)
                elif action.delay > _NO_TIME:
                    await job.wait_for_change(action.delay)
                else:
                    await self.ask(job, in_time=True)
        finally:
            if self._watched.get(job.identity) is job:
                del self._watched[job.identity]
                self._by_track.pop(str(job.track_id), None)
            if job.ending is None:  # the client closes: whoever still waits is told so
                job.end(Stop(None))
            if job.status is JobStatus.SUCCESS:
                self._report(EventKind.FINISHED, job)
            else:
                self._report(EventKind.FAILED, job, reason=safe_text(job.snapshot.message))
            if job.was_queued and job.status in (JobStatus.SUCCESS, JobStatus.FAILED):
                self._left_queue(job)

    async def _pulse(self) -> None:
        """While jobs are watched, notice that this process was stopped.

        The timer of the pulse is due before all others that became due meanwhile, so that no job
        has been found late yet.
        """
        try:
            while self._watched:
                due = now() + _PULSE
                await anyio.sleep(_PULSE)
                if (late := now() - due) > _STOPPED:
                    for job in self.watched:
                        job.forgive(late)
        finally:
            self._has_pulse = False

    def _expect(self, job: Job) -> None:
        """Go by what was observed of other jobs since the last look."""
        if job.kind is None:
            return
        told = job.has_webhook and self.trusts_webhooks
        probe = job.state.probe and not told
        schedule = self.durations.schedule(job.kind, job.eta, probe=probe)
        if told:
            schedule = fallback(schedule, self.policy.growth)
        job.set_schedule(schedule, probe=probe)

    def distrust_webhooks(self) -> None:
        """Ask about jobs as if there were no webhooks, until one is seen to arrive."""
        self.trusts_webhooks = False
        self._spawn(self._plan_anew())

    def _learn(self, job: Job, asked_at: float, *, told: bool) -> None:
        """Learn how long a job took, and if that is result, plan anew for all others."""
        begun, unfinished = job.state.started, job.state.unfinished_at
        high = asked_at - begun
        low = None if unfinished is None else unfinished - begun
        self.durations.observe(job.kind, job.eta, high if told else low, high)
        if self.durations.by_kind[job.kind].samples in NEWS:
            self._spawn(self._plan_anew())

    async def _plan_anew(self) -> None:
        for number, job in enumerate(self.watched, 1):
            self._expect(job)
            if job.is_due_sooner():
                job.wake()
            if number % _AT_A_TIME == 0:
                await anyio.lowlevel.checkpoint()

    async def ask(self, job: Job, *, in_time: bool = False, told: bool = False) -> None:
        """Ask once, and tell the job. Whoever asks at the same time shares the one answer.

        Args:
            job: what to ask about.
            in_time: do not wait for longer than the job has time, though the API wants to be left
                alone.
            told: a delivery says that the job has just ended.

        Raises:
            ConfigurationError: the client was closed.
        """
        self.require_open(job)
        polls = job.state.polls
        async with job.asking:
            if job.state.polls == polls and job.ending is None:
                await self._ask(job, in_time=in_time, told=told)

    async def _ask(self, job: Job, *, in_time: bool, told: bool) -> None:
        await self._turn(job, in_time=in_time)
        asked_at = now()
        answer = await self._transport.post(job.path, {}, timeout=self.policy.timeout)
        result = await read_beside(answer, partial(_poll_result, answer, job.sent, job.gives))
        if not is_about(result, job.ids):
            result = NoReply("the answer is about another job")
        retry_after = answer.retry_after if isinstance(answer, Response) else None
        action = job.heard(result, asked_at, retry_after)
        away = pause(job.state, self.policy)
        if away is not None:
            self._rate_limiter = self._rate_limiter.paused(now(), away)
        if isinstance(action, Finish) and job.kind is not None:
            self._learn(job, asked_at, told=told)
        if isinstance(action, Finish) or (isinstance(action, Stop) and action.reply):
            job.end(await self._found_behind(job, action) or action)
        elif isinstance(result, NoReply):
            wait = action.delay if isinstance(action, PollAfter) else None
            reason = f"no answer to a poll ({result.reason})"
            self._report(EventKind.WAITING, job, reason=safe_text(reason), seconds=wait)
        else:
            self._report(EventKind.POLLED, job, reason=safe_text(describe(result)))

    def _report(self, kind: EventKind, job: Job, **details: Any) -> None:
        self._events.emit(JobEvent(kind=kind, track_id=job.track_id, job_id=job.id, **details))

    async def _turn(self, job: Job, *, in_time: bool) -> None:
        """Wait for a time to ask; one that was given before a pause began is given again."""
        while True:
            at, self._rate_limiter = self._rate_limiter.reserve(
                now(), job.state.deadline if in_time else None
            )
            if (wait := at - now()) > 0:
                await anyio.sleep(wait)
            if now() >= self._rate_limiter.pause_ends(job.state.deadline if in_time else None):
                return

    async def _found_behind(self, job: Job, ending: Finish | Stop) -> Finish | None:
        """A job that the API has forgotten may have left its file where its ticket said."""
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
