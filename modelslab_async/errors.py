"""Everything that can go wrong, as one tree. It imports `_text` alone.

::

    ModelsLabError
    ├── ConfigurationError  (ValueError)     no key, http:// to a foreign host, a bad setting
    ├── RequestError        (ValueError)     a request value out of bounds; nothing was sent
    ├── TransportError                       no usable answer from the network
    │   └── RequestTimeout  (TimeoutError)
    ├── APIError                             the API said no
    │   ├── BadRequest            400, 405, 413, 415, 422
    │   ├── AuthenticationError   401
    │   ├── InsufficientCredits   402
    │   ├── PermissionDenied      403
    │   ├── NotFound              404, or "Request not found"
    │   ├── RateLimited           429, queue full, spam filter
    │   └── ServerError           5xx
    ├── UnexpectedReply                      an answer that cannot be read
    ├── SubmitUnknown                        a job may exist and may be billed
    ├── JobError
    │   ├── JobFailed                        the server says the job failed
    │   └── JobTimeout      (TimeoutError)   we stopped waiting; the job still runs
    ├── DownloadError
    │   ├── IncompleteDownload               the bytes stopped early, on every link
    │   ├── WrongContent                     the bytes are something else, on every link
    │   │   └── NotAudio                     and audio was asked for
    │   └── OutputLost                       paid for, but no link leads to a file
    ├── WebhookError
    ├── LedgerError
    │   ├── LedgerMoved                      the directory was renamed or removed during the run
    │   ├── LedgerCopied                     the directory is a copy; the original may have paid
    │   └── WrongAccount                     it was paid for with another key or elsewhere
    └── LimitReached                         a limit of yours stops the batch

Every message says what happened, to which job, and what to do next. Every error pickles, and none
holds the API key: the transport removes it from an answer before anything else reads the answer.
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
    """The root of the tree: catch it to catch everything this package raises on purpose.

    Attributes:
        retryable: whether the same call may be made again as it is, at no risk of paying twice.
        job: the handle of the job concerned, as the text that ``client.job()`` takes, or ``None``.
        job_id: the server's id of that job, or ``None`` when it has none that we know.
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
    """A setting is missing or cannot be used. Nothing was sent."""


class RequestError(ModelsLabError, ValueError):
    """A request value is out of its documented bounds or of the wrong type. Nothing was sent.

    Attributes:
        field: the name of the field, as the API spells it.
        value: the value that was refused; the start of its ``repr`` when it is no plain one.
    """

    def __init__(self, message: str, *, field: str = "", value: object = None) -> None:
        super().__init__(message)
        self.field = field
        # Errors travel between processes, and a value of any type might not.
        self.value = value if type(value) in _PLAIN else shown(value, 200)


class TransportError(ModelsLabError):
    """The network gave no usable answer."""

    retryable = True


class RequestTimeout(TransportError, TimeoutError):
    """No complete answer to one HTTP request within its own deadline."""


class APIError(ModelsLabError):
    """The API answered, and said no.

    Attributes:
        status_code: the HTTP status; often 200, for this API reports errors with 200 too.
        server_message: what the server said, made printable and cut to a sane length.
        retry_after: seconds that the server asked us to wait, or ``None`` when it named none.
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
    """The API found the request itself wrong."""


class AuthenticationError(APIError):
    """The API does not accept the key."""


class InsufficientCredits(APIError):
    """The account has no credits left for this."""


class PermissionDenied(APIError):
    """The account's plan does not include this."""


class NotFound(APIError):
    """The API does not know the job that was asked for."""


class RateLimited(APIError):
    """The API asked for a longer wait than this package is willing to sleep through."""

    retryable = True


class ServerError(APIError):
    """The API, or something in front of it, broke down while answering."""


class UnexpectedReply(ModelsLabError):
    """An answer arrived that cannot be read as any answer this API gives.

    Attributes:
        status_code: the HTTP status of that answer.
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
    """A submit left this machine and no readable answer came back: a job may exist and be billed.

    It is never sent again by this package. ``track_id`` is what the job carries if it exists.
    """


class JobError(ModelsLabError):
    """Something about one job that the API has accepted."""


class JobFailed(JobError):
    """The server says that the job failed.

    Attributes:
        server_message: why, in the server's words, made printable.
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
    """We stopped waiting; the job goes on and stays paid for. ``client.job(error.job)`` goes on.

    Not ``retryable``: the same `generate` again would be a second job.
    """


class DownloadError(ModelsLabError):
    """A finished file could not be brought to disk. It is paid for; downloading again is free."""

    retryable = True


class IncompleteDownload(DownloadError):
    """Every link stopped before the whole file had arrived."""


class WrongContent(DownloadError):
    """Every link gave something else than what was asked for."""


class NotAudio(WrongContent):
    """Every link gave something that is not the audio that was asked for."""


class OutputLost(DownloadError):
    """The job is finished and paid for, and none of its links leads to a file."""


class WebhookError(ModelsLabError):
    """The webhook receiver cannot do what was asked."""


class LedgerError(ModelsLabError):
    """The ledger of a batch cannot be read or written; nothing more is submitted."""


class LedgerMoved(LedgerError):
    """The directory of a running batch was renamed, removed or replaced, or its ledger was.

    Attributes:
        directory: where it is now; ``None`` when it was removed, or the system does not say.
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

    ``same_account=True`` confirms that the account is the same, as after a change of its key.
    """


class LimitReached(ModelsLabError):
    """A limit that the caller has set stops the batch; raise it, and run the batch again."""
