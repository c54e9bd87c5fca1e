"""Where a file is fetched from next, whatever goes wrong in whatever order."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.download import (
    Abort,
    AttemptFailure,
    DownloadPolicy,
    FailureKind,
    Get,
    Refresh,
    Step,
    Transfer,
    judge_status,
    next_step,
)

policies = st.builds(
    DownloadPolicy, patience=st.floats(0.0, 500.0), first_wait=st.floats(0.01, 60.0)
)
failures = st.builds(
    AttemptFailure,
    st.sampled_from(FailureKind),
    progressed=st.just(False),
    retry_after=st.none() | st.floats(0.0, 1e6),
)


def walked(
    given_failures: list[AttemptFailure], links: int, policy: DownloadPolicy
) -> list[tuple[float, Transfer, Step]]:
    """The steps of one file, each with the time that is left for it, until it is given up."""
    transfer, now, steps = Transfer(links=links, last_progress=0.0), 0.0, []
    for failure in given_failures:
        transfer, step = next_step(transfer, failure, now, policy)
        steps.append((policy.patience - now, transfer, step))
        if isinstance(step, Abort):
            break
        now += step.delay if isinstance(step, Get) else 0.0
    return steps


@given(st.lists(failures, max_size=40), st.integers(1, 4), policies)
def test_no_file_is_called_lost_before_the_api_was_asked_once(
    life: list[AttemptFailure], links: int, policy: DownloadPolicy
) -> None:
    steps = walked(life, links, policy)
    assert sum(isinstance(step, Refresh) for _, _, step in steps) <= 1
    for _, transfer, step in steps:
        if isinstance(step, Abort):
            assert transfer.refreshed


@given(st.lists(failures, max_size=40), st.integers(1, 4), policies)
def test_every_link_has_its_turn_before_any_is_waited_for(
    life: list[AttemptFailure], links: int, policy: DownloadPolicy
) -> None:
    turn = 0
    for _, _, step in walked(life, links, policy):
        turn = (turn + 1) % links
        if not isinstance(step, Get):
            assert turn == 0
            continue
        assert step.link == turn
        assert turn == 0 or step.delay == 0.0


@given(st.lists(failures, max_size=20), policies)
def test_a_host_is_left_alone_for_as_long_as_it_asked_or_as_patience_lasts(
    life: list[AttemptFailure], policy: DownloadPolicy
) -> None:
    steps = walked(life, 1, policy)
    for failure, (left, _, step) in zip(life, steps, strict=False):
        if isinstance(step, Get):
            assert step.delay >= min(left, failure.retry_after or 0.0)
            assert step.delay <= left


@given(failures, st.floats(0.0, 1e6), st.integers(1, 4), policies)
def test_progress_goes_on_at_once_at_the_same_link_and_renews_patience(
    failure: AttemptFailure, now: float, links: int, policy: DownloadPolicy
) -> None:
    before = Transfer(links=links, last_progress=0.0, link=links - 1, rounds=9, wait=99.0)
    after, step = next_step(before, evolve(failure, progressed=True), now, policy)
    assert step == Get(links - 1, 0.0)
    assert (after.last_progress, after.rounds, after.wait, after.failures) == (now, 0, None, ())


@given(st.integers(0, 999))
def test_a_body_is_read_only_of_an_answer_that_is_the_file(status: int) -> None:
    kind = judge_status(status)
    assert (kind is None) == (status in (200, 206))
    assert kind in (None, FailureKind.BUSY, FailureKind.GONE, FailureKind.WRONG)
