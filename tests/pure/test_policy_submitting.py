"""What an answer to a submit proves: nothing is sent twice without a proof that no job exists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelslab_async.policy.submitting import (
    Accepted,
    Busy,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
    classify,
)
from modelslab_async.protocol.replies import Failed, Finished, Refused, Ticket, read_reply


def judge(answer: object, status: int = 200) -> Outcome:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return classify(read_reply(body, status), status)


def told(outcome: Outcome) -> tuple[type[Outcome], str]:
    """The outcome in short: its kind, and what was read or guessed."""
    match outcome:
        case Busy(reply) | Rejected(reply):
            return type(outcome), reply.reason.value
        case Accepted(reply):
            return Accepted, reply.id or ""
        case Unknown(_, hint):
            return Unknown, hint or ""
        case NotSent():
            return NotSent, ""


SPAM = "you are sending same request multiple times, spam filter is enabled"


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        ({"status": "error", "message": "prompt is required"}, Rejected, "failed"),
        ({"status": "error", "messege": "prompt is required"}, Rejected, "failed"),
        (
            {"status": "error", "message": {"prompt": ["The field is required."]}},
            Rejected,
            "request",
        ),
        ({"status": "error", "message": {}}, Rejected, "request"),
        ({"status": "error", "message": ["a", "b"]}, Rejected, "failed"),
        ({"status": "error", "message": None}, Rejected, "failed"),
        ({"status": "error", "message": 5}, Rejected, "failed"),
        ({"status": "error"}, Rejected, "failed"),
        ({"status": "failed"}, Rejected, "failed"),
        ({"status": "ERROR", "message": "no"}, Rejected, "failed"),
        ({"status": "failed", "id": "", "message": "Failed, Try Again"}, Rejected, "try again"),
        ({"status": "failed", "message": "Request not found"}, Rejected, "not found"),
        ({"status": "error", "message": "Model id not found"}, Rejected, "failed"),
        ({"status": "error", "message": "words nobody has seen"}, Rejected, "failed"),
        ({"status": "error", "message": "Internal server error."}, Rejected, "failed"),
        ({"status": "error", "message": "Invalid Api Key", "tip": "1. Make sure"}, Rejected, "key"),
        ({"status": "error", "message": "API key required"}, Rejected, "key"),
        ({"status": "error", "message": "Invalid API Request"}, Rejected, "failed"),
        ({"status": "error", "message": "Insufficient credits."}, Rejected, "credits"),
        ({"status": "error", "message": "Not enough balance"}, Rejected, "credits"),
        ({"status": "error", "message": "Rate limit exceeded", "tips": SPAM}, Busy, "rate"),
        ({"status": "error", "message": "no", "tips": SPAM}, Busy, "rate"),
        ({"status": "error", "message": "queue is full"}, Busy, "rate"),
        ({"status": "error", "message": "Maximum 5 queued requests allowed."}, Busy, "rate"),
        ({"status": "failed", "message": "current_queue: 16"}, Busy, "rate"),
        ({"error": "too many requests"}, Busy, "rate"),
        ({"status": "error", "id": 7, "message": "rate limit of the engine"}, Rejected, "failed"),
        ({"error": "words nobody has seen"}, Unknown, ""),
        ({"status": "odd", "message": "words nobody has seen"}, Unknown, ""),
        ({"status": "odd", "error": "words nobody has seen"}, Unknown, ""),
        ({"message": "words nobody has seen"}, Unknown, ""),
    ],
)
def test_s27_an_error_with_http_200_is_a_refusal_whatever_its_words(
    answer: object, kind: type[Outcome], reason: str
) -> None:
    assert told(judge(answer)) == (kind, reason)


TICKET: dict[str, Any] = {
    "status": "processing",
    "id": 43730,
    "eta": 10,
    "output": [],
    "future_links": ["https://r2.dev/x.wav"],
    "fetch_result": None,
}


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        ("1", "1"),
        ("9223372036854775807", "9223372036854775807"),
        ('"43730"', "43730"),
        ('"abc123-def456"', "abc123-def456"),
        (f'"{"a" * 128}"', "a" * 128),
        ("null", None),
        ('""', None),
        ('" "', None),
        ("true", None),
        ("false", None),
        ("0", None),
        ("-1", None),
        ("1.0", None),
        ("43730.5", None),
        ("1e3", None),
        ("NaN", None),
        ("[]", None),
        ("[43730]", None),
        ("{}", None),
        ('{"id": {}}', None),
        ("9223372036854775808", None),
        ("9" * 5000, None),
        ('".."', None),
        ('"../../../buy_subscription"', None),
        ('"a\\/b"', None),
        ('"a%2fb"', None),
        ('"a?b"', None),
        ('"a#b"', None),
        ('"a\\r\\nb"', None),
        (f'"{"a" * 129}"', None),
        ('"ä"', None),
        ('"\\ud800"', None),
        ('"\\u0000"', None),
    ],
    ids=lambda text: repr(text)[:30],
)
def test_s29_only_a_usable_id_makes_a_job_known(text: str, job_id: str | None) -> None:
    body = f'{{"status": "processing", "id": {text}, "eta": 10, "output": []}}'.encode()
    assert told(judge(body)) == ((Unknown, "") if job_id is None else (Accepted, job_id))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eta", "soon"),
        ("eta", float("nan")),
        ("eta", -5),
        ("eta", 1e99),
        ("eta", None),
        ("eta", []),
        ("output", "https://r2.dev/x.wav"),
        ("output", None),
        ("output", [[["https://r2.dev/x.wav"]]]),
        ("output", 5),
        ("output", {"url": 5}),
        ("output", [None]),
        ("proxy_links", None),
        ("proxy_links", "x"),
        ("proxy_links", 5),
        ("future_links", {"a": 1}),
        ("meta", None),
        ("meta", []),
        ("meta", "text"),
        ("meta", {"id": "271", "track_id": [1]}),
        ("track_id", {}),
        ("track_id", True),
        ("tip", ["a", {"b": None}]),
        ("message", {"a": 1}),
        ("fetch_result", 5),
        ("fetch_result", "//evil.example/43731"),
        ("status", "queued"),
        ("status", "warming_up"),
        ("status", ""),
        ("status", None),
        ("status", 1),
        ("status", True),
        ("status", []),
        ("error", None),
        ("error", ""),
        ("error", False),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_s29_other_odd_values_do_not_lose_the_job(field: str, value: object) -> None:
    assert told(judge({**TICKET, field: value})) == (Accepted, "43730")


def test_s29_a_ticket_without_a_status_is_a_ticket() -> None:
    assert told(judge({"id": 43730, "eta": 5})) == (Accepted, "43730")


def test_an_answer_without_an_id_hints_at_the_one_that_it_asks_to_fetch() -> None:
    ticket = {**TICKET, "id": None, "fetch_result": "https://modelslab.com/api/v6/voice/fetch/271"}
    assert told(judge(ticket)) == (Unknown, "271")


@pytest.mark.parametrize("fetch_result", ["https://modelslab.com/", "https://x/a?b", "", "/.."])
def test_a_fetch_result_without_an_id_hints_at_nothing(fetch_result: str) -> None:
    assert told(judge({**TICKET, "id": None, "fetch_result": fetch_result})) == (Unknown, "")


@pytest.mark.parametrize(
    ("answer", "job_id"),
    [
        ({"status": "success", "id": 7, "output": ["u"]}, "7"),
        ({"status": "success", "id": 7, "output": []}, "7"),
        ({"status": "success", "output": ["u"]}, ""),
        ({"id": 7, "links": ["u"]}, "7"),
    ],
)
def test_s34_success_at_once_is_a_job(answer: object, job_id: str) -> None:
    assert told(judge(answer)) == (Accepted, job_id)


def test_success_that_names_neither_a_job_nor_a_file_proves_nothing() -> None:
    assert told(judge({"status": "success", "output": []})) == (Unknown, "")


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_good_status_accepts(status: int) -> None:
    assert told(judge(TICKET, status)) == (Accepted, "43730")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html></html>",
        b"\xef\xbb\xbf",
        b"\xff\xfe{\x00}\x00",
        b"\x1f\x8b\x08\x00",
        b"[]",
        b"[" * 100_000,
    ],
    ids=["empty", "text", "HTML", "BOM", "UTF-16", "gzip", "array", "deep"],
)
@pytest.mark.parametrize("status", [200, 408, 409, 425, 499, 500, 502, 503, 504, 520, 524])
def test_s18_s28_an_answer_that_cannot_be_read_proves_nothing(body: bytes, status: int) -> None:
    assert told(judge(body, status)) == (Unknown, "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (b"", ""),
        ({"status": "error", "message": "Rate limit exceeded"}, ""),
        ({"status": "error", "message": "prompt is required"}, ""),
        (TICKET, "43730"),
    ],
    ids=["empty", "rate limit", "error", "ticket"],
)
def test_s33_a_redirect_proves_nothing(answer: object, hint: str, status: int) -> None:
    assert told(judge(answer, status)) == (Unknown, hint)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 414, 415, 422])
@pytest.mark.parametrize("answer", [b"", b"<html></html>", {"status": "error"}, {"message": "no"}])
def test_a_refusing_status_is_a_refusal_whatever_comes_with_it(answer: object, status: int) -> None:
    assert isinstance(judge(answer, status), Rejected)


@pytest.mark.parametrize("status", [408, 409, 425, 499])
def test_the_word_error_below_500_is_a_refusal(status: int) -> None:
    assert told(judge({"status": "error", "message": "no"}, status)) == (Rejected, "failed")


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500, 503])
def test_an_answer_that_turns_away_and_yet_holds_a_ticket_proves_nothing(status: int) -> None:
    assert told(judge(TICKET, status)) == (Unknown, "43730")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("word", ["error", "failed"])
def test_a_full_queue_that_names_a_job_is_never_sent_again(status: int, word: str) -> None:
    answer = {"status": word, "id": 43730, "message": "Rate limit exceeded"}
    assert told(judge(answer, status)) == (Unknown, "43730")


@pytest.mark.parametrize("cut", range(60, 180, 7))
def test_s14_a_ticket_cut_short_is_unknown_though_its_prompt_speaks_of_a_full_queue(
    cut: int,
) -> None:
    body = json.dumps({"meta": {"input_text": "the queue is full, rate limit"}, **TICKET}).encode()
    assert isinstance(judge(body[:cut]), Unknown)
    assert isinstance(judge(b"\xef\xbb\xbf" + body[:cut]), Unknown)
    assert isinstance(judge(b"Warning: odd " + body[:cut], 503), Unknown)


# Whatever comes, it is exactly one thing


words = st.sampled_from(["success", "processing", "queued", "error", "failed", "odd", "", None, 3])
texts = st.sampled_from(
    ["", "Rate limit exceeded", "queue is full", "Request not found", "Failed, Try Again",
     "Invalid API key", "Insufficient credits", "Maximum 5 queued requests", "spam filter"]
)  # fmt: skip
odd = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
things = st.recursive(odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text(max_size=4), inner, max_size=3), max_leaves=6)  # fmt: skip
ids = st.integers() | st.sampled_from(["abc-1", "", "../x"]) | things
answers = st.fixed_dictionaries(
    {},
    optional={
        "status": words | things,
        "id": ids,
        "taskId": ids,
        "message": texts | things,
        "messege": texts,
        "error": texts | things,
        "tips": texts,
        "output": things | st.just(["https://r2.dev/x.wav"]),
        "links": things,
        "fetch_result": things | st.just("https://modelslab.com/api/v6/voice/fetch/271"),
        "retry_after": things,
        "eta": things,
        "meta": things,
    },
)
bodies = st.binary() | st.text().map(str.encode) | answers.map(lambda a: json.dumps(a).encode())
statuses = st.integers(200, 599) | st.sampled_from([200, 302, 400, 404, 408, 429, 500, 503, 524])


@given(bodies, statuses)
def test_every_answer_has_exactly_one_meaning(body: bytes, status: int) -> None:
    outcome = classify(read_reply(body, status), status)
    kinds = [isinstance(outcome, kind) for kind in (Busy, Rejected, Accepted, Unknown)]
    assert kinds.count(True) == 1


@given(bodies, statuses)
@example(b"current_queue", 503)
@example(b'{"status":"error","message":"queue is full"}', 503)
def test_a_broken_server_proves_nothing_but_a_full_queue(body: bytes, status: int) -> None:
    outcome = classify(read_reply(body, status), status)
    if status >= 500:
        assert isinstance(outcome, Unknown) or (isinstance(outcome, Busy) and status == 503)
    if 300 <= status < 400:
        assert isinstance(outcome, Unknown)


@given(bodies, statuses)
def test_only_an_answer_that_names_no_job_leads_to_a_second_request(
    body: bytes, status: int
) -> None:
    reply = read_reply(body, status)
    if isinstance(classify(reply, status), Busy):
        assert isinstance(reply, Refused)
        assert reply.id is None


@given(answers, statuses)
def test_an_id_that_an_answer_names_is_never_lost(answer: dict[str, Any], status: int) -> None:
    reply = read_reply(json.dumps(answer).encode(), status)
    outcome = classify(reply, status)
    named = read_reply(json.dumps({**answer, "status": "processing", "error": None}).encode()).id
    if named is None:
        return
    match outcome:
        case Unknown(_, hint):
            assert hint == named
        case Accepted(read) | Rejected(read):
            assert isinstance(read, Ticket | Finished | Refused | Failed)
            assert read.id == named
        case _:
            pytest.fail(f"{outcome} lost id {named}")
