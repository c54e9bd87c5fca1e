"""The sandbox speaks ModelsLab's protocol; asked over real sockets by a bare HTTP client."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelslab_async.sandbox import (
    SCENARIOS,
    Fault,
    Sandbox,
    Scenario,
    ScenarioError,
    load_scenario,
)

from ..support.callers import SHORT, SUBMIT, Caller

pytestmark = pytest.mark.anyio


async def test_a_ticket_has_the_documented_fields_in_order() -> None:
    async with Sandbox() as box, Caller(box) as call:
        ticket = await call.submit()
    assert list(ticket) == [
        "status",
        "tip",
        "eta",
        "message",
        "fetch_result",
        "id",
        "output",
        "future_links",
        "proxy_links",
        "meta",
    ]
    assert (ticket["status"], ticket["output"], type(ticket["id"])) == ("processing", [], int)
    assert ticket["fetch_result"] == f"{box.url}/api/v6/voice/fetch/{ticket['id']}"
    meta = ticket["meta"]
    assert (meta["base64"], meta["temp"], meta["sampling_rate"]) == ("no", "no", 5000)
    assert ticket["proxy_links"][0].endswith(meta["filename"])
    assert not ticket["future_links"][0].endswith(meta["filename"])


async def test_a_pending_fetch_has_no_id_no_eta_and_a_string_for_output() -> None:
    async with Sandbox() as box, Caller(box) as call:
        ticket = await call.submit()
        reply = await call.fetch(ticket["id"])
    assert list(reply) == ["status", "message", "output", "tip"]
    assert (reply["status"], reply["message"], reply["output"]) == (
        "processing",
        "try again later.",
        "",
    )


async def test_a_finished_fetch_names_what_the_ticket_promised() -> None:
    async with Sandbox() as box, Caller(box) as call:
        ticket = await call.submit()
        box.advance(2)
        reply = await call.fetch(ticket["id"])
    assert list(reply) == ["status", "id", "output", "proxy_links"]
    assert reply["output"] == ticket["future_links"]
    assert box.book.jobs[ticket["id"]].state == "success"


async def test_slashes_are_escaped_as_php_does() -> None:
    async with (
        Sandbox() as box,
        Caller(box) as call,
        call.http.post(box.url + SUBMIT, json={"key": box.key, **SHORT}) as answer,
    ):
        text = await answer.text()
    assert "http:\\/\\/127.0.0.1" in text
    assert "/" not in text.replace("\\/", "")


async def test_a_synchronous_submit_answers_with_the_file() -> None:
    scenario = Scenario(mode="sync", generation_seconds=0.01)
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        reply = await call.submit()
        _, _, body = await call.get(reply["output"][0])
    assert list(reply) == ["status", "generationTime", "id", "output", "proxy_links", "meta"]
    assert body == box.canonical(reply["id"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": None}, "prompt is required"),
        ({"prompt": 5}, "prompt must be a string"),
        ({"temp": "no"}, "The temp field must be true or false"),
        ({"base64": 2}, "The base64 field must be true or false"),
        ({"max_new_token": 255}, "The max_new_token must be between 256 and 1024"),
        ({"max_new_token": 256.0}, "The max_new_token field must be an integer"),
        ({"sampling_rate": True}, "The sampling_rate field must be an integer"),
        ({"duration": 481}, "The duration must be between 30 and 480"),
        ({"output_format": "ogg"}, "The selected output_format is invalid"),
        ({"bitrate": 320}, "The selected bitrate is invalid"),
        ({"webhook": "nowhere"}, "The webhook must be a valid URL"),
        ({"track_id": [1]}, "The track_id field must be an integer or a string"),
        ({"init_audio": "clip.wav"}, "The init_audio must be a valid URL"),
        ({"init_audio": "!", "base64": True}, "The init_audio must be valid base64"),
    ],
)
async def test_a_wrong_field_is_refused_and_costs_nothing(
    body: dict[str, Any], message: str
) -> None:
    async with Sandbox() as box, Caller(box) as call:
        status, reply = await call.post(SUBMIT, **{**SHORT, **body})
    assert (status, reply) == (400, {"status": "error", "message": message})
    assert box.book.debits == []


async def test_fields_of_both_eras_and_unknown_ones_are_accepted() -> None:
    clip = base64.b64encode(b"RIFF").decode()
    async with Sandbox() as box, Caller(box) as call:
        await call.submit(sampling_rate=5000, webhook="", model_id="ai-music-generator")
        await call.submit(duration=30, bitrate="128k", output_format="mp3", track_id="order_1")
        await call.submit(init_audio=clip, base64=True, temp=True)
        await call.submit(init_audio="https://example.com/clip.wav", track_id=7)
    assert len(box.book.debits) == 4


async def test_the_key_is_asked_for() -> None:
    async with Sandbox() as box, Caller(box) as call:
        wrong = await call.post(SUBMIT, key="no", **SHORT)
        missing = await call.post(SUBMIT, key=None, **SHORT)
    assert wrong == (401, {"status": "error", "message": "Invalid API key"})
    assert missing == (401, {"status": "error", "message": "API key required"})


async def test_other_methods_paths_and_bodies_are_refused() -> None:
    async with Sandbox() as box, Caller(box) as call:
        got = [await call.get(box.url + path) for path in (SUBMIT, "/api/v6/voice/fetch/1")]
        lost = await call.post("/api/v6/audio/music_generate")
        async with call.http.post(box.url + SUBMIT, data=b"key=1") as answer:
            text = await answer.json()
    assert [status for status, _, _ in got] == [405, 405]
    assert lost[0] == 404
    assert (answer.status, text["message"]) == (400, "Invalid API Request")


async def test_an_unknown_id_is_failed_with_http_200() -> None:
    async with Sandbox() as box, Caller(box) as call:
        reply = await call.fetch("999")
    assert (reply["status"], reply["message"]) == ("failed", "Request not found")


async def test_every_accepted_submit_is_debited_once_until_the_wallet_is_empty() -> None:
    async with Sandbox(balance=0.02) as box, Caller(box) as call:
        first, second = await call.submit(), await call.submit()
        third = await call.post(SUBMIT, **SHORT)
        balance = await call.post("/api/wallet_balance")
    assert box.book.debits == [(first["id"], 0.01), (second["id"], 0.01)]
    assert third[0] == 402
    assert balance[1]["data"] == {"balance": 0.0, "currency": "USD"}


async def test_the_queue_takes_as_many_jobs_as_there_are_slots() -> None:
    async with Sandbox(slots=2) as box, Caller(box) as call:
        first = await call.submit()
        await call.submit()
        status, refusal = await call.post(SUBMIT, **SHORT)
        box.advance(2)
        await call.fetch(first["id"])
        await call.submit()
    message = "Rate limit exceeded. Maximum 2 queued requests allowed."
    assert (status, refusal) == (429, {"status": "error", "message": message, "retry_after": 30})
    assert (box.book.peak_queue, len(box.book.debits)) == (2, 3)


async def test_jobs_run_first_in_first_out_and_eta_knows_the_queue() -> None:
    scenario = Scenario(workers=1, generation_seconds=10, eta="float")
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        etas = [(await call.submit())["eta"] for _ in range(3)]
        box.advance(15)
        states = [job.state for job in box.book.jobs.values()]
    assert [round(eta) for eta in etas] == [10, 20, 30]
    assert states == ["success", "processing", "queued"]


async def test_slots_that_somebody_else_holds_are_missing() -> None:
    scenario = Scenario(taken_slots=4, taken_seconds=60)
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        await call.submit()
        full, _ = await call.post(SUBMIT, **SHORT)
        _, depth = await call.post("/api/v6/processing/request_count")
        box.advance(60)
        await call.submit()
    assert (full, depth["processing_count"]) == (429, 5)


async def test_request_count_has_a_limit_of_its_own() -> None:
    path = "/api/v6/processing/request_count"
    async with Sandbox() as box, Caller(box) as call:
        statuses = [(await call.post(path))[0] for _ in range(31)]
        async with call.http.get(box.url + path, json={"key": box.key}) as answer:
            by_get = answer.status
        box.advance(60)
        later, _ = await call.post(path)
    assert (statuses, by_get, later) == ([200] * 30 + [429], 429, 200)


async def test_assets_are_listed_newest_first_by_pages() -> None:
    async with Sandbox() as box, Caller(box) as call:
        ids = [(await call.submit())["id"] for _ in range(3)]
        box.advance(5)
        pages = [
            (await call.post("/api/v6/assets_generated", type="voice", per_page=2, page=page))[1]
            for page in (1, 2)
        ]
        none = await call.post("/api/assets_generated", type="image")
        wrong, _ = await call.post("/api/assets_generated", type="song")
    assert [asset["id"] for page in pages for asset in page["data"]] == ids[::-1]
    assert pages[1]["pagination"] == {
        "current_page": 2,
        "per_page": 2,
        "total": 3,
        "last_page": 2,
        "from": 3,
        "to": 3,
    }
    assert (none[1]["data"], wrong) == ([], 400)


async def test_an_upload_lives_for_a_day() -> None:
    clip = base64.b64encode(b"RIFF....WAVE").decode()
    async with Sandbox() as box, Caller(box) as call:
        _, reply = await call.post(
            "/api/v6/base64_to_url", base64_string=f"data:audio/wav;base64,{clip}"
        )
        _, headers, body = await call.get(reply["output"][0])
        box.advance(24 * 3600)
        gone, _, _ = await call.get(reply["output"][0])
    assert (body, headers["Content-Type"]) == (b"RIFF....WAVE", "audio/wav")
    assert gone == 403


async def test_an_upload_above_five_megabytes_is_refused() -> None:
    clip = base64.b64encode(bytes(5 * 2**20 + 1)).decode()
    async with Sandbox() as box, Caller(box) as call:
        text = json.dumps({"key": box.key, "base64_string": f"data:audio/wav;base64,{clip}"})
        url = box.url + "/api/v6/base64_to_url"
        async with call.http.post(url, data=io.BytesIO(text.encode())) as answer:
            assert answer.status == 400


async def test_storage_serves_the_canonical_bytes_whole_and_in_parts() -> None:
    async with Sandbox() as box, Caller(box) as call:
        reply = await call.finished()
        url = reply["output"][0]
        whole = box.canonical(reply["id"])
        status, headers, body = await call.get(url)
        etag = headers["ETag"]
        parts = [
            await call.get(url, {"Range": wanted, "If-Range": tag})
            for wanted, tag in (("bytes=10-19", etag), ("bytes=-4", etag), ("bytes=0-9", '"no"'))
        ]
        beyond, refusal, _ = await call.get(url, {"Range": f"bytes={len(whole)}-"})
        _, head, nothing = await call.get(url, method="HEAD")
        _, _, mirrored = await call.get(reply["proxy_links"][0])
    assert (status, headers["Content-Type"], body, mirrored) == (200, "audio/wav", whole, whole)
    assert [(s, b) for s, _, b in parts] == [(206, whole[10:20]), (206, whole[-4:]), (200, whole)]
    assert parts[0][1]["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert (beyond, refusal["Content-Range"]) == (416, f"bytes */{len(whole)}")
    assert (head["Content-Length"], nothing) == (str(len(whole)), b"")


async def test_a_file_cannot_be_read_before_its_job_is_done() -> None:
    async with Sandbox() as box, Caller(box) as call:
        ticket = await call.submit()
        early, _, _ = await call.get(ticket["future_links"][0])
        box.advance(2)
        later, _, _ = await call.get(ticket["future_links"][0])
    assert (early, later) == (404, 200)


async def test_temporary_links_die_after_a_day() -> None:
    async with Sandbox() as box, Caller(box) as call:
        reply = await call.finished(temp=True)
        box.advance(24 * 3600)
        status, _, body = await call.get(reply["output"][0])
    assert (status, b"AccessDenied" in body) == (403, True)


async def test_two_jobs_of_one_prompt_are_two_pieces_and_a_seed_repeats_them() -> None:
    async def two() -> list[bytes]:
        async with Sandbox(seed=3) as box, Caller(box) as call:
            return [box.canonical((await call.submit())["id"]) for _ in range(2)]

    first, second = await two()
    assert first != second
    assert await two() == [first, second]


async def test_the_book_knows_which_host_was_sent_the_key() -> None:
    async with Sandbox() as box, Caller(box) as call:
        await call.finished()
        await call.get(box.storage_url + "/generations/x.wav")
        await call.get(box.mirror_url + f"/?key={box.key}")
        await call.get(box.foreign_url, {"Authorization": box.key})
    assert box.book.key_seen_on() == {"api", "mirror", "foreign"}
    assert box.book.count("api", SUBMIT) == 1
    assert box.book.count(path_prefix="/api/") == 2


async def test_a_webhook_is_posted_once_when_the_job_ends() -> None:
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        received.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with TestServer(app) as receiver, Sandbox() as box, Caller(box) as call:
        url = str(receiver.make_url("/hook"))
        ticket = await call.submit(webhook=url, track_id=41)
        box.advance(2)
        payload = await received.get()
        box.scenario = Scenario(status="failed")
        await call.submit(webhook=url, track_id=42)
        box.advance(2)
        failure = await received.get()
    assert list(payload) == ["status", "id", "output", "generationTime", "track_id", "meta"]
    assert (payload["id"], payload["output"]) == (ticket["id"], ticket["future_links"])
    assert (failure["status"], failure["track_id"]) == ("failed", 42)
    assert received.empty()


async def test_an_early_webhook_comes_before_the_answer_and_a_lost_one_never() -> None:
    order: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        order.append((await request.json())["status"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    early = Scenario(webhook_early=True, webhook_duplicates=1)
    async with TestServer(app) as receiver, Sandbox(scenario=early) as box, Caller(box) as call:
        await call.submit(webhook=str(receiver.make_url("/")))
        order.append("answered")
        box.scenario = Scenario(webhook_early=True, webhook_lost=1)
        await call.submit(webhook=str(receiver.make_url("/")))
    assert order == ["success", "success", "answered"]
    assert [delivery.status for delivery in box.book.webhooks] == [200, 200]


async def test_a_header_gives_one_job_a_scenario_of_its_own() -> None:
    async with Sandbox() as box, Caller(box) as call:
        _, odd = await call.post(SUBMIT, '{"generation_seconds": 0, "output": "string"}', **SHORT)
        plain = await call.submit()
        box.advance(2)
        replies = [await call.fetch(ticket["id"]) for ticket in (odd, plain)]
        unknown = await call.post(SUBMIT, "nonsense", **SHORT)
    assert [type(reply["output"]) for reply in replies] == [str, list]
    assert unknown[0] == 400
    assert "there is no scenario 'nonsense'" in unknown[1]["message"]


async def test_a_scenario_can_be_changed_while_the_sandbox_runs() -> None:
    always = Fault(on="balance", kind="edge", status=502)
    async with Sandbox(scenario=Scenario(faults=(always,))) as box, Caller(box) as call:
        statuses = [(await call.post("/api/wallet_balance"))[0] for _ in range(2)]
        box.scenario = Scenario(faults=(always,))
        statuses += [(await call.post("/api/wallet_balance"))[0] for _ in range(2)]
    assert statuses == [502, 200, 502, 200]


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_named_scenario_can_be_asked_for_by_name(name: str) -> None:
    assert load_scenario(name) is SCENARIOS[name]
    async with Sandbox(scenario=name) as box:
        assert box.scenario is SCENARIOS[name]


async def test_a_scenario_is_read_from_json_and_may_stand_on_another() -> None:
    text = (
        '{"base": "busy", "generation_seconds": [1, 2.5], "faults": '
        '[{"on": "fetch", "kind": "cut_body", "at": 0.5, "times": null}]}'
    )
    scenario = load_scenario(text)
    assert scenario.generation_seconds == (1, 2.5)
    assert scenario.taken_slots == SCENARIOS["busy"].taken_slots
    assert scenario.faults == (Fault(on="fetch", kind="cut_body", at=0.5, times=None),)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"speling": "messege"}, "speling"),
        ({"polls_to_finish": 1.5}, "polls_to_finish"),
        ({"workers": "3"}, "workers"),
        ({"webhook_early": 1}, "webhook_early"),
        ({"eta": "soon"}, "eta"),
        ({"generation_seconds": [1]}, "generation_seconds"),
        ({"price": -1}, "price"),
        ({"faults": [{"on": "fetch", "kind": "mp3"}]}, "cannot be 'mp3'"),
        ({"faults": [{"on": "fetch", "kind": "reset", "time": 1}]}, "time"),
        ({"base": "calm"}, "calm"),
        ("calm", "calm"),
        ("{", "JSON"),
    ],
)
async def test_a_scenario_that_cannot_be_read_is_refused_by_name(source: Any, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        load_scenario(source)


async def _until_asked(box: Sandbox, times: int) -> None:
    while box.book.count() < times:
        await asyncio.sleep(0)


async def test_stopping_is_clean_with_connections_open_and_stalled() -> None:
    scenario = Scenario(
        generation_seconds=(5, 9),
        faults=(
            Fault(on="fetch", kind="silent"),
            Fault(on="balance", kind="stall_body"),
            Fault(on="download", kind="endless", seconds=0.01),
        ),
    )
    box = Sandbox(scenario=scenario)
    before = asyncio.all_tasks()
    async with Caller(box) as call:
        async with box:
            ticket = await call.submit(webhook="http://127.0.0.1:9/")
            stalled = [
                asyncio.create_task(call.fetch(ticket["id"])),
                asyncio.create_task(call.post("/api/wallet_balance")),
                asyncio.create_task(call.get(box.storage_url)),
            ]
            await _until_asked(box, 4)
        outcomes = await asyncio.gather(*stalled, return_exceptions=True)
        assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)
        with pytest.raises(aiohttp.ClientConnectorError):
            await call.submit()
    assert asyncio.all_tasks() == before
    gc.collect()


async def test_misuse_of_the_sandbox_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Sandbox(slots=0)
    async with Sandbox() as box, Caller(box) as call:
        with pytest.raises(KeyError, match="no job 5"):
            box.canonical(5)
        with pytest.raises(ValueError, match="only moves forward"):
            box.advance(-1)
        assert (await call.get(box.storage_url, method="DELETE"))[0] == 405


async def test_another_process_can_look_into_the_book() -> None:
    async with Sandbox() as box, aiohttp.ClientSession() as caller:
        fields = {"key": box.key, "prompt": "bells", "track_id": 7, "max_new_token": 256}
        async with caller.post(f"{box.url}/api/v6/voice/music_gen", json=fields) as answer:
            job_id = (await answer.json())["id"]
        async with caller.get(f"{box.url}/sandbox/book") as answer:
            book = await answer.json()
        async with caller.get(f"{box.url}/sandbox/files/{job_id}") as answer:
            assert await answer.read() == box.canonical(job_id)
        async with caller.get(f"{box.url}/sandbox/files/none") as answer:
            assert answer.status == 404
    assert book["debits"] == [[job_id, 0.01]]
    assert book["jobs"][0] | {"state": ""} == {
        "id": job_id,
        "path": "/api/v6/voice/music_gen",
        "track_id": 7,
        "prompt": "bells",
        "state": "",
    }
