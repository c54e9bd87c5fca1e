"""Asyncio client for the ModelsLab music generation API.

Importing this package is cheap: a name is loaded with its module when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` alone takes longer to import than all of this, and Ctrl-C hits it
if TYPE_CHECKING:
    from typing import Any

    from .batch.money import Limits
    from .batch.outcomes import Failed, Succeeded
    from .batch.states import RowState
    from .client import Balance, ModelsLab
    from .downloads import SavedFile
    from .errors import (
        APIError,
        AuthenticationError,
        BadRequest,
        BatchError,
        ConfigurationError,
        DownloadError,
        IncompleteDownload,
        InsufficientCredits,
        JobError,
        JobFailed,
        JobTimeout,
        LedgerCopied,
        LedgerError,
        LedgerMoved,
        LimitReached,
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
        WebhookError,
        WrongAccount,
    )
    from .jobs import Generation, Job, JobSnapshot, JobStatus
    from .policy.polling import PollPolicy
    from .policy.transferring import DownloadPolicy, Integrity
    from .protocol.replies import RemoteFile
    from .protocol.requests import MusicGen
    from .transport.api import Network

__version__ = "0.1.0"

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequest",
    "Balance",
    "BatchError",
    "ConfigurationError",
    "DownloadError",
    "DownloadPolicy",
    "Failed",
    "Generation",
    "IncompleteDownload",
    "InsufficientCredits",
    "Integrity",
    "Job",
    "JobError",
    "JobFailed",
    "JobSnapshot",
    "JobStatus",
    "JobTimeout",
    "LedgerCopied",
    "LedgerError",
    "LedgerMoved",
    "LimitReached",
    "Limits",
    "ModelsLab",
    "ModelsLabError",
    "MusicGen",
    "Network",
    "NotAudio",
    "NotFound",
    "OutputLost",
    "PermissionDenied",
    "PollPolicy",
    "RateLimited",
    "RemoteFile",
    "RequestError",
    "RequestTimeout",
    "RowState",
    "SavedFile",
    "ServerError",
    "SubmitUnknown",
    "Succeeded",
    "TransportError",
    "UnexpectedReply",
    "WebhookError",
    "WrongAccount",
    "__version__",
]

_ROOMS = {
    "Failed": "batch.outcomes",
    "Limits": "batch.money",
    "RowState": "batch.states",
    "Succeeded": "batch.outcomes",
    "Balance": "client",
    "DownloadPolicy": "policy.transferring",
    "Generation": "jobs",
    "Integrity": "policy.transferring",
    "Job": "jobs",
    "JobSnapshot": "jobs",
    "JobStatus": "jobs",
    "ModelsLab": "client",
    "MusicGen": "protocol.requests",
    "Network": "transport.api",
    "PollPolicy": "policy.polling",
    "RemoteFile": "protocol.replies",
    "SavedFile": "downloads",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_ROOMS.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
