"""Decide whether fields make a request, with no leniency: 7.9 is no whole number, 3 is no text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_origin

import cattrs
from attrs import fields

from .._protocol.wire_json import encode_json
from .._text import shown
from ..endpoints.music import MusicGen
from ..errors import RequestError

REQUEST_FIELDS: Final = frozenset(attribute.name for attribute in fields(MusicGen))

CLIP: Final = "init_audio_file"
"""The field that names a clip on this machine."""


def canonical(value: object) -> bytes:
    """The one way to write a value as JSON: equal values have equal bytes."""
    return encode_json(value, sort_keys=True)


def build(values: Mapping[str, Any]) -> MusicGen:
    """A request of those values that are fields of one; ``None`` leaves a field unset.

    Raises:
        RequestError: what is wrong with it; all wrong types together.
    """
    known = {n: v for n, v in values.items() if n in REQUEST_FIELDS and v is not None}
    if "prompt" not in known:
        raise RequestError("prompt is missing", field="prompt")
    try:
        return _CONVERTER.structure(known, MusicGen)
    except cattrs.ClassValidationError as error:
        raise RequestError("; ".join(_reasons(error))) from None


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
    converter.register_structure_hook(bool, _exactly("true or false", bool))
    converter.register_structure_hook(
        int | str | None, _exactly("a whole number or text", int, str)
    )
    converter.register_structure_hook(str | Path | bytes | None, _exactly("text", str, Path, bytes))
    converter.register_structure_hook_func(_made_of(Literal), text)
    converter.register_structure_hook_func(_made_of(Mapping), _exactly("an object", dict))
    return converter


_CONVERTER: Final = _converter()
