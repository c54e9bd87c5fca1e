"""attrs validators for settings: an unusable value is an error at construction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError


def at_least(least: float, *, exclusive: bool = False) -> Callable[[Any, Any, Any], None]:
    """Return a validator for numbers ``>= least``, or with ``exclusive``, ``> least``."""

    def check(_: Any, attribute: Any, value: Any) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and (value > least or (value == least and not exclusive)):
            return
        words = f"more than {least:g}" if exclusive else f"{least:g} or more"
        raise ConfigurationError(f"{attribute.name} is {value!r:.40}, but must be {words}")

    return check
