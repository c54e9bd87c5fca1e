"""Read the key, and the origin that goes with it, from a ``.env`` file in the current directory.

Such a file may come with a foreign repository. So it gives nothing else, and its origin holds only
with its own key: no other key is ever sent there.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from modelslab_async import ConfigurationError

from .error_mapping import NotThere
from .places import is_reachable
from .textfiles import read_text

ENV_FILE = ".env"
_LONGEST = 1024 * 1024


def key_and_origin() -> tuple[dict[str, str], dict[str, str]]:
    """The settings ``api_key`` and ``base_url`` that it gives, as their variables are called.

    What cannot be read gives nothing: a directory of that name may be a virtual environment.
    """
    path = Path(ENV_FILE)
    if not (is_reachable(path) and path.is_file()):
        return {}, {}
    try:
        text = read_text(path, _LONGEST)
    except NotThere:
        return {}, {}
    from dotenv import dotenv_values

    # No interpolation: `${...}` could bring another variable's value to a foreign origin.
    found = dotenv_values(stream=StringIO(text), interpolate=False)
    key = found.get("MODELSLAB_API_KEY") or found.get("MODELS_LAB_API_KEY")
    origin = found.get("MODELSLAB_BASE_URL")
    return {"api_key": key} if key else {}, {"base_url": origin} if origin else {}


def check_origin(key: str, base_url: str) -> None:
    """Check that no other key is sent to the origin of the file.

    Args:
        key: where the key comes from.
        base_url: where the origin comes from.

    Raises:
        ConfigurationError: it would be.
    """
    if base_url == ENV_FILE != key:
        raise ConfigurationError(
            f"the origin is that of the {ENV_FILE} file here, which is for its own key only; "
            "nothing was sent: name the origin with --base-url, or run this in another directory"
        )
