"""What is known of each field of a request, as data; checks and options are loops over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import Attribute, field, frozen

from .._protocol.wire_json import check_json
from .._text import shown
from ..errors import RequestError
from .media import MAX_MEDIA_TEXT

MAX_PROMPT = 16 * 1024 * 1024
"""Characters; no limit is documented, and so many are checked without the event loop noticing."""

MAX_LINE = 8192
"""Characters of any other text, URLs included: servers take no longer ones in a request line."""

FIELD = "modelslab_async.field"


@frozen(kw_only=True)
class Clip:
    """What a local file must be that goes into a field.

    Attributes:
        is_video: MP4 or QuickTime, and no sound.
        shortest, longest: seconds; ``None``: none is documented.
        source: who says so.
    """

    is_video: bool = False
    shortest: float = 0.0
    longest: float | None = None
    source: str = ""


ANY_SOUND = Clip()
VIDEO = Clip(is_video=True)
SHORT_SOUND = Clip(longest=30, source="ModelsLab docs, music-gen page since 2026-03-27")


@frozen
class Bound:
    """One documented bound: what is allowed, in words too, and who says so."""

    allowed: Callable[[Any], bool]
    words: str
    source: str


def between(low: float, high: float, words: str, source: str) -> Bound:
    """A number from ``low`` to ``high``, both included."""
    return Bound(lambda value: low <= value <= high, words, source)


@frozen(kw_only=True)
class Field:
    """What is known of one field of a request.

    Attributes:
        types: exactly these: `True` is no int here, and 3.0 is not 3.
        help: what it is for, as the command line says it; empty where it has no option.
        optional: whether it may be left out.
        longest: the most characters of text.
        bound: what the documents allow.
        choices: the texts that the documents allow.
        is_media: whether it takes a URL; and base64 text or a local file, if `Path` is a type.
        clip: what a local file must be.
        is_sent: whether it is sent.
        wire: what it is called in what is sent, if not by its own name.
    """

    types: tuple[type, ...]
    help: str = ""
    optional: bool = True
    longest: int = MAX_LINE
    bound: Bound | None = None
    choices: tuple[str, ...] = ()
    is_media: bool = False
    clip: Clip = ANY_SOUND
    is_sent: bool = True
    wire: str = ""


def option(*types: type, help: str = "", **known: Any) -> Any:  # noqa: A002 - as `Field` has it
    """A field that may be left out: ``None`` means that it is not sent."""
    return _field(Field(types=types, help=help, **known), default=None, kw_only=True)


def flag() -> Any:
    """What is false unless it is set, and not sent."""
    return _field(Field(types=(bool,), is_sent=False), default=False, kw_only=True)


def choice(*choices: str, source: str, help: str = "") -> Any:  # noqa: A002 - as `Field` has it
    """One of the texts that the documents name."""
    return option(str, help=help, **_among(choices, source))


def must_choice(*choices: str, source: str, help: str = "") -> dict[str, Any]:  # noqa: A002
    """The same for `attrs.field`, of one that must be given."""
    return must(str, help=help, **_among(choices, source))


def _among(choices: tuple[str, ...], source: str) -> dict[str, Any]:
    bound = Bound(lambda value: value in choices, f"one of {', '.join(choices)}", source)
    return {"bound": bound, "choices": choices}


def number(help: str, bound: Bound | None = None) -> Any:  # noqa: A002 - as `Field` has it
    """A finite number, whole or not."""
    return option(int, float, help=help, bound=bound)


def words(help: str, *, kw_only: bool = True) -> Any:  # noqa: A002 - as `Field` has it
    """Text of any length, which may be left out."""
    known = Field(types=(str,), help=help, longest=MAX_PROMPT)
    return _field(known, default=None, kw_only=kw_only)


def listed(bound: Bound) -> Any:
    """A list of JSON values, which may be left out; a copy of what is given."""
    known = Field(types=(list,), bound=bound)
    return _field(known, default=None, kw_only=True, hash=False, converter=_copied)


def _copied(value: object) -> object:
    return [*value] if isinstance(value, list) else value


def must(*types: type, **known: Any) -> dict[str, Any]:
    """For `attrs.field`: one that must be given. By that call, type checkers see that it must."""
    return of(Field(types=types, optional=False, **known))


def media(help: str, clip: Clip = ANY_SOUND) -> Any:  # noqa: A002 - as `Field` has it
    """A URL or base64 text as ``str``, a local file as ``pathlib.Path`` or ``bytes``."""
    return _field(Field(help=help, **_media(clip)), default=None, kw_only=True, repr=_short)


def must_media(
    help: str,  # noqa: A002 - as `Field` has it
    clip: Clip = ANY_SOUND,
    *,
    optional: bool = False,
) -> dict[str, Any]:
    """The same for `attrs.field`, of one that must be given."""
    return {**of(Field(help=help, optional=optional, **_media(clip))), "repr": _short}


def _media(clip: Clip) -> dict[str, Any]:
    types = (str, Path, bytes)
    return {"types": types, "longest": MAX_MEDIA_TEXT, "is_media": True, "clip": clip}


def link(help: str) -> Any:  # noqa: A002 - as `Field` has it
    """A URL of media, and nothing else."""
    return option(str, help=help, is_media=True)


def must_link(help: str) -> dict[str, Any]:  # noqa: A002 - as `Field` has it
    """The same for `attrs.field`, of one that must be given."""
    return must(str, help=help, is_media=True)


def _field(known: Field, **settings: Any) -> Any:
    return field(**of(known), **settings)


def of(known: Field) -> dict[str, Any]:
    """What attrs is told about a field."""
    return {"metadata": {FIELD: known}, "validator": _check_type}


def _check_type(_: Any, attribute: Attribute[Any], value: Any) -> None:
    """First of all: whatever else is checked costs time by the length."""
    known: Field = attribute.metadata[FIELD]
    if value is None and known.optional:
        return
    if type(value) in known.types or (Path in known.types and isinstance(value, Path)):
        _check_size(attribute.name, value, known.longest)
        return
    names = " or ".join(one.__name__ for one in known.types)
    raise RequestError(
        f"{attribute.name} is {shown(value)}, but must be {names}",
        field=attribute.name,
        value=value,
    )


def _check_size(name: str, value: object, longest: int) -> None:
    if isinstance(value, str) and len(value) > longest:
        raise RequestError(
            f"{name} has {len(value)} characters, but may have {longest} at most; shorten it",
            field=name,
            value=value[:80],
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{name} is {value}, but must be a finite number", field=name)
    if isinstance(value, int) and value.bit_length() > 63:
        raise RequestError(f"{name} is {shown(value)}, but must be below 2**63", field=name)
    if isinstance(value, list):
        try:
            check_json(value, longest)
        except ValueError as error:
            raise RequestError(f"{name} cannot be sent as JSON: {error}", field=name) from None


PROMPT = must(str, longest=MAX_PROMPT)
"""What to generate, for `attrs.field`."""


def short_text(most: int, source: str, **known: Any) -> dict[str, Any]:
    """The same of a documented length."""
    bound = Bound(lambda text: len(text) <= most, f"{most} characters at most", source)
    return must(str, longest=MAX_PROMPT, bound=bound, **known)


def _short(value: object) -> str:
    if isinstance(value, str | bytes) and len(value) > 60:
        return f"{shown(value, 40)}...({len(value)} long)"
    return repr(value)
