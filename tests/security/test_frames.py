"""T43: while a request is sent, and after it failed, no frame shows the key, a token or the clip.

A crash reporter takes the locals of every frame, and a debugger those of every task.
"""

from __future__ import annotations

import asyncio
import base64
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from modelslab_async import ModelsLab, ModelsLabError, MusicGen, PollPolicy
from modelslab_async.webhooks import WebhookReceiver

from ..support.tracks import says, silence, wav

pytestmark = pytest.mark.anyio

KEY = "canary-7Qw9-Zx31-kLmN-0pRs-tUvW-xYzA-5b6c"
CLIP = wav(50_000) + silence(6 * 2**20)
HEAD = base64.b64encode(CLIP[:60]).decode()[:60]


class Stuck:
    """An API that takes the head of a submit and, for as long as it is told to, no more."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.has_begun = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def __aenter__(self) -> Stuck:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**12)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.goes_on.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        self.has_begun.set()
        await self.goes_on.wait()
        if self._answer is not None:
            writer.write(self._answer)
        writer.close()


def frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Every frame of a task, down to what it waits for."""
    step: Any = task.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "ag_frame", None)
        if frame is not None:
            yield frame
        step = getattr(step, "cr_await", None) or getattr(step, "ag_await", None)


def shown_by_tasks() -> str:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    found = [frame for task in others for frame in frames(task)]
    return "\n".join(repr(value) for frame in found for value in frame.f_locals.values())


def all_of(error: BaseException) -> str:
    """Its text, and the locals of all its frames but the test's own."""
    assert error.__traceback__ is not None
    error = error.with_traceback(error.__traceback__.tb_next)
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format()) + repr(vars(error))


def secrets_in(text: str, token: str) -> list[str]:
    return [secret for secret in (KEY, KEY[:12], token, HEAD) if secret in text]


@pytest.mark.parametrize("answer", [None, says(b"no", status="413 Too Large"), b"garbage\r\n\r\n"])
async def test_t43_a_large_upload_shows_nothing_while_it_waits_and_when_it_fails(
    answer: bytes | None,
) -> None:
    receiver = WebhookReceiver("a secret of sixteen bytes", "https://me.example/hooks")
    request = MusicGen("quiet", init_audio=CLIP, track_id=7, unchecked=True)
    token = receiver.url_for(7).rpartition("/")[2]
    async with Stuck(answer) as api:
        brief = PollPolicy(patience=0.05)
        settings: dict[str, Any] = {"base_url": api.url, "webhook": receiver, "poll": brief}
        async with ModelsLab(KEY, submit_timeout=20, **settings) as client:
            task = asyncio.ensure_future(client.submit(request))
            await api.has_begun.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            shown = shown_by_tasks()
            assert "_KeyedPayload" in shown  # the request is on its way
            assert secrets_in(shown, token) == []
            api.goes_on.set()
            with pytest.raises(ModelsLabError) as caught:
                await task
    assert secrets_in(all_of(caught.value), token) == []


async def test_t43_a_cancelled_upload_shows_nothing() -> None:
    async with (
        Stuck(None) as api,
        ModelsLab(KEY, base_url=api.url, submit_timeout=20) as client,
    ):
        request = MusicGen("quiet", init_audio=CLIP, unchecked=True)
        task = asyncio.ensure_future(client.submit(request))
        await api.has_begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert secrets_in(shown_by_tasks(), KEY) == []
        api.goes_on.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert secrets_in(all_of(caught.value), KEY) == []


async def test_a_frame_that_holds_a_key_would_be_seen() -> None:
    async def careless(key: str) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    task = asyncio.ensure_future(careless(KEY))
    await asyncio.sleep(0)
    assert secrets_in(shown_by_tasks(), KEY) == [KEY, KEY[:12], KEY]
    await task
