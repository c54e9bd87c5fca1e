"""The sandbox takes and says what the API does, also to clients in other languages."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import aiohttp
import pytest

from modelslab_async.sandbox import Sandbox, Scenario
from modelslab_async.sandbox._endpoints import ENDPOINTS
from modelslab_async.sandbox._php import php_numbers, read_json, with_booleans
from modelslab_async.sandbox._validation import complaints

from ..support.batches import quick

MUSIC = "/api/v6/voice/music_gen"


async def post(box: Sandbox, path: str, data: bytes, **headers: str) -> tuple[int, Any, Any]:
    kind = {"Content-Type": "application/json", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(box.url + path, data=data, headers=kind) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


def body(box: Sandbox, **fields: Any) -> bytes:
    return json.dumps({"key": box.key, "prompt": "waltz", **fields}).encode()


# --- JSON as PHP reads and writes it --------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 100_000,
        b"",
    ],
)
def test_what_php_refuses_is_no_json(text: bytes) -> None:
    assert read_json(text) is None


def test_what_php_takes_is_json() -> None:
    assert read_json(b'{"a": "\\ud83d\\ude00", "b": [1.5]}') == {"a": "\U0001f600", "b": [1.5]}


def test_whole_numbers_are_written_without_a_fraction() -> None:
    numbers = {"a": 2.0, "b": [1.5, 3.0, True], "c": {"d": -0.0}, "e": "2.0"}
    assert (
        json.dumps(php_numbers(numbers))
        == '{"a": 2, "b": [1.5, 3, true], "c": {"d": 0}, "e": "2.0"}'
    )


@pytest.mark.parametrize(
    ("value", "means"),
    [
        *((True, True), (1, True), (1.0, True), ("1", True)),
        *((False, False), (0, False), (0.0, False), ("0", False)),
    ],
)
@pytest.mark.parametrize("name", ["temp", "base64"])
def test_booleans_are_taken_as_laravel_takes_them(name: str, value: object, means: bool) -> None:
    assert with_booleans({name: value})[name] is means


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("base64", "true", True),
        ("base64", "false", False),
        ("temp", "true", "true"),
        ("temp", 2, 2),
        ("temp", None, None),
        ("prompt", "1", "1"),
        ("track_id", 1, 1),
    ],
)
def test_other_values_stay_what_they_are(name: str, value: object, kept: object) -> None:
    assert with_booleans({name: value})[name] == kept


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"seed": "7", "rate": "0.5"}, None),
        ({"seed": "7.5"}, "The seed field must be an integer"),
        ({"rate": "1e9"}, "The rate field must be a number"),
        ({"rate": "nan"}, "The rate field must be a number"),
        ({"rate": "2"}, "The rate must be between 0 and 1"),
    ],
)
def test_numbers_are_taken_as_text_too(fields: dict[str, Any], complaint: str | None) -> None:
    cover = {"init_audio": "https://files.example/a.wav", "model_id": "cover-1", **fields}
    found = complaints(ENDPOINTS["/api/v6/voice/voice_cover"], cover)
    assert list(found.values()) == ([complaint] if complaint else [])


# --- over sockets ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_boolean_as_a_number_makes_a_job_that_has_it() -> None:
    async with Sandbox(quick()) as box:
        status, answer, _ = await post(box, MUSIC, body(box, temp=1, base64="false"))
        assert status == 200
        assert answer["meta"]["temp"] == "yes"
        assert answer["meta"]["base64"] == "no"


@pytest.mark.anyio
async def test_a_length_as_text_makes_a_sound_of_that_length() -> None:
    async with Sandbox(quick()) as box:
        fields = {"max_new_token": "256", "sampling_rate": "10000"}
        assert (await post(box, MUSIC, body(box, **fields)))[0] == 200
        (job,) = box.book.jobs.values()
        assert (job.seconds, job.sample_rate) == (5.06, 10000)


@pytest.mark.anyio
async def test_speech_of_version_7_is_made_of_a_prompt_or_of_text() -> None:
    path = "/api/v7/voice/text-to-speech"
    async with Sandbox(quick()) as box:
        fields = {"key": box.key, "model_id": "inworld-tts-1"}
        said = json.dumps({**fields, "text": "a" * 60}).encode()
        assert (await post(box, path, said))[0] == 200
        (job,) = box.book.jobs.values()
        assert (job.prompt, job.seconds) == ("a" * 60, 4)
        status, answer, _ = await post(box, path, json.dumps(fields).encode())
        assert (status, answer["message"]) == (400, "prompt is required")


@pytest.mark.anyio
async def test_a_content_type_is_checked_where_the_scenario_says_so() -> None:
    async with Sandbox(quick(checks_content_type=True)) as box:
        refused, answer, _ = await post(box, MUSIC, body(box), **{"Content-Type": "text/plain"})
        assert (refused, answer["message"]) == (400, "Invalid API Request")
        kind = {"Content-Type": "application/json; charset=utf-8"}
        assert (await post(box, MUSIC, body(box), **kind))[0] == 200


@pytest.mark.anyio
async def test_a_page_of_another_origin_may_call_the_api() -> None:
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    async with Sandbox(quick()) as box, aiohttp.ClientSession() as session:
        async with session.options(box.url + MUSIC, headers=asked) as preflight:
            assert preflight.status == 204
            assert preflight.headers["Access-Control-Allow-Origin"] == "*"
            assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert (await post(box, MUSIC, b"{}"))[2]["Access-Control-Allow-Origin"] == "*"
        assert not box.book.debits


@pytest.mark.anyio
async def test_a_client_that_waits_to_be_told_to_go_on_is_told_so() -> None:
    async with Sandbox(quick()) as box:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(box.url.rpartition(":")[2]))
        data = body(box)
        head = f"POST {MUSIC} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n"
        writer.write(
            f"{head}Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(data)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.anyio
async def test_a_webhook_leaves_this_machine_only_where_that_is_allowed() -> None:
    async with Sandbox(quick()) as box:
        await post(box, MUSIC, body(box, webhook="https://example.com/hook"))
        await box.delivered()
        (sent,) = box.book.webhooks
        assert sent.status is None
        assert "webhooks_anywhere" in (sent.error or "")


@pytest.mark.anyio
async def test_a_sandbox_is_reached_by_the_host_that_it_was_given() -> None:
    async with Sandbox(quick(mode="sync"), host="localhost") as box:
        assert box.url.startswith("http://localhost:")
        _, answer, _ = await post(box, MUSIC, body(box))
        assert answer["output"][0].startswith("http://localhost:")


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    1e308,
    0.1,
    "",
    " ",
    "\x00",
    "x" * 5000,
    "\r\nX: y",
    [],
    [[]],
    {},
    {"a": 1},
    "data:audio/wav\r\nX: y;base64,AAAA",
    "data:;base64,AAAA",
    "http://[",
    "https://\u00e9\u0000/",
)


@pytest.mark.anyio
async def test_no_value_of_any_field_is_answered_by_a_broken_server() -> None:
    dice = random.Random(7)
    paths = (
        MUSIC,
        "/api/v6/voice/sfx",
        "/api/v6/voice/voice_upload",
        "/api/v6/voice/voice_list",
        "/api/v6/voice/base64_to_url",
        "/api/v6/base64_to_url",
        "/api/v6/assets_generated",
        "/api/v6/voice/fetch/310815",
        "/api/v6/voice/fetch/%00",
    )
    names = ("prompt", "duration", "temp", "base64", "webhook", "track_id", "init_audio", "type",
             "page", "per_page", "name", "language", "base64_string", "output_format")  # fmt: skip
    async with Sandbox(Scenario(generation_seconds=0)) as box:
        for path in paths:
            for _ in range(40):
                fields = {name: dice.choice(ODD) for name in dice.sample(names, 4)}
                status, answer, _ = await post(box, path, body(box, **fields))
                assert status < 500, (path, fields)
                assert isinstance(answer, dict)
