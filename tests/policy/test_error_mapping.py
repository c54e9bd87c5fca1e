"""Every error says what happened, to which job, and what to do next, and travels as it is."""

from __future__ import annotations

import copy
import errno
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import errors
from modelslab_async._policy.download import Abort, FailureKind
from modelslab_async._policy.error_mapping import (
    blocked,
    download_failed,
    download_outage,
    no_response,
    polling_stopped,
    request_refused,
    submit_outage,
    submit_unknown,
    unexpected_reply,
    write_failed,
)
from modelslab_async._policy.poll import Stop
from modelslab_async._protocol.replies import (
    Failed,
    Failure,
    Finished,
    Links,
    Pending,
    Refusal,
    Refused,
    RemoteFile,
    Unreadable,
)
from modelslab_async.errors import (
    APIError,
    AuthenticationError,
    BadRequest,
    DownloadError,
    IncompleteDownload,
    InsufficientCredits,
    JobFailed,
    JobTimeout,
    ModelsLabError,
    NotAudio,
    NotFound,
    OutputLost,
    PermissionDenied,
    RateLimited,
    RequestError,
    RequestTimeout,
    ServerError,
    SubmitUnknown,
    TransportError,
    UnexpectedReply,
    WrongContent,
)


def tree(kind: type[ModelsLabError] = ModelsLabError) -> Iterator[type[ModelsLabError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


ABOUT = {"job": '{"id": "7"}', "job_id": "7", "track_id": 17}
MORE: dict[str, Any] = {
    "field": "duration",
    "value": 5,
    "status_code": 429,
    "server_message": "no",
    "retry_after": 30.0,
    "excerpt": "<html>",
}


def an(kind: type[ModelsLabError]) -> ModelsLabError:
    """An error of this kind with every attribute that it takes."""
    takes = inspect.signature(kind).parameters
    return kind("what happened", **{k: v for k, v in {**ABOUT, **MORE}.items() if k in takes})


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_an_error_travels_with_all_that_it_knows(kind: type[ModelsLabError], travel: Any) -> None:
    error = an(kind)
    error.add_note("a note")
    twin = travel(error)
    assert type(twin) is kind
    assert str(twin) == str(error)
    assert known(twin) == known(error)


def known(error: ModelsLabError) -> dict[str, Any]:
    return {
        name: [str(one) for one in value] if name == "args" or name == "exceptions" else value
        for name, value in {**vars(error), "args": error.args}.items()
    }


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_an_error_says_why_in_its_own_docstring(kind: type[ModelsLabError]) -> None:
    assert kind.__doc__
    assert issubclass(kind, errors.ModelsLabError)


@pytest.mark.parametrize("value", [object(), lambda: 0, Path("a"), [1], {"a": 1}])
def test_a_refused_value_that_may_not_travel_is_kept_as_text(value: object) -> None:
    error = RequestError("no", field="prompt", value=value)
    assert error.value == repr(value)
    assert pickle.loads(pickle.dumps(error)).value == repr(value)


@pytest.mark.parametrize("value", [None, True, 5, 5.0, "text", b"bytes"])
def test_a_plain_refused_value_is_kept_as_it_is(value: object) -> None:
    assert RequestError("no", field="prompt", value=value).value is value


def test_errors_are_also_what_python_calls_them() -> None:
    assert issubclass(RequestTimeout, TimeoutError)
    assert issubclass(JobTimeout, TimeoutError)
    assert issubclass(RequestError, ValueError)
    assert issubclass(errors.ConfigurationError, ValueError)


def test_only_what_costs_nothing_to_try_again_is_retryable() -> None:
    retryable = {kind.__name__ for kind in tree() if kind.retryable}
    assert retryable == {
        "TransportError",
        "RequestTimeout",
        "RateLimited",
        "DownloadError",
        "IncompleteDownload",
        "NotAudio",
        "WrongContent",
        "OutputLost",
    }


# What to do next


def refused(reason: Refusal, **more: Any) -> Refused:
    return Refused(reason=reason, message="the server's words", **more)


@pytest.mark.parametrize(
    ("reason", "kind", "remedy"),
    [
        (Refusal.KEY, AuthenticationError, "check the key (MODELSLAB_API_KEY)"),
        (Refusal.CREDITS, InsufficientCredits, "add credits to the account"),
        (Refusal.PLAN, PermissionDenied, "does not include this"),
        (Refusal.REQUEST, BadRequest, "change the request"),
        (Refusal.RATE, RateLimited, "costs nothing: send it again later"),
        (Refusal.SERVER, ServerError, "try again later"),
    ],
)
def test_a_refused_submit_says_what_to_change(
    reason: Refusal, kind: type[APIError], remedy: str
) -> None:
    error = request_refused("submit", refused(reason), 400, track_id=17)
    assert type(error) is kind
    assert "submit: the server's words (HTTP 400)" in str(error)
    assert remedy in str(error)
    assert (error.status_code, error.server_message) == (400, "the server's words")
    assert (error.track_id, error.job, error.job_id) == (17, None, None)


@pytest.mark.parametrize(
    ("reason", "kind", "remedy"),
    [
        (Failure.FAILED, BadRequest, "change the request"),
        (Failure.TRY_AGAIN, ServerError, "try again later"),
        (Failure.NOT_FOUND, NotFound, "check MODELSLAB_BASE_URL"),
    ],
)
def test_a_failed_submit_says_what_to_change(
    reason: Failure, kind: type[APIError], remedy: str
) -> None:
    error = request_refused("submit", Failed(reason=reason), 200)
    assert type(error) is kind
    assert "refused without a reason" in str(error)
    assert remedy in str(error)


def test_a_refusal_that_names_a_job_does_not_claim_that_it_cost_nothing() -> None:
    error = request_refused("submit", Failed(reason=Failure.FAILED, message="no", id="7"), 200)
    assert error.job_id == "7"
    assert "names job 7" in str(error)
    assert "wallet" in str(error)
    assert "costs nothing" not in str(error)


def test_a_wait_that_was_asked_for_is_said() -> None:
    error = request_refused("submit", refused(Refusal.RATE, retry_after=7200.0), 429)
    assert error.retry_after == 7200.0
    assert "(retry after 7200 s)" in str(error)


def test_a_submit_that_was_held_back_says_for_how_long() -> None:
    error = blocked(7200.0, 17)
    assert type(error) is RateLimited
    assert (error.retry_after, error.track_id) == (7200.0, 17)
    assert "7200 s" in str(error)


@pytest.mark.parametrize(
    ("timed_out", "kind"), [(False, TransportError), (True, RequestTimeout)]
)  # fmt: skip
def test_silence_says_that_it_can_be_tried_again(timed_out: bool, kind: type) -> None:
    error = no_response("submit", "no connection", timed_out=timed_out, track_id=17)
    assert type(error) is kind
    assert str(error) == "submit: no connection; nothing was accepted, so it can be tried again"
    assert error.track_id == 17


def test_an_unreadable_answer_is_shown_in_part() -> None:
    error = unexpected_reply("balance", Unreadable(reason="a page of HTML", excerpt="<html>"), 502)
    assert type(error) is UnexpectedReply
    assert (error.status_code, error.excerpt) == (502, "<html>")
    assert "balance: the response is a page of HTML (HTTP 502)" in str(error)
    assert "check MODELSLAB_BASE_URL" in str(error)


def test_an_answer_to_something_else_is_unreadable_too() -> None:
    error = unexpected_reply("balance", Pending(), 200)
    assert "a reply to another request" in str(error)
    assert error.excerpt == ""


def test_an_unknown_submit_says_where_to_look_before_it_is_sent_again() -> None:
    error = submit_unknown("no complete answer", 17, None)
    assert type(error) is SubmitUnknown
    assert "may exist and be billed, with track_id 17: no complete answer" in str(error)
    assert "before you send the request again" in str(error)
    assert (error.track_id, error.job_id, error.retryable) == (17, None, False)


def test_an_unknown_submit_hands_on_the_id_that_a_broken_answer_named() -> None:
    error = submit_unknown("cut short", 17, "43730")
    assert error.job_id == "43730"
    assert "client.job('43730')" in str(error)


def test_files_that_do_not_arrive_are_paid_for_and_brought_free() -> None:
    error = download_outage(3, OutputLost("the file of job 7 is gone", job_id="7"))
    assert isinstance(error, IncompleteDownload)
    assert error.job_id == "7"
    assert "3 files failed, the last with: the file of job 7 is gone" in str(error)
    assert "free" in str(error)


def test_an_outage_names_the_last_submit_and_says_that_none_is_sent_again() -> None:
    error = submit_outage(13, submit_unknown("HTTP 502", 17, None))
    assert (type(error), error.track_id) == (SubmitUnknown, 17)
    assert "13 submits in a row" in str(error)
    assert "run the batch again" in str(error)


def end(reply: Failed | Refused | Finished | None, last: str = "") -> ModelsLabError:
    return polling_stopped(
        Stop(reply),
        job='{"id": "7"}',
        job_id="7",
        known_as="7",
        track_id=17,
        waited=300.2,
        last=last,
    )


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (None, JobTimeout),
        (Failed(reason=Failure.FAILED), JobFailed),
        (Failed(reason=Failure.TRY_AGAIN), JobFailed),
        (Failed(reason=Failure.NOT_FOUND), NotFound),
        (Finished(links=Links()), OutputLost),
        (refused(Refusal.KEY), AuthenticationError),
        (refused(Refusal.CREDITS), InsufficientCredits),
        (refused(Refusal.PLAN), PermissionDenied),
        (refused(Refusal.REQUEST), BadRequest),
        (refused(Refusal.SERVER), ServerError),
    ],
)
def test_a_job_that_is_given_up_is_handed_over(
    reply: Failed | Refused | Finished | None, kind: type
) -> None:
    error = end(reply)
    assert type(error) is kind
    assert (error.job, error.job_id, error.track_id) == ('{"id": "7"}', "7", 17)
    assert "job 7" in str(error)


@pytest.mark.parametrize("reason", Refusal)
def test_p07_nobody_is_told_to_send_a_paid_job_again(reason: Refusal) -> None:
    text = str(end(refused(reason)))
    assert "the job is paid for" in text
    assert "resume with client.job('7')" in text
    assert "send it again" not in text
    assert "costs nothing" not in text


@pytest.mark.parametrize("status", [200, 401])
def test_the_status_of_a_refused_poll_is_the_one_that_came(status: int) -> None:
    error = end(refused(Refusal.KEY, status=status))
    assert isinstance(error, APIError)
    assert error.status_code == status


@pytest.mark.parametrize("status", [200, 404])
def test_p08_a_job_that_is_not_found_may_still_appear(status: int) -> None:
    error = end(Failed(reason=Failure.NOT_FOUND, message="Request not found", status=status))
    assert isinstance(error, NotFound)
    assert (error.status_code, error.server_message) == (status, "Request not found")
    assert "try again later with client.job('7')" in str(error)


def test_p13_a_timeout_says_how_long_and_how_to_go_on() -> None:
    assert str(end(None)) == (
        "job 7 is still processing after 300 s; it keeps running: resume with client.job('7')"
    )
    assert "(last reply: a page of HTML)" in str(end(None, "a page of HTML"))


@pytest.mark.parametrize(
    ("message", "words"), [("bad prompt", "bad prompt"), ("", "the server gives no reason")]
)
def test_p10_a_failed_job_says_why_and_where_the_money_is(message: str, words: str) -> None:
    error = end(Failed(reason=Failure.FAILED, message=message))
    assert isinstance(error, JobFailed)
    assert error.server_message == message
    assert f"job 7 failed: {words}" in str(error)
    assert "wallet" in str(error)


def test_p11_a_job_without_a_file_can_be_asked_for_again() -> None:
    assert "try again later with client.job('7')" in str(end(Finished(links=Links())))


@pytest.mark.parametrize("trouble", FailureKind)
def test_a_file_that_did_not_come_is_paid_for_and_can_be_fetched_again(
    trouble: FailureKind,
) -> None:
    kinds = {
        FailureKind.WRONG: NotAudio,
        FailureKind.GONE: OutputLost,
        FailureKind.REFUSED: OutputLost,
        FailureKind.ADDRESS: DownloadError,
    }
    error = download_failed(Abort(trouble, "details"), RemoteFile((), "7"), 3)
    assert type(error) is kinds.get(trouble, IncompleteDownload)
    assert isinstance(error, DownloadError)
    assert error.job_id == "7"
    assert f"job 7 failed after 3 attempts: {trouble.value} (details)" in str(error)
    assert "downloading again is free" in str(error)


def test_what_is_no_text_is_no_wrong_audio() -> None:
    error = download_failed(
        Abort(FailureKind.WRONG, "WAV sound"), RemoteFile((), "7", gives="text"), 3
    )
    assert type(error) is WrongContent


def test_a_file_of_a_job_without_an_id_is_of_an_unknown_job() -> None:
    error = download_failed(Abort(FailureKind.CUT, ""), RemoteFile(()), 1)
    assert error.job_id is None
    assert "(unknown)" in str(error)


@pytest.mark.parametrize("job_id", ["7", ""])
@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free disk space, then"),
        (errno.EDQUOT, "free disk space, then"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n), then"),
        (errno.EFBIG, "raise the limit of file sizes (ulimit -f), then"),
        (errno.EROFS, "make the directory writable, then"),
        (errno.EIO, "check the disk, then"),
        (None, "check the disk, then"),
    ],
)
def test_a_file_that_the_disk_does_not_take_is_not_lost_and_the_advice_fits_the_cause(
    number: int | None, remedy: str, job_id: str
) -> None:
    cause = OSError("odd") if number is None else OSError(number, "the cause")
    error = write_failed(cause, RemoteFile((), job_id), "out")
    assert (error.job_id, type(error)) == (job_id or None, DownloadError)
    assert str(cause.strerror) in str(error)
    assert f"{remedy} download it again for free" in str(error)
