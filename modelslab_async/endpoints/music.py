"""``POST /api/v6/voice/music_gen``: music from a description."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal

from attrs import field, frozen

from .base import Estimate, Request
from .fields import PROMPT, SHORT_SOUND, between, choice, media, option
from .media import megabytes

_OLD_PAGE = "ModelsLab docs, music-gen page of 2025"
_NEW_PAGE = "ModelsLab docs, music-gen page since 2026-03-27"
_DEFAULT_SECONDS = Decimal(30)
_TOKENS_A_SECOND = 50


@frozen(repr=False)
class MusicGen(Request):
    """Music from a description: ``POST /api/v6/voice/music_gen``.

    Both eras of the endpoint are here: ``sampling_rate`` and ``max_new_token`` (documented until
    2026-03), ``duration``, ``output_format`` and ``bitrate`` (documented since). ``None`` means
    that the field is not sent and the server's default holds.

    Args:
        prompt: what the music should be like.
        init_audio: a clip to condition on, of 30 s at most: a URL or base64 text as ``str``, a
            local file as ``pathlib.Path`` or ``bytes``. A ``str`` is never opened as a file.
        sampling_rate: Hz, at least 10000; the server's default is 32000.
        max_new_token: length of the music in tokens, 256 to 1024, about 50 a second.
        duration: length of the music in seconds, 30 to 480; the server's default is 30.
        output_format: ``wav``, ``mp3`` or ``flac``; the server's default is ``wav``.
        bitrate: ``128k``, ``192k`` or ``320k``; the server's default is ``320k``.
        base64: whether ``init_audio`` is base64 text; set by itself for local audio.
        temp: ask for links that die after 24 h, for regions that block the storage host.
        webhook: ``https://`` URL to be told on (``http://`` on loopback only).
        track_id: your own id, echoed by the server; one is made when you give none.
        extra: further fields, sent as they are.
        unchecked: send values beyond the documented bounds. The documents contradict themselves:
            their own example sends ``sampling_rate`` 5000 under a bound of 10000.

    Raises:
        RequestError: a value is of the wrong type or out of bounds; names field, bound and source.
    """

    NAME: ClassVar[str] = "music_gen"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/music_gen"
    ENTERPRISE: ClassVar[str] = "/api/v1/enterprise/voice/music_gen"

    prompt: str = field(**PROMPT)
    init_audio: str | Path | bytes | None = media(
        "URL, or base64 text, of a clip to go on from.", SHORT_SOUND
    )
    sampling_rate: int | None = option(
        int,
        help="Hz, at least 10000.",
        bound=between(10_000, math.inf, "at least 10000", _OLD_PAGE),
    )
    max_new_token: int | None = option(
        int,
        help="Length in tokens, 256 to 1024, about 50 a second.",
        bound=between(256, 1024, "256 to 1024", _OLD_PAGE),
    )
    duration: int | None = option(
        int,
        help="Seconds of music, 30 to 480.",
        bound=between(30, 480, "30 to 480 seconds", _NEW_PAGE),
    )
    output_format: Literal["wav", "mp3", "flac"] | None = choice(
        "wav", "mp3", "flac", source=_NEW_PAGE, help="Kind of file."
    )
    bitrate: Literal["128k", "192k", "320k"] | None = choice(
        "128k", "192k", "320k", source=_NEW_PAGE, help="Bit rate of MP3."
    )
    base64: bool | None = option(bool, help="--init-audio is base64 text.")
    temp: bool | None = option(bool, help="Ask for links that die after 24 hours.")

    def estimate(self) -> Estimate:
        """Which of the two lengths wins is not documented, so the longer one counts."""
        seconds = max(self._lengths, default=_DEFAULT_SECONDS)
        size = megabytes(seconds, self.output_format, self.bitrate, self.sampling_rate)
        return Estimate(seconds=seconds, megabytes=size)

    def asked_seconds(self) -> tuple[float, float] | None:
        """The range of the two lengths, either of which may win; ``None`` if none is named."""
        named = [float(seconds) for seconds in self._lengths]
        return (min(named), max(named)) if named else None

    @property
    def _lengths(self) -> list[Decimal]:
        tokens, duration = self.max_new_token, self.duration
        return [
            *([] if tokens is None else [Decimal(tokens) / _TOKENS_A_SECOND]),
            *([] if duration is None else [Decimal(duration)]),
        ]
