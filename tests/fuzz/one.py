"""Run one target under atheris until it fails or its time is over: ``one NAME LIBFUZZER-ARGS``.

A process of its own for each target, because libFuzzer ends the process that it runs in.
"""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    name, *arguments = sys.argv[1:]
    atheris = importlib.import_module("atheris")
    # Only what is imported in here tells the fuzzer which branches an input took.
    with atheris.instrument_imports(include=["modelslab_async", "email"]):
        targets = importlib.import_module("tests.fuzz.targets")
    target = {**targets.TARGETS, targets.PLANTED.name: targets.PLANTED}[name]
    atheris.Setup([sys.argv[0], *arguments], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
