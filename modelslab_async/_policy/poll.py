"""Decide what a job needs next. Nothing here waits, reads a clock or draws a random number."""

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
from .._protocol.retry_after import longer
from .durations import Schedule
from .validators import at_least

MAX_FIRST_WAIT = 900.0
"""Seconds; an eta beyond this is not believed."""

MAX_PAUSE = 3600.0
"""Seconds; no answer stops the questions of a whole client for longer."""

MAX_TOLD = 60.0
"""Seconds; a job that a longer wait would time out is asked about again after that: one answer asks
for the wait, and it may be anybody's on the way."""

_CONFIRM = 1.0  # seconds; an answer that would end a job for good is asked for once more

_positive = at_least(0, more=True)


@frozen(kw_only=True)
class PollPolicy:
    """How often to ask. All times are seconds.

    Attributes:
        first: when to ask first, at the earliest, about a job of which nothing is known but
            perhaps the server's eta. What is known then comes from the jobs before.
        min_interval: the least time between two questions about one job.
        max_interval: the most.
        growth: the time between two questions, as a part of the job's age, at most: what is
            learnt too late is at most this part of what the job took. It is less where earlier
            jobs tell how long such a job takes; and more, of many jobs of a kind that is new and
            has no eta, for all but the first few, until one of those tells.
        rate: questions a second for the whole client, at most.
        patience: how long an answer that contradicts the job is borne ("Request not found",
            "Failed, Try Again", success without output) before it is believed.
        timeout: for one question.
    """

    first: float = field(default=1.0, validator=_positive)
    min_interval: float = field(default=0.05, validator=_positive)
    max_interval: float = field(default=15.0, validator=_positive)
    growth: float = field(default=0.25, validator=_positive)
    rate: float = field(default=200.0, validator=_positive)
    patience: float = field(default=120.0, validator=at_least(0))
    timeout: float = field(default=30.0, validator=_positive)


@frozen
class NoAnswer:
    """A poll that brought nothing readable back: reset, timeout, refused connection."""

    reason: str


PollResult: TypeAlias = Reply | NoAnswer


@frozen
class PollState:
    """What is known of one job's polls. Times are those of one clock, in seconds.

    Attributes:
        started: when the job was accepted, or first heard of.
        resumed: whether it was accepted before that: it may have ended long ago.
        schedule: when to poll it; ``None``: nothing is known, so as the policy says.
        probe: whether to ask early, to find out if it takes as long as is expected.
        deadline: when to stop asking; ``None`` for never.
        unfinished_at: when the last question left whose answer was "not yet".
        heard_at: when the last answer came.
        news: what it was.
        told: how long it asked us to stay away.
        doubted_since: since when answers contradict the job.
        said: how many answers in a row would end the job, for one and the same reason.
    """

    started: float
    resumed: bool = False
    schedule: Schedule | None = None
    probe: bool = False
    deadline: float | None = None
    polls: int = 0
    failures: int = 0
    unfinished_at: float | None = None
    heard_at: float = 0.0
    news: PollResult | None = None
    told: float | None = None
    doubted_since: float | None = None
    said: int = 0
    verdict: Refusal | Failure | None = None


@frozen
class PollAfter:
    """Ask again after ``delay`` seconds."""

    delay: float


@frozen
class Finish:
    """The job is done, and this is what it made."""

    finished: Finished


@frozen
class Stop:
    """No further poll helps: the answer says why, or there is no time left (``None``)."""

    reply: Failed | Refused | Finished | None


Action: TypeAlias = PollAfter | Finish | Stop


def observe(
    state: PollState,
    news: PollResult,
    now: float,
    *,
    told: float | None = None,
    asked_at: float | None = None,
) -> PollState:
    """The state after one poll.

    Args:
        state: before it.
        news: what it brought.
        now: when that came.
        told: seconds that a header asked us to stay away.
        asked_at: when the question left; ``None``: now.
    """
    news = _about_a_job(news)
    doubtful = _contradicts(news)
    asked_at = now if asked_at is None else asked_at
    silent = isinstance(news, NoAnswer | Unreadable) or _is(news, Refusal.SERVER)
    verdict, said = _verdict(news), 0
    if verdict is not None:
        said = 1 + (state.said if verdict is state.verdict else 0)
    elif silent or _is(news, Refusal.RATE):  # they say nothing of the job
        verdict, said = state.verdict, state.said
    return evolve(
        state,
        polls=state.polls + 1,
        unfinished_at=asked_at if isinstance(news, Ticket | Pending) else state.unfinished_at,
        heard_at=now,
        news=news,
        told=longer(told, news.retry_after if isinstance(news, Refused) else None),
        failures=state.failures + 1 if silent else 0,
        doubted_since=_earlier(state.doubted_since, now) if doubtful else None,
        said=said,
        verdict=verdict,
    )


def _about_a_job(news: PollResult) -> PollResult:
    """A complaint about the request, told with HTTP 200 to who asks about the job, is its end."""
    if isinstance(news, Refused) and news.reason is Refusal.REQUEST and news.status < 300:
        return Failed(
            reason=Failure.FAILED,
            message=news.message,
            id=news.id,
            track_id=news.track_id,
            fetch_result=news.fetch_result,
            status=news.status,
            raw=news.raw,
        )
    return news


def _verdict(news: PollResult | None) -> Refusal | Failure | None:
    """Why an answer would end the job for good, if it would."""
    match news:
        case Failed(reason=Failure.FAILED):
            return news.reason
        case Refused(reason=Refusal.SERVER | Refusal.RATE):
            return None
        case Refused():
            return news.reason
    return None


def is_unconfirmed(state: PollState) -> bool:
    """Whether the last answer would end the job, and is the first to say so: one proves nothing."""
    return state.said == 1 and _verdict(state.news) is not None


def _earlier(then: float | None, now: float) -> float:
    return now if then is None else then


def _contradicts(news: PollResult) -> bool:
    match news:
        case Finished():
            return not news.links.output
        case Failed():
            return news.reason is not Failure.FAILED
    return False


def _is(news: PollResult | None, reason: Refusal) -> bool:
    return isinstance(news, Refused) and news.reason is reason


def next_action(state: PollState, now: float, policy: PollPolicy, draw: float) -> Action:
    """What to do now. What is terminal beats the deadline, and at the deadline we ask once more.

    The answer is the same at any time until the question leaves, but for what is left to wait.

    Args:
        state: after the last poll, or before the first.
        now: the time.
        policy: how often to ask.
        draw: a random number from 0 to 1; it only ever lengthens a wait.
    """
    ended = _ended(state, policy)
    if ended is not None:
        return ended
    told = max(state.told or 0.0, pause(state, policy) or 0.0)
    wait = _wait(state, policy, draw)
    left = float("inf") if state.deadline is None else state.deadline - _since(state)
    if is_unconfirmed(state) and left > -_CONFIRM:  # what came last shall not stay in doubt
        left = max(left, _CONFIRM)
    if state.polls and left <= 0:
        return Stop(None)
    if left < float("inf"):
        if left <= told:
            told = min(told, MAX_TOLD)
            wait = min(wait, max(told, policy.min_interval) * (1 + 0.1 * draw))
        told, wait = min(told, max(0.0, left)), min(wait, max(0.0, left))
    wait = max(min(told, MAX_PAUSE), wait)
    return PollAfter(min(wait, max(0.0, wait - (now - _since(state)))))


def pause(state: PollState, policy: PollPolicy) -> float | None:
    """Seconds for which no job of the client shall be asked about, after "too many requests"."""
    if not _is(state.news, Refusal.RATE):
        return None
    wait = policy.max_interval if state.told is None else state.told
    return min(max(wait, policy.first), MAX_PAUSE)


def _ended(state: PollState, policy: PollPolicy) -> Finish | Stop | None:
    match state.news:
        case Finished() if state.news.links.output:
            return Finish(state.news)
        case Refused(reason=Refusal.SERVER | Refusal.RATE):
            return None
        case Refused() | Failed(reason=Failure.FAILED):
            return Stop(state.news) if state.said > 1 else None
        case Finished() | Failed() if _doubted(state) >= policy.patience:
            return Stop(state.news)
    return None


def _doubted(state: PollState) -> float:
    return 0.0 if state.doubted_since is None else state.heard_at - state.doubted_since


def _since(state: PollState) -> float:
    """From when on the next wait counts: the last answer, or the job's acceptance."""
    return state.heard_at if state.polls else state.started


def _wait(state: PollState, policy: PollPolicy, draw: float) -> float:
    """How long after the last answer, or the acceptance, to ask."""
    if not state.polls:
        return min(max(_first(state, policy), policy.min_interval), MAX_FIRST_WAIT)
    if is_unconfirmed(state):
        return max(policy.min_interval, min(_CONFIRM, policy.first)) * (1 + 0.1 * draw)
    away = pause(state, policy)
    gap = _gap(state, policy) * 2.0 ** min(state.failures, 8) if away is None else away
    most = policy.max_interval if away is None else MAX_PAUSE
    return max(policy.min_interval, min(gap, most)) * (1 + 0.1 * draw)


def _first(state: PollState, policy: PollPolicy) -> float:
    """The age at which to ask first; a probe begins so that its questions lead up to that."""
    if state.resumed:
        return 0.0
    if state.schedule is None:
        return policy.first
    due = state.schedule.first
    if not state.probe:
        return due
    return min(due, max(policy.first, min(due, MAX_FIRST_WAIT) / (1 + policy.growth) ** 3))


def _gap(state: PollState, policy: PollPolicy) -> float:
    """How long to wait after an answer that did not end the job."""
    age = max(0.0, state.heard_at - state.started)
    if state.schedule is None:
        return max(policy.growth * age, policy.first - age)
    early = min(state.schedule.first, MAX_FIRST_WAIT) - age
    if early > 0:
        return min(early, policy.growth * age) if state.probe else early
    return state.schedule.step_at(age, policy.growth) * age


def describe(news: PollResult | None) -> str:
    """The last answer in a few words, for an error; empty for a plain "processing"."""
    match news:
        case NoAnswer() | Unreadable():
            return news.reason
        case Refused() | Failed():
            return news.message
        case Finished():
            return "success, but no output yet"
    return ""


def is_about(news: PollResult, ids: frozenset[str]) -> bool:
    """Whether an answer is about this job: it names one of its ids, or none at all."""
    if isinstance(news, NoAnswer | Unreadable):
        return True
    return news.id is None or news.id in ids


@frozen
class Budget:
    """The times at which a whole client may ask: evenly spaced, and not before a pause is over.

    A job does not wait for the end of a pause that would time it out: see `MAX_TOLD`.
    """

    rate: float
    free_at: float = 0.0
    not_before: float = 0.0
    paused_at: float = 0.0
    _free_in_pause: float = 0.0

    def reserve(self, now: float, deadline: float | None = None) -> tuple[float, Budget]:
        """The next free time, and the budget without it."""
        at, over = max(now, self.free_at), self.opens(deadline)
        if over < self.not_before and over < at:
            at = max(now, over, self._free_in_pause)
            return at, evolve(self, free_in_pause=at + 1 / self.rate)
        return at, evolve(self, free_at=at + 1 / self.rate)

    def opens(self, deadline: float | None) -> float:
        """When the pause is over for a job that is given up at ``deadline``."""
        if deadline is None or self.not_before < deadline:
            return self.not_before
        return min(self.not_before, self.paused_at + MAX_TOLD, max(deadline, self.paused_at))

    def paused(self, now: float, seconds: float) -> Budget:
        """The budget, with nothing for so long: times given away until then are void."""
        until = now + seconds
        return evolve(
            self,
            free_at=max(self.free_at, until),
            not_before=max(self.not_before, until),
            paused_at=now,
        )
