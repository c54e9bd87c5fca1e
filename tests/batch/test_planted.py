"""What only a planted bug showed to be untested (see `tests.mutants`)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from modelslab_async import DownloadPolicy, LedgerError, ModelsLab, OutputLost, RemoteFile
from modelslab_async._engine.aio import in_thread, wait_shielded
from modelslab_async._engine.http import KeyedTransport, Network, NoResponse, Response
from modelslab_async._engine.job import Job
from modelslab_async._engine.prepare import Submission
from modelslab_async._engine.queue import slots_of
from modelslab_async._engine.secret import Secret
from modelslab_async._engine.storage import LinkFailed, Storage
from modelslab_async._engine.submit import SubmitResult
from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.webhooks import SqliteInbox
from modelslab_async.webhooks._signing import Signer

from ..support.doors import receiver_of, target_of
from ..support.quick import client_of
from ..support.tracks import QUICK, SHORT, Host, done, downloader, says, track, wav

pytestmark = pytest.mark.anyio

KEY = "canary-7Qw9-Zx31-kLmN-0pRs-tUvW-xYzA-5b6c"
WHOLE = wav()
PUBLIC = "93.184.216.34"


# --- the answer to a submit ---------------------------------------------------------------------


class SlowJournal:
    """Takes a submit's answer, and is not done writing it down until it is let."""

    def __init__(self) -> None:
        self.writing = anyio.Event()
        self.may_end = anyio.Event()

    async def intent(self, submission: Submission, attempt: int) -> None:
        """That is on disk at once."""

    async def answer(self, answer: SubmitResult) -> SubmitResult:
        self.writing.set()
        await self.may_end.wait()
        return answer


class FullDisk(SlowJournal):
    async def intent(self, submission: Submission, attempt: int) -> None:
        raise LedgerError("the disk is full")


async def submitted(client: ModelsLab, journal: SlowJournal) -> Job:
    session = client._session
    return await session.submitter.submit(await session.prepare(SHORT, 4711), journal)


async def test_l03_a_job_is_asked_about_when_its_id_is_on_disk() -> None:
    journal = SlowJournal()
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box, client_of(box) as client:
        task = asyncio.create_task(submitted(client, journal))
        await journal.writing.wait()
        await anyio.wait_all_tasks_blocked()
        assert not task.done()
        assert client.jobs == ()
        journal.may_end.set()
        assert [(await task).id] == [str(job_id) for job_id in box.book.jobs]


async def test_a_submit_whose_journal_fails_gives_its_place_back() -> None:
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(LedgerError, match="the disk is full"):
            await submitted(client, FullDisk())
        assert slots_of((box.url, Secret(box.key).fingerprint)).taken == 0
        assert not box.book.requests


async def test_x02_who_is_cancelled_while_his_job_runs_is_given_the_job() -> None:
    endless = Scenario(never_finishes=True, eta="absent")
    async with Sandbox(scenario=endless) as box, client_of(box) as client:
        task = asyncio.create_task(client.generate(SHORT))
        while not box.book.count("api", "/api/v6/voice/fetch"):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        (job_id,) = map(str, box.book.jobs)
        handle: str = caught.value.job  # type: ignore[attr-defined]
        assert client.job(handle).id == job_id
        assert f"client.job({job_id!r})" in caught.value.__notes__[0]


async def test_clients_of_one_account_have_the_same_slots() -> None:
    account = ("https://modelslab.com", Secret(KEY).fingerprint)
    assert slots_of(account) is slots_of(account)


async def test_x01_a_scope_that_is_cancelled_does_not_spin_while_an_answer_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[object] = []
    wait = asyncio.wait

    async def counted(futures: Any) -> Any:
        waits.append(futures)
        return await wait(futures)

    monkeypatch.setattr(asyncio, "wait", counted)
    answer = asyncio.get_running_loop().create_future()
    with anyio.CancelScope() as scope:
        scope.cancel()
        asyncio.get_running_loop().create_task(_after_turns(100, answer))
        await wait_shielded(answer)
    assert len(waits) < 4  # and not once for each of the hundred turns


async def test_d32_a_cancelled_caller_leaves_when_his_thread_has_ended() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        may_end.wait()

    task = asyncio.create_task(in_thread(write))
    while not begun.is_set():
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    left_early = task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not left_early


async def _after_turns(count: int, answer: asyncio.Future[None]) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
    answer.set_result(None)


# --- the wire to the API ------------------------------------------------------------------------


@asynccontextmanager
async def keyed(host: Host) -> AsyncIterator[KeyedTransport]:
    async with KeyedTransport(Secret(KEY), host.url, Network()) as transport:
        yield transport


async def test_t17_the_key_is_in_no_url_and_no_header() -> None:
    async with Host(says(b"{}")) as host, keyed(host) as transport:
        answer = await transport.post("/api/wallet_balance", {}, timeout=5)
        assert isinstance(answer, Response)
        assert "POST /api/wallet_balance HTTP" in host.asked[0]
        assert KEY not in host.asked[0]


async def test_t11_an_answer_without_end_is_cut_by_its_size() -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(200):
            writer.write(bytes(2**16))
            await writer.drain()

    async with Host(pour) as host, keyed(host) as transport:
        answer = await transport.post("/x", {}, timeout=20)
    assert answer == NoResponse("the response is over 4 MiB", sent=True)


async def test_s16_an_answer_that_drips_ends_with_the_time_for_all_of_it() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with Host(drip) as host, keyed(host) as transport:
        answer = await transport.post("/x", {}, timeout=0.2)
    assert isinstance(answer, NoResponse)
    assert (answer.sent, answer.timed_out) == (True, True)


# --- the wire to the files ----------------------------------------------------------------------


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Each question for a name is answered with the next address, the last for ever."""
    left = list(addresses)

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def test_t06_a_client_connects_to_no_name_that_leads_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Host(says(WHOLE)) as tripwire:
        resolving(monkeypatch, "127.0.0.1")
        brief = DownloadPolicy(patience=0.0, timeout=0.5)
        async with ModelsLab(KEY, base_url="https://modelslab.com", download=brief) as client:
            link = f"https://cdn.example.com:{tripwire.port}/a.wav"
            with pytest.raises(OutputLost, match="may not be connected to"):
                await client.download(RemoteFile((link,)), f"{tmp_path}/")
        assert tripwire.accepted == 0


async def test_d09_a_resolver_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(*_: Any, **__: Any) -> list[Any]:
        await asyncio.sleep(2)
        raise OSError("nobody knows that name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    policy = DownloadPolicy(timeout=0.05)
    async with Storage(Network(), policy, allow_loopback=False) as storage:
        with pytest.raises(LinkFailed, match="within the time allowed"):
            async with storage.get("https://cdn.example.com/a.wav"):
                pass


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_t06_a_name_that_leads_inside_later_is_not_connected_to(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def refuse(_: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
    resolving(monkeypatch, *[PUBLIC] * before, "127.0.0.1")
    async with Storage(Network(), QUICK, allow_loopback=False) as storage:
        with pytest.raises(LinkFailed):
            async with storage.get("https://cdn.example.com/a.wav"):
                pass
    assert set(tried) <= {PUBLIC}


async def test_t31_a_cookie_of_a_host_with_a_name_is_not_kept() -> None:
    answer = says(WHOLE, "Set-Cookie: c=d; Path=/")
    async with Host(answer) as host, Storage(Network(), QUICK, allow_loopback=True) as storage:
        for _ in range(2):
            async with storage.get(f"http://localhost:{host.port}/a.wav"):
                pass
        assert [host.header("cookie", request) for request in range(2)] == [None, None]


async def test_d03_a_cut_file_that_cannot_say_so_itself_is_not_published(tmp_path: Path) -> None:
    cut = Fault(on="download", kind="cut_body", host="primary")
    async with track(tmp_path, done(cut, wav="streaming_size")) as it:
        saved = await it.save()
        assert saved.source_sha256 == hashlib.sha256(it.whole).hexdigest()


HALF = len(WHOLE) // 2
CUT = says(WHOLE[:HALF], 'ETag: "one"', length=len(WHOLE))


async def test_d30_a_part_from_another_place_is_not_spliced_in(tmp_path: Path) -> None:
    again = f"Content-Range: bytes 0-{HALF - 1}/{len(WHOLE)}"
    first_half = says(WHOLE[:HALF], 'ETag: "one"', again, status="206 Partial Content")
    async with Host(CUT, first_half, says(WHOLE)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert saved.path.read_bytes() == WHOLE


async def test_d39_a_tag_of_one_host_is_no_tag_of_another(tmp_path: Path) -> None:
    gone = says(b"", status="404 Not Found")
    other = wav(seed=1)
    async with (
        Host(CUT, gone) as first,
        Host(says(other, 'ETag: "one"')) as mirror,
        downloader(QUICK) as client,
    ):
        saved = await client.download(RemoteFile((first.url, mirror.url)), f"{tmp_path}/")
        assert saved.path.read_bytes() == other
        assert mirror.header("range") is None


async def test_d22_a_link_that_comes_whole_but_too_slowly_gives_way_to_the_next(
    tmp_path: Path,
) -> None:
    slow, other = says(wav(3000)), wav(3000, seed=1)

    async def drip(writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(slow), 20):
            writer.write(slow[start : start + 20])
            await writer.drain()
            await asyncio.sleep(0.005)

    policy = evolve(QUICK, timeout=0.3, min_rate=5000.0)
    async with Host(drip) as first, Host(says(other)) as mirror, downloader(policy) as client:
        saved = await client.download(RemoteFile((first.url, mirror.url)), f"{tmp_path}/")
        assert saved.path.read_bytes() == other


# --- what is kept, and what is compared ---------------------------------------------------------


async def test_l03_a_delivery_outlives_a_power_loss(tmp_path: Path) -> None:
    async with SqliteInbox(tmp_path / "inbox.sqlite3") as inbox:
        receiver = receiver_of(inbox=inbox)
        assert await receiver.deliver(target_of(receiver, 5), b'{"status":"success","id":7}') == 200
        assert inbox._db is not None
        assert inbox._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_t21_nothing_secret_is_compared_but_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signer = Signer("a secret that only tests share")
    path = signer.path(5)
    assert signer.track_id(path.replace("%2F", "/")) == "5"
    assert Secret(KEY) == Secret(KEY)
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: False)
    assert signer.track_id(path) is None
    assert Secret(KEY) != Secret(KEY)
