"""The checks hold under `python -O`, where the statement `assert` does nothing (T37, T38).

pytest rewrites the asserts of tests into plain code, so they check under -O as well, which the
first test proves. All security tests that way: `python -O -W ignore -m pytest -m "" -W ignore::\
pytest.PytestConfigWarning tests/security tests/engine/test_storage.py`.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import modelslab_async

PACKAGE = Path(modelslab_async.__file__).parent
ROOT = Path(__file__).parents[2]
QUIETLY = ["-n0", "-m", "", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestConfigWarning"]
CHECKS = [
    *("tests/protocol/test_wire_json.py", "tests/engine/test_secret.py"),
    *("tests/security/test_sessions.py", "tests/security/test_planted.py"),
]


def optimized(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest under -O, in the project's folder."""
    command = [sys.executable, "-O", "-m", "pytest", *QUIETLY, *arguments]
    env = {**os.environ, "HYPOTHESIS_PROFILE": "brief"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


FALSE = """
def test_optimized():
    assert __debug__ is False
    exec("assert False")  # this one is not rewritten, and so is not there

def test_false():
    assert 1 == 2
"""


def test_t38_a_test_still_fails_under_the_switch_that_takes_asserts_away(tmp_path: Path) -> None:
    (tmp_path / "test_false.py").write_text(FALSE)
    done = optimized(str(tmp_path / "test_false.py"), "-c", str(ROOT / "pyproject.toml"))
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout


def test_t38_the_checks_hold_without_asserts() -> None:
    done = optimized(*CHECKS)
    assert done.returncode == 0, done.stdout[-2000:]
    assert re.search(r"\d{3,} passed", done.stdout)


def test_t38_nothing_of_ours_is_decided_by_an_assert() -> None:
    asserts = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


def test_t37_every_dependency_has_a_floor_and_stands_on_it() -> None:
    """Aiohttp before 3.14.4 reuses connections after a cancel, among other things."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [re.fullmatch(r"([a-z]+)>=([\d.]+)", one) for one in project["dependencies"]]
    floors = {one[1]: one[2] for one in found if one}
    assert set(floors) == {"aiohttp", "anyio", "attrs", "cattrs"}
    assert numbers(floors["aiohttp"]) >= (3, 14, 4)
    for name, floor in floors.items():
        assert numbers(version(name)) >= numbers(floor)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
