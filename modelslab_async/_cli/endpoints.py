"""The commands of the other endpoints, made from their classes."""

from __future__ import annotations

from typing import Any

import click

from modelslab_async import (
    CreateDubbing,
    LyricsGenerator,
    Request,
    SongGenerator,
    SoundEffect,
    SpeechToText,
    TextToSpeech,
    VocalIsolator,
    VoiceCover,
)
from modelslab_async.endpoints import known_fields

from .console import PROGRAM
from .generate import make, making
from .help import Command
from .options import first_field

_MADE: dict[str, tuple[type[Request], str, str]] = {
    "speak": (
        TextToSpeech,
        "TEXT...",
        '"Good morning" --voice-id tara --language "american english"',
    ),
    "sfx": (SoundEffect, "PROMPT...", '"rain on a tin roof"'),
    "song": (
        SongGenerator,
        "[PROMPT]...",
        '"summer rain" --lyrics-generation --caption "slow waltz"',
    ),
    "lyrics": (LyricsGenerator, "PROMPT...", '"summer rain"'),
    "cover": (VoiceCover, "URL|FILE...", "https://files.example/song.wav --model-id cover-1"),
    "isolate": (VocalIsolator, "[URL|FILE]...", "https://files.example/song.wav"),
    "transcribe": (SpeechToText, "URL...", "https://files.example/talk.mp3 --language en"),
    "dub": (CreateDubbing, "URL|FILE...", "https://files.example/film.mp4 --output-lang fr"),
}

_INSTEAD = {"audio": "a tune", "text": "a text", "video": "a video"}


def command(name: str, about: str) -> click.Command:
    """One of them, by its name; ``about`` says in a line what it does."""
    request, metavar, example = _MADE[name]

    is_given_media = known_fields(request)[first_field(request)].is_media
    lacks = "reads no recording" if is_given_media else "has no model"

    @making(request, metavar)
    def run(**given: Any) -> int:
        return make(request, **given)

    help_text = (
        f"{about}\n\n\b\nExample:\n  {PROGRAM} {name} --sandbox {example}\n\n"
        "Without --sandbox jobs cost money and need MODELSLAB_API_KEY. The sandbox\n"
        f"{lacks}: it answers with {_INSTEAD[request.GIVES]} of its own."
    )
    return click.command(name, cls=Command, no_args_is_help=True, help=help_text)(run)
