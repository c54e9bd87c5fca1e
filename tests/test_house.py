"""The house stands: who may import whom, what importing costs, and what is public."""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import modelslab_async
from modelslab_async import errors

PACKAGE = Path(modelslab_async.__file__).parent

# Rooms from the ground up: each may import those above it in this list, and its own inside.
FLOORS = [
    ["_text"],
    ["errors", "redaction"],
    ["secret", "protocol"],
    ["policy", "handles"],
    ["runtime", "filesystem"],
    ["webhooks"],
    ["transport"],
    ["slots", "jobs", "partfile", "targets"],
    ["polls", "unpacking", "preparing"],
    ["downloads"],
    ["deliveries"],
    ["submits"],
    ["session"],
    ["batch"],
    ["client"],
    ["__init__"],
    ["sandbox"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Absolute names of all that a module imports, also inside functions and type checks."""
    found = set()
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{name}.{alias.name}" for alias in node.names} if not node.module else {name}
    return found


def rooms_imported(path: Path) -> set[str]:
    own = [name.split(".") for name in imports_of(path) if name.startswith(PACKAGE.name)]
    return {parts[1] if parts[1:] and parts[1] in FLOOR else "__init__" for parts in own}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_below_it(path: Path) -> None:
    room = room_of(path)
    for other in rooms_imported(path) - {room}:
        if room == "__init__":
            continue  # the front door names every room, for type checkers, and opens none
        assert FLOOR[other] < FLOOR[room], f"{room} imports {other}"


def test_the_sandbox_imports_nothing_of_ours() -> None:
    for path in modules():
        if room_of(path) == "sandbox":
            assert rooms_imported(path) <= {"sandbox"}


def test_nothing_of_ours_imports_the_sandbox_but_the_command_line() -> None:
    users = {room_of(path) for path in modules() if "sandbox" in rooms_imported(path)}
    assert users <= {"sandbox", "cli"}


def test_only_the_transport_connects_and_only_the_receiver_and_the_sandbox_listen() -> None:
    users = {
        room_of(path)
        for path in modules()
        if any(name.split(".")[0] in ("aiohttp", "socket") for name in imports_of(path))
    }
    assert users == {"transport", "webhooks", "sandbox"}


@pytest.mark.parametrize("room", ["protocol", "policy"])
def test_decisions_are_pure(room: str) -> None:
    forbidden = {"asyncio", "anyio", "time", "random", "secrets", "os", "io", "socket", "threading"}
    for path in modules():
        if room_of(path) != room:
            continue
        assert not {name.split(".")[0] for name in imports_of(path)} & forbidden, path
        tree = ast.walk(ast.parse(path.read_text()))
        assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in tree), path


def loaded_by(code: str) -> set[str]:
    report = f"{code}\nimport sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", report], capture_output=True, text=True, check=True
    )
    return set(output.stdout.split())


def test_importing_the_package_loads_neither_aiohttp_nor_click() -> None:
    assert not loaded_by("import modelslab_async") & {"aiohttp", "click", "asyncio", "attr"}


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
