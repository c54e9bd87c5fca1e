"""Load scenarios from names, JSON and mappings; error messages name the wrong fields."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import cattrs
from attrs import evolve

from ._presets import SCENARIOS
from ._scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping


class ScenarioError(ValueError):
    """A scenario is invalid; the message names every wrong field."""


def load_scenario(source: str | bytes | Mapping[str, Any]) -> Scenario:
    """Load a scenario from a name, a JSON object as text, or a mapping.

    An object may have the key `"base"`: the name of the scenario whose fields it changes.

    Raises:
        ScenarioError: an unknown name, an unknown field, or a value of the wrong type.
    """
    if isinstance(source, (str, bytes)):
        text = source.decode() if isinstance(source, bytes) else source
        if not text.lstrip().startswith("{"):
            return _named(text.strip())
        source = _parse(text)
    return _from_mapping(source)


def _named(name: str) -> Scenario:
    try:
        return SCENARIOS[name]
    except KeyError:
        near = get_close_matches(name, SCENARIOS, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(SCENARIOS)}"
        raise ScenarioError(f"there is no scenario {name!r}; {known}") from None


def _parse(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"a scenario must be JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _from_mapping(source: Mapping[str, Any]) -> Scenario:
    given = dict(source)
    base = _named(str(given.pop("base"))) if "base" in given else Scenario()
    try:
        found = _CONVERTER.structure(given, Scenario)
    except cattrs.BaseValidationError as error:
        problems = cattrs.transform_error(error, path="scenario", format_exception=_explain)
        raise ScenarioError("; ".join(problems)) from None
    return evolve(base, **{name: getattr(found, name) for name in given})


def _explain(error: BaseException, _: type | None) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown fields {', '.join(sorted(error.extra_fields))}"
    return str(error.args[0]) if error.args else type(error).__name__


def _exactly(*kinds: type) -> Any:
    """Return a hook that accepts only these types; a bool is not a number."""
    names = " or ".join(kind.__name__ for kind in kinds)

    def check(value: object, _: object) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"wanted {names}, not {value!r}")
        return value

    return check


def _span(value: object, _: object) -> float | tuple[float, float]:
    numbers = value if isinstance(value, (list, tuple)) else [value]
    checked = [_exactly(int, float)(number, float) for number in numbers]
    if isinstance(value, (list, tuple)) and len(checked) != 2:
        raise TypeError(f"wanted seconds or [low, high], not {value!r}")
    return (checked[0], checked[1]) if len(checked) == 2 else checked[0]


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (int, str, bool):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _exactly(int, float))
    converter.register_structure_hook(int | float | None, _exactly(int, float, type(None)))
    converter.register_structure_hook(float | tuple[float, float], _span)
    return converter


_CONVERTER = _converter()
