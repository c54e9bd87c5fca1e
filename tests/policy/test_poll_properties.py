"""When a job is asked about, whatever the policy, the answers and the draws are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.poll import (
    MAX_FIRST_WAIT,
    MAX_PAUSE,
    MAX_WAIT_WITH_DEADLINE,
    Finish,
    NoReply,
    PollAfter,
    PollPolicy,
    PollResult,
    PollState,
    RateLimiter,
    Stop,
    next_action,
    observe,
)
from modelslab_async._protocol.replies import (
    Failed,
    Failure,
    Finished,
    Links,
    Pending,
    Refusal,
    Refused,
    Ticket,
    Unreadable,
)

DONE = Finished(id="7", links=Links(output=("https://r2.dev/a.wav",)))
WAITING: list[PollResult] = [
    Pending(),
    Ticket(id="7", eta=3.0),
    NoReply("reset"),
    Unreadable(reason="a page of HTML"),
    Refused(reason=Refusal.SERVER),
]
BUSY: list[PollResult] = [
    Refused(reason=Refusal.RATE, retry_after=wait) for wait in (None, 0.0, 5.0, 40.0, 1e9)
]
DOUBTFUL: list[PollResult] = [
    Finished(links=Links()),
    Failed(reason=Failure.NOT_FOUND),
    Failed(reason=Failure.TRY_AGAIN),
]
ENDED: list[PollResult] = [
    DONE,
    Failed(reason=Failure.FAILED),
    *(Refused(reason=reason) for reason in (Refusal.KEY, Refusal.CREDITS, Refusal.PLAN)),
]

seconds = st.floats(0.01, 2000.0)
policies = st.builds(
    PollPolicy,
    first=seconds,
    min_interval=seconds,
    max_interval=seconds,
    growth=st.floats(0.01, 2.0),
    patience=st.floats(0.0, 500.0),
)
draws = st.floats(0.0, 1.0)
hints = st.none() | st.floats(0.0, 1e6)
lives = st.lists(st.tuples(st.sampled_from(WAITING + BUSY + DOUBTFUL), hints, draws), max_size=20)


@given(policies, st.none() | st.floats(0.0, 1e5), lives)
def test_every_wait_is_as_long_as_told_and_ends_before_the_deadline(
    policy: PollPolicy,
    deadline: float | None,
    life: list[tuple[PollResult, float | None, float]],
) -> None:
    state, now = PollState(started=0.0, deadline=deadline), 0.0
    for result, told, draw in life:
        action = next_action(state, now, policy, draw)
        if not isinstance(action, PollAfter):
            return
        shortest, longest = bounds(policy, state)
        at_the_end = deadline is not None and action.delay == deadline - now
        assert action.delay >= shortest or at_the_end
        assert action.delay <= 1.1 * longest
        assert deadline is None or now + action.delay <= deadline * (1 + 1e-9)
        now += action.delay
        state = observe(state, result, now, retry_after=told)
        assert not isinstance(result, Refused) or (state.retry_after or 0.0) >= (
            result.retry_after or 0.0
        )


def bounds(policy: PollPolicy, state: PollState) -> tuple[float, float]:
    """The least and the most that the next wait may be, but for jitter and the deadline."""
    if not state.polls:
        return 0.0, max(MAX_FIRST_WAIT, policy.min_interval)
    in_time = (
        state.deadline is None or (state.retry_after or 0.0) < state.deadline - state.replied_at
    )
    told = min(state.retry_after or 0.0, MAX_PAUSE if in_time else MAX_WAIT_WITH_DEADLINE)
    shortest = max(policy.min_interval, told)
    return shortest, max(shortest, policy.max_interval, policy.first)


@given(policies, lives, st.sampled_from(ENDED), st.floats(0.0, 1e4), draws)
def test_what_is_terminal_beats_the_deadline(
    policy: PollPolicy,
    life: list[tuple[PollResult, float | None, float]],
    end: PollResult,
    deadline: float,
    draw: float,
) -> None:
    state = PollState(started=0.0, deadline=deadline)
    for result, told, _ in life:
        state = observe(state, result, deadline, retry_after=told)
    for moment in (deadline, deadline + 1):  # one answer that is the end is asked for again
        state = observe(state, end, moment)
    action = next_action(state, deadline + 1, policy, draw)
    assert action == (Finish(DONE) if end is DONE else Stop(state.result))  # type: ignore[arg-type]


@given(policies, st.floats(0.0, 2000.0), st.lists(st.sampled_from(WAITING)), draws)
def test_p23_a_job_is_asked_about_so_often_and_no_oftener(
    policy: PollPolicy, took: float, answers: list[PollResult], draw: float
) -> None:
    took = min(took, 300 * policy.min_interval)
    state, now = PollState(started=0.0), 0.0
    while now < took:
        action = next_action(state, now, policy, draw)
        assert isinstance(action, PollAfter)
        now += action.delay
        result = answers[state.polls % len(answers)] if answers else Pending()
        state = observe(state, result, now)
    assert state.polls <= 3 + took / policy.min_interval


@given(policies, st.floats(0.0, 2000.0), draws)
def test_what_is_learnt_too_late_is_a_small_part_of_what_the_job_took(
    policy: PollPolicy, took: float, draw: float
) -> None:
    took = min(took, 300 * policy.min_interval)
    state, now = PollState(started=0.0), 0.0
    while now < took or not state.polls:
        action = next_action(state, now, policy, draw)
        assert isinstance(action, PollAfter)
        now += action.delay
        state = observe(state, Pending(), now)
    first = max(policy.first, policy.min_interval)
    late = max(policy.min_interval, min(policy.growth * took, policy.max_interval))
    assert now <= 1.1 * first or now - took <= 1.1 * late * (1 + 1e-9)


@given(st.lists(st.sampled_from(DOUBTFUL), min_size=1, max_size=30), st.floats(0.0, 300.0), draws)
def test_p08_an_answer_that_contradicts_the_job_is_believed_when_patience_ends_and_not_before(
    answers: list[PollResult], patience: float, draw: float
) -> None:
    policy = PollPolicy(patience=patience)
    state, now = PollState(started=0.0), 0.0
    for result in answers:
        now += 7.0
        state = observe(state, result, now)
        action = next_action(state, now, policy, draw)
        assert isinstance(action, Stop) == (now - 7.0 >= patience)


@pytest.mark.parametrize(("hint", "pause"), [(40.0, 40.0), (None, 15.0)])
@pytest.mark.parametrize("draw", [0.0, 1.0])
def test_p25_a_pause_that_does_not_end_before_the_deadline_ends_with_it(
    hint: float | None, pause: float, draw: float
) -> None:
    """With a hint, and without one: then it is the longest interval."""
    busy = Refused(reason=Refusal.RATE, retry_after=hint)
    for deadline in (1.0, pause, pause + 1.0):
        state = observe(PollState(started=0.0, deadline=deadline), busy, 0.0)
        action = next_action(state, 0.0, PollPolicy(), draw)
        assert action == PollAfter(min(pause * (1 + 0.1 * draw), deadline))


def test_the_least_interval_holds_where_it_is_set_above_the_most() -> None:
    state = observe(PollState(started=0.0), Pending(), 0.0)
    assert next_action(state, 0.0, PollPolicy(min_interval=20.0), 0.0) == PollAfter(20.0)


# The client's limiter


@given(
    st.floats(0.1, 1000.0),
    st.lists(st.tuples(st.floats(0.0, 10.0), st.none() | st.floats(0.0, 100.0)), max_size=20),
)
def test_p20_no_time_is_given_twice_none_in_a_pause_and_never_more_than_the_rate(
    rate: float, events: list[tuple[float, float | None]]
) -> None:
    limiter, now, last = RateLimiter(rate), 0.0, float("-inf")
    for step, away in events:
        now += step
        if away is not None:
            limiter = limiter.paused(now, away)
        at, limiter = limiter.reserve(now)
        assert at >= max(now, limiter.not_before)
        assert at - last >= (1 / rate) * (1 - 1e-6)
        last = at
