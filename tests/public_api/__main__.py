"""Every public name of the package with its signature, as text that a change shows up in.

``python -m tests.public_api`` compares it with `snapshot.txt`; ``--write`` renews that file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import griffe

MODULES = (
    "",
    ".batch",
    ".endpoints",
    ".errors",
    ".listening",
    ".mcp",
    ".sandbox",
    ".sound",
    ".telemetry",
    ".testing",
    ".webhooks",
)
SNAPSHOT = Path(__file__).with_name("snapshot.txt")
CALLED = {
    *("__aenter__", "__aiter__", "__anext__", "__await__", "__call__", "__enter__"),
    *("__init__", "__iter__"),
}


def described() -> Iterator[str]:
    """A line per module, name and public member."""
    package = load()
    for suffix in MODULES:
        module = package[suffix[1:]] if suffix else package
        yield f"{module.path}"
        for name in sorted(exports(module)):
            yield from _lines(name, module[name], "    ")


def load() -> griffe.Object | griffe.Alias:
    """The package, as its source text tells."""
    return griffe.load("modelslab_async", search_paths=[Path(__file__).parents[2]])


def exports(module: griffe.Object | griffe.Alias) -> list[str]:
    """The names in a module's ``__all__``."""
    if module.exports is None:
        raise SystemExit(f"{module.path} has no __all__")
    return [str(name) for name in module.exports]


def _lines(name: str, found: griffe.Object | griffe.Alias, indent: str) -> Iterator[str]:
    thing = found.final_target if isinstance(found, griffe.Alias) else found
    if isinstance(thing, griffe.Function):
        returns = f" -> {thing.returns}" if thing.returns else ""
        parameters = ", ".join(_parameter(one) for one in thing.parameters if one.name != "self")
        yield f"{indent}{'async ' if 'async' in thing.labels else ''}{name}({parameters}){returns}"
    elif isinstance(thing, griffe.Class):
        yield f"{indent}class {name}({', '.join(str(base) for base in thing.bases)})"
        for member, value in sorted(thing.members.items()):
            if not member.startswith("_") or member in CALLED:
                yield from _lines(member, value, indent + "    ")
    elif isinstance(thing, griffe.Attribute):
        kind = "property " if "property" in thing.labels else ""
        yield f"{indent}{kind}{name}: {thing.annotation or thing.value}"


def _parameter(one: griffe.Parameter) -> str:
    stars = {"variadic positional": "*", "variadic keyword": "**"}
    kind = one.kind.value if one.kind else ""
    mark = "kw " if kind == "keyword-only" else stars.get(kind, "")
    default = f" = {one.default}" if one.default is not None and kind not in stars else ""
    return f"{mark}{one.name}{f': {one.annotation}' if one.annotation else ''}{default}"


def main() -> int:
    """0 when the snapshot holds, or was renewed."""
    text = "\n".join(described()) + "\n"
    if "--write" in sys.argv[1:]:
        SNAPSHOT.write_text(text)
    known = SNAPSHOT.read_text()
    changes = unified_diff(known.splitlines(), text.splitlines(), "snapshot", "now", lineterm="")
    for line in changes:
        print(line)
    if text != known:
        print("The public API has changed. If it is meant to: python -m tests.public_api --write")
    return int(text != known)


if __name__ == "__main__":
    sys.exit(main())
