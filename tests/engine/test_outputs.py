"""What is no audio is saved and read as what it was asked for, and never as anything else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import evolve, frozen

from modelslab_async import (
    JobTimeout,
    ModelsLab,
    NotAudio,
    RawRequest,
    Request,
    SubmitUnknown,
    WrongContent,
)
from modelslab_async._protocol.output import Output
from modelslab_async.endpoints import Estimate

from ..protocol.test_audio import PCM16
from ..protocol.test_files import MP4, PAGE, PNG, WORDS
from ..support.one_job import OneJob, serving
from ..support.quick import DOWNLOAD, POLL

pytestmark = pytest.mark.anyio

TEXT = b"Die Sonne geht auf\n"
FAMILY = "/api/v6/whisper/fetch"


@frozen(repr=False)
class Transcript(Request):
    NAME: ClassVar[str] = "speech_to_text"
    ENDPOINT: ClassVar[str] = "/api/v6/voice/speech_to_text"
    GIVES: ClassVar[Output] = "text"

    def estimate(self) -> Estimate:
        return Estimate(seconds=Decimal(0), megabytes=0.1)


@frozen(repr=False)
class Dub(Transcript):
    GIVES: ClassVar[Output] = "video"


@frozen(repr=False)
class Picture(Transcript):
    GIVES: ClassVar[Output] = "image"


@frozen(repr=False)
class Sound(Transcript):
    GIVES: ClassVar[Output] = "audio"


def ticket(**more: Any) -> dict[str, Any]:
    return {"status": "processing", "id": 7, "fetch_result": f"{{url}}{FAMILY}/7"} | more


def ends(*output: str, **more: Any) -> dict[str, Any]:
    return {"status": "success", "id": 7, "output": list(output), **more}


@asynccontextmanager
async def client_of(api: OneJob) -> AsyncIterator[ModelsLab]:
    async with (
        serving(api),
        ModelsLab("k" * 40, base_url=api.url, poll=POLL, download=DOWNLOAD) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("request_", "body", "name", "integrity"),
    [
        (Transcript(), TEXT, "7.txt", "length"),
        (Transcript(), WORDS, "7.json", "exact"),
        (Dub(), MP4, "7.mp4", "exact"),
        (Picture(), PNG, "7.png", "exact"),
        (Picture(), b"\x89 known to nobody" + bytes(99), "7.bin", "announced"),
        (Sound(), PCM16, "7.wav", "exact"),
    ],
)
async def test_each_kind_is_saved_under_the_ending_of_its_content(
    tmp_path: Path, request_: Request, body: bytes, name: str, integrity: str
) -> None:
    api = OneJob(ticket(), ends("{url}/f/a.wav"), {"/f/a.wav": body})
    async with client_of(api) as client:
        saved = await client.download(await client.generate(request_), tmp_path)
    assert saved.path == tmp_path / name
    assert saved.path.read_bytes() == body
    assert saved.integrity == integrity
    assert [path for path, _ in api.asked] == [request_.ENDPOINT, f"{FAMILY}/7"]


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (Transcript(), PAGE),
        (Transcript(), PCM16),
        (Transcript(), b'{"status": "error", "message": "gone"}'),
        (Dub(), PNG),
        (Dub(), TEXT),
        (Picture(), PAGE),
        (Picture(), MP4),
        (Sound(), TEXT),
        (Sound(), PNG),
    ],
)
async def test_what_was_not_asked_for_is_never_saved(
    tmp_path: Path, request_: Request, body: bytes
) -> None:
    api = OneJob(ticket(), ends("{url}/f/a.txt"), {"/f/a.txt": body})
    async with client_of(api) as client:
        generation = await client.generate(request_)
        with pytest.raises(WrongContent) as caught:
            await client.download(generation, tmp_path)
    assert isinstance(caught.value, NotAudio) == isinstance(request_, Sound)
    assert not list(tmp_path.iterdir())


async def test_bytes_that_nobody_can_judge_are_not_saved_when_their_end_is_not_known(
    tmp_path: Path,
) -> None:
    noise = b"\x89 known to nobody" + bytes(99)
    api = OneJob(ticket(), ends("{url}/f/a"), {"/f/a": noise}, chunked=True)
    async with client_of(api) as client:
        saved = await client.download(await client.generate(Picture()), tmp_path)
    assert saved.integrity == "repeated"  # two transfers with a marked end gave the same


@pytest.mark.parametrize(
    ("answer", "name", "text"),
    [
        ({"output": "guten Tag"}, "7.txt", "guten Tag"),
        ({"output": {"text": "guten Tag"}}, "7.txt", "guten Tag"),
        ({"output": "", "meta": {"transcription": "guten Tag"}}, "7.txt", "guten Tag"),
        ({"output": 2 * json.loads(WORDS)}, "7.json", 2 * json.loads(WORDS)),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_text_in_the_answer_is_saved_and_read_like_one_that_is_downloaded(
    tmp_path: Path, answer: dict[str, Any], name: str, text: Any, at_once: bool
) -> None:
    done = {"status": "success", "id": 7, **answer}
    api = OneJob(done if at_once else ticket(), done)
    async with client_of(api) as client:
        generation = await client.generate(Transcript())
        saved = await client.download(generation, tmp_path)
        assert await client.read(generation) == text
    assert saved.path.name == name
    found = saved.path.read_text()
    assert (json.loads(found) if name.endswith("json") else found) == text


async def test_a_text_is_read_from_a_handle_in_another_client(tmp_path: Path) -> None:
    api = OneJob(ticket(), ends("{url}/f/a.txt"), {"/f/a.txt": WORDS})
    async with serving(api):
        settings: dict[str, Any] = {"base_url": api.url, "poll": POLL, "download": DOWNLOAD}
        async with ModelsLab("k" * 40, **settings) as client:
            handle = (await client.submit(Transcript())).to_json()
        async with ModelsLab("k" * 40, **settings) as client:
            assert await client.read(client.job(handle)) == json.loads(WORDS)
            assert (await client.download(client.job(handle), tmp_path / "x.txt")).path == (
                tmp_path / "x.json"
            )
    assert len([path for path, _ in api.asked if "fetch" not in path]) == 1


async def test_several_files_are_saved_each_by_itself(tmp_path: Path) -> None:
    files = {"/f/a": PNG, "/f/b": PNG + b"more"}
    api = OneJob(ends("{url}/f/a", "{url}/f/b"), files=files)
    async with client_of(api) as client:
        saved = await client.download_all(await client.generate(Picture()), tmp_path)
    assert [one.path.name for one in saved] == ["7.png", "7-2.png"]
    assert [one.path.read_bytes() for one in saved] == list(files.values())


async def test_a_job_that_the_api_forgot_is_found_where_its_ticket_said(tmp_path: Path) -> None:
    forgotten = {"status": "failed", "id": "", "message": "Request not found"}
    lost = OneJob(ticket(future_links=["{url}/f/a.txt"]), forgotten, {"/f/a.txt": TEXT})
    policy = evolve(POLL, patience=0.2)
    async with (
        serving(lost),
        ModelsLab("k" * 40, base_url=lost.url, poll=policy, download=DOWNLOAD) as client,
    ):
        assert await client.read(await client.generate(Transcript())) == TEXT.decode()


PATH = "/api/v6/images/text2img"


def image_ticket(**more: Any) -> dict[str, Any]:
    return ticket(fetch_result="{url}/api/v6/images/fetch/7", **more)


async def test_any_other_job_goes_the_way_of_all_jobs(tmp_path: Path) -> None:
    api = OneJob(image_ticket(), ends("{url}/f/a"), {"/f/a": PNG})
    request = RawRequest(PATH, {"prompt": "a lake", "samples": 1}, gives="image")
    async with client_of(api) as client:
        job = await client.submit(request)
        assert client.job(job.to_json()) is job
        saved = await client.download(job, tmp_path / "lake.png")
    assert saved.path.read_bytes() == PNG
    (submit, body), (fetch, _) = api.asked
    assert (submit, fetch) == (PATH, "/api/v6/images/fetch/7")
    assert body == {
        "prompt": "a lake",
        "samples": 1,
        "track_id": body["track_id"],
        "key": "k" * 40,
    }


async def test_any_other_job_is_asked_about_in_its_own_family_when_its_ticket_names_none(
    tmp_path: Path,
) -> None:
    api = OneJob({"status": "processing", "id": 7}, ends("{url}/f/a"), {"/f/a": PNG})
    async with client_of(api) as client:
        await client.generate(RawRequest(PATH, {}, gives="image"))
    assert [path for path, _ in api.asked] == [PATH, "/api/v6/images/fetch/7"]


async def test_advice_names_a_job_so_that_it_is_found_in_its_family_and_read_as_its_kind() -> None:
    api = OneJob(image_ticket(), {"status": "processing"}, {"/f/a": PNG})
    async with client_of(api) as client:
        job = await client.submit(RawRequest(PATH, {}, gives="image"))
        with pytest.raises(JobTimeout, match=r"resume with client\.job\('(.*)'\)") as caught:
            await job.result(timeout=0.05)
        found = re.search(r"client\.job\('(.*)'\)", str(caught.value))
        assert found
        assert client.job(found[1]) is job
    async with serving(api), ModelsLab("k" * 40, base_url=api.url) as another:
        again = another.job(found[1])
        assert (again.identity, again.gives) == (("/api/v6/images/fetch", "7"), "image")


async def test_a_hint_at_a_lost_job_names_its_family_too() -> None:
    api = OneJob({"meta": {"id": 7}})
    async with client_of(api) as client:
        with pytest.raises(SubmitUnknown, match=r"/api/v6/images/fetch/7.*image"):
            await client.submit(RawRequest(PATH, {}, gives="image"))
