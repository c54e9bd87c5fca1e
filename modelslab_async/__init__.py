"""Asyncio client for the ModelsLab music generation API.

Importing this package is cheap: a name is loaded with its module when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` alone takes longer to import than all of this, and Ctrl-C hits it
if TYPE_CHECKING:
    from typing import Any

    from ._engine.download import SavedFile
    from ._engine.events import EventKind, JobEvent
    from ._engine.http import Network
    from ._engine.job import Generation, Job, JobSnapshot, JobStatus
    from ._policy.download import DownloadPolicy, Integrity
    from ._policy.poll import PollPolicy
    from ._protocol.replies import RemoteFile
    from ._sync import generate_sync
    from .batch._limits import Limits
    from .batch._outcomes import Failed, Succeeded
    from .batch._states import RowState
    from .client import Balance, ModelsLab, Voice
    from .endpoints.base import Request
    from .endpoints.music import MusicGen
    from .endpoints.raw import RawRequest
    from .endpoints.sound_effects import SoundEffect
    from .errors import (
        APIError,
        AuthenticationError,
        BadRequest,
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
        WrongContent,
    )

__version__ = "0.1.0"

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequest",
    "Balance",
    "ConfigurationError",
    "DownloadError",
    "DownloadPolicy",
    "EventKind",
    "Failed",
    "Generation",
    "IncompleteDownload",
    "InsufficientCredits",
    "Integrity",
    "Job",
    "JobError",
    "JobEvent",
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
    "RawRequest",
    "RemoteFile",
    "Request",
    "RequestError",
    "RequestTimeout",
    "RowState",
    "SavedFile",
    "ServerError",
    "SoundEffect",
    "SubmitUnknown",
    "Succeeded",
    "TransportError",
    "UnexpectedReply",
    "Voice",
    "WebhookError",
    "WrongAccount",
    "WrongContent",
    "__version__",
    "generate_sync",
]

_MODULES = {
    "Failed": "batch._outcomes",
    "Limits": "batch._limits",
    "RowState": "batch._states",
    "Succeeded": "batch._outcomes",
    "generate_sync": "_sync",
    "Balance": "client",
    "Voice": "client",
    "DownloadPolicy": "_policy.download",
    "EventKind": "_engine.events",
    "Generation": "_engine.job",
    "Integrity": "_policy.download",
    "Job": "_engine.job",
    "JobEvent": "_engine.events",
    "JobSnapshot": "_engine.job",
    "JobStatus": "_engine.job",
    "ModelsLab": "client",
    "MusicGen": "endpoints.music",
    "Network": "_engine.http",
    "PollPolicy": "_policy.poll",
    "RemoteFile": "_protocol.replies",
    "Request": "endpoints.base",
    "SavedFile": "_engine.download",
    "RawRequest": "endpoints.raw",
    "SoundEffect": "endpoints.sound_effects",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
