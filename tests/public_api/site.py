"""Check that the built site has every public name: ``python -m tests.public_api.site SITE``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

from .__main__ import MODULES, exports, load


def names(suffix: str) -> Iterator[str]:
    """The full path of what a module exports, and of the public members that are its own."""
    package = load()
    module = package[suffix[1:]] if suffix else package
    for name in sorted(exports(module)):
        thing = module[name]
        target = thing.final_target if isinstance(thing, griffe.Alias) else thing
        yield f"{module.path}.{name}"
        if isinstance(target, griffe.Class):
            for member, value in [*target.members.items(), *_inherited(target, module)]:
                if value.docstring and not member.startswith("_"):
                    yield f"{module.path}.{name}.{member}"


def _inherited(
    found: griffe.Class, module: griffe.Object | griffe.Alias
) -> list[tuple[str, griffe.Object | griffe.Alias]]:
    """The members that a class has from classes that are not on the page themselves."""
    owners = {name: each.final_target.parent for name, each in found.inherited_members.items()}
    return [
        (name, found.inherited_members[name])
        for name, owner in owners.items()
        if owner is not None and owner.name not in exports(module)
    ]


def missing(site: Path) -> list[str]:
    """The public names that are on no page."""
    found: list[str] = []
    for suffix in MODULES:
        page = site / "api" / (suffix[1:] or "modelslab_async") / "index.html"
        text = page.read_text() if page.is_file() else ""
        anchors = set(re.findall(r'id="([\w.]+)"', text))
        found += [name for name in names(suffix) if name not in anchors]
    return found


if __name__ == "__main__":
    if lost := missing(Path(sys.argv[1])):
        sys.exit("\n".join(f"not in the API reference: {name}" for name in lost))
