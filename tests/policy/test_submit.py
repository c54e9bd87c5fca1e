"""What an answer to a submit proves: nothing is sent twice without a proof that no job exists."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from modelslab_async._policy.submit import (
    Accepted,
    Busy,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
    classify,
)
from modelslab_async._protocol.replies import Refused, read_reply


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
        ({"status": "error", "message": "prompt is required"}, Rejected, "request"),
        ({"status": "error", "messege": "prompt is required"}, Rejected, "request"),
        (
            {"status": "error", "message": {"prompt": ["The field is required."]}},
            Rejected,
            "request",
        ),
        ({"status": "error", "message": {"prompt": "odd words"}}, Rejected, "request"),
        ({"status": "error", "message": {}}, Unknown, ""),
        ({"status": "error", "message": {"prompt": []}}, Unknown, ""),
        ({"status": "error", "message": {"prompt": [5]}}, Unknown, ""),
        ({"status": "error", "message": {"error": "Internal server error"}}, Unknown, ""),
        ({"status": "error", "message": ["a", "b"]}, Unknown, ""),
        ({"status": "error", "message": None}, Unknown, ""),
        ({"status": "error", "message": 5}, Unknown, ""),
        ({"status": "error"}, Unknown, ""),
        ({"status": "failed"}, Unknown, ""),
        ({"status": "ERROR", "message": "no"}, Unknown, ""),
        ({"status": "failed", "id": "", "message": "Failed, Try Again"}, Unknown, ""),
        ({"status": "failed", "message": "Request not found"}, Unknown, ""),
        ({"status": "error", "message": "Model id not found"}, Rejected, "request"),
        ({"status": "error", "message": "Model not found: x"}, Rejected, "request"),
        ({"status": "error", "message": "words nobody has seen"}, Unknown, ""),
        ({"status": "error", "message": "Invalid Api Key", "tip": "1. Make sure"}, Rejected, "key"),
        ({"status": "error", "message": "API key required"}, Rejected, "key"),
        ({"status": "error", "message": "Invalid API Request"}, Rejected, "request"),
        ({"status": "error", "message": "Insufficient credits."}, Rejected, "credits"),
        ({"status": "error", "message": "Not enough balance"}, Rejected, "credits"),
        ({"status": "error", "message": "Feature not available"}, Rejected, "plan"),
        ({"status": "error", "message": "Rate limit exceeded", "tips": SPAM}, Busy, "rate"),
        ({"status": "error", "message": "no", "tips": SPAM}, Busy, "rate"),
        ({"status": "error", "message": "queue is full"}, Busy, "rate"),
        ({"status": "error", "message": "the queue is full of cats"}, Unknown, ""),
        ({"status": "error", "message": "a rate limit of the engine"}, Unknown, ""),
        ({"status": "error", "message": "Maximum 5 queued requests allowed."}, Busy, "rate"),
        ({"status": "failed", "message": "current_queue: 16"}, Busy, "rate"),
        ({"error": "too many requests"}, Busy, "rate"),
        ({"status": "error", "id": 7, "message": "rate limit of the engine"}, Accepted, "7"),
        ({"status": "error", "id": 7, "message": "prompt is required"}, Accepted, "7"),
        ({"status": "failed", "taskId": "a-1", "message": "no"}, Accepted, "a-1"),
        ({"error": "odd", "id": 7}, Accepted, "7"),
        ({"error": "prompt is required"}, Unknown, ""),
        ({"error": "words nobody has seen"}, Unknown, ""),
        ({"status": "odd", "message": "words nobody has seen"}, Unknown, ""),
        ({"status": "odd", "error": "words nobody has seen"}, Unknown, ""),
        ({"status": "fail", "message": "prompt is required"}, Unknown, ""),
        ({"message": "words nobody has seen"}, Unknown, ""),
        ({"message": "prompt is required"}, Unknown, ""),
    ],
)
def test_s27_an_error_with_http_200_is_a_refusal_in_documented_words_only(
    answer: object, kind: type[Outcome], reason: str
) -> None:
    assert told(judge(answer)) == (kind, reason)


TROUBLE = [
    "Internal server error. Please try again.",
    "Request Timeout",
    "Request exceeded maximum execution time: timed out",
    "Service temporarily unavailable. Please try again later.",
    "Something went wrong, please try again",
    "502 Bad Gateway",
    "Endpoint request timed out",
    "upstream connect error or disconnect/reset before headers",
    "SQLSTATE[40001]: Serialization failure: 1213 Deadlock found when trying to get lock",
    "SQLSTATE[HY000] [2002] Connection refused",
    "MySQL server has gone away",
    "cURL error 28: Operation timed out after 30001 milliseconds",
    "cURL error 7: Failed to connect to 10.0.0.5 port 8000",
    "The server is overloaded",
    "An unexpected error occurred",
    "Could not resolve host: worker-3",
    "Lock wait timeout exceeded",
    "We are down for maintenance",
    "Too Early",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "Allowed memory size of 134217728 bytes exhausted",
    "Maximum execution time of 30 seconds exceeded",
    "file_put_contents(): No space left on device",
    "RedisException: read error on connection",
    "The server encountered an error while processing",
    "Server is currently experiencing high load",
    "SQL: Too many connections",
    "Network error",
    "Worker crashed",
    "Audio generation failed",
    "Failed to generate audio",
    "The request could not be completed",
    "Please retry your request",
]


WHERE: dict[str, Callable[[str], object]] = {
    "message": lambda words: {"status": "error", "message": words},
    "error": lambda words: {"status": "failed", "messege": "Not done", "error": words},
    "nested": lambda words: {"status": "error", "message": {"server": [{"detail": words}]}},
    "detail": lambda words: {"status": "error", "message": "Request failed", "detail": words},
    "framework": lambda words: {"message": words, "exception": "ErrorException"},
}


@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 408, 413, 422, 425, 429, 500, 503])
@pytest.mark.parametrize("where", WHERE)
def test_s40_a_server_in_trouble_proves_nothing_under_any_status(status: int, where: str) -> None:
    for words in TROUBLE:
        outcome = judge(WHERE[where](words), status)
        # "Try again" alone is how a limiter of requests speaks, too.
        assert isinstance(outcome, Unknown) or (status == 429 and words == TROUBLE[-1]), words


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
        ("43730.0", "43730"),
        ("1e3", "1000"),
        ('" 43730\\n"', "43730"),
        ("43730.5", None),
        ("-1.0", None),
        ("0.0", None),
        ("1e300", None),
        ("9007199254740992.0", None),
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


REFUSING = [400, 401, 402, 403, 405, 413, 415, 422]


@pytest.mark.parametrize("status", REFUSING)
@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error"},
        {"status": "error", "message": "words nobody has seen"},
        {"status": "failed", "messege": "no"},
        {"message": "no"},
        {"message": "no", "errors": {"prompt": ["no"]}},
        {"message": "no", "exception": "X", "file": "x.php", "line": 5, "trace": []},
    ],
    ids=["bare", "error", "failed", "framework", "by field", "debug"],
)
def test_s27_a_refusing_status_in_the_apis_own_shape_is_a_refusal(
    answer: object, status: int
) -> None:
    assert isinstance(judge(answer, status), Rejected)


PAGES: dict[str, object] = {
    "nothing": b"",
    "text": b"Forbidden",
    "nginx": b"<html><head><title>403 Forbidden</title></head><body><hr>nginx</body></html>",
    "cloudflare": b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>",
    "captcha": b"<!DOCTYPE html><title>Just a moment...</title><script></script>",
    "waf": b"<html><body>The requested URL was rejected. Your support ID is: 1</body></html>",
    "akamai": b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD>Reference #18.1</HTML>",
    "proxy": b"<html><body>407 Proxy Authentication Required by policy</body></html>",
    "object store": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "aws": {"message": "Forbidden"},
    "aws token": {"message": "Missing Authentication Token"},
    "kong": {"message": "Unauthorized", "request_id": "b7a9c2"},
    "envoy": {"error": {"code": 403, "message": "denied", "status": "PERMISSION_DENIED"}},
    "azure": {"statusCode": 401, "message": "Access denied due to missing subscription key"},
    "spring": {"timestamp": 1, "status": 403, "error": "Forbidden", "path": "/api"},
    "rfc 9457": {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "no"},
    "cloudflare api": {"success": False, "errors": [{"code": 9109, "message": "no"}]},
    "fastapi": {"detail": "Not authenticated"},
    "object": {},
    "array": b'[{"status": "error", "message": "no"}]',
    "cut": b'{"status": "error", "message": "prompt is requi',
}


@pytest.mark.parametrize("status", [*REFUSING, 404, 407, 414, 429, 451])
@pytest.mark.parametrize("answer", PAGES.values(), ids=PAGES.keys())
def test_s41_what_anybody_on_the_way_may_have_said_proves_nothing(
    answer: object, status: int
) -> None:
    outcome = judge(answer, status)
    too_fast = status == 429 and answer in (PAGES["aws"], PAGES["aws token"])
    assert isinstance(outcome, Busy if too_fast else Unknown)


def test_s25_a_429_of_nothing_but_a_wait_is_a_refusal() -> None:
    reply = read_reply(b"", 429)
    assert isinstance(reply, Refused)
    assert isinstance(classify(reply, 429), Unknown)
    assert isinstance(classify(evolve(reply, retry_after=3.0), 429), Busy)
    page = evolve(reply, message="<html>", retry_after=3.0)
    assert isinstance(classify(page, 429), Unknown)


@pytest.mark.parametrize(
    "status", [201, 202, 206, 226, 404, 406, 407, 408, 409, 410, 414, 416, 421, 423, 425, 431, 499]
)
@pytest.mark.parametrize("words", ["no", "prompt is required", "Invalid API key", "Queue is full"])
def test_s27_another_status_proves_nothing_whatever_the_words(status: int, words: str) -> None:
    assert isinstance(judge({"status": "error", "message": words}, status), Unknown)


@pytest.mark.parametrize("status", [400, 422, 405, 413, 415])
@pytest.mark.parametrize("words", ["Queue is full", "Rate limit exceeded", SPAM])
def test_s42_a_bad_request_is_never_busy(status: int, words: str) -> None:
    assert told(judge({"status": "error", "message": words}, status)) == (Rejected, "request")


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
def test_s12_an_id_in_a_broken_answer_is_a_hint_under_any_status(status: int) -> None:
    assert told(judge(b'{"status": "error", "id": 43730, "mess', status)) == (Unknown, "43730")


def test_an_address_that_is_not_there_has_accepted_nothing() -> None:
    route = {"message": "The route api/v6/voice/music_gen could not be found."}
    assert told(judge(route, 404)) == (Rejected, "no such address")


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500, 503])
def test_an_answer_that_turns_away_and_yet_holds_a_ticket_is_followed(status: int) -> None:
    assert told(judge(TICKET, status)) == (Accepted, "43730")


TRACES: list[tuple[dict[str, object], str]] = [
    ({"job_id": 77}, "77"),
    ({"jobId": "a-1"}, "a-1"),
    ({"task_id": 77}, "77"),
    ({"ID": 77}, "77"),
    ({"data": {"id": 77}}, "77"),
    ({"result": {"fetch_id": "77"}}, "77"),
    ({"meta": {"id": "77", "track_id": 5}}, "77"),
    ({"id": [77]}, ""),
    ({"id": -1}, ""),
    ({"id": 77.5}, ""),
    ({"fetch_result": "https://elsewhere.example/api/v6/voice/fetch/77"}, "77"),
    ({"output": ["https://r2.dev/x.wav"]}, ""),
    ({"links": [{"url": "https://r2.dev/x.wav"}]}, ""),
    ({"future_links": ["https://r2.dev/x.wav"]}, ""),
    ({"proxy_links": "https://r2.dev/x.wav"}, ""),
]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "The queue is full"),
        (200, "prompt is required"),
        (400, "prompt is required"),
        (402, "Insufficient credits"),
        (429, "Rate limit exceeded"),
        (503, "The queue is full"),
    ],
)
@pytest.mark.parametrize(("trace", "hint"), TRACES, ids=[str(trace) for trace, _ in TRACES])
def test_s44_no_refusal_is_believed_beside_what_only_a_job_has(
    trace: dict[str, object], hint: str, status: int, words: str
) -> None:
    answer = {"status": "error", "message": words, **trace}
    assert told(judge(answer, status)) == (Unknown, hint)


@pytest.mark.parametrize(
    "empty",
    [
        {"id": ""},
        {"id": None},
        {"output": ""},
        {"output": []},
        {"output": "no file"},
        {"meta": {"track_id": 5}},
        {"fetch_result": None},
        {"data": [], "result": None},
    ],
    ids=str,
)
def test_s44_an_empty_id_or_link_is_no_trace_of_a_job(empty: dict[str, object]) -> None:
    answer = {"status": "error", "message": "prompt is required", **empty}
    assert told(judge(answer)) == (Rejected, "request")


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"status": "processing", "id": 77}},
        {"Status": "processing", "Id": 77},
        {"status": "processing", "job_id": 77},
    ],
    ids=str,
)
def test_s46_an_id_in_an_unknown_place_is_a_hint(answer: object) -> None:
    assert told(judge(answer)) == (Unknown, "77")


@pytest.mark.parametrize("status", [200, 400, 402, 408, 429, 500, 503])
@pytest.mark.parametrize("word", ["error", "failed"])
def test_a_full_queue_that_names_a_job_is_never_sent_again(status: int, word: str) -> None:
    answer = {"status": word, "id": 43730, "message": "Rate limit exceeded"}
    assert told(judge(answer, status)) == (Accepted, "43730")


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
    if status >= 500 and not isinstance(outcome, Accepted):
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
        case Accepted(read):
            assert read.id == named
        case _:
            pytest.fail(f"{outcome} lost id {named}")


@given(answers, statuses)
@example({"status": "error", "message": "Internal server error. Please try again."}, 200)
@example({"status": "error", "message": "Request Timeout"}, 408)
def test_s27_no_job_is_proved_absent_but_by_a_status_or_words_of_the_docs(
    answer: dict[str, Any], status: int
) -> None:
    outcome = judge(answer, status)
    if isinstance(outcome, Rejected):
        assert status < 300 or status in (*REFUSING, 404, 429)
        assert outcome.reply.id is None
