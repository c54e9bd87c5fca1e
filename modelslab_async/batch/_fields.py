"""Decide which fields a row may have, and make a request of them.

Nothing is converted: 7.9 is not a whole number, and 3 is not text. The field ``endpoint`` names the
class of the request; the default is `MusicGen`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from .._text import shown
from ..endpoints import REQUESTS, Field, MusicGen, Request, known_fields
from ..errors import RequestError

_TYPES: Final[dict[tuple[type, ...], str]] = {
    (int,): "a whole number",
    (int, float): "a number",
    (int, str): "a whole number or text",
    (bool,): "true or false",
    (dict,): "an object",
    (list,): "a list",
}

FIELDS: Final[dict[str, Field]] = {}
"""The fields of all requests; one that several requests have has the types and choices of all."""

for _request in REQUESTS.values():
    for _name, _known in known_fields(_request).items():
        _other = FIELDS.setdefault(_name, _known)
        FIELDS[_name] = evolve(
            _other,
            types=tuple(dict.fromkeys((*_other.types, *_known.types))),
            choices=tuple(dict.fromkeys((*_other.choices, *_known.choices))),
        )

FILES: Final = {f"{name}_file": name for name, known in FIELDS.items() if known.is_media}
"""The fields that name local files, and the field in which each is sent."""

ENDPOINT: Final = "endpoint"

ROW_FIELDS: Final = frozenset((*FIELDS, *FILES, ENDPOINT, "id", "takes"))
"""All fields that have a meaning in a manifest."""


def build(values: Mapping[str, Any]) -> Request:
    """The request of these fields; ``None`` leaves a field unset, unknown ones are ignored.

    Raises:
        RequestError: what is wrong with it; all wrong types together.
    """
    given = {name: value for name, value in values.items() if name in FIELDS and value is not None}
    request = request_class(values.get(ENDPOINT))
    known = known_fields(request)
    for name in given:
        if name not in known:
            written = f"{name}_file" if values.get(f"{name}_file") is not None else name
            raise RequestError(f"{written} is no field of {request.NAME}", field=written)
    for name, one in known.items():
        if not one.optional and name not in given:
            raise RequestError(f"{name} is missing", field=name)
    wrong = [
        f"{name} is {shown(value)}, but must be {_TYPES.get(types, 'text')}"
        for name, value in given.items()
        if type(value) not in (types := known[name].types)
        and not (Path in types and isinstance(value, Path))
    ]
    if wrong:
        raise RequestError("; ".join(wrong))
    return request(**given)


def request_class(name: object) -> type[Request]:
    """The class that the field ``endpoint`` of a row names.

    Raises:
        RequestError: there is no such class.
    """
    if name is None:
        return MusicGen
    if isinstance(name, str) and name in REQUESTS:
        return REQUESTS[name]
    raise RequestError(
        f"endpoint is {shown(name)}, but must be one of {', '.join(REQUESTS)}", field=ENDPOINT
    )
