"""Each endpoint has a command, made from its class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from modelslab_async._cli import commands

URL = "https://files.example/a%20tune.wav"
RUNS = {
    "speak": (["Hi", "--voice-id", "tara", "--language", "hindi", "--speed", "1.5"], "hi.wav"),
    "sfx": (["rain", "--duration", "3"], "rain.wav"),
    "song": (["rain", "--lyrics", "la la", "--duration", "30"], "rain.wav"),
    "lyrics": (["rain", "--length", "long"], "rain.txt"),
    "cover": ([URL, "--model-id", "cover-1", "--rate", "0.5"], "a-tune.wav"),
    "isolate": ([URL], "a-tune.wav"),
    "transcribe": ([URL, "--language", "en"], "a-tune.txt"),
    "dub": ([URL, "--output-lang", "fr"], "a-tune.mp4"),
}


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", RUNS)
def test_a_command_of_each_endpoint_saves_a_file_of_its_kind(name: str, tmp_path: Path) -> None:
    arguments, file = RUNS[name]
    result = CliRunner().invoke(commands, [name, "--sandbox", "--json", *arguments])
    assert result.exit_code == 0, result.output
    assert (tmp_path / file).stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["speak", "Hi", "--language", "hindi"], "Missing option '--voice-id'"),
        (["speak", "Hi", "--voice-id", "a", "--language", "klingon"], "is not one of"),
        (["cover", "nowhere.wav", "--model-id", "a"], "nowhere.wav: no such file"),
        (["transcribe", "talk.wav", "--language", "en"], "is text, but no http(s) URL"),
        (["transcribe", URL, "--language", "en", "-o", "talk.wav"], "ends in .txt or .json"),
        (["song", "rain"], "needs lyrics"),
    ],
)
def test_what_a_command_cannot_send_is_said_before_anything_is(
    arguments: list[str], words: str
) -> None:
    result = CliRunner().invoke(commands, [*arguments, "--sandbox"])
    assert result.exit_code != 0
    assert words in f"{result.output}{result.exception}"


def test_the_voices_are_listed() -> None:
    plain = CliRunner().invoke(commands, ["voices", "--sandbox"])
    assert "tara  Tara  english" in plain.output.splitlines()
    listed = CliRunner().invoke(commands, ["voices", "--sandbox", "--json", "--type", "trained"])
    assert [one["id"] for one in json.loads(listed.stdout)["voices"]] == ["singer-1"]


@pytest.mark.parametrize("name", RUNS)
def test_the_help_of_a_command_says_what_the_sandbox_does(name: str) -> None:
    text = CliRunner().invoke(commands, [name, "--help"]).output
    assert f"modelslab-async {name} --sandbox" in text
    assert "no recording and has no voice" in text
    assert "--track-id" in text
