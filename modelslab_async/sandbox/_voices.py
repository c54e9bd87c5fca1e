"""The endpoints of the voice library: built-in and uploaded voices. They create no jobs.

Shapes follow the voice-list, upload-voice and base64-to-url pages of the ModelsLab docs.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from attrs import define, field

from ._shapes import refusal

if TYPE_CHECKING:
    from ._answer import Answer
    from ._context import RequestContext
    from ._storage import Storage

_KINDS = ("manual", "trained", "voice_cover")
_MAX_CLIP = 32 * 2**20


def _library() -> dict[str, list[dict[str, Any]]]:
    voices = (
        ("tara", "english", "female"),
        ("leo", "english", "male"),
        ("mia", "french", "female"),
    )
    return {
        "manual": [
            {"voice_id": name, "name": name.title(), "language": language, "gender": gender}
            for name, language, gender in voices
        ],
        "trained": [{"voice_id": "singer-1", "name": "Singer 1", "language": "english"}],
        "voice_cover": [{"voice_id": "cover-1", "name": "Cover 1", "language": "english"}],
    }


@define(eq=False)
class VoiceEndpoints:
    """The handlers of the voice library."""

    _storage: Storage
    _voices: dict[str, list[dict[str, Any]]] = field(factory=_library, init=False)

    async def list(self, x: RequestContext) -> Answer:
        kind = x.document.get("type", "manual")
        if kind not in _KINDS:
            return x.json(refusal(x.scenario, "The selected type is invalid."), status=400)
        return x.json({"status": "success", "voices": self._voices[kind]})

    async def add(self, x: RequestContext) -> Answer:
        """Add a voice whose id is a slug of its name; it replaces a voice with the same id."""
        for name in ("name", "init_audio", "language"):
            if not isinstance(x.document.get(name), str) or not x.document[name].strip():
                return x.json(refusal(x.scenario, f"The {name} field is required."), status=400)
        gender = x.document.get("gender")
        if gender not in (None, "male", "female"):
            return x.json(refusal(x.scenario, "The selected gender is invalid."), status=400)
        is_text = x.document.get("base64") is True
        clip = x.document["init_audio"]
        if not (_decoded(clip) if is_text else clip.startswith(("https://", "http://"))):
            message = "The init_audio field must be a URL, or base64 text with base64 true."
            return x.json(refusal(x.scenario, message), status=400)
        slug = re.sub(r"[^a-z0-9]+", "-", x.document["name"].lower()).strip("-") or "voice"
        voice = {"voice_id": slug, "name": x.document["name"], "language": x.document["language"]}
        others = [one for one in self._voices["manual"] if one["voice_id"] != slug]
        self._voices["manual"] = [*others, voice | ({"gender": gender} if gender else {})]
        message = "voice uploaded successfully"
        return x.json({"status": "success", "message": message, "voice_id": slug})

    async def to_url(self, x: RequestContext) -> Answer:
        """Store a clip and return its URL."""
        text = x.document.get("init_audio")
        kind, mark, data = text.partition(";base64,") if isinstance(text, str) else ("", "", "")
        body = _decoded(data) if mark and kind.startswith("data:audio/") else b""
        if not body:
            message = "The init_audio field must be a data URI of audio."
            return x.json(refusal(x.scenario, message), status=400)
        number, url = self._storage.keep_upload(body, "audio/wav")
        return x.json({"status": "success", "id": number, "output": [url]})


def _decoded(text: str) -> bytes:
    """Decode base64 text; return empty bytes if it is invalid or too large."""
    try:
        body = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return body if len(body) <= _MAX_CLIP else b""
