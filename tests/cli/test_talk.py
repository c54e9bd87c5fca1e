"""What the command says, where, and how much: stdout is data, stderr is talk."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest

from modelslab_async.sandbox import Sandbox, Scenario

from ..support.commands import loaded
from ..support.forking import fork
from .test_cli import COMMAND, QUICK, against, command, environment, started

COMMANDS = ("demo", "generate", "fetch", "balance", "sandbox", "doctor", "config", "completion")
KEY = "a-key-of-nobody-0123456789-tail"


def on_a_terminal(
    tmp_path: Path, *arguments: str, typed: str = "", **more: str
) -> tuple[int, str, str]:
    """Exit code, stdout (a file), and what a terminal showed that is stdin and stderr."""
    master, slave = pty.openpty()
    with tempfile.TemporaryFile() as stdout:
        env = environment(tmp_path, **{"TERM": "xterm", **more})
        with fork(arguments, tmp_path, env, (slave, stdout.fileno(), slave)) as process:
            os.close(slave)
            os.write(master, typed.encode())
            shown = _everything(master)
            code = process.wait()
        stdout.seek(0)
        return code, stdout.read().decode(), shown


def _everything(master: int) -> str:
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as terminal:
        while True:
            try:
                data = terminal.read(65536)
            except OSError:  # Linux says so when the other end has closed
                break
            if not data:
                break
            shown += data
    return shown.decode()


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_before_options(tmp_path: Path, name: str) -> None:
    done = command(tmp_path, name, "-h")
    assert done.stdout == command(tmp_path, name, "--help").stdout
    assert f"modelslab-async {name}" in done.stdout.partition("Options:")[0].partition("Example")[2]


def test_help_loads_no_event_loop_no_network_and_no_display(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND[0], "-X", "importtime", *COMMAND[1:], "generate", "--help"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & {"aiohttp", "asyncio", "anyio", "rich", "cattrs"}


def examples() -> list[str]:
    """The commands in the help that need no account and stay in the current directory."""
    lines = [
        line.strip()
        for name in ("generate", "balance", "demo")
        for line in (loaded(name).help or "").splitlines()
    ]
    return [line for line in lines if re.fullmatch(r"modelslab-async (demo|.* --sandbox.*)", line)]


@pytest.mark.parametrize("example", examples())
def test_the_sandbox_examples_of_the_help_run(tmp_path: Path, example: str) -> None:
    done = started(tmp_path, *shlex.split(example)[1:])
    assert done.returncode == 0, done.stderr


def test_without_the_extra_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            COMMAND[0],
            "-c",
            "import sys, modelslab_async.__main__ as m; sys.modules['rich'] = None; m.main()",
        ],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "modelslab-async needs rich: pip install 'modelslab-async[cli]'\n"


# --- terminals ------------------------------------------------------------------------------------


def test_on_a_terminal_there_are_bars_and_stdout_stays_clean(tmp_path: Path) -> None:
    code, output, shown = on_a_terminal(tmp_path, "generate", "--sandbox", "[bold]a", "-o", "a.wav")
    assert (code, output) == (0, "a.wav\n")
    assert "\x1b[" in shown
    assert "[bold]a" in shown
    assert "1 generating" in shown


@pytest.mark.parametrize(
    ("more", "animated", "colored"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": ""}, False, False),
        ({"TERM": "unknown"}, False, False),
    ],
    ids=["plain", "NO_COLOR wins", "dumb", "empty", "unknown"],
)
def test_colours_and_movement_follow_the_terminal(
    tmp_path: Path, more: dict[str, str], animated: bool, colored: bool
) -> None:
    _, _, shown = on_a_terminal(tmp_path, "generate", "--sandbox", "a", "-o", "a.wav", **more)
    assert ("\x1b[J" in shown) is animated
    assert ("\x1b[32m" in shown) is colored
    code, _, shown = on_a_terminal(tmp_path, "generate", "a", **more)
    assert code == 3
    assert ("\x1b[31" in shown) is colored


def test_force_color_colours_what_is_no_terminal(tmp_path: Path) -> None:
    assert "\x1b[31" in command(tmp_path, "generate", "a", FORCE_COLOR="1").stderr
    assert "\x1b" not in command(tmp_path, "generate", "a").stderr
    assert "\x1b" not in command(tmp_path, "generate", "a", "--no-color", FORCE_COLOR="1").stderr


def test_several_paid_jobs_are_asked_about_once(tmp_path: Path) -> None:
    code, output, shown = on_a_terminal(
        tmp_path, "generate", "a", "b", typed="n\n", MODELSLAB_API_KEY=KEY
    )
    assert (code, output) == (1, "")
    assert shown.count("2 jobs, 10 s of audio, about 1.3 MB, price unknown. Continue? [y/N]") == 1
    assert "nothing was sent" in shown


def test_no_input_never_asks(tmp_path: Path) -> None:
    code, _, shown = on_a_terminal(
        tmp_path, "generate", "a", "b", "--no-input", MODELSLAB_API_KEY=KEY
    )
    assert code == 2
    assert "--yes" in shown


@pytest.mark.parametrize("arguments", [["fetch", "-"], ["balance", "--api-key-stdin"]], ids=str)
def test_a_command_that_wants_stdin_says_so_on_a_terminal(
    tmp_path: Path, arguments: list[str]
) -> None:
    code, _, shown = on_a_terminal(tmp_path, *arguments)
    assert code == 2
    assert "use a pipe" in shown


# --- how much, and in which form ------------------------------------------------------------------


def test_elsewhere_there_is_one_line_for_each_step(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "--sandbox", "a")
    steps = [line.partition(":")[2].split(",")[0] for line in done.stderr.splitlines()[1:]]
    assert steps == [" job 310815 accepted", " finished", " saved"]
    assert "\x1b" not in done.stderr


def test_quiet_says_nothing_and_still_gives_the_path(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "--sandbox", "a", "-q")
    assert (done.stdout, done.stderr) == ("a.wav\n", "")


def test_twice_quiet_keeps_the_errors(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "a", "-qq")
    assert "no API key" in done.stderr


def test_verbose_shows_the_log_and_twice_verbose_the_debug_log(tmp_path: Path) -> None:
    once = command(tmp_path, "generate", "--sandbox", "a", "-v")
    twice = command(tmp_path, "generate", "--sandbox", "b", "-vv")
    assert "job 310815 accepted" in once.stderr
    assert "POST /api" not in once.stderr
    assert "POST /api" in twice.stderr


def test_json_is_one_object_on_stdout_and_nothing_on_stderr(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "--sandbox", "a", "b", "--json")
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert sorted(file["path"] for file in found["files"]) == ["a.wav", "b.wav"]
    assert (found["failed"], found["unfinished"]) == ([], [])


def test_the_environment_of_modelslabs_own_command_asks_for_json_too(tmp_path: Path) -> None:
    done = command(tmp_path, "balance", "--sandbox", MODELSLAB_OUTPUT="json")
    assert json.loads(done.stdout)["amount"] == 1000.0


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["generate", "a"], "no_key", 3),
        (["generate", "a", "--duration", "5"], "request_error", 2),
        (["generate", "a", "--nope"], "no_such_option", 2),
        (["fetch", "@nowhere"], "not_there", 5),
    ],
    ids=str,
)
def test_errors_are_json_too(
    tmp_path: Path, arguments: list[str], code: str, exit_code: int
) -> None:
    done = command(tmp_path, *arguments, "--json")
    error = json.loads(done.stderr)["error"]
    assert set(error) == {"code", "message", "hint", "exit_code", "retryable"}
    assert (error["code"], error["exit_code"], done.returncode) == (code, exit_code, exit_code)


@pytest.mark.anyio
async def test_what_the_server_says_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    nasty = Scenario(
        generation_seconds=0.1, failure_probability=1, failure_message="\x1b]0;owned\x07\u202e"
    )
    async with Sandbox(nasty) as box:
        done = await against(box, tmp_path, "generate", "\x1b[31mred")
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert "owned" in done.stderr


# --- when nobody listens --------------------------------------------------------------------------


def test_a_reader_who_leaves_costs_no_file_and_no_traceback(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        done = subprocess.run(
            [*COMMAND, "generate", "--sandbox", "a", "b"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    "arguments",
    [["config", "show"], ["--version"], ["generate", "--sandbox", "a", "-o", "a.wav"]],
    ids=lambda arguments: arguments[0],
)
def test_code_1_where_stdout_takes_nothing_and_the_files_are_there(
    tmp_path: Path, arguments: list[str]
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "stdout cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "a.wav").exists() == ("generate" in arguments)


def test_help_into_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        done = subprocess.run(
            [*COMMAND, "--help"], env=environment(tmp_path), stdout=nobody, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.anyio
async def test_an_expected_failure_has_a_traceback_only_when_twice_verbose(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        plain = await against(box, tmp_path, "balance", MODELSLAB_API_KEY=KEY)
        verbose = await against(box, tmp_path, "balance", "-vv", MODELSLAB_API_KEY=KEY)
    assert "Traceback" not in plain.stderr
    assert "Traceback" in verbose.stderr
    assert KEY not in verbose.stderr
