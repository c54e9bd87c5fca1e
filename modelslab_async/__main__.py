"""Start the command line, or say in one line how to install what it needs."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_NEEDS = ("click", "rich", "platformdirs")


def main() -> None:
    """The console script ``modelslab-async``, and ``python -m modelslab_async``."""
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"modelslab-async needs {', '.join(missing)}: pip install 'modelslab-async[cli]'\n"
        )
        sys.exit(2)
    from .cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
