"""P rows, G11 and G18: how often jobs are asked about, and how long not at all."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import anyio
from attrs import evolve

from modelslab_async import ModelsLab
from modelslab_async._policy.poll import PollPolicy
from modelslab_async.sandbox import Fault, Sandbox

from .asking import asked, plainly
from .expecting import (
    Check,
    done_in_the_storm,
    each_ends,
    gaps,
    never,
    paid,
    polls,
    polls_by_job,
    submits,
    times_of,
    wants,
)
from .hints import BOTH, DATES, FIELDS, NONE, NUMBERS, PAST, SKEWED, WORDS, Hint
from .loop import START
from .network import Mishap, Network
from .world import CALM, KEY, Outcome, Script

_POLICY = PollPolicy()


# --- P06: asked too often


def _left_alone(hint: Hint) -> Check:
    """After the first answer no job of the client was asked about for so long."""

    def check(outcome: Outcome) -> Iterable[str]:
        first, *others = [one.time for one in polls(outcome)]
        later = [at for at in others if at > first + 0.2]  # those on their way are not called back
        yield from gaps([first, later[0]], hint.least(first), what=f"{hint}: asked")

    return check


def _too_many(name: str, hint: Hint, status: int = 429) -> Script:
    scenario = evolve(CALM, faults=(hint.fault("fetch", status=status),))
    return asked(name, scenario, plainly, done_in_the_storm, _left_alone(hint))


def _obeyed(hints: tuple[Hint, ...]) -> Check:
    """The n-th question was turned away with the n-th hint; without one, 15 s are waited."""

    def check(outcome: Outcome) -> Iterable[str]:
        times = [one.time for one in polls(outcome)]
        for hint, (refused, again) in zip(hints, pairwise(times), strict=False):
            told = hint.seconds is not None or hint.until is not None
            least = hint.least(refused) if told else _POLICY.max_interval
            # Dates have whole seconds, so that what is left until one is up to a second longer.
            yield from gaps([refused, again], least, 1.1 * (least + 1.0) + 1.0, f"{hint}: asked")

    return check


_SOON = (
    *DATES[:4],
    *PAST,
    *NUMBERS[:5],
    *NONE[:6],
    *FIELDS[:6],
    *FIELDS[7:12],
    *WORDS,
    *BOTH,
)

_RATE = (
    *(
        _too_many(f"P06-{name}", hint)
        for name, hint in {
            "header": Hint(header="40", seconds=40),
            "date": DATES[0],
            "rfc850": DATES[1],
            "asctime": DATES[2],
            "past": PAST[1],
            "skewed": SKEWED[0],
            "zero": NUMBERS[0],
            "field": Hint(fields={"retry_after": 40}, seconds=40),
            "text": Hint(fields={"retry_after": "40"}, seconds=40),
            "words": Hint(fields={"tips": "please wait for 40 seconds"}, seconds=40),
            "header_more": Hint(header="40", fields={"retry_after": 5}, seconds=40),
            "field_more": Hint(header="5", fields={"retry_after": 40}, seconds=40),
            "none": Hint(seconds=15),
        }.items()
    ),
    _too_many("P06-200", Hint(fields={"retry_after": 40}, seconds=40), status=200),
    asked(
        "G11-polls",
        evolve(CALM, faults=tuple(hint.fault("fetch") for hint in _SOON)),
        plainly,
        _obeyed(_SOON),
        jobs=1,
        storm=1200,
    ),
)


# --- P19-P23, G18: how often


def _one_at_a_time(seconds: float) -> Check:
    def check(outcome: Outcome) -> Iterable[str]:
        for times in polls_by_job(outcome).values():
            yield from gaps(times, seconds)

    return check


def _peak(outcome: Outcome) -> int:
    """The most questions that arrived within one second."""
    times = sorted(one.time for one in polls(outcome))
    return max(sum(at <= other < at + 1.0 for other in times) for at in times)


_MANY = 300


async def _ask_at_once(box: Sandbox, _: Network) -> None:
    """Another client takes up many jobs in the same instant."""
    async with ModelsLab(KEY, base_url=box.url) as client, anyio.create_task_group() as group:
        for number in range(_MANY):
            group.start_soon(client.job(number + 1).refresh)


def _evenly(outcome: Outcome) -> Iterable[str]:
    if len(polls(outcome)) < _MANY:
        yield f"{len(polls(outcome))} questions, not {_MANY}"
    if _peak(outcome) > 1.1 * _POLICY.rate + outcome.script.jobs:
        yield f"{_peak(outcome)} questions within a second"


def _one_winner(outcome: Outcome) -> Iterable[str]:
    """Each job became ready once, and its file was asked for once."""
    gets = outcome.book.count("storage") + outcome.book.count("mirror")
    if gets != outcome.script.jobs:
        yield f"{gets} GETs of {outcome.script.jobs} files"
    told = {one.job_id: one.time for one in outcome.book.webhooks}
    if not all(
        any(at < told.get(int(name), 0.0) < at + 20.0 for at in times)
        for name, times in polls_by_job(outcome).items()
    ):
        yield "a delivery did not come while its job was asked about"


def _few(outcome: Outcome) -> Iterable[str]:
    """P23: never two at once, and ever fewer."""
    jobs = outcome.book.jobs
    for name, times in polls_by_job(outcome).items():
        age = times[-1] - jobs[int(name)].submitted_at
        if len(times) > 15 + age:
            yield f"{len(times)} questions about a job of {age:.0f} s"
        yield from gaps(times, 0.9 * _POLICY.min_interval)


# G18: for an hour nobody answers, in the midst of a run of 100 jobs.
_OUTAGE_BEGINS, _OUTAGE_SECONDS = 20.0, 3600.0


async def _go_down(_: Sandbox, network: Network) -> None:
    await anyio.sleep(_OUTAGE_BEGINS)
    network.arm([Mishap(on="api", kind="refused", times=None)])
    network.cut("api")
    await anyio.sleep(_OUTAGE_SECONDS)
    network.arm(())


def _economical(outcome: Outcome) -> Iterable[str]:
    """Tries in vain are no more than the quota, which is a question each longest interval."""
    tries, under_way = outcome.touched["refused"], outcome.script.slots
    quota = under_way * (outcome.lives + _OUTAGE_SECONDS / _POLICY.max_interval)
    if not quota / 2 < tries <= 1.1 * quota:
        yield f"{tries} connections were refused; the quota is {quota:.0f}"
    if len(submits(outcome)) != outcome.script.jobs:
        yield f"{len(submits(outcome))} submits of {outcome.script.jobs} jobs"


def _soon_over(outcome: Outcome) -> Iterable[str]:
    """What was paid for is known two intervals after the end, and nobody stormed in."""
    back = START + _OUTAGE_BEGINS + _OUTAGE_SECONDS
    recovered = times_of(outcome, "SR")[: outcome.script.slots]
    if not back < recovered[0] < recovered[-1] < back + 2 * 1.1 * _POLICY.max_interval:
        yield f"known from {recovered[0] - back:.1f} to {recovered[-1] - back:.1f} s after the end"
    if _peak(outcome) > _POLICY.rate:
        yield f"{_peak(outcome)} questions within a second"


def _outage(name: str, slots: int) -> Script:
    return Script(
        id=name,
        jobs=100,
        slots=slots,
        max_jobs=slots,
        scenario=evolve(CALM, generation_seconds=120.0),
        storm=_OUTAGE_SECONDS + 1800.0,
        visitor=_go_down,
        expects=wants(paid(100), each_ends("D"), never("A", "F", "X"), _economical, _soon_over),
    )


_ETAS: dict[str, dict[str, Any]] = {
    "no_eta": {"eta": "absent"},
    "early": {"eta_factor": 0.1},
    "late": {"eta_factor": 3.0},
}
_PACE = (
    asked(
        "P19",
        evolve(
            CALM,
            generation_seconds=(60.0, 70.0),
            eta="absent",
            faults=(Fault(on="fetch", kind="delay", seconds=20.0, times=None),),
        ),
        plainly,
        done_in_the_storm,
        _one_at_a_time(20.0),
    ),
    Script(id="P20", visitor=_ask_at_once, expects=wants(plainly, _evenly)),
    asked(
        "P21",
        evolve(
            CALM,
            generation_seconds=20.0,
            webhook_delay_seconds=10.0,
            webhook_duplicates=2,
            faults=(Fault(on="fetch", kind="delay", seconds=20.0, times=None),),
        ),
        plainly,
        done_in_the_storm,
        _one_winner,
        webhook=True,
    ),
    _outage("G18", 100),  # all of them paid for when it begins
    _outage("G18-plan", 15),  # as many as the largest plan has slots
    *(
        asked(
            f"P23-{name}",
            evolve(CALM, generation_seconds=(30.0, 90.0), **habits),
            plainly,
            done_in_the_storm,
            _few,
        )
        for name, habits in _ETAS.items()
    ),
)

SCRIPTS: tuple[Script, ...] = (*_RATE, *_PACE)
