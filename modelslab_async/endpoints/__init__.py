"""Request classes, one per endpoint of the API."""

from __future__ import annotations

from .base import Estimate, Request, known_fields
from .fields import Bound, Field
from .music import MusicGen
from .raw import RawRequest
from .songs import LyricsGenerator, SongGenerator
from .sound_effects import SoundEffect
from .speech import SpeechToText, TextToAudio, TextToSpeech, VoiceDesign
from .v7 import (
    CreateDubbingV7,
    MusicGenV7,
    Section,
    SongExtenderV7,
    SongInpaintV7,
    SoundGenerationV7,
    SpeechToSpeechV7,
    SpeechToTextV7,
    TextToSpeechV7,
)
from .voices import CreateDubbing, VocalIsolator, VoiceCover, VoiceToVoice

__all__ = [
    "REQUESTS",
    "Bound",
    "CreateDubbing",
    "CreateDubbingV7",
    "Estimate",
    "Field",
    "LyricsGenerator",
    "MusicGen",
    "MusicGenV7",
    "RawRequest",
    "Request",
    "Section",
    "SongExtenderV7",
    "SongGenerator",
    "SongInpaintV7",
    "SoundEffect",
    "SoundGenerationV7",
    "SpeechToSpeechV7",
    "SpeechToText",
    "SpeechToTextV7",
    "TextToAudio",
    "TextToSpeech",
    "TextToSpeechV7",
    "VocalIsolator",
    "VoiceCover",
    "VoiceDesign",
    "VoiceToVoice",
    "known_fields",
]

_ALL: tuple[type[Request], ...] = (
    *(MusicGen, SoundEffect, SongGenerator, LyricsGenerator),
    *(TextToSpeech, TextToAudio, VoiceDesign, SpeechToText),
    *(VoiceToVoice, VoiceCover, VocalIsolator, CreateDubbing),
    *(MusicGenV7, SoundGenerationV7, TextToSpeechV7, SpeechToSpeechV7, SpeechToTextV7),
    *(SongExtenderV7, SongInpaintV7, CreateDubbingV7),
)

REQUESTS: dict[str, type[Request]] = {one.NAME: one for one in _ALL}
"""The classes by the names that manifests use for their endpoints."""
