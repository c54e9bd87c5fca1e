"""Decide whether fields make a request, with no leniency: 7.9 is no whole number, 3 is no text.

The field ``endpoint`` says which class of request it is; without one it is `MusicGen`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_origin

import cattrs
from attrs import evolve

from .._protocol.wire_json import encode_json
from .._text import shown
from ..endpoints import REQUESTS, Field, MusicGen, Request, known_fields
from ..errors import RequestError


def _fields() -> dict[str, Field]:
    found: dict[str, Field] = {}
    for request in REQUESTS.values():
        for name, known in known_fields(request).items():
            other = found.setdefault(name, known)
            found[name] = evolve(
                other,
                types=tuple(dict.fromkeys((*other.types, *known.types))),
                choices=tuple(dict.fromkeys((*other.choices, *known.choices))),
            )
    return found


FIELDS: Final = _fields()
"""The fields of all requests; where two have one of the same name, with the types of both."""

FILES: Final = {f"{name}_file": name for name, known in FIELDS.items() if known.is_media}
"""The fields that name files on this machine, and the field that each stands for."""

ENDPOINT: Final = "endpoint"

ROW_FIELDS: Final = frozenset((*FIELDS, *FILES, ENDPOINT, "id"))
"""All fields of a manifest that mean something here."""


def canonical(value: object) -> bytes:
    """The one way to write a value as JSON: equal values have equal bytes."""
    return encode_json(value, sort_keys=True)


def build(values: Mapping[str, Any]) -> Request:
    """A request of those values that are fields of one; ``None`` leaves a field unset.

    Raises:
        RequestError: what is wrong with it; all wrong types together.
    """
    known = {n: v for n, v in values.items() if n in FIELDS and v is not None}
    request = request_class(values.get(ENDPOINT))
    fields = known_fields(request)
    for name in known:
        if name not in fields:
            written = f"{name}_file" if values.get(f"{name}_file") is not None else name
            raise RequestError(f"{written} is no field of {request.NAME}", field=written)
    for name, field in fields.items():
        if not field.optional and name not in known:
            raise RequestError(f"{name} is missing", field=name)
    try:
        return _CONVERTER.structure(known, request)
    except cattrs.ClassValidationError as error:
        raise RequestError("; ".join(_reasons(error))) from None


def request_class(name: object) -> type[Request]:
    """The class that a row's field ``endpoint`` names.

    Raises:
        RequestError: there is no such one.
    """
    if name is None:
        return MusicGen
    if isinstance(name, str) and name in REQUESTS:
        return REQUESTS[name]
    raise RequestError(
        f"endpoint is {shown(name)}, but must be one of {', '.join(REQUESTS)}", field=ENDPOINT
    )


def _reasons(error: cattrs.ClassValidationError) -> list[str]:
    with_notes, without = error.group_exceptions()
    named = [f"{note.name} {reason}" for reason, note in with_notes]
    return named + [str(reason) for reason in without]


def _exactly(words: str, *kinds: type) -> Callable[[object, object], Any]:
    def take(value: object, _: object) -> Any:
        if type(value) in kinds or (Path in kinds and isinstance(value, Path)):
            return value
        raise TypeError(f"is {shown(value)}, but must be {words}")

    return take


def _made_of(origin: object) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    text = _exactly("text", str)
    converter.register_structure_hook(str, text)
    converter.register_structure_hook(int, _exactly("a whole number", int))
    for kind in (int | float, int | float | None):
        converter.register_structure_hook(kind, _exactly("a number", int, float))
    converter.register_structure_hook(str | Path | bytes, _exactly("text", str, Path, bytes))
    converter.register_structure_hook(bool, _exactly("true or false", bool))
    converter.register_structure_hook(
        int | str | None, _exactly("a whole number or text", int, str)
    )
    converter.register_structure_hook(str | Path | bytes | None, _exactly("text", str, Path, bytes))
    converter.register_structure_hook_func(_made_of(Literal), text)
    converter.register_structure_hook_func(_made_of(Mapping), _exactly("an object", dict))
    return converter


_CONVERTER: Final = _converter()
