"""A client's exchanges can be kept in a file, and a sandbox answers from it as was answered."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import (
    AuthenticationError,
    ConfigurationError,
    JobFailed,
    ModelsLabError,
    MusicGen,
    Network,
    SubmitUnknown,
)
from modelslab_async._engine.recording import Exchange, Recording
from modelslab_async.sandbox import Fault, RecordingError, Sandbox, Scenario

from ..support.batches import pieces, quick, run
from ..support.quick import client_of

pytestmark = pytest.mark.anyio
KEY = "sk-canary-0123456789abcdefghijkl"
PROMPT = "a tune that nobody may know of"
_INVALID = Fault(
    on="submit",
    kind="answer",
    accepted=False,
    status=401,
    body='{"status": "error", "message": "Invalid API key"}',
)
ECHO = f"failed: {PROMPT} for {KEY} at /home/karl/x by karl@example.org"


async def recorded(scenario: Scenario, file: Path, prompt: str = PROMPT, **settings: Any) -> str:
    """One track, or the attempt to make one; the recording of it."""
    async with (
        Sandbox(scenario, key=KEY) as box,
        client_of(box, record=file, **settings) as client,
    ):
        with suppress(ModelsLabError):
            await client.generate(MusicGen(prompt, track_id=4711), to=file.parent / "a.wav")
        await client.balance()
    return file.read_text()


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_a_recording_has_each_exchange_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "exchanges.jsonl"
    lines = lines_of(await recorded(quick(Fault(on="fetch", kind="reset")), file))
    assert lines[0] == {"modelslab_recording": 1}
    assert [(one["where"], one.get("status")) for one in lines[1:]] == [
        ("api", 200),
        ("api", None),
        ("api", 200),
        ("storage", 200),
        ("api", 200),
    ]
    assert lines[2]["problem"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "scenario",
    [
        quick(echo_key=True, failure_message=ECHO, failure_probability=1),
        quick(
            Fault(on="submit", kind="answer", accepted=False, status=500, body=f"<p>{ECHO}</p>"),
            echo_key=True,
        ),
        quick(Fault(on="fetch", kind="json", headers={"Server": KEY, "Retry-After": KEY})),
        quick(Fault(on="download", kind="redirect", location=f"https://x.example/?k={KEY}")),
    ],
)
async def test_nothing_secret_is_in_it(scenario: Scenario, tmp_path: Path) -> None:
    text = await recorded(scenario, tmp_path / "exchanges.jsonl")
    for secret in (KEY, KEY[5:20], PROMPT, "nobody may", "karl", "4711", "127.0.0.1", "999.9"):
        assert secret not in text
    assert "sent" in text


async def test_the_secret_of_a_webhook_is_not_in_it(tmp_path: Path) -> None:
    url = "https://hooks.example/in/Zm9vYmFyc2VjcmV0MTIzNDU2"
    async with (
        Sandbox(quick(echo_key=True), key=KEY) as box,
        client_of(box, record=tmp_path / "r.jsonl") as client,
    ):
        await client.submit(MusicGen("waltz", webhook=url))
    text = (tmp_path / "r.jsonl").read_text()
    assert "{link-1}" in text
    assert "hooks.example" not in text
    assert "Zm9vYmFyc2VjcmV0" not in text


async def test_an_existing_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    async with Sandbox() as box:
        with pytest.raises(ConfigurationError, match="name a new file"):
            await client_of(box, record=file).open()
        assert not box.book.requests
    assert file.read_text() == "mine"


async def test_a_client_that_cannot_open_leaves_no_file_behind(tmp_path: Path) -> None:
    async with Sandbox() as box:
        client = client_of(
            box, record=tmp_path / "r.jsonl", network=Network(proxy="http://proxy.example:1")
        )
        with pytest.raises(ConfigurationError, match="proxy"):
            await client.open()
    assert not (tmp_path / "r.jsonl").exists()


async def test_a_recording_whose_disk_is_full_costs_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    recording = Recording(tmp_path / "r.jsonl", "https://x.example", lambda data: data)
    fd = os.open("/dev/full", os.O_WRONLY)
    os.dup2(fd, recording._file)
    os.close(fd)
    for _ in range(3):
        recording.add(Exchange(where="api", method="POST", target="/api/v6/x", status=200))
    recording.close()
    assert caplog.text.count("it ends here") == 1


async def test_a_sandbox_replays_a_job_to_its_file(tmp_path: Path) -> None:
    file = tmp_path / "exchanges.jsonl"
    await recorded(quick(Fault(on="fetch", kind="edge", status=502), output="list"), file)
    async with Sandbox(replay=file) as box, client_of(box) as client:
        job = await client.submit(MusicGen("another prompt", track_id="mine-1"))
        saved = await client.download(job, tmp_path / "again")
        assert saved.seconds == 2.0
        assert job.id == str(lines_of(file.read_text())[1]["body"]["id"])
        assert box.book.count("api", "/api/v6/voice/fetch") == 2  # the 502, too, was answered
        assert [job for job, _ in box.book.debits] == [int(job.id)]


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        (quick(failure_probability=1, failure_message=ECHO), JobFailed),
        (quick(Fault(on="submit", kind="reset")), SubmitUnknown),
        (quick(_INVALID), AuthenticationError),
    ],
)
async def test_an_error_is_replayed_as_the_same_error(
    scenario: Scenario, error: type[ModelsLabError], tmp_path: Path
) -> None:
    await recorded(scenario, tmp_path / "r.jsonl")
    async with Sandbox(replay=tmp_path / "r.jsonl") as box, client_of(box) as client:
        with pytest.raises(error):
            await client.generate("waltz")
        submits = box.book.count("api", "/api/v6/voice/music_gen")
    assert submits == 1


async def test_a_batch_is_replayed_and_one_submit_more_is_refused(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box, record=tmp_path / "r.jsonl") as client:
        await run(client, pieces(3), tmp_path / "first")
    async with Sandbox(replay=tmp_path / "r.jsonl") as box, client_of(box) as client:
        outcomes = await run(client, pieces(4), tmp_path / "second")
        assert len(box.book.debits) == 3
    assert sorted(type(one).__name__ for one in outcomes) == ["Failed", *["Succeeded"] * 3]


async def test_a_replay_does_not_wait_as_long_as_the_user_did(tmp_path: Path) -> None:
    """The other limits are as in production: with an hour's ETA the job would time out."""
    lines = lines_of(await recorded(quick(), tmp_path / "r.jsonl"))
    for eta in (3600, 3600.0, "3600"):
        lines[1]["body"]["eta"] = eta
        (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
        async with (
            Sandbox(replay=tmp_path / "r.jsonl") as box,
            client_of(box, timeout=20) as client,
        ):
            assert (await client.generate("waltz")).polls == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no recording"),
        ("{}", "no recording"),
        ("nonsense\n", "no recording"),
        ('{"modelslab_recording": 99}', "another format"),
    ],
)
async def test_what_is_no_recording_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(RecordingError, match=why):
        Sandbox(replay=tmp_path / "r.jsonl")


async def test_a_recording_cannot_send_a_client_anywhere_else(tmp_path: Path) -> None:
    """It comes with a stranger's bug report."""
    hostile = {
        "at": 0,
        "where": "api",
        "target": "/api/v6/voice/music_gen",
        "status": 200,
        "headers": {"content-type": "a\r\nX-Evil: 1", "x-evil": "1"},
        "body": {"status": "success", "id": 1, "output": ["{link-9}"]},
        "links": {"link-9": {"host": "x", "ending": "/../../etc/passwd"}},
    }
    text = json.dumps({"modelslab_recording": 1}) + "\n" + json.dumps(hostile) + "\n{half a li"
    (tmp_path / "r.jsonl").write_text(text)
    async with Sandbox(replay=tmp_path / "r.jsonl") as box, client_of(box) as client:
        generation = await client.generate("waltz")
        (url,) = generation.files[0].urls
        assert url.startswith(f"{box.storage_url}/replay/9")
        saved = await client.download(generation, tmp_path / "x.wav")
    assert saved.path == tmp_path / "x.wav"
