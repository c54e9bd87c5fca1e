"""Where to get a file from next, and what vouches for it: the decisions, as tables."""

from __future__ import annotations

import math
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.download import (
    Abort,
    AttemptFailure,
    DownloadPolicy,
    Ending,
    FailureKind,
    Get,
    Integrity,
    Refresh,
    Step,
    Transfer,
    can_be_repeated,
    integrity_of,
    judge_status,
    next_step,
    too_slow,
)
from modelslab_async._protocol.sound import AudioFormat, Completeness, Sound
from modelslab_async.errors import ConfigurationError

POLICY = DownloadPolicy(patience=100.0, first_wait=1.0)
START = Transfer(links=2, last_progress=0.0)
CUT, GONE, WRONG = (
    AttemptFailure(FailureKind.CUT),
    AttemptFailure(FailureKind.GONE),
    AttemptFailure(FailureKind.WRONG),
)
BUSY, REFUSED = AttemptFailure(FailureKind.BUSY), AttemptFailure(FailureKind.REFUSED)
ADDRESS = AttemptFailure(FailureKind.ADDRESS)


def after(*failures: AttemptFailure, **given: Any) -> Step:
    """The step that follows these failures, all of them at one time."""
    return walk(*failures, **given)[1]


def walk(
    *failures: AttemptFailure,
    links: int = 2,
    now: float = 1.0,
    policy: DownloadPolicy = POLICY,
    refreshed: bool = False,
) -> tuple[Transfer, Step]:
    transfer, step = evolve(START, links=links, refreshed=refreshed), None
    for failure in failures:
        transfer, step = next_step(transfer, failure, now, policy)
    assert step is not None
    return transfer, step


def test_a_link_that_fails_gives_way_to_the_next_at_once() -> None:
    assert after(CUT) == Get(1, 0.0)
    assert after(evolve(BUSY, retry_after=9.0)) == Get(1, 0.0)


def test_a_link_that_brought_bytes_is_gone_on_with_at_once() -> None:
    transfer, step = walk(GONE, GONE, BUSY, evolve(CUT, progressed=True), now=7.0)
    assert step == Get(1, 0.0)
    assert (transfer.last_progress, transfer.rounds, transfer.failures) == (7.0, 0, ())


def test_the_wait_after_a_round_doubles_up_to_fifteen_seconds() -> None:
    waits = [after(*[CUT] * rounds, links=1) for rounds in range(1, 8)]
    assert waits == [Get(0, delay) for delay in (1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)]
    assert after(*[CUT] * 2000, links=1) == Get(0, 15.0)


def test_the_longest_wait_that_a_host_of_the_round_asked_for_is_kept() -> None:
    first = [evolve(BUSY, retry_after=9.0), evolve(BUSY, retry_after=3.0)]
    assert after(*first) == Get(0, 9.0)
    assert after(*first, CUT, CUT) == Get(0, 2.0)
    assert after(evolve(BUSY, retry_after=0.0), links=1) == Get(0, 1.0)


@pytest.mark.parametrize("asked", [101.0, 31_536_000.0, math.inf])
def test_no_host_makes_us_wait_beyond_our_patience(asked: float) -> None:
    assert after(evolve(BUSY, retry_after=asked), links=1, now=40.0) == Get(0, 60.0)


def test_patience_counts_from_the_last_new_byte() -> None:
    assert after(CUT, links=1, now=99.0) == Get(0, 1.0)
    assert after(CUT, links=1, now=100.0, refreshed=True) == Abort(FailureKind.CUT, "")
    transfer, _ = walk(evolve(CUT, progressed=True), links=1, now=50.0, refreshed=True)
    assert next_step(transfer, CUT, 149.0, POLICY)[1] == Get(0, 1.0)
    assert next_step(transfer, CUT, 150.0, POLICY)[1] == Abort(FailureKind.CUT, "")


def test_patience_is_not_looked_at_in_the_middle_of_a_round() -> None:
    assert after(CUT, now=500.0) == Get(1, 0.0)


def test_without_limit_on_patience_it_never_ends() -> None:
    policy = evolve(POLICY, patience=math.inf)
    assert after(*[BUSY] * 50, links=1, now=1e9, policy=policy) == Get(0, 15.0)


def test_links_that_may_not_be_used_are_given_up_after_one_round() -> None:
    step = after(REFUSED, evolve(REFUSED, detail="why"), refreshed=True)
    assert step == Abort(FailureKind.REFUSED, "why")
    assert after(REFUSED, CUT) == Get(0, 1.0)


def test_links_that_lead_to_something_else_are_given_up_after_three_rounds() -> None:
    assert isinstance(after(WRONG, WRONG, links=1), Get)
    assert after(*[WRONG] * 3, links=1, refreshed=True) == Abort(FailureKind.WRONG, "")
    assert after(*[WRONG, REFUSED] * 3, refreshed=True) == Abort(FailureKind.WRONG, "")
    assert isinstance(after(*[WRONG, BUSY] * 3), Get)


def test_dead_links_are_asked_for_anew_once_and_after_two_rounds() -> None:
    assert isinstance(after(GONE, CUT), Get)
    transfer, step = walk(GONE, CUT, CUT, CUT)
    assert step == Refresh(Get(0, 2.0))
    for _ in range(20):
        transfer, step = next_step(transfer, GONE, 1.0, POLICY)
        assert isinstance(step, Get)


@pytest.mark.parametrize(
    ("first", "now"), [(GONE, 100.0), (BUSY, 100.0), (CUT, 100.0), (REFUSED, 1.0), (ADDRESS, 1.0)]
)
def test_d19_links_are_asked_for_anew_before_any_file_is_given_up(
    first: AttemptFailure, now: float
) -> None:
    transfer, step = walk(first, first, now=now)
    assert step == Refresh(Abort(first.kind, ""))
    transfer, step = next_step(transfer, first, now, POLICY)
    assert step == Get(1, 0.0)
    assert next_step(transfer, first, now, POLICY)[1] == Abort(first.kind, "")


def test_t40_links_to_addresses_that_may_not_be_used_are_not_tried_again() -> None:
    assert after(ADDRESS, REFUSED, refreshed=True) == Abort(FailureKind.ADDRESS, "")
    assert after(REFUSED, ADDRESS, refreshed=True) == Abort(FailureKind.ADDRESS, "")
    assert isinstance(after(ADDRESS, CUT), Get)


SLOW_POLICY = DownloadPolicy(timeout=30.0, min_rate=1024.0)


@pytest.mark.parametrize(
    ("received", "left", "elapsed", "words"),
    [
        (0, 10**9, 59.9, None),
        (1100 * 60, 5 * 10**8, 60.0, "it would take over 7200 s"),
        (1100 * 60, 5 * 10**6, 60.0, None),
        (1100 * 60, 0, 60.0, None),
        (0, 1, 60.0, "it would take over 7200 s"),
        (10**9, 10**9, 7199.0, None),
        (10**9, 1, 7200.0, "not complete after 7200 s"),
        (10**9, None, 7200.0, "not complete after 7200 s"),
        (0, None, 299.0, None),
        (1100 * 300, None, 300.0, "no size announced, and under 4096 bytes/s"),
        (4096 * 300, None, 300.0, None),
    ],
)
def test_d49_no_link_holds_a_slot_for_ever(
    received: int, left: int | None, elapsed: float, words: str | None
) -> None:
    reason = too_slow(received, left, elapsed, SLOW_POLICY)
    assert (reason is None) == (words is None)
    assert (words or "") in (reason or "")


def test_links_that_are_not_dead_are_not_asked_for_anew() -> None:
    assert isinstance(after(*[BUSY, CUT] * 5), Get)


MOST_TELLING_FIRST = [
    FailureKind.ADDRESS,
    FailureKind.CUT,
    FailureKind.WRONG,
    FailureKind.SLOW,
    FailureKind.BUSY,
    FailureKind.NETWORK,
    FailureKind.GONE,
    FailureKind.REFUSED,
]


def test_the_trouble_that_says_most_is_named_when_all_is_given_up() -> None:
    assert set(MOST_TELLING_FIRST) == set(FailureKind)
    for at, kind in enumerate(MOST_TELLING_FIRST[:-1]):
        seen = [AttemptFailure(other, other.value) for other in reversed(MOST_TELLING_FIRST[at:])]
        step = after(*seen, links=len(seen), now=100.0, refreshed=True)
        assert step == Abort(kind, kind.value)


def test_of_equal_troubles_the_last_is_named() -> None:
    first, last = evolve(CUT, detail="first"), evolve(CUT, detail="last")
    assert after(first, last, now=100.0, refreshed=True) == Abort(FailureKind.CUT, "last")


def test_only_the_last_setbacks_are_kept() -> None:
    transfer, _ = walk(*[CUT] * 500)
    assert len(transfer.failures) == 16


@given(
    failures=st.lists(
        st.builds(
            AttemptFailure,
            st.sampled_from(FailureKind),
            st.text(max_size=3),
            st.booleans(),
            st.none() | st.floats(0, allow_nan=False),
        ),
        max_size=60,
    ),
    links=st.integers(1, 4),
)
def test_any_run_of_setbacks_gives_a_link_that_exists_and_a_wait_that_ends(
    failures: list[AttemptFailure], links: int
) -> None:
    transfer, now = Transfer(links=links, last_progress=0.0), 0.0
    for failure in failures:
        transfer, step = next_step(transfer, failure, now, POLICY)
        if isinstance(step, Get):
            assert 0 <= step.link < links
            assert 0 <= step.delay <= POLICY.patience
            now += step.delay
        assert now <= transfer.last_progress + POLICY.patience


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, None),
        (206, None),
        *[(status, FailureKind.BUSY) for status in (202, 204, 205, 408, 409, 421, 423, 425, 429)],
        *[(status, FailureKind.BUSY) for status in (500, 502, 503, 520, 599)],
        *[(status, FailureKind.GONE) for status in (401, 403, 404, 410, 451)],
        *[(status, FailureKind.WRONG) for status in (201, 300, 304, 400, 416, 418)],
    ],
)
def test_a_status_is_a_body_or_a_trouble(status: int, kind: FailureKind | None) -> None:
    """A file that is not there yet, or locked just now, is waited for like a busy host."""
    assert judge_status(status) is kind


SHORT, EXACT, LONG = Completeness.SHORT, Completeness.EXACT, Completeness.LONG
STREAMING, UNKNOWN = Completeness.STREAMING, Completeness.UNKNOWN
ANNOUNCED, MARKED, CLOSED = Ending.ANNOUNCED, Ending.MARKED, Ending.CLOSED


@pytest.mark.parametrize(
    ("completeness", "ending", "confirmed", "expected"),
    [
        (EXACT, ANNOUNCED, False, Integrity.EXACT),
        (EXACT, MARKED, False, Integrity.RIFF),
        (EXACT, CLOSED, False, Integrity.RIFF),
        (STREAMING, ANNOUNCED, False, Integrity.LENGTH),
        (STREAMING, MARKED, False, FailureKind.CUT),
        (STREAMING, MARKED, True, Integrity.REPEATED),
        (STREAMING, CLOSED, True, FailureKind.CUT),
        (LONG, ANNOUNCED, False, Integrity.LENGTH),
        (LONG, MARKED, False, FailureKind.CUT),
        (LONG, MARKED, True, Integrity.REPEATED),
        (LONG, CLOSED, True, FailureKind.CUT),
        (UNKNOWN, ANNOUNCED, False, Integrity.LENGTH),
        (UNKNOWN, MARKED, False, FailureKind.CUT),
        (UNKNOWN, MARKED, True, Integrity.REPEATED),
        (UNKNOWN, CLOSED, False, FailureKind.CUT),
        (UNKNOWN, CLOSED, True, Integrity.REPEATED),
        (SHORT, ANNOUNCED, False, FailureKind.CUT),
        (SHORT, ANNOUNCED, True, Integrity.SOURCE_SHORT),
        (SHORT, MARKED, False, FailureKind.CUT),
        (SHORT, MARKED, True, FailureKind.CUT),
        (SHORT, CLOSED, True, FailureKind.CUT),
    ],
)
def test_a_file_is_published_only_if_something_vouches_for_it(
    completeness: Completeness, ending: Ending, confirmed: bool, expected: Integrity | FailureKind
) -> None:
    """D05 to D11, D51: and a mended file by the same rule, under its own name."""
    sound = sound_that_is(completeness)
    for mended in (sound, evolve(sound, mended=(b"RIFF", range(9)))):
        found = integrity_of(mended, ending, confirmed=confirmed)
        wanted = expected
        published = isinstance(expected, Integrity) and expected is not Integrity.SOURCE_SHORT
        if mended.mended and published:
            wanted = Integrity.MENDED
        assert (found.kind if isinstance(found, AttemptFailure) else found) is wanted


def sound_that_is(completeness: Completeness, form: AudioFormat = AudioFormat.WAV) -> Sound:
    return Sound(
        form,
        seconds=1.0,
        sample_rate=8000,
        channels=1,
        completeness=completeness,
        declared_size=1,
    )


@pytest.mark.parametrize("form", [AudioFormat.MP3, AudioFormat.FLAC])
def test_frames_vouch_for_a_file_without_a_length(form: AudioFormat) -> None:
    sound = sound_that_is(EXACT, form)
    assert integrity_of(sound, CLOSED) is Integrity.STRUCTURE
    assert integrity_of(sound, ANNOUNCED) is Integrity.EXACT


@pytest.mark.parametrize("completeness", Completeness)
@pytest.mark.parametrize("ending", Ending)
def test_a_second_transfer_is_compared_only_where_it_proves_something(
    completeness: Completeness, ending: Ending
) -> None:
    proves = can_be_repeated(sound_that_is(completeness), ending)
    assert proves == (ending is not CLOSED or completeness is UNKNOWN)


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": -1.0},
        {"patience": math.nan},
        {"first_wait": 0.0},
        {"timeout": 0},
        {"min_rate": -0.1},
        {"max_bytes": 0},
        {"timeout": None},
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_kept_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        DownloadPolicy(**settings)  # type: ignore[arg-type]
