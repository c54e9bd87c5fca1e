"""Validate the body of a submit. Pure.

music_gen accepts the fields and bounds of both documented versions: `sampling_rate` and
`max_new_token` (older page), and `duration`, `output_format` and `bitrate` (ModelsLab docs,
music-gen page). The older page's example succeeds with a sampling rate of 5000, below the stated
bound, so the lower bound here is 5000.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

FORMATS = ("wav", "mp3", "flac")
BITRATES = ("128k", "192k", "320k")
TOKENS_PER_SECOND = 50
CHARACTERS_PER_SECOND = 15

# Laravel's rules `integer` and `numeric` accept text too, and the official SDKs send it.
_INTEGER = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_NUMERIC = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)

Check = Callable[[Any], str | None]


@frozen(kw_only=True)
class Endpoint:
    """The fields of a submit, and the kind of job that it creates.

    Attributes:
        checks: validators by field.
        required: required fields.
        one_of: fields of which at least one is required.
        media: fields with a URL or base64 text.
        default_seconds: duration of the audio if the request states none.
        is_spoken: whether the length of the prompt determines the duration.
        extension: of the file, unless the request has an `output_format`.
        family: of the path for polling; see `FETCH_PATHS`.
        words: the name of the operation in tickets.
        meta: names in the echo of the request; empty: those of `music_gen`.
    """

    checks: Mapping[str, Check]
    required: tuple[str, ...] = ("prompt",)
    one_of: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    default_seconds: float = 10
    is_spoken: bool = False
    extension: str = "wav"
    family: str = "voice"
    words: str = "audio"
    meta: tuple[str, ...] = ()


def complaints(endpoint: Endpoint, body: Mapping[str, Any]) -> dict[str, str]:
    """Return one error sentence per invalid field, in the order of the API's checks."""
    found: dict[str, str] = {}
    for name in endpoint.required:
        if body.get(name) in (None, ""):
            found[name] = f"{name} is required"
    if endpoint.one_of and not any(body.get(name) for name in endpoint.one_of):
        found[endpoint.one_of[0]] = f"{endpoint.one_of[0]} is required"
    for name, check in endpoint.checks.items():
        given = body.get(name)
        if name not in found and given is not None and (sentence := check(given)):
            found[name] = sentence
    if not found:
        results = ((name, _media(endpoint, name, body)) for name in endpoint.media)
        found = {name: sentence for name, sentence in results if sentence}
    return found


def title(body: Mapping[str, Any]) -> str:
    """Return the prompt of a job, or else the first other text in the request."""
    names = ("prompt", "text", "caption", "lyrics", "voice_id", "model_id")
    found = (body.get(name) for name in names)
    return next((text for text in found if isinstance(text, str) and text), "")


def extension(endpoint: Endpoint, body: Mapping[str, Any]) -> str:
    """Return the extension of the file, without the dot."""
    if "output_format" in endpoint.checks:
        return str(body.get("output_format") or endpoint.extension)
    return endpoint.extension


def length_seconds(endpoint: Endpoint, body: Mapping[str, Any]) -> float:
    """Return the duration of the audio in seconds: by tokens if given, else by `duration`."""
    if "max_new_token" in endpoint.checks and (tokens := body.get("max_new_token")) is not None:
        return float(int(tokens) - 3) / TOKENS_PER_SECOND
    if endpoint.is_spoken:
        return max(1.0, len(title(body)) / CHARACTERS_PER_SECOND)
    asked = body.get("duration") or body.get("time in seconds")
    return float(asked or endpoint.default_seconds)


def tokens(body: Mapping[str, Any], seconds: float) -> int:
    """Return `meta.max_new_token`; computed if the request states a duration instead."""
    return int(body.get("max_new_token") or seconds * TOKENS_PER_SECOND + 3)


def text(name: str, most: int | None = None) -> Check:
    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return f"{name} must be a string"
        if most is not None and len(value) > most:
            return f"The {name} must not be greater than {most} characters"
        return None

    return check


def whole(name: str, low: int, high: int) -> Check:
    def check(value: object) -> str | None:
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return f"The {name} field must be an integer"
        return None if low <= value <= high else f"The {name} must be between {low} and {high}"

    return check


def number(name: str, low: float = -math.inf, high: float = math.inf) -> Check:
    def check(value: object) -> str | None:
        if isinstance(value, str) and _NUMERIC.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"The {name} field must be a number"
        return None if low <= value <= high else f"The {name} must be between {low} and {high}"

    return check


def boolean(name: str) -> Check:
    sentence = f"The {name} field must be true or false"
    return lambda value: None if isinstance(value, bool) else sentence


def choice(name: str, choices: tuple[str, ...]) -> Check:
    return lambda value: None if value in choices else f"The selected {name} is invalid"


def webhook(value: object) -> str | None:
    return None if value == "" or _is_url(value) else "The webhook must be a valid URL"


def track_id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return "The track_id field must be an integer or a string"
    return None


def _media(endpoint: Endpoint, name: str, body: Mapping[str, Any]) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    if "base64" not in endpoint.checks and endpoint.family == "v7":  # v7 has no field for the kind
        return None if _is_url(value) or _is_base64(value) else f"The {name} is invalid"
    if "base64" in endpoint.checks and body.get("base64"):
        return None if _is_base64(value) else f"The {name} must be valid base64"
    return None if _is_url(value) else f"The {name} must be a valid URL"


def _is_url(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in value


def _is_base64(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return bool(base64.b64decode(value.partition(";base64,")[2] or value, validate=True))
    except binascii.Error:
        return False
