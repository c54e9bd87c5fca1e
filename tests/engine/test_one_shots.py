"""The voices of an account are asked for and added to in one request, and never twice by itself."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import APIError, RequestError, TransportError, UnexpectedReply
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.quick import client_of

pytestmark = pytest.mark.anyio


def speech(seconds: int = 12) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(b"\1\2" * 8000 * seconds)
    return data.getvalue()


async def test_a_voice_that_was_uploaded_is_in_the_list(tmp_path: Path) -> None:
    clip = tmp_path / "jacob.wav"
    clip.write_bytes(speech())
    async with Sandbox() as box, client_of(box) as client:
        before = await client.voices()
        assert {voice.language for voice in before} == {"english", "french"}
        voice_id = await client.upload_voice("Jacob", clip, language="english", gender="male")
        assert voice_id == "jacob"
        url = "https://example.com/anna.wav"
        assert await client.upload_voice("Anna B.", url, language="german") == "anna-b"
        added = [voice for voice in await client.voices() if voice not in before]
        assert [(one.id, one.name, one.language) for one in added] == [
            ("jacob", "Jacob", "english"),
            ("anna-b", "Anna B.", "german"),
        ]
        assert added[0].raw["gender"] == "male"
        assert not box.book.jobs
        assert not box.book.debits


@pytest.mark.parametrize("kind", ["trained", "voice_cover"])
async def test_models_are_listed_by_their_kind(kind: Any) -> None:
    async with Sandbox() as box, client_of(box) as client:
        (voice,) = await client.voices(kind)
        assert voice.id


async def test_a_clip_gets_a_url() -> None:
    async with Sandbox() as box, client_of(box) as client:
        url = await client.base64_to_url(speech())
        assert url.startswith("http")
        assert not box.book.debits


@pytest.mark.parametrize(
    ("clip", "settings", "reason"),
    [
        (b"no audio", {}, "is not audio"),
        ("UklGRiQ", {}, "no URL"),
        (7, {}, "must be a URL, a Path or bytes"),
        (speech(), {"language": " "}, "language"),
        (speech(), {"gender": "x"}, "male or female"),
        (speech(), {"thumbnail": "/etc/passwd"}, "thumbnail is text, but no URL"),
        (Path("/nowhere/a.wav"), {}, "cannot be read"),
    ],
)
async def test_what_cannot_be_a_voice_is_not_sent(
    clip: Any, settings: dict[str, Any], reason: str
) -> None:
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(RequestError, match=reason):
            await client.upload_voice("a", clip, **{"language": "english", **settings})
        assert not box.book.requests


async def test_a_kind_of_voices_that_is_not_known_is_not_asked_for() -> None:
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(RequestError, match="must be one of manual"):
            await client.voices("all")  # type: ignore[arg-type]
        assert not box.book.requests


@pytest.mark.parametrize("kind", ["reset", "cut_body", "empty", "edge", "runtime"])
async def test_an_upload_whose_answer_is_lost_is_sent_once_and_says_that_it_may_be_made(
    kind: str,
) -> None:
    scenario = Scenario(faults=(Fault(on="voice_upload", kind=kind),))  # type: ignore[arg-type]
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        with pytest.raises(UnexpectedReply, match=r"may have been made.*client\.voices\(\)") as bad:
            await client.upload_voice("Jacob", speech(), language="english")
        assert not bad.value.retryable
        assert box.book.count("api", "/api/v6/voice/voice_upload") == 1


async def test_a_refused_upload_made_nothing_and_says_so() -> None:
    refused = Fault(on="voice_upload", kind="answer", status=401, body='{"status": "error"}')
    async with Sandbox(scenario=Scenario(faults=(refused,))) as box, client_of(box) as client:
        with pytest.raises(APIError):
            await client.upload_voice("Jacob", speech(), language="english")


async def test_a_list_that_cannot_be_had_may_be_asked_for_again() -> None:
    scenario = Scenario(faults=(Fault(on="voices", kind="reset", times=1),))
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        with pytest.raises(TransportError, match="can be tried again"):
            await client.voices()
        assert await client.voices()


async def test_a_list_in_another_form_is_no_list() -> None:
    fault = Fault(on="voices", kind="patch", fields={"voices": {}})
    async with Sandbox(scenario=Scenario(faults=(fault,))) as box, client_of(box) as client:
        with pytest.raises(UnexpectedReply):
            await client.voices()
