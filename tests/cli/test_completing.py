"""Shells complete commands, options, files, directories, rows, scenarios, profiles and names."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from ..support.manifests import row
from .test_cli import COMMAND, command, environment
from .test_settings import write


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A directory in which a batch is planned."""
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(row(name, id=name) for name in ("tango", "techno", "waltz", "two words"))
    )
    done = command(tmp_path, "batch", "rows.jsonl", "-o", "out", "--sandbox", "--limit", "0")
    assert done.returncode == 9, done.stderr
    return tmp_path


def completed(tmp_path: Path, shell: str, words: str) -> list[str]:
    """What a shell is told for the last of these words, each with its kind."""
    before, _, last = words.rpartition(" ")
    fish = {"COMP_WORDS": before, "COMP_CWORD": last}
    others = {"COMP_WORDS": words, "COMP_CWORD": str(len(before.split()))}
    done = command(
        tmp_path,
        _MODELSLAB_ASYNC_COMPLETE=f"{shell}_complete",
        **(fish if shell == "fish" else others),
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.rstrip("\n").splitlines()
    if shell == "zsh":  # three lines each: kind, value, help
        return [f"{kind},{value}" for kind, value in zip(lines[::3], lines[1::3], strict=True)]
    return [line.partition("\t")[0] for line in lines]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("modelslab-async stat", ["plain,status"]),
        ("modelslab-async batch --restr", ["plain,--restrict-filenames"]),
        ("modelslab-async -v resume --dry", ["plain,--dry-run"]),
        ("modelslab-async status out t", ["plain,tango", "plain,techno"]),
        ("modelslab-async status out ", ["plain,tango", "plain,techno", "plain,waltz", "plain,4"]),
        ("modelslab-async skip out tango wal", ["plain,waltz"]),
        ("modelslab-async reconcile out --abandon wal", ["plain,waltz"]),
        ("modelslab-async resume out --only wal", ["plain,waltz"]),
        ("modelslab-async status nowhere t", []),
        ("modelslab-async sandbox --scenario fla", ["plain,flaky"]),
        ("modelslab-async sandbox --scenario my", ["file,my"]),
        ("modelslab-async batch ro", ["file,ro"]),
        ("modelslab-async batch rows.jsonl -o o", ["dir,o"]),
        ("modelslab-async status o", ["dir,o"]),
        ("modelslab-async generate waltz -o w", ["file,w"]),
        ("modelslab-async generate waltz --init-audio-file c", ["file,c"]),
        ("modelslab-async play o", ["file,o"]),
        ("modelslab-async balance --profile wo", ["plain,work"]),
        ("modelslab-async balance --api-key-file k", ["file,k"]),
        ("modelslab-async config set max", ["plain,max_jobs"]),
        ("modelslab-async schema succ", ["plain,succeeded"]),
        ("modelslab-async resume out --retry rej", ["plain,rejected"]),
    ],
)
def test_a_shell_completes(batch: Path, shell: str, words: str, kinds: list[str]) -> None:
    write(batch / "home/.config/modelslab/async-keys/work", "k" * 20)
    assert completed(batch, shell, words) == kinds


def test_a_real_bash_completes_what_the_script_says(batch: Path) -> None:
    program = batch / "bin/modelslab-async"
    write(program, f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = """
    eval "$(modelslab-async completion bash)"
    COMP_WORDS=(modelslab-async status out te) COMP_CWORD=3
    _modelslab_async_completion modelslab-async
    echo "${COMPREPLY[@]}"
    """
    env = environment(batch, PATH=f"{program.parent}:{os.environ['PATH']}")
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", script], cwd=batch, env=env, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("techno\n", "")
