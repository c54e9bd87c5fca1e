"""A session from the caller's side: opening, closing, many jobs, handles, and what is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelslab_async import (
    AuthenticationError,
    ConfigurationError,
    DownloadError,
    DownloadPolicy,
    Generation,
    JobStatus,
    JobTimeout,
    ModelsLab,
    MusicGen,
    Network,
    PollPolicy,
    RemoteFile,
    RequestError,
    UnexpectedReply,
)
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.quick import client_of

QUICK = Scenario(generation_seconds=0.02, eta="float")
SHORT = MusicGen("rock music from the 90s", max_new_token=256)


# --- settings ---------------------------------------------------------------------------------


def test_without_a_key_the_error_says_where_to_put_one() -> None:
    with pytest.raises(ConfigurationError, match="set MODELSLAB_API_KEY"):
        ModelsLab()


@pytest.mark.anyio
async def test_every_connection_is_waited_for_as_long_as_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, float | None] = {}
    request = aiohttp.ClientSession._request

    async def noted(self: Any, method: str, url: Any, **more: Any) -> Any:
        asked[method] = more["timeout"].sock_connect
        return await request(self, method, url, **more)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", noted)
    async with Sandbox(QUICK) as box, client_of(box, network=Network(connect_timeout=7)) as client:
        await client.generate(SHORT, to=tmp_path / "short.wav")
    assert asked == {"POST": 7, "GET": 7}
    with pytest.raises(ConfigurationError, match="connect_timeout is 0, but must be more than 0"):
        Network(connect_timeout=0)


@pytest.mark.parametrize("name", ["MODELSLAB_API_KEY", "MODELS_LAB_API_KEY"])
def test_the_key_comes_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "a-key-of-the-environment")
    assert "modelslab.com" in repr(ModelsLab())


def test_the_origin_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSLAB_BASE_URL", "http://127.0.0.1:8080")
    assert "http://127.0.0.1:8080" in repr(ModelsLab("some-long-key"))


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "http://modelslab.com"},
        {"base_url": "https://modelslab.com/api/v6"},
        {"base_url": "modelslab.com"},
        {"max_jobs": 0},
        {"max_jobs": 2.5},
        {"max_jobs": "5"},
        {"max_downloads": 0},
        {"timeout": 0},
        {"timeout": "5"},
        {"submit_timeout": -1},
        {"api_key": "two words"},
        {"api_key": "schlüssel"},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_used_is_refused_at_once(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ModelsLab(**{"api_key": "some-long-key", **settings})  # type: ignore[arg-type]


def test_a_policy_that_cannot_be_followed_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="min_interval is 0, but must be more than 0"):
        PollPolicy(min_interval=0)


# --- opening and closing ----------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_client_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(ConfigurationError, match="async with ModelsLab"):
        await ModelsLab("some-long-key").balance()


@pytest.mark.anyio
async def test_a_client_is_not_opened_twice_at_once() -> None:
    client = ModelsLab("some-long-key")
    async with client:
        with pytest.raises(ConfigurationError, match="already open"):
            await client.__aenter__()


def test_one_client_serves_consecutive_event_loops() -> None:
    async def balance(client: ModelsLab) -> float:
        async with client:
            return (await client.balance()).amount

    async def both() -> None:
        async with Sandbox() as box:
            client = client_of(box)
            assert await asyncio.to_thread(asyncio.run, balance(client)) == 1000
            assert await asyncio.to_thread(asyncio.run, balance(client)) == 1000

    asyncio.run(both())


@pytest.mark.anyio
async def test_x20_an_open_client_is_refused_on_another_loop() -> None:
    async def use(client: ModelsLab) -> None:
        await client.balance()

    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, use(client))


@pytest.mark.anyio
async def test_leaving_the_client_leaves_no_task_behind() -> None:
    scenario = Scenario(never_finishes=True)
    async with Sandbox(scenario=scenario) as box:
        before = asyncio.all_tasks()
        async with client_of(box) as client:
            await client.submit(SHORT)
            mine = asyncio.all_tasks() - before
            assert mine
        assert all(task.done() for task in mine)


@pytest.mark.anyio
async def test_whoever_waits_while_the_client_closes_is_told_that_the_job_goes_on() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box:
        async with client_of(box) as client:
            job = await client.submit(SHORT)
            waiting = asyncio.create_task(job.result())
            await asyncio.sleep(0)
        with pytest.raises(JobTimeout, match=f"resume with client.job\\('{job.id}'\\)"):
            await waiting


@pytest.mark.anyio
async def test_a_job_whose_client_was_closed_says_so_and_is_not_waited_for() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box:
        async with client_of(box) as client:
            job = await client.submit(SHORT)
            unasked = client.job(1)
        before = asyncio.all_tasks()
        for work in (job.result(), job.wait(), job.refresh(), unasked.result(), unasked.refresh()):
            with pytest.raises(
                ConfigurationError, match=r"is closed; the job keeps running"
            ) as caught:
                await work
            assert caught.value.job
        assert job.status is JobStatus.DETACHED
        assert asyncio.all_tasks() <= before


@pytest.mark.anyio
@pytest.mark.parametrize("enough", [1, 1024 * 1024], ids=["on disk", "in memory"])
async def test_a_download_that_is_going_on_while_the_client_closes_ends(
    enough: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelslab_async._engine.partfile._FLUSH_BYTES", enough)
    threads = set(threading.enumerate())
    stall = Fault(on="download", kind="stall_body", times=None)
    slow = Scenario(generation_seconds=0.02, eta="float", faults=(stall,))
    async with Sandbox(scenario=slow) as box:
        begun = asyncio.Event()
        patient = DownloadPolicy(timeout=60)
        async with client_of(box, download=patient) as client:
            made = await client.generate(SHORT)
            saving = asyncio.create_task(
                client.download(made, to=tmp_path, progress=lambda *_: begun.set())
            )
            await begun.wait()
        with pytest.raises(ConfigurationError, match="closed before the file was complete"):
            await saving
    assert not list(tmp_path.iterdir())
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("modelslab-files"):
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.anyio
async def test_leaving_before_a_queued_request_is_sent_sends_nothing_and_says_so() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box:
        async with client_of(box, max_jobs=1) as client:
            await client.submit(SHORT)
            queued = asyncio.create_task(client.submit(SHORT))
            await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="closed before this request was sent"):
            await queued
        assert len(box.book.debits) == 1


# --- the whole road ---------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_prompt_becomes_a_file(tmp_path: Path) -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        generation = await client.generate(SHORT)
        saved = await client.download(generation, to=tmp_path / "rock.wav")
        assert saved.path.read_bytes() == box.canonical(generation.id)
    assert (saved.seconds, saved.sample_rate, saved.integrity) == (5.06, 32000, "exact")
    assert [path.name for path in tmp_path.iterdir()] == ["rock.wav"]


@pytest.mark.anyio
async def test_a_hundred_prompts_at_once_keep_within_the_queue(tmp_path: Path) -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:

        async def one(number: int) -> Path:
            request = MusicGen(f"piece {number}", max_new_token=256, sampling_rate=10000)
            generation = await client.generate(request)
            return (await client.download(generation, to=tmp_path)).path

        paths = await asyncio.gather(*(one(number) for number in range(100)))
        assert len(set(paths)) == len(box.book.debits) == 100
        submits = box.book.count(host="api", path_prefix="/api/v6/voice/music_gen")
        assert submits == 100  # not one refusal was needed to find the pace


@pytest.mark.anyio
async def test_jobs_can_be_awaited_and_downloaded_as_they_are(tmp_path: Path) -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        job = await client.submit(SHORT)
        saved = await client.download(job, to=tmp_path)
        assert (await job).id == job.id == saved.path.stem
        assert await client.download_all(job, to=tmp_path) == [saved]


@pytest.mark.anyio
async def test_several_files_are_not_taken_for_one(tmp_path: Path) -> None:
    two = Generation(id="7", track_id=None, files=(RemoteFile(()), RemoteFile(())))
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(DownloadError, match="made 2 files; name one"):
            await client.download(two, to=tmp_path)


@pytest.mark.anyio
async def test_a_local_clip_is_sent_as_base64(tmp_path: Path) -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        first = await client.generate(SHORT)
        clip = (await client.download(first, to=tmp_path / "clip.wav")).path
        await client.generate(MusicGen("like this", init_audio=clip))
        fields = list(box.book.jobs.values())[-1].request
    assert fields["base64"] is True
    assert fields["init_audio"].startswith("UklGR")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "reason"), [("none.wav", "No such file"), ("a\0b", "embedded null byte")]
)
async def test_a_clip_that_is_not_there_is_said_before_anything_is_sent(
    name: str, reason: str, tmp_path: Path
) -> None:
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(RequestError, match=f"cannot be read: {reason}"):
            await client.submit(MusicGen("like this", init_audio=tmp_path / name))
        assert not box.book.requests


# --- handles ----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_handle_goes_on_in_another_client() -> None:
    async with Sandbox(scenario=Scenario(generation_seconds=0.1, eta="float")) as box:
        async with client_of(box) as client:
            text = (await client.submit(SHORT)).to_json()
        assert box.key not in text
        async with client_of(box) as client:
            assert (await client.job(text).result(timeout=5)).files
        assert len(box.book.debits) == 1


@pytest.mark.anyio
async def test_an_id_alone_goes_on_too() -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        job = await client.submit(SHORT)
        for handle in (job.id, int(job.id), f" {job.id}\n"):
            assert (await client.job(handle).result()).id == job.id


@pytest.mark.anyio
async def test_a_job_that_is_taken_up_again_is_asked_about_at_once() -> None:
    async with Sandbox(scenario=QUICK) as box:
        async with client_of(box) as client:
            made = await client.generate(SHORT)
        async with client_of(box, poll=PollPolicy(first=600)) as client:
            assert (await client.job(made.id).result(timeout=300)).files == made.files


@pytest.mark.anyio
async def test_a_job_that_came_without_an_id_is_known_by_its_links(tmp_path: Path) -> None:
    nameless = Fault(on="submit", kind="patch", without=("id",))
    scenario = Scenario(mode="sync", generation_seconds=0, faults=(nameless,))
    async with Sandbox(scenario=scenario) as box:
        async with client_of(box) as client:
            text = (await client.submit(SHORT)).to_json()
        async with client_of(box) as client:
            assert (await client.download(client.job(text), to=tmp_path)).size
        assert box.book.count("api") == 1


@pytest.mark.anyio
async def test_a_handle_cannot_lead_the_key_to_another_path() -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        job = await client.submit(SHORT)
        handle = json.loads(job.to_json()) | {"path": f"/api/wallet_balance/{job.id}"}
        with pytest.raises(RequestError):
            client.job(json.dumps(handle))
        paths = {record.path for record in box.book.requests if record.host == "api"}
    assert paths == {"/api/v6/voice/music_gen"}


# --- waiting ----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_timeout_is_no_loss_and_waiting_again_goes_on() -> None:
    async with Sandbox(scenario=Scenario(generation_seconds=5)) as box, client_of(box) as client:
        job = await client.submit(SHORT)
        with pytest.raises(JobTimeout) as caught:
            await job.result(timeout=0.05)
        assert caught.value.job == job.to_json()
        assert not caught.value.retryable  # the same generate again would be a second job
        box.advance(5)
        assert (await job.result()).files
        assert len(box.book.debits) == 1


@pytest.mark.anyio
async def test_a_job_that_succeeds_on_the_last_poll_is_not_a_timeout() -> None:
    patient = PollPolicy(first=60, min_interval=60, max_interval=60, rate=1000)
    scenario = Scenario(generation_seconds=0, eta="absent")
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=patient) as client:
        assert (await client.generate(SHORT, timeout=0.05)).polls == 1


@pytest.mark.anyio
async def test_updates_tell_of_each_poll_until_the_end() -> None:
    scenario = Scenario(polls_to_finish=3, eta="absent")
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        job = await client.submit(SHORT)
        seen = [(snapshot.status, snapshot.polls) async for snapshot in job.updates()]
    assert seen[0] == (JobStatus.PROCESSING, 0)
    assert seen[-1] == (JobStatus.SUCCESS, 3)
    assert repr(job).startswith(f"<Job {job.id} success, 3 polls, ")


@pytest.mark.anyio
async def test_a_refresh_asks_once() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box, client_of(box) as client:
        job = client.job((await client.submit(SHORT)).id)
        assert await job.refresh() is JobStatus.PROCESSING
        assert job.snapshot.polls == 1


@pytest.mark.anyio
async def test_unfinished_jobs_are_at_hand_until_they_end() -> None:
    scenario = Scenario(generation_seconds=5, eta="absent")
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        job = await client.submit(SHORT)
        assert client.jobs == (job,)
        box.advance(5)
        await job.result()
        assert not client.jobs


# --- the account ------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_balance_falls_by_what_a_job_costs() -> None:
    async with Sandbox(scenario=QUICK, balance=2.5) as box, client_of(box) as client:
        await client.generate(SHORT)
        balance = await client.balance()
    assert (balance.amount, balance.currency) == (2.49, "USD")


@pytest.mark.anyio
async def test_the_currency_of_a_balance_holds_no_terminal_control() -> None:
    data = {"status": "success", "data": {"balance": 1, "currency": "\x1b[2J"}}
    odd = Fault(on="balance", kind="answer", body=json.dumps(data))
    async with Sandbox(scenario=Scenario(faults=(odd,))) as box, client_of(box) as client:
        assert (await client.balance()).currency == r"\x1b[2J"


@pytest.mark.anyio
async def test_the_queue_depth_counts_unfinished_jobs() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box, client_of(box) as client:
        await client.submit(SHORT)
        assert await client.queue_depth() == 1


@pytest.mark.anyio
@pytest.mark.parametrize("body", ["[]", '{"status":"success"}', '{"status":"success","data":3}'])
async def test_an_account_answer_that_says_nothing_is_an_error(body: str) -> None:
    odd = tuple(Fault(on=on, kind="answer", body=body) for on in ("balance", "request_count"))
    async with Sandbox(scenario=Scenario(faults=odd)) as box, client_of(box) as client:
        with pytest.raises(UnexpectedReply, match="balance"):
            await client.balance()
        with pytest.raises(UnexpectedReply, match="queue depth"):
            await client.queue_depth()


@pytest.mark.anyio
async def test_a_wrong_key_is_an_authentication_error_that_says_what_to_check() -> None:
    async with Sandbox() as box, ModelsLab("not-the-key-at-all", base_url=box.url) as client:
        with pytest.raises(AuthenticationError, match="check the key") as caught:
            await client.balance()
        assert caught.value.status_code == 401


# --- the caller's own network -----------------------------------------------------------------


@pytest.mark.anyio
async def test_a_callers_own_connector_is_used_and_left_open(tmp_path: Path) -> None:
    async with Sandbox(scenario=QUICK) as box, aiohttp.TCPConnector() as connector:
        async with client_of(box, network=Network(connector=connector)) as client:
            await client.download(await client.generate(SHORT), to=tmp_path)
        assert not connector.closed


@pytest.mark.anyio
async def test_t08_no_proxy_is_shown_the_key_of_a_plain_http_origin() -> None:
    async with Sandbox() as box:
        client = ModelsLab(box.key, base_url=box.url, network=Network(proxy=box.url))
        with pytest.raises(ConfigurationError, match="could read the API key"):
            await client.__aenter__()
        assert box.book.requests == []
