"""What a probe has found out, read from its recordings, which hold nothing private."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from .._text import plural

Line = Mapping[str, Any]
Verdict = Literal["confirmed", "refuted", "not observed"]

_FETCH = re.compile(r"/fetch/([\w-]+)$")
_ERRORS = frozenset({"error", "failed"})
_KNOWN = re.compile(r"(?!\*|\{|this machine$)")
"""A host that the recording names, because it is documented or was seen before."""

_NEAR = 2.0
"""An estimate off by less than this factor places the first poll well."""


@frozen
class Finding:
    """One open question of the protocol.

    Attributes:
        question: what was not known.
        assumption: what this library takes for granted, or prepares for.
        verdict: whether it held here.
        observed: what was seen.
    """

    question: str
    assumption: str
    verdict: Verdict
    observed: str


@frozen
class _Job:
    """The exchanges about one job: its submit, its polls, and those of later runs.

    Placeholders and times can be compared within a recording only.
    """

    submit: Line
    polls: tuple[Line, ...]
    later: tuple[Line, ...]

    @property
    def ends(self) -> tuple[Line, ...]:
        """The polls that found it finished."""
        polls = (*self.polls, *self.later)
        return tuple(one for one in polls if _body(one).get("status") == "success")

    @property
    def name(self) -> str:
        return str(self.submit["target"]).removeprefix("/api/")


def findings(recordings: Sequence[Sequence[Line]], *, spent: float | None) -> list[Finding]:
    """Answer the open questions, as far as these recordings tell.

    Args:
        recordings: the lines of each, whose times and placeholders are its own.
        spent: by how much the wallet has shrunk; ``None``: unknown.
    """
    jobs = [*_jobs(recordings)]
    lines = [line for recording in recordings for line in recording]
    return [
        _track_ids(jobs),
        _webhooks(lines),
        _ranges(lines),
        _hosts(lines),
        _etas(jobs),
        _errors(lines),
        _repeats(jobs),
        _ids(jobs),
        _future_links(jobs),
        _money(spent),
    ]


def _track_ids(jobs: Sequence[_Job]) -> Finding:
    ends = [(job, end) for job in jobs for end in job.ends[:1]]
    # Another recording has another placeholder for the same id.
    with_it = [
        end
        for job, end in ends
        if _mentions(end, "track-" if end in job.later else f"{_track(job)}")
    ]
    return Finding(
        "Does a fetch repeat the track_id?",
        "A finished job repeats the track_id of its submit, so that a job whose reply was lost is "
        "recognised.",
        _verdict(bool(ends), len(with_it) == len(ends)),
        f"{len(with_it)} of {plural(len(ends), 'finished job')} repeated it",
    )


def _webhooks(lines: Sequence[Line]) -> Finding:
    bodies = [_body(line) for line in lines if line.get("where") == "webhook"]
    good = [body for body in bodies if "id" in body and "status" in body]
    names = sorted({name for body in bodies for name in body})
    return Finding(
        "What does a webhook carry?",
        "A webhook carries the id and the status of its job; it is a hint that a poll confirms.",
        _verdict(bool(bodies), len(good) == len(bodies)),
        f"{plural(len(bodies), 'delivery', 'deliveries')}; fields: {', '.join(names) or 'none'}",
    )


def _ranges(lines: Sequence[Line]) -> Finding:
    asked = [line for line in lines if line.get("where") == "storage" and line.get("sent")]
    gave = [line for line in asked if line.get("status") == 206]
    files = [line for line in lines if line.get("where") == "storage" and not line.get("sent")]
    tagged = [one for one in files if {"etag", "last-modified"} & {*one.get("headers", ())}]
    return Finding(
        "Do the storage hosts support ranges?",
        "A storage host sends the rest of a file that is the same as before, so that a broken "
        "download goes on where it stopped.",
        _verdict(bool(files), bool(asked) and len(gave) == len(asked)),
        f"{len(gave)} of {plural(len(asked), 'request')} for a part got one (206); "
        f"{len(tagged)} of {plural(len(files), 'file response')} named a version "
        "(ETag or Last-Modified)",
    )


def _hosts(lines: Sequence[Line]) -> Finding:
    known = {
        str(about.get("host"))
        for line in lines
        for name, about in dict(line.get("links") or {}).items()
        if f"{{{name}}}" in json.dumps([_body(line).get(one) for one in ("output", "proxy_links")])
    }
    return Finding(
        "Which hosts serve output?",
        "Output comes from hosts of ModelsLab that are documented or were seen before.",
        _verdict(bool(known - {"this machine"}), all(map(_KNOWN.match, known))),
        ", ".join(sorted(known)) or "no link was seen",
    )


def _etas(jobs: Sequence[_Job]) -> Finding:
    seen, good, numbers = [], [], 0
    for job in jobs:
        eta, took = _body(job.submit).get("eta"), _duration(job)
        is_number = isinstance(eta, int | float) and not isinstance(eta, bool)
        numbers += is_number
        if took is None or "eta" not in _body(job.submit):
            continue
        low, high = took
        shown = f"{eta:.3g}" if isinstance(eta, int | float) else json.dumps(eta)
        seen.append(f"{job.name}: eta {shown}, took {low:.3g} to {high:.3g} s")
        if isinstance(eta, int | float) and is_number and low / _NEAR <= eta <= high * _NEAR:
            good.append(job)
    return Finding(
        "Is eta useful?",
        "The eta of a ticket is a number of seconds near the time that the job takes; the first "
        "poll is placed by it.",
        _verdict(bool(seen), len(good) == len(seen)),
        "; ".join(seen) or "no ticket had an eta, or no job was seen from its submit to its end",
    )


def _errors(lines: Sequence[Line]) -> Finding:
    forms, good, count = dict[str, None](), 0, 0
    for line in lines:
        body, status = _body(line), int(line.get("status") or 0)
        if line.get("where") != "api" or not (status >= 400 or body.get("status") in _ERRORS):
            continue
        count += 1
        good += body.get("status") in _ERRORS and bool({"message", "messege"} & {*body})
        what = f"{{{', '.join(sorted(body))}}}" if body else "no JSON object"
        words = json.dumps(body.get("message", body.get("messege", "")))[:120]
        forms[f"HTTP {status} {what} {words}"] = None
    return Finding(
        "Which forms do errors have?",
        "An error is JSON with status error or failed and a message, whatever its HTTP status is.",
        _verdict(bool(count), good == count),
        "; ".join(forms) or "no error came",
    )


def _repeats(jobs: Sequence[_Job]) -> Finding:
    ended = [job for job in jobs if job.ends]
    again = [job for job in ended if len(job.ends) > 1]
    failed = [job for job in ended if any(_after_end(job))]
    return Finding(
        "Does a fetch after success still answer?",
        "A finished job can be asked for again, which gives its links anew.",
        _verdict(bool(again or failed), not failed),
        f"{len(again)} of {plural(len(ended), 'finished job')} answered again",
    )


def _ids(jobs: Sequence[_Job]) -> Finding:
    kinds = {
        f"{job.name}: {'number' if isinstance(_body(job.submit)['id'], int) else 'text'}"
        for job in jobs
        if _body(job.submit).get("id")
    }
    return Finding(
        "What is the id of a job?",
        "An id is a number, but is kept as text, so that any short text works as well.",
        _verdict(bool(kinds), all(one.endswith("number") for one in kinds)),
        "; ".join(sorted(kinds)) or "no submit was answered with an id",
    )


def _future_links(jobs: Sequence[_Job]) -> Finding:
    pairs = [
        ({*_links(job.submit, "future_links")}, {*_links(job.ends[0], "output")})
        for job in jobs
        if job.ends and job.ends[0] in job.polls and _links(job.submit, "future_links")
    ]
    same = sum(bool(future & output) for future, output in pairs)
    return Finding(
        "Is the link in future_links the later output?",
        "The ticket names the link at which the file will be, which is looked at when the API has "
        "forgotten the job.",
        _verdict(bool(pairs), same == len(pairs)),
        f"{same} of {plural(len(pairs), 'job')} had the same link in both",
    )


def _money(spent: float | None) -> Finding:
    return Finding(
        "Does the wallet show at once what a job cost?",
        "The balance falls when a job is accepted; prices are never guessed.",
        _verdict(spent is not None, bool(spent and spent > 0)),
        "nothing was paid, or the wallet could not be asked"
        if spent is None
        else f"the wallet shrank by {spent:.6g} during this run",
    )


# --- reading the lines ----------------------------------------------------------------------------


def _jobs(recordings: Sequence[Sequence[Line]]) -> Iterator[_Job]:
    """The jobs that were submitted, each with the polls of its own run and of the others."""
    for lines in recordings:
        others = [line for other in recordings if other is not lines for line in other]
        for submit in (line for line in lines if "track_id" in (line.get("sent") or {})):
            named = str(_body(submit).get("id") or "")
            asked = _FETCH.search(str(_body(submit).get("fetch_result") or ""))
            ids = {named, asked[1] if asked else ""} - {""}
            polls = tuple(line for line in lines if _asked_about(line) in ids)
            yield _Job(submit, polls, tuple(line for line in others if _asked_about(line) in ids))


def _asked_about(line: Line) -> str | None:
    found = _FETCH.search(str(line.get("target")))
    return found[1] if found else None


def _after_end(job: _Job) -> Iterator[Line]:
    """Errors in the replies about a job after it was found finished."""
    polls = (*job.polls, *job.later)
    for poll in polls[polls.index(job.ends[0]) + 1 :]:
        if _body(poll).get("status") in _ERRORS:
            yield poll


def _body(line: Line) -> Mapping[str, Any]:
    body = line.get("body")
    return body if isinstance(body, dict) else {}


def _track(job: _Job) -> str:
    return str(job.submit["sent"]["track_id"]).removesuffix(":int}").rstrip("}")


def _mentions(line: Line, track: str) -> bool:
    text = json.dumps(_body(line))
    return track in text if track.endswith("-") else f"{track}}}" in text or f"{track}:" in text


def _links(line: Line, name: str) -> Sequence[str]:
    links = _body(line).get(name)
    return [str(one) for one in links] if isinstance(links, list) else [str(links or "")]


def _duration(job: _Job) -> tuple[float, float] | None:
    """Between which seconds after its submit a job has ended."""
    if not job.ends or job.ends[0] not in job.polls:
        return None
    accepted = float(job.submit["at"]) + float(job.submit["seconds"])
    end = float(job.ends[0]["at"])
    before = [float(one["at"]) for one in job.polls if float(one["at"]) < end]
    return max([0.0, *(at - accepted for at in before)]), max(0.0, end - accepted)


def _verdict(observed: bool, held: bool) -> Verdict:
    return ("confirmed" if held else "refuted") if observed else "not observed"
