"""What scripts want of an outcome beyond the oracles, in words that many of them share.

A row's way is the states that it reached, a letter each, from PLANNED on: ``ISRD`` is a row that
nothing happened to, ``IASRD`` one whose answer was lost and whose job was found.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from modelslab_async.batch._states import RowState
from modelslab_async.sandbox._account import RequestRecord

from .families import FETCHES, SUBMITS
from .loop import START
from .world import EPOCH, Outcome

Check = Callable[[Outcome], Iterable[str]]

LETTERS: Mapping[RowState, str] = {
    RowState.PLANNED: "P",
    RowState.SUBMITTING: "I",
    RowState.SUBMITTED: "S",
    RowState.READY: "R",
    RowState.DONE: "D",
    RowState.REJECTED: "X",
    RowState.AMBIGUOUS: "A",
    RowState.FAILED: "F",
    RowState.DETACHED: "T",
    RowState.OUTPUT_LOST: "L",
    RowState.ABANDONED: "G",
    RowState.SKIPPED: "K",
}
PLAIN = "ISRD"
_SUBMIT_SECONDS = 190.0  # as long as the client waits for an answer, and a little


# --- what is asked of an outcome


def submits(outcome: Outcome) -> list[RequestRecord]:
    """Submits as the server saw them, in order."""
    return [one for one in outcome.book.requests if one.path in SUBMITS]


def polls(outcome: Outcome) -> list[RequestRecord]:
    """Questions about jobs as the server saw them, in order."""
    return [one for one in outcome.book.requests if one.path.startswith(FETCHES)]


def polls_by_job(outcome: Outcome) -> dict[str, list[float]]:
    """When each job was asked about."""
    times = defaultdict[str, list[float]](list)
    for one in polls(outcome):
        times[one.path.rpartition("/")[2]].append(one.time)
    return times


def storm_end(outcome: Outcome) -> float:
    """The time of the loop when nothing went wrong any more, at the latest."""
    return START + outcome.script.storm


def times_of(outcome: Outcome, way: str) -> list[float]:
    """When a row reached the last state of a way of two, such as ``IA``: times of the loop."""
    old, new = way[0], way[1]
    return [
        step.at - EPOCH
        for step in sorted(outcome.steps, key=lambda step: step.n)
        if LETTERS[step.old] == old and LETTERS[step.new] == new
    ]


def ways(outcome: Outcome) -> Counter[str]:
    """How many rows went which way."""
    by_row = defaultdict[int, str](str)
    for step in sorted(outcome.steps, key=lambda step: step.n):
        by_row[step.row] += LETTERS[step.new]
    return Counter(by_row[row.seq] for row in outcome.rows)


# --- checks


def wants(*checks: Check) -> Callable[[Outcome], list[str]]:
    """All of them, and that nothing was sent that the ledger did not know of before."""

    return lambda outcome: list(each_of(known_first, *checks)(outcome))


def known_first(outcome: Outcome) -> Iterable[str]:
    """The library below us sends nothing again by itself."""
    begun = sum(row.attempt for row in outcome.rows)
    if len(submits(outcome)) > begun and not outcome.script.doubles:
        yield f"{len(submits(outcome))} submits arrived, and {begun} were begun"


def each_of(*checks: Check) -> Check:
    """All of them, as one."""
    return lambda outcome: [text for check in checks for text in check(outcome)]


def struck(outcome: Outcome) -> Iterable[str]:
    """What goes wrong with connections did so."""
    for mishap in outcome.script.mishaps:
        if not outcome.touched.get(mishap.kind):
            yield f"{mishap.kind} never struck"


def went(**expected: int) -> Check:
    """So many rows went these ways, and no row another."""

    def check(outcome: Outcome) -> Iterable[str]:
        if ways(outcome) != Counter(expected):
            yield f"rows went {dict(ways(outcome))}, not {expected}"

    return check


def one_went(way: str) -> Check:
    """The first row that was struck went this way, all others plainly."""

    def check(outcome: Outcome) -> Iterable[str]:
        expected = Counter([way] + [PLAIN] * (outcome.script.jobs - 1))
        yield from went(**expected)(outcome)

    return check


def never(*passages: str) -> Check:
    """No row's way holds any of these."""

    def check(outcome: Outcome) -> Iterable[str]:
        for way in ways(outcome):
            for passage in passages:
                if passage in way:
                    yield f"a row went {way}, and {passage} should not be"

    return check


def some(passage: str) -> Check:
    """At least one row's way holds this."""

    def check(outcome: Outcome) -> Iterable[str]:
        if not any(passage in way for way in ways(outcome)):
            yield f"no row went {passage}: {dict(ways(outcome))}"

    return check


def each_ends(*letters: str) -> Check:
    """Every row is in one of these states."""

    def check(outcome: Outcome) -> Iterable[str]:
        for way in ways(outcome):
            if way[-1:] not in letters:
                yield f"a row went {way}, and should end in {letters}"

    return check


def paid(times: int) -> Check:
    """The account was debited so often."""

    def check(outcome: Outcome) -> Iterable[str]:
        if len(outcome.book.debits) != times:
            yield f"{len(outcome.book.debits)} debits, not {times}"

    return check


def nothing_paid_in_the_storm(outcome: Outcome) -> Iterable[str]:
    """Whatever was paid for was paid for in the calm."""
    for job in outcome.book.jobs.values():
        if job.submitted_at < storm_end(outcome):
            yield f"job {job.id} was paid for at {job.submitted_at:.1f}, in the storm"


def known_in_time(outcome: Outcome) -> Iterable[str]:
    """Whoever waits for an answer gives up by itself; no kill had to end it."""
    for at in times_of(outcome, "IA"):
        if not START <= at <= min(START + _SUBMIT_SECONDS, storm_end(outcome)):
            yield f"a row was given up after {at - START:.0f} s"


def done_in_the_storm(outcome: Outcome) -> Iterable[str]:
    """The calm was not needed."""
    if any(at > storm_end(outcome) for at in times_of(outcome, "RD")):
        yield "a row was done in the calm only"


def elsewhere(outcome: Outcome) -> Iterable[str]:
    """Nobody else was connected to."""
    if outcome.book.count("foreign"):
        yield "another host was asked"
    for host, port in outcome.unmatched:
        yield f"{host}:{port} was connected to"


def gaps(
    times: list[float], least: float, most: float = float("inf"), what: str = "asked"
) -> Iterable[str]:
    """Between two of these times lie so many seconds."""
    for sooner, later in pairwise(times):
        if not least <= later - sooner <= most:
            yield f"{what} {later - sooner:.3f} s after the last time, not {least:g} to {most:g}"
