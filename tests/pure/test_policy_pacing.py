"""How many jobs may queue, and when the next may leave."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async.policy.pacing import MAX_WAIT, Pace, backoff


def refused(pace: Pace, **how: Any) -> Pace:
    """The pace after a refusal at 100 s of a submit that left at 99 s."""
    usual = {"maximum": None, "retry_after": None, "sent_at": 99.0, "now": 100.0, "draw": 0.0}
    return pace.refused(**{**usual, **how})


def accepted(pace: Pace, times: int) -> Pace:
    for _ in range(times):
        pace = pace.accepted()
    return pace


def test_a_client_begins_with_all_that_it_was_given_at_once() -> None:
    pace = Pace.of(5)
    assert (pace.limit, pace.ceiling, pace.not_before) == (5, 5, 0.0)


@pytest.mark.parametrize(("before", "after"), [(15, 7), (5, 2), (2, 1), (1, 1)])
def test_a_refusal_that_names_no_maximum_halves_the_slots(before: int, after: int) -> None:
    assert refused(Pace.of(before)).limit == after


def test_a_burst_of_refusals_halves_the_slots_once() -> None:
    pace = refused(Pace.of(8))
    for now in (100.1, 100.2, 100.3):
        pace = refused(pace, sent_at=99.5, now=now)
    assert pace.limit == 4


def test_a_refusal_of_what_left_after_the_cut_halves_again() -> None:
    assert refused(refused(Pace.of(8)), sent_at=101.0, now=102.0).limit == 2


@pytest.mark.parametrize(
    ("maximum", "limit"), [(1, 1), (5, 5), (10, 10), (15, 12), (99999, 12)]
)  # fmt: skip
def test_a_named_maximum_sets_the_slots_but_never_above_the_callers_setting(
    maximum: int, limit: int
) -> None:
    pace = refused(Pace.of(12), maximum=maximum)
    assert (pace.limit, pace.ceiling) == (limit, limit)


def test_a_later_maximum_replaces_an_earlier_one() -> None:
    pace = refused(refused(Pace.of(12), maximum=5), maximum=10)
    assert (pace.limit, pace.ceiling) == (10, 10)


def test_slots_do_not_grow_beyond_a_named_maximum() -> None:
    assert accepted(refused(Pace.of(12), maximum=5), 1000).limit == 5


def test_one_more_slot_is_tried_after_each_whole_round_of_accepted_submits() -> None:
    pace = refused(Pace.of(8))
    assert [accepted(pace, n).limit for n in (3, 4, 8, 9, 14, 15)] == [4, 5, 5, 6, 6, 7]
    assert accepted(pace, 1000).limit == 8


def test_a_refusal_starts_the_round_again() -> None:
    pace = refused(accepted(refused(Pace.of(8)), 3), sent_at=50.0)
    assert accepted(pace, 1).limit == 4


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
def test_s22_nothing_leaves_before_the_wait_that_was_asked_for_is_over(draw: float) -> None:
    assert refused(Pace.of(5), retry_after=30.0, draw=draw).not_before == 130.0


def test_s22_a_shorter_wait_does_not_cut_a_longer_one_short() -> None:
    assert refused(refused(Pace.of(5), retry_after=30.0), retry_after=2.0).not_before == 130.0


@pytest.mark.parametrize("hint", [0.0, 0.3, 1.0])
def test_s23_a_wait_that_is_over_already_is_still_a_second(hint: float) -> None:
    assert refused(Pace.of(5), retry_after=hint).not_before == 101.0


def test_s23_a_wait_that_nobody_sleeps_through_is_said_out_loud() -> None:
    pace = refused(Pace.of(5), retry_after=1e9)
    assert pace.parked(100.0) == 1e9
    assert pace.parked(100.0 + 1e9 - MAX_WAIT) is None


def test_s23_a_wait_of_an_hour_is_slept_through() -> None:
    assert refused(Pace.of(5), retry_after=MAX_WAIT).parked(100.0) is None


def test_s25_without_a_hint_the_wait_doubles_up_to_half_a_minute() -> None:
    pace, waits = Pace.of(5), []
    for _ in range(6):
        pace = refused(pace, draw=1.0)
        waits.append(pace.not_before - 100.0)
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_s25_after_an_accepted_submit_the_waits_begin_anew() -> None:
    pace = refused(refused(Pace.of(5), draw=1.0), draw=1.0).accepted()
    assert refused(pace, now=200.0, draw=1.0).not_before == 202.0


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_s25_a_backoff_lies_between_one_second_and_thirty(tries: int, draw: float) -> None:
    assert 1.0 <= backoff(tries, draw) <= min(30.0, 2.0 ** min(tries + 1, 10))


@given(st.integers(0, 50), st.floats(0, 1), st.floats(0, 1))
def test_s25_a_backoff_grows_with_the_draw(tries: int, one: float, two: float) -> None:
    assert backoff(tries, min(one, two)) <= backoff(tries, max(one, two))


refusals = st.fixed_dictionaries(
    {
        "maximum": st.none() | st.integers(1, 50),
        "retry_after": st.none() | st.floats(0, 1e9),
        "sent_at": st.floats(0, 1e6),
        "now": st.floats(0, 1e6),
        "draw": st.floats(0, 1),
    }
)


@given(st.integers(1, 40), st.lists(refusals | st.none() | st.integers(1, 40)))
def test_there_is_always_a_slot_and_never_more_than_asked_for(
    max_jobs: int, life: list[Any]
) -> None:
    pace = Pace.of(max_jobs)
    for event in life:
        before = pace.not_before
        if event is None:
            pace = pace.accepted()
        elif isinstance(event, int):
            max_jobs, pace = event, pace.asking(event)
        else:
            pace = pace.refused(**event)
            assert pace.not_before >= event["now"] + max(1.0, event["retry_after"] or 0.0)
        assert 1 <= pace.limit <= pace.ceiling <= max_jobs
        assert pace.not_before >= before


@pytest.mark.parametrize(("setting", "limit"), [(2, 2), (5, 5), (9, 9)])
def test_another_setting_holds_at_once(setting: int, limit: int) -> None:
    assert Pace.of(5).asking(setting).limit == limit


def test_another_setting_keeps_what_the_server_made_of_the_pace() -> None:
    pace = refused(Pace.of(12), maximum=5, retry_after=30.0).asking(3).asking(20)
    assert (pace.limit, pace.ceiling, pace.not_before) == (5, 5, 130.0)


def test_another_setting_keeps_slots_that_were_taken_away() -> None:
    pace = refused(Pace.of(8)).asking(20)
    assert (pace.limit, pace.ceiling) == (4, 20)
