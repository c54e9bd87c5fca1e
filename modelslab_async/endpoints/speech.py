"""Speech: from text, from text in a cloned voice, in a designed voice, and text from speech."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal

from attrs import field, frozen

from .._protocol.output import Output
from ..errors import RequestError
from .base import Estimate, Request, of_unknown_length
from .fields import (
    PROMPT,
    Clip,
    choice,
    media,
    must,
    must_choice,
    must_link,
    number,
    option,
    short_text,
)
from .media import megabytes

_TTS = "ModelsLab docs, text-to-speech page"
_CLONING = "ModelsLab docs, text-to-audio page"
_DESIGN = "ModelsLab docs, voice-design page"
_STT = "ModelsLab docs, speech-to-text page"
_CHARACTERS_A_SECOND = Decimal(15)


def spoken(text: str, speed: float | None = None) -> Estimate:
    """Speech takes about a second for 15 characters; no document says so."""
    at_once = Decimal(str(speed)) if speed and speed > 0 else Decimal(1)
    seconds = round(max(Decimal(1), len(text) / _CHARACTERS_A_SECOND / at_once), 2)
    return Estimate(seconds=seconds, megabytes=megabytes(seconds, None, None), characters=len(text))


@frozen(repr=False)
class TextToSpeech(Request):
    """Text spoken by a voice of the library: ``POST /api/v6/voice/text_to_speech``.

    Args:
        prompt: what to say, of 2500 characters at most.
        voice_id: who says it; ``client.voices()`` lists them.
        language: the voice's, such as ``american english``.
        speed: how fast, as a factor; the server's default is 1.0.
        emotion: read feelings out of the text; for English voices; the server's default is false.
        output_format: ``wav`` or ``mp3``; the official clients send it.
        temp: ask for links that die after 24 h, for regions that block the storage host.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "text_to_speech"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/text_to_speech"
    ENTERPRISE: ClassVar[str] = "/api/v1/enterprise/text_to_speech/make"

    prompt: str = field(**short_text(2500, _TTS))
    voice_id: str = field(kw_only=True, **must(str, help="Who says it."))
    language: str = field(
        kw_only=True,
        **must_choice(
            *("american english", "british english", "spanish", "japanese", "mandarin chinese"),
            *("french", "brazilian portuguese", "hindi", "italian"),
            source=_TTS,
            help="The voice's language.",
        ),
    )
    speed: int | float | None = number("How fast, as a factor.")
    emotion: bool | None = option(bool, help="Read feelings out of the text; English only.")
    output_format: Literal["wav", "mp3"] | None = choice(
        "wav", "mp3", source="the official SDKs", help="Kind of file."
    )
    temp: bool | None = option(bool, help="Ask for links that die after 24 hours.")

    def estimate(self) -> Estimate:
        """By the number of characters."""
        return spoken(self.prompt, self.speed)


@frozen(repr=False)
class TextToAudio(Request):
    """Text spoken in a cloned voice: ``POST /api/v6/voice/text_to_audio``.

    Args:
        prompt: what to say.
        init_audio: 4 to 30 s of the voice: a URL or base64 text as ``str``, a local file as
            ``pathlib.Path`` or ``bytes``.
        voice_id: a voice of your library instead (ModelsLab docs, text-to-audio page of 2025).
        language: such as ``english``, the server's default.
        speed: how fast, as a factor; the server's default is 1.0.
        emotion: ``neutral``, ``happy``, ``sad``, ``angry`` or ``dull``.
        base64: whether ``init_audio`` is base64 text; set by itself for local audio.
        temp: ask for links that die after 24 h, for regions that block the storage host.

    See `Request` for the others.

    Raises:
        RequestError: also if there is neither ``init_audio`` nor ``voice_id``.
    """

    NAME: ClassVar[str] = "text_to_audio"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/text_to_audio"
    ENTERPRISE: ClassVar[str] = "/api/v1/enterprise/voice/text_to_audio"

    prompt: str = field(**PROMPT)
    init_audio: str | Path | bytes | None = media(
        "URL, or base64 text, of the voice, 4 to 30 s.",
        Clip(shortest=4, longest=30, source=_CLONING),
    )
    voice_id: str | None = option(str, help="A voice of your library instead.")
    language: str | None = option(str, help="Such as english.")
    speed: int | float | None = number("How fast, as a factor.")
    emotion: Literal["neutral", "happy", "sad", "angry", "dull"] | None = choice(
        *("neutral", "happy", "sad", "angry", "dull"),
        source="ModelsLab docs, enterprise text-to-audio page",
    )
    base64: bool | None = option(bool, help="--init-audio is base64 text.")
    temp: bool | None = option(bool, help="Ask for links that die after 24 hours.")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.init_audio is None and self.voice_id is None:
            raise RequestError(
                "text_to_audio has no voice: give init_audio, or voice_id", field="init_audio"
            )

    def estimate(self) -> Estimate:
        """By the number of characters."""
        return spoken(self.prompt, self.speed)


@frozen(repr=False)
class VoiceDesign(Request):
    """Text spoken by a voice that is described: ``POST /api/v6/voice/voice_design``.

    Args:
        prompt: what to say, of 1000 characters at most.
        voice_description: what the voice is like, of 1000 characters at most.
        language: such as ``english``.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "voice_design"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/voice_design"

    prompt: str = field(**short_text(1000, _DESIGN))
    voice_description: str = field(
        kw_only=True, **short_text(1000, _DESIGN, help="What the voice is like.")
    )
    language: str | None = choice(
        *("chinese", "english", "japanese", "korean", "german", "french", "russian"),
        *("portuguese", "spanish", "italian"),
        source=_DESIGN,
    )

    def estimate(self) -> Estimate:
        """By the number of characters."""
        return spoken(self.prompt)


@frozen(repr=False)
class SpeechToText(Request):
    """What is said in a recording: ``POST /api/v6/voice/speech_to_text``.

    Args:
        init_audio: URL of WAV, MP3, FLAC or OPUS, 5 s to 1 h. It takes no local file;
            ``client.base64_to_url()`` makes a URL of a short one.
        language: ISO 639-1, such as ``en``.
        timestamp_level: ``word`` or ``sentence``; without it the text comes without times.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "speech_to_text"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/speech_to_text"
    ENTERPRISE: ClassVar[str] = "/api/v1/enterprise/speech_to_text/transcribe"
    FETCH: ClassVar[str] = "/api/v6/whisper/fetch"
    GIVES: ClassVar[Output] = "text"

    init_audio: str = field(**must_link("URL of a recording, 5 s to 1 h."))
    language: str = field(kw_only=True, **must(str, help="ISO 639-1, such as en."))
    timestamp_level: Literal["word", "sentence"] | None = choice(
        "word", "sentence", source=_STT, help="Give the times of each, as JSON."
    )

    def estimate(self) -> Estimate:
        """As large as the text of an hour."""
        return of_unknown_length(0.1)
