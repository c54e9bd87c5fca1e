"""Turn decisions into the errors that callers see: what happened, to which job, what to do next."""

from __future__ import annotations

import errno
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
from .._text import plural
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
    Refusal.PLAN: (PermissionDenied, "your account's plan does not include this"),
    Refusal.REQUEST: (BadRequest, "change the request; it was not accepted and costs nothing"),
    Refusal.RATE: (RateLimited, "it was not accepted and costs nothing: send it again later"),
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
        "this URL does not exist, so nothing was accepted: check MODELSLAB_BASE_URL",
    ),
}


def no_response(
    what: str, reason: str, *, timed_out: bool, track_id: int | str | None = None
) -> TransportError:
    """Return the error for a request that got no response and cost nothing."""
    kind = RequestTimeout if timed_out else TransportError
    return kind(
        f"{what}: {reason}; nothing was accepted, so it can be tried again", track_id=track_id
    )


def request_refused(
    what: str,
    reply: Refused | Failed,
    status: int,
    *,
    job: str | None = None,
    job_id: str | None = None,
    known_as: str | None = None,
    track_id: int | str | None = None,
) -> APIError:
    """Return the error for a reply that refuses a request."""
    kind, remedy = _kind(reply)
    named = job_id or reply.id
    if job is not None:
        remedy = _KEEP_THE_JOB.format(known_as)
    elif named is not None:
        remedy = f"the reply names job {named}: check in your wallet whether it was billed"
    message = f"{what}: {reply.message or 'refused without a reason'} (HTTP {status}); {remedy}"
    wait = reply.retry_after if isinstance(reply, Refused) else None
    return kind(
        message if wait is None else f"{message} (retry after {wait:.0f} s)",
        status_code=status,
        server_message=reply.message,
        retry_after=wait,
        job=job,
        job_id=named,
        track_id=track_id,
    )


# The job of a refused poll is already paid for: "send it again" would be advice to pay twice.
_KEEP_THE_JOB = (
    "the job is paid for and may still be running: fix this, then resume with client.job({!r})"
)


def _kind(reply: Refused | Failed) -> tuple[type[APIError], str]:
    if isinstance(reply, Refused):
        return _REFUSALS[reply.reason]
    return _FAILURES[reply.reason]


def blocked(seconds: float, track_id: int | str) -> RateLimited:
    """Return the error for a submit that was not sent because of an earlier, long Retry-After."""
    return RateLimited(
        f"submit: rate limited, retry after {seconds:.0f} s; this request was not sent and costs "
        "nothing",
        retry_after=seconds,
        track_id=track_id,
    )


def unexpected_reply(what: str, reply: Reply, status: int) -> UnexpectedReply:
    """Return the error for a reply that makes no sense for this request."""
    reason = reply.reason if isinstance(reply, Unreadable) else "a reply to another request"
    return UnexpectedReply(
        f"{what}: the response is {reason} (HTTP {status}); try again later, and if this persists, "
        "check MODELSLAB_BASE_URL",
        status_code=status,
        excerpt=reply.excerpt if isinstance(reply, Unreadable) else "",
    )


def submit_unknown(
    reason: str, track_id: int | str, hint: str | None, known_as: str | None = None
) -> SubmitUnknown:
    """Return the error for a submit with an unknown outcome: it may have created a job.

    Args:
        reason: why the outcome is unknown.
        track_id: of the request.
        hint: the job id that a damaged response seems to contain.
        known_as: what to pass to `ModelsLab.job` for that job, if the id is not enough.
    """
    job = known_as or hint
    named = f" (a damaged response names id {hint}: try client.job({job!r}))" if hint else ""
    return SubmitUnknown(
        f"a job may exist and be billed, with track_id {track_id}: {reason}{named}; "
        "look for it in your ModelsLab dashboard before you send the request again",
        track_id=track_id,
        job_id=hint,
    )


def submit_outage(count: int, last: SubmitUnknown) -> SubmitUnknown:
    """Return the error that stops a batch after many submits in a row with unknown outcomes."""
    return SubmitUnknown(
        f"the outcome of {count} submits in a row is unknown, the last with track_id "
        f"{last.track_id}; nothing more is sent, and none of them is sent again: check that the "
        "API works, then run the batch again, which looks for their jobs",
        track_id=last.track_id,
    )


def download_outage(count: int, last: ModelsLabError) -> IncompleteDownload:
    """Return the error that stops a batch because downloads keep failing: no more paid jobs."""
    return IncompleteDownload(
        f"downloads keep failing: {count} files failed, the last with: {last}. Nothing more is "
        "sent. Finished jobs are paid for and their files stay on the server: run the batch again "
        "later to download them for free (rows in output_lost only if named for a retry)",
        job_id=last.job_id,
    )


def polling_stopped(
    stop: Stop,
    *,
    job: str,
    job_id: str,
    known_as: str,
    track_id: int | str | None,
    waited: float,
    last: str,
) -> ModelsLabError:
    """Return the error for a job that is no longer polled.

    Args:
        stop: why polling stopped.
        job: the job's handle.
        job_id: the job's id.
        known_as: what to pass to `ModelsLab.job` for it.
        track_id: the job's track_id.
        waited: seconds since the job was accepted.
        last: the last poll's result in words; empty for a plain "processing".
    """
    match stop.reply:
        case None:
            return JobTimeout(
                f"job {job_id} is still processing after {waited:.0f} s"
                + (f" (last reply: {last})" if last else "")
                + f"; it keeps running: resume with client.job({known_as!r})",
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
        case Failed(reason=Failure.NOT_FOUND | Failure.NO_ROUTE) as reply:
            return NotFound(
                f"job {job_id}: the API no longer knows this job "
                f"({reply.message or 'no reason given'}); it may reappear: "
                f"try again later with client.job({known_as!r})",
                status_code=reply.status,
                server_message=reply.message,
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
        case Failed() as reply:
            return JobFailed(
                f"job {job_id} failed: {reply.message or 'the server gives no reason'}; your "
                "ModelsLab wallet shows whether it was billed; a new request is a new paid job",
                server_message=reply.message,
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
        case Refused() as reply:
            return request_refused(
                f"polling job {job_id}",
                reply,
                reply.status,
                job=job,
                job_id=job_id,
                known_as=known_as,
                track_id=track_id,
            )
        case Finished():
            return OutputLost(
                f"job {job_id} is finished, but the API names no file; it is paid for: try again "
                f"later with client.job({known_as!r}), then contact ModelsLab support",
                job=job,
                job_id=job_id,
                track_id=track_id,
            )
    assert_never(stop.reply)


_DOWNLOAD_ERRORS: dict[FailureKind, type[DownloadError]] = {
    FailureKind.WRONG: WrongContent,
    FailureKind.GONE: OutputLost,
    FailureKind.REFUSED: OutputLost,
    FailureKind.ADDRESS: DownloadError,  # not lost: a setting (allow_addresses) can permit it
}


def download_failed(abort: Abort, file: RemoteFile, attempts: int) -> DownloadError:
    """Return the error for a file that could not be downloaded from any link."""
    kind = _DOWNLOAD_ERRORS.get(abort.kind, IncompleteDownload)
    if kind is WrongContent and file.gives == "audio":
        kind = NotAudio
    return kind(
        f"downloading the file of job {file.job_id or '(unknown)'} failed after "
        f"{plural(attempts, 'attempt')}: {abort.kind.value} ({abort.detail}); it is paid for, and "
        "downloading again is free: client.download(client.job(id), to=...)",
        job_id=file.job_id or None,
    )


# What helps, by the name of the error's number.
_DISK_REMEDIES = {
    **dict.fromkeys(("ENOSPC", "EDQUOT"), "free disk space"),
    **dict.fromkeys(("EMFILE", "ENFILE"), "raise the limit of open files (ulimit -n)"),
    **dict.fromkeys(("EROFS", "EACCES", "EPERM"), "make the directory writable"),
    "EFBIG": "raise the limit of file sizes (ulimit -f)",
}


def disk_remedy(error: OSError) -> str:
    """Return what to do after an error of the file system."""
    return _DISK_REMEDIES.get(errno.errorcode.get(error.errno or 0, ""), "check the disk")


def write_failed(error: OSError, file: RemoteFile, directory: object) -> DownloadError:
    """Return the error for a file that could not be written to disk."""
    return DownloadError(
        f"the file of job {file.job_id} cannot be written to {directory}: {error.strerror}; "
        f"it is paid for and stays on the server: {disk_remedy(error)}, then download it again for "
        "free",
        job_id=file.job_id or None,
    )
