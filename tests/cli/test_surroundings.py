"""The command where nobody prepared the place for it (H04 to H08)."""

from __future__ import annotations

import codecs
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from modelslab_async import ConfigurationError
from modelslab_async._cli import settings, textfiles
from modelslab_async._cli.error_mapping import NotThere

from ..support.commands import every_command
from .test_cli import COMMAND, command, environment, started, wavs

KEY = "a-key-of-nobody-0123456789-tail"
QUICK = ("generate", "--sandbox", "rain", "--max-new-token", "256", "-q")


def before(tmp_path: Path, module: str, text: str) -> dict[str, str]:
    """The environment in which this module stands before, or instead of, the real one."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / f"{module}.py").write_text(text)
    path = environment(tmp_path)["PYTHONPATH"]
    return {"PYTHONPATH": f"{tmp_path / 'before'}:{path}"}


# H04: homes


@pytest.mark.parametrize("home", [None, "", ".", "relative", "/nonexistent", "/dev/null"])
@pytest.mark.parametrize("arguments", [(*QUICK, "-o", "a.wav"), ("config", "show")])
def test_h04_any_home_will_do(home: str | None, arguments: tuple[str, ...], tmp_path: Path) -> None:
    env = environment(tmp_path)
    env.pop("HOME")
    env |= before(
        tmp_path,
        "sitecustomize",
        "import pwd\ndef getpwuid(uid): raise KeyError(uid)\npwd.getpwuid = getpwuid\n",
    )
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=env if home is None else env | {"HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "variables",
    [{"HOME": "."}, {"XDG_CONFIG_HOME": ".config"}, {"HOME": "", "XDG_CONFIG_HOME": "."}],
)
def test_h04_a_home_that_is_wherever_the_command_runs_decides_nothing(
    variables: dict[str, str], tmp_path: Path
) -> None:
    for place in (".config/modelslab", "modelslab"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.toml").write_text(f'api_key = "{KEY}"')
    assert KEY[-4:] not in command(tmp_path, "config", "show", **variables).stdout


def test_h04_a_configuration_where_we_may_not_go_is_none_and_one_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "config.toml"
    path.write_text("[async]")
    with monkeypatch.context() as unreachable:
        unreachable.setattr(Path, "stat", refused)
        assert settings._from_file(path) == {}
    monkeypatch.setattr(settings, "read_bytes", refused)
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        settings._from_file(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "Is a directory"), (b"\xff\xfe\xff", "is not TOML"), (b"a\xff = 1", "is not TOML")],
)
def test_h04_a_configuration_that_is_none_is_named(
    content: bytes | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        settings._from_file(path)
    assert str(path) in str(caught.value)


# H05: the current directory


GONE = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *COMMAND]


def from_nowhere(
    tmp_path: Path, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "gone").mkdir()
    env = environment(tmp_path)
    return subprocess.run(
        [*GONE, *arguments],
        cwd=tmp_path / "gone",
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_h05_a_full_path_can_be_written_to_from_a_directory_that_is_gone(tmp_path: Path) -> None:
    done = from_nowhere(tmp_path, *QUICK, "-o", f"{tmp_path}/out/a.wav")
    assert (done.returncode, wavs(tmp_path)) == (0, ["a.wav"])


@pytest.mark.parametrize("output", ["a.wav", "out/", "out/deep/"])
def test_h05_a_relative_path_from_a_directory_that_is_gone_is_refused_in_words(
    output: str, tmp_path: Path
) -> None:
    done = from_nowhere(tmp_path, *QUICK, "-o", output)
    assert done.returncode == 2
    assert "name a full path with -o" in done.stderr


PLACES = [("generate", "rain"), ("generate", "rain", "sun"), ("batch", "-")]


@pytest.mark.parametrize("arguments", PLACES, ids=" ".join)
def test_h05_a_dry_run_warns_of_a_place_that_no_file_can_be_made_in_and_shows_the_plan(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    arguments = (*arguments, "-o", "file/out/", "--sandbox")
    warned = command(tmp_path, *arguments, "-n", stdin="rain\n")
    assert warned.returncode == 0
    advice = "name another place with -o"
    if arguments[0] == "batch":  # there, what a batch has paid for here would be paid for again
        advice = "a new batch can have another place with -o; a batch that is here already has to"
    assert warned.stderr.startswith(f"warning: file/out cannot be written to; {advice}")
    assert warned.stderr.count("\n") == 1
    assert "s of audio, about" in warned.stdout
    refused = command(tmp_path, *arguments, stdin="rain\n")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"file/out cannot be written to; {advice}" in refused.stderr


@pytest.mark.parametrize("arguments", PLACES, ids=" ".join)
def test_h05_a_dry_run_from_a_directory_that_is_gone_warns_and_shows_the_plan(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = from_nowhere(tmp_path, *arguments, "-n", "-o", "out", stdin="rain\n")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: out cannot be reached from the current directory")
    assert "s of audio, about" in done.stdout


NOBODY = """
import os, pwd
def getpwuid(uid): raise KeyError(uid)
pwd.getpwuid = getpwuid
os.access = lambda *_, **__: False
"""


@pytest.mark.parametrize("home", [None, "/nonexistent", "/dev/null"])
@pytest.mark.parametrize("arguments", PLACES[:2], ids=" ".join)
def test_h04_a_user_without_name_home_and_rights_gets_a_plan(
    arguments: tuple[str, ...], home: str | None, tmp_path: Path
) -> None:
    env = environment(tmp_path, **before(tmp_path, "sitecustomize", NOBODY))
    env.pop("HOME")
    done = subprocess.run(
        [*COMMAND, *arguments, "-n"],
        cwd=tmp_path,
        env=env if home is None else env | {"HOME": home, "XDG_CONFIG_HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "warning: . cannot be written to; name another place with -o\n"
    assert (done.returncode, done.stdout[:8]) == (0, "rain.wav")


def test_h05_doctor_says_that_the_current_directory_is_gone(tmp_path: Path) -> None:
    done = from_nowhere(tmp_path, "doctor")
    assert done.returncode == 1
    assert "No such file or directory" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"])
def test_h05_no_other_place_is_needed(name: str, tmp_path: Path) -> None:
    done = started(tmp_path, *QUICK, "-o", "a.wav", **{name: "/nonexistent"})
    assert (done.returncode, wavs(tmp_path)) == (0, ["a.wav"])


# H06: marks in front of a text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_h06_a_mark_in_front_of_a_text_says_how_to_read_it_and_is_no_part_of_it(
    mark: bytes, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(mark + f"{KEY}\r\n".encode(encoding))
    assert textfiles.read_text(tmp_path / "key").strip() == KEY
    (tmp_path / "config.toml").write_bytes(
        mark + b"[async]\r\ntimeout = 5\r\n".decode().encode(encoding)
    )
    assert settings._from_file(tmp_path / "config.toml") == {"timeout": 5}


@pytest.mark.parametrize(
    "data", [b"\xff\xff", f"{KEY}\n".encode("utf-16-le"), codecs.BOM_UTF16_LE + b"\xff", b"k\0"]
)
def test_h06_what_is_no_text_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(NotThere, match="key: not a text file"):
        textfiles.read_text(tmp_path / "key")


def test_h06_a_mark_on_standard_input_is_no_part_of_the_key(tmp_path: Path) -> None:
    done = command(tmp_path, "config", "show", "--api-key-stdin", stdin=f"\ufeff{KEY}\n")
    assert "***tail" in done.stdout


# H07: variables that others set


# What Kubernetes and Docker set for a service of some name.
BROUGHT = re.compile(r"(^|_)(PORT|HOST|NAME|ADDR|PROTO|TCP|UDP)$|_(SERVICE|PORT|ENV)_")


def variables() -> Iterator[str]:
    for names, each in every_command():
        prefix = "_".join(("MODELSLAB_ASYNC", *names)).upper()
        for parameter in each.params:
            if isinstance(parameter, click.Option) and parameter.allow_from_autoenv:
                yield f"{prefix}_{str(parameter.name).upper()}"
            yield from [parameter.envvar] if isinstance(parameter.envvar, str) else []


def test_h07_no_option_reads_a_variable_that_a_service_of_that_name_sets() -> None:
    names = list(variables())
    assert "MODELSLAB_ASYNC_GENERATE_DURATION" in names
    assert [name for name in names if BROUGHT.search(name)] == []


@pytest.mark.parametrize("command_name", ["", "BATCH_", "BATCH_WEBHOOK_", "SANDBOX_", "GENERATE_"])
def test_h07_a_service_of_our_name_beside_us_is_no_matter(
    command_name: str, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("rain")
    name = f"MODELSLAB_ASYNC_{command_name}"
    brought = {
        f"{name}PORT": "tcp://10.0.0.1:80",
        f"{name}SERVICE_HOST": "10.0.0.1",
        f"{name}SERVICE_PORT": "80",
        f"{name}PORT_80_TCP_ADDR": "10.0.0.1",
        f"{name}NAME": "/web/api",
        "MODELSLAB_PORT": "tcp://10.0.0.1:80",
    }
    done = command(tmp_path, "batch", "p.txt", "--dry-run", **brought)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "odd",
    [
        {"COLUMNS": "abc", "LINES": "0"},
        {"COLUMNS": "0"},
        {"TERM": "no-such-terminal"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        {"LC_ALL": "xx_YY.no", "LANG": ""},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_h07_an_odd_environment_is_no_matter(odd: dict[str, str], tmp_path: Path) -> None:
    done = started(tmp_path, *QUICK[:2], "\u97f3", *QUICK[3:5], "-o", "a.wav", **odd)
    assert (done.returncode, wavs(tmp_path)) == (0, ["a.wav"])


# H08: Ctrl-C before there is anything to stop


KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("signal", "raise KeyboardInterrupt"),
        ("attr", KILL),
        ("click", KILL),
        ("tomllib", KILL),
        ("platformdirs", KILL),
        ("aiohttp", KILL + "raise KeyboardInterrupt"),
    ],
)
def test_h08_ctrl_c_while_modules_are_loaded_leaves_without_a_traceback(
    module: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / ".modelslab").mkdir()
    (tmp_path / ".modelslab/config.toml").touch()
    done = started(tmp_path, *QUICK, "-o", "a.wav", **before(tmp_path, module, text))
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr


def test_h08_a_command_in_the_background_of_a_shell_goes_on(tmp_path: Path) -> None:
    shell = 'trap "" INT; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *COMMAND, "config", "show"],  # noqa: S607
        cwd=tmp_path,
        env=environment(tmp_path)
        | before(tmp_path, "platformdirs", f"{KILL}def user_config_path(name): raise RuntimeError"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
