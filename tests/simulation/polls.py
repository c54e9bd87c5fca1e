"""P rows: what befalls questions about jobs. The ways of rows are spelt as in `expecting`.

What virtual time does not show: that a distinct exit code goes with P07, in
``test_cli_batch_stuck``.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from attrs import evolve

from modelslab_async._policy.poll import PollPolicy
from modelslab_async.sandbox import Fault

from . import paces
from .asking import asked, plainly
from .expecting import (
    Check,
    done_in_the_storm,
    each_ends,
    elsewhere,
    gaps,
    never,
    polls,
    polls_by_job,
    storm_end,
    times_of,
    went,
)
from .network import Mishap
from .world import CALM, KEY, Outcome, Script


def _spoilt(name: str, kind: Any, *checks: Check, times: int | None = 2, **more: Any) -> Script:
    """Some answers to questions are of no use: the job is asked about on."""
    settings = {name: more.pop(name) for name in ("storm", "jobs") if name in more}
    scenario = evolve(CALM, faults=(Fault(on="fetch", kind=kind, times=times, **more),))
    return asked(name, scenario, plainly, done_in_the_storm, _more(times), *checks, **settings)


def _more(times: int | None) -> Check:
    """The questions that brought nothing were asked again."""

    def check(outcome: Outcome) -> Iterable[str]:
        if len(polls(outcome)) < outcome.script.jobs + (times or 0):
            yield f"{len(polls(outcome))} questions, of which {times} should have been in vain"

    return check


def _cut_off(name: str, kind: Any, *, on: Any = "fetch", **more: Any) -> Script:
    mishap = Mishap(on=on, kind=kind, times=2, **more)
    return asked(name, CALM, plainly, done_in_the_storm, mishaps=(mishap,))


_NO_ANSWER = (
    _cut_off("P01", "refused", on="api", skip=3),
    _cut_off("P01-nowhere", "nowhere", on="api", skip=3),
    _cut_off("P01-files", "no_files", on="api", skip=3),
    asked(
        "P01-dns",
        evolve(CALM, generation_seconds=(12.0, 20.0)),
        plainly,
        done_in_the_storm,
        mishaps=(Mishap(on="api", kind="dns", skip=1, times=2),),
        host="localhost",
    ),
    _spoilt("P02", "reset"),
    _spoilt("P02-body", "reset_body"),
    _spoilt("P02-reading", "reset_in_request"),
    _cut_off("P02-dropped", "dropped"),
    _cut_off("P02-network", "rst", at=100),
    _spoilt("P03", "silent"),
    _spoilt("P03-stall", "stall_body"),
    _cut_off("P03-network", "silence", at=1),
    *(
        _spoilt(f"P04-{kind}", kind)
        for kind in (
            "cut_headers", "cut_body", "chunked_cut", "chunked_early_end", "close_delimited_cut",
            "http10_cut", "long_length", "short_length", "two_lengths", "bad_chunk", "garbage",
            "long_header", "gzip", "gzip_cut",
        )
    ),
    *(
        _spoilt(f"P05-{status}", "edge", status=status)
        for status in (500, 502, 503, 504, 520, 522, 524)
    ),
    *(_spoilt(f"P05-{status}-runtime", "runtime", status=status) for status in (500, 503, 408)),
    *(_spoilt(f"P05-{kind}", kind) for kind in ("html", "empty", "xml", "base64")),
    _spoilt("P05-empty-500", "empty", status=500),
    _spoilt("P05-long", "edge", times=20, status=503),
    *(
        _spoilt(f"P18-{name}", "answer", body=body)
        for name, body in {
            "deep": "[" * 100_000,
            "deep_object": '{"a":' * 50_000,
            "huge": json.dumps({"status": "success", "tip": "x" * 5 * 2**20}),
            "long_integer": '{"status": "success", "id": ' + "9" * 5000 + "}",
            "not_a_number": '{"status": NaN, "output": ""}',
            "twice": '{"status": "error", "status": "success", "output": ["x"]}',
        }.items()
    ),
    _spoilt("P18-endless", "endless", seconds=0.01, times=1, storm=600),
    *(
        _spoilt(f"P22-{status}", "redirect", elsewhere, status=status, location="{foreign}{path}")
        for status in (301, 302, 303, 307, 308)
    ),
)  # fmt: skip


# --- P07-P17: answers that are of use, and say something else


def _detached(least: float = 0.0) -> Check:
    """Rows are set aside, not before so many seconds, and taken up again to be done."""

    def check(outcome: Outcome) -> Iterable[str]:
        yield from each_ends("D")(outcome)
        yield from never("F", "L", "X", "A")(outcome)
        given_up = times_of(outcome, "ST")
        if not given_up:
            yield "no row was set aside"
        began = min(job.submitted_at for job in outcome.book.jobs.values())
        if given_up and given_up[0] - began < least:
            yield f"a row was set aside after {given_up[0] - began:.1f} s, not {least:g}"

    return check


def _asked_twice_a_life(outcome: Outcome) -> Iterable[str]:
    """Whoever is told twice that the key is no good does not ask on with it."""
    refused = [one for one in polls(outcome) if one.time < storm_end(outcome)]
    if len(refused) != 2 * len(times_of(outcome, "ST")):
        yield f"{len(refused)} questions were refused, and rows set aside less often"


_ACCOUNT = {
    "401": (401, "Invalid API key"),
    "402": (402, "Insufficient credits"),
    "403": (403, "Your plan does not include this"),
}


def _refused(name: str, status: int, words: str) -> Script:
    body = json.dumps({"status": "error", "message": words})
    fault = Fault(on="fetch", kind="answer", status=status, body=body, times=None)
    scenario = evolve(CALM, faults=(fault,))
    return asked(f"P07-{name}", scenario, _detached(), _asked_twice_a_life, storm=60)


def _said_why(outcome: Outcome) -> Iterable[str]:
    """The server's reason is kept, without what it repeats of the request."""
    for row in outcome.rows:
        if "ran out of memory" not in (row.error or "") or KEY in (row.error or ""):
            yield f"row {row.seq} failed because of {row.error!r}"


def _asked_on_average(most: int) -> Check:
    def check(outcome: Outcome) -> Iterable[str]:
        if len(polls(outcome)) > most * outcome.script.jobs:
            yield f"{len(polls(outcome))} questions about {outcome.script.jobs} jobs"

    return check


def _all(way: str) -> Check:
    return lambda outcome: went(**{way: outcome.script.jobs})(outcome)


def _after(way: str, least: float) -> Check:
    """Nothing went this way before so many seconds had passed."""

    def check(outcome: Outcome) -> Iterable[str]:
        began = min(job.submitted_at for job in outcome.book.jobs.values())
        for at in times_of(outcome, way):
            if at - began < least:
                yield f"a row went {way} after {at - began:.1f} s, not {least:g}"

    return check


def _first_success_wins(outcome: Outcome) -> Iterable[str]:
    for job in outcome.book.jobs.values():
        if job.ready_polls != 1:
            yield f"job {job.id} was asked about {job.ready_polls} times when it was finished"


def _links_in_order(outcome: Outcome) -> Iterable[str]:
    """All links that a job ever had are kept, those of the last answer first."""
    for row in outcome.rows:
        links = json.loads(row.handle or "{}")["links"]
        (job,) = outcome.jobs_of(row)
        kept = [
            url.partition("://")[2].partition("/")[2] for kind in links.values() for url in kind
        ]
        told = [job.names[name].lstrip("/") for name in ("output", "mirror", "future")]
        if [path for path in dict.fromkeys(kept) if path in told] != told:
            yield f"row {row.seq} keeps {kept}, and was told {told}"


def _nothing_of_others(outcome: Outcome) -> Iterable[str]:
    for one in outcome.book.requests:
        if one.path.endswith(".other"):
            yield f"another job's file was asked for: {one.path}"


def _from_the_mirror(outcome: Outcome) -> Iterable[str]:
    if not outcome.book.count("mirror"):
        yield "the mirror was not asked"


def _no_gap_beyond(seconds: float) -> Check:
    def check(outcome: Outcome) -> Iterable[str]:
        for times in polls_by_job(outcome).values():
            yield from gaps(times, 0.9 * PollPolicy().min_interval, seconds)

    return check


_ONCE: dict[str, tuple[int, str]] = {
    "failed": (200, '{"status": "failed", "message": "no"}'),
    "complaint": (200, '{"status": "error", "message": "prompt is required"}'),
    "400": (400, '{"status": "error", "message": "no"}'),
    "401": (401, '{"status": "error", "message": "Invalid API key"}'),
    "402": (402, '{"status": "error", "message": "Insufficient credits"}'),
    "address": (404, '{"message": "The route x could not be found."}'),
}
_NEVER: dict[str, tuple[int, str]] = {
    "gate": (403, "<html><title>Just a moment...</title></html>"),
    "login": (401, "<html><title>Log in</title></html>"),
    "portal": (200, "<html><form>Log in to the network</form></html>"),
    "gateway": (403, '{"message": "Forbidden"}'),
    "internal": (200, '{"status": "error", "message": "Internal server error. Try again."}'),
    "408": (408, '{"status": "error", "message": "Request Timeout"}'),
    "409": (409, '{"status": "failed", "message": "no"}'),
    "deadlock": (400, '{"status": "failed", "message": "Deadlock found"}'),
    "upstream": (200, '{"status": "failed", "message": "upstream unavailable"}'),
}
_LONG: dict[str, dict[str, Any]] = {
    "header": {"status": 429, "headers": {"Retry-After": "3600"}},
    "page": {"status": 503, "headers": {"Retry-After": "86400"}, "body": "<html></html>"},
    "field": {
        "status": 429,
        "body": '{"status": "error", "message": "Rate limit exceeded", "retry_after": 5000}',
    },
}
_NO_END = (
    *(
        _spoilt(f"P24-once-{name}", "answer", times=1, status=status, body=body)
        for name, (status, body) in _ONCE.items()
    ),
    *(
        _spoilt(f"P24-{name}", "answer", times=6, status=status, body=body)
        for name, (status, body) in _NEVER.items()
    ),
    *(_spoilt(f"P25-{name}", "answer", times=1, **more) for name, more in _LONG.items()),
)

_BEHIND_ITS_LINKS = (plainly, _after("SR", 120.0), done_in_the_storm)
_GONE = Fault(on="download", kind="xml", status=404, times=None)
_PRIMARY_GONE = Fault(on="download", kind="xml", status=404, times=None, host="primary")


def _keyless(outcome: Outcome) -> Iterable[str]:
    """No spelling of the key is in what is kept of an answer; that it was there is seen."""
    for row in outcome.rows:
        told = row.error or ""
        if "the key" not in told:
            yield f"row {row.seq} says {told!r}"
        for _ in range(3):
            told = html.unescape(unquote(told))
        if KEY[:16] in told.casefold():
            yield f"row {row.seq} holds the key: {row.error!r}"


_SPELLINGS = {
    "json": "".join(f"\\u{ord(one):04x}" for one in KEY),
    "percent": "".join(f"%{ord(one):02x}" for one in KEY),
    "html": "".join(f"&#{ord(one)};" for one in KEY),
    "mixed": "".join(f"%26%23x{ord(one):x}%3b" for one in KEY),
    "case": KEY.upper(),
    "cut": KEY[:24],
}
_REPEATED = tuple(
    asked(
        f"T42-{name}",
        evolve(
            CALM,
            faults=(
                Fault(
                    on="fetch",
                    kind="answer",
                    times=None,
                    body=f'{{"status": "failed", "message": "the key {spelled} is bad"}}',
                ),
            ),
        ),
        _all("ISF"),
        _keyless,
        storm=60,
    )
    for name, spelled in _SPELLINGS.items()
)

_SAID = (
    *(_refused(name, *no) for name, no in _ACCOUNT.items()),
    _refused("200", 200, "Invalid API key"),
    asked("P08", evolve(CALM, not_found_polls=3), plainly, done_in_the_storm, _more(9)),
    asked("P08-links", evolve(CALM, not_found_polls=-1), *_BEHIND_ITS_LINKS),
    asked(
        "P08-nowhere",
        evolve(CALM, not_found_polls=-1, faults=(_GONE,)),
        _detached(120.0),
        storm=200,
    ),
    asked("P09", evolve(CALM, try_again=3), plainly, done_in_the_storm, _more(9)),
    asked("P09-ever", evolve(CALM, try_again=10_000), _all("ISF"), _after("SF", 120.0)),
    *(
        asked(
            f"P10-{word}",
            evolve(CALM, status=word, echo_key=True),
            _all("ISF"),
            _said_why,
            _asked_on_average(6),
            storm=60,
        )
        for word in ("failed", "error")
    ),
    asked(
        "P11",
        evolve(CALM, output="empty_then_list", empty_polls=3),
        plainly,
        done_in_the_storm,
        _more(9),
    ),
    *(
        asked(f"P11-{output}", evolve(CALM, output=output), *_BEHIND_ITS_LINKS)
        for output in ("always_empty", "null", "number")
    ),
    *(
        asked(
            f"P11-{output}-lost",
            evolve(CALM, output=output, faults=(_GONE,)),
            _all("ISRL"),
            _after("RL", 120.0),
        )
        for output in ("always_empty", "null", "number")
    ),
    asked("P12", evolve(CALM, flap_polls=5), plainly, _first_success_wins),
    asked(
        "P13",
        evolve(CALM, generation_seconds=2000.0, eta="absent"),
        _all("ISTSTSRD"),
        _detached(900.0),
        _no_gap_beyond(90.0),
        jobs=1,
        storm=2200,
    ),
    *(
        asked(
            f"P14-{word}",
            evolve(CALM, status=word, generation_seconds=(40.0, 60.0), eta="absent"),
            plainly,
            done_in_the_storm,
        )
        for word in ("queued", "unknown", "absent")
    ),
    *(
        _spoilt(f"P14-{name}", "answer", times=4, body=body)
        for name, body in {
            "word": '{"status": "warming_up", "output": ""}',
            "bare": "{}",
            "list": "[]",
            "number": '{"status": 7}',
        }.items()
    ),
    asked("P15", evolve(CALM, wrong_id_polls=2), plainly, done_in_the_storm, _nothing_of_others),
    _spoilt("P15-failed", "answer", body='{"status": "failed", "id": 99999}'),
    _spoilt("P15-refused", "answer", body='{"status": "error", "id": 99999, "message": "no"}'),
    asked("P16", evolve(CALM, mirror_differs=True, future_differs=True), plainly, _links_in_order),
    asked(
        "P16-dead",
        evolve(CALM, future_differs=True, faults=(_PRIMARY_GONE,)),
        plainly,
        done_in_the_storm,
        _from_the_mirror,
    ),
    asked(
        "P17",
        evolve(CALM, generation_seconds=(60.0, 90.0), eta_factor=0.1, poll_eta="growing"),
        plainly,
        done_in_the_storm,
        _no_gap_beyond(17.0),
    ),
)


SCRIPTS: tuple[Script, ...] = (*_NO_ANSWER, *_SAID, *_REPEATED, *_NO_END, *paces.SCRIPTS)
