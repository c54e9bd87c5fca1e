"""How many jobs may queue, and when the next may leave."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.queue import MAX_WAIT, ConcurrencyLimit, backoff


def refused(pace: ConcurrencyLimit, **how: Any) -> ConcurrencyLimit:
    """The pace after a refusal at 100 s of a submit that left at 99 s."""
    usual = {"maximum": None, "retry_after": None, "sent_at": 99.0, "now": 100.0, "draw": 0.0}
    return pace.refused(**{**usual, **how})


def accepted(pace: ConcurrencyLimit, times: int) -> ConcurrencyLimit:
    for _ in range(times):
        pace = pace.accepted()
    return pace


def test_a_client_begins_with_all_that_it_was_given_at_once() -> None:
    pace = ConcurrencyLimit.of(5)
    assert (pace.limit, pace.ceiling, pace.not_before) == (5, 5, 0.0)


@pytest.mark.parametrize(("before", "after"), [(15, 7), (5, 2), (2, 1), (1, 1)])
def test_a_refusal_that_names_no_maximum_halves_the_slots(before: int, after: int) -> None:
    assert refused(ConcurrencyLimit.of(before)).limit == after


def test_a_burst_of_refusals_halves_the_slots_once() -> None:
    pace = refused(ConcurrencyLimit.of(8))
    for now in (100.1, 100.2, 100.3):
        pace = refused(pace, sent_at=99.5, now=now)
    assert pace.limit == 4


def test_a_refusal_of_what_left_after_the_cut_halves_again() -> None:
    assert refused(refused(ConcurrencyLimit.of(8)), sent_at=101.0, now=102.0).limit == 2


@pytest.mark.parametrize(
    ("maximum", "limit"), [(1, 1), (5, 5), (10, 10), (15, 12), (99999, 12)]
)  # fmt: skip
def test_a_named_maximum_sets_the_slots_but_never_above_the_callers_setting(
    maximum: int, limit: int
) -> None:
    pace = refused(ConcurrencyLimit.of(12), maximum=maximum)
    assert (pace.limit, pace.ceiling) == (limit, limit)


def test_a_later_maximum_replaces_an_earlier_one() -> None:
    pace = refused(refused(ConcurrencyLimit.of(12), maximum=5), maximum=10)
    assert (pace.limit, pace.ceiling) == (10, 10)


def test_slots_do_not_grow_beyond_a_named_maximum() -> None:
    assert accepted(refused(ConcurrencyLimit.of(12), maximum=5), 1000).limit == 5


def test_one_more_slot_is_tried_after_each_whole_round_of_accepted_submits() -> None:
    pace = refused(ConcurrencyLimit.of(8))
    assert [accepted(pace, n).limit for n in (3, 4, 8, 9, 14, 15)] == [4, 5, 5, 6, 6, 7]
    assert accepted(pace, 1000).limit == 8


def test_a_refusal_starts_the_round_again() -> None:
    pace = refused(accepted(refused(ConcurrencyLimit.of(8)), 3), sent_at=50.0)
    assert accepted(pace, 1).limit == 4


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
def test_s22_nothing_leaves_before_the_wait_that_was_asked_for_is_over(draw: float) -> None:
    assert refused(ConcurrencyLimit.of(5), retry_after=30.0, draw=draw).not_before == 130.0


def test_s22_a_shorter_wait_does_not_cut_a_longer_one_short() -> None:
    assert (
        refused(refused(ConcurrencyLimit.of(5), retry_after=30.0), retry_after=2.0).not_before
        == 130.0
    )


@pytest.mark.parametrize("hint", [0.0, 0.3, 1.0])
def test_s23_a_wait_that_is_over_already_is_still_a_second(hint: float) -> None:
    assert refused(ConcurrencyLimit.of(5), retry_after=hint).not_before == 101.0


def test_s23_a_wait_that_nobody_sleeps_through_is_said_out_loud() -> None:
    pace = refused(ConcurrencyLimit.of(5), retry_after=1e9)
    assert pace.blocked_for(100.0) == 1e9
    assert pace.blocked_for(100.0 + 1e9 - MAX_WAIT) is None


def test_s23_a_wait_of_an_hour_is_slept_through() -> None:
    assert refused(ConcurrencyLimit.of(5), retry_after=MAX_WAIT).blocked_for(100.0) is None


def test_s25_without_a_hint_the_wait_doubles_up_to_half_a_minute() -> None:
    pace, waits, now = ConcurrencyLimit.of(5), [], 100.0
    for _ in range(6):
        pace = refused(pace, sent_at=now, now=now, draw=1.0)
        waits.append(pace.not_before - now)
        now = pace.not_before
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize("maximum", [None, 5])
def test_s25_a_burst_of_refusals_doubles_the_wait_once(maximum: int | None) -> None:
    pace = ConcurrencyLimit.of(15)
    for _ in range(10):
        pace = refused(pace, maximum=maximum, draw=1.0)
    assert pace.not_before == 102.0
    for _ in range(10):
        pace = refused(pace, maximum=maximum, sent_at=102.0, now=103.0, draw=1.0)
    assert pace.not_before == 107.0


def test_s25_after_an_accepted_submit_the_waits_begin_anew() -> None:
    pace = refused(refused(ConcurrencyLimit.of(5), draw=1.0), draw=1.0).accepted()
    assert refused(pace, now=200.0, draw=1.0).not_before == 202.0


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_s25_a_backoff_lies_between_one_second_and_thirty(tries: int, draw: float) -> None:
    assert 1.0 <= backoff(tries, draw) <= min(30.0, 2.0 ** min(tries + 1, 10))


@given(st.integers(0, 50), st.floats(0, 1), st.floats(0, 1))
def test_s25_a_backoff_grows_with_the_draw(tries: int, one: float, two: float) -> None:
    assert backoff(tries, min(one, two)) <= backoff(tries, max(one, two))


# --- a full queue: the end of a job of ours frees a submit


def full(pace: ConcurrencyLimit, **how: Any) -> ConcurrencyLimit:
    return refused(pace, **{"maximum": 5, "retry_after": 30.0, **how})


def test_s48_the_end_of_a_job_frees_one_submit_at_once() -> None:
    pace = full(ConcurrencyLimit.of(15))
    assert pace.next_submit_at() == 130.0
    pace = pace.ended(105.0)
    assert pace.next_submit_at() <= 105.0
    pace = pace.submitted(105.0)
    assert (pace.next_submit_at(), pace.not_before) == (130.0, 130.0)


def test_s48_as_many_submits_are_freed_as_jobs_have_ended_and_no_more_than_there_are_slots() -> (
    None
):
    pace = full(ConcurrencyLimit.of(15))
    for _ in range(9):
        pace = pace.ended(105.0)
    left = 0
    while pace.next_submit_at() <= 105.0:
        pace, left = pace.submitted(105.0), left + 1
    assert left == 5


def test_s48_a_refusal_that_names_no_maximum_is_waited_for_whatever_ends() -> None:
    for pace in (
        refused(ConcurrencyLimit.of(15), retry_after=30.0).ended(105.0),
        refused(full(ConcurrencyLimit.of(15)).ended(101.0), retry_after=60.0),
        full(refused(ConcurrencyLimit.of(15), retry_after=60.0), retry_after=90.0).ended(105.0),
    ):
        assert pace.next_submit_at() == pace._rate_until > 105.0


def test_s48_an_end_outside_of_a_wait_frees_nothing_later() -> None:
    pace = full(ConcurrencyLimit.of(15)).ended(131.0).submitted(131.0)
    assert full(pace, sent_at=131.0, now=132.0).next_submit_at() == 162.0


def test_s48_a_job_that_ended_while_the_refusal_was_on_its_way_frees_a_submit() -> None:
    pace = full(ConcurrencyLimit.of(15).ended(99.5), sent_at=99.0)
    assert pace.next_submit_at() <= 100.0
    pace = full(pace.submitted(100.0), sent_at=99.0, now=100.1)  # one of the same burst
    assert pace.next_submit_at() == 130.1


def test_s48_a_slot_that_somebody_else_was_faster_to_take_is_tried_again_ever_later() -> None:
    pace, now, waits = full(ConcurrencyLimit.of(15), retry_after=900.0).ended(101.0), 101.0, []
    for _ in range(7):
        pace = pace.submitted(now)
        pace = full(pace, was_freed=True, sent_at=now, now=now, retry_after=900.0, draw=1.0)
        waits.append(pace.next_submit_at() - now)
        now = pace.next_submit_at()
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 900.0]


def test_s48_a_burst_into_freed_slots_is_one_try() -> None:
    pace = full(ConcurrencyLimit.of(15))
    for _ in range(3):
        pace = pace.ended(105.0)
    for _ in range(3):
        pace = pace.submitted(105.0)
    for at in (105.2, 105.3, 105.4):
        pace = full(pace, was_freed=True, sent_at=105.0, now=at, draw=1.0)
    assert (pace.freed, pace.next_submit_at()) == (3, 107.2)


def test_s48_the_next_end_of_ours_is_believed_at_once() -> None:
    pace = full(ConcurrencyLimit.of(15)).ended(101.0).submitted(101.0)
    pace = full(pace, was_freed=True, sent_at=101.0, now=102.0, draw=1.0)
    assert pace.next_submit_at() == 104.0
    assert pace.ended(103.0).next_submit_at() <= 103.0


def test_s48_after_the_wait_slots_are_as_free_as_ever() -> None:
    pace = full(ConcurrencyLimit.of(15)).ended(101.0).submitted(131.0)
    assert (pace.freed, pace.next_submit_at()) == (0, 130.0)


def test_s48_a_long_wait_is_said_out_loud_only_when_nothing_of_ours_is_queued() -> None:
    pace = full(ConcurrencyLimit.of(15), retry_after=1e6)
    assert pace.blocked_for(100.0, queued=1) is None
    assert pace.blocked_for(100.0) == 1e6
    assert pace.ended(101.0).blocked_for(101.0) is None
    assert refused(pace, retry_after=1e6).blocked_for(100.0, queued=3) == 1e6


# --- a rate, which says nothing of the queue


def leaving(pace: ConcurrencyLimit, submits: int, now: float) -> list[float]:
    """When each of so many submits leaves that are all accepted, if there are slots for them."""
    times = []
    for _ in range(submits):
        now = max(now, pace.next_submit_at())
        times.append(now)
        pace = pace.submitted(now).accepted()
    return times


def test_s49_a_rate_leaves_the_slots_and_submits_leave_at_it() -> None:
    pace = refused(ConcurrencyLimit.of(15), interval=12.0)
    assert (pace.limit, pace.ceiling) == (15, 15)
    assert leaving(pace, 4, 100.0) == [112.0, 124.0, 136.0, 148.0]


def test_s49_a_whole_burst_above_a_rate_is_refused_as_one() -> None:
    pace = ConcurrencyLimit.of(15)
    for _ in range(10):
        pace = refused(pace, interval=12.0, draw=1.0)
    assert (pace.limit, pace.next_submit_at()) == (15, 112.0)


@pytest.mark.parametrize(("interval", "first"), [(0.2, 101.0), (12.0, 112.0), (360.0, 460.0)])
def test_s49_without_a_hint_the_next_try_is_when_the_rate_allows_one(
    interval: float, first: float
) -> None:
    pace = refused(ConcurrencyLimit.of(5), interval=interval, draw=1.0)
    for _ in range(5):  # however often it was refused before
        assert pace.next_submit_at() == first
        pace = refused(pace, interval=interval, sent_at=100.0, draw=1.0)


def test_s49_the_wait_that_is_asked_for_comes_before_the_rate() -> None:
    pace = refused(ConcurrencyLimit.of(5), interval=12.0, retry_after=3.0)
    assert leaving(pace, 3, 100.0) == [103.0, 115.0, 127.0]


def test_s49_the_end_of_a_job_does_not_go_beyond_the_rate() -> None:
    pace = refused(ConcurrencyLimit.of(5), interval=12.0).ended(105.0)
    assert pace.next_submit_at() == 112.0
    pace = pace.submitted(112.0).ended(113.0)
    assert pace.next_submit_at() == 124.0
    pace = full(pace, sent_at=112.0, now=114.0, retry_after=60.0).ended(115.0)
    assert pace.next_submit_at() == 124.0
    assert pace.submitted(124.0).next_submit_at() == pace.submitted(124.0)._rate_until == 174.0


def test_s49_a_later_rate_replaces_an_earlier_one() -> None:
    pace = refused(refused(ConcurrencyLimit.of(5), interval=60.0), interval=0.5, now=150.0)
    assert leaving(pace, 3, 160.0) == [160.0, 160.5, 161.0]


def test_s49_another_setting_keeps_the_rate() -> None:
    pace = refused(ConcurrencyLimit.of(5), interval=12.0).with_max_jobs(9)
    assert (pace.limit, leaving(pace, 2, 100.0)) == (9, [112.0, 124.0])


def test_s49_a_rate_that_lets_one_pass_in_hours_is_said_out_loud() -> None:
    assert refused(ConcurrencyLimit.of(5), interval=8640.0).blocked_for(100.0, queued=2) == 8640.0


refusals = st.fixed_dictionaries(
    {
        "maximum": st.none() | st.integers(1, 50),
        "retry_after": st.none() | st.floats(0, 1e9),
        "interval": st.none() | st.floats(1e-6, 1e9),
        "sent_at": st.floats(0, 1e6),
        "now": st.floats(0, 1e6),
        "draw": st.floats(0, 1),
    }
)


@given(st.integers(1, 40), st.lists(refusals | st.none() | st.integers(1, 40)))
def test_there_is_always_a_slot_and_never_more_than_asked_for(
    max_jobs: int, life: list[Any]
) -> None:
    pace = ConcurrencyLimit.of(max_jobs)
    for event in life:
        before = pace.not_before
        if event is None:
            pace = pace.accepted()
        elif isinstance(event, int):
            max_jobs, pace = event, pace.with_max_jobs(event)
        else:
            pace = pace.refused(**event)
            assert pace.not_before >= event["now"] + max(1.0, event["retry_after"] or 0.0)
        assert 1 <= pace.limit <= pace.ceiling <= max_jobs
        assert pace.not_before >= before


@pytest.mark.parametrize(("setting", "limit"), [(2, 2), (5, 5), (9, 9)])
def test_another_setting_holds_at_once(setting: int, limit: int) -> None:
    assert ConcurrencyLimit.of(5).with_max_jobs(setting).limit == limit


def test_another_setting_keeps_what_the_server_made_of_the_pace() -> None:
    pace = (
        refused(ConcurrencyLimit.of(12), maximum=5, retry_after=30.0)
        .with_max_jobs(3)
        .with_max_jobs(20)
    )
    assert (pace.limit, pace.ceiling, pace.not_before) == (5, 5, 130.0)


def test_another_setting_keeps_slots_that_were_taken_away() -> None:
    pace = refused(ConcurrencyLimit.of(8)).with_max_jobs(20)
    assert (pace.limit, pace.ceiling) == (4, 20)


@pytest.mark.parametrize("interval", [None, 2.0])
def test_a_refusal_that_names_a_rate_is_told_from_a_full_queue(interval: float | None) -> None:
    limit = ConcurrencyLimit.of(5).refused(
        maximum=None, retry_after=2.0, interval=interval, sent_at=0.0, now=0.0, draw=0.5
    )
    assert limit.is_rate_limited == (interval is not None)
