"""The command as a process: files out, exit codes, and nothing lost when it fails."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

import modelslab_async
from modelslab_async._cli.error_mapping import exit_code_of
from modelslab_async._cli.generate import as_number
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.forking import forked
from ..support.preloaded import SPEED

pytestmark = pytest.mark.anyio

COMMAND = [sys.executable, "-m", "modelslab_async"]
QUICK = Scenario(mode="sync", generation_seconds=0)
# When the suite's coverage is measured, that of the command is, too.
COVERAGE = {name: text for name, text in os.environ.items() if name == "COVERAGE_PROCESS_CONFIG"}


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """What a process needs and nothing of whoever runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(Path(modelslab_async.__file__).parents[1]),
        "MODELSLAB_ASYNC_GENERATE_MAX_NEW_TOKEN": "256",  # five seconds of music are soon made
        **COVERAGE,
        **more,
    }


def command(
    tmp_path: Path, *arguments: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, in ``tmp_path``."""
    return forked(arguments, tmp_path, environment(tmp_path, **more), stdin)


def started(
    tmp_path: Path, *arguments: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, and start Python for it: nothing is loaded before it wants it."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def reaches(box: Sandbox) -> dict[str, str]:
    """The environment that leads to a sandbox."""
    return {"MODELSLAB_BASE_URL": box.url, "MODELSLAB_API_KEY": box.key}


async def against(
    box: Sandbox, tmp_path: Path, *arguments: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command against a sandbox in this process."""
    return await anyio.to_thread.run_sync(
        lambda: command(tmp_path, *arguments, stdin=stdin, **{**reaches(box), SPEED: "10", **more})
    )


async def started_against(
    box: Sandbox, tmp_path: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Start Python for the command, against a sandbox in this process."""
    return await anyio.to_thread.run_sync(
        lambda: started(tmp_path, *arguments, **{**reaches(box), **more})
    )


def wavs(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*.wav"))


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(QUICK) as box:
        yield box


# --- files ----------------------------------------------------------------------------------------


async def test_a_prompt_becomes_the_file_that_o_names(box: Sandbox, tmp_path: Path) -> None:
    done = await against(box, tmp_path, "generate", "a waltz", "-o", "waltz.wav")
    assert (done.returncode, done.stdout) == (0, "waltz.wav\n")
    assert (tmp_path / "waltz.wav").read_bytes() == box.canonical(310815)


async def test_several_prompts_become_files_named_after_them(box: Sandbox, tmp_path: Path) -> None:
    done = await against(box, tmp_path, "generate", "a waltz", "../é tude", "-o", "new")
    assert done.returncode == 0
    assert wavs(tmp_path / "new") == ["a-waltz.wav", "é-tude.wav"]
    assert sorted(done.stdout.split()) == ["new/a-waltz.wav", "new/é-tude.wav"]


async def test_no_file_is_overwritten_and_equal_prompts_get_a_number(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "waltz.mp3").write_text("mine")
    done = await against(box, tmp_path, "generate", "waltz", "waltz")
    assert done.returncode == 0
    assert wavs(tmp_path) == ["waltz-2.wav", "waltz-3.wav"]
    assert (tmp_path / "waltz.mp3").read_text() == "mine"


async def test_overwrite_replaces_the_named_file_alone(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "waltz.wav").write_text("old")
    for arguments in (["generate", "waltz"], ["fetch", "310815"]):
        done = await against(box, tmp_path, *arguments, "-o", "waltz.wav", "--overwrite")
        assert (done.returncode, done.stdout) == (0, "waltz.wav\n"), done.stderr
        assert (tmp_path / "waltz.wav").read_bytes() == box.canonical(310815)
        assert wavs(tmp_path) == ["waltz.wav"]
    nowhere = await against(box, tmp_path, "generate", "waltz", "--overwrite")
    assert (nowhere.returncode, len(box.book.debits)) == (2, 1)


async def test_a_taken_file_name_is_refused_before_anything_is_paid(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "waltz.wav").write_text("mine")
    done = await against(box, tmp_path, "generate", "waltz", "-o", "waltz.wav")
    assert done.returncode == 2
    assert "waltz.wav already exists" in done.stderr
    assert (box.book.debits, (tmp_path / "waltz.wav").read_text()) == ([], "mine")


async def test_an_unwritable_place_is_refused_before_anything_is_paid(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = await against(box, tmp_path, "generate", "waltz", "-o", "file/in/it/")
    assert (done.returncode, box.book.debits) == (2, [])


async def test_every_parameter_of_the_request_is_an_option(box: Sandbox, tmp_path: Path) -> None:
    clip = encode_clip()
    (tmp_path / "clip.wav").write_bytes(clip)
    done = await against(
        box,
        tmp_path,
        *("generate", "waltz", "-o", "out.wav", "--unchecked", "--sampling-rate", "5000"),
        *("--max-new-token", "256", "--duration", "30", "--output-format", "wav"),
        *("--bitrate", "128k", "--temp", "--track-id", "77", "--init-audio-file", "clip.wav"),
        *("--webhook", f"{box.foreign_url}/hook", "--extra", '{"model_id": "x"}'),
    )
    assert done.returncode == 0, done.stderr
    [job] = box.book.jobs.values()
    assert {name: job.request[name] for name in job.request if name != "key"} == {
        "prompt": "waltz",
        "sampling_rate": 5000,
        "max_new_token": 256,
        "duration": 30,
        "output_format": "wav",
        "bitrate": "128k",
        "temp": True,
        "track_id": 77,
        "init_audio": base64.b64encode(clip).decode(),
        "base64": True,
        "webhook": f"{box.foreign_url}/hook",
        "model_id": "x",
    }


def encode_clip(samples: int = 1600) -> bytes:
    """A tenth of a second of sound, or as long as wanted."""
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(16_000)
        clip.writeframes(b"\x10\x20" * samples)
    return file.getvalue()


async def test_one_failure_stops_no_other(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset", times=1)
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, faults=(lost,))) as box:
        done = await against(box, tmp_path, "generate", "one", "two", "three", "-o", "out/")
        assert done.returncode == 8
        assert len(wavs(tmp_path)) == len(done.stdout.split()) == 2
        assert len(box.book.debits) == 3
        assert "track_id" in done.stderr


async def test_python_m_is_the_script() -> None:
    assert modelslab_async.__version__ in command(Path.cwd(), "--version").stdout


# --- demo -----------------------------------------------------------------------------------------


def test_demo_needs_nothing_and_makes_six_files_and_may_be_repeated(tmp_path: Path) -> None:
    first = command(tmp_path, "demo")
    again = command(tmp_path, "demo")
    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert sorted(first.stdout.split()) == sorted(again.stdout.split())
    assert len(wavs(tmp_path / "modelslab-demo")) == 6
    assert "MODELSLAB_API_KEY" in first.stderr


# --- fetch ----------------------------------------------------------------------------------------


async def test_fetch_brings_a_job_by_its_id_and_may_be_repeated(
    box: Sandbox, tmp_path: Path
) -> None:
    await against(box, tmp_path, "generate", "waltz", "-o", "waltz.wav")
    for _ in range(2):
        done = await against(box, tmp_path, "fetch", "310815")
        assert (done.returncode, done.stdout) == (0, "310815.wav\n"), done.stderr
    assert len(box.book.debits) == 1


async def test_fetch_reads_ids_and_handles_from_a_file_and_from_stdin(
    box: Sandbox, tmp_path: Path
) -> None:
    async with modelslab_async.ModelsLab(box.key, base_url=box.url) as client:
        job = await client.submit(modelslab_async.MusicGen("waltz"))
    (tmp_path / "jobs").write_text(f"{job.to_json()}\n\n")
    from_file = await started_against(box, tmp_path, "fetch", "@jobs", "-o", "a.wav")
    from_stdin = await against(box, tmp_path, "fetch", "-", "-o", "b.wav", stdin=f"{job.id}\n")
    assert (from_file.stdout, from_stdin.stdout) == ("a.wav\n", "b.wav\n"), from_file.stderr


async def test_code_7_for_a_time_out_whose_last_line_is_the_command_that_goes_on(
    tmp_path: Path,
) -> None:
    async with Sandbox(Scenario(generation_seconds=3600)) as box:
        (tmp_path / "key").write_text(box.key)
        (tmp_path / "w.wav").write_text("old")
        how = ["-o", "w.wav", "--overwrite", "--api-key-file", "key"]
        once = ["generate", "waltz", *how, "--timeout", "0.1"]
        late = await against(box, tmp_path, *once, MODELSLAB_API_KEY="")
        assert (late.returncode, late.stdout) == (7, "")
        start, _, resume = late.stderr.splitlines()[-1].partition("modelslab-async ")
        assert (start, resume) == ("resume with: ", " ".join(["fetch", "310815", *how]))
        box.advance(3600)
        done = await against(box, tmp_path, *resume.split(), MODELSLAB_API_KEY="")
        assert (done.returncode, done.stdout) == (0, "w.wav\n")
        assert len(box.book.debits) == 1


@pytest.mark.parametrize(
    "given", ["<(cat key)", "/dev/fd/3 3<key", "/proc/self/fd/3 3<key", "/dev/stdin <key"]
)
async def test_a_key_file_that_ends_with_this_command_is_not_named_to_the_next(
    given: str, tmp_path: Path
) -> None:
    async with Sandbox(Scenario(generation_seconds=3600)) as box:
        (tmp_path / "key").write_text(box.key)
        script = f'"$@" --api-key-file {given}'
        once = [*COMMAND, "generate", "waltz", "-o", "w.wav", "--timeout", "0.1"]
        late = await anyio.run_process(
            ["/bin/bash", "-c", script, "bash", *once],
            cwd=tmp_path,
            env=environment(tmp_path, MODELSLAB_BASE_URL=box.url),
            check=False,
        )
        last = late.stderr.decode().splitlines()[-1]
        assert last.endswith("modelslab_async fetch 310815 -o w.wav")


async def test_all_files_of_a_job_are_brought_and_a_dead_one_hides_no_other(
    tmp_path: Path,
) -> None:
    clips = [base64.b64encode(encode_clip(samples)).decode() for samples in (1600, 3200)]
    output = [f"data:audio/wav;base64,{clip}" for clip in clips]
    both = Fault(on="submit", kind="patch", fields={"output": output})
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, faults=(both,))) as box:
        done = await against(box, tmp_path, "generate", "waltz", "-o", "w.wav", "--json")
        named = [(file["path"], file["job_id"]) for file in json.loads(done.stdout)["files"]]
        assert named == [("w.wav", "310815"), ("w-2.wav", "310815")]
        assert [(tmp_path / name).stat().st_size for name, _ in named] == [3244, 6444]
    dead = Fault(
        on="submit", kind="patch", fields={"output": [output[0], "data:audio/wav;base64,AAAA"]}
    )
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, faults=(dead,))) as box:
        done = await against(box, tmp_path, "generate", "raga", "-o", "r.wav")
        assert (done.returncode, done.stdout) == (1, "r.wav\n"), done.stderr
        assert done.stderr.endswith("resume with: modelslab-async fetch 310815 -o r.wav\n")


async def test_a_file_that_is_short_on_the_server_too_is_warned_of(tmp_path: Path) -> None:
    short = Scenario(mode="sync", generation_seconds=0, wav="size_too_big")
    async with Sandbox(short) as box:
        done = await against(box, tmp_path, "generate", "waltz", "-o", "w.wav")
    assert (done.returncode, done.stdout) == (0, "w.wav\n"), done.stderr
    assert "warning: w.wav is shorter than its header says" in done.stderr


@pytest.mark.parametrize("text", ["007", "\u0663", "9" * 5000, "waltz-7"])
def test_a_track_id_of_the_users_own_is_sent_as_it_is(text: str) -> None:
    assert (as_number(text), as_number("7")) == (text, 7)


# --- exit codes -----------------------------------------------------------------------------------


async def test_code_3_for_a_key_that_the_api_refuses(box: Sandbox, tmp_path: Path) -> None:
    done = await against(box, tmp_path, "balance", MODELSLAB_API_KEY="not-the-key-of-this-box")
    assert done.returncode == 3


def test_code_3_without_a_key(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "waltz")
    assert done.returncode == 3
    assert "MODELSLAB_API_KEY" in done.stderr
    assert "--sandbox" in done.stderr


async def test_code_4_when_the_api_wants_a_longer_wait_than_anybody_sleeps(tmp_path: Path) -> None:
    full = Scenario(taken_slots=5, retry_after=10**7)
    async with Sandbox(full) as box:
        done = await against(box, tmp_path, "generate", "waltz")
    assert done.returncode == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["fetch", "@nowhere"],
        ["balance", "--api-key-file", "nowhere"],
        ["generate", "x", "--init-audio-file", "nowhere.wav"],
        ["sandbox", "--scenario", "nowhere.json"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_code_5_for_a_file_that_is_not_there(tmp_path: Path, arguments: list[str]) -> None:
    done = command(tmp_path, *arguments)
    assert done.returncode == 5
    assert "nowhere" in done.stderr


def test_code_5_for_a_job_that_the_api_does_not_know() -> None:
    # As a process this takes the half minute for which the API's "not found" is not believed.
    assert exit_code_of([modelslab_async.NotFound("gone")], asked=1) == 5


async def test_code_6_without_credits(tmp_path: Path) -> None:
    async with Sandbox(QUICK, balance=0) as box:
        done = await against(box, tmp_path, "generate", "waltz")
    assert done.returncode == 6


async def test_code_1_for_a_job_that_fails(tmp_path: Path) -> None:
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, failure_probability=1)) as box:
        done = await against(box, tmp_path, "generate", "waltz")
    assert (done.returncode, done.stdout) == (1, "")


def test_code_10_for_a_network_that_is_not_there(tmp_path: Path) -> None:
    done = command(
        tmp_path, "balance", MODELSLAB_API_KEY="k" * 20, MODELSLAB_BASE_URL="http://127.0.0.1:1"
    )
    assert done.returncode == 10


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["genrate"], "Did you mean 'generate'?"),
        (["generate", "x", "--durations", "30"], "--duration"),
        (["generate", "x", "--duration", "5"], "30 to 480"),
        (["generate", "x", "--extra", "{"], "not JSON"),
        (["generate", "x", "y", "-o", "one.wav"], "directory"),
        (["generate", "x", "y", "--track-id", "5"], "--track-id"),
        (["generate", "x", "--sandbox", "--base-url", "http://127.0.0.1:1"], "exclude"),
        (["sandbox", "--scenario", "nonsense"], "there is no scenario"),
        ([], "Usage"),
        (["generate"], "Usage"),
        (["fetch"], "Usage"),
    ],
    ids=str,
)
def test_code_2_for_wrong_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_usage_error_names_the_usage(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "x", "--nope")
    assert done.stderr.splitlines()[0] == "Usage: modelslab-async generate [OPTIONS] PROMPT..."


def test_code_2_when_several_paid_jobs_would_need_a_yes(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "x", "y", MODELSLAB_API_KEY="k" * 20)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert "price unknown" in done.stderr


# --- before anything is sent ----------------------------------------------------------------------


def test_every_option_has_a_variable_of_its_own(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "-n", "x", MODELSLAB_ASYNC_GENERATE_DURATION="40")
    assert "1 job, 40 s of audio" in done.stdout


@pytest.mark.parametrize(
    ("cap", "codes"), [("0.19", (0, 9)), ("0.2", (0, 0)), ("0.20000000000000000001", (0, 0))]
)
async def test_what_costs_more_than_max_cost_is_not_sent(
    cap: str, codes: tuple[int, int], box: Sandbox, tmp_path: Path
) -> None:
    arguments = ("generate", "x", "y", "-y", "--price-per-job", "0.1", "--max-cost", cap)
    shown = await against(box, tmp_path, *arguments, "-n")
    done = await against(box, tmp_path, *arguments)
    assert (shown.returncode, done.returncode) == codes
    assert shown.stdout.endswith("price 0.2\n")
    over = "2 jobs would cost 0.2, and --max-cost is 0.19; nothing was sent"
    assert [over in text for text in (shown.stderr, done.stderr)] == [cap == "0.19"] * 2
    assert len(box.book.debits) == len(wavs(tmp_path)) == (0 if cap == "0.19" else 2)


def test_what_may_cost_more_than_max_cost_is_not_sent(tmp_path: Path) -> None:
    arguments = ("transcribe", "https://files.example/talk.mp3", "--language", "en")
    capped = (*arguments, "--price-per-second", "0.1", "--max-cost", "1")
    done = command(tmp_path, *capped, MODELSLAB_API_KEY="k" * 20)
    assert done.returncode == 9
    assert "the cost of 1 job cannot be told, and --max-cost is 1; nothing was sent" in done.stderr
    priced = command(tmp_path, *capped, "--price", "speech_to_text.per_job=0.5", "-n")
    assert "price 0.5" in priced.stdout


def test_a_cost_is_limited_only_where_a_price_is_known(tmp_path: Path) -> None:
    done = command(tmp_path, "generate", "--sandbox", "x", "--max-cost", "5")
    assert (done.returncode, wavs(tmp_path)) == (2, [])
    assert "--max-cost needs --price-per-job" in done.stderr


def test_a_price_of_the_configuration_counts(tmp_path: Path) -> None:
    config = tmp_path / "home/.config/modelslab/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[async]\nprice_per_second = 0.01\n")
    as_json = command(tmp_path, "generate", "-n", "x", "--json", "--max-new-token", "500")
    assert json.loads(as_json.stdout)["cost"] == 0.1


def test_a_dry_run_needs_no_key_and_tells_the_sizes(tmp_path: Path) -> None:
    plain = {"MODELSLAB_ASYNC_GENERATE_MAX_NEW_TOKEN": ""}
    done = command(tmp_path, "generate", "-n", "x", "y", "--duration", "60", **plain)
    assert done.returncode == 0
    assert "2 jobs, 2 min of audio, about 15.4 MB, price unknown" in done.stdout
    as_json = command(tmp_path, "generate", "-n", "x", "--json", "--max-new-token", "500")
    assert json.loads(as_json.stdout)["files"] == [{"path": "x.wav", "seconds": 10.0, "mb": 1.28}]


async def test_balance_prints_what_is_left(box: Sandbox, tmp_path: Path) -> None:
    done = await against(box, tmp_path, "balance")
    assert (done.returncode, done.stdout) == (0, "1000.00 USD\n")
    as_json = await against(box, tmp_path, "balance", "--json")
    assert json.loads(as_json.stdout) == {"schema_version": 1, "amount": 1000.0, "currency": "USD"}


@pytest.mark.parametrize(
    ("arguments", "format_"),
    [
        (["-o", "song.mp3"], "mp3"),
        (["-o", "song.FLAC"], "flac"),
        (["-o", "song.wav"], None),
        (["-o", "song.mp3/"], None),
        (["-o", "songs", "--output-format", "flac"], "flac"),
    ],
    ids=str,
)
async def test_the_ending_of_the_file_chooses_the_format(
    box: Sandbox, tmp_path: Path, arguments: list[str], format_: str | None
) -> None:
    await against(box, tmp_path, "generate", "waltz", "-q", *arguments)
    [job] = box.book.jobs.values()
    assert job.request.get("output_format") == format_


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "song.ogg"],
        ["-o", "song.M4A"],
        ["-o", "song.wav", "--output-format", "mp3"],
    ],
    ids=str,
)
async def test_a_name_that_no_file_of_the_api_can_have_is_refused_before_it_is_paid_for(
    box: Sandbox, tmp_path: Path, arguments: list[str]
) -> None:
    done = await against(box, tmp_path, "generate", "waltz", *arguments)
    assert done.returncode == 2
    assert not box.book.jobs


async def test_a_single_dash_reads_prompts_from_standard_input(
    box: Sandbox, tmp_path: Path
) -> None:
    lines = "waltz\r\n\n# a comment\n\\#1 hit\n"
    done = await against(box, tmp_path, "generate", "-", "--yes", "-q", stdin=lines)
    assert done.returncode == 0
    assert {job.prompt for job in box.book.jobs.values()} == {"waltz", "#1 hit"}
    empty = await against(box, tmp_path, "generate", "-", stdin="# nothing\n")
    assert empty.returncode == 2
