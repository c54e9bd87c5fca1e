"""One line is enough for one file, and what cannot work is said before anything is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from modelslab_async import (
    AuthenticationError,
    ConfigurationError,
    ModelsLab,
    MusicGen,
    RequestError,
    SavedFile,
    generate_sync,
)
from modelslab_async.sandbox import Sandbox

from ..support.batches import quick
from ..support.quick import client_of

pytestmark = pytest.mark.anyio


async def test_a_prompt_its_fields_and_a_path_become_a_file(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        saved = await client.generate("waltz", duration=30, to=tmp_path / "new" / "waltz.wav")
        assert isinstance(saved, SavedFile)
        assert (saved.path, saved.seconds) == (tmp_path / "new" / "waltz.wav", 30)
        (job,) = box.book.jobs.values()
        assert (job.path, job.seconds) == ("/api/v6/voice/music_gen", 30)


async def test_a_job_of_a_prompt_is_submitted_with_its_fields() -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await client.submit("waltz", duration=40)
        assert [one.seconds for one in box.book.jobs.values()] == [40]


Call = Callable[[ModelsLab, Path], Awaitable[Any]]

WRONG: dict[str, tuple[Call, str]] = {
    "misspelled": (lambda c, _: c.generate("waltz", durtion=30), "did you mean duration"),
    "unknown": (lambda c, _: c.submit("waltz", tempo=30), "tempo is not a field of MusicGen"),
    "two prompts": (lambda c, _: c.submit("waltz", prompt="polka"), "prompt is not a field"),
    "fields beside": (
        lambda c, _: c.generate(MusicGen("waltz"), duration=30),
        "passed along with a request",
    ),
    "type": (lambda c, _: c.generate("waltz", duration="30"), "must be int"),
    "taken": (lambda c, tmp: c.generate("waltz", to=tmp / "taken.wav"), "already exists"),
    "other format": (lambda c, tmp: c.generate("waltz", to=tmp / "taken.mp3"), "already exists"),
    "no directory": (lambda c, tmp: c.generate("waltz", to=tmp / "taken.wav/x"), "cannot be"),
    "too long": (lambda c, tmp: c.generate("waltz", to=tmp / f"{'x' * 300}.wav"), "too long"),
    "a link": (lambda c, _: c.download("https://example.com/a.wav"), "client.job"),  # type: ignore[arg-type]
    "a number": (lambda c, _: c.download(310815), "client.job"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_work_is_said_in_words_and_nothing_is_sent(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "taken.wav").write_bytes(b"mine")
    call, words = WRONG[name]
    async with Sandbox(quick()) as box, client_of(box) as client:
        with pytest.raises(RequestError, match=words):
            await call(client, tmp_path)
        assert box.book.count("api") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["taken.wav"]


async def test_a_directory_for_a_job_that_was_refused_does_not_stay(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, ModelsLab("not-the-key", base_url=box.url) as client:
        with pytest.raises(AuthenticationError):
            await client.generate("waltz", to=tmp_path / "new" / "deep" / "waltz.wav")
    assert not list(tmp_path.iterdir())


async def test_a_client_is_opened_and_closed_without_a_block() -> None:
    async with Sandbox(quick()) as box:
        client = ModelsLab(box.key, base_url=box.url)
        await client.open()
        with pytest.raises(ConfigurationError, match="already open"):
            await client.open()
        assert (await client.generate("waltz")).files
        await client.close()
        with pytest.raises(ConfigurationError, match="not open"):
            await client.generate("waltz")


async def test_a_batch_that_is_not_open_says_what_to_write(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        with pytest.raises(ConfigurationError, match="inside it"):
            async for _ in client.batch(["waltz"], directory=tmp_path / "out"):
                pass
        assert not (tmp_path / "out").exists()


def test_without_asyncio_one_sentence_says_what_is_needed() -> None:
    opening = ModelsLab("key-for-a-test-0123456789").open()
    with pytest.raises(ConfigurationError, match="needs a running asyncio"):
        opening.send(None)  # as another event loop would


async def test_a_script_without_an_event_loop_gets_its_file_in_one_call(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        saved = await to_thread.run_sync(
            lambda: generate_sync(
                "waltz", duration=30, to=tmp_path / "w.wav", api_key=box.key, base_url=box.url
            )
        )
        assert saved.path.read_bytes() == box.canonical(*box.book.jobs)
        with pytest.raises(ConfigurationError, match="would block the event loop"):
            generate_sync("waltz", to=tmp_path / "v.wav", api_key=box.key, base_url=box.url)
        assert len(box.book.debits) == 1
