"""Say which endpoints there are, and decide whether a body may become a job. Pure.

Fields and bounds of both documented eras of music_gen are accepted side by side: `sampling_rate`
and `max_new_token` (older page) and `duration`, `output_format` and `bitrate` (ModelsLab docs,
music-gen page). The older page's own example sends a sampling rate of 5000 below its stated
bound and gets an answer, so the lower bound here is 5000.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

FORMATS = ("wav", "mp3", "flac")
BITRATES = ("128k", "192k", "320k")
TOKENS_PER_SECOND = 50

Check = Callable[[Any], str | None]


@frozen
class Endpoint:
    """What a submit may hold, and how long the audio will be that names no length."""

    checks: Mapping[str, Check]
    default_seconds: float


def complaints(endpoint: Endpoint, body: Mapping[str, Any]) -> dict[str, str]:
    """Return one sentence per field that is wrong, in the order the API checks them."""
    found: dict[str, str] = {}
    for name, check in endpoint.checks.items():
        given = body.get(name)
        sentence = check(given) if given is not None or name == "prompt" else None
        if sentence:
            found[name] = sentence
    if not found and "base64" in endpoint.checks and (sentence := _init_audio(body)):
        found["init_audio"] = sentence
    return found


def length_seconds(endpoint: Endpoint, body: Mapping[str, Any]) -> float:
    """Return how long the audio will be: by tokens when given, else by `duration`."""
    if "max_new_token" in endpoint.checks and (tokens := body.get("max_new_token")) is not None:
        return float(tokens - 3) / TOKENS_PER_SECOND
    return float(body.get("duration") or endpoint.default_seconds)


def tokens(body: Mapping[str, Any], seconds: float) -> int:
    """Return what `meta.max_new_token` says, also for a request that named a duration."""
    return int(body.get("max_new_token") or seconds * TOKENS_PER_SECOND + 3)


def _prompt(value: object) -> str | None:
    if value is None or value == "":
        return "prompt is required"
    return None if isinstance(value, str) else "prompt must be a string"


def _whole(name: str, low: int, high: int) -> Check:
    def check(value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"The {name} field must be an integer"
        return None if low <= value <= high else f"The {name} must be between {low} and {high}"

    return check


def _boolean(name: str) -> Check:
    sentence = f"The {name} field must be true or false"
    return lambda value: None if isinstance(value, bool) else sentence


def _choice(name: str, choices: tuple[str, ...]) -> Check:
    return lambda value: None if value in choices else f"The selected {name} is invalid"


def _webhook(value: object) -> str | None:
    return None if value == "" or _is_url(value) else "The webhook must be a valid URL"


def _track_id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return "The track_id field must be an integer or a string"
    return None


def _init_audio(body: Mapping[str, Any]) -> str | None:
    value = body.get("init_audio")
    if value is None or value == "":
        return None
    if body.get("base64"):
        return None if _is_base64(value) else "The init_audio must be valid base64"
    return None if _is_url(value) else "The init_audio must be a valid URL"


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


_ALL_JOBS: dict[str, Check] = {
    "temp": _boolean("temp"),
    "webhook": _webhook,
    "track_id": _track_id,
}
_SOUND: dict[str, Check] = {
    "output_format": _choice("output_format", FORMATS),
    "bitrate": _choice("bitrate", BITRATES),
}

ENDPOINTS: dict[str, Endpoint] = {
    "/api/v6/voice/music_gen": Endpoint(
        {
            "prompt": _prompt,
            "sampling_rate": _whole("sampling_rate", 5000, 192_000),
            "max_new_token": _whole("max_new_token", 256, 1024),
            "duration": _whole("duration", 30, 480),
            **_SOUND,
            "base64": _boolean("base64"),
            **_ALL_JOBS,
        },
        default_seconds=30,
    ),
    "/api/v6/voice/sfx": Endpoint(
        {"prompt": _prompt, "duration": _whole("duration", 3, 15), **_SOUND, **_ALL_JOBS},
        default_seconds=10,
    ),
}
"""The submits by path (ModelsLab docs, music-gen and sfx pages)."""
