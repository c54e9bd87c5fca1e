"""Version 7 of the API: a model for each job. Sources: ModelsLab's SDKs, command line and MCP page.

Nothing about it is in the API's own description: bounds are those of the official clients.
"""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict

from attrs import field, frozen

from .._protocol.output import Output
from .base import Estimate, Request, of_unknown_length
from .fields import (
    PROMPT,
    VIDEO,
    Bound,
    between,
    choice,
    listed,
    must,
    must_media,
    number,
    option,
    words,
)
from .media import megabytes
from .speech import spoken

_SDK = "ModelsLab's Python SDK"
_MCP = "ModelsLab docs, MCP tools page"
_FETCH = "/api/v7/voice/fetch"
_MODEL = must(str, help="The model.")


def _sound(seconds: Decimal) -> Estimate:
    return Estimate(seconds=seconds, megabytes=megabytes(seconds, None, None))


@frozen(repr=False)
class MusicGenV7(Request):
    """Music by a named model: ``POST /api/v7/voice/music-gen``.

    Args:
        prompt: what the music should be like.
        model_id: such as ``music_v1`` or ``sonauto_song``.
        duration: seconds; the official command line sends it, and no bound is known.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "v7_music_gen"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/music-gen"
    FETCH: ClassVar[str] = _FETCH

    prompt: str = field(**PROMPT)
    model_id: str = field(kw_only=True, **_MODEL)
    duration: int | None = option(int, help="Seconds of music.")

    def estimate(self) -> Estimate:
        """As long as asked for; how long it is otherwise is not documented."""
        if self.duration is None:
            return of_unknown_length(3.84)
        return _sound(Decimal(self.duration))


@frozen(repr=False)
class SoundGenerationV7(Request):
    """A sound effect by a named model: ``POST /api/v7/voice/sound-generation``.

    Args:
        prompt: what is to be heard.
        model_id: such as ``eleven_sound_effect``.
        duration: seconds, 1 to 22; sent as ``time in seconds``, as the API calls it.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "v7_sound_generation"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/sound-generation"
    FETCH: ClassVar[str] = _FETCH

    prompt: str = field(**PROMPT)
    model_id: str = field(kw_only=True, **_MODEL)
    duration: int | None = option(
        int,
        help="Seconds, 1 to 22.",
        bound=between(1, 22, "1 to 22 seconds", _SDK),
        wire="time in seconds",
    )

    def estimate(self) -> Estimate:
        """As long as asked for, or at most."""
        return _sound(Decimal(22 if self.duration is None else self.duration))


@frozen(repr=False)
class TextToSpeechV7(Request):
    """Text spoken by a named model: ``POST /api/v7/voice/text-to-speech``.

    Args:
        prompt: what to say.
        model_id: such as ``eleven_multilingual_v2``.
        voice_id: who says it.
        temperature: how freely, 0 to 1.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "v7_text_to_speech"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/text-to-speech"
    FETCH: ClassVar[str] = _FETCH

    prompt: str = field(**PROMPT)
    model_id: str = field(kw_only=True, **_MODEL)
    voice_id: str = field(kw_only=True, **must(str, help="Who says it."))
    temperature: int | float | None = number("How freely, 0 to 1.", between(0, 1, "0 to 1", _MCP))

    def estimate(self) -> Estimate:
        """By the number of characters."""
        return spoken(self.prompt)


@frozen(repr=False)
class SpeechToSpeechV7(Request):
    """A recording in another voice: ``POST /api/v7/voice/speech-to-speech``.

    Args:
        init_audio: the recording: a URL or base64 text as ``str``, a local file as
            ``pathlib.Path`` or ``bytes``.
        model_id: such as ``eleven_english_sts_v2``.
        voice_id: who says it.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "v7_speech_to_speech"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/speech-to-speech"
    FETCH: ClassVar[str] = _FETCH

    init_audio: str | Path | bytes = field(**must_media("The recording."))
    model_id: str = field(kw_only=True, **_MODEL)
    voice_id: str = field(kw_only=True, **must(str, help="Who says it."))

    def estimate(self) -> Estimate:
        """As large as a recording of five minutes."""
        return of_unknown_length(38.4)


@frozen(repr=False)
class SpeechToTextV7(Request):
    """What is said in a recording: ``POST /api/v7/voice/speech-to-text``.

    Args:
        init_audio: the recording: a URL or base64 text as ``str``, a local file as
            ``pathlib.Path`` or ``bytes``.
        model_id: such as ``scribe_v1``.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "v7_speech_to_text"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/speech-to-text"
    FETCH: ClassVar[str] = _FETCH
    GIVES: ClassVar[Output] = "text"

    init_audio: str | Path | bytes = field(**must_media("The recording."))
    model_id: str = field(kw_only=True, **_MODEL)

    def estimate(self) -> Estimate:
        """As large as the text of an hour."""
        return of_unknown_length(0.1)


@frozen(repr=False)
class SongExtenderV7(Request):
    """A song made longer: ``POST /api/v7/voice/song-extender``.

    Args:
        init_audio: the song: a URL or base64 text as ``str``, a local file as ``pathlib.Path`` or
            ``bytes``.
        extend_duration: seconds more, 0 to 85.
        prompt: what comes then.
        model_id: such as ``song-extender``.
        side: ``left`` or ``right``.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "v7_song_extender"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/song-extender"
    FETCH: ClassVar[str] = _FETCH

    init_audio: str | Path | bytes = field(**must_media("The song."))
    extend_duration: int | float = field(
        kw_only=True,
        **must(int, float, help="Seconds more.", bound=between(0, 85, "0 to 85 seconds", _SDK)),
    )
    prompt: str | None = words("What comes then.")
    model_id: str = field(kw_only=True, **_MODEL)
    side: Literal["left", "right"] | None = choice("left", "right", source=_SDK)

    def estimate(self) -> Estimate:
        """As large as a song of five minutes."""
        return of_unknown_length(38.4)


class Section(TypedDict):
    """A part of a song: seconds from its start."""

    start: float
    end: float


def _are_sections(sections: list[Any]) -> bool:
    return bool(sections) and all(map(_is_section, sections))


def _is_section(one: object) -> bool:
    if not isinstance(one, dict) or one.keys() != {"start", "end"}:
        return False
    if not all(type(second) in (int, float) for second in one.values()):
        return False
    return bool(0 <= one["start"] < one["end"] < math.inf)


@frozen(repr=False)
class SongInpaintV7(Request):
    """Parts of a song made anew: ``POST /api/v7/voice/song-inpaint``.

    Args:
        init_audio: the song: a URL or base64 text as ``str``, a local file as ``pathlib.Path`` or
            ``bytes``.
        prompt: what to put in; the MCP page wants it.
        lyrics: what is sung; the SDK wants it, with ``sections``.
        sections: the parts to make anew, such as ``[{"start": 30, "end": 45.5}]``, in seconds. The
            SDK says only that it is a list of timestamps; ``unchecked=True`` sends any list.
        model_id: such as ``song-inpaint``.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "v7_song_inpaint"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/song-inpaint"
    FETCH: ClassVar[str] = _FETCH

    init_audio: str | Path | bytes = field(**must_media("The song."))
    prompt: str | None = words("What to put in.")
    lyrics: str | None = words("What is sung.")
    sections: list[Section] | None = listed(
        Bound(
            _are_sections,
            'a list of {"start": seconds, "end": seconds}, each start before its end',
            "fal.ai's page of the same model",
        )
    )
    model_id: str = field(kw_only=True, **_MODEL)

    def estimate(self) -> Estimate:
        """As large as a song of five minutes."""
        return of_unknown_length(38.4)


@frozen(repr=False)
class CreateDubbingV7(Request):
    """A video in another language: ``POST /api/v7/voice/create-dubbing``.

    Args:
        init_video: the video: a URL or base64 text as ``str``, a local file as ``pathlib.Path`` or
            ``bytes``. The command line sends this; the MCP page has ``init_audio``, for ``extra``.
        target_language: the language to speak.
        model_id: which one is not documented.

    See `Request` for the others. Whether sound or a video comes out is not documented.
    """

    NAME: ClassVar[str] = "v7_create_dubbing"
    ENDPOINT: ClassVar[str] = "/api/v7/voice/create-dubbing"
    FETCH: ClassVar[str] = _FETCH
    GIVES: ClassVar[Output] = "file"

    init_video: str | Path | bytes = field(**must_media("The video.", VIDEO))
    target_language: str = field(kw_only=True, **must(str, help="The language to speak."))
    model_id: str | None = option(str, help="The model.")

    def estimate(self) -> Estimate:
        """As large as a video of five minutes."""
        return of_unknown_length(75.0)
