"""Put what was decided into the error that a caller sees: what, which job, and what to do next."""

from __future__ import annotations

from typing import assert_never

from .._protocol.replies import (
    Failed,
    Failure,
    Finished,
    Refusal,
    Refused,
    RemoteFile,
    Reply,
    Unreadable,
)
from ..errors import (
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
    RequestTimeout,
    ServerError,
    SubmitUnknown,
    TransportError,
    UnexpectedReply,
    WrongContent,
)
from .download import Abort, FailureKind
from .poll import Stop

_REFUSALS: dict[Refusal, tuple[type[APIError], str]] = {
    Refusal.KEY: (
        AuthenticationError,
        "check the key (MODELSLAB_API_KEY) against your ModelsLab dashboard",
    ),
    Refusal.CREDITS: (InsufficientCredits, "add credits to the account, then send it again"),
    Refusal.PLAN: (PermissionDenied, "the account's plan does not include this; see your plan"),
    Refusal.REQUEST: (BadRequest, "change the request; it was not accepted and costs nothing"),
    Refusal.RATE: (RateLimited, "send it again after that time; it costs nothing"),
    Refusal.SERVER: (ServerError, "try again later"),
}

_FAILURES: dict[Failure, tuple[type[APIError], str]] = {
    Failure.FAILED: _REFUSALS[Refusal.REQUEST],
    Failure.TRY_AGAIN: _REFUSALS[Refusal.SERVER],
    Failure.NOT_FOUND: (
        NotFound,
        "check MODELSLAB_BASE_URL, and which account the key belongs to",
    ),
    Failure.NO_ROUTE: (
        NotFound,
        "there is no such address, and nothing was accepted: check MODELSLAB_BASE_URL",
    ),
}


def no_answer(
    what: str, reason: str, *, timed_out: bool, track_id: int | str | None = None
) -> TransportError:
    """The error for a request of which nothing came back, and which cost nothing."""
    kind = RequestTimeout if timed_out else TransportError
    return kind(
        f"{what}: {reason}; nothing was accepted, so it can be tried again", track_id=track_id
    )


def said_no(
    what: str,
    reply: Refused | Failed,
    status: int,
    *,
    job: str | None = None,
    job_id: str | None = None,
    known_as: str | None = None,
    track_id: int | str | None = None,
) -> APIError:
    """The error for an answer that turns a request away."""
    kind, remedy = _kind(reply)
    named = job_id or reply.id
    if job is not None:
        remedy = _ABOUT_A_JOB.format(known_as)
    elif named is not None:
        remedy = f"the answer names job {named}: see in your wallet whether it was billed"
    message = f"{what}: {reply.message or 'refused without a reason'} (HTTP {status}); {remedy}"
    wait = reply.retry_after if isinstance(reply, Refused) else None
    return kind(
        message if wait is None else f"{message} (it asks to wait {wait:.0f} s)",
        status_code=status,
        server_message=reply.message,
        retry_after=wait,
        job=job,
        job_id=named,
        track_id=track_id,
    )


# Whoever asks about a job has paid for it: "send it again" would be advice to pay twice.
_ABOUT_A_JOB = (
    "the job stays paid for and may go on: settle this, then resume with client.job({!r})"
)


def _kind(reply: Refused | Failed) -> tuple[type[APIError], str]:
    if isinstance(reply, Refused):
        return _REFUSALS[reply.reason]
    return _FAILURES[reply.reason]


def parked(seconds: float, track_id: int | str) -> RateLimited:
    """The error for a submit that was not sent, because an earlier answer asked for a long wait."""
    return RateLimited(
        f"submit: the API asked to be left alone for another {seconds:.0f} s; this request was not "
        "sent and costs nothing: send it again after that time",
        retry_after=seconds,
        track_id=track_id,
    )


def cannot_read(what: str, reply: Reply, status: int) -> UnexpectedReply:
    """The error for an answer that has no meaning where it came."""
    reason = reply.reason if isinstance(reply, Unreadable) else "an answer to something else"
    return UnexpectedReply(
        f"{what}: the answer is {reason} (HTTP {status}); try again later, and if it stays so, "
        "check MODELSLAB_BASE_URL",
        status_code=status,
        excerpt=reply.excerpt if isinstance(reply, Unreadable) else "",
    )


def may_exist(
    reason: str, track_id: int | str, hint: str | None, known_as: str | None = None
) -> SubmitUnknown:
    """The error for a submit that may have made a job which we do not know.

    Args:
        reason: why it is not known.
        track_id: of the request.
        hint: the id of a job that a broken answer seems to name.
        known_as: what `ModelsLab.job` takes for that one, if the id is not enough.
    """
    job = known_as or hint
    named = f" (a broken answer named id {hint}: try client.job({job!r}))" if hint else ""
    return SubmitUnknown(
        f"a job may exist and be billed, with track_id {track_id}: {reason}{named}; "
        "look for it in your ModelsLab dashboard before you send the request again",
        track_id=track_id,
        job_id=hint,
    )


def outage(count: int, last: SubmitUnknown) -> SubmitUnknown:
    """The error for submits that all went unanswered: what goes on like this pays for nothing."""
    return SubmitUnknown(
        f"{count} submits in a row have no answer that says what became of them, the last with "
        f"track_id {last.track_id}; nothing more is sent, and none of them is sent again: "
        "see whether the API works, then run the batch again, which looks for their jobs",
        track_id=last.track_id,
    )


def nothing_arrives(count: int, last: ModelsLabError) -> IncompleteDownload:
    """The error for files that did not arrive: to pay for more of them would be no use."""
    return IncompleteDownload(
        f"no file arrives: {count} were given up, the last with: {last}. Nothing more is sent. All "
        "that is finished is paid for and stays on the server: run the batch again later, which "
        "downloads it free, rows in output_lost when they are named for a retry",
        job_id=last.job_id,
    )


def stopped(
    stop: Stop,
    *,
    job: str,
    job_id: str,
    known_as: str,
    track_id: int | str | None,
    waited: float,
    last: str,
) -> ModelsLabError:
    """The error for a job that will not be waited for any longer.

    Args:
        stop: why.
        job: its handle.
        job_id: its id.
        known_as: what `ModelsLab.job` takes for it.
        track_id: its track_id.
        waited: seconds since it was accepted.
        last: what the last poll brought, in words; empty when it was a plain "processing".
    """
    match stop.reply:
        case None:
            return JobTimeout(
                f"job {job_id} is still processing after {waited:.0f} s"
                + (f" (last answer: {last})" if last else "")
                + f"; it keeps running: resume with client.job({known_as!r})",
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
        case Failed(reason=Failure.NOT_FOUND | Failure.NO_ROUTE) as reply:
            return NotFound(
                f"job {job_id}: the API does not know it any more "
                f"({reply.message or 'it gives no reason'}); it may still appear: "
                f"ask again later with client.job({known_as!r})",
                status_code=reply.status,
                server_message=reply.message,
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
        case Failed() as reply:
            return JobFailed(
                f"job {job_id} failed: {reply.message or 'the server gives no reason'}; "
                "whether it was billed is in your ModelsLab wallet; a new request is a new job",
                server_message=reply.message,
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
        case Refused() as reply:
            return said_no(
                f"asking for job {job_id}",
                reply,
                reply.status,
                job=job,
                job_id=job_id,
                known_as=known_as,
                track_id=track_id,
            )
        case Finished():
            return OutputLost(
                f"job {job_id} is finished, but the API names no file; it is paid for: ask again "
                f"later with client.job({known_as!r}), then ModelsLab support",
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
    assert_never(stop.reply)


_NO_FILE: dict[FailureKind, type[DownloadError]] = {
    FailureKind.WRONG: WrongContent,
    FailureKind.GONE: OutputLost,
    FailureKind.REFUSED: OutputLost,
    FailureKind.ADDRESS: DownloadError,  # it is not lost: another setting, and it comes
}


def no_file(give_up: Abort, file: RemoteFile, tries: int) -> DownloadError:
    """The error for a file that no link led to."""
    kind = _NO_FILE.get(give_up.trouble, IncompleteDownload)
    if kind is WrongContent and file.gives == "audio":
        kind = NotAudio
    return kind(
        f"the file of job {file.job_id or '(unknown)'} did not arrive in {tries} tries: "
        f"{give_up.trouble.value} ({give_up.detail}); it is paid for, and downloading again is "
        "free: client.download(client.job(id), to=...)",
        job_id=file.job_id or None,
    )


def cannot_write(reason: str | None, file: RemoteFile, directory: object) -> DownloadError:
    """The error for a file that the disk does not take."""
    return DownloadError(
        f"the file of job {file.job_id} cannot be written to {directory}: {reason}; "
        "it is paid for and stays on the server: make room, then download it again, free",
        job_id=file.job_id or None,
    )
