"""Webhooks on the command line: a batch that is told, and a receiver for one that does not run."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelslab_async.sandbox import Sandbox, Scenario
from modelslab_async.webhooks import WebhookReceiver

from ..support.manifests import last_line, manifest
from ..support.quick import free_port
from ..support.schemas import check
from .test_cli import against, command, wavs
from .test_stopping import running, until

pytestmark = pytest.mark.anyio

HOUR = Scenario(generation_seconds=3600, eta="int")
"""Whoever is not told when such a job ends does not ask within a test."""
NO_ANSWER = Scenario(mode="sync", generation_seconds=3600)


def door(port: int) -> list[str]:
    return ["--webhook-url", f"http://127.0.0.1:{port}", "--webhook-port", str(port)]


def listener(port: int) -> list[str]:
    return ["--public-url", f"http://127.0.0.1:{port}", "--port", str(port)]


def fetches(box: Sandbox) -> int:
    return box.book.count(path_prefix="/api/v6/voice/fetch")


def tokens(box: Sandbox) -> set[str]:
    """What proves a webhook, of each that the sandbox was given."""
    return {str(job.webhook).rpartition("/")[2] for job in box.book.jobs.values()}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


async def killed_before_an_answer(box: Sandbox, tmp_path: Path, port: int) -> None:
    """Leave a batch of one row whose job is paid for and whose id nobody knows."""
    rows = manifest(tmp_path, "waltz")
    async with running(box, tmp_path, "batch", rows, "-o", "out", *door(port)) as cli:
        await until(lambda: box.book.debits)
        cli.send(signal.SIGKILL)
        await cli.ended()


async def test_a_batch_is_told_of_its_jobs_and_asks_once_for_each(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz", "raga", "techno")
    async with (
        Sandbox(HOUR) as box,
        running(box, tmp_path, "batch", rows, "-o", "out", "-vv", *door(free_port())) as cli,
    ):
        await cli.says("accepted", times=3)
        box.advance(3600)
        code, output = await cli.ended()
        assert code == 0, cli.said
        assert (fetches(box), len(output.split())) == (3, 3)
        assert [delivery.status for delivery in box.book.webhooks] == [200] * 3
        secret = tmp_path / "out/webhook.secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        told = [cli.said, output, (tmp_path / "out/results.jsonl").read_text()]
        assert len(tokens(box)) == 3
        for word in (*tokens(box), secret.read_text().strip()):
            assert not any(word in text for text in told)
            assert word.encode() not in (tmp_path / "out/ledger.sqlite3").read_bytes()


async def test_a_delivery_taken_while_the_batch_is_dead_finds_the_job_of_a_lost_answer(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with Sandbox(NO_ANSWER) as box:
        await killed_before_an_answer(box, tmp_path, port)
        async with running(box, tmp_path, "webhook", "out", "-vv", *listener(port)) as cli:
            await cli.says("listening on 127.0.0.1")
            box.advance(3600)
            await box.delivered()
            cli.send(signal.SIGINT)
            code, output = await cli.ended()
        [job] = box.book.jobs.values()
        assert (code, output) == (130, f"{job.track_id}: success, job {job.id}\n")
        assert not any(token in cli.said for token in tokens(box))
        done = await against(box, tmp_path, "resume", "out", *door(port))
        assert (done.returncode, done.stdout) == (0, "out/00001-waltz.wav\n"), done.stderr
        assert (len(box.book.debits), wavs(tmp_path)) == (1, ["00001-waltz.wav"])


async def test_with_json_a_delivery_is_an_event_of_one_line(tmp_path: Path) -> None:
    port = free_port()
    async with Sandbox(NO_ANSWER) as box:
        await killed_before_an_answer(box, tmp_path, port)
        async with running(box, tmp_path, "webhook", "out", "--json", *listener(port)) as cli:
            await until(lambda: can_connect(port))
            box.advance(3600)
            await box.delivered()
            cli.send(signal.SIGINT)
            event = json.loads((await cli.ended())[1])
        [job] = box.book.jobs.values()
        assert (event["schema_version"], event["event"]) == (1, "delivery")
        assert (event["track_id"], event["job_id"]) == (str(job.track_id), str(job.id))
        check(event, "delivery")
        assert event["status"] == "success"


async def test_a_key_that_the_server_repeats_is_neither_shown_nor_kept(tmp_path: Path) -> None:
    port, key = free_port(), "a-key-of-nobody-0123456789-tail"
    told = Scenario(
        mode="sync", generation_seconds=3600, failure_probability=1, failure_message=f"bad: {key}"
    )
    async with Sandbox(told, key=key) as box:
        await killed_before_an_answer(box, tmp_path, port)
        async with running(box, tmp_path, "webhook", "out", *listener(port)) as cli:
            await until(lambda: can_connect(port))
            box.advance(3600)
            await box.delivered()
            cli.send(signal.SIGINT)
            said = (await cli.ended())[1]
    assert ": failed, job 310815: bad: ***" in said
    assert key.encode() not in (tmp_path / "out/webhooks.sqlite3").read_bytes()


def can_connect(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


async def test_a_limited_batch_says_how_to_go_on_being_told(tmp_path: Path) -> None:
    port = free_port()
    async with Sandbox(Scenario(mode="sync", generation_seconds=0)) as box:
        rows = manifest(tmp_path, "waltz", "raga")
        limited = [*door(port), "--max-jobs-total", "1"]
        done = await against(box, tmp_path, "batch", rows, "-o", "out", *limited)
        assert done.returncode == 9, done.stderr
        assert last_line(done.stderr).endswith(
            f"--webhook-url http://127.0.0.1:{port} --webhook-port {port}"
        )


async def test_a_secret_of_the_environment_is_used_and_written_nowhere(tmp_path: Path) -> None:
    secret, port = "a secret of sixteen bytes", free_port()
    async with Sandbox(Scenario(generation_seconds=0)) as box:
        rows = manifest(tmp_path, "waltz")
        arguments = ["batch", rows, "-o", "out", *door(port)]
        done = await against(box, tmp_path, *arguments, MODELSLAB_ASYNC_WEBHOOK_SECRET=secret)
        assert done.returncode == 0, done.stderr
        [job] = box.book.jobs.values()
        signer = WebhookReceiver(secret, f"http://127.0.0.1:{port}")
        assert job.webhook == signer.url_for(str(job.track_id))
        assert not (tmp_path / "out/webhook.secret").exists()


async def test_code_1_and_nothing_is_sent_when_the_port_is_in_use(
    tmp_path: Path, taken: int
) -> None:
    async with Sandbox() as box:
        batch = ["batch", manifest(tmp_path, "waltz"), "-o", "out", *door(taken)]
        for arguments in (batch, ["webhook", "out", *listener(taken)]):
            done = await against(box, tmp_path, *arguments)
            assert done.returncode == 1
            assert f"cannot listen for webhooks on 127.0.0.1 port {taken}" in done.stderr
            assert "Traceback" not in done.stderr
        assert box.book.requests == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["batch", "rows.jsonl", "--webhook-port", "8787"], "--webhook-url"),
        (["batch", "rows.jsonl", "--webhook-url", "http://music.example.com"], "https://"),
        (["webhook", "out"], "--public-url"),
    ],
    ids=["no url", "not encrypted", "no public url"],
)
def test_code_2_for_wrong_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    manifest(tmp_path, "waltz")
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr


async def test_code_2_for_a_secret_that_is_too_short(tmp_path: Path) -> None:
    command(tmp_path, "batch", manifest(tmp_path, "waltz"), "-o", "out", "--sandbox")
    (tmp_path / "out/webhook.secret").write_text("short\n")
    done = command(tmp_path, "webhook", "out", *listener(free_port()))
    assert done.returncode == 2
    assert "fewer than 16 bytes" in done.stderr
    assert "short\n" not in done.stderr


def test_code_5_where_there_is_no_batch(tmp_path: Path) -> None:
    done = command(tmp_path, "webhook", "nowhere", *listener(free_port()))
    assert done.returncode == 5
    assert "there is no batch in nowhere" in done.stderr
