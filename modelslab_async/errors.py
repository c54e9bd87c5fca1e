"""The exception hierarchy. This module imports only `_text`.

::

    ModelsLabError
    ├── ConfigurationError  (ValueError)     no key, http:// to a foreign host, a bad setting
    ├── RequestError        (ValueError)     a request value out of bounds; nothing was sent
    ├── TransportError                       no usable response from the network
    │   └── RequestTimeout  (TimeoutError)
    ├── APIError                             the API refused the request
    │   ├── BadRequest            400, 405, 413, 415, 422
    │   ├── AuthenticationError   401
    │   ├── InsufficientCredits   402
    │   ├── PermissionDenied      403
    │   ├── NotFound              404, or "Request not found"
    │   ├── RateLimited           429, queue full, spam filter
    │   └── ServerError           5xx
    ├── UnexpectedReply                      a response that cannot be read
    ├── SubmitUnknown                        a job may exist and may be billed
    ├── JobError
    │   ├── JobFailed                        the server says the job failed
    │   └── JobTimeout      (TimeoutError)   the wait timed out; the job still runs
    ├── DownloadError
    │   ├── IncompleteDownload               every link stopped before the end of the file
    │   ├── WrongContent                     every link served other content
    │   │   └── NotAudio                     audio was requested
    │   └── OutputLost                       paid for, but every link is dead
    ├── WebhookError
    ├── LedgerError
    │   ├── LedgerMoved                      the directory was renamed or removed during the run
    │   ├── LedgerCopied                     the directory is a copy; the original may have paid
    │   └── WrongAccount                     it was paid for with another key or at another origin
    └── LimitReached                         a limit that you set stopped the batch

Every message says what happened, to which job, and what to do next. Every error can be pickled, and
none contains the API key: the transport redacts each response before any other code reads it.
"""

from __future__ import annotations

from typing import ClassVar

from ._text import shown

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequest",
    "ConfigurationError",
    "DownloadError",
    "IncompleteDownload",
    "InsufficientCredits",
    "JobError",
    "JobFailed",
    "JobTimeout",
    "LedgerCopied",
    "LedgerError",
    "LedgerMoved",
    "LimitReached",
    "ModelsLabError",
    "NotAudio",
    "NotFound",
    "OutputLost",
    "PermissionDenied",
    "RateLimited",
    "RequestError",
    "RequestTimeout",
    "ServerError",
    "SubmitUnknown",
    "TransportError",
    "UnexpectedReply",
    "WebhookError",
    "WrongAccount",
    "WrongContent",
]

_PLAIN = (type(None), bool, int, float, str, bytes)


class ModelsLabError(Exception):
    """The base class of all errors that this package raises on purpose.

    Attributes:
        retryable: whether the same call can be repeated unchanged without the risk of paying twice.
        job: the job's handle, as text for ``client.job()``, or ``None``.
        job_id: the server's id of the job, or ``None`` if unknown.
        track_id: the ``track_id`` that was sent with the job, or ``None``.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        job: str | None = None,
        job_id: str | None = None,
        track_id: int | str | None = None,
    ) -> None:
        super().__init__(message)
        self.job = job
        self.job_id = job_id
        self.track_id = track_id


class ConfigurationError(ModelsLabError, ValueError):
    """A setting is missing or invalid. Nothing was sent."""


class RequestError(ModelsLabError, ValueError):
    """A request value is out of its documented bounds or of the wrong type. Nothing was sent.

    Attributes:
        field: the name of the field, as the API spells it.
        value: the invalid value; the start of its ``repr`` if it is not of a basic type.
    """

    def __init__(self, message: str, *, field: str = "", value: object = None) -> None:
        super().__init__(message)
        self.field = field
        # Errors must be picklable, and an arbitrary value might not be.
        self.value = value if type(value) in _PLAIN else shown(value, 200)


class TransportError(ModelsLabError):
    """No usable response from the network."""

    retryable = True


class RequestTimeout(TransportError, TimeoutError):
    """No complete response to one HTTP request within its timeout."""


class APIError(ModelsLabError):
    """The API refused the request.

    Attributes:
        status_code: the HTTP status; often 200, because this API reports errors with 200 too.
        server_message: the server's message, made printable and truncated.
        retry_after: seconds that the server asked to wait, or ``None``.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 0,
        server_message: str = "",
        retry_after: float | None = None,
        job: str | None = None,
        job_id: str | None = None,
        track_id: int | str | None = None,
    ) -> None:
        super().__init__(message, job=job, job_id=job_id, track_id=track_id)
        self.status_code = status_code
        self.server_message = server_message
        self.retry_after = retry_after


class BadRequest(APIError):
    """The API considers the request invalid."""


class AuthenticationError(APIError):
    """The API does not accept the key."""


class InsufficientCredits(APIError):
    """The account does not have enough credits for this."""


class PermissionDenied(APIError):
    """The account's plan does not include this."""


class NotFound(APIError):
    """The API does not know the requested job."""


class RateLimited(APIError):
    """The API asked for a longer wait than this package is willing to sleep."""

    retryable = True


class ServerError(APIError):
    """The API, or a gateway in front of it, reported an internal error."""


class UnexpectedReply(ModelsLabError):
    """A response that does not match any known reply of this API.

    Attributes:
        status_code: its HTTP status.
        excerpt: its first characters, made printable.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 0,
        excerpt: str = "",
        job: str | None = None,
        job_id: str | None = None,
        track_id: int | str | None = None,
    ) -> None:
        super().__init__(message, job=job, job_id=job_id, track_id=track_id)
        self.status_code = status_code
        self.excerpt = excerpt


class SubmitUnknown(ModelsLabError):
    """A submit was sent, but its outcome is unknown: a job may exist and be billed.

    This package never sends it again. If the job exists, it has this ``track_id``.
    """


class JobError(ModelsLabError):
    """An error about a job that the API has accepted."""


class JobFailed(JobError):
    """The server reports that the job failed.

    Attributes:
        server_message: the server's reason, made printable.
    """

    def __init__(
        self,
        message: str,
        *,
        server_message: str = "",
        job: str | None = None,
        job_id: str | None = None,
        track_id: int | str | None = None,
    ) -> None:
        super().__init__(message, job=job, job_id=job_id, track_id=track_id)
        self.server_message = server_message


class JobTimeout(JobError, TimeoutError):
    """The wait timed out; the job keeps running and is paid for. Resume: ``client.job(error.job)``.

    Not ``retryable``: calling `generate` again would pay for a second job.
    """


class DownloadError(ModelsLabError):
    """A finished file could not be saved. It is paid for; downloading it again is free."""

    retryable = True


class IncompleteDownload(DownloadError):
    """Every link stopped before the file was complete."""


class WrongContent(DownloadError):
    """Every link served other content than requested."""


class NotAudio(WrongContent):
    """Every link served something other than the requested audio."""


class OutputLost(DownloadError):
    """The job is finished and paid for, but none of its links gives a file."""


class WebhookError(ModelsLabError):
    """The webhook receiver or its inbox failed."""


class LedgerError(ModelsLabError):
    """The ledger of a batch cannot be read or written; nothing more is submitted."""


class LedgerMoved(LedgerError):
    """The directory of a running batch, or its ledger, was renamed, removed or replaced.

    Attributes:
        directory: its current path; ``None`` if it was removed or the path is unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        directory: str | None = None,
        job: str | None = None,
        job_id: str | None = None,
        track_id: int | str | None = None,
    ) -> None:
        super().__init__(message, job=job, job_id=job_id, track_id=track_id)
        self.directory = directory


class LedgerCopied(LedgerError):
    """The directory was copied or restored: rows planned here may have been paid for elsewhere.

    Nothing was sent. ``accept_copy=True`` confirms that they are to be paid for here.
    """


class WrongAccount(LedgerError):
    """The batch was paid for with another key, or at another origin; nothing was sent.

    ``same_account=True`` confirms that the account is the same, for example after a key rotation.
    """


class LimitReached(ModelsLabError):
    """A limit set by the caller stopped the batch; raise it, and run the batch again."""
