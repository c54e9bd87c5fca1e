"""``-o -``: one file on standard output, which is nowhere lost on its way (H11)."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from modelslab_async.sandbox import Sandbox, Scenario

from ..support.forking import fork
from ..support.screens import shown_by
from .test_cli import COMMAND, QUICK, against, environment, reaches, wavs

pytestmark = pytest.mark.anyio

NOT_TAKEN = "standard output was closed early; the complete file is "


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(QUICK) as box:
        yield box


def piped(box: Sandbox, tmp_path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The command, with pipes for its streams."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **reaches(box)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def taken(box: Sandbox, tmp_path: Path, *arguments: str) -> tuple[int, bytes, str]:
    """Its exit code, and all that it wrote."""
    with piped(box, tmp_path, *arguments) as process:
        output, said = process.communicate(timeout=60)
        return process.returncode, output, said.decode()


def left(box: Sandbox, tmp_path: Path, how: str) -> tuple[int, str]:
    """What the command says when its output is begun to be read, and then not any more."""
    with piped(box, tmp_path, "generate", "rain", "-o", "-") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == b"RIFF"
        if how == "closed":
            process.stdout.close()
        else:  # more is to be written than a pipe holds, so it is still at it
            process.send_signal(signal.Signals[how])
        said = process.stderr.read().decode()
        return process.wait(), said


async def test_head_stops_new_jobs_of_generate_and_what_is_paid_for_is_saved(
    tmp_path: Path,
) -> None:
    start = ("generate", *(f"piece {number}" for number in range(12)), "-y", "--max-jobs", "1")
    reader, writer = os.pipe()
    os.close(reader)  # as soon as anything is written, nobody reads it
    async with Sandbox(Scenario(generation_seconds=0.5)) as box:  # longer than a download takes
        env = environment(tmp_path, **reaches(box))
        with (tmp_path / "said").open("wb") as said:
            three = (os.open(os.devnull, os.O_RDONLY), writer, said.fileno())
            with fork(start, tmp_path, env, three) as process:
                for number in three[:2]:
                    os.close(number)
                code = await anyio.to_thread.run_sync(process.wait)
        paid = len(box.book.debits)
    text = (tmp_path / "said").read_text()
    assert (code, len(wavs(tmp_path))) == (141, paid), text
    assert 0 < paid < 12
    assert f"the reader of standard output has gone: {12 - paid} jobs were not sent" in text
    assert "Traceback" not in text


async def test_generate_into_head_ends_well_when_everything_was_sent(
    box: Sandbox, tmp_path: Path
) -> None:
    """Three jobs have three slots, so all of them are paid for when the first file is there."""
    command = f"{shlex.join([*COMMAND, 'generate', 'a', 'b', 'c', '-y'])} | head -1"
    done = await anyio.run_process(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=tmp_path,
        env=environment(tmp_path, **reaches(box)),
        check=False,
    )
    assert done.stdout.decode().splitlines() in (["a.wav"], ["b.wav"], ["c.wav"])
    assert (done.returncode, wavs(tmp_path)) == (0, ["a.wav", "b.wav", "c.wav"])
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("generate", "rain"), ("generate", "rain", "-qq"), ("fetch", "310815")],
    ids=lambda arguments: arguments[-1],
)
async def test_h11_standard_output_gets_the_bytes_and_nothing_else(
    arguments: tuple[str, ...], box: Sandbox, tmp_path: Path
) -> None:
    if arguments[0] == "fetch":
        await against(box, tmp_path, "generate", "rain", "-o", "rain.wav")
        (tmp_path / "rain.wav").rename(tmp_path / "310815.wav")  # is not taken for its own
    before = sorted(tmp_path.iterdir())
    code, output, said = await anyio.to_thread.run_sync(
        partial(taken, box, tmp_path, *arguments, "-o", "-")
    )
    assert (code, output) == (0, box.canonical(310815)), said
    assert sorted(tmp_path.iterdir()) == before
    assert ("fetch 310815 downloads it again" in said) == ("-qq" not in arguments)


@pytest.mark.parametrize(
    ("how", "expected"), [("closed", 141), ("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)
async def test_h11_a_file_that_is_not_taken_to_its_end_is_kept_and_named(
    how: str, expected: int, box: Sandbox, tmp_path: Path
) -> None:
    code, said = await anyio.to_thread.run_sync(left, box, tmp_path, how)
    [kept] = tmp_path.iterdir()
    assert (code, kept.read_bytes()) == (expected, box.canonical(310815))
    assert f"{NOT_TAKEN}{kept.name}\n" in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has one")  # noqa: PTH110
async def test_h11_a_file_for_which_there_is_no_room_is_kept_and_named(
    box: Sandbox, tmp_path: Path
) -> None:
    def full() -> tuple[int, str]:
        with Path("/dev/full").open("wb") as stdout:
            done = subprocess.run(
                [*COMMAND, "generate", "rain", "-o", "-"],
                cwd=tmp_path,
                env=environment(tmp_path, **reaches(box)),
                stdout=stdout,
                stderr=subprocess.PIPE,
            )
        return done.returncode, done.stderr.decode()

    code, said = await anyio.to_thread.run_sync(full)
    [kept] = tmp_path.iterdir()
    assert (code, kept.read_bytes()) == (1, box.canonical(310815))
    assert f"{NOT_TAKEN}{kept.name}\n" in said


async def test_h11_a_job_that_fails_writes_nothing(tmp_path: Path) -> None:
    failing = Scenario(mode="sync", generation_seconds=0, failure_probability=1)
    async with Sandbox(failing) as box:
        code, output, _ = await anyio.to_thread.run_sync(
            taken, box, tmp_path, "generate", "rain", "-o", "-"
        )
    assert (code, output, [*tmp_path.iterdir()]) == (1, b"", [])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("generate", "rain", "sun"), "2 jobs"),
        (("generate", "rain", "--json"), "--json"),
        (("generate", "rain", "--overwrite"), "--overwrite"),
        (("fetch", "310815", "310816"), "2 jobs"),
        (("fetch", "310815", "--json"), "--json"),
    ],
    ids=lambda value: value[-1],
)
async def test_h11_what_standard_output_cannot_take_is_refused_before_payment(
    arguments: tuple[str, ...], why: str, box: Sandbox, tmp_path: Path
) -> None:
    done = await against(box, tmp_path, *arguments, "-o", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert not box.book.debits


async def test_h11_two_prompts_of_standard_input_are_refused_too(
    box: Sandbox, tmp_path: Path
) -> None:
    done = await against(box, tmp_path, "generate", "-", "-o", "-", stdin="rain\nsun\n")
    assert (done.returncode, len(box.book.debits)) == (2, 0)


@pytest.mark.parametrize("arguments", [("generate", "rain"), ("fetch", "310815")])
async def test_h11_json_that_only_the_environment_asks_for_gives_way_to_the_file(
    arguments: tuple[str, ...], box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments[0] == "fetch":
        await against(box, tmp_path, "generate", "rain", "-o", "rain.wav")
    monkeypatch.setattr(f"{__name__}.environment", partial(environment, MODELSLAB_OUTPUT="json"))
    code, output, said = await anyio.to_thread.run_sync(
        partial(taken, box, tmp_path, *arguments, "-o", "-")
    )
    assert (code, output) == (0, box.canonical(310815)), said


async def test_h11_no_music_goes_to_a_terminal(box: Sandbox, tmp_path: Path) -> None:
    shown = partial(shown_by, tmp_path, "generate", "rain", "-o", "-", environ=reaches(box))
    code, lines = await anyio.to_thread.run_sync(shown)
    assert code == 2
    assert "that is a terminal" in " ".join(lines)
    assert not box.book.debits


async def test_h11_no_music_goes_to_a_stream_that_is_closed(box: Sandbox, tmp_path: Path) -> None:
    def closed() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", '"$@" >&-', "sh", *COMMAND, "generate", "rain", "-o", "-"],
            cwd=tmp_path,
            env=environment(tmp_path, **reaches(box)),
            capture_output=True,
            text=True,
        )

    done = await anyio.to_thread.run_sync(closed)
    assert done.returncode == 2
    assert "that is closed" in done.stderr
    assert not box.book.debits


async def test_h11_a_dry_run_shows_that_nothing_becomes_a_file(
    box: Sandbox, tmp_path: Path
) -> None:
    shown = partial(shown_by, tmp_path, "generate", "rain", "-n", "-o", "-")
    code, lines = await anyio.to_thread.run_sync(shown)
    assert code == 0
    assert lines[1].startswith("-  5 s")


async def test_a_text_goes_to_a_terminal_and_is_fetched_again_in_its_own_family(
    box: Sandbox, tmp_path: Path
) -> None:
    url = "https://files.example/talk.mp3"
    words = ("transcribe", url, "--language", "en", "-o", "-", "--no-color")
    show = partial(shown_by, tmp_path, *words, columns=300, environ=reaches(box))
    code, lines = await anyio.to_thread.run_sync(show)
    assert code == 0, lines
    assert "Job 310815 of the sandbox" in lines
    (told,) = [line for line in lines if line.startswith("written to standard output; ")]
    printed = told.removeprefix("written to standard output; ").removesuffix(" downloads it again")
    again = await against(box, tmp_path, *shlex.split(printed)[1:], "-o", "talk.txt")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "talk.txt").read_text().startswith("Job 310815 of the sandbox")
    assert len(box.book.debits) == 1
