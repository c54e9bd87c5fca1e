"""Songs and their words."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from attrs import field, frozen

from .._protocol.output import Output
from ..errors import RequestError
from .base import Estimate, Request
from .fields import PROMPT, between, choice, link, option, words
from .media import megabytes

_SONG = "ModelsLab docs, song-generator page"
_LYRICS = "ModelsLab docs, lyrics-generator page"
_UNNAMED_SECONDS = Decimal(480)


@frozen(repr=False)
class SongGenerator(Request):
    """A song with a voice: ``POST /api/v6/voice/song_generator``.

    Either ``lyrics`` says what is sung, or ``lyrics_generation=True`` with ``prompt`` and
    ``caption`` has it written.

    Args:
        prompt: what the song is about.
        lyrics: what is sung, with marks such as ``[Verse]``, or with times (LRC).
        lyrics_generation: have the lyrics written.
        caption: what the music is like.
        duration: seconds, 30 to 480.
        language: code of what is sung in, such as ``en``; found out by itself.
        instrumental: without a voice.
        init_audio: URL of a song to follow.

    See `Request` for the others.

    Raises:
        RequestError: also if it is neither the one nor the other.
    """

    NAME: ClassVar[str] = "song_generator"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/song_generator"

    prompt: str | None = words("What the song is about.", kw_only=False)
    lyrics: str | None = words("What is sung.")
    lyrics_generation: bool | None = option(bool, help="Have the lyrics written.")
    caption: str | None = words("What the music is like.")
    duration: int | None = option(
        int, help="Seconds, 30 to 480.", bound=between(30, 480, "30 to 480 seconds", _SONG)
    )
    language: str | None = option(str, help="Code of what is sung in, such as en.")
    instrumental: bool | None = option(bool, help="Without a voice.")
    init_audio: str | None = link("URL of a song to follow.")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.lyrics_generation:
            needed, is_there = "prompt and caption", bool(self.prompt and self.caption)
        else:
            needed, is_there = "lyrics, or lyrics_generation=True", bool(self.lyrics)
        if not is_there:
            raise RequestError(f"song_generator needs {needed} ({_SONG})", field="lyrics")

    def estimate(self) -> Estimate:
        """As long as asked for, or as long as a song may be."""
        seconds = _UNNAMED_SECONDS if self.duration is None else Decimal(self.duration)
        return Estimate(seconds=seconds, megabytes=megabytes(seconds, None, None))


@frozen(repr=False)
class LyricsGenerator(Request):
    """The words of a song: ``POST /api/v6/voice/lyrics_generator``.

    Args:
        prompt: what the song is about, in English.
        length: ``short``, the server's default, or ``long``.

    See `Request` for the others.
    """

    NAME: ClassVar[str] = "lyrics_generator"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/lyrics_generator"
    GIVES: ClassVar[Output] = "text"

    prompt: str = field(**PROMPT)
    length: Literal["short", "long"] | None = choice(
        "short", "long", source=_LYRICS, help="How much text."
    )

    def estimate(self) -> Estimate:
        """A page of text, which takes no seconds."""
        return Estimate(seconds=Decimal(0), megabytes=0.01)
