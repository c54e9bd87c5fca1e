"""Asyncio client for the ModelsLab music generation API.

Importing this package is cheap: a name is loaded with its module when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` alone takes longer to import than all of this, and Ctrl-C hits it
if TYPE_CHECKING:
    from typing import Any

    from ._engine.events import EventKind, JobEvent
    from ._engine.http import Network
    from ._engine.job import Generation, Job, JobSnapshot, JobStatus
    from ._engine.saved import SavedFile
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
    from .endpoints.songs import LyricsGenerator, SongGenerator
    from .endpoints.sound_effects import SoundEffect
    from .endpoints.speech import SpeechToText, TextToAudio, TextToSpeech, VoiceDesign
    from .endpoints.v7 import (
        CreateDubbingV7,
        MusicGenV7,
        SongExtenderV7,
        SongInpaintV7,
        SoundGenerationV7,
        SpeechToSpeechV7,
        SpeechToTextV7,
        TextToSpeechV7,
    )
    from .endpoints.voices import CreateDubbing, VocalIsolator, VoiceCover, VoiceToVoice
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
"""The version of the package."""

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequest",
    "Balance",
    "ConfigurationError",
    "CreateDubbing",
    "CreateDubbingV7",
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
    "LyricsGenerator",
    "ModelsLab",
    "ModelsLabError",
    "MusicGen",
    "MusicGenV7",
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
    "SongExtenderV7",
    "SongGenerator",
    "SongInpaintV7",
    "SoundEffect",
    "SoundGenerationV7",
    "SpeechToSpeechV7",
    "SpeechToText",
    "SpeechToTextV7",
    "SubmitUnknown",
    "Succeeded",
    "TextToAudio",
    "TextToSpeech",
    "TextToSpeechV7",
    "TransportError",
    "UnexpectedReply",
    "VocalIsolator",
    "Voice",
    "VoiceCover",
    "VoiceDesign",
    "VoiceToVoice",
    "WebhookError",
    "WrongAccount",
    "WrongContent",
    "__version__",
    "generate_sync",
]

_MODULES = {
    "TextToSpeechV7": "endpoints.v7",
    "SpeechToTextV7": "endpoints.v7",
    "SpeechToSpeechV7": "endpoints.v7",
    "SoundGenerationV7": "endpoints.v7",
    "SongInpaintV7": "endpoints.v7",
    "SongExtenderV7": "endpoints.v7",
    "MusicGenV7": "endpoints.v7",
    "CreateDubbingV7": "endpoints.v7",
    "VoiceToVoice": "endpoints.voices",
    "VoiceCover": "endpoints.voices",
    "VocalIsolator": "endpoints.voices",
    "CreateDubbing": "endpoints.voices",
    "VoiceDesign": "endpoints.speech",
    "TextToSpeech": "endpoints.speech",
    "TextToAudio": "endpoints.speech",
    "SpeechToText": "endpoints.speech",
    "SongGenerator": "endpoints.songs",
    "LyricsGenerator": "endpoints.songs",
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
    "SavedFile": "_engine.saved",
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
