"""What the files of prompts in any script are called (N15)."""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelslab_async import MusicGen
from modelslab_async._cli.naming import free_names
from modelslab_async._engine import filesystem
from modelslab_async.sandbox import Fault, Sandbox

from ..batch.test_directory import published_and_lost
from ..support.batches import errors, paid, quick, rows, run
from ..support.quick import client_of
from .test_cli import against, command, started_against, wavs

pytestmark = pytest.mark.anyio

RAIN = "\u96e8\u306e\u97f3"
CALM = "\u0645\u0648\u0633\u064a\u0642\u0649 \u0647\u0627\u062f\u0626\u0629"
# A process that can spell no name beyond ASCII, though Python would rather take UTF-8.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(quick()) as box:
        yield box


async def test_n15_files_are_named_in_the_script_of_their_prompts(
    box: Sandbox, tmp_path: Path
) -> None:
    decomposed = unicodedata.normalize("NFD", "\u00c9tude")
    done = await against(box, tmp_path, "generate", "-y", RAIN, CALM, decomposed)
    names = [f"{RAIN}.wav", f"{CALM.replace(' ', '-')}.wav", "\u00e9tude.wav"]
    assert (sorted(done.stdout.splitlines()), wavs(tmp_path)) == (sorted(names), sorted(names))


async def test_n15_a_long_prompt_in_any_script_has_a_name_that_fits(
    box: Sandbox, tmp_path: Path
) -> None:
    long = "\u97f3\u697d" * 400
    done = await against(box, tmp_path, "generate", "-y", long, long)
    assert (done.returncode, wavs(tmp_path)) == (0, [f"{long[:20]}-2.wav", f"{long[:20]}.wav"])


@pytest.mark.parametrize("how", ["option", "variable", "locale"])
async def test_n15_names_keep_to_ascii_where_they_are_told_to_or_must(
    how: str, box: Sandbox, tmp_path: Path
) -> None:
    told = ["--restrict-filenames"] if how == "option" else []
    variables = {
        "option": {},
        "variable": {"MODELSLAB_ASYNC_GENERATE_RESTRICT_FILENAMES": "1"},
        "locale": ASCII,
    }[how]
    for more in (["-n"], []):
        arguments = ["generate", "-y", *told, RAIN, "Mot\u00f6rhead", *more]
        done = await started_against(box, tmp_path, *arguments, **variables)
        assert done.returncode == 0, done.stderr
        assert "motorhead.wav" in done.stdout
    assert wavs(tmp_path) == ["motorhead.wav", "track.wav"]


@pytest.mark.parametrize("told", [["--restrict-filenames"], []])
async def test_n15_a_batch_and_its_resume_name_files_alike(
    told: list[str], box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text(f"{RAIN}\n{CALM}\n")
    shown = await against(box, tmp_path, "batch", "p.txt", "-o", "out", *told, "-n")
    names = ["00001-track.wav", "00002-track.wav"]
    if not told:
        names = [f"00001-{RAIN}.wav", f"00002-{CALM.replace(' ', '-')}.wav"]
    assert all(name in shown.stdout for name in names)
    limited = ("batch", "p.txt", "-o", "out", "-y", *told, "--max-jobs-total", "1")
    done = await against(box, tmp_path, *limited)
    resume = done.stderr.splitlines()[-1].removeprefix("resume with: modelslab-async ").split()
    assert told == [word for word in resume if word == "--restrict-filenames"]
    resume[-1] = "2"
    done = await against(box, tmp_path, *resume, "-y")
    assert (done.returncode, wavs(tmp_path)) == (0, names), done.stderr


@pytest.mark.parametrize("first", [True, False])
async def test_n15_a_file_that_another_run_named_otherwise_is_not_paid_for_again(
    first: bool, box: Sandbox, tmp_path: Path
) -> None:
    """An earlier version knew ASCII alone, and its ledger may be lost."""
    prompts = [MusicGen(RAIN, max_new_token=256)]
    async with client_of(box) as client:
        await run(client, prompts, tmp_path, restrict_filenames=first)
        for path in tmp_path.glob("ledger*"):
            path.unlink()
        told = errors(await run(client, prompts, tmp_path, restrict_filenames=not first))
    assert "was not sent" in str(told[1])
    assert set(paid(box).values()) == {1}


async def test_n15_a_name_that_the_ledger_has_given_stays(box: Sandbox, tmp_path: Path) -> None:
    prompts = [MusicGen(text, max_new_token=256) for text in (RAIN, CALM)]
    async with client_of(box) as client:
        await run(client, prompts[:1], tmp_path, restrict_filenames=True)
        await run(client, prompts, tmp_path)
    names = ["00001-track.wav", f"00002-{CALM.replace(' ', '-')}.wav"]
    assert [row.path for row in rows(tmp_path)] == wavs(tmp_path) == names


async def test_n15_a_file_whose_name_a_process_cannot_spell_is_found_under_it(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_of(box) as client:
        path = await published_and_lost(client, tmp_path, monkeypatch, RAIN)
        box.scenario = quick(Fault(on="download", kind="answer", status=403, times=None))
        done = await started_against(box, tmp_path, "resume", ".", **ASCII)
    assert (done.returncode, done.stdout) == (0, f"{path.name}\n"), done.stderr
    assert wavs(tmp_path) == [path.name]


async def test_n15_a_file_that_is_brought_again_keeps_its_name_where_it_can_be_spelled(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text(RAIN)
    await against(box, tmp_path, "batch", "p.txt", "-o", "out")
    again = ("resume", "out", "--retry", "missing")
    for more, variables, name in (
        (["--restrict-filenames"], {}, f"00001-{RAIN}.wav"),
        ([], ASCII, "00001-track.wav"),
        ([], {}, "00001-track.wav"),
    ):
        [path] = (tmp_path / "out").glob("*.wav")
        path.unlink()
        done = await started_against(box, tmp_path, *again, *more, **variables)
        assert (done.returncode, wavs(tmp_path)) == (0, [name]), done.stderr
    assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("number", [errno.EILSEQ, errno.EINVAL])
async def test_n15_a_file_system_that_takes_ascii_alone_gets_such_names(
    number: int, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.open

    def opened(path: str | Path, *rest: int, **more: int) -> int:
        if not str(path).isascii():
            raise OSError(number, os.strerror(number), str(path))
        return whole(path, *rest, **more)

    monkeypatch.setattr(os, "open", opened)
    assert not filesystem.takes_all_scripts(tmp_path)
    async with client_of(box) as client:
        await run(client, [MusicGen(RAIN, max_new_token=256)], tmp_path)
    assert wavs(tmp_path) == ["00001-track.wav"]


def test_n15_what_finds_out_which_names_there_may_be_leaves_nothing(tmp_path: Path) -> None:
    assert filesystem.takes_all_scripts(tmp_path) == (sys.getfilesystemencoding() == "utf-8")
    assert not filesystem.takes_all_scripts(tmp_path / "gone")
    assert [*tmp_path.iterdir()] == []


def test_n15_names_that_some_file_system_takes_for_one_are_numbered(tmp_path: Path) -> None:
    claimed: set[str] = set()
    found = [next(free_names(tmp_path, stem, claimed)) for stem in ("stra\u00dfe", "strasse")]
    assert [Path(path).name for path in found] == ["stra\u00dfe.wav", "strasse-2.wav"]


def test_n15_nothing_is_left_out_of_a_name_that_o_gives(tmp_path: Path) -> None:
    done = command(
        tmp_path,
        "generate",
        "--sandbox",
        "rain",
        "-o",
        f"{RAIN}!.wav",
        "-q",
        "--restrict-filenames",
    )
    assert (done.returncode, wavs(tmp_path)) == (0, [f"{RAIN}!.wav"]), done.stderr
