"""Music as tools of a model, by the Model Context Protocol: durable batches behind a question.

`serve` speaks the protocol on standard input and output, as the command ``modelslab-async mcp``
does. `opened_server` gives the server itself, for another transport. Both need the extra ``mcp``.

Each batch is a directory below one root, and its ledger knows what is paid for: a call that the
model repeats, or makes again after a crash, pays for nothing twice.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._serving import opened_server, serve

__all__ = ["opened_server", "serve"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import _serving
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise ModuleNotFoundError(
            "this needs the extra mcp: pip install 'modelslab-async[mcp]'", name=error.name
        ) from None
    value = getattr(_serving, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
