"""``POST /api/v6/voice/sfx``: a sound effect from a description."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from attrs import field, frozen

from .base import Estimate, Request
from .fields import PROMPT, between, choice, option
from .media import megabytes

_PAGE = "ModelsLab docs, sfx page"
_ENTERPRISE_PAGE = "ModelsLab docs, enterprise sfx page"
_DEFAULT_SECONDS = Decimal(10)


@frozen(repr=False)
class SoundEffect(Request):
    """A sound effect from a description: ``POST /api/v6/voice/sfx``.

    Args:
        prompt: what is to be heard.
        duration: length in seconds, 3 to 15; the server's default is 10.
        output_format: ``wav``, ``mp3`` or ``flac``; the server's default is ``wav``. This and
            ``bitrate`` are documented for the enterprise twin, and sent by the official clients.
        bitrate: ``128k``, ``192k`` or ``320k``.
        temp: ask for links that die after 24 h, for regions that block the storage host.
        webhook: ``https://`` URL to be told on (``http://`` on loopback only).
        track_id: your own id, echoed by the server; one is made when you give none.
        extra: further fields, sent as they are.
        unchecked: send values beyond the documented bounds.

    Raises:
        RequestError: a value is of the wrong type or out of bounds; names field, bound and source.
    """

    NAME: ClassVar[str] = "sfx"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/sfx"
    ENTERPRISE: ClassVar[str] = "/api/v1/enterprise/voice/sfx"

    prompt: str = field(**PROMPT)
    duration: int | None = option(
        int, help="Seconds, 3 to 15.", bound=between(3, 15, "3 to 15 seconds", _PAGE)
    )
    output_format: Literal["wav", "mp3", "flac"] | None = choice(
        "wav", "mp3", "flac", source=_ENTERPRISE_PAGE, help="Kind of file."
    )
    bitrate: Literal["128k", "192k", "320k"] | None = choice(
        "128k", "192k", "320k", source=_ENTERPRISE_PAGE, help="Bit rate of MP3."
    )
    temp: bool | None = option(bool, help="Ask for links that die after 24 hours.")

    def estimate(self) -> Estimate:
        """As long as asked for, or the server's default."""
        seconds = _DEFAULT_SECONDS if self.duration is None else Decimal(self.duration)
        size = megabytes(seconds, self.output_format, self.bitrate)
        return Estimate(seconds=seconds, megabytes=size)
