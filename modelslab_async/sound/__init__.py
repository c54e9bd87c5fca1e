"""Check sound files, see where they come from, and hand them over.

`check_file` finds what a listener would notice, and the marks in a file. `tag_file` adds marks to a
copy. `export_batch` brings the files of a batch to one loudness and format (extra ``audio``).

A name is loaded with its module when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._protocol.marks import Mark, Provenance
    from .._protocol.sound_check import Flag
    from ._check import CheckedFile, check_file, check_files
    from ._export import Exported, export_batch
    from ._shape import Shape
    from ._tag import tag_file

__all__ = [
    "CheckedFile",
    "Exported",
    "Flag",
    "Mark",
    "Provenance",
    "Shape",
    "check_file",
    "check_files",
    "export_batch",
    "tag_file",
]

_MODULES = {
    "_check": ("CheckedFile", "Flag", "Mark", "check_file", "check_files"),
    "_export": ("Exported", "export_batch"),
    "_shape": ("Shape",),
    "_tag": ("Provenance", "tag_file"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
