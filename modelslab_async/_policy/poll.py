"""Decide when to poll a job, and when it has ended. No clock, no sleep, no random numbers here."""

from __future__ import annotations

from typing import TypeAlias

from attrs import evolve, field, frozen

from .._protocol.replies import (
    Failed,
    Failure,
    Finished,
    Pending,
    Refusal,
    Refused,
    Reply,
    Ticket,
    Unreadable,
)
from .._protocol.retry_after import max_or_none
from .durations import Schedule
from .validators import at_least

MAX_FIRST_WAIT = 900.0
"""Seconds; the first poll never waits longer, whatever the server's ETA."""

MAX_PAUSE = 3600.0
"""Seconds; no reply pauses the polls of a whole client for longer."""

MAX_WAIT_WITH_DEADLINE = 60.0
"""Seconds; the longest Retry-After to honour if the full wait would time the job out. A single
reply asks for that wait, and it may come from any proxy on the way."""

_CONFIRM = 1.0  # seconds until the poll that confirms a reply that would end a job for good

_positive = at_least(0, exclusive=True)


@frozen(kw_only=True)
class PollPolicy:
    """How often to poll. All times are in seconds.

    Attributes:
        first: the earliest first poll of a job without an estimate from earlier jobs.
        min_interval: the least time between two polls of one job.
        max_interval: the most.
        growth: the most time between two polls, as a fraction of the job's age. It bounds the lag:
            a job's end is noticed late by at most this fraction of its duration. The fraction is
            smaller once earlier jobs show how long such a job takes. It is larger for many jobs of
            a new kind without an ETA: only the first few are polled closely until one finishes.
        rate: the most polls per second for the whole client.
        patience: how long replies must contradict the job ("Request not found", "Failed, Try
            Again", success without output) before they are believed.
        timeout: for one poll.
    """

    first: float = field(default=1.0, validator=_positive)
    min_interval: float = field(default=0.05, validator=_positive)
    max_interval: float = field(default=15.0, validator=_positive)
    growth: float = field(default=0.25, validator=_positive)
    rate: float = field(default=200.0, validator=_positive)
    patience: float = field(default=120.0, validator=at_least(0))
    timeout: float = field(default=30.0, validator=_positive)


@frozen
class NoReply:
    """A poll without a readable reply: connection reset, timeout, connection refused."""

    reason: str


PollResult: TypeAlias = Reply | NoReply


@frozen
class PollState:
    """The polls of one job so far. Times are in seconds, all from one clock.

    Attributes:
        started: when the job was accepted, or when this client first learned of it.
        resumed: whether it was accepted earlier than that, and so may have ended long ago.
        schedule: when to poll it; ``None``: no estimate, use the policy.
        probe: whether to poll early, to check the estimate.
        deadline: when to stop polling; ``None``: never.
        unfinished_at: when the last poll was sent that found the job unfinished.
        replied_at: when the last poll's result arrived.
        result: the last poll's result.
        retry_after: seconds that it asked to wait.
        contradicted_since: since when replies contradict the job.
        verdict: the reason for which the last verdict would end the job.
        verdict_count: how many verdicts in a row gave that reason.
    """

    started: float
    resumed: bool = False
    schedule: Schedule | None = None
    probe: bool = False
    deadline: float | None = None
    polls: int = 0
    failures: int = 0
    unfinished_at: float | None = None
    replied_at: float = 0.0
    result: PollResult | None = None
    retry_after: float | None = None
    contradicted_since: float | None = None
    verdict_count: int = 0
    verdict: Refusal | Failure | None = None


@frozen
class PollAfter:
    """Poll again after ``delay`` seconds."""

    delay: float


@frozen
class Finish:
    """The job has succeeded, with this output."""

    finished: Finished


@frozen
class Stop:
    """Stop polling: because of this reply, or, if ``None``, because the time is up."""

    reply: Failed | Refused | Finished | None


Action: TypeAlias = PollAfter | Finish | Stop


def observe(
    state: PollState,
    result: PollResult,
    now: float,
    *,
    retry_after: float | None = None,
    asked_at: float | None = None,
) -> PollState:
    """Return the state after one more poll.

    Args:
        state: the state before it.
        result: the poll's result.
        now: when the result arrived.
        retry_after: seconds from a ``Retry-After`` header.
        asked_at: when the poll was sent; ``None``: now.
    """
    result = _as_failure(result)
    contradicts = _contradicts(result)
    asked_at = now if asked_at is None else asked_at
    failed = isinstance(result, NoReply | Unreadable) or _is(result, Refusal.SERVER)
    verdict, count = _verdict(result), 0
    if verdict is not None:
        count = 1 + (state.verdict_count if verdict is state.verdict else 0)
    elif failed or _is(result, Refusal.RATE):  # such replies say nothing about the job
        verdict, count = state.verdict, state.verdict_count
    in_body = result.retry_after if isinstance(result, Refused) else None
    return evolve(
        state,
        polls=state.polls + 1,
        unfinished_at=asked_at if isinstance(result, Ticket | Pending) else state.unfinished_at,
        replied_at=now,
        result=result,
        retry_after=max_or_none(retry_after, in_body),
        failures=state.failures + 1 if failed else 0,
        contradicted_since=_earlier(state.contradicted_since, now) if contradicts else None,
        verdict_count=count,
        verdict=verdict,
    )


def _as_failure(result: PollResult) -> PollResult:
    """Turn an HTTP 200 reply that rejects the request into a failure of the polled job."""
    if isinstance(result, Refused) and result.reason is Refusal.REQUEST and result.status < 300:
        return Failed(
            reason=Failure.FAILED,
            message=result.message,
            id=result.id,
            track_id=result.track_id,
            fetch_result=result.fetch_result,
            status=result.status,
            raw=result.raw,
        )
    return result


def _verdict(result: PollResult | None) -> Refusal | Failure | None:
    """Return the reason for which a result would end the job for good, or ``None``."""
    match result:
        case Failed(reason=Failure.FAILED):
            return result.reason
        case Refused(reason=Refusal.SERVER | Refusal.RATE):
            return None
        case Refused():
            return result.reason
    return None


def is_unconfirmed(state: PollState) -> bool:
    """Return whether the last result would end the job but has not been confirmed by a second."""
    return state.verdict_count == 1 and _verdict(state.result) is not None


def _earlier(then: float | None, now: float) -> float:
    return now if then is None else then


def _contradicts(result: PollResult) -> bool:
    match result:
        case Finished():
            return not result.links.output
        case Failed():
            return result.reason is not Failure.FAILED
    return False


def _is(result: PollResult | None, reason: Refusal) -> bool:
    return isinstance(result, Refused) and result.reason is reason


def next_action(state: PollState, now: float, policy: PollPolicy, draw: float) -> Action:
    """Return what to do now.

    A terminal result wins over the deadline, and there is a last poll at the deadline. Until that
    poll is sent, calling this again changes nothing but the remaining wait.

    Args:
        state: the state after the last poll, or before the first.
        now: the time.
        policy: how often to poll.
        draw: a random number from 0 to 1; it only ever lengthens a wait.
    """
    ended = _ended(state, policy)
    if ended is not None:
        return ended
    least = max(state.retry_after or 0.0, pause(state, policy) or 0.0)
    wait = _wait(state, policy, draw)
    left = float("inf") if state.deadline is None else state.deadline - _wait_starts_at(state)
    if is_unconfirmed(state) and left > -_CONFIRM:  # leave time for the confirming poll
        left = max(left, _CONFIRM)
    if state.polls and left <= 0:
        return Stop(None)
    if left < float("inf"):
        if left <= least:
            least = min(least, MAX_WAIT_WITH_DEADLINE)
            wait = min(wait, max(least, policy.min_interval) * (1 + 0.1 * draw))
        least, wait = min(least, max(0.0, left)), min(wait, max(0.0, left))
    wait = max(min(least, MAX_PAUSE), wait)
    return PollAfter(min(wait, max(0.0, wait - (now - _wait_starts_at(state)))))


def pause(state: PollState, policy: PollPolicy) -> float | None:
    """Return for how many seconds the whole client must not poll, after "too many requests"."""
    if not _is(state.result, Refusal.RATE):
        return None
    wait = policy.max_interval if state.retry_after is None else state.retry_after
    return min(max(wait, policy.first), MAX_PAUSE)


def _ended(state: PollState, policy: PollPolicy) -> Finish | Stop | None:
    match state.result:
        case Finished() if state.result.links.output:
            return Finish(state.result)
        case Refused(reason=Refusal.SERVER | Refusal.RATE):
            return None
        case Refused() | Failed(reason=Failure.FAILED):
            return Stop(state.result) if state.verdict_count > 1 else None
        case Finished() | Failed() if _contradicted_for(state) >= policy.patience:
            return Stop(state.result)
    return None


def _contradicted_for(state: PollState) -> float:
    return 0.0 if state.contradicted_since is None else state.replied_at - state.contradicted_since


def _wait_starts_at(state: PollState) -> float:
    """Return when the next wait starts: at the last result, or at the job's acceptance."""
    return state.replied_at if state.polls else state.started


def _wait(state: PollState, policy: PollPolicy, draw: float) -> float:
    """Return the seconds between the last result, or the acceptance, and the next poll."""
    if not state.polls:
        return min(max(_first(state, policy), policy.min_interval), MAX_FIRST_WAIT)
    if is_unconfirmed(state):
        return max(policy.min_interval, min(_CONFIRM, policy.first)) * (1 + 0.1 * draw)
    paused = pause(state, policy)
    gap = _interval(state, policy) * 2.0 ** min(state.failures, 8) if paused is None else paused
    most = policy.max_interval if paused is None else MAX_PAUSE
    return max(policy.min_interval, min(gap, most)) * (1 + 0.1 * draw)


def _first(state: PollState, policy: PollPolicy) -> float:
    """Return the age of the first poll; a probe starts early and polls several times until then."""
    if state.resumed:
        return 0.0
    if state.schedule is None:
        return policy.first
    due = state.schedule.first
    if not state.probe:
        return due
    return min(due, max(policy.first, min(due, MAX_FIRST_WAIT) / (1 + policy.growth) ** 3))


def _interval(state: PollState, policy: PollPolicy) -> float:
    """Return the seconds to wait after a result that did not end the job."""
    age = max(0.0, state.replied_at - state.started)
    if state.schedule is None:
        return max(policy.growth * age, policy.first - age)
    early = min(state.schedule.first, MAX_FIRST_WAIT) - age
    if early > 0:
        return min(early, policy.growth * age) if state.probe else early
    return state.schedule.step_at(age, policy.growth) * age


def describe(result: PollResult | None) -> str:
    """Describe a poll's result for an error message; empty for a plain "processing"."""
    match result:
        case NoReply() | Unreadable():
            return result.reason
        case Refused() | Failed():
            return result.message
        case Finished():
            return "success, but no output yet"
    return ""


def is_about(result: PollResult, ids: frozenset[str]) -> bool:
    """Return whether a result is about this job: it contains one of its ids, or no id at all."""
    if isinstance(result, NoReply | Unreadable):
        return True
    return result.id is None or result.id in ids


@frozen
class RateLimiter:
    """Reserves times for a whole client's polls: evenly spaced, and none during a pause.

    A job that a pause would time out does not wait for its end: see `MAX_WAIT_WITH_DEADLINE`.
    """

    rate: float
    free_at: float = 0.0
    not_before: float = 0.0
    paused_at: float = 0.0
    _free_in_pause: float = 0.0

    def reserve(self, now: float, deadline: float | None = None) -> tuple[float, RateLimiter]:
        """Return the next free time, and the limiter without it."""
        at, over = max(now, self.free_at), self.pause_ends(deadline)
        if over < self.not_before and over < at:
            at = max(now, over, self._free_in_pause)
            return at, evolve(self, free_in_pause=at + 1 / self.rate)
        return at, evolve(self, free_at=at + 1 / self.rate)

    def pause_ends(self, deadline: float | None) -> float:
        """Return when the pause ends for a job with this deadline."""
        if deadline is None or self.not_before < deadline:
            return self.not_before
        return min(
            self.not_before, self.paused_at + MAX_WAIT_WITH_DEADLINE, max(deadline, self.paused_at)
        )

    def paused(self, now: float, seconds: float) -> RateLimiter:
        """Return the limiter paused for so many seconds; times reserved within them are void."""
        until = now + seconds
        return evolve(
            self,
            free_at=max(self.free_at, until),
            not_before=max(self.not_before, until),
            paused_at=now,
        )
