"""Say what a setting may be. A setting that cannot be used is refused when it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError


def at_least(least: float, *, more: bool = False) -> Callable[[Any, Any, Any], None]:
    """A validator for numbers from ``least`` on, or with ``more``, above it."""

    def check(_: Any, attribute: Any, value: Any) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and (value > least or (value == least and not more)):
            return
        words = f"more than {least:g}" if more else f"{least:g} or more"
        raise ConfigurationError(f"{attribute.name} is {value!r:.40}, but must be {words}")

    return check
