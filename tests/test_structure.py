"""The structure holds: who may import what, how large a file may be, what importing costs."""

from __future__ import annotations

import ast
import functools
import inspect
import pickle
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import modelslab_async
from modelslab_async import errors

PACKAGE = Path(modelslab_async.__file__).parent
MAX_LINES = 450

# What each part may import besides itself. A name stands for all below it.
PURE = ("_text", "errors", "_protocol", "endpoints", "_policy")
ENGINE = (*PURE, "_engine", "webhooks")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "_text": (),
    "errors": ("_text",),
    "_protocol": ("_text", "errors"),
    "endpoints": ("_text", "errors", "_protocol"),
    "_policy": ("_text", "errors", "_protocol"),
    "_arguments": ("_text", "errors", "_protocol", "endpoints", "_engine.job"),
    "_engine": ENGINE,
    "webhooks": ("errors", "_protocol", "_engine.aio", "_engine.secret", "_engine.redaction"),
    "batch": ENGINE,
    "_one_shots": (*ENGINE, "_arguments"),
    "client": (*ENGINE, "_arguments", "_one_shots", "batch"),
    "_sync": ("client", "endpoints", "errors", "_engine.saved"),
    "listening": (*ENGINE, "batch"),
    "sandbox": (),
    "sound": (*ENGINE, "batch"),
    "testing": ("sandbox",),
    "telemetry": ("", "errors"),
    "mcp": (
        *("", "_text", "batch", "client", "errors", "listening"),
        *("_engine.aio", "_engine.filesystem"),
    ),
    "_cli": (
        "",
        "_text",
        "batch",
        "endpoints",
        "mcp",
        "listening",
        "sandbox",
        "sound",
        "webhooks",
        "_engine.aio",
        "_engine.filesystem",
        "_engine.secret",
        "_policy.proxies",
        "_protocol.addresses",
        "_protocol.replies",
        "_protocol.urls",
    ),
    "__main__": ("_cli",),
    "": (
        *ENGINE,
        "_sync",
        "batch",
        "client",
    ),  # loads what is public when it is used
}


def name_of(path: Path) -> str:
    """The module's name below the package, such as ``_engine.submit``."""
    return (
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .strip(".")
    )


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(name: str) -> str:
    return name.partition(".")[0]


def imports_of(name: str) -> set[str]:
    """What a module imports, those for type checkers and inside functions included."""
    path, found = MODULES[name], set[str]()
    package = [PACKAGE.name, *name.split(".")] if name else [PACKAGE.name]
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{source}.{alias.name}" for alias in node.names} | {source}
    return found


@functools.cache
def own_imports(name: str) -> frozenset[str]:
    """The modules of the package that a module imports; a package only for its own names."""
    found = {
        full.removeprefix(PACKAGE.name).removeprefix(".")
        for full in imports_of(name)
        if part_of(full) == PACKAGE.name
    }
    modules = {full for full in found if full in MODULES}
    inside = {full.rpartition(".")[0] for full in found if full in MODULES}
    used = {full.rpartition(".")[0] for full in found if full not in MODULES}
    return frozenset((modules - (inside - used)) - {name})


def test_a_module_imports_only_what_its_part_may() -> None:
    for name, other in ((one, other) for one in MODULES for other in own_imports(one)):
        assert part_of(other) == part_of(name) or any(
            other == allowed or (allowed and other.startswith(f"{allowed}."))
            for allowed in MAY_IMPORT[part_of(name)]
        ), f"{name} imports {other}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    lazy = {"": frozenset[str]()}  # the package loads its names when they are used
    TopologicalSorter({name: own_imports(name) for name in MODULES} | lazy).prepare()


def test_a_file_can_be_read_in_one_sitting() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_only_the_engine_connects_and_only_receiver_sandbox_and_page_listen() -> None:
    users = {
        part_of(name)
        for name in MODULES
        if {part_of(other) for other in imports_of(name)} & {"aiohttp", "socket"}
    }
    assert users == {"_engine", "webhooks", "sandbox", "listening"}


@pytest.mark.parametrize("name", [n for n in MODULES if part_of(n) in PURE])
def test_decisions_are_pure(name: str) -> None:
    forbidden = {"asyncio", "anyio", "time", "random", "secrets", "os", "io", "socket", "threading"}
    assert not {part_of(other) for other in imports_of(name)} & forbidden
    tree = ast.walk(ast.parse(MODULES[name].read_text()))
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in tree)


def loaded_by(code: str) -> set[str]:
    report = f"{code}\nimport sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", report], capture_output=True, text=True, check=True
    )
    return set(output.stdout.split())


def test_importing_the_package_loads_neither_aiohttp_nor_click() -> None:
    heavy = {"aiohttp", "click", "asyncio", "attr", "opentelemetry", "modelslab_async.telemetry"}
    assert not loaded_by("import modelslab_async") & heavy


@pytest.mark.parametrize("name", sorted(modelslab_async.__all__))
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(modelslab_async, name)
    if name != "__version__":
        assert inspect.getdoc(thing)


def test_every_error_is_public() -> None:
    tree = {
        name
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, errors.ModelsLabError)
    }
    assert tree <= set(modelslab_async.__all__)


def test_every_error_is_drawn_in_the_tree() -> None:
    for name in modelslab_async.__all__:
        thing = getattr(modelslab_async, name)
        if inspect.isclass(thing) and issubclass(thing, errors.ModelsLabError):
            assert name in (errors.__doc__ or "")


@pytest.mark.parametrize("name", ["submit", "generate", "download", "balance"])
def test_a_public_call_says_what_it_raises(name: str) -> None:
    assert "Raises:" in (inspect.getdoc(getattr(modelslab_async.ModelsLab, name)) or "")


def test_values_that_callers_keep_can_be_pickled() -> None:
    request = modelslab_async.MusicGen("sitar", extra={"model_id": "x"})
    assert pickle.loads(pickle.dumps(request)) == request
