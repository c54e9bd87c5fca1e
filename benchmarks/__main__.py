"""All measurements, or those that are named: ``python -m benchmarks [NAME...]``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import traceback
from pathlib import Path
from typing import Any

from attrs import asdict

from .measuring import Result, show
from .picture import picture

NAMES = (
    "jobs",
    "makespan",
    "queue_kept_full",
    "downloads",
    "in_flight",
    "ledger_cost",
    "imports",
    "renders",
    "real_network",
)


def measured(name: str, *, quick: bool) -> Result | None:
    """What one benchmark found, shown as soon as it is known; ``None``: it broke."""
    try:
        result: Result = importlib.import_module(f"benchmarks.{name}").run(quick)
    except Exception:  # noqa: BLE001  the others shall still be measured
        traceback.print_exc()
        return None
    show(result)
    return result


def machine() -> dict[str, Any]:
    """On what it was measured."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="All, or those named."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="few and short: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures and raw runs")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw this client beside others")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # all is on loopback, and not every peer knows that
    names = given.names or NAMES
    results = [found for name in names if (found := measured(name, quick=given.quick))]
    if given.json:
        kept = {"machine": machine(), "results": [asdict(result) for result in results]}
        given.json.write_text(json.dumps(kept, indent=1))
    if given.svg:
        given.svg.write_text(picture(results))
    return 0 if len(results) == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
