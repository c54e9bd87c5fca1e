"""Start the command line, or say in one line how to install what it needs."""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130

try:
    import signal
except KeyboardInterrupt:
    os._exit(_INTERRUPTED)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

_NEEDS = ("click", "dotenv", "platformdirs", "rich")


def main() -> None:
    """The console script ``modelslab-async``, and ``python -m modelslab_async``."""
    # Imports are most of a short command's time, and most of what Ctrl-C meets. A shell lets what
    # it starts in the background ignore Ctrl-C, and that stays in force.
    guarded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if guarded:
        signal.signal(signal.SIGINT, _leave)
    run = _loaded()
    if guarded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def _leave(number: int, frame: FrameType | None) -> None:
    """Nothing has begun: there is nothing to clean up, and a traceback would tell nothing."""
    os._exit(_INTERRUPTED)


def _loaded() -> Callable[[Sequence[str]], int]:
    """The command line, if all is there that it needs."""
    from importlib.util import find_spec

    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"modelslab-async needs {', '.join(missing)}: pip install 'modelslab-async[cli]'\n"
        )
        sys.exit(2)
    from ._cli import run

    return run


if __name__ == "__main__":
    main()
