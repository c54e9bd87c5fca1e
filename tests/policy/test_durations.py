"""What was observed of jobs: when to ask about the next one, at how many questions, how late."""

from __future__ import annotations

import math
import random
from itertools import accumulate, repeat
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.durations import (
    POLL_COST,
    DurationModel,
    Estimate,
    Schedule,
)

KIND = (30, None)


def taught(spread: float, jobs: int = 400, *, centre: float = math.log(30)) -> Estimate:
    """What is believed after many jobs of a law, each asked about as the belief says."""
    draw, belief = random.Random(7), Estimate(centre + 0.5)
    for number in range(jobs):
        took = math.exp(draw.gauss(centre, spread))
        belief = belief.observe(*asked(belief, took, early=number % 8 == 0))
    return belief


def asked(belief: Estimate, took: float, *, early: bool) -> tuple[float | None, float]:
    """Logarithms of the ages of the last question but one, and of the last."""
    expected = belief.schedule()
    low, age = None, expected.first / 2 if early else expected.first
    while age < took:
        low, age = math.log(age), age * (1 + expected.step_at(age, 0.25))
    return low, math.log(age)


def cost(first: float, step: float, spread: float) -> float:
    """Mean lag, and all questions at their price, for a normal law and even questions."""
    law, total, low = NormalDist(), 0.0, -8.0
    for number, point in enumerate(accumulate(repeat(step, 60), initial=first)):
        share = law.cdf(point) - law.cdf(low)
        mean = law.pdf(low) - law.pdf(point)
        total += spread * (share * point - mean) + POLL_COST * (number + 1) * share
        low = point
    return total


# One belief


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3])
def test_a_law_is_learnt_from_no_more_than_what_questions_tell(spread: float) -> None:
    belief = taught(spread)
    assert belief.mean == pytest.approx(math.log(30), abs=0.02 + spread / 2)
    assert spread / 2 < belief.deviation < 2 * spread


@pytest.mark.parametrize("spread", [0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("least", [0.02, 0.07, 0.2])
def test_no_other_first_question_and_step_cost_much_less(spread: float, least: float) -> None:
    expected = Estimate(0.0, spread).schedule(min_interval=least)
    assert expected.step is not None
    step = max(least, expected.step)
    ours = cost(math.log(expected.first) / spread, step / spread, spread)
    best = min(
        cost(first / 10, max(least / spread, step / 10), spread)
        for first in range(-20, 36)
        for step in range(1, 25)
    )
    assert ours <= 1.05 * best


def test_jobs_that_are_always_done_at_the_first_question_are_asked_about_sooner() -> None:
    belief = Estimate(math.log(30), 0.1, samples=100)
    sooner = belief.observe(None, math.log(30))
    assert sooner.schedule().first < belief.schedule().first


@pytest.mark.parametrize("took", [3.0, 300.0])
def test_a_surprise_widens_the_law_and_moves_it(took: float) -> None:
    belief = Estimate(math.log(30), 0.02, samples=100)
    after = belief.observe(math.log(took) - 0.1, math.log(took))
    assert after.deviation > 5 * belief.deviation
    assert (after.mean - belief.mean) * math.log(took / 30) > 0


def test_a_narrow_answer_far_out_counts_for_its_middle() -> None:
    belief = Estimate(0.0, 0.1, samples=15)
    after = belief.observe(0.3, 0.3 + 1e-9)
    assert after.mean == pytest.approx(0.3 / 16)


@given(
    st.lists(st.tuples(st.none() | st.floats(-7.0, 14.0), st.floats(0.0, 5.0)), max_size=60),
)
def test_no_lesson_breaks_a_belief(samples: list[tuple[float | None, float]]) -> None:
    belief = Estimate(3.0)
    for low, width in samples:
        belief = belief.observe(low, 0.1 + width if low is None else low + width)
    expected = belief.schedule()
    assert 0 < expected.first < math.inf
    assert expected.step is not None
    assert 0 < expected.step < math.inf
    assert belief.deviation >= 0.01


# One job


def test_a_job_that_is_late_is_asked_about_ever_less_until_growth_is_reached() -> None:
    expected = Schedule(10.0, step=0.02, late=20.0)
    shares = [expected.step_at(age, 0.25) for age in (10.0, 20.0, 22.0, 40.0, 1e6)]
    assert shares == pytest.approx([0.02, 0.02, 0.05, 0.25, 0.25])


def test_a_job_of_an_uncertain_kind_is_asked_about_as_often_as_growth_says() -> None:
    assert Estimate(3.0, deviation=0.3).schedule().step_at(20.0, 0.05) == 0.05


# All jobs of a client


def test_of_an_unknown_kind_scouts_ask_on_and_the_others_seldom() -> None:
    known = DurationModel(1.0, 0.05)
    probe, other = (known.schedule(KIND, None, probe=one) for one in (True, False))
    assert probe.first == other.first == 1.0
    assert probe.step_at(10.0, 0.25) == 0.25
    assert other.step_at(10.0, 0.25) == 1.0


@pytest.mark.parametrize(("eta", "due"), [(20.0, 20.0), (0.001, 1.0)])
def test_the_servers_word_is_taken_until_more_is_known(eta: float, due: float) -> None:
    assert DurationModel(1.0, 0.05).schedule(KIND, eta).first == due


def test_an_eta_is_taken_for_what_etas_have_proved_to_be() -> None:
    known = DurationModel(1.0, 0.05)
    for took in (10.0, 25.0, 60.0, 31.0, 14.0, 44.0):
        known.observe(KIND, 2 * took, 0.99 * took, took)
    assert known.schedule(KIND, 200.0).first == pytest.approx(100.0, rel=0.05)
    assert known.schedule("another kind", 10.0).first == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("eta", [5e-324, 1e-300, 1e-30, 1e308])
def test_no_eta_spoils_what_is_learnt_of_the_others(eta: float) -> None:
    known = DurationModel(1.0, 0.05)
    for took in (10.0, 1.0, 100.0):
        known.observe(KIND, 30.0, 0.9 * took, took)
        known.observe(KIND, eta, 0.9 * took, took)
    for other in (eta, 30.0, 5e-324, 1e308):
        expected = known.schedule("another kind", other)
        assert 0 < expected.first < math.inf
        assert 0 < expected.step_at(expected.first, 0.25) <= 0.25


def test_a_kind_that_is_steadier_than_its_etas_goes_before_them() -> None:
    known = DurationModel(1.0, 0.05)
    for eta in (10.0, 25.0, 60.0, 31.0, 14.0, 44.0):
        known.observe(KIND, eta, 29.5, 30.0)
    assert known.schedule(KIND, 200.0).first == pytest.approx(30.0, rel=0.05)
    assert known.schedule(KIND, None).first == pytest.approx(30.0, rel=0.05)


def test_jobs_that_were_done_at_once_teach_too() -> None:
    known = DurationModel(1.0, 0.05)
    known.observe(KIND, 0.0, None, 0.0)
    known.observe(KIND, None, 0.0, -1.0)
    assert known.schedule(KIND, None).first > 0
    assert (known.by_kind[KIND].samples, known.of_eta) == (2, None)


def test_the_first_jobs_of_each_subject_are_scouts_and_few_later() -> None:
    known = DurationModel(1.0, 0.05)
    scouts = [number for number in range(1, 50) if known.is_probe(KIND, 30.0)]
    assert scouts == [1, 2, 3, 16, 32, 48]
    assert known.is_probe(KIND, None)
    assert known.is_probe("another kind", None)
    assert not known.is_probe("another kind", 30.0)


def test_the_longest_kind_is_the_one_that_counts_for_all() -> None:
    known = DurationModel(1.0, 0.05)
    assert known.longest is None
    known.observe("a", None, 9.9, 10.0)
    known.observe("b", None, 39.9, 40.0)
    assert known.longest == pytest.approx(40.0, rel=0.01)
