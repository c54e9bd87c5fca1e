"""A command that is printed works as it stands, whatever the names in it begin with (H11)."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from modelslab_async import ModelsLabError
from modelslab_async._cli.console import PROGRAM, Console, fetch_command, invoked_as
from modelslab_async._cli.error_mapping import message_of
from modelslab_async._cli.fetch import fetch
from modelslab_async.sandbox import Sandbox, Scenario

from ..support.manifests import last_line, manifest
from .test_cli import against, box, command, environment, started, started_against
from .test_names import ASCII, RAIN

__all__ = ["box"]


def words_of(printed: str) -> list[str]:
    """The arguments of a command as a shell would give them to us."""
    _, start, words = re.split(rf"({PROGRAM}|-m modelslab_async) ", printed, maxsplit=1)
    assert start
    return shlex.split(words)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["-out", "--help", "-", "it's -out"])
async def test_h11_a_directory_that_begins_with_a_dash_is_gone_on_with(
    name: str, box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    first = await against(box, tmp_path, "batch", rows, "-o", f"./{name}", "--max-jobs-total", "1")
    assert first.returncode == 9, first.stderr
    path = first.stdout.splitlines()[0]
    assert (tmp_path / path).is_file()
    assert not path.startswith("-")
    told = command(tmp_path, "status", f"./{name}").stdout
    planned = next(line for line in told.splitlines() if "planned" in line)
    for printed in (last_line(first.stderr), planned):
        words = words_of(printed)
        again = await against(box, tmp_path, *words, "--max-jobs-total", "1")
        assert again.returncode == 9, again.stderr
    assert len(box.book.debits) == 1


@pytest.mark.anyio
async def test_h11_a_directory_that_this_process_cannot_spell_is_gone_on_with(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    first = await started_against(box, tmp_path, "batch", rows, "-o", RAIN, "--limit", "1", **ASCII)
    assert first.returncode == 9, first.stderr
    again = await started_against(box, tmp_path, *words_of(last_line(first.stderr)), **ASCII)
    assert (again.returncode, len(box.book.debits)) == (0, 2), again.stderr


@pytest.mark.parametrize("name", [b"plain", b"no \xff text", RAIN.encode()])
def test_h11_a_path_is_told_by_the_bytes_of_its_name(
    name: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    Console().always(os.fsdecode(name))
    Console().print(os.fsdecode(name))
    assert capfdbinary.readouterr() == (name + b"\n", name + b"\n")


def test_h11_text_that_is_nothing_in_utf8_is_told_all_the_same(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    Console().always("half a letter: \ud83d")
    assert capfdbinary.readouterr().err == b"half a letter: \\ud83d\n"


@pytest.mark.parametrize("ids", [["310815"], ["-ofoo"], ["310815", "--help"], ["-1", "--", "-h"]])
@pytest.mark.parametrize("options", [[], ["-o", "-x.wav"]])
def test_h11_an_id_that_a_server_chose_is_never_an_option(
    ids: list[str], options: list[str]
) -> None:
    verb, *words = words_of(fetch_command(ids, options))
    context = fetch.make_context(verb, words)
    assert context.params["jobs"] == tuple(ids)
    assert context.params["output"] == (options[1] if options else None)


LIBRARY_WORDS = {
    "resume with client.job('310815')": "resume with modelslab-async fetch 310815",
    """try client.job('{"id": "7"}')""": """try modelslab-async fetch '{"id": "7"}'""",
    'client.job("it\'s"); x': """modelslab-async fetch 'it'"'"'s'; x""",
    "client.job('-7')": "modelslab-async fetch -- -7",
    "free: client.download(client.job(id), to=...)": "free: modelslab-async fetch",
    "or pass unchecked=True to send": "or pass --unchecked to send",
    "from here (accept_copy=True)": "from here (--accept-copy)",
    "the prompt has wet=True in it": "the prompt has wet=True in it",
}


@pytest.mark.parametrize(("said", "shown"), LIBRARY_WORDS.items(), ids=LIBRARY_WORDS)
def test_what_the_library_advises_is_said_in_words_of_the_command_line(
    said: str, shown: str
) -> None:
    assert message_of(ModelsLabError(said)) == shown


def test_a_row_of_a_manifest_is_told_of_a_field_and_no_argument(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "rain", "duration": 20}\n')
    said = command(tmp_path, "batch", "rows.jsonl", "--sandbox").stderr
    assert "set its field `unchecked` to true" in said


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["transcribe", "https://files.example/talk.mp3", "--language", "en"], "talk.txt"),
        (["sfx", "rain", "--duration", "3", "--enterprise"], "rain.wav"),
    ],
    ids=["a text", "an enterprise twin"],
)
async def test_h11_a_job_of_another_family_is_gone_on_with_in_its_own(
    arguments: list[str], file: str, tmp_path: Path
) -> None:
    """A bare id would be another job: each family counts its own."""
    async with Sandbox(Scenario(generation_seconds=1.0)) as box:
        first = await against(box, tmp_path, *arguments, "--timeout", "0.05")
        assert first.returncode == 7, first.stderr
        words = words_of(last_line(first.stderr))
        assert words[0] == "fetch"
        done = await against(box, tmp_path, *words, "-o", file)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / file).is_file()
        assert len(box.book.debits) == 1


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (".venv/bin/modelslab-async", (".venv/bin/modelslab-async",)),
        ("{bin}/modelslab-async", ("modelslab-async",)),
        ("{site}/modelslab_async/__main__.py", ("{bin}/python3", "-m", "modelslab_async")),
        ("/usr/bin/pytest", ("modelslab-async",)),
        ("", ("modelslab-async",)),
    ],
)
def test_a_command_is_printed_as_this_one_was_invoked(
    program: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"bin": tmp_path / "bin", "site": tmp_path / "site"}
    executable(tmp_path / ".venv" / "bin" / PROGRAM)
    executable(tmp_path / "bin" / PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    invoked = invoked_as(program.format(**places), str(tmp_path / "bin" / "python3"))
    assert invoked == tuple(word.format(**places) for word in words)


def by_shell(tmp_path: Path, printed: str) -> str:
    """What a command prints when it is pasted into a shell."""
    return subprocess.run(
        ["/bin/sh", "-c", printed],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_command_for_more_help_works_as_it_stands(tmp_path: Path) -> None:
    for words in (("genrate",), ("generate", "x", "--duratoin", "3"), ("config",), ()):
        said = started(tmp_path, *words).stderr
        [told] = re.findall(r"(?m)^(?:hint|All options): (.*--help)$", said)
        assert by_shell(tmp_path, told).startswith("Usage: modelslab-async"), told


@pytest.mark.anyio
async def test_a_command_of_status_works_as_it_stands(box: Sandbox, tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz")
    await against(box, tmp_path, "batch", rows, "-o", "out", "--limit", "0")
    said = started(tmp_path, "status", "out").stdout
    [told] = re.findall(r"not sent yet: (.* resume out)", said)
    assert by_shell(tmp_path, f"{told} --dry-run").startswith("1 row, 0 done")


def test_python_is_named_as_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = executable(tmp_path / "python")
    monkeypatch.setenv("PATH", str(tmp_path))
    invoked = invoked_as("/site/modelslab_async/__main__.py", str(python))
    assert invoked == ("python", "-m", "modelslab_async")
