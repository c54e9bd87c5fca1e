"""Each endpoint has a command, made from its class."""

from __future__ import annotations

import json
from pathlib import Path

import click
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
        (["transcribe", "talk.wav", "--language", "en"], "takes the URL of a recording"),
        (
            ["transcribe", URL, "--language", "en", "-o", "talk.wav"],
            "makes no .wav files; end the name in .txt or .json",
        ),
        (["song", "rain"], "song needs lyrics, or --lyrics-generation"),
        (["song", "-q"], "song needs lyrics, or --lyrics-generation"),
        (["song", "rain", "--lyrics", "la", "-o", "rain.mp3"], "end the name in .wav"),
        (
            ["speak", "Hi", "--voice-id", "a", "--language", "hindi", "-o", "hi.flac"],
            ".wav or .mp3",
        ),
        (["transcribe", URL, "--language", "en", "-o", "talk.srt"], "makes no .srt files"),
        (["dub", URL, "--output-lang", "fr", "-o", "film.mov"], "end the name in .mp4"),
        (["isolate", "-q"], "isolate takes either URL|FILE or --init-video"),
        (["sfx", "rain", "--duration", "99"], "--duration 99 is out of bounds"),
        (["sfx", "rain", "--duration", "99"], "or pass --unchecked to send it"),
        (["lyrics", " "], "PROMPT is empty"),
        (["cover", URL, "--model-id", "a", "--base64"], "No such option '--base64'"),
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
    assert "leo   Leo   english" in plain.output.splitlines()
    listed = CliRunner().invoke(commands, ["voices", "--sandbox", "--json", "--type", "trained"])
    assert [one["id"] for one in json.loads(listed.stdout)["voices"]] == ["singer-1"]


@pytest.mark.parametrize("name", RUNS)
def test_the_help_of_a_command_says_what_the_sandbox_does(name: str) -> None:
    text = CliRunner().invoke(commands, [name, "--help"]).output
    assert f"modelslab-async {name} --sandbox" in text
    assert "--track-id" in text
    told = " ".join(text.split())
    kind = {".wav": "a tune", ".txt": "a text", ".mp4": "a video"}[Path(RUNS[name][1]).suffix]
    assert f"it answers with {kind} of its own" in told
    ending = {"speak": ".wav or .mp3", "sfx": ".wav, .mp3 or .flac", "dub": ".mp4"}.get(name)
    ending = ending or {"a text": ".txt or .json"}.get(kind, ".wav")
    assert f"A name that ends in {ending} is the file" in told


@pytest.mark.parametrize("name", RUNS)
def test_every_option_of_a_command_says_what_it_is_for(name: str) -> None:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert not [one.name for one in options if not one.help and not one.hidden]


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["song", "--lyrics", "the sun goes up"], "the-sun-goes-up.wav"),
        (["isolate", "--init-video", "https://files.example/film.mp4"], "film.wav"),
    ],
)
def test_what_options_alone_say_needs_no_argument(
    arguments: list[str], file: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(commands, [*arguments, "--sandbox"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / file).is_file()


def test_fetch_saves_files_of_every_kind_under_their_own_names() -> None:
    text = " ".join(CliRunner().invoke(commands, ["fetch", "--help"]).output.split())
    assert "A name that ends in .wav, .mp3, .flac, .txt, .json or .mp4 is the file" in text
