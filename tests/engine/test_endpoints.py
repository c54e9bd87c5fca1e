"""Requests of all endpoints go one way, and their jobs are told apart by family and id."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from modelslab_async import MusicGen, RequestError, SoundEffect
from modelslab_async.sandbox import Sandbox, Scenario

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
        with pytest.raises(RequestError, match="is no request"):
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
