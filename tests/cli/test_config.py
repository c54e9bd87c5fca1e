"""``config set``, ``path`` and ``edit``: a file of our own, and names that are misspelled."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from .test_cli import command
from .test_settings import shown, write


def own(tmp_path: Path) -> Path:
    return tmp_path / "home/.config/modelslab/async.toml"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_jobs", "10", 10),
        ("timeout", "30", 30.0),
        ("price_per_second", "0.0020", 0.002),
        ("price.sfx.per_job", "0.01", 0.01),
        ("base_url", "https://eu.example", "https://eu.example"),
        ("profile", "work", "work"),
        ("output", "human", "human"),
        ("enterprise", "no", False),
        ("allow_addresses", "198.18.0.0/15 10.0.0.0/8", "198.18.0.0/15,10.0.0.0/8"),
    ],
)
def test_what_is_set_holds(tmp_path: Path, name: str, text: str, value: object) -> None:
    done = command(tmp_path, "config", "set", name, text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name} = ")
    assert shown(tmp_path)[name] == {"value": value, "origin": str(own(tmp_path))}
    assert stat.S_IMODE(own(tmp_path).stat().st_mode) == 0o600


def test_other_lines_stay_and_the_file_of_modelslabs_own_command_is_not_written(
    tmp_path: Path,
) -> None:
    theirs = tmp_path / "home/.config/modelslab/config.toml"
    write(theirs, "[async]\nmax_jobs = 3\n")
    write(own(tmp_path), "# mine\nmax_jobs = 7  # few\ntimeout = 5.0")
    command(tmp_path, "config", "set", "max_jobs", "9")
    command(tmp_path, "config", "set", "profile", "work")
    assert own(tmp_path).read_text() == '# mine\nmax_jobs = 9\ntimeout = 5.0\nprofile = "work"\n'
    assert theirs.read_text() == "[async]\nmax_jobs = 3\n"
    assert shown(tmp_path)["max_jobs"]["value"] == 9


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("max_jbos", "3", "there is no setting 'max_jbos'; did you mean max_jobs?"),
        ("colour", "3", "there are base_url, profile"),
        ("price.sfx.per_jbo", "3", "per_job"),
        ("max_jobs", "many", "must be a number"),
        ("max_jobs", "0", "must be more than 0"),
        ("timeout", "nan", "must be more than 0"),
        ("price_per_job", "0,5", "a number with a point, as in 0.5"),
        ("output", "xml", "must be human or json"),
        ("base_url", "http://eu.example", "https://"),
        ("profile", "../x", "letters, digits"),
        ("api_key", "k" * 20, "auth login"),
    ],
)
def test_what_cannot_be_set_is_refused_and_the_nearest_named(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    done = command(tmp_path, "config", "set", name, text)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert not own(tmp_path).exists()


def test_a_setting_that_counts_before_it_is_named(tmp_path: Path) -> None:
    done = command(tmp_path, "config", "set", "max_jobs", "9", MODELSLAB_ASYNC_MAX_JOBS="2")
    assert "that counts: environment, MODELSLAB_ASYNC_MAX_JOBS" in done.stderr


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("home/.config/modelslab/async.toml", "max_jbos = 3", "max_jbos; did you mean max_jobs?"),
        ("home/.config/modelslab/config.toml", "[async]\ntimeuot = 3", "did you mean timeout?"),
        (".modelslab/config.toml", "[async]\nzzz = 3", "async.zzz; there are max_jobs"),
    ],
)
def test_an_unknown_name_in_a_file_is_warned_of_with_the_nearest(
    tmp_path: Path, file: str, text: str, says: str
) -> None:
    write(tmp_path / file, text)
    done = command(tmp_path, "config", "show")
    assert done.returncode == 0
    assert says in done.stderr
    assert file in done.stderr


def test_names_that_are_modelslabs_own_are_no_matter(tmp_path: Path) -> None:
    write(tmp_path / "home/.config/modelslab/config.toml", "[defaults]\nmodel = 'x'\n[mcp]\na = 1")
    assert command(tmp_path, "config", "show").stderr == ""


def test_the_path_is_data(tmp_path: Path) -> None:
    assert command(tmp_path, "config", "path").stdout == f"{own(tmp_path)}\n"
    told = json.loads(command(tmp_path, "config", "path", "--json").stdout)
    assert told == {"schema_version": 1, "path": str(own(tmp_path))}


def test_the_editor_gets_the_file_and_what_it_leaves_is_checked(tmp_path: Path) -> None:
    write(tmp_path / "editor", '#!/bin/sh\necho "max_jbos = 3" >> "$1"\n')
    (tmp_path / "editor").chmod(0o755)
    editor = {"VISUAL": str(tmp_path / "editor"), "EDITOR": "false"}
    done = command(tmp_path, "config", "edit", **editor)
    assert done.returncode == 0, done.stderr
    assert "did you mean max_jobs?" in done.stderr
    assert own(tmp_path).read_text().startswith("# Settings of modelslab-async.")
    write(tmp_path / "editor", '#!/bin/sh\necho "max_jobs = " > "$1"\n')
    broken = command(tmp_path, "config", "edit", **editor)
    assert broken.returncode == 2
    assert "is not TOML" in broken.stderr
