"""``--exec``, ``--play`` and ``play``: programs for saved files, which no program can lose."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.manifests import last_line, manifest
from ..support.programs import Program
from .test_cli import QUICK, against, command, wavs
from .test_stopping import running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(QUICK) as box:
        yield box


async def test_a_program_gets_its_words_as_they_are_and_stdout_stays_data(
    box: Sandbox, tmp_path: Path
) -> None:
    note = Program(tmp_path, "note")
    words = "note --as '$HOME; rm *' copy={path} {path} {other}"
    made = ("generate", "waltz", "raga", "-y", "--exec", words)
    done = await against(box, tmp_path, *made, PATH=str(note.path))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["raga.wav", "waltz.wav"]
    assert done.stderr.count("said by the program") == 2
    assert sorted(note.calls) == [
        ["--as", "$HOME; rm *", f"copy={name}", name, "{other}"]
        for name in ("raga.wav", "waltz.wav")
    ]


async def test_a_path_that_is_not_mentioned_comes_last(box: Sandbox, tmp_path: Path) -> None:
    note = Program(tmp_path, "note")
    rows = manifest(tmp_path, "waltz", "raga")
    made = ("batch", rows, "-o", "-out", "--exec", "note -x")
    done = await against(box, tmp_path, *made, PATH=str(note.path))
    assert done.returncode == 0, done.stderr
    names = ["./-out/00001-waltz.wav", "./-out/00002-raga.wav"]
    assert sorted(note.calls) == [["-x", name] for name in names]


@pytest.mark.parametrize("how", ["generate", "batch", "fetch"])
async def test_code_1_when_a_program_fails_and_the_files_are_there(
    how: str, box: Sandbox, tmp_path: Path
) -> None:
    note = Program(tmp_path, "note", code=3)
    made: tuple[str, ...] = ("generate", "waltz", "-o", "out/")
    if how == "batch":
        made = ("batch", manifest(tmp_path, "waltz"), "-o", "out")
    if how == "fetch":
        await against(box, tmp_path, "generate", "waltz", "-o", "first/")
        made = ("fetch", str(next(iter(box.book.jobs))), "-o", "out/")
    done = await against(box, tmp_path, *made, "--exec", "note", PATH=str(note.path))
    assert (done.returncode, len(wavs(tmp_path / "out"))) == (1, 1)
    assert "note failed with exit code 3; the file is complete: out/" in done.stderr


async def test_a_job_that_fails_counts_before_a_program_that_does(tmp_path: Path) -> None:
    note = Program(tmp_path, "note", code=3)
    fails = Fault(on="submit", kind="answer", status=400, body='{"status": "error"}', times=1)
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, faults=(fails,))) as box:
        made = ("generate", "waltz", "raga", "-y", "--exec", "note")
        done = await against(box, tmp_path, *made, PATH=str(note.path))
    assert (done.returncode, len(note.calls)) == (8, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--exec", "there-is-none {path}"], "there is no program 'there-is-none'"),
        (["--exec", ""], "there is no program ''"),
        (["--exec", "note 'half"], "No closing quotation"),
        (["--play"], "there is no player; install one of ffplay, mpv"),
        (["--exec", "note", "-o", "-"], "-o - leaves no file"),
    ],
)
async def test_what_cannot_be_run_is_refused_before_anything_is_sent(
    box: Sandbox, tmp_path: Path, arguments: list[str], says: str
) -> None:
    note = Program(tmp_path, "note")
    done = await against(box, tmp_path, "generate", "waltz", *arguments, PATH=str(note.path))
    assert (done.returncode, box.book.requests) == (2, [])
    assert says in done.stderr


async def test_a_signal_stops_the_program_and_leaves_the_file(box: Sandbox, tmp_path: Path) -> None:
    made = ("generate", "waltz", "-o", "out/", "--exec", "sh -c 'exec sleep 600'")
    async with running(box, tmp_path, *made) as cli:
        await cli.says("waltz: saved")
        cli.send(signal.SIGINT)
        code, _ = await cli.ended()
    assert (code, wavs(tmp_path)) == (130, ["waltz.wav"])
    assert "stopped before the programs for 1 file had ended" in cli.said


async def test_a_printed_command_runs_the_same_program(box: Sandbox, tmp_path: Path) -> None:
    note = Program(tmp_path, "note")
    rows = manifest(tmp_path, "waltz", "raga")
    made = ("batch", rows, "-o", "out", "--limit", "1", "--exec", "note {path} it's")
    refused = await against(box, tmp_path, *made, PATH=str(note.path))
    assert refused.returncode == 2
    made = (*made[:-1], "note {path} 'a b'")
    done = await against(box, tmp_path, *made, PATH=str(note.path))
    assert last_line(done.stderr) == (
        "resume with: modelslab-async resume out --exec 'note {path} '\"'\"'a b'\"'\"''"
    )


# --- players --------------------------------------------------------------------------------------


async def test_each_saved_file_is_played(box: Sandbox, tmp_path: Path) -> None:
    player = Program(tmp_path, "mpv")
    made = ("generate", "waltz", "-o", "-w.wav", "--play")
    done = await against(box, tmp_path, *made, PATH=str(player.path))
    assert done.returncode == 0, done.stderr
    assert player.calls == [["--no-video", "--really-quiet", "./-w.wav"]]


async def test_play_plays_files_and_directories_in_their_order(tmp_path: Path) -> None:
    player = Program(tmp_path, "ffplay")
    for name in ("b.wav", "a.mp3", "c.FLAC", "ledger.sqlite3", "results.jsonl"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text("x")
    done = command(tmp_path, "play", "out", "out/b.wav", PATH=str(player.path))
    assert done.returncode == 0, done.stderr
    names = [call[-1] for call in player.calls]
    assert names == ["out/a.mp3", "out/b.wav", "out/c.FLAC", "out/b.wav"]


async def test_code_1_for_what_a_player_cannot_play(tmp_path: Path) -> None:
    player = Program(tmp_path, "aplay", code=4)
    (tmp_path / "x.wav").write_text("x")
    done = command(tmp_path, "play", "x.wav", PATH=str(player.path))
    assert (done.returncode, len(player.calls)) == (1, 1)
    assert "aplay could not play x.wav: exit code 4" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["x.wav"], 5, "x.wav: no such file"),
        (["bin"], 5, "bin: it holds no sound file"),
        (["there.wav"], 2, "there is no player"),
    ],
)
async def test_what_cannot_be_played_is_said(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "there.wav").write_text("x")
    done = command(tmp_path, "play", *arguments, PATH=str(tmp_path / "bin"))
    assert done.returncode == code
    assert says in done.stderr


# --- curl -----------------------------------------------------------------------------------------

PROMPTS = (
    "waltz",
    'it\'s a "rainy" night; $(rm *) `ls` \\ % !x',
    "first line\nsecond\tline",
    "雨の音, naïve 🎵",
    "\u202egnirts \x7f\x9b31m",
    "@file",
)


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_a_curl_command_sends_what_the_client_would_send_and_is_not_run(
    prompt: str, box: Sandbox, tmp_path: Path
) -> None:
    made = ("generate", prompt, "--track-id", "7")
    shown = await against(box, tmp_path, *made, "--print-curl")
    assert (shown.returncode, box.book.requests) == (0, []), shown.stderr
    assert box.key not in shown.stdout
    assert shown.stdout.removesuffix("\n").isprintable()
    url, body = _as_a_shell_reads(shown.stdout, tmp_path)
    await against(box, tmp_path, *made)
    [job] = box.book.jobs.values()
    sent = {name: value for name, value in job.request.items() if name != "key"}
    assert url == f"{box.url}/api/v6/voice/music_gen"
    assert body.pop("key") == f"***{box.key[-4:]}"
    assert body == sent


def _as_a_shell_reads(line: str, tmp_path: Path) -> tuple[str, dict[str, object]]:
    """The URL and the body that the command gives to curl."""
    curl = Program(tmp_path, "curl")
    subprocess.run(["/bin/sh", "-c", line], env={"PATH": f"{curl.path}:/bin:/usr/bin"}, check=True)
    [[url, *_, body]] = curl.calls
    return url, json.loads(body)


async def test_curl_commands_as_json_and_without_a_key(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "waltz", "raga", "--print-curl", "--json")
    told = json.loads(done.stdout)["requests"]
    assert [one["body"]["prompt"] for one in told] == ["waltz", "raga"]
    assert {one["body"]["key"] for one in told} == {"***"}
    assert all(one["curl"].startswith(f"curl {one['url']} ") for one in told)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "waltz", "--sandbox"], "exclude each other"),
        (["generate", "waltz", "--init-audio-file", "x.wav"], "give its URL"),
        (["generate", "waltz", "--base-url", "http://eu.example"], "unencrypted"),
    ],
)
async def test_a_request_that_no_command_can_show_is_refused(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "x.wav").write_text("x")
    done = command(tmp_path, *arguments, "--print-curl")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
