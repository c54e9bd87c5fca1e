"""One suite for every door: real FastAPI under uvicorn, real aiohttp, our listener, bare ASGI."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import pytest

from modelslab_async.webhooks import Delivery, WebhookReceiver
from modelslab_async.webhooks._signing import MAX_BODY

from ..support.doors import DOORS, Knock, Post, receiver_of, target_of

pytestmark = pytest.mark.anyio

Door: TypeAlias = Callable[[WebhookReceiver], AbstractAsyncContextManager[Knock]]

DONE = {"status": "success", "id": 7, "output": ["https://cdn.example.com/7.wav"], "track_id": 5}
GOOD = json.dumps(DONE).encode()
FULL = json.dumps({**DONE, "pad": ""}).encode()
FULL = FULL[:-2] + b"x" * (MAX_BODY - len(FULL)) + FULL[-2:]


class House:
    """A receiver behind one of its doors, and all that it told its listener."""

    def __init__(self, receiver: WebhookReceiver, knock: Knock) -> None:
        self.receiver = receiver
        self.knock = knock
        self.heard: list[Delivery] = []
        receiver.subscribe(self.heard.append)
        self.target = target_of(receiver, 5)

    async def status(self, target: str, body: bytes = GOOD, **rest: Any) -> int:
        return (await self.knock(Post(target, body, **rest))).status


@pytest.fixture(params=DOORS, ids=lambda door: door.__name__)
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


@pytest.fixture
async def house(door: Door) -> AsyncIterator[House]:
    receiver = receiver_of()
    async with door(receiver) as knock:
        yield House(receiver, knock)


async def test_w01_a_good_delivery_is_kept_told_and_answered(house: House) -> None:
    assert await house.status(house.target) == 200
    assert [(one.track_id, one.job_id) for one in house.heard] == [("5", "7")]
    assert await house.receiver.inbox.take("5") == house.heard


async def test_w02_a_repeated_delivery_has_one_effect(house: House) -> None:
    assert [await house.status(house.target) for _ in range(5)] == [200] * 5
    assert len(house.heard) == len(await house.receiver.inbox.take("5")) == 1


async def test_a_delivery_about_a_job_that_still_runs_is_passed_on(house: House) -> None:
    assert await house.status(house.target, b'{"status":"processing","id":"7"}') == 200
    assert [one.job_id for one in house.heard] == ["7"]


@pytest.mark.parametrize("track_id", ["a/b", "r\u00e9sum\u00e9 %41", "v1/5", "x" * 191])
async def test_a_track_id_of_any_characters_comes_back_whole(house: House, track_id: str) -> None:
    assert await house.status(target_of(house.receiver, track_id)) == 200
    assert [one.track_id for one in house.heard] == [track_id]


@pytest.mark.parametrize(
    "body", [json.dumps(GOOD.decode()).encode(), b"[" + GOOD + b"]"], ids=["text", "list"]
)
async def test_a_delivery_in_a_text_or_a_list_is_read(house: House, body: bytes) -> None:
    assert await house.status(house.target, body) == 200
    assert [one.job_id for one in house.heard] == ["7"]


async def test_a_body_in_chunks_is_read(house: House) -> None:
    assert await house.status(house.target, chunked=True) == 200
    assert len(house.heard) == 1


async def test_w07_w09_whatever_is_wrong_with_a_request_line_the_answer_is_the_same(
    house: House,
) -> None:
    other = target_of(house.receiver, 6)
    head, _, token = house.target.rpartition("/")
    wrong = [
        Post(f"{head}/{other.rpartition('/')[2]}", GOOD),
        Post(f"{head}/{token[:-1]}", GOOD),
        Post(f"{head}/{token}=", GOOD),
        Post(f"{head}/{token[:-1]}%C3%A9", GOOD),
        Post(f"{head}/{token[:-1]}%FF", GOOD),
        Post(f"{head}/", GOOD),
        Post(house.target.replace("/v1/", "/v2/"), GOOD),
        Post(house.target + "/", GOOD),
        Post("/hooks/anything", GOOD),
        Post("/hooks/" + "v1/" * 1000, GOOD),
        Post(house.target, GOOD, method="PUT"),
        Post(house.target, method="GET"),
        Post(house.target, method="DELETE"),
        Post("/hooks/v1/5/x", b"x" * (MAX_BODY + 1)),
        Post("/hooks/v1/5/x", gzip.compress(GOOD), headers={"Content-Encoding": "gzip"}),
    ]
    answers = {await house.knock(post) for post in wrong}
    assert [answer.status for answer in answers] == [404]
    assert house.heard == []


BAD_BODIES = {
    "nothing": (b"", 400),
    "no json": (b"status=success&id=7", 400),
    "a page": (b"<html>queue is full</html>", 400),
    "an array of two": (b"[" + GOOD + b"," + GOOD + b"]", 400),
    "a number": (b"7", 400),
    "nan": (b"NaN", 400),
    "deep": (b'{"status":"success","id":7,"meta":' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400),
    "two ids": (b'{"status":"success","id":7,"id":8}', 400),
    "not utf-8": (b'{"status":"success","id":"\xff"}', 400),
    "utf-16": (GOOD.decode().encode("utf-16"), 400),
    "a workflow": (b'{"event":"workflow.completed","workflow":{"id":1},"execution":{}}', 400),
    "cut": (GOOD[:-5], 400),
    "too long": (FULL + b" ", 413),
}


@pytest.mark.parametrize(("body", "status"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_w08_a_bad_body_is_refused(house: House, body: bytes, status: int) -> None:
    assert await house.status(house.target, body) == status
    assert await house.status(house.target, body, chunked=True) == status
    assert house.heard == []


async def test_w08_a_number_that_is_none_reads_as_absent(house: House) -> None:
    assert await house.status(house.target, b'{"status":"processing","id":7,"eta":NaN}') == 200


async def test_w08_a_body_of_64_kib_is_still_taken(house: House) -> None:
    assert len(FULL) == MAX_BODY
    assert await house.status(house.target, FULL) == 200


async def test_w08_a_compressed_body_is_not_unpacked(house: House) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    assert await house.status(house.target, bomb, headers={"Content-Encoding": "gzip"}) == 415


async def test_w09_any_content_type_is_read(house: House) -> None:
    headers = {"Content-Type": "text/html; charset=utf-7"}
    assert await house.status(house.target, headers=headers) == 200


async def test_w15_a_broken_inbox_is_answered_503_and_the_next_try_counts(door: Door) -> None:
    broken = Broken()
    receiver = receiver_of(inbox=broken)
    async with door(receiver) as knock:
        house = House(receiver, knock)
        assert await house.status(house.target) == 503
        assert house.heard == []
        broken.works = True
        assert await house.status(house.target) == 200
        assert len(house.heard) == 1


class Broken:
    works = False

    async def put(self, _: Delivery) -> None:
        if not self.works:
            raise RuntimeError("disk full")

    async def take(self, _: str) -> list[Delivery]:
        return []


async def test_t24_no_token_is_in_any_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await house.status(house.target)
    await house.status(house.target, b"[]")
    await house.status(house.target, method="GET")
    token = house.target.rpartition("/")[2]
    assert not [one for one in caplog.records if token in f"{one.getMessage()} {vars(one)}"]


@pytest.mark.parametrize("door", DOORS[1:], indirect=True)
async def test_t24_a_request_that_is_no_http_leaves_no_token_in_any_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    target = house.target
    begun, token = target[:-20], target.rpartition("/")[2]
    broken: list[tuple[str, str, dict[str, str]]] = [
        ("P@ST", target, {}),
        ("POST", f"{target} HTTP/9.x\r\nX: x", {}),
        ("POST", f"{target}\0", {}),
        ("POST", f"{begun} {target[-20:]}", {}),
        ("POST", target, {"Referer": f"{target}\0"}),
        ("POST", "/", {f"{target} ": "x"}),
    ]
    for method, path, headers in broken:
        assert await house.status(path, b"", method=method, headers=headers) in (400, 404)
    logged = caplog.text + "".join(f"{one.getMessage()} {vars(one)}" for one in caplog.records)
    assert token[:-20] not in logged
    assert token[-20:] not in logged


@pytest.mark.parametrize("door", DOORS[1:3], indirect=True)
async def test_t24_an_access_log_still_names_the_job(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await house.status(house.target)
    assert "POST /hooks/v1/5/... HTTP/1.1" in caplog.text


async def test_t25_a_link_in_a_delivery_is_left_out(house: House) -> None:
    evil = {**DONE, "proxy_links": ["http://evil.example"], "fetch_result": "http://evil.example"}
    await house.status(house.target, json.dumps(evil).encode())
    (delivery,) = house.heard
    assert "http" not in delivery.to_json()
    assert "http" not in str(getattr(delivery.reply, "raw", None))
