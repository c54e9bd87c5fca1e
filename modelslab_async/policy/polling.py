"""Decide what a job needs next. Nothing here waits, reads a clock or draws a random number."""

from __future__ import annotations

from typing import TypeAlias

from attrs import define, evolve, field, frozen

from ..protocol.replies import (
    Failed,
    Failure,
    Finished,
    Refusal,
    Refused,
    Reply,
    Unreadable,
)
from ..protocol.waiting import longer
from .settings import at_least

MAX_FIRST_WAIT = 900.0
"""Seconds; an eta beyond this is not believed."""

MAX_PAUSE = 3600.0
"""Seconds; no answer stops the questions of a whole client for longer."""

_positive = at_least(0, more=True)


@frozen(kw_only=True)
class PollPolicy:
    """How often to ask. All times are seconds.

    Attributes:
        first: when to ask first about a job without an eta, of a kind not seen before.
        min_interval: the least time between two questions about one job.
        max_interval: the most.
        growth: the time between two questions, as a part of the job's age: what is learnt too
            late is at most this part of what the job took.
        rate: questions a second for the whole client, at most.
        patience: how long an answer that contradicts the job is borne ("Request not found",
            "Failed, Try Again", success without output) before it is believed.
        timeout: for one question.
    """

    first: float = field(default=3.0, validator=_positive)
    min_interval: float = field(default=1.0, validator=_positive)
    max_interval: float = field(default=15.0, validator=_positive)
    growth: float = field(default=0.15, validator=_positive)
    rate: float = field(default=100.0, validator=_positive)
    patience: float = field(default=120.0, validator=at_least(0))
    timeout: float = field(default=30.0, validator=_positive)


def as_safety_net(policy: PollPolicy) -> PollPolicy:
    """The policy for a job whose end a webhook tells: it is asked about in case none comes."""
    return evolve(
        policy,
        first=10 * policy.first,
        min_interval=30 * policy.min_interval,
        max_interval=4 * max(policy.max_interval, 10 * policy.min_interval),
    )


@frozen
class NoAnswer:
    """A poll that brought nothing readable back: reset, timeout, refused connection."""

    reason: str


News: TypeAlias = Reply | NoAnswer


@frozen
class PollState:
    """What is known of one job's polls. Times are those of one clock, in seconds.

    Attributes:
        started: when the job was accepted, or first heard of.
        expected: how long after that it should be done.
        deadline: when to stop asking; ``None`` for never.
        news: what the last poll brought.
        told: how long the last answer asked us to stay away.
        doubted_since: since when answers contradict the job.
    """

    started: float
    expected: float | None = None
    deadline: float | None = None
    polls: int = 0
    failures: int = 0
    news: News | None = None
    told: float | None = None
    doubted_since: float | None = None


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


def observe(state: PollState, news: News, now: float, *, told: float | None = None) -> PollState:
    """The state after one poll. ``told``: seconds that a header asked us to stay away."""
    doubtful = _contradicts(news)
    silent = isinstance(news, NoAnswer | Unreadable) or _is(news, Refusal.SERVER)
    return evolve(
        state,
        polls=state.polls + 1,
        news=news,
        told=longer(told, news.retry_after if isinstance(news, Refused) else None),
        failures=state.failures + 1 if silent else 0,
        doubted_since=_since(state.doubted_since, now) if doubtful else None,
    )


def _since(then: float | None, now: float) -> float:
    return now if then is None else then


def _contradicts(news: News) -> bool:
    match news:
        case Finished():
            return not news.links.output
        case Failed(reason=Failure.NOT_FOUND | Failure.TRY_AGAIN):
            return True
    return False


def _is(news: News | None, reason: Refusal) -> bool:
    return isinstance(news, Refused) and news.reason is reason


def next_action(state: PollState, now: float, policy: PollPolicy, draw: float) -> Action:
    """What to do now. What is terminal beats the deadline, and at the deadline we ask once more.

    Args:
        state: after the last poll, or before the first.
        now: the time.
        policy: how often to ask.
        draw: a random number from 0 to 1; it only ever lengthens a wait.
    """
    ended = _ended(state, now, policy)
    if ended is not None:
        return ended
    left = float("inf") if state.deadline is None else state.deadline - now
    told = state.told or 0.0
    if state.polls and left <= told:
        return Stop(None)
    away = pause(state, policy)
    if away is not None:
        return PollAfter(away * (1 + 0.1 * draw))
    delay = _delay(state, now, policy) * (1 + 0.1 * draw)
    return PollAfter(max(min(told, MAX_PAUSE), min(delay, max(0.0, left))))


def pause(state: PollState, policy: PollPolicy) -> float | None:
    """Seconds for which no job of the client shall be asked about, after "too many requests"."""
    if not _is(state.news, Refusal.RATE):
        return None
    wait = policy.max_interval if state.told is None else state.told
    return min(max(wait, policy.min_interval), MAX_PAUSE)


def _ended(state: PollState, now: float, policy: PollPolicy) -> Finish | Stop | None:
    match state.news:
        case Finished() if state.news.links.output:
            return Finish(state.news)
        case Refused(reason=Refusal.SERVER | Refusal.RATE):
            return None
        case Refused() | Failed(reason=Failure.FAILED):
            return Stop(state.news)
        case Finished() | Failed() if _doubted(state, now) >= policy.patience:
            return Stop(state.news)
    return None


def _doubted(state: PollState, now: float) -> float:
    return 0.0 if state.doubted_since is None else now - state.doubted_since


def _delay(state: PollState, now: float, policy: PollPolicy) -> float:
    if not state.polls:
        due = state.started + _first(state.expected, policy)
        return max(0.0, due - now)
    age = max(0.0, now - state.started)
    delay = max(policy.min_interval, age * policy.growth) * 2.0 ** min(state.failures, 8)
    return min(delay, policy.max_interval)


def _first(expected: float | None, policy: PollPolicy) -> float:
    wait = policy.first if expected is None else expected
    return min(max(wait, policy.min_interval), MAX_FIRST_WAIT)


def describe(news: News | None) -> str:
    """The last answer in a few words, for an error; empty for a plain "processing"."""
    match news:
        case NoAnswer() | Unreadable():
            return news.reason
        case Refused() | Failed():
            return news.message
        case Finished():
            return "success, but no output yet"
    return ""


def is_about(news: News, ids: frozenset[str]) -> bool:
    """Whether an answer is about this job: it names one of its ids, or none at all."""
    if isinstance(news, NoAnswer | Unreadable):
        return True
    return news.id is None or news.id in ids


@frozen
class Budget:
    """The times at which a whole client may ask: evenly spaced, and not before a pause is over."""

    rate: float
    free_at: float = 0.0
    not_before: float = 0.0

    def reserve(self, now: float) -> tuple[float, Budget]:
        """The next free time, and the budget without it."""
        at = max(now, self.free_at)
        return at, evolve(self, free_at=at + 1 / self.rate)

    def paused(self, until: float) -> Budget:
        """The budget, with nothing before ``until``: times given away until then are void."""
        return evolve(
            self,
            free_at=max(self.free_at, until),
            not_before=max(self.not_before, until),
        )


@define
class Experience:
    """How long jobs took in this session, by kind of request: what to expect of the next."""

    seconds: dict[object, float] = field(factory=dict)

    def learnt(self, kind: object, seconds: float) -> None:
        """One more job of this kind took so long. New ones count for a quarter."""
        known = self.seconds.get(kind, seconds)
        self.seconds[kind] = 0.75 * known + 0.25 * seconds

    def expected(self, kind: object, eta: float | None) -> float | None:
        """The server's word where it gave one, else what was learnt, else ``None``."""
        return eta if eta is not None else self.seconds.get(kind)
