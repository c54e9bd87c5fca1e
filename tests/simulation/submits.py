"""S rows: what befalls submits. The ways of rows are spelt as in `expecting`.

What virtual time does not show: S04 (TLS) is in
``test_not_sent.test_s04_a_stalled_handshake_is_not_sent`` and
``test_s04_a_bad_certificate_is_an_error_at_once``; that a real descriptor is missing (S06), in
``test_s06_without_a_free_descriptor_nothing_is_sent_and_it_is_tried_again``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable
from itertools import pairwise
from typing import Any

import anyio
from attrs import evolve

from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from . import refusals
from .expecting import (
    PLAIN,
    Check,
    done_in_the_storm,
    each_ends,
    each_of,
    elsewhere,
    known_in_time,
    never,
    nothing_paid_in_the_storm,
    one_went,
    paid,
    polls,
    some,
    struck,
    submits,
    times_of,
    wants,
    went,
)
from .network import Mishap, Network
from .striking import FOUND, UNKNOWN, cut_off, lost, spoilt
from .world import CALM, Outcome, Script

# --- S01-S06: nothing was sent


def _sent_in_the_end(*checks: Check) -> Check:
    """Proof that nothing was sent, tries again, and one debit for each row."""

    def check(outcome: Outcome) -> Iterable[str]:
        for one in (never("A", "X"), some("IPI"), each_ends("D"), paid(outcome.script.jobs)):
            yield from one(outcome)
        yield from each_of(_backs_off, *checks)(outcome)

    return check


def _backs_off(outcome: Outcome) -> Iterable[str]:
    """A row that was not sent waits for a second at least, but for another life's first try."""
    for row in outcome.rows:
        steps = [step for step in outcome.steps if step.row == row.seq]
        soon = [
            again.at - back.at
            for back, again in pairwise(steps)
            if back.new is RowState.PLANNED and again.at - back.at < 0.9
        ]
        if len(soon) >= outcome.lives:
            yield f"row {row.seq} was tried again after {soon[0]:.2f} s"
        if row.attempt > 5 * outcome.lives:
            yield f"row {row.seq} was tried {row.attempt} times in {outcome.lives} lives"


def _not_sent(name: str, kind: Any, *checks: Check, times: int | None = 2, **more: Any) -> Script:
    mishap = Mishap(on="api", kind=kind, times=times, seconds=40.0)
    return cut_off(name, mishap, check=_sent_in_the_end(*checks), **more)


_NOT_SENT = (
    _not_sent("S01", "dns", done_in_the_storm, host="localhost"),
    _not_sent("S01-busy", "dns_busy", done_in_the_storm, host="localhost"),
    _not_sent("S01-silent", "dns_silent", done_in_the_storm, host="localhost", storm=300),
    _not_sent("S01-ever", "dns", nothing_paid_in_the_storm, times=None, host="localhost"),
    _not_sent("S02", "refused", done_in_the_storm),
    _not_sent("S02-ever", "refused", nothing_paid_in_the_storm, times=None),
    _not_sent("S03", "nowhere", done_in_the_storm, storm=300),
    # The only connection is held until its time is over. A submit that waits for it has sent
    # nothing, and is planned again; at some seeds each gets its turn, and none has to.
    cut_off(
        "S05",
        Mishap(on="submit", kind="silence"),
        check=each_of(some("IA"), each_ends("D"), paid(3)),
        pool=1,
        storm=900,
    ),
    _not_sent("S06", "no_files", done_in_the_storm, times=4),
)


# --- S07-S21, S28, S40, S41, S44: something was sent, and what comes back proves nothing, or a job

_NO_PROOF: dict[str, tuple[int, str]] = {
    "S40-internal": (200, '{"status": "error", "message": "Internal server error. Try again."}'),
    "S40-timeout": (408, '{"status": "error", "message": "Request Timeout"}'),
    "S40-deadlock": (400, '{"status": "error", "message": "Deadlock found"}'),
    "S40-curl": (422, '{"status": "failed", "message": "cURL error 28: timed out"}'),
    "S40-conflict": (409, '{"status": "error", "message": "prompt is required"}'),
    "S40-memory": (429, '{"status": "error", "message": "CUDA out of memory"}'),
    "S27-created": (201, '{"status": "error", "message": "Queue is full"}'),
    "S44-other-name": (
        429,
        '{"status": "error", "message": "Rate limit exceeded", "job_id": 7}',
    ),
    "S44-envelope": (
        400,
        '{"status": "error", "message": "prompt is required", "data": {"id": 7}}',
    ),
    "S44-links": (
        200,
        '{"status": "error", "message": "Queue is full", "future_links": ["https://x/y.wav"]}',
    ),
    "S40-words": (200, '{"status": "error", "tips": "something nobody has seen"}'),
    "S41-gate": (403, "<html><title>Attention Required!</title></html>"),
    "S41-gateway": (401, '{"message": "Unauthorized"}'),
    "S41-limiter": (429, "<html><h1>429 Too Many Requests</h1></html>"),
    "S41-portal": (200, "<html><form>Log in to the network</form></html>"),
    "S41-song": (200, "the queue is full of cats"),
}
_NAMING: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "403": {"status": 403},
    "error": {"fields": {"status": "error", "message": "no"}},
    "busy": {"status": 429, "fields": {"status": "error", "message": "Rate limit exceeded"}},
}

_RESETS = (
    cut_off("S07", Mishap(on="submit", kind="dropped"), check=one_went(UNKNOWN)),
    cut_off("S08", Mishap(on="submit", kind="rst", up=True, at=300), check=one_went(UNKNOWN)),
    cut_off("S08-fin", Mishap(on="submit", kind="fin", up=True, at=300), check=one_went(UNKNOWN)),
    lost("S08-read", "reset_in_request", accepted=False),
    lost("S09", "reset", accepted=False),
    lost("S10", "reset"),
    spoilt(
        "S10-webhook",
        Fault(on="submit", kind="reset"),
        check=one_went(FOUND),
        scenario=evolve(CALM, fetch_meta=False),
        after=evolve(CALM, fetch_meta=False),
        webhook=True,
        storm=300,
    ),
    cut_off("S10-network", Mishap(on="submit", kind="rst", at=1), check=one_went(FOUND)),
    cut_off("S11-network", Mishap(on="submit", kind="fin", at=40), check=one_went(FOUND)),
    cut_off("S12-network", Mishap(on="submit", kind="fin", at=400), check=one_went(FOUND)),
    cut_off("S12-half", Mishap(on="submit", kind="half_closed", at=400), check=one_went(FOUND)),
    cut_off(
        "S15-network", Mishap(on="submit", kind="silence", at=1), check=one_went(FOUND), storm=300
    ),
    cut_off(
        "S16-network",
        Mishap(on="submit", kind="silence", up=True, at=1),
        check=one_went(UNKNOWN),
        storm=300,
    ),
    lost("S11", "cut_headers"),
    lost("S12", "cut_body"),
    lost("S12-late", "cut_body", at=-1),
    lost("S12-reset", "reset_body"),
    lost("S12-long", "long_length"),
    lost("S12-short", "short_length"),
    lost("S13", "chunked_cut"),
    lost("S13-early", "chunked_early_end"),
    lost("S14", "close_delimited_cut"),
    lost("S14-http10", "http10_cut"),
    lost("S15", "silent", storm=300),
    lost("S15-stall", "stall_body", storm=300),
    lost("S16", "silent", accepted=False, storm=300),
    *(
        lost(
            f"S17-{status}",
            "edge",
            status=status,
            mishaps=(Mishap(on="submit", kind="late", seconds=50, times=None),),
            storm=300,
        )
        for status in (504, 524)
    ),
    *(
        lost(f"S18-{status}-{kind}-{end}", kind, status=status, accepted=end == "accepted")
        for status in (500, 502, 503)
        for kind in ("json", "html", "empty")
        for end in ("accepted", "not")
    ),
    *(lost(f"S18-{status}-runtime", "runtime", status=status) for status in (500, 503, 408)),
    *(lost(f"S18-{status}-edge", "edge", status=status) for status in (520, 522)),
    *(lost(f"S18-{status}", "html", status=status) for status in (409, 425, 499)),
    *(
        spoilt(f"S44-{name}", Fault(on="submit", kind="patch", **more), check=one_went(PLAIN))
        for name, more in _NAMING.items()
    ),
    *(
        lost(f"{name}-{end}", "answer", status=status, body=body, accepted=end == "accepted")
        for name, (status, body) in _NO_PROOF.items()
        for end in ("accepted", "not")
    ),
    lost("S19", "garbage"),
    lost("S21", "bad_chunk", storm=300),  # aiohttp's parser in C may wait on: our time ends it
    lost("S21-both", "length_and_chunked"),
    lost("S21-two", "two_lengths"),
    lost("S21-negative", "negative_length"),
    *(lost(f"S28-{kind}", kind) for kind in ("html", "empty", "gzip_cut", "base64")),
)

_TICKET = '{"status": "processing", "id": 43730, "eta": 3}'
_BODIES = {
    "text": ("please come back later", "utf-8"),
    "array": (f"[{_TICKET}, {_TICKET}]", "utf-8"),
    "deep": ("[" * 100_000, "utf-8"),
    "two_ids": ('{"status": "processing", "id": 1, "id": 2}', "utf-8"),
    "long_integer": ('{"status": "processing", "id": ' + "9" * 5000 + "}", "utf-8"),
    "not_a_number": ('{"status": "processing", "id": NaN}', "utf-8"),
}


def _mark(encoding: str) -> Callable[[Sandbox, Network], Coroutine[Any, Any, None]]:
    """The second ticket comes behind a byte order mark."""

    async def mark(box: Sandbox, _: Network) -> None:
        while not box.book.jobs:
            await anyio.sleep(0.1)
        ticket = {"status": "processing", "id": max(box.book.jobs) + 1, "eta": 2}
        marked = Fault(on="submit", kind="answer", body=json.dumps(ticket), encoding=encoding)
        box.scenario = evolve(CALM, faults=(marked,))

    return mark


_UNREADABLE = (
    *(
        lost(f"S28-{name}", "answer", body=body, encoding=encoding)
        for name, (body, encoding) in _BODIES.items()
    ),
    *(
        Script(
            id=name,
            jobs=2,
            max_jobs=1,
            visitor=_mark(encoding),
            expects=wants(went(**{PLAIN: 2}), done_in_the_storm),
        )
        for name, encoding in (("S28-bom", "utf-8-sig"), ("S28-utf-16", "utf-16"))
    ),
)

# What a gateway or a program adds to a ticket takes nothing from it: it is read.
_PHP = "<br />\n<b>Warning</b>:  fopen(): failed in <b>/app/x.php</b> on line <b>7</b><br />\n"
_ADDED: dict[str, dict[str, Any]] = {
    "S20": {"kind": "long_header"},
    "S20-many": {"kind": "many_headers"},
    "S28-gzip": {"kind": "gzip"},
    "S46-null": {"kind": "patch", "fields": {"id": None}},
    "S46-float": {"kind": "patch", "fields": {"id": 1.5}},
    "S46-missing": {"kind": "patch", "without": ("id",)},
    "S47-php": {"kind": "noise", "body": _PHP},
    "S47-guard": {"kind": "noise", "body": ")]}',\n"},
}
_READABLE = tuple(
    spoilt(name, Fault(on="submit", times=None, **fault), jobs=3, check=went(**{PLAIN: 3}))
    for name, fault in _ADDED.items()
)


# --- S30-S37


def _connections_of_their_own(outcome: Outcome) -> Iterable[str]:
    asked = {one.connection for one in polls(outcome)}
    paying = [one.connection for one in submits(outcome)]
    if len(set(paying)) != len(paying) or asked & set(paying):
        yield "a submit left on a connection that had been used"


def _done_before(outcome: Outcome) -> Iterable[str]:
    """The first row was done when the last one was given its id."""
    if not times_of(outcome, "RD")[0] < times_of(outcome, "IA")[-1]:
        yield "nothing was done when the last submit was answered"


async def _own_ids_again(box: Sandbox, _: Network) -> None:
    """Only tickets name the first job: whoever asks later is told the truth."""
    while True:
        await anyio.sleep(0.3)
        for job in box.book.jobs.values():
            job.shown_id = job.id


def _few_unknown(outcome: Outcome) -> Iterable[str]:
    """In an outage rows try one by one: three and those on their way, and ten in each life."""
    lost = sum(row.state is RowState.AMBIGUOUS for row in outcome.rows)
    if not lost <= 20 * outcome.lives:
        yield f"{lost} rows are unknown after {outcome.lives} lives"


def _no_polls(outcome: Outcome) -> Iterable[str]:
    if polls(outcome):
        yield "a finished job was asked about"


def _all(way: str, jobs: int = 3) -> Check:
    return went(**{way: jobs})


def _same(late: int) -> Scenario:
    """Every ticket names the first job; the one after so many comes behind the others' answers."""
    delay = Fault(on="submit", kind="delay", seconds=3.0, skip=late)
    return evolve(CALM, id="same", generation_seconds=6.0, faults=(delay,))


_HANGING_UP = evolve(
    CALM, faults=tuple(Fault(on=on, kind="hang_up", times=None) for on in ("submit", "fetch"))
)
_LOCATIONS = {
    "back": "{api}{path}",
    "storage": "{storage}{path}",
    "user": "//u:p@127.0.0.1/",
    "file": "file:///x",
    "nowhere": None,
}


def _script(name: str, scenario: Scenario, *checks: Check, **more: Any) -> Script:
    return Script(id=name, scenario=scenario, expects=wants(struck, *checks), **more)


def _slow(name: str, *checks: Check, scenario: Scenario = CALM, **more: Any) -> Script:
    return _script(name, scenario, some("IA"), known_in_time, *checks, storm=900, jobs=2, **more)


_REST = (
    spoilt(
        "S30", Fault(on="submit", kind="reset", times=None), jobs=3, check=_all(FOUND), storm=90
    ),
    spoilt(
        "S30-garbage", Fault(on="submit", kind="garbage", times=None), jobs=3, check=_all(FOUND)
    ),
    _script(
        "S30-outage",
        evolve(CALM, faults=(Fault(on="submit", kind="edge", times=None, accepted=False),)),
        each_ends("A", "D"),
        some("D"),
        _few_unknown,
        jobs=80,
        storm=120,
    ),
    cut_off("S30-network", Mishap(on="submit", kind="dropped", times=None), check=_all(UNKNOWN)),
    *(
        _script(name, habits, _all(PLAIN), _connections_of_their_own, done_in_the_storm, max_jobs=1)
        for name, habits in {"S31": _HANGING_UP, "S31-kept": CALM}.items()
    ),
    spoilt(
        "S32",
        Fault(on="submit", kind="informational", at=100, times=None),
        jobs=3,
        check=_all(PLAIN),
    ),
    *(
        spoilt(
            f"S33-{status}",
            Fault(on="submit", kind="redirect", status=status, location="{foreign}{path}"),
            check=each_of(one_went(FOUND), elsewhere),
        )
        for status in (301, 302, 303, 307, 308)
    ),
    *(
        spoilt(
            f"S33-{name}",
            Fault(on="submit", kind="redirect", location=location),
            check=each_of(one_went(FOUND), elsewhere),
        )
        for name, location in _LOCATIONS.items()
    ),
    _script("S34", evolve(CALM, mode="sync"), _all("IRD"), _no_polls),
    _script(
        "S34-nameless",
        evolve(
            CALM,
            mode="sync",
            faults=(Fault(on="submit", kind="patch", without=("id",), times=None),),
        ),
        _all("IRD"),
        _no_polls,
    ),
    _script("S35", _same(1), one_went(FOUND), jobs=2, visitor=_own_ids_again),
    _script(
        "S36",
        _same(2),
        went(**{PLAIN: 1, FOUND: 2}),
        _done_before,
        max_jobs=1,
        visitor=_own_ids_again,
    ),
    _slow(
        "S37",
        paid(1),
        scenario=evolve(CALM, faults=(Fault(on="submit", kind="slow_request", at=1, seconds=2.0),)),
    ),
    _slow("S37-network", mishaps=(Mishap(on="submit", kind="slow", up=True, rate=1.0),)),
)


SCRIPTS: tuple[Script, ...] = (
    *_NOT_SENT, *_RESETS, *_UNREADABLE, *_READABLE, *_REST, *refusals.SCRIPTS,
)  # fmt: skip
