"""Help in sections, options before or after their command, the nearest of what is misspelled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..support.commands import every_command
from .test_cli import command

CALLS = [names for names, _ in every_command()]
NEED = [names for names, one in every_command() if one.no_args_is_help]


def test_the_help_names_main_commands_first_then_environment_and_documentation(
    tmp_path: Path,
) -> None:
    done = command(tmp_path, "--help")
    assert done.returncode == 0
    order = (
        *("Examples:", "\nOptions:", "Main commands:", "\n  demo ", "\n  generate ", "\n  batch "),
        *("Setup:", "Environment:", "  MODELSLAB_API_KEY", "  MODELSLAB_PROFILE"),
        "https://docs.modelslab.com",
    )
    places = [done.stdout.index(words) for words in order]
    assert places == sorted(places)


def test_the_help_lists_each_command_once(tmp_path: Path) -> None:
    listed = re.findall(r"(?m)^  ([a-z]+)  +[A-Z]", command(tmp_path, "--help").stdout)
    assert sorted(listed) == sorted(names[0] for names in CALLS if len(names) == 1)


@pytest.mark.parametrize("names", CALLS, ids=" ".join)
def test_each_help_has_an_example_and_fits_into_80_columns(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    shown = command(tmp_path, *names, "--help")
    assert shown.returncode == 0
    before, options, _ = shown.stdout.partition("\nOptions:\n")
    assert options
    assert f"modelslab-async {' '.join(names)}" in before.partition("Example")[2]
    told = [line for line in shown.stdout.splitlines() if "modelslab-async " not in line]
    assert [line for line in told if len(line) > 80] == []


def test_the_options_of_a_long_help_are_in_sections(tmp_path: Path) -> None:
    shown = command(tmp_path, "batch", "--help").stdout
    titles = re.findall(r"(?m)^([A-Z][a-z ]+):$", shown)
    assert titles == ["Options", "Rows and money", "Account and network", "Display"]


@pytest.mark.parametrize("names", [(), *NEED], ids=" ".join)
def test_a_bare_command_shows_a_short_help(names: tuple[str, ...], tmp_path: Path) -> None:
    shown = command(tmp_path, *names)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"Usage: {' '.join(('modelslab-async', *names))} ")
    assert "Example" in shown.stderr
    words = " ".join(("modelslab-async", *names))
    assert shown.stderr.endswith(f"All options: {words} --help\n")
    assert "--no-color" not in shown.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("--json config show", "config show --json"),
        ("config --json show", "config show --json"),
        ("--json --base-url x config show", "config show --json --base-url x"),
        ("--base-url=x config show", "config show --base-url=x"),
        ("-qn generate waltz", "generate -qn waltz"),
        ("-no config.wav generate waltz", "generate -no config.wav waltz"),
        ("-o config generate -n waltz", "generate -n -o config waltz"),
        ("-v batch", "batch -v"),
        ("--jsn balance", "balance --jsn"),
    ],
)
def test_options_stand_before_or_after_their_command(
    before: str, after: str, tmp_path: Path
) -> None:
    first, second = (command(tmp_path, *words.split()) for words in (before, after))
    assert (first.returncode, first.stdout) == (second.returncode, second.stdout)
    assert first.stderr == second.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("genrate waltz", "Did you mean 'generate'?"),
        ("-v genrate waltz", "Did you mean 'generate'?"),
        ("-o out genrate waltz", "No such command 'genrate'"),
        ("config shwo", "Did you mean 'show'?"),
        ("--json config shwo", "Did you mean 'show'?"),
        ("batch --ouput x rows.txt", "Did you mean '--output'?"),
        ("batch rows.txt --format jsnl", "Did you mean 'jsonl'?"),
        ("resume out --retry rejectd", "Did you mean 'rejected'?"),
        ("completion bsh", "Did you mean 'bash'?"),
        ("speak Hi --voice-id a --language spansh", "Did you mean 'spanish'?"),
        ("sandbox --scenario flacky", "did you mean flaky?"),
        ("sandbox --scenario zzz", "there are clean, slow, busy, flaky"),
        ("-q", "No such option '-q'"),
        ("--versoin", "Did you mean '--version'?"),
    ],
)
def test_the_nearest_of_what_is_misspelled_is_named(
    arguments: str, says: str, tmp_path: Path
) -> None:
    done = command(tmp_path, *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
