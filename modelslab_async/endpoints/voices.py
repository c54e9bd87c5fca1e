"""Recordings made anew: in another voice, as a cover, without the music, in another language."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from .._protocol.output import Output
from ..errors import RequestError
from .base import Estimate, Request, of_unknown_length
from .fields import (
    ANY_SOUND,
    VIDEO,
    Bound,
    Clip,
    between,
    choice,
    media,
    must,
    must_choice,
    must_media,
    number,
    option,
)
from .media import megabytes

_CHANGE = "ModelsLab docs, voice-to-voice page"
_COVER = "ModelsLab docs, voice-cover page"
_DUBBING = "ModelsLab docs, create-dubbing page"
_SHORT = Clip(longest=30, source=_CHANGE)
_VOLUMES = tuple(f"{volume:+d}" if volume else "0" for volume in range(-5, 6))


def _share(help: str, default: str) -> Any:  # noqa: A002 - as `Field` has it
    return number(f"{help}, 0 to 1; the server's default is {default}.", _SHARE)


_SHARE: Bound = between(0, 1, "0 to 1", _COVER)


def _volume(whose: str) -> Any:
    bound = Bound(lambda value: value in (*_VOLUMES, "+0", "-0"), 'text, "-5" to "+5"', _COVER)
    return option(str, help=f"How much louder {whose}, -5 to +5.", bound=bound)


@frozen(repr=False)
class VoiceToVoice(Request):
    """A recording in the voice of another one: ``POST /api/v6/voice/voice_to_voice``.

    Args:
        init_audio: what is said, 30 s at most: a URL or base64 text as ``str``, a local file as
            ``pathlib.Path`` or ``bytes``.
        target_audio: the voice to say it in, likewise; both must have the same form.
        base64: whether both are base64 text; set by itself for local audio.
        temp: ask for links that die after 24 h, for regions that block the storage host.

    See `Request` for the others. There is no ``stream``: the audio would be in the answer.
    """

    NAME: ClassVar[str] = "voice_to_voice"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/voice_to_voice"
    ENTERPRISE: ClassVar[str] = "/api/v1/enterprise/voice/voice_to_voice"

    init_audio: str | Path | bytes = field(**must_media("What is said, 30 s at most.", _SHORT))
    target_audio: str | Path | bytes = field(
        kw_only=True, **must_media("URL, or base64 text, of the voice to say it in.", _SHORT)
    )
    base64: bool | None = option(bool, help="Both are base64 text.")
    temp: bool | None = option(bool, help="Ask for links that die after 24 hours.")

    def estimate(self) -> Estimate:
        """As long as a recording may be."""
        seconds = Decimal(30)
        return Estimate(seconds=seconds, megabytes=megabytes(seconds, None, None))


@frozen(repr=False)
class VoiceCover(Request):
    """A song sung by another voice: ``POST /api/v6/voice/voice_cover``.

    Args:
        init_audio: the song: a URL, also of YouTube, or base64 text as ``str``, a local file as
            ``pathlib.Path`` or ``bytes``.
        model_id: the voice; ``client.voices()`` lists them.
        pitch: ``m2f``, ``f2m`` or ``none``.
        algorithm: ``rmvpe``, the server's default, or ``mangio-crepe``.
        rate: how much of the voice's accent, 0 to 1.
        seed: the same gives the same.
        language: such as ``english``, the server's default.
        emotion: ``neutral``, the server's default, ``happy``, ``sad``, ``angry`` or ``dull``.
        speed: 0.5 to 2; the server's default is 1.0.
        radius: median filter of the pitch, 0 to 3; the server's default is 3.
        mix: how much of the song's loudness, 0 to 1; the server's default is 0.25.
        hop_length: how often the pitch is looked at, for ``mangio-crepe``.
        originality: how much of the voiceless sounds to keep, 0 to 1; the server's default is 0.33.
        lead_voice_volume_delta: ``"-5"`` to ``"+5"``, as text.
        backup_voice_volume_delta: likewise.
        instrument_volume_delta: likewise.
        reverb_size: size of the room, 0 to 1; the server's default is 0.15.
        wetness: how much of the room is heard, 0 to 1; the server's default is 0.2.
        dryness: how much of the voice is heard, 0 to 1; the server's default is 0.8.
        damping: how dull the room is, 0 to 1; the server's default is 0.7.
        base64: whether ``init_audio`` is base64 text; set by itself for local audio.
        temp: ask for links that die after 24 h, for regions that block the storage host.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "voice_cover"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/voice_cover"
    ENTERPRISE: ClassVar[str] = "/api/v1/enterprise/voice/voice_cover"

    init_audio: str | Path | bytes = field(**must_media("The song.", ANY_SOUND))
    model_id: str = field(kw_only=True, **must(str, help="The voice that sings it."))
    pitch: Literal["m2f", "f2m", "none"] | None = choice(
        "m2f", "f2m", "none", source=_COVER, help="From a man's to a woman's voice, or back."
    )
    algorithm: Literal["rmvpe", "mangio-crepe"] | None = choice(
        "rmvpe", "mangio-crepe", source=_COVER, help="How the pitch is found."
    )
    rate: int | float | None = number("How much of the voice's accent, 0 to 1.", _SHARE)
    seed: int | None = option(int, help="The same gives the same.")
    language: str | None = option(str, help="Such as english.")
    emotion: Literal["neutral", "happy", "sad", "angry", "dull"] | None = choice(
        *("neutral", "happy", "sad", "angry", "dull"), source=_COVER, help="How it is sung."
    )
    speed: int | float | None = number("0.5 to 2.", between(0.5, 2, "0.5 to 2", _COVER))
    radius: int | float | None = number(
        "Filter of the pitch, 0 to 3.", between(0, 3, "0 to 3", _COVER)
    )
    mix: int | float | None = _share("How much of the song's loudness", "0.25")
    hop_length: int | None = option(int, help="How often mangio-crepe looks at the pitch.")
    originality: int | float | None = _share("How much of the voiceless sounds to keep", "0.33")
    lead_voice_volume_delta: str | None = _volume("the voice")
    backup_voice_volume_delta: str | None = _volume("the choir")
    instrument_volume_delta: str | None = _volume("the instruments")
    reverb_size: int | float | None = _share("Size of the room", "0.15")
    wetness: int | float | None = _share("Share of the room's sound", "0.2")
    dryness: int | float | None = _share("Share of the plain sound", "0.8")
    damping: int | float | None = _share("How soon the room falls silent", "0.7")
    base64: bool | None = option(bool, help="--init-audio is base64 text.")
    temp: bool | None = option(bool, help="Ask for links that die after 24 hours.")

    def estimate(self) -> Estimate:
        """As large as a song of five minutes."""
        return of_unknown_length(38.4)


@frozen(repr=False)
class VocalIsolator(Request):
    """The voice of a recording, without the rest: ``POST /api/v6/voice/vocal_isolator``.

    Args:
        init_audio: the recording: a URL or base64 text as ``str``, a local file as
            ``pathlib.Path`` or ``bytes``.
        init_video: a video instead, likewise.
        seed: the same gives the same; 0: random.
        base64: whether it is base64 text; set by itself for a local file.

    See `Request` for the others.

    Raises:
        RequestError: also unless there is either ``init_audio`` or ``init_video``.
    """

    NAME: ClassVar[str] = "vocal_isolator"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/vocal_isolator"

    init_audio: str | Path | bytes | None = field(
        default=None, **must_media("The recording.", ANY_SOUND, optional=True)
    )
    init_video: str | Path | bytes | None = media("URL, or base64 text, of a video.", VIDEO)
    seed: int | None = option(int, help="The same gives the same; 0: random.")
    base64: bool | None = option(bool, help="--init-audio or --init-video is base64 text.")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if (self.init_audio is None) == (self.init_video is None):
            raise RequestError(
                "vocal_isolator takes either init_audio or init_video", field="init_audio"
            )

    def estimate(self) -> Estimate:
        """As large as a song of five minutes."""
        return of_unknown_length(38.4)


@frozen(repr=False)
class CreateDubbing(Request):
    """A video in another language: ``POST /api/v6/voice/create_dubbing``.

    Args:
        init_video: the video: a URL or base64 text as ``str``, a local file as ``pathlib.Path`` or
            ``bytes``.
        output_lang: the language to speak, such as ``es`` or ``en-us``.
        source_lang: what is spoken in it; the documents name ``hi`` and ``en`` as default.
        voice_id: who speaks.
        voice_model: the server's default is ``kokoro``.
        speed: how fast, as a factor; the server's default is 1.0.
        file_prefix: what the file's name begins with.
        seed: the same gives the same.
        base64: whether ``init_video`` is base64 text; set by itself for a local file.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "create_dubbing"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/create_dubbing"
    GIVES: ClassVar[Output] = "video"

    init_video: str | Path | bytes = field(**must_media("The video.", VIDEO))
    output_lang: str = field(
        kw_only=True,
        **must_choice(
            *("es", "fr", "hi", "it", "pt-br", "en-us", "en-gb", "ja", "zh"),
            source=_DUBBING,
            help="The language to speak.",
        ),
    )
    source_lang: str | None = option(str, help="The language that is spoken in it.")
    voice_id: str | None = option(str, help="Who speaks.")
    voice_model: str | None = option(str, help="Such as kokoro.")
    speed: int | float | None = number("How fast, as a factor.")
    file_prefix: str | None = option(str, help="What the file's name begins with.")
    seed: int | None = option(int, help="The same gives the same.")
    base64: bool | None = option(bool, help="--init-video is base64 text.")

    def estimate(self) -> Estimate:
        """As large as a video of five minutes."""
        return of_unknown_length(75.0)
