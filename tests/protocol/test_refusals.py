"""Answers that say no, and bytes that are no answer: who is believed, and of what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelslab_async._protocol.replies import (
    Failed,
    Failure,
    Finished,
    Refusal,
    Refused,
    Reply,
    Ticket,
    Unreadable,
    read_reply,
)


def read(answer: object, status: int = 200) -> Reply:
    return read_reply(json.dumps(answer).encode(), status)


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        pytest.param(
            {"status": "error", "message": "Error message"},
            200,
            Failed(reason=Failure.FAILED, message="Error message"),
            id="fetch-voice page",
        ),
        pytest.param(
            {"status": "error", "messege": "Error message"},
            200,
            Failed(reason=Failure.FAILED, message="Error message"),
            id="messege",
        ),
        pytest.param(
            {
                "status": "failed",
                "id": "",
                "message": "Request not found",
                "output": "",
                "tip": "t",
            },
            200,
            Failed(reason=Failure.NOT_FOUND, message="Request not found; t"),
            id="not found",
        ),
        pytest.param(
            {"status": "error", "message": "no such job"},
            404,
            Failed(reason=Failure.NOT_FOUND, message="no such job", status=404),
            id="404",
        ),
        pytest.param(
            {"message": "gone"},
            404,
            Failed(reason=Failure.NOT_FOUND, message="gone", status=404),
            id="404 without a status word",
        ),
        pytest.param(
            {"message": "The route api/v6/voice/music could not be found."},
            404,
            Failed(
                reason=Failure.NO_ROUTE,
                message="The route api/v6/voice/music could not be found.",
                status=404,
            ),
            id="no such address",
        ),
        pytest.param(
            {"status": "failed", "id": "", "message": "Failed, Try Again", "output": ""},
            200,
            Failed(reason=Failure.TRY_AGAIN, message="Failed, Try Again"),
            id="try again",
        ),
        pytest.param(
            {
                "status": "failed",
                "id": "abc123-def456",
                "message": "Processing failed: Invalid input dimensions",
                "track_id": "video_001",
            },
            200,
            Failed(
                id="abc123-def456",
                track_id="video_001",
                reason=Failure.FAILED,
                message="Processing failed: Invalid input dimensions",
            ),
            id="webhooks page",
        ),
        pytest.param(
            {"status": "failed", "id": 5, "message": "the engine met its rate limit"},
            200,
            Failed(id="5", reason=Failure.FAILED, message="the engine met its rate limit"),
            id="a named job that failed is not a full queue",
        ),
    ],
)
def test_a_failure_is_read_in_every_shape(answer: object, status: int, expected: Failed) -> None:
    assert read(answer, status) == expected


TIP = "1. Make sure you are passing Content-Type: application/json in header."
SPAM = (
    "you are sending same request multiple times, spam filter is enabled, please wait for 30 "
    "seconds and try again"
)


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (400, {"status": "error", "message": "prompt is required"}, Refusal.REQUEST),
        (401, {"status": "error", "message": "Invalid API key"}, Refusal.KEY),
        (401, {"status": "error", "message": "API key required"}, Refusal.KEY),
        (401, {"message": "Unauthenticated."}, Refusal.KEY),
        (401, {"message": "too many requests"}, Refusal.KEY),
        (402, {"status": "error", "message": "rate limit"}, Refusal.CREDITS),
        (403, {"status": "error", "message": "Invalid API key"}, Refusal.KEY),
        (429, {"status": "error", "message": "Insufficient credits"}, Refusal.CREDITS),
        (400, {"status": "error", "message": "Queue is full"}, Refusal.REQUEST),
        (422, {"status": "error", "message": "Too many requests"}, Refusal.REQUEST),
        (
            422,
            {"message": "The given data was invalid.", "errors": {"prompt": ["too long"]}},
            Refusal.REQUEST,
        ),
        (
            405,
            {"message": "The POST method is not supported", "exception": "X", "trace": []},
            Refusal.REQUEST,
        ),
        (200, {"status": "error", "message": "prompt is required"}, Refusal.REQUEST),
        (200, {"status": "error", "message": "Model id not found"}, Refusal.REQUEST),
        (
            200,
            {"status": "error", "message": "This feature requires a premium subscription"},
            Refusal.PLAN,
        ),
        (
            402,
            {"status": "error", "message": "Insufficient credits. Please add more credits."},
            Refusal.CREDITS,
        ),
        (
            403,
            {"status": "error", "message": "This feature requires a premium subscription"},
            Refusal.PLAN,
        ),
        (403, {"status": "error", "message": "rate limit of your plan"}, Refusal.PLAN),
        (405, {"message": "The POST method is not supported"}, Refusal.REQUEST),
        (422, {"message": {"prompt": ["required", "short"]}}, Refusal.REQUEST),
        (
            200,
            {"status": "error", "message": {"prompt": ["The prompt field is required."]}},
            Refusal.REQUEST,
        ),
        (200, {"status": "error", "message": "Invalid Api Key", "tip": TIP}, Refusal.KEY),
        (
            200,
            {"status": "error", "message": "Insufficient credits. Please recharge your wallet."},
            Refusal.CREDITS,
        ),
        (200, {"status": "error", "message": "Not enough balance"}, Refusal.CREDITS),
        (200, {"status": "failed", "message": "You are out of credits"}, Refusal.CREDITS),
        (200, {"status": "error", "message": "Queue is full"}, Refusal.RATE),
        (200, {"error": "Too many requests"}, Refusal.RATE),
        (429, {"message": "no"}, Refusal.RATE),
        (429, {"status": "processing"}, Refusal.RATE),
        (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, Refusal.RATE),
        (503, {"status": "error", "message": "current_queue: 16"}, Refusal.RATE),
        (503, {"status": "error", "id": 5, "message": "queue is full"}, Refusal.SERVER),
        (500, {"status": "error", "message": "rate limit"}, Refusal.SERVER),
        (
            500,
            {"status": "error", "message": "Internal server error. Please try again."},
            Refusal.SERVER,
        ),
        (408, {"status": "error", "message": "Request Timeout"}, Refusal.SERVER),
        (425, {"status": "error", "message": "no"}, Refusal.SERVER),
        (200, {"status": "error", "message": "Internal server error."}, Refusal.SERVER),
        (200, {"status": "error", "message": "Please try again later"}, Refusal.SERVER),
        (400, {"status": "error", "message": "cURL error 28: timed out"}, Refusal.SERVER),
        (429, {"status": "error", "message": "upstream request timeout"}, Refusal.SERVER),
        (503, {"status": "error", "message": "Queue is full", "tip": "deadlock"}, Refusal.SERVER),
        (
            503,
            {
                "error": "Service Unavailable",
                "message": "Worker not initialized yet",
                "worker_id": 5,
            },
            Refusal.SERVER,
        ),
    ],
)
def test_a_refusal_is_read_by_status_and_words(
    status: int, answer: dict[str, Any], reason: Refusal
) -> None:
    reply = read(answer, status)
    assert isinstance(reply, Refused)
    assert (reply.reason, reply.status) == (reason, status)
    assert reply.raw == answer


@pytest.mark.parametrize(
    ("message", "more", "wait", "maximum"),
    [
        ("Rate limit exceeded. Maximum 5 queued requests allowed.", {"retry_after": 30}, 30.0, 5),
        ("Rate limit exceeded. Maximum of 15 queued requests", {"retry_after": 1.5}, 1.5, 15),
        ("Rate limit. Maximum 0 queued requests allowed.", {"retry_after": "30"}, 30.0, None),
        ("Rate limit. Maximum 999999 queued requests.", {"retry_after": None}, None, None),
        ("Rate limit. Maximum load.", {"retry_after": -1}, None, None),
        ("Rate limit", {"retry_after": []}, None, None),
        ("Rate limit", {"retry_after": True}, None, None),
        ("Rate limit", {"retry_after": "soon"}, None, None),
        ("Rate limit", {"retry_after": 1e9}, 1e9, None),
        ("Rate limit", {"retry_after": 0}, 0.0, None),
        ("Rate limit exceeded", {"tips": SPAM}, 30.0, None),
        ("Too many requests, try again in 20 sec", {}, 20.0, None),
        ("Too many requests, retry after 7s", {}, 7.0, None),
        ("Too many requests, wait 2 minutes", {}, None, None),
    ],
)
def test_s24_a_refusal_tells_how_long_to_wait_and_how_many_may_queue(
    message: str, more: dict[str, Any], wait: float | None, maximum: int | None
) -> None:
    reply = read({"status": "error", "message": message, **more}, 429)
    assert isinstance(reply, Refused)
    assert (reply.retry_after, reply.maximum) == (wait, maximum)


@pytest.mark.parametrize(
    ("message", "interval"),
    [
        ("Rate limit exceeded. Maximum 5 requests per minute allowed.", 12.0),
        ("Rate limit exceeded. Maximum 5 requests per minute", 12.0),
        ("Maximum of 5 requests are allowed per minute.", 12.0),
        ("Rate limit exceeded: maximum 5 requests/min", 12.0),
        ("Rate limit exceeded (maximum 5/min).", 12.0),
        ("Maximum is 5 per min", 12.0),
        ("You reached the limit of 10 API calls per second", 0.1),
        ("Limit 2 req/s", 0.5),
        ("Maximum 60 rpm", 1.0),
        ("Maximum 4rps exceeded", 0.25),
        ("Maximum 1,000 requests per hour", 3.6),
        ("Maximum 100 requests/hr allowed", 36.0),
        ("Maximum 30 requests a day", 2880.0),
        ("Maximum 5 generations every 10 seconds", 2.0),
        ("Maximum 5 queued requests per user per minute", 12.0),
        ("Maximum 5 requests in 1 minute allowed. Please try again in 30 seconds.", 12.0),
        ("Maximum 5 requests per second and 30 requests per minute", 2.0),
        ("Maximum 0 requests per minute", None),
    ],
)
def test_s49_a_number_of_requests_in_some_time_is_a_rate_and_no_depth(
    message: str, interval: float | None
) -> None:
    reply = read({"status": "error", "message": message}, 429)
    assert isinstance(reply, Refused)
    assert (reply.maximum, reply.interval) == (None, interval)


@pytest.mark.parametrize(
    ("message", "maximum", "interval"),
    [
        ("Maximum 5 queued requests allowed. Please try again in 30 seconds.", 5, None),
        ("Maximum 5 queued requests. 30 seconds", 5, None),
        ("Maximum 5 requests at once", 5, None),
        ("Maximum 5 concurrent jobs per account", 5, None),
        ("Maximum 5 queued requests, and 30 requests per minute", 5, 2.0),
        ("60 requests per minute. Maximum 5 queued requests allowed.", 5, 1.0),
        ("Too many requests, try again in 2 minutes", None, None),
        ("Please wait for 30 seconds", None, None),
    ],
)
def test_s49_a_depth_stays_one_whatever_time_is_named_beside_it(
    message: str, maximum: int | None, interval: float | None
) -> None:
    reply = read({"status": "error", "message": message}, 429)
    assert isinstance(reply, Refused)
    assert (reply.maximum, reply.interval) == (maximum, interval)


@pytest.mark.parametrize("per", ["per second", "per minute", "per hour", "/min", "/s", "every day"])
@pytest.mark.parametrize("status", [200, 429, 503])
def test_s49_a_rate_is_told_without_json_too(per: str, status: int) -> None:
    reply = read_reply(f"Maximum 5 requests {per} allowed.".encode(), status)
    assert isinstance(reply, Refused)
    assert (reply.reason, reply.maximum, reply.bare) == (Refusal.RATE, None, False)
    assert reply.interval is not None


def test_s24_a_hint_that_is_not_a_number_is_no_hint() -> None:
    reply = read_reply(b'{"status":"error","message":"no","retry_after":NaN}', 429)
    assert isinstance(reply, Refused)
    assert reply.retry_after is None


@pytest.mark.parametrize(
    ("body", "status", "bare"),
    [
        (b"current_queue is full", 429, False),
        (b"", 429, True),
        (b"slow down", 429, True),
        (b"<html>Too many requests</html>", 429, True),
        (b'{"status":"error","message":"Too many requ', 429, True),
        (b"queue is full, current_queue: 16", 200, False),
        (b"queue is full, current_queue: 16", 503, False),
        (b'"queue is full"', 200, False),
        (b"Too many requests. Please try again later.", 503, False),
    ],
)
def test_only_a_full_queue_is_told_without_json(body: bytes, status: int, bare: bool) -> None:
    reply = read_reply(body, status)
    assert isinstance(reply, Refused)
    assert (reply.reason, reply.status, reply.bare) == (Refusal.RATE, status, bare)


def test_a_refusal_in_plain_text_tells_its_hints_too() -> None:
    reply = read_reply(b"queue is full. Maximum 5 queued requests, wait for 8 seconds", 503)
    assert isinstance(reply, Refused)
    assert (reply.retry_after, reply.maximum) == (8.0, 5)


def test_text_under_a_404_says_that_the_job_is_not_there() -> None:
    assert read_reply(b"<h1>Not Found</h1>", 404) == Failed(
        reason=Failure.NOT_FOUND, message="<h1>Not Found</h1>", status=404
    )


@pytest.mark.parametrize(
    ("body", "status", "reason", "hint"),
    [
        (b"", 200, "an empty answer", None),
        (b" \n", 204, "an empty answer", None),
        (b"", 504, "an empty answer", None),
        (b"<!DOCTYPE html><title>524: A timeout occurred</title>", 524, "a page of HTML", None),
        (b"<html>queue is full</html>", 200, "a page of HTML", None),
        (b"OK", 200, "not JSON", None),
        (b"queue is full", 500, "not JSON", None),
        (b"\xff\xfe{\x00", 200, "not JSON", None),
        (b"\xfe{\xff", 200, "not UTF-8", None),
        (b"[" * 100_000, 200, "nested too deep", None),
        (b"[1]", 200, "JSON, but no object", None),
        (b'[{"id": 5}]', 200, "JSON, but no object", "5"),
        (b"null", 200, "JSON, but no object", None),
        (b"{}", 200, "JSON with neither a known status nor an id", None),
        (
            b'{"status":"ok","model_count":0}',
            200,
            "JSON with neither a known status nor an id",
            None,
        ),
        (b'{"event":"workflow.completed","workflow":{}}', 200, "JSON with neither", None),
        (b'{"status":"ready","output":["u"]}', 200, "JSON with neither", None),
        (b'{"error":"Request Timeout","message":"over 30 seconds"}', 408, "HTTP 408", None),
        (b'{"message":"Unauthorized","request_id":"b7a9"}', 401, "HTTP 401", "b7a9"),
        (b'{"message":"Forbidden"}', 403, "HTTP 403", None),
        (b'{"message":""}', 401, "HTTP 401", None),
        (b'{"message":null}', 401, "HTTP 401", None),
        (b'{"error":{"code":403,"status":"PERMISSION_DENIED"}}', 403, "HTTP 403", None),
        (b'{"statusCode":401,"message":"Access denied due to a key"}', 401, "HTTP 401", None),
        (b'{"detail":"Not authenticated"}', 401, "HTTP 401", None),
        (b'{"status":403,"error":"Forbidden","path":"/"}', 403, "HTTP 403", None),
        (b'{"success":false,"errors":[{"code":10000}]}', 400, "HTTP 400", None),
        (b"", 400, "an empty answer", None),
        (b"<h1>Not Allowed</h1>", 405, "a page of HTML", None),
        (b"<h1>Too Large</h1>", 413, "a page of HTML", None),
        (b"<html>blocked</html>", 403, "a page of HTML", None),
        (b"no", 401, "not JSON", None),
        (b"the queue is full of cats", 200, "not JSON", None),
        (b"Please try again later.", 200, "not JSON", None),
        (b"queue is full", 400, "not JSON", None),
        (b'{"id": 5, "id": 6}', 200, "two values for one name", "5"),
        (b'{"status":"processing","id":43730,"eta"', 200, "not JSON", "43730"),
        (b'\xef\xbb\xbf {"id" : "abc-1", ', 200, "not JSON", "abc-1"),
        (b'{"taskId":"abc-1","x', 200, "not JSON", "abc-1"),
        (b'{"status":"processing","id":4373', 200, "not JSON", None),
        (b'{"status":"processing","id":"../x","a', 200, "not JSON", None),
        (b'{"status":"processing","id":0,"a', 200, "not JSON", None),
        (b'{"meta":{"input_text":"the queue is full"},"id":5,', 200, "not JSON", "5"),
        (b'Warning: x {"input_text":"too many requests","id":5}', 200, "not JSON", "5"),
        (b"", 302, "a redirect (HTTP 302)", None),
        (b'{"status":"error","message":"rate limit"}', 307, "a redirect (HTTP 307)", None),
        (b'{"status":"processing","id":5}', 308, "a redirect (HTTP 308)", "5"),
    ],
)
def test_what_is_no_answer_is_unreadable_and_an_id_in_it_is_a_hint(
    body: bytes, status: int, reason: str, hint: str | None
) -> None:
    reply = read_reply(body, status)
    assert isinstance(reply, Unreadable)
    assert reason in reply.reason
    assert reply.id == hint


def test_an_excerpt_is_printable_and_short() -> None:
    reply = read_reply(b"\x1b]52;c;\x07" + b"x" * 10_000)
    assert isinstance(reply, Unreadable)
    assert reply.excerpt.isprintable()
    assert len(reply.excerpt) == 300


def test_a_message_of_any_shape_is_one_printable_line() -> None:
    message: Any = {"a": ["one\n", {"b": ["two", {"c": {"d": "too deep"}}]}], "n": 3}
    reply = read({"status": "error", "message": message, "error": "one\n", "tips": ["three"]})
    assert isinstance(reply, Failed)
    assert reply.message == "one\\x0a; two; three"


def test_a_message_is_all_that_the_server_says_each_thing_once() -> None:
    reply = read({"error": "Unavailable", "message": "No worker", "tip": "No worker"}, 503)
    assert isinstance(reply, Refused)
    assert reply.message == "No worker; Unavailable"


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        ({"error": "Conflict", "id": 5}, 409, Ticket),
        ({"error": "odd", "id": 5}, 200, Ticket),
        ({"message": "no", "taskId": 5}, 403, Ticket),
        ({"status": "processing", "id": 5}, 400, Ticket),
        ({"status": "processing", "id": 5}, 503, Ticket),
        ({"status": "success", "id": 5, "output": ["u"]}, 502, Finished),
    ],
)
def test_whoever_names_a_job_has_one_whatever_the_status(
    answer: object, status: int, kind: type[Ticket | Finished]
) -> None:
    reply = read(answer, status)
    assert isinstance(reply, kind)
    assert (reply.id, reply.status) == ("5", status)


@pytest.mark.parametrize(
    "answer",
    [
        {"message": "The route api/v6/voice/music_gen could not be found."},
        {"message": ""},
        {"message": "", "exception": r"Symfony\HttpKernel\Exception\NotFoundHttpException"},
    ],
    ids=["words", "nothing", "debug"],
)
def test_the_frameworks_own_404_says_that_there_is_no_such_address(answer: object) -> None:
    reply = read(answer, 404)
    assert isinstance(reply, Failed)
    assert reply.reason is Failure.NO_ROUTE


@pytest.mark.parametrize(
    "answer",
    [
        {"message": "Not Found"},
        {"message": "no Route matched with those values"},
        {"message": "no", "exception": "Illuminate\\Database\\ModelNotFoundException"},
        {"status": "error", "message": "The route x could not be found."},
        {"error": {"code": 404}},
        {},
    ],
    ids=["gateway", "another gateway", "a record", "the API", "a third gateway", "nobody"],
)
def test_a_404_of_anybody_else_says_it_of_a_job_only(answer: object) -> None:
    reply = read(answer, 404)
    assert isinstance(reply, Failed)
    assert reply.reason is Failure.NOT_FOUND
