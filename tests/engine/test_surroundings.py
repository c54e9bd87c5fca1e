"""The package where it did not choose to be: interpreters, locales, homes, careless callers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..support.forking import complaints

A_FILE = """
import asyncio, sys
from modelslab_async import ModelsLab, MusicGen
from modelslab_async.sandbox import Sandbox, Scenario

async def main():
    async with Sandbox(scenario=Scenario(generation_seconds=0.1, eta="float")) as box:
        async with ModelsLab(box.key, base_url=box.url) as client:
            request = MusicGen("rain", max_new_token=256, sampling_rate=10000)
            async with client.batch([request], directory="out") as outcomes:
                async for outcome in outcomes:
                    same = outcome.saved[0].path.read_bytes() == box.canonical(outcome.job_id)
                    print("whole" if same else "not whole", len(box.book.debits))
"""
RUN = A_FILE + "\nasyncio.run(main())\n"
FORGOTTEN = """
import asyncio, gc, warnings
from modelslab_async import ModelsLab, MusicGen
from modelslab_async.sandbox import Sandbox, Scenario

async def main():
    async with Sandbox(scenario=Scenario(generation_seconds=60)) as box:
        client = ModelsLab("a-key-that-must-not-be-shown", base_url=box.url)
        await client.__aenter__()
        balance = asyncio.ensure_future(client.balance())
        await asyncio.sleep(0)
    print("left")

asyncio.run(main())
gc.collect()
print("ended")
"""


def run(
    code: str, folder: Path, *flags: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A program in another interpreter that finds this package, in an empty folder."""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (("-O",), {}),
        (("-X", "dev", "-W", "error"), {}),
        ((), {"AIOHTTP_NO_EXTENSIONS": "1"}),
        ((), {"LC_ALL": "C", "PYTHONUTF8": "0"}),
        ((), {"HOME": "/nonexistent"}),
        ((), {"PYTHONHASHSEED": "1"}),
    ],
    ids=["optimised", "dev mode", "no C extensions", "locale C", "no home", "hash seed"],
)
def test_x18_and_x19_a_file_is_made_in_any_interpreter(
    flags: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    done = run(RUN, tmp_path, *flags, **environment)
    assert (done.stdout, complaints(done.stderr)) == ("whole 1\n", [])


def test_x19_a_file_is_made_on_uvloop(tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    done = run(A_FILE + "\nimport uvloop\nuvloop.run(main())\n", tmp_path)
    assert (done.stdout, complaints(done.stderr)) == ("whole 1\n", [])


def test_x06_and_x21_a_client_that_is_never_closed_lets_its_program_end(tmp_path: Path) -> None:
    done = run(FORGOTTEN, tmp_path)
    assert done.stdout == "left\nended\n"
    assert "must-not-be-shown" not in done.stderr
