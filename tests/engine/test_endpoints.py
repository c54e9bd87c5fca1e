"""Requests of all endpoints go one way, and their jobs are told apart by family and id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import (
    MusicGen,
    Request,
    RequestError,
    SoundEffect,
    SpeechToText,
    SpeechToTextV7,
    TextToSpeech,
)
from modelslab_async.sandbox import Sandbox, Scenario

from ..support.all_endpoints import SAMPLES, SOUND
from ..support.batches import quick
from ..support.quick import client_of

pytestmark = pytest.mark.anyio


async def test_a_sound_effect_is_generated_and_saved_like_music(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        generation = await client.generate(SoundEffect("a door falls shut", duration=3))
        saved = await client.download(generation.files[0], f"{tmp_path}/")
        (job,) = box.book.jobs.values()
        assert (job.path, job.seconds) == ("/api/v6/voice/sfx", 3)
        assert saved.path.read_bytes() == box.canonical(job.id)
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("given", [{"prompt": "waltz"}, None, MusicGen, 5])
async def test_what_is_no_request_is_refused_in_words(given: object) -> None:
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(RequestError, match="neither a request nor a prompt"):
            await client.generate(given)  # type: ignore[call-overload]


async def test_two_families_may_give_one_number_to_two_jobs() -> None:
    same = Scenario(id="same", never_finishes=True)
    async with Sandbox() as box, client_of(box) as client:
        box.scenario = evolve(same, fetch_host="whisper")
        one = await client.submit(MusicGen("waltz", max_new_token=256))
        box.scenario = same
        other = await client.submit(MusicGen("polka", max_new_token=256))
        assert one.id == other.id
        assert client.job(one.to_json()) is one
        assert client.job(other.to_json()) is other


ENDINGS = {"audio": ".wav", "text": ".txt", "video": ".mp4", "file": ".mp4"}
ENTERPRISE = [evolve(one, enterprise=True) for one in SAMPLES if one.ENTERPRISE]


@pytest.mark.parametrize(
    "request_", [*SAMPLES, *ENTERPRISE], ids=lambda one: one.path.removeprefix("/api/")
)
async def test_a_job_of_each_endpoint_is_made_once_and_its_file_saved(
    request_: Request, tmp_path: Path
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        job = await client.submit(request_)
        generation = await job.result()
        saved = await client.download(generation, f"{tmp_path}/")
        (made,) = box.book.jobs.values()
        assert made.path == request_.path
        assert saved.path.suffix == ENDINGS[request_.gives]
        assert saved.path.read_bytes() == box.canonical(made.id)
        assert len(box.book.debits) == 1
        assert box.book.count("api", f"{request_.fetch}/") >= 1
        assert box.book.key_seen_on() == {"api"}


async def test_speech_in_the_sandbox_lasts_as_long_as_its_text_would() -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await client.generate(TextToSpeech("a" * 60, voice_id="tara", language="hindi"))
        (job,) = box.book.jobs.values()
        assert job.seconds == 4


async def test_a_transcript_with_times_is_read_as_a_value() -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        request = SpeechToText(SOUND, language="en", timestamp_level="word")
        words = await client.read(await client.generate(request))
        assert [set(word) for word in words[:1]] == [{"text", "start", "end"}]


TOLD_IN = ("inline_text", "inline_object", "inline_words", "meta_text")


@pytest.mark.parametrize("output", TOLD_IN)
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("fetch_meta", [False, True])
@pytest.mark.parametrize(
    "request_",
    [SpeechToText(SOUND, language="en"), SpeechToTextV7(SOUND, model_id="scribe_v1")],
    ids=["v6", "v7"],
)
async def test_a_transcript_in_the_answer_itself_is_read_and_saved(
    output: Any, mode: Any, fetch_meta: bool, request_: Request, tmp_path: Path
) -> None:
    odd = quick(output=output, mode=mode, fetch_meta=fetch_meta)
    async with Sandbox(odd) as box, client_of(box) as client:
        generation = await client.generate(request_)
        told = await client.read(generation)
        saved = await client.download(generation, f"{tmp_path}/")
        (made,) = box.book.jobs
        text = box.canonical(made).decode()
        assert (told["text"] if isinstance(told, dict) else told) == text
        assert saved.path.suffix == (".json" if output == "inline_words" else ".txt")
        assert not box.book.count("storage")


@pytest.mark.parametrize(
    ("odd", "request_"),
    [
        (quick(status="absent", output="links"), SAMPLES[9]),
        (quick(id="fetch_differs"), SAMPLES[11]),
        (quick(id="task_id"), ENTERPRISE[1]),
    ],
    ids=["a cover without status", "a dub that is asked about by another id", "a task id"],
)
async def test_answers_as_odd_as_the_documented_ones_are_understood(
    odd: Scenario, request_: Request, tmp_path: Path
) -> None:
    async with Sandbox(odd) as box, client_of(box) as client:
        saved = await client.download(await client.generate(request_), f"{tmp_path}/")
        (made,) = box.book.jobs.values()
        assert saved.path.read_bytes() == box.canonical(made.id)
