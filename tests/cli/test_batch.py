"""The commands ``batch`` and ``resume`` as processes: files out, exit codes, nothing paid twice."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.manifests import last_line, manifest, row
from .test_cli import QUICK, against, command, started, wavs

pytestmark = pytest.mark.anyio

KEY = {"MODELSLAB_API_KEY": "k" * 20}


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(QUICK) as box:
        yield box


# --- files ----------------------------------------------------------------------------------------


async def test_a_manifest_becomes_files_and_the_same_command_again_pays_nothing(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "techno", "raga")
    first = await against(box, tmp_path, "batch", rows)
    assert first.returncode == 0, first.stderr
    assert sorted(first.stdout.split()) == [
        "rows-batch/00001-waltz.wav",
        "rows-batch/00002-techno.wav",
        "rows-batch/00003-raga.wav",
    ]
    for again in (["batch", rows], ["resume", "rows-batch"]):
        done = await against(box, tmp_path, *again)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "3 of 3 rows are done" in done.stderr
    assert len(box.book.debits) == 3
    for job in box.book.jobs.values():
        [path] = (tmp_path / "rows-batch").glob(f"*-{job.prompt}.wav")
        assert path.read_bytes() == box.canonical(job.id)


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("rows.txt", "# mine\nwaltz\n\nraga\n", []),
        ("rows.jsonl", '{"prompt": "waltz"}\n{"prompt": "raga"}\n', []),
        ("rows.csv", "prompt;max_new_token\nwaltz;256\nraga;\n", []),
        ("rows", '{"waltz"\nraga\n', ["--format", "text"]),
    ],
    ids=["text", "jsonl", "csv", "insisted"],
)
def test_a_manifest_has_one_of_three_formats(
    tmp_path: Path, name: str, text: str, options: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    done = command(tmp_path, "batch", name, "-n", *options)
    assert (done.returncode, done.stdout.splitlines()[1][:6]) == (0, "2 jobs"), done.stderr


async def test_standard_input_is_a_manifest_too(box: Sandbox, tmp_path: Path) -> None:
    rows = f"{row('waltz')}\n{row('raga')}\n"
    done = await against(box, tmp_path, "batch", "-", "-o", "out", stdin=rows)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("00001-waltz.wav", "00002-raga.wav"),
        *("ledger.lock", "ledger.sqlite3", "results.jsonl"),
    ]


async def test_a_clip_that_is_not_what_it_was_is_not_sent(box: Sandbox, tmp_path: Path) -> None:
    from .test_cli import encode_clip

    (tmp_path / "clip.wav").write_bytes(encode_clip())
    (tmp_path / "rows.jsonl").write_text(f"{row('waltz', init_audio_file='clip.wav')}\n")
    limited = await against(
        box, tmp_path, "batch", "rows.jsonl", "-o", "out", "--max-jobs-total", "0"
    )
    assert limited.returncode == 9
    (tmp_path / "clip.wav").write_bytes(encode_clip(3200))
    done = await against(box, tmp_path, "resume", "out", "--max-jobs-total", "1")
    assert (done.returncode, box.book.debits) == (8, []), done.stderr
    assert "has changed since its row was planned" in done.stderr
    (tmp_path / "clip.wav").write_bytes(encode_clip())
    done = await against(box, tmp_path, "resume", "out")
    assert (done.returncode, len(box.book.debits)) == (0, 1), done.stderr


async def test_a_clip_lies_beside_its_manifest(box: Sandbox, tmp_path: Path) -> None:
    from .test_cli import encode_clip

    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/clip.wav").write_bytes(encode_clip())
    (tmp_path / "rows/rows.jsonl").write_text(row("waltz", init_audio_file="clip.wav"))
    done = await against(box, tmp_path, "batch", "rows/rows.jsonl", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert next(iter(box.book.jobs.values())).request["base64"] is True


async def test_a_template_names_the_files_of_this_run_and_of_its_resume(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    limited = ("--template", "{slug}-{seq}", "--max-jobs-total", "1")
    done = await against(box, tmp_path, "batch", rows, "-o", "out", *limited)
    assert last_line(done.stderr) == (
        "resume with: modelslab-async resume out --template '{slug}-{seq}' --max-jobs-total 1"
    )
    assert wavs(tmp_path) == ["waltz-1.wav"]


async def test_files_are_named_by_columns_of_the_manifest_and_stay_so_when_resumed(
    box: Sandbox, tmp_path: Path
) -> None:
    text = "id,prompt,mood\na,waltz,Calm & slow\nb,raga,../../etc\nc,polka,gay\n"
    (tmp_path / "rows.csv").write_text(text)
    start = ("batch", "rows.csv", "-o", "out", "-y", "--template", "{mood}-{seq}")
    plan = await against(box, tmp_path, *start, "-n")
    assert [line.split()[0] for line in plan.stdout.splitlines()[-3:]] == [
        *("calm-slow-1.wav", "etc-2.wav", "gay-3.wav")
    ]
    await against(box, tmp_path, *start, "--limit", "1")
    done = await against(box, tmp_path, "resume", "out", "-y")  # it does not name the template
    assert done.returncode == 0, done.stderr
    assert wavs(tmp_path) == ["calm-slow-1.wav", "etc-2.wav", "gay-3.wav"]


async def test_a_template_with_a_column_that_a_row_lacks_is_refused_before_payment(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    (tmp_path / "rows.csv").write_text("prompt,mood\nwaltz,calm\nraga,\n")
    for words, says in (
        (("batch", "rows.csv", "--template", "{moood}-{seq}"), "did you mean mood?"),
        (("batch", "rows.csv", "--template", "{mood}-{seq}"), "the row in line 3 does not have"),
        (("batch", rows, "--template", "{slgu}-{seq}"), "did you mean slug?"),
    ):
        done = await against(box, tmp_path, *words, "-o", "out", "-y")
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert says in done.stderr
    await against(box, tmp_path, "batch", rows, "-o", "out", "-y", "--limit", "1")
    done = await against(box, tmp_path, "resume", "out", "--template", "{mood}-{seq}")
    assert (done.returncode, len(box.book.debits)) == (2, 1), done.stderr
    assert "row 2, as it was planned, does not have" in done.stderr


async def test_files_are_named_by_their_ids_if_every_row_has_one(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = "".join(row(prompt, id=prompt[:2]) + "\n" for prompt in ("waltz", "raga"))
    (tmp_path / "all.jsonl").write_text(rows)
    (tmp_path / "some.jsonl").write_text(rows + row("polka") + "\n")
    await against(box, tmp_path, "batch", "all.jsonl", "-o", "out", "-y")
    assert wavs(tmp_path) == ["ra.wav", "wa.wav"]
    await against(box, tmp_path, "batch", "some.jsonl", "-o", "other", "-y")
    names = sorted(path.name for path in (tmp_path / "other").glob("*.wav"))
    assert names == ["00001-waltz.wav", "00002-raga.wav", "00003-polka.wav"]


async def test_a_directory_of_an_earlier_version_keeps_its_names(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = "".join(row(prompt, id=prompt[:2]) + "\n" for prompt in ("waltz", "raga"))
    (tmp_path / "all.jsonl").write_text(rows)
    start = ("batch", "all.jsonl", "-o", "out", "-y")
    await against(box, tmp_path, *start, "--limit", "0")
    with contextlib.closing(sqlite3.connect(tmp_path / "out/ledger.sqlite3")) as ledger, ledger:
        ledger.execute("DELETE FROM meta WHERE name = 'template'")
    plan = await against(box, tmp_path, *start, "-n")
    assert plan.stdout.splitlines()[-2].split()[0] == "00001-waltz.wav"
    await against(box, tmp_path, *start)
    assert wavs(tmp_path) == ["00001-waltz.wav", "00002-raga.wav"]


async def test_a_few_rows_first_and_the_same_command_without_a_limit_for_the_rest(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, *(f"waltz {number}" for number in range(5)))
    start = ("batch", rows, "-o", "out", "-y")
    shown = await against(box, tmp_path, *start, "--limit", "2", "-n")
    assert shown.stdout.splitlines()[1].endswith("price unknown; 3 rows left for another run")
    few = await against(box, tmp_path, *start, "--limit", "2")
    assert (few.returncode, len(box.book.debits), len(wavs(tmp_path))) == (9, 2, 2)
    assert last_line(few.stderr) == "resume with: modelslab-async resume out"
    done = await against(box, tmp_path, *start)
    assert (done.returncode, len(box.book.debits), len(wavs(tmp_path))) == (0, 5, 5)


def test_batch_and_resume_work_with_a_sandbox_of_their_own(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    first = command(tmp_path, "batch", rows, "--sandbox", "-o", "out", "--max-jobs-total", "1")
    assert first.returncode == 9, first.stderr
    done = started(tmp_path, "resume", "out", "--sandbox", "--max-jobs-total", "2")
    assert (done.returncode, done.stdout) == (0, "out/00002-raga.wav\n"), done.stderr


async def test_rows_that_the_manifest_has_no_more_are_told_of(box: Sandbox, tmp_path: Path) -> None:
    await against(box, tmp_path, "batch", manifest(tmp_path, "waltz"), "-o", "out")
    done = await against(box, tmp_path, "batch", manifest(tmp_path, "raga"), "-o", "out")
    assert done.returncode == 0
    assert "out holds 1 rows that are not in this manifest" in done.stderr
    assert wavs(tmp_path) == ["00001-waltz.wav", "00002-raga.wav"]


# --- before anything is paid ----------------------------------------------------------------------


async def test_all_bad_rows_are_named_and_nothing_is_sent(box: Sandbox, tmp_path: Path) -> None:
    lines = [row("waltz"), row("raga", duration=5), "{", row("", id="x")]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    done = await against(box, tmp_path, "batch", "rows.jsonl", "-o", "out")
    assert (done.returncode, done.stdout, box.book.requests) == (2, "", [])
    assert "3 of 4 rows cannot be used" in done.stderr
    for line in ("line 2: ", "line 3: ", "line 4: "):
        assert line in done.stderr
    assert not (tmp_path / "out").exists()


async def test_rows_that_are_not_what_they_were_are_named_and_nothing_is_sent(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(row("waltz", id="a"))
    await against(box, tmp_path, "batch", "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text(f"{row('raga', id='a')}\n{row('techno')}")
    done = await against(box, tmp_path, "batch", "rows.jsonl")
    assert (done.returncode, len(box.book.debits)) == (2, 1)
    assert "1 row not as planned before: a;" in done.stderr


async def test_a_field_that_is_not_ours_is_warned_of_once_and_handed_through(
    box: Sandbox, tmp_path: Path
) -> None:
    lines = [row("waltz", durration=30, mood="blue"), row("raga", durration=30)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    done = await against(box, tmp_path, "batch", "rows.jsonl", "-o", "out")
    assert done.stderr.count("durration (did you mean duration?)\n") == 1
    results = (tmp_path / "out/results.jsonl").read_text().splitlines()
    assert json.loads(results[0])["fields"] == {"durration": 30, "mood": "blue"}


def test_a_dry_run_opens_no_socket_and_tells_what_it_would_come_to(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz", "raga", "techno")
    nowhere = {"MODELSLAB_BASE_URL": "http://127.0.0.1:1"}
    plain = command(tmp_path, "batch", rows, "-n", **nowhere)
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout.splitlines() == [
        "3 rows, 0 done, 0 paid for and unfinished, in rows-batch",
        "3 jobs, 15 s of audio, about 2.0 MB, price unknown",
        "manifest: JSONL, one object per line; 3 rows",
        "  00001-waltz.wav  waltz",
        "  00002-raga.wav  raga",
        "  00003-techno.wav  techno",
    ]
    assert not (tmp_path / "rows-batch").exists()
    priced = command(tmp_path, "batch", rows, "-n", "--json", "--price-per-job", "0.5")
    plan = json.loads(priced.stdout)
    assert (plan["event"], plan["jobs"], plan["cost"]) == ("plan", 3, 1.5)


async def test_a_dry_run_of_a_batch_that_has_begun_counts_what_is_left(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "raga", "techno")
    await against(box, tmp_path, "batch", rows, "-o", "out", "--max-jobs-total", "1")
    for arguments in (["batch", rows, "-o", "out"], ["resume", "out"]):
        done = command(tmp_path, *arguments, "-n", MODELSLAB_ASYNC_PRICE_PER_SECOND="0.01")
        sizes = "2 jobs, 10 s of audio, about 1.3 MB"
        assert done.stdout.splitlines()[:2] == [
            "3 rows, 1 done, 0 paid for and unfinished, in out",
            f"{sizes}, price 0.1024 (and no more than 1 job in all runs)",
        ]


def test_a_plan_of_several_endpoints_is_told_by_endpoint(tmp_path: Path) -> None:
    rows = tmp_path / "mixed.csv"
    rows.write_text(
        "endpoint,prompt,voice_id,language,init_audio\n,waltz,,,\n"
        "text_to_speech,Hello there,tara,hindi,\nlyrics_generator,rain,,,\n"
        "speech_to_text,,,en,https://a.example/x.wav\n"
    )
    prices = (
        "--price-per-second",
        "0.01",
        "--price",
        "text_to_speech.per_character=0.001",
        "--price=lyrics_generator.per_job=0.2",
    )
    shown = command(tmp_path, "batch", "mixed.csv", "-n", *prices)
    assert shown.stdout.splitlines()[1:6] == [
        "4 jobs, 31 s of audio, 1 of unknown length, 11 characters, about 4.1 MB, price unknown",
        "  music_gen         1 job, 30 s of audio, about 3.8 MB, price 0.3",
        "  text_to_speech    1 job, 1 s of audio, 11 characters, about 0.1 MB, price 0.011",
        "  lyrics_generator  1 job, about 10.0 kB, price 0.2",
        "  speech_to_text    1 job, unknown length, about 0.1 MB, price unknown",
    ]
    plan = json.loads(command(tmp_path, "batch", "mixed.csv", "-n", "--json", *prices).stdout)
    assert (plan["jobs"], plan["characters"], plan["cost"]) == (4, 11, None)
    costs = {name: one["cost"] for name, one in plan["endpoints"].items()}
    assert costs == {
        "music_gen": 0.3,
        "text_to_speech": 0.011,
        "lyrics_generator": 0.2,
        "speech_to_text": None,
    }


def test_a_price_may_stand_in_the_users_configuration(tmp_path: Path) -> None:
    config = tmp_path / "home/.config/modelslab/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[async]\nprice_per_job = 2\n")
    rows = manifest(tmp_path, "waltz", "raga")
    assert "price 4\n" in command(tmp_path, "batch", rows, "-n").stdout


# --- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["batch"], "Usage"),
        (["resume"], "Usage"),
        (["batch", "-"], "-o"),
        (["batch", "empty"], "no row"),
        (["batch", "rows.jsonl", "--max-cost", "5"], "--price-per-job"),
        (["batch", "rows.jsonl", "--max-cost", "nan", "--price-per-job", "1"], "'nan' must be"),
        (["batch", "rows.jsonl", "--template", "{slug}"], "{seq}"),
        (["batch", "rows.jsonl", "--retry", "done"], "rejected"),
        (["batch", "rows.jsonl", "--sandbox", "--base-url", "http://127.0.0.1:1"], "exclude"),
        (["batch", "rows.jsonl", "-o", "rows.jsonl"], "cannot be written to"),
    ],
    ids=str,
)
def test_code_2_for_wrong_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    manifest(tmp_path, "waltz")
    (tmp_path / "empty").write_text("\n")
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "title,duration\nwaltz,60\n"),
        ("rows.tsv", "title\tduration\nwaltz\t60\n"),
        ("rows.jsonl", '["waltz"]\n'),
        ("rows.ndjson", "waltz\n"),
    ],
)
def test_a_table_that_is_none_is_not_paid_for_line_by_line(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    done = command(tmp_path, "batch", name, "-o", "out", "--sandbox")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "nothing was sent" in done.stderr


def test_code_2_when_several_paid_jobs_would_need_a_yes(tmp_path: Path) -> None:
    done = command(tmp_path, "batch", manifest(tmp_path, "waltz", "raga"), **KEY)
    assert done.returncode == 2
    assert "2 jobs, 10 s of audio" in done.stderr
    assert "--yes" in done.stderr
    assert not (tmp_path / "rows-batch").exists()


def test_code_3_without_a_key(tmp_path: Path) -> None:
    assert command(tmp_path, "batch", manifest(tmp_path, "waltz")).returncode == 3


async def test_code_3_for_a_key_that_the_api_refuses_and_every_row_waits_for_a_better_one(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    refused = await against(box, tmp_path, "batch", rows, **KEY)
    assert refused.returncode == 3
    assert last_line(refused.stderr) == "resume with: modelslab-async resume rows-batch"
    done = await against(box, tmp_path, "resume", "rows-batch")
    assert (done.returncode, len(done.stdout.split())) == (0, 2), done.stderr


async def test_code_4_when_the_api_wants_a_longer_wait_than_anybody_sleeps(tmp_path: Path) -> None:
    async with Sandbox(Scenario(taken_slots=5, retry_after=10**7)) as box:
        done = await against(box, tmp_path, "batch", manifest(tmp_path, "waltz"))
    assert done.returncode == 4
    assert last_line(done.stderr).startswith("resume with: ")


@pytest.mark.parametrize(
    "arguments", [["batch", "nowhere.txt"], ["resume", "nowhere"]], ids=lambda words: words[0]
)
def test_code_5_for_what_is_not_there(tmp_path: Path, arguments: list[str]) -> None:
    done = command(tmp_path, *arguments)
    assert done.returncode == 5
    assert "nowhere" in done.stderr


async def test_code_6_when_the_credits_end_and_what_is_paid_for_is_finished(
    tmp_path: Path,
) -> None:
    async with Sandbox(QUICK, balance=0.02) as box:
        rows = manifest(tmp_path, "waltz", "raga", "techno", "tango")
        done = await against(box, tmp_path, "batch", rows, "-o", "out")
        assert done.returncode == 6, done.stderr
        assert len(box.book.debits) == len(wavs(tmp_path)) == 2
        assert "balance" in done.stderr
        assert last_line(done.stderr) == "resume with: modelslab-async resume out"


async def test_code_8_when_jobs_fail_and_only_retry_pays_for_new_ones(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    async with Sandbox(Scenario(mode="sync", generation_seconds=0, failure_probability=1)) as box:
        failed = await against(box, tmp_path, "batch", rows, "-o", "out")
        assert (failed.returncode, failed.stdout) == (8, "")
        assert "2 rows have no file; modelslab-async status out says why" in failed.stderr
        again = await against(box, tmp_path, "resume", "out")
        assert (again.returncode, len(box.book.debits)) == (8, 2)
    async with Sandbox(QUICK, seed=100) as box:
        done = await against(
            box,
            tmp_path,
            "resume",
            "out",
            "--same-account",
            "--retry",
            "rejected",
            "--retry",
            "failed",
        )
        assert (done.returncode, len(box.book.debits)) == (0, 2), done.stderr


async def test_code_9_when_a_limit_leaves_rows_over_and_a_higher_one_goes_on(
    box: Sandbox, tmp_path: Path
) -> None:
    rows = manifest(tmp_path, "waltz", "raga", "techno")
    jobs = await against(box, tmp_path, "batch", rows, "-o", "out", "--max-jobs-total", "1")
    assert (jobs.returncode, len(box.book.debits)) == (9, 1), jobs.stderr
    price = ("--price-per-job", "1")
    more = ("--max-jobs-total", "9", "--max-cost", "2.5")
    cost = await against(box, tmp_path, "resume", "out", *more, *price)
    assert (cost.returncode, len(box.book.debits)) == (9, 2), cost.stderr
    assert last_line(cost.stderr).endswith(f"resume out {' '.join(more)} --price-per-job 1")
    done = await against(box, tmp_path, "resume", "out", "--max-cost", "3", *price)
    assert (done.returncode, len(wavs(tmp_path))) == (0, 3), done.stderr


async def test_code_10_when_the_api_cannot_be_reached(box: Sandbox, tmp_path: Path) -> None:
    secure = box.url.replace("http://", "https://")  # where nobody speaks TLS
    done = await against(
        box, tmp_path, "batch", manifest(tmp_path, "waltz"), MODELSLAB_BASE_URL=secure
    )
    assert done.returncode == 10, done.stderr
    assert last_line(done.stderr) == "resume with: modelslab-async resume rows-batch"


async def test_a_job_whose_answer_is_lost_is_found_and_not_paid_for_again(
    tmp_path: Path,
) -> None:
    lost = Fault(on="submit", kind="reset", times=1)
    quick = Scenario(mode="sync", generation_seconds=0, fetch_meta=True, faults=(lost,))
    async with Sandbox(quick) as box:
        done = await against(box, tmp_path, "batch", manifest(tmp_path, "waltz", "raga"))
        assert (done.returncode, len(box.book.debits)) == (0, 2), done.stderr
        assert len(wavs(tmp_path)) == 2


def test_a_ledger_that_is_none_is_told_of_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with sqlite3.connect(tmp_path / "out/ledger.sqlite3") as other:
        other.execute("CREATE TABLE mine (a)")
    other.close()
    done = command(tmp_path, "resume", "out", **KEY)
    assert done.returncode == 1
    assert "another program" in done.stderr
    assert "Traceback" not in done.stderr
