"""`probe` pays for at most what was agreed to, and its report can be pasted anywhere."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import MusicGen
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.batches import quick
from ..support.quick import client_of, free_port
from ..support.schemas import check
from .test_cli import against, command
from .test_stopping import running, until
from .test_talk import KEY, on_a_terminal

CANARY = "sk-canary-0123456789abcdefghijkl"


async def probed(
    box: Sandbox, tmp_path: Path, *arguments: str
) -> tuple[dict[str, tuple[str, str]], subprocess.CompletedProcess[str]]:
    """The verdict and the observation by question."""
    done = await against(box, tmp_path, "probe", "--json", *arguments)
    document = json.loads(done.stdout)
    check(document, "findings")
    return {
        one["question"]: (one["verdict"], one["observed"]) for one in document["findings"]
    }, done


@pytest.mark.anyio
async def test_what_the_sandbox_does_as_documented_is_confirmed(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        found, done = await probed(box, tmp_path)
        assert len(box.book.debits) == 1
        assert box.book.key_seen_on() <= {"api"}
    assert done.returncode == 0, done.stderr
    verdicts = {question: verdict for question, (verdict, _) in found.items()}
    assert verdicts.pop("What does a webhook carry?") == "not observed"
    assert verdicts.pop("Which hosts serve output?") == "not observed"  # it is this machine
    assert verdicts.pop("Is eta useful?") in ("confirmed", "refuted")  # a race of milliseconds
    assert set(verdicts.values()) == {"confirmed"}
    assert "401" in found["Which forms do errors have?"][1]


@pytest.mark.anyio
async def test_what_it_does_otherwise_is_refuted(tmp_path: Path) -> None:
    other = quick(
        Fault(on="download", kind="ignores_range", times=None),
        Fault(on="fetch", kind="json", times=1, body='{"oops": 1}', status=400),
        fetch_meta=False,
        id="string",
        eta="absent",
    )
    async with Sandbox(other) as box:
        found, _ = await probed(box, tmp_path)
    assert found["Does a fetch repeat the track_id?"][0] == "refuted"
    assert found["Do the storage hosts support ranges?"][0] == "refuted"
    assert found["What is the id of a job?"][0] == "refuted"
    assert found["Is eta useful?"][0] == "not observed"


@pytest.mark.anyio
async def test_a_webhook_that_arrives_is_reported_by_its_fields(tmp_path: Path) -> None:
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    async with Sandbox(quick(generation_seconds=0.4)) as box:
        found, done = await probed(box, tmp_path, "--webhook-url", url, "--webhook-port", port)
        (delivery, *_) = box.book.webhooks
    verdict, observed = found["What does a webhook carry?"]
    assert verdict == "confirmed", done.stderr
    assert "fields: " in observed
    assert "status" in observed
    secret = delivery.url.rpartition("/")[2]
    assert secret not in done.stdout + _recordings(tmp_path)


def _recordings(tmp_path: Path) -> str:
    return "".join(one.read_text() for one in tmp_path.glob("modelslab-probe/*.jsonl"))


@pytest.mark.anyio
async def test_a_probe_killed_after_payment_is_continued_and_pays_once(tmp_path: Path) -> None:
    async with Sandbox(quick(generation_seconds=1)) as box:
        async with running(box, tmp_path, "probe") as child:
            await until(lambda: box.book.count("api", "/api/v6/voice/fetch/310"))
            child.send(signal.SIGKILL)
            assert (await child.ended())[0] == -signal.SIGKILL
        found, done = await probed(box, tmp_path)
        assert len(box.book.debits) == 1
        again, _ = await probed(box, tmp_path)
        assert len(box.book.debits) == 1
    assert done.returncode == 0, done.stderr
    assert found["Does a fetch repeat the track_id?"][0] == "confirmed"
    assert found["What is the id of a job?"][0] == "confirmed"  # the first run saw the submit
    assert again["Does a fetch after success still answer?"][0] == "confirmed"
    assert again["Does the wallet show at once what a job cost?"][0] == "not observed"


@pytest.mark.anyio
async def test_a_lost_reply_is_not_paid_for_again(tmp_path: Path) -> None:
    async with Sandbox(quick(Fault(on="submit", kind="reset"), fetch_meta=False)) as box:
        _, done = await probed(box, tmp_path)
        planned = await against(box, tmp_path, "probe", "--dry-run")
        assert len(box.book.debits) == 1
    assert "not sent again" in done.stderr
    assert done.returncode == 8
    assert planned.stdout.startswith("0 jobs")


@pytest.mark.parametrize("arguments", [(), ("--no-input",)])
def test_it_refuses_to_pay_where_nobody_can_be_asked(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = command(tmp_path, "probe", *arguments, MODELSLAB_API_KEY=KEY)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert not (tmp_path / "modelslab-probe").exists()


def test_it_asks_with_the_price(tmp_path: Path) -> None:
    code, _, shown = on_a_terminal(
        tmp_path, "probe", "--price-per-job", "0.05", typed="n\n", MODELSLAB_API_KEY=KEY
    )
    assert code == 1
    assert "1 job, 30 s of audio, about 3.8 MB, price 0.05. Continue? [y/N]" in shown.replace(
        "\r\n", ""
    )
    assert not (tmp_path / "modelslab-probe").exists()


@pytest.mark.anyio
async def test_a_job_that_was_never_sent_is_asked_about_again(tmp_path: Path) -> None:
    async with Sandbox() as box:  # which speaks no TLS
        https = box.url.replace("http:", "https:")
        done = await against(box, tmp_path, "probe", MODELSLAB_BASE_URL=https)
        assert not box.book.debits
    assert done.returncode == 10
    assert "jobs paid for: 0" in done.stdout
    refused = command(tmp_path, "probe", MODELSLAB_API_KEY=KEY)
    assert refused.returncode == 2
    assert "1 job, " in refused.stderr


@pytest.mark.anyio
async def test_a_cost_above_the_limit_is_refused(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        prices = ("--price-per-job", "0.05", "--max-cost", "0.04")
        done = await against(box, tmp_path, "probe", *prices)
        assert not box.book.requests
    assert done.returncode == 9
    assert "nothing was sent" in done.stderr


@pytest.mark.anyio
async def test_no_job_is_paid_for_if_none_may_be(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        found, done = await probed(box, tmp_path, "--max-jobs", "0")
        assert not box.book.debits
    assert done.returncode == 0
    assert found["Which forms do errors have?"][0] == "confirmed"


def _secretive() -> Scenario:
    words = f"no access for karl@example.org with {CANARY} at /home/karl/x.py"
    return quick(
        Fault(on="fetch", kind="edge", status=502, body=f"<p>{words}</p>"),
        echo_key=True,
        failure_probability=1,
        failure_message=words,
    )


@pytest.mark.anyio
async def test_nothing_secret_is_in_its_report_and_recordings(tmp_path: Path) -> None:
    async with Sandbox(_secretive(), key=CANARY) as box:
        done = await against(box, tmp_path, "probe", "--record", "r.jsonl")
    shown = done.stdout + _recordings(tmp_path) + (tmp_path / "r.jsonl").read_text()
    assert "no access for" in shown
    for secret in (CANARY, CANARY[4:18], "karl", "999.9", "calm piano", "127.0.0.1"):
        assert secret not in shown
    assert CANARY not in done.stderr
    assert done.returncode == 8


@pytest.mark.anyio
async def test_its_recording_can_be_replayed(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        await against(box, tmp_path, "probe", "--record", "r.jsonl")
    async with Sandbox(replay=tmp_path / "r.jsonl") as box, client_of(box) as client:
        saved: Any = await client.generate(MusicGen("waltz"), to=tmp_path / "again.wav")
    assert saved.size
