"""What a job needs next: when to ask, when to believe, when to stop."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import ConfigurationError, DownloadPolicy
from modelslab_async._policy.durations import Schedule
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
    describe,
    is_about,
    next_action,
    observe,
    pause,
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

POLICY = PollPolicy(first=1.0, min_interval=1.0, max_interval=15.0, growth=0.15, patience=120.0)
DONE = Finished(id="7", links=Links(output=("u",)))
EMPTY = Finished(id="7", links=Links(future=("f",)))
FAILED = Failed(reason=Failure.FAILED, message="bad prompt")
LOST = Failed(reason=Failure.NOT_FOUND, message="Request not found")
AGAIN = Failed(reason=Failure.TRY_AGAIN, message="Failed, Try Again")
RESET = NoReply("the connection broke")
PAGE = Unreadable(reason="a page of HTML")


def no(reason: Refusal, retry_after: float | None = None) -> Refused:
    return Refused(reason=reason, message=reason.value, retry_after=retry_after)


def after(
    *result: PollResult, at: float = 100.0, retry_after: float | None = None, **more: Any
) -> PollState:
    """The state of a job accepted at 0 s, of which all these answers came at one time."""
    state = PollState(started=0.0, **more)
    for one in result:
        state = observe(state, one, at, retry_after=retry_after)
    return state


def in_all(seconds: float | None) -> Schedule | None:
    """What is expected of a job that should take so long."""
    return None if seconds is None else Schedule(seconds)


def action(state: PollState, now: float = 100.0, draw: float = 0.0) -> Any:
    return next_action(state, now, POLICY, draw)


# The first question


@pytest.mark.parametrize(
    ("expected", "delay"),
    [
        (None, 1.0),
        (20.0, 20.0),
        (0.0, 1.0),
        (0.5, 1.0),
        (899.0, 899.0),
        (1e9, MAX_FIRST_WAIT),
        (1e99, MAX_FIRST_WAIT),
    ],
)
def test_s39_the_first_question_comes_near_the_eta_within_bounds(
    expected: float | None, delay: float
) -> None:
    assert action(PollState(started=0.0, schedule=in_all(expected)), now=0.0) == PollAfter(delay)


def test_time_that_has_passed_since_acceptance_counts() -> None:
    assert action(PollState(started=0.0, schedule=in_all(20.0)), now=15.0) == PollAfter(5.0)
    assert action(PollState(started=0.0, schedule=in_all(20.0)), now=50.0) == PollAfter(0.0)


def test_a_job_that_is_taken_up_again_is_not_waited_for() -> None:
    state = PollState(started=0.0, resumed=True)
    assert action(state, now=0.0) == PollAfter(POLICY.min_interval)


def test_a_job_is_asked_about_once_even_after_its_deadline() -> None:
    state = PollState(started=0.0, schedule=in_all(20.0), deadline=10.0)
    assert action(state, now=10.0) == PollAfter(0.0)
    assert action(state, now=4.0) == PollAfter(6.0)


# The next ones


@pytest.mark.parametrize(
    ("age", "delay"), [(0.0, 1.0), (5.0, 1.0), (10.0, 1.5), (40.0, 6.0), (100.0, 15.0), (1e6, 15.0)]
)
def test_questions_grow_apart_with_the_age_of_the_job(age: float, delay: float) -> None:
    assert action(after(Pending(), at=age), now=age) == PollAfter(delay)


def test_a_clock_that_goes_back_does_no_harm() -> None:
    assert action(after(Pending(), at=100.0), now=-50.0) == PollAfter(15.0)


@pytest.mark.parametrize("result", [Pending(), Pending(eta=1e9), Ticket(id="7", eta=1e9)])
def test_p13_p14_p17_a_job_that_goes_on_is_asked_about_on(result: PollResult) -> None:
    assert action(after(result, at=10.0), now=10.0) == PollAfter(1.5)


@pytest.mark.parametrize("result", [RESET, PAGE, no(Refusal.SERVER)])
def test_p01_p05_bad_answers_never_end_a_job_and_space_the_questions(result: PollResult) -> None:
    delays = [action(after(*[result] * n, at=0.0), now=0.0).delay for n in (1, 2, 3, 9)]
    assert delays == [2.0, 4.0, 8.0, 15.0]
    assert action(after(*[result] * 10_000, at=1e6), now=1e6) == PollAfter(15.0)


def test_one_good_answer_forgets_the_bad_ones() -> None:
    assert action(after(RESET, RESET, Pending(), at=0.0), now=0.0) == PollAfter(1.0)


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
def test_the_draw_only_ever_lengthens_a_wait(draw: float) -> None:
    assert action(after(Pending(), at=0.0), now=0.0, draw=draw) == PollAfter(1.0 + 0.1 * draw)


def test_a_scout_asks_early_and_its_questions_lead_up_to_when_the_job_is_due() -> None:
    state = PollState(started=0.0, schedule=Schedule(30.0, 0.1), probe=True)
    now, ages = 0.0, list[float]()
    while now < 30.0:
        now += action(state, now=now).delay
        state, ages = observe(state, Pending(), now), [*ages, now]
    assert ages == pytest.approx([30 / 1.15**3, 30 / 1.15**2, 30 / 1.15, 30.0])


def test_a_scout_asks_no_sooner_than_about_an_unknown_job_and_no_later_than_due() -> None:
    soon = PollState(started=0.0, schedule=Schedule(1.2), probe=True)
    assert action(soon, now=0.0) == PollAfter(1.0)
    sooner = PollState(started=0.0, schedule=Schedule(0.3), probe=True)
    assert next_action(sooner, 0.0, PollPolicy(), 0.0) == PollAfter(0.3)


def test_a_job_that_was_asked_about_too_early_is_left_alone_until_it_is_due() -> None:
    schedule = Schedule(30.0, step=0.02, late=33.0)
    assert action(after(Pending(), at=20.0, schedule=schedule), now=20.0) == PollAfter(10.0)
    assert action(after(Pending(), at=5.0, schedule=schedule), now=5.0) == PollAfter(15.0)


def test_a_job_of_a_known_kind_is_asked_about_in_the_steps_that_suit_it() -> None:
    schedule = Schedule(50.0, step=0.04, late=60.0)
    assert action(after(Pending(), at=50.0, schedule=schedule), now=50.0) == PollAfter(2.0)


def test_time_that_has_passed_since_the_answer_counts() -> None:
    state = after(Pending(), at=40.0)
    assert [action(state, now=now).delay for now in (40.0, 42.0, 99.0)] == [6.0, 4.0, 0.0]


@pytest.mark.parametrize(("result", "asked_at"), [(Pending(), 3.0), (Ticket(id="7"), 3.0)])
def test_when_a_job_was_unfinished_is_known_by_when_the_question_left(
    result: PollResult, asked_at: float
) -> None:
    state = observe(PollState(started=0.0), result, 5.0, asked_at=asked_at)
    assert (state.unfinished_at, state.replied_at) == (3.0, 5.0)
    assert observe(state, RESET, 9.0).unfinished_at == 3.0


# The end


def test_success_with_output_is_the_end() -> None:
    assert action(after(DONE)) == Finish(DONE)


NO = [FAILED, *(no(r) for r in Refusal if r not in (Refusal.RATE, Refusal.SERVER))]


@pytest.mark.parametrize("result", NO)
def test_p07_p10_a_plain_no_is_the_end_when_it_is_said_twice(result: Refused | Failed) -> None:
    said = after(result)
    assert action(said) == PollAfter(1.0)
    ended = action(observe(said, result, 101.0), now=101.0)
    assert isinstance(ended, Stop)
    assert ended.reply in (result, Failed(reason=Failure.FAILED, message="request"))


@pytest.mark.parametrize("result", NO)
@pytest.mark.parametrize("between", [RESET, PAGE, no(Refusal.SERVER), no(Refusal.RATE)])
def test_p24_an_answer_that_says_nothing_of_the_job_is_not_counted(
    result: Refused | Failed, between: PollResult
) -> None:
    state = after(result, between)
    assert isinstance(action(state), PollAfter)
    assert isinstance(action(observe(state, result, 101.0), now=101.0), Stop)


@pytest.mark.parametrize("result", NO)
@pytest.mark.parametrize("between", [Pending(), Ticket(id="7"), EMPTY, LOST, AGAIN])
def test_p24_one_answer_that_fits_makes_a_no_the_first_again(
    result: Refused | Failed, between: PollResult
) -> None:
    assert action(after(result, between, result)) == PollAfter(1.0)


def test_p24_what_is_asked_again_keeps_the_least_interval() -> None:
    rarely = evolve(POLICY, min_interval=5.0)
    assert next_action(after(FAILED), 100.0, rarely, 0.0) == PollAfter(5.0)
    assert next_action(after(FAILED), 100.0, POLICY, 0.0) == PollAfter(1.0)


def test_p24_two_answers_that_give_two_reasons_are_no_reason() -> None:
    assert action(after(no(Refusal.KEY), no(Refusal.CREDITS))) == PollAfter(1.0)
    assert action(after(FAILED, no(Refusal.KEY), FAILED)) == PollAfter(1.0)


def test_p24_what_is_said_at_the_deadline_is_asked_again_once() -> None:
    state = after(FAILED, deadline=99.9)
    assert action(state) == PollAfter(1.0)
    assert action(observe(state, FAILED, 101.0), now=101.0) == Stop(FAILED)
    assert action(observe(state, no(Refusal.KEY), 101.0), now=101.0) == Stop(None)


def test_p10_a_complaint_about_the_request_is_the_end_of_a_job_and_a_status_of_400_is_none() -> (
    None
):
    complaint = no(Refusal.REQUEST)
    assert after(complaint).result == Failed(reason=Failure.FAILED, message="request")
    assert after(evolve(complaint, status=400)).result == evolve(complaint, status=400)


@pytest.mark.parametrize("result", [[DONE], [FAILED] * 2, [no(Refusal.KEY)] * 2])
def test_what_is_terminal_beats_the_deadline(result: list[PollResult]) -> None:
    assert action(after(*result, deadline=50.0)) != Stop(None)


@pytest.mark.parametrize("result", [Pending(), RESET, PAGE, no(Refusal.RATE), EMPTY, LOST])
def test_p13_at_the_deadline_we_stop_without_an_answer(result: PollResult) -> None:
    assert action(after(result, deadline=100.0)) == Stop(None)
    assert action(after(result, deadline=99.0)) == Stop(None)


def test_the_last_question_falls_on_the_deadline() -> None:
    assert action(after(Pending(), deadline=102.5)) == PollAfter(2.5)


def test_without_a_deadline_there_is_no_end() -> None:
    assert action(after(Pending(), at=1e9), now=1e9) == PollAfter(15.0)


# Answers that contradict the job


@pytest.mark.parametrize("result", [LOST, AGAIN, EMPTY])
def test_p08_p09_p11_a_contradiction_is_borne_for_a_while_and_then_believed(
    result: Failed | Finished,
) -> None:
    state = observe(after(result, at=100.0), result, 219.0)
    assert isinstance(action(state, now=219.0), PollAfter)
    assert action(observe(state, result, 220.0), now=220.0) == Stop(result)


def test_patience_begins_anew_after_an_answer_that_fits() -> None:
    state = observe(after(LOST, Pending(), at=100.0), LOST, 300.0)
    assert isinstance(action(state, now=419.0), PollAfter)


@pytest.mark.parametrize("result", [RESET, Pending()])
def test_only_a_contradiction_is_held_against_a_job(result: PollResult) -> None:
    assert isinstance(action(after(LOST, result, at=100.0), now=1e6), PollAfter)


def test_one_contradiction_after_another_is_one_doubt() -> None:
    state = observe(after(LOST, at=100.0), EMPTY, 220.0)
    assert action(state, now=220.0) == Stop(EMPTY)


def test_output_at_last_ends_all_doubt() -> None:
    assert action(observe(after(LOST, at=0.0), DONE, 1e6), now=1e6) == Finish(DONE)


# What the server asks for


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [(40.0, 40.0), (None, 15.0), (0.0, 1.0), (1e9, MAX_PAUSE)],
    ids=["as told", "the longest interval without a hint", "never nothing", "an hour at most"],
)
def test_p06_a_rate_limit_pauses_the_questions_about_every_job(
    hint: float | None, seconds: float
) -> None:
    state = after(no(Refusal.RATE, hint), at=0.0)
    assert pause(state, POLICY) == seconds
    assert action(state, now=0.0) == PollAfter(seconds)
    assert action(state, now=0.0, draw=1.0) == PollAfter(seconds * 1.1)


@pytest.mark.parametrize("one", [Pending(), RESET, PAGE, LOST, no(Refusal.SERVER), no(Refusal.KEY)])
def test_p06_nothing_else_pauses_them(one: PollResult) -> None:
    assert pause(after(one, retry_after=40.0), POLICY) is None
    assert pause(PollState(started=0.0), POLICY) is None


def test_p06_a_header_alone_stops_no_job_for_a_day() -> None:
    assert action(after(Pending(), retry_after=1e9)) == PollAfter(MAX_PAUSE)


def test_of_header_and_body_the_longer_wait_is_obeyed() -> None:
    assert action(after(no(Refusal.RATE, 40.0), retry_after=50.0)).delay == 50.0
    assert action(after(no(Refusal.RATE, 40.0), retry_after=30.0)).delay == 40.0


@pytest.mark.parametrize("result", [Pending(), PAGE, no(Refusal.SERVER)])
def test_a_header_is_obeyed_whatever_the_answer(result: PollResult) -> None:
    assert action(after(result, retry_after=50.0)) == PollAfter(50.0)


def test_a_hint_shorter_than_our_own_wait_does_not_shorten_it() -> None:
    assert action(after(Pending(), retry_after=2.0)) == PollAfter(15.0)


@pytest.mark.parametrize(
    ("hint", "left", "delay"),
    [(40.0, 41.0, 40.0), (40.0, 40.0, 40.0), (40.0, 10.0, 10.0), (5000.0, 800.0, 60.0)],
)
@pytest.mark.parametrize("by_header", [False, True])
def test_p25_a_wait_beyond_the_time_of_a_job_does_not_give_it_up(
    hint: float, left: float, delay: float, by_header: bool
) -> None:
    result = PAGE if by_header else no(Refusal.RATE, hint)
    state = after(result, retry_after=hint if by_header else None, deadline=100.0 + left)
    assert action(state) == PollAfter(delay)


def test_a_hint_holds_for_one_answer() -> None:
    state = after(no(Refusal.RATE, 40.0), Pending(), at=0.0)
    assert action(state, now=0.0) == PollAfter(1.0)


result = st.sampled_from(
    [DONE, EMPTY, FAILED, LOST, AGAIN, RESET, PAGE, Pending(), Ticket(id="7")]
    + [no(reason, hint) for reason in Refusal for hint in (None, 0.0, 5.0, 1e12)]
)


@given(
    st.lists(st.tuples(result, st.floats(0, 1e5), st.none() | st.floats(0, 1e12))),
    st.none() | st.floats(0, 1e6),
    st.floats(0, 1),
)
def test_every_state_has_an_action_and_no_wait_breaks_a_bound(
    life: list[tuple[PollResult, float, float | None]], deadline: float | None, draw: float
) -> None:
    state, now = PollState(started=0.0, deadline=deadline), 0.0
    for one, seconds, told in life:
        now += seconds
        state = observe(state, one, now, retry_after=told)
    assert state.polls == len(life)
    next_one = next_action(state, now, POLICY, draw)
    if isinstance(next_one, PollAfter):
        assert 0 <= next_one.delay < float("inf")
        assert not state.polls or deadline is None or now < deadline + state.verdict_count
        told = min(state.retry_after or 0.0, MAX_PAUSE)
        if deadline is None:
            assert next_one.delay >= told
        elif state.polls:
            assert next_one.delay >= min(told, MAX_WAIT_WITH_DEADLINE, max(0.0, deadline - now))


def test_p23_questions_are_few_for_the_age_of_a_job() -> None:
    state, now, polls = PollState(started=0.0, schedule=in_all(30.0)), 0.0, 0
    while now < 600.0:
        now += next_action(state, now, POLICY, 0.0).delay  # type: ignore[union-attr]
        state, polls = observe(state, Pending(), now), polls + 1
    assert polls < 50


# Words, names, budgets


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (None, ""),
        (Pending(), ""),
        (Ticket(id="7"), ""),
        (RESET, "the connection broke"),
        (PAGE, "a page of HTML"),
        (no(Refusal.RATE), "rate"),
        (LOST, "Request not found"),
        (EMPTY, "success, but no output yet"),
    ],
)
def test_the_last_answer_is_put_in_a_few_words(one: PollResult | None, words: str) -> None:
    assert describe(one) == words


@pytest.mark.parametrize(
    ("one", "about"),
    [
        (RESET, True),
        (PAGE, True),
        (Unreadable(reason="cut", id="8"), True),
        (Pending(), True),
        (Finished(links=Links()), True),
        (FAILED, True),
        (DONE, True),
        (Ticket(id="271"), True),
        (Ticket(id="8"), False),
        (Finished(id="8", links=Links()), False),
        (evolve(FAILED, id="8"), False),
        (evolve(no(Refusal.REQUEST), id="8"), False),
        (evolve(FAILED, id="271"), True),
    ],
)
def test_p15_an_answer_that_names_another_job_is_not_about_this_one(
    one: PollResult, about: bool
) -> None:
    assert is_about(one, frozenset({"7", "271"})) is about


def test_p20_a_client_asks_at_evenly_spaced_times() -> None:
    limiter, times = RateLimiter(rate=4.0), []
    for now in (10.0, 10.0, 10.1, 10.5, 99.0):
        at, limiter = limiter.reserve(now)
        times.append(at)
    assert times == [10.0, 10.25, 10.5, 10.75, 99.0]


def test_p06_nothing_is_asked_before_a_pause_is_over() -> None:
    limiter = RateLimiter(rate=4.0).paused(10.0, 40.0)
    assert limiter.reserve(10.0)[0] == 50.0
    assert limiter.reserve(60.0)[0] == 60.0


def test_p25_a_long_pause_is_over_for_a_job_before_its_time_is() -> None:
    limiter = RateLimiter(rate=4.0).paused(10.0, 3600.0)
    assert limiter.reserve(10.0)[0] == 3610.0
    assert limiter.reserve(10.0, deadline=900.0)[0] == 70.0
    assert limiter.reserve(10.0, deadline=40.0)[0] == 40.0
    assert limiter.reserve(10.0, deadline=5.0)[0] == 10.0
    assert limiter.reserve(80.0, deadline=900.0)[0] == 80.0


def test_p25_jobs_that_are_asked_about_in_a_pause_are_asked_at_evenly_spaced_times_too() -> None:
    limiter, times = RateLimiter(rate=4.0).paused(10.0, 3600.0), []
    for _ in range(3):
        at, limiter = limiter.reserve(20.0, deadline=900.0)
        times.append(at)
    assert times == [70.0, 70.25, 70.5]


def test_p06_a_shorter_pause_does_not_cut_a_longer_one_short() -> None:
    assert RateLimiter(rate=4.0).paused(10.0, 40.0).paused(10.0, 10.0).reserve(10.0)[0] == 50.0


# Settings


@pytest.mark.parametrize(
    "name", ["first", "min_interval", "max_interval", "growth", "rate", "timeout"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), True, "3", None, [1]])
def test_a_setting_that_cannot_be_used_is_refused_when_it_is_made(name: str, value: object) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=rf"{name} is .*must be more than 0"):
        PollPolicy(**settings)


def test_a_setting_may_be_an_integer_and_patience_may_be_nothing() -> None:
    assert PollPolicy(first=3, patience=0) == PollPolicy(first=3.0, patience=0.0)


@pytest.mark.parametrize("value", [-0.5, float("nan"), "x"])
def test_a_bound_that_includes_its_end_says_so(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"patience is .*must be 0 or more"):
        DownloadPolicy(patience=value)
