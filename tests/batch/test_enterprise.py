"""A client may prefer enterprise twins; what is planned or accepted stays where it is."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

from modelslab_async import (
    LedgerError,
    LimitReached,
    MusicGen,
    SoundEffect,
    VoiceToVoice,
)
from modelslab_async.batch import Limits, Manifest, Reader, RowState, plan_batch
from modelslab_async.sandbox import Fault, Sandbox

from ..cli.test_cli import against, command
from ..endpoints.test_music import wav
from ..support.all_endpoints import SAMPLES
from ..support.batches import quick, run, run_until_stopped
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

MUSIC = "/api/v6/voice/music_gen"
SFX = "/api/v6/voice/sfx"
TWIN = "/api/v1/enterprise/voice/sfx"
NONE = Limits(max_jobs_total=0)
SOUNDS = [SoundEffect(f"rain {number}", duration=3) for number in range(4)]


def paths(box: Sandbox) -> Counter[str]:
    """How many jobs were made by each path."""
    return Counter(job.path for job in box.book.jobs.values())


async def test_each_request_with_a_twin_goes_there_and_all_others_where_they_went() -> None:
    async with Sandbox(quick()) as box, client_of(box, enterprise=True) as client:
        for request in SAMPLES:
            await client.submit(request)
        assert paths(box) == Counter(one.ENTERPRISE or one.ENDPOINT for one in SAMPLES)


@pytest.mark.parametrize("preferred", [False, True])
@pytest.mark.parametrize("chosen", [False, True])
async def test_a_requests_own_choice_wins(*, preferred: bool, chosen: bool, tmp_path: Path) -> None:
    request = SoundEffect("rain", duration=3, enterprise=chosen)
    async with Sandbox(quick()) as box, client_of(box, enterprise=preferred) as client:
        await client.generate(request)
        await run(client, [request], tmp_path)
        assert paths(box) == {TWIN if chosen else SFX: 2}


async def test_a_voice_is_uploaded_to_where_it_will_be_used() -> None:
    async with Sandbox() as box, client_of(box, enterprise=True) as client:
        assert await client.upload_voice("Jacob", wav(15), language="english") == "jacob"
        assert box.book.count("api", "/api/v1/enterprise/voice/voice_upload") == 1


@pytest.mark.parametrize("first", [False, True])
async def test_a_planned_row_keeps_its_family_when_the_client_prefers_another(
    *, first: bool, tmp_path: Path
) -> None:
    """The rows of both runs are the same ones, though the second client prefers otherwise."""
    async with Sandbox(quick()) as box:
        async with client_of(box, enterprise=first) as client:
            await run_until_stopped(client, SOUNDS, tmp_path, LimitReached, max_new_jobs=1)
        async with client_of(box, enterprise=not first) as client:
            await run_until_stopped(client, None, tmp_path, LimitReached, max_new_jobs=1)
            await run(client, [*SOUNDS, SoundEffect("a new one", duration=3)], tmp_path)
        old, new = (TWIN, SFX) if first else (SFX, TWIN)
        assert paths(box) == {old: 4, new: 1}
    with Reader.open(tmp_path) as reader:
        assert {row.state for row in reader.each()} == {RowState.DONE}


async def test_a_row_that_is_tried_again_stays_where_it_was_planned(tmp_path: Path) -> None:
    refusal = '{"status": "error", "message": "The prompt field is required."}'
    fault = Fault(on="submit", kind="answer", status=400, body=refusal, accepted=False, times=1)
    async with Sandbox(quick(fault)) as box:
        async with client_of(box, enterprise=True) as client:
            await run(client, SOUNDS[:1], tmp_path)
        async with client_of(box) as client:
            await run(client, None, tmp_path, retry=[RowState.REJECTED])
        assert paths(box) == {TWIN: 1}


async def test_a_job_is_asked_about_in_its_own_family_by_any_client() -> None:
    async with Sandbox(quick()) as box:
        async with client_of(box, enterprise=True) as client:
            handle = (await client.submit(SOUNDS[0])).to_json()
        async with client_of(box) as client:
            await client.job(handle).result()
        assert box.book.count("api", "/api/v1/enterprise/voice/fetch/") >= 1
        assert not box.book.count("api", "/api/v6/voice/fetch/")


async def test_a_local_clip_of_a_row_that_goes_to_a_twin_is_the_one_that_was_planned(
    tmp_path: Path,
) -> None:
    clip = tmp_path / "voice.wav"
    clip.write_bytes(wav(5))
    request = VoiceToVoice(clip, target_audio=clip)
    async with Sandbox(quick()) as box, client_of(box, enterprise=True) as client:
        await run(client, [request], tmp_path / "out")
        assert paths(box) == {VoiceToVoice.ENTERPRISE: 1}


def test_what_the_client_prefers_is_no_part_of_a_request() -> None:
    for request in SAMPLES:
        assert request.enterprise is None
        assert "enterprise" not in repr(request)
    assert evolve(SOUNDS[0], enterprise=False).path == SFX


@pytest.mark.parametrize("confirmed", [False, True])
async def test_what_was_confirmed_is_not_sent_to_another_family(
    *, confirmed: bool, tmp_path: Path
) -> None:
    """Another process plans the same row between question and run, with another setting."""
    manifest = Manifest(io.BytesIO(b'{"id": "a", "prompt": "rain"}'), "jsonl", None)
    agreed = plan_batch(tmp_path, manifest, enterprise=confirmed).selection.fingerprint
    row = {"id": "a", "prompt": "rain"}
    async with Sandbox(quick()) as box:
        async with client_of(box, enterprise=not confirmed) as other:
            await run_until_stopped(other, [row], tmp_path, LimitReached, limits=NONE)
        async with client_of(box, enterprise=confirmed) as client:
            with pytest.raises(LedgerError, match="changed since they were confirmed"):
                await run(
                    client, [row], tmp_path, confirmed=agreed, limits=Limits(max_jobs_total=1)
                )
            assert not box.book.debits
            agreed = plan_batch(tmp_path, manifest, enterprise=confirmed).selection.fingerprint
            await run(client, [row], tmp_path, confirmed=agreed, limits=Limits(max_jobs_total=1))
        assert paths(box) == {MUSIC if confirmed else MusicGen.ENTERPRISE: 1}


@pytest.mark.parametrize("endpoint", ["music_gen", "sfx"])
async def test_another_choice_of_a_row_makes_it_another_row(endpoint: str, tmp_path: Path) -> None:
    row = {"id": "a", "prompt": "rain", "endpoint": endpoint}
    found = []
    async with Sandbox(quick()) as box, client_of(box, enterprise=True) as client:
        for choice in ({}, {"enterprise": False}, {"enterprise": True}):
            await run_until_stopped(client, [row | choice], tmp_path, LimitReached, limits=NONE)
            with Reader.open(tmp_path) as reader:
                found += list(reader.planned())
    assert [to_twin for _, _, to_twin in found] == [True, False, True]
    assert len({payload_hash for _, payload_hash, _ in found}) == 3


CSV = "id,endpoint,prompt,duration,enterprise\na,,waltz,30,\nb,sfx,rain,3,\nc,sfx,hail,3,no\n"


async def test_a_setting_of_the_command_line_sends_a_batch_to_the_twins(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    async with Sandbox(quick()) as box:
        here = {"MODELSLAB_ASYNC_ENTERPRISE": "true"}
        arguments = ("batch", "rows.csv", "-o", "out")
        first = await against(box, tmp_path, *arguments, "--limit", "2", **here)
        assert first.returncode == 9, first.stderr
        assert paths(box) == {MusicGen.ENTERPRISE: 1, TWIN: 1}
        done = await against(box, tmp_path, *arguments, "--no-enterprise", **here)
        assert done.returncode == 0, done.stderr
        assert paths(box) == {MusicGen.ENTERPRISE: 1, TWIN: 1, SFX: 1}
        one = await against(box, tmp_path, "sfx", "hail", "--duration", "3", "--enterprise")
        assert one.returncode == 0, one.stderr
        assert paths(box)[TWIN] == 2


def test_the_setting_is_the_users_and_not_a_projects(tmp_path: Path) -> None:
    def shown(**more: str) -> dict[str, object]:
        done = command(tmp_path, "config", "show", "--json", **more)
        setting: dict[str, object] = json.loads(done.stdout)["settings"]["enterprise"]
        return setting

    for place in (".modelslab", "home/.config/modelslab"):
        file = tmp_path / place / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text("[async]\nenterprise = true\n")
        assert shown()["value"] is place.startswith("home")
    assert shown(MODELSLAB_ASYNC_ENTERPRISE="off")["value"] is False
    wrong = command(tmp_path, "config", "show", MODELSLAB_ASYNC_ENTERPRISE="maybe")
    assert "enterprise is 'maybe' (environment, MODELSLAB_ASYNC_ENTERPRISE)" in wrong.stderr


def test_a_command_without_a_twin_has_no_such_option(tmp_path: Path) -> None:
    done = command(tmp_path, "lyrics", "rain", "--enterprise")
    assert done.returncode == 2
    assert "No such option" in done.stderr
