"""The voice operations as an OpenAPI document, as the vendor has one for version 6.

It follows from the request classes, whose fields and bounds come from that document and from the
pages, so it has version 7 and the enterprise twins, too, which the vendor's leaves out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from attrs import evolve

from modelslab_async import Request
from modelslab_async.endpoints import Field, known_fields

from ..support.all_endpoints import SAMPLES

_TYPES: dict[type, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    list: {"type": "array", "items": {}},
}
_RANGE = re.compile(r"(?P<minimum>[\d.]+) to (?P<maximum>[\d.]+)( seconds)?")
_LEAST = re.compile(r"at least (?P<minimum>\d+)")
_LENGTH = re.compile(r"(?P<maxLength>\d+) characters at most")
_URL = {"pattern": "^https?://[a-z]{1,9}[.]example/[a-z]{0,9}$"}
"""The vendor's has the format ``uri``, most of which is no address on the web."""

_STATUSES = (200, 400, 401, 402, 404, 405, 413, 429)
_ONE_SHOTS: dict[str, dict[str, Any]] = {
    "/api/v6/voice/voice_list": {"type": {"enum": ["manual", "trained", "voice_cover"]}},
    "/api/v6/voice/voice_upload": {
        "name": {"type": "string"},
        "init_audio": {"type": "string", **_URL},
        "language": {"type": "string"},
        "gender": {"enum": ["male", "female"]},
        "base64": {"type": "boolean"},
    },
    "/api/v6/voice/base64_to_url": {
        "init_audio": {"type": "string", "pattern": "^data:audio/wav;base64,[A-Za-z0-9+/]{4,64}$"}
    },
}


def openapi(key: str) -> dict[str, Any]:
    """The document for an account with this key."""
    requests = [*SAMPLES, *(evolve(one, enterprise=True) for one in SAMPLES if one.ENTERPRISE)]
    paths = {one.path: _operation(key, *_fields(one)) for one in requests}
    paths |= {path: _operation(key, fields) for path, fields in _ONE_SHOTS.items()}
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    for fetch in sorted({request.fetch for request in requests}):
        paths[f"{fetch}/{{id}}"] = {"parameters": [name], **_operation(key, {})}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Voice operations", "version": "6"},
        "paths": paths,
    }


def _operation(key: str, fields: dict[str, Any], must: Iterable[str] = ()) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["key", *must],
        "properties": {"key": {"type": "string", "enum": [key]}, **fields},
    }
    answer = {"type": "object", "anyOf": [{"required": ["status"]}, {"required": ["message"]}]}
    told = {"description": "", "content": {"application/json": {"schema": answer}}}
    return {
        "post": {
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {str(status): told for status in _STATUSES},
        }
    }


def _fields(request: Request) -> tuple[dict[str, Any], list[str]]:
    """What is sent, by name, and the names of what must be."""
    known = known_fields(type(request)).items()
    sent = {name: one for name, one in known if one.is_sent}
    fields = {one.wire or name: _schema(name, one) for name, one in sent.items()}
    return fields, [name for name, one in sent.items() if not one.optional]


def _schema(name: str, one: Field) -> dict[str, Any]:
    types = [_TYPES[kind] for kind in one.types if kind in _TYPES]
    found: dict[str, Any] = types[-1] if len(types) == 1 or float in one.types else {"anyOf": types}
    if one.choices:
        return {**found, "enum": list(one.choices)}
    if one.is_media or name == "webhook":
        return {**found, **_URL}
    words = one.bound.words if one.bound else ""
    for pattern in (_RANGE, _LEAST, _LENGTH):
        if match := pattern.fullmatch(words):
            return {**found, **{name: json.loads(text) for name, text in match.groupdict().items()}}
    return found
