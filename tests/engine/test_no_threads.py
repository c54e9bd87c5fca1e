"""Containers and users have limits of threads: nothing that is paid for is lost to them (X25)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelslab_async import LedgerError, ModelsLab, MusicGen, Succeeded
from modelslab_async._cli.signals import run
from modelslab_async._engine.aio import in_thread
from modelslab_async._engine.storage import LinkFailed

from ..support.quick import POLL
from ..support.tracks import QUICK, Host, says, wav
from .test_storage import at_home

WHOLE = wav(2000)


class Api(Host):
    """Accepts each request, and has its file at once."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self._ids = itertools.count(101)
        self.submits = 0

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        path = self.asked[-1].split(" ")[1]
        if path == MusicGen.ENDPOINT:
            self.submits += 1
            writer.write(self._says(status="processing", id=next(self._ids), eta=0.01))
        elif "/fetch/" in path:
            job = path.rpartition("/")[2]
            writer.write(self._says(status="success", id=job, output=[f"{self.url}/{job}.wav"]))
        else:
            writer.write(says(WHOLE))

    @staticmethod
    def _says(**fields: object) -> bytes:
        return says(json.dumps(fields).encode(), "Content-Type: application/json")

    def client(self) -> ModelsLab:
        return ModelsLab("k" * 20, base_url=self.url, poll=POLL, download=QUICK)


@contextlib.contextmanager
def may_start(number: int) -> Iterator[None]:
    """Meanwhile, only so many more threads can be started."""
    start, left = threading.Thread.start, itertools.repeat(True, number)

    def counted(thread: threading.Thread) -> None:
        if not next(left, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", counted)
        yield


@pytest.mark.anyio
@pytest.mark.parametrize("threads", [0, 1])
async def test_x25_a_paid_file_is_written_without_a_thread(threads: int, tmp_path: Path) -> None:
    async with Api() as api, api.client() as client:
        with may_start(threads):
            generation = await client.generate(MusicGen("rain"))
            saved = await client.download(generation, to=tmp_path)
    assert saved.path.read_bytes() == WHOLE


@pytest.mark.anyio
@pytest.mark.parametrize("threads", [1, 2, 3])
async def test_x25_a_batch_does_with_the_threads_that_it_gets(threads: int, tmp_path: Path) -> None:
    async with Api() as api, api.client() as client:
        prompts = [MusicGen(f"rain {number}") for number in range(6)]
        with may_start(threads):
            async with client.batch(prompts, directory=tmp_path / "out") as outcomes:
                assert {type(outcome) async for outcome in outcomes} == {Succeeded}
        assert api.submits == 6
    assert len(list((tmp_path / "out").glob("*.wav"))) == 6


@pytest.mark.anyio
async def test_x25_a_ledger_without_a_thread_is_refused_before_payment(tmp_path: Path) -> None:
    async with Api() as api, api.client() as client:
        with may_start(0), pytest.raises(LedgerError, match="nothing was sent"):
            async with client.batch([MusicGen("rain")], directory=tmp_path / "out") as outcomes:
                [outcome async for outcome in outcomes]
        assert api.submits == 0


@pytest.mark.anyio
async def test_x25_a_name_that_no_thread_looks_up_is_tried_again() -> None:
    async with Host(says(WHOLE)) as host, at_home() as storage:
        with may_start(0), pytest.raises(LinkFailed, match="no thread left"):
            async with storage.get(f"http://localhost:{host.port}/a.wav"):
                raise AssertionError("nothing looked the name up")
        assert host.accepted == 0


@pytest.mark.anyio
async def test_x25_what_a_pool_keeps_without_a_thread_for_it_is_done_once() -> None:
    begun, go_on = threading.Event(), threading.Event()
    calls = itertools.count(1)

    def held() -> None:
        begun.set()
        go_on.wait()

    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(held)
        begun.wait()
        with may_start(0):
            assert await in_thread(lambda: next(calls), pool) == 1
            with pytest.raises(ZeroDivisionError):
                await in_thread(lambda: 1 // 0, pool)
        go_on.set()
        busy.result()
    assert next(calls) == 2


@pytest.mark.anyio
async def test_a_closed_pool_is_an_error_and_no_lack_of_threads() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        await in_thread(lambda: None, pool)


def test_x25_a_command_that_has_ended_needs_no_thread_to_end() -> None:
    with contextlib.ExitStack() as limits:

        async def work() -> int:
            await in_thread(lambda: None)
            limits.enter_context(may_start(0))
            return 8

        assert run(work()) == 8


def test_x25_a_command_that_fails_for_lack_of_a_thread_still_fails() -> None:
    async def work() -> int:
        with may_start(0):
            threading.Thread(target=print).start()
        return 0

    with pytest.raises(RuntimeError, match="new thread"):
        run(work())
