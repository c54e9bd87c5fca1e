"""Fuzz for so long: ``python -m tests.fuzz --seconds 600 [--target NAME] [--seed N]``.

Each target runs for that time, one after another. It ends with 1 if one failed, and then says where
the bytes are that did it: put them into ``tests/fuzz/corpus/NAME/`` once the fault is understood.
``--target planted`` is the control, a target with a mistake in it: that must fail at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .targets import CORPUS, PLANTED, TARGETS, Target

_INPUT_BYTES = 4096
_INPUT_SECONDS = 10
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)
_MISSING = (
    "atheris is not installed: pip install 'modelslab-async[fuzz]', or pip install atheris "
    "(Linux; see its page for the versions of Python it is built for)"
)


def main(arguments: list[str] | None = None) -> int:
    """Fuzz as the arguments say; return the exit code."""
    given = _parser().parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        _say(_MISSING)
        return 2
    names = given.target or list(TARGETS)
    grown = Path(given.corpus or tempfile.mkdtemp(prefix="fuzz-"))
    _say(f"{given.seconds} s each; what is found is kept in {grown}")
    known = {**TARGETS, PLANTED.name: PLANTED}
    return max(_fuzz(known[name], given.seconds, given.seed, grown / name) for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument(
        "--target", action="append", choices=[*TARGETS, PLANTED.name], help="only this; may repeat"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the dice (default: any)")
    parser.add_argument("--corpus", help="where inputs that take new branches are kept")
    return parser


def _fuzz(target: Target, seconds: int, seed: int, grown: Path) -> int:
    grown.mkdir(parents=True, exist_ok=True)
    words = grown.with_suffix(".dict")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    found = grown.with_suffix(".failed-")
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", target.name),
        *(f"-max_total_time={seconds}", f"-max_len={_INPUT_BYTES}", f"-timeout={_INPUT_SECONDS}"),
        *(f"-dict={words}", f"-artifact_prefix={found}", "-print_final_stats=1", f"-seed={seed}"),
        *(str(grown), str(CORPUS / target.name)),
    ]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    statistics = dict(_STATISTIC.findall(run.stderr))
    _say(_line(target.name, run.returncode, statistics, len(list(grown.iterdir()))))
    if run.returncode:
        _say(f"{run.stdout}\n{run.stderr[-4000:]}")
    return 1 if run.returncode else 0


def _line(name: str, code: int, statistics: dict[str, str], kept: int) -> str:
    runs = int(statistics.get("number_of_executed_units", 0))
    size = int(statistics.get("peak_rss_mb", 0))
    verdict = f"FAILED ({code})" if code else "ok"
    return f"{name:12} {verdict:12} {runs:>12,} runs {kept:>6,} inputs kept {size:>5,} MiB"


def _escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries want it."""
    return "".join(f"\\x{byte:02X}" for byte in word)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
