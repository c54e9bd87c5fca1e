"""What a model may ask for: tracks, each with a key that stays the same when it asks again."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, ConfigDict, Field

from .._text import safe_text, slug

MAX_TRACKS: Final = 100
"""Tracks of one call; a larger batch takes several."""

_MAX_ID: Final = 38
_MAX_SLUG: Final = 29  # with the digest after it, as long as an id
_DIGEST: Final = 8
_TAKE: Final = re.compile(r".*-take[0-9]+")


class Track(BaseModel):
    """One piece of music."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(
        min_length=1,
        max_length=2000,
        description="Genre, instruments, mood, key, bpm; English works best.",
    )
    duration: int = Field(default=30, ge=30, le=480, description="Seconds, 30 to 480.")
    output_format: Literal["wav", "mp3", "flac"] = "wav"
    id: str | None = Field(
        default=None,
        description="Your own key for it, such as boss-fight-loop; also the file's name.",
    )
    take: int = Field(
        default=1,
        ge=1,
        le=999,
        description="The same take is never paid for twice. 2, 3, ...: another version of the "
        "same track, which is a new payment.",
    )


def rows_of(tracks: Sequence[Track]) -> list[dict[str, Any]]:
    """The rows of a batch for these tracks. Equal tracks give equal rows in every call.

    Raises:
        ToolError: an id cannot be used, or two tracks are the same.
    """
    rows = [_row(track) for track in tracks]
    twice = [row_id for row_id, count in Counter(row["id"] for row in rows).items() if count > 1]
    if twice:
        raise ToolError(
            f"{twice[0]} is there twice, and would be made once: give different ids, or take 2 for "
            "another version. Nothing was sent"
        )
    return rows


def _row(track: Track) -> dict[str, Any]:
    # What is left out is sent all the same: a model that names it the next time pays nothing.
    sent: dict[str, Any] = {
        "prompt": track.prompt.strip(),
        "duration": track.duration,
        "output_format": track.output_format,
    }
    row_id = _made_id(sent) if track.id is None else _checked_id(track.id)
    return {"id": row_id if track.take == 1 else f"{row_id}-take{track.take}", **sent}


def _made_id(sent: dict[str, Any]) -> str:
    text = json.dumps(sent, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{slug(sent['prompt'], _MAX_SLUG, ascii_only=True)}-{digest}"


def _checked_id(given: str) -> str:
    fit = slug(given, _MAX_ID)
    if _TAKE.fullmatch(given):
        raise ToolError(
            f"the id {safe_text(given, 60)} ends like a take: leave that out, and say take instead"
        )
    if fit != given:
        raise ToolError(
            f"the id {safe_text(given, 60)!r} cannot be a file's name: use lower-case letters, "
            f"digits and - _ . up to {_MAX_ID} bytes, such as {fit!r}"
        )
    return given
