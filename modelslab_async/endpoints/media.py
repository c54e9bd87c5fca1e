"""Media that a request holds: how long and large they may be, and how they are sent as text."""

from __future__ import annotations

import base64
import string
from decimal import Decimal

from .._text import shown
from ..errors import RequestError

MAX_CLIP_BYTES = 32 * 1024 * 1024
"""More than 30 s of any PCM that is in use; a larger file is not a clip."""

MAX_MEDIA_TEXT = 45 * 1024 * 1024
"""Characters of base64 text: so many bytes with a line end after each 76 characters."""

_BASE64 = string.ascii_letters.encode() + b"0123456789+/-_" + string.whitespace.encode()
_MEDIA_TYPE = frozenset(string.ascii_letters + string.digits + "_/+.;=-")
_MAX_MEDIA_TYPE = 256
_STEP = 3 * 256 * 1024  # a multiple of 3, so that no step but the last ends in padding


def base64_text(data: bytes) -> str:
    """Base64 text, made in steps: in one, no other thread would run for a tenth of a second."""
    steps = range(0, len(data), _STEP)
    return "".join(base64.b64encode(data[at : at + _STEP]).decode("ascii") for at in steps)


def out_of_bounds(name: str, value: object, what: str, remedy: str) -> RequestError:
    """The error for a value that may be sent all the same."""
    return RequestError(
        f"{name} {shown(value)} {what}; {remedy}, or pass unchecked=True to send it as it is",
        field=name,
        value=value,
    )


def is_base64(text: str) -> bool:
    """Whether it is base64 text by its characters, in either alphabet, or a data URL of such."""
    if text.startswith("data:"):
        kind, mark, _ = text[5 : 5 + _MAX_MEDIA_TYPE].partition(";base64,")
        if not mark or not _MEDIA_TYPE.issuperset(kind):
            return False
        text = text[5 + len(kind) + len(mark) :]
    if not text.isascii():
        return False
    # A pattern would do, but where blanks may stand both inside and at the end it takes quadratic
    # time, and any pattern takes ten times as long as this.
    text = text.strip()
    padding = text.encode("ascii").translate(None, _BASE64).decode("ascii")
    return padding in ("", "=", "==") and text.endswith(padding) and text != padding


def megabytes(
    seconds: Decimal,
    output_format: str | None,
    bitrate: str | None,
    sampling_rate: int | None = None,
) -> float:
    """How large a file of such audio will be, in MB; ``None`` is what the server does by itself."""
    if output_format == "mp3":
        rate = int((bitrate or "320k").removesuffix("k")) * 125
    else:
        rate = (sampling_rate or 32_000) * 4  # 16 bits, two channels
    return float(seconds) * rate / 1_000_000
