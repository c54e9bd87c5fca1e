"""What an answer comes to: hints kept, links in their places, errors that a person can read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.download import Abort, FailureKind
from modelslab_async._policy.error_mapping import (
    download_failed,
    polling_stopped,
    request_refused,
    submit_unknown,
    unexpected_reply,
)
from modelslab_async._policy.poll import Stop
from modelslab_async._policy.submit import Rejected, Unknown, classify
from modelslab_async._protocol.replies import Failed, Links, Refused, RemoteFile, read_reply
from modelslab_async._protocol.urls import FAMILIES, fetch_route, job_id
from modelslab_async._protocol.wire_values import number

odd = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
values = st.recursive(odd, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
NAMES = ("status", "id", "taskId", "message", "error", "output", "fetch_result", "retry_after")
answers = st.dictionaries(
    st.sampled_from(NAMES),
    values | st.sampled_from(["error", "failed", "success", "Rate limit exceeded", "\x1b[2J"]),
)
statuses = st.sampled_from([200, 302, 400, 401, 402, 404, 422, 429, 500, 503])


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b'{"taskId": 0, "id": 1}', "1"),
        (b'{"taskId": "a", "id": 1}', "1"),
        (b'{"meta": {"id": 5}, "id": 1}', "1"),
        (b'{"meta": {"id": 5}}', None),
        (b'{"id": 0, "request_id": 7, "out', "7"),
        (b'{"id": 9999999999999999999, "taskId": "b"', "b"),
        (b"[1]", None),
    ],
)
def test_a_hint_is_the_first_id_that_can_be_one(body: bytes, hint: str | None) -> None:
    """In a redirect that holds an answer, and in one that holds the half of an answer."""
    outcome = classify(read_reply(body, 302), 302)
    assert isinstance(outcome, Unknown)
    assert outcome.hint == hint


@given(answers, statuses)
def test_whatever_the_api_says_the_error_is_printable_and_short(
    answer: dict[str, Any], status: int
) -> None:
    reply = read_reply(json.dumps(answer).encode(), status)
    outcome = classify(reply, status)
    errors: list[Exception] = [unexpected_reply("submit", reply, status)]
    match outcome:
        case Rejected(no):
            errors.append(request_refused("submit", no, status))
        case Unknown(reason, hint):
            errors.append(submit_unknown(reason, 17, hint))
    if isinstance(reply, Refused | Failed):
        stop = Stop(reply)
        errors.append(
            polling_stopped(
                stop, job="", job_id="7", known_as="7", track_id=1, waited=3.0, last="x"
            )
        )
    for error in errors:
        assert str(error).isprintable()
        assert len(str(error)) < 1500


@given(st.sampled_from(FailureKind), st.text(max_size=20), st.integers(0, 9))
def test_a_file_that_is_given_up_is_explained(trouble: FailureKind, job: str, tries: int) -> None:
    error = download_failed(Abort(trouble, "detail"), RemoteFile((), job), tries)
    assert trouble.value in str(error)
    assert error.job_id == (job or None)


links = st.lists(st.sampled_from(["https://r2.dev/a", "https://r2.dev/b", "c"]), max_size=4).map(
    tuple[str, ...]
)
all_links = st.builds(Links, links, links, links)


@given(all_links)
def test_each_file_has_its_own_links_and_all_outputs_are_in_one(found: Links) -> None:
    files = found.files("7")
    assert [file.index for file in files] == list(range(len(files)))
    assert all(file.urls and len(set(file.urls)) == len(file.urls) for file in files)
    if found.output:
        assert tuple(file.urls[0] for file in files) == found.output
    assert bool(files) == bool(found.output or found.proxy or found.future)


@given(all_links, all_links)
def test_newer_links_win_and_older_ones_are_not_lost(newer: Links, older: Links) -> None:
    merged = newer.merged(older)
    for name in ("output", "proxy", "future"):
        new, old = getattr(newer, name), getattr(older, name)
        assert getattr(merged, name) == (new or old)


parts = st.sampled_from(FAMILIES) | st.text("/.%\\?#@:ab1-", max_size=9)


@given(parts, st.text("aB1_-/.%?# \n", max_size=12), st.sampled_from(["", "https://modelslab.com"]))
def test_a_route_is_a_known_family_and_a_plain_id_or_nothing(
    family: str, job: str, base: str
) -> None:
    url = f"{base}{family}/{job}"
    route = fetch_route(url, "https://modelslab.com")
    fits = bool(base) and family in FAMILIES and job_id(job) == job
    assert route == ((family, job) if fits else None)


@given(
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("0123456789.-+eENnaif_ ", max_size=12)
)
def test_g11_a_hint_in_a_body_is_a_finite_wait_or_none(value: object) -> None:
    wait = number(value)
    assert wait is None or 0 <= wait < float("inf")
    if isinstance(value, int):
        assert wait == (float(value) if value >= 0 else None)
