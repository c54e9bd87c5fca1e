"""The libraries of the extra ``audio``, loaded when they are first needed."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

from attrs import frozen

from ..errors import ConfigurationError


@frozen
class Libraries:
    """What decodes, measures and writes sound.

    Attributes:
        numpy, soundfile, loudness, soxr: the modules.
    """

    numpy: Any
    soundfile: Any
    loudness: Any
    soxr: Any


@functools.cache
def libraries() -> Libraries | None:
    """The libraries; ``None`` if one is not installed."""
    try:
        return Libraries(*map(import_module, ("numpy", "soundfile", "loudness", "soxr")))
    except (ImportError, OSError):  # a wheel without its shared library
        return None


def needed(what: str) -> Libraries:
    """The libraries.

    Args:
        what: needs them.

    Raises:
        ConfigurationError: one is not installed.
    """
    found = libraries()
    if found is None:
        raise ConfigurationError(
            f"{what} needs the extra audio: pip install 'modelslab-async[audio]'"
        )
    return found
