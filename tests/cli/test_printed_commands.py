"""A command that is printed works as it stands, whatever the names in it begin with (H11)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from modelslab_async._cli.console import PROGRAM, Console, fetch_command
from modelslab_async._cli.fetch import fetch
from modelslab_async.sandbox import Sandbox

from ..support.manifests import last_line, manifest
from .test_cli import against, box, command, started_against
from .test_names import ASCII, RAIN

__all__ = ["box"]


def words_of(printed: str) -> list[str]:
    """The arguments of a command as a shell would give them to us."""
    program, *words = shlex.split(printed[printed.index(PROGRAM) :])
    assert program == PROGRAM
    return words


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
