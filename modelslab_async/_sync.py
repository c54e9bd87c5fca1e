"""One file from a script that has no event loop."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ._engine.saved import SavedFile
from .client import ModelsLab
from .endpoints.base import Request
from .errors import ConfigurationError


def generate_sync(
    request: Request | str,
    *,
    to: str | os.PathLike[str],
    api_key: str | None = None,
    base_url: str | None = None,
    **values: Any,
) -> SavedFile:
    """Generate one file, and wait for it: `ModelsLab.generate` for scripts.

    Args:
        request: what to generate; or a prompt for `MusicGen`, with fields of it as ``values``.
        to: where the file goes, as `ModelsLab.download` takes it.
        api_key: as `ModelsLab` takes it.
        base_url: as `ModelsLab` takes it.
        values: fields of `MusicGen`.

    Raises:
        ConfigurationError: an event loop runs already: await `ModelsLab.generate` there.
        ModelsLabError: as `ModelsLab.generate`. A job that was accepted is named on it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_generate(request, to, api_key, base_url, values))
    raise ConfigurationError(
        "generate_sync would block the event loop that runs here; write "
        "`async with ModelsLab() as client: await client.generate(..., to=...)`"
    )


async def _generate(
    request: Request | str,
    to: str | os.PathLike[str],
    api_key: str | None,
    base_url: str | None,
    values: dict[str, Any],
) -> SavedFile:
    async with ModelsLab(api_key, base_url=base_url) as client:
        return await client.generate(request, to=to, **values)
