"""The last line of defence of the command: what no command foresaw still ends in words and a code.

The commands here are made up, for none of ours fails like this if it can be helped.
"""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path

import click
import pytest

from modelslab_async._cli.error_mapping import run_command

from .test_cli import COMMAND, environment


def failing(error: BaseException) -> click.Group:
    """A program whose one command ends so."""

    def fail(**_: object) -> None:
        raise error

    options = [click.Option(["--json"], is_flag=True), click.Option(["-v"], count=True)]
    return click.Group(commands=[click.Command("song", callback=fail, params=[*options])])


def test_a_bug_is_called_one_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(failing(ZeroDivisionError("in a song")), ["song"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Traceback")
    assert "ZeroDivisionError: in a song" in said.err
    assert "this is a bug in modelslab-async, not in what you did" in said.err


def test_a_bug_is_json_where_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(failing(ZeroDivisionError("in a song")), ["song", "--json"]) == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["hint"] == "this is a bug: please report it"
    assert error["exit_code"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_outside_the_event_loop_is_no_bug(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(failing(error), ["song"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_code_5_for_a_place_that_the_system_does_not_let_us_look_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "mine/\x1b[31mledger")
    assert run_command(failing(error), ["song"]) == 5
    said = capsys.readouterr().err
    assert "Permission denied" in said
    assert "Traceback" not in said
    assert "\x1b[31m" not in said


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-"])
def test_a_process_without_its_streams_does_its_work(closed: str, tmp_path: Path) -> None:
    command = [*COMMAND, "generate", "--sandbox", "a", "-o", "a.wav"]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "a.wav").read_bytes().startswith(b"RIFF")
