"""S rows about answers that can be read: waits that are asked for, refusals, odd fields.

The ways of rows are spelt as in `expecting`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from attrs import evolve

from modelslab_async.sandbox import Fault

from .expecting import (
    PLAIN,
    Check,
    done_in_the_storm,
    each_ends,
    each_of,
    gaps,
    never,
    nothing_paid_in_the_storm,
    one_went,
    paid,
    polls_by_job,
    some,
    storm_end,
    submits,
    times_of,
    wants,
    went,
)
from .hints import HINTS, NONE, Hint, written
from .striking import lost, spoilt
from .world import CALM, Outcome, Script

# --- S22-S26: turned away for now


def _obeyed(hints: tuple[Hint, ...]) -> Check:
    """The n-th submit was turned away with the n-th hint, and the next came no sooner."""

    def check(outcome: Outcome) -> Iterable[str]:
        times = [one.time for one in submits(outcome)]
        if len(times) != len(hints) + outcome.script.jobs:
            yield f"{len(times)} submits for {len(hints)} hints"
        for hint, (refused, again) in zip(hints, pairwise(times), strict=False):
            told = hint.seconds is not None or hint.until is not None
            # The `Date` that an HTTP date is reckoned against has whole seconds, and takes its way.
            most = hint.least(refused) + 1.5 if told else 31.0
            yield from gaps([refused, again], hint.least(refused), most, f"{hint}: sent")

    return check


def _told(name: str, *hints: Hint, storm: float = 4000.0) -> Script:
    faults = tuple(hint.fault("submit") for hint in hints)
    back = "IP" * len(hints)
    return Script(
        id=name,
        jobs=1,
        storm=storm,
        scenario=evolve(CALM, faults=faults),
        expects=wants(went(**{back + PLAIN: 1}), _obeyed(hints), paid(1)),
    )


def _jittered(outcome: Outcome) -> Iterable[str]:
    """Without a hint, tries come 1 s apart at least, later up to 30 s, and by dice."""
    times = [one.time for one in submits(outcome)]
    for number, (sooner, later) in enumerate(pairwise(times)):
        yield from gaps([sooner, later], 1.0, min(30.0, 2.0 ** (number + 1)) + 0.5)
    waits = {round(later - sooner, 1) for sooner, later in pairwise(times)}
    if len(waits) < 4:
        yield f"{len(times)} tries, and only these waits: {waits}"


def _parked(outcome: Outcome) -> Iterable[str]:
    """A wait beyond an hour ends each run, which a person may begin again; nobody sleeps."""
    if not 4 <= len(submits(outcome)) == outcome.lives:
        yield f"{len(submits(outcome))} submits in {outcome.lives} lives"
    yield from went(**{"IP" * (outcome.lives - 1) + PLAIN: 1})(outcome)


def _stays_full(outcome: Outcome) -> Iterable[str]:
    yield from each_of(each_ends("D"), never("A", "X"), some("IP"))(outcome)
    yield from nothing_paid_in_the_storm(outcome)
    if len(submits(outcome)) > 60:
        yield f"{len(submits(outcome))} submits at a queue that is full"


_BUSY = (
    _told("S22", Hint(header="30", seconds=30)),
    _told("S22-hour", Hint(header="3600", seconds=3600)),
    _told("G11", *HINTS, storm=20_000),
    *(
        spoilt(
            f"S23-{name}",
            Hint(header=header).fault("submit", times=None),
            jobs=1,
            check=_parked,
            storm=1000,
        )
        for name, header in {
            "far": written(86_400),
            "9999": "Fri, 31 Dec 9999 23:59:59 GMT",
            "number": "1000000000",
        }.items()
    ),
    spoilt(
        "S24-far",
        Hint(fields={"retry_after": 1e9}).fault("submit", times=None),
        jobs=1,
        check=_parked,
        storm=1000,
    ),
    Script(
        id="S25",
        jobs=1,
        scenario=evolve(CALM, faults=(NONE[0].fault("submit", times=10),)),
        storm=600,
        expects=wants(_jittered, went(**{"IP" * 10 + PLAIN: 1})),
    ),
    *(
        Script(
            id=f"S26-{form}",
            scenario=evolve(CALM, taken_slots=5, queue_full=form, retry_after=20.0),
            storm=240,
            expects=wants(_stays_full),
        )
        for form in ("json429", "text429", "text503", "text200")
    ),
    # The account takes 5 of 15, and a refusal asks to wait for longer than the whole storm.
    Script(
        id="S48-depth",
        jobs=60,
        slots=5,
        max_jobs=15,
        scenario=evolve(CALM, retry_after=900.0, generation_seconds=(2.0, 4.0)),
        storm=300,
        expects=wants(done_in_the_storm),
    ),
    Script(
        id="S48-others",
        jobs=30,
        slots=5,
        max_jobs=5,
        scenario=evolve(
            CALM,
            retry_after=900.0,
            generation_seconds=(2.0, 4.0),
            taken_slots=2,
            taken_seconds=3600,
        ),
        storm=300,
        expects=wants(done_in_the_storm),
    ),
)


# --- S27, S29, S38: it is said why

_REJECTED: dict[str, tuple[int, dict[str, Any]]] = {
    "400": (400, {"messege": "prompt is required"}),
    "object": (200, {"message": {"prompt": ["The prompt field is required."]}}),
    "422": (422, {"message": {"prompt": ["The prompt field is required."]}}),
    "413": (413, {"message": "Too large"}),
    "model": (200, {"message": "Model not found: musicgen-9"}),
}
_ACCOUNT: dict[str, tuple[int, dict[str, Any]]] = {
    "401": (401, {"message": "Invalid API key"}),
    "key": (200, {"message": "Invalid API key"}),
    "402": (402, {"message": "Insufficient credits"}),
    "credits": (200, {"messege": "Insufficient credits. Recharge your wallet"}),
    "403": (403, {"message": "Your plan does not include this"}),
}


def _refusing(status: int, words: dict[str, Any], **more: Any) -> Fault:
    body = json.dumps({"status": "error", **words})
    return Fault(on="submit", kind="answer", status=status, body=body, accepted=False, **more)


def _stopped_and_went_on(outcome: Outcome) -> Iterable[str]:
    """After the refusal only what is paid for goes on; another run submits again."""
    yield from each_of(each_ends("D"), never("A", "X", "T"))(outcome)
    refused = times_of(outcome, "IP")
    if not refused:
        yield "nothing was refused"
        return
    again = [at for at in times_of(outcome, "PI") if at > refused[0]]
    if min(again, default=0.0) - refused[-1] < 20.0:
        yield "the run submitted after it was refused"
    if not any(refused[0] < at < min(again) for at in times_of(outcome, "RD")):
        yield "what was paid for was left alone"


def _refused_as_often(outcome: Outcome) -> Iterable[str]:
    """One row is refused in the whole storm, and every other one is done meanwhile."""
    done = [at for at in times_of(outcome, "RD") if at < storm_end(outcome)]
    if len(done) != outcome.script.jobs - 1:
        yield f"{len(done)} of {outcome.script.jobs - 1} others were done beside the refused one"


_QUOTING = json.dumps({"status": "error", "message": "'{prompt}' violates the content policy"})

_SAID_NO = (
    *(
        spoilt(
            f"S42-{words}",  # of which the prompts are made
            Fault(on="submit", kind="answer", status=400, body=_QUOTING, accepted=False, prompt=""),
            check=one_went("IX"),
        )
        for words in ("gateway-timeout", "recharge-your-wallet", "spam-filter", "try-again")
    ),
    Script(
        id="S43",
        jobs=6,
        max_jobs=1,
        scenario=evolve(
            CALM,
            generation_seconds=5.0,
            faults=(
                evolve(
                    Hint(fields={"retry_after": 5}).fault("submit", times=None),
                    prompt="S43 piece 0",
                ),
            ),
        ),
        storm=600,
        expects=wants(_refused_as_often, each_ends("D"), never("A", "X"), paid(6)),
    ),
    spoilt(
        "S45-address",
        Fault(
            on="submit",
            kind="answer",
            status=404,
            body='{"message": "The route api/v6/voice/music_gen could not be found."}',
            accepted=False,
        ),
        check=one_went("IP" + PLAIN),
        storm=300,
    ),
    *(
        spoilt(f"S27-{name}", _refusing(*no), check=one_went("IX"))
        for name, no in _REJECTED.items()
    ),
    *(
        spoilt(f"S27-{name}", _refusing(*no), check=one_went("IP" + PLAIN), storm=300)
        for name, no in _ACCOUNT.items()
    ),
    _told("S27-spam", Hint(fields={"tips": "spam filter, please wait for 30 seconds"}, seconds=30)),
    lost("S27-word", "answer", body='{"status": "thinking", "message": "?"}'),
    *(
        spoilt(
            f"S38-{name}",
            _refusing(*no, skip=2),
            jobs=6,
            max_jobs=2,
            check=_stopped_and_went_on,
            storm=300,
        )
        for name, no in _ACCOUNT.items()
    ),
)

_IDS: tuple[Any, ...] = (
    None, "", True, False, 1.5, -0.0, [], [1], {}, {"id": 1}, 2**63, 0, -1, "..", "../x", "%2e%2e",
    "a b", "a\n", "a/b", "a?b", "a#b", "a;b", "\0", "\u0663", "x" * 129, "x" * 10_000,
)  # fmt: skip
_VALUES: dict[str, tuple[Any, ...]] = {
    "eta": ("soon", "", None, -5, 0, 1e99, "1e999", [], {}, "NaN", True),
    "output": ("", "x", None, 42, -1.5, [[["x"]]], {"url": 1}, {}, True),
    "status": ("", None, 7, True, "warming_up", ["processing"], {}),
    "future_links": ("https://elsewhere.example/x.wav", None, 5, [[]]),
    "fetch_result": ("https://elsewhere.example/api/v6/voice/fetch/1", 5),
    "meta": ("none", None),
    "track_id": ({}, None),
}
_FIELDS = tuple({name: value} for name, values in _VALUES.items() for value in values)

_ODD = (
    *(
        lost(f"S29-id-{number}", "patch", fields={"id": value}, without=("fetch_result",), jobs=1)
        for number, value in enumerate(_IDS)
    ),
    lost("S29-id-none", "patch", without=("id", "fetch_result")),
    *(
        spoilt(
            f"S29-{number}",
            Fault(on="submit", kind="patch", fields=fields),
            jobs=1,
            check=went(**{PLAIN: 1}),
        )
        for number, fields in enumerate(_FIELDS)
    ),
    spoilt(
        "S29-no-status",
        Fault(on="submit", kind="patch", without=("status",)),
        check=one_went(PLAIN),
    ),
)


# --- S39: the first question


def _asked_first(least: float, most: float) -> Check:
    """How long after a job was made it was asked about first."""

    def check(outcome: Outcome) -> Iterable[str]:
        asked = polls_by_job(outcome)
        for job in outcome.book.jobs.values():
            yield from gaps([job.submitted_at, asked[str(job.id)][0]], least, most)

    return check


_ETAS = (
    *(
        spoilt(
            f"S39-{name}",
            Fault(on="submit", kind="patch", fields={"eta": eta}),
            jobs=1,
            check=_asked_first(least, most),
            storm=1200,
        )
        for name, (eta, least, most) in {
            "zero": (0, 1.0, 2.0),
            "negative": (-5, 1.0, 4.0),
            "word": ("soon", 1.0, 4.0),
            "far": (10**9, 450.0, 902.0),  # the first of all are asked about early
        }.items()
    ),
)


SCRIPTS: tuple[Script, ...] = (*_BUSY, *_SAID_NO, *_ODD, *_ETAS)
