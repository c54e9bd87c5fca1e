"""Hear the files of a batch, compare takes, and keep or reject them: one page per directory.

`write_page` writes it as a file that opens without a server. `serve` serves it on this machine,
live beside a run, and keeps the decisions in the directory; read them with
`modelslab_async.batch.read_decisions`.

A name is loaded with its module when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._page import write_page
    from ._server import Page, open_page, serve

__all__ = ["Page", "open_page", "serve", "write_page"]

_MODULES = {
    "Page": "_server",
    "open_page": "_server",
    "serve": "_server",
    "write_page": "_page",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from importlib import import_module

        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
