"""Each switch of a scenario changes one thing, and that thing only."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.sandbox._scenario import Wav

from ..support.callers import SHORT, SUBMIT, Caller

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio
Reply = dict[str, Any]


async def replies(scenario: Scenario, **body: object) -> tuple[Sandbox, Reply, Reply, Reply]:
    """Return a box, its ticket, a pending and a finished fetch."""
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        ticket = await call.submit(**body)
        name = ticket.get("fetch_result", ticket.get("taskId", "")).rpartition("/")[2]
        family = "whisper" if "/whisper/" in ticket.get("fetch_result", "") else "voice"
        path = f"/api/v6/{family}/fetch/{name or ticket.get('id')}"
        _, pending = await call.post(path)
        box.advance(10)
        _, done = await call.post(path)
    return box, ticket, pending, done


SHAPES: dict[str, tuple[Scenario, Callable[[Reply, Reply, Reply], bool]]] = {
    "eta float": (Scenario(eta="float"), lambda t, p, d: isinstance(t["eta"], float)),
    "eta string": (Scenario(eta="string"), lambda t, p, d: t["eta"] == "2"),
    "eta absent": (Scenario(eta="absent"), lambda t, p, d: "eta" not in t),
    "eta wrong": (Scenario(eta_factor=10), lambda t, p, d: t["eta"] in (19, 20)),
    "eta in polls": (Scenario(poll_eta="right"), lambda t, p, d: p["eta"] == 2),
    "eta growing": (Scenario(poll_eta="growing"), lambda t, p, d: p["eta"] == 4),
    "id string": (
        Scenario(id="string"),
        lambda t, p, d: isinstance(t["id"], str) and "-" in t["id"] and d["id"] == t["id"],
    ),
    "id of fetch differs": (
        Scenario(id="fetch_differs"),
        lambda t, p, d: not t["fetch_result"].endswith(str(t["id"])) and d["status"] == "success",
    ),
    "task id": (
        Scenario(id="task_id"),
        lambda t, p, d: (
            "id" not in t
            and "output" not in t
            and t["status"] == "queued"
            and d["status"] == "success"
        ),
    ),
    "fetch host legacy": (
        Scenario(fetch_host="legacy"),
        lambda t, p, d: t["fetch_result"].startswith("https://stablediffusionapi.com/api/v6/"),
    ),
    "fetch by whisper": (
        Scenario(fetch_host="whisper"),
        lambda t, p, d: "/whisper/fetch/" in t["fetch_result"] and d["status"] == "success",
    ),
    "no fetch_result": (Scenario(fetch_host="absent"), lambda t, p, d: "fetch_result" not in t),
    "messege": (
        Scenario(spelling="messege"),
        lambda t, p, d: "messege" in t and "messege" in p and "message" not in {**t, **p},
    ),
    "tips": (Scenario(tip="tips"), lambda t, p, d: "tips" in t and "tip" not in {**t, **p}),
    "tip_1": (Scenario(tip="tip_1"), lambda t, p, d: "tip_1" in t),
    "output a string": (
        Scenario(output="string"),
        lambda t, p, d: d["output"] == t["future_links"][0] and t["output"] == "",
    ),
    "output empty at first": (
        Scenario(output="empty_then_list"),
        lambda t, p, d: d["output"] == [],
    ),
    "output always empty": (Scenario(output="always_empty"), lambda t, p, d: d["output"] == []),
    "output null": (Scenario(output="null"), lambda t, p, d: d["output"] is None),
    "output a number": (Scenario(output="number"), lambda t, p, d: d["output"] == 42),
    "output nested": (
        Scenario(output="nested"),
        lambda t, p, d: d["output"] == [t["future_links"]],
    ),
    "output twice": (
        Scenario(output="twice"),
        lambda t, p, d: d["output"] == t["future_links"] * 2,
    ),
    "output with a dead link": (
        Scenario(output="one_dead"),
        lambda t, p, d: d["output"][:1] == t["future_links"] and len(set(d["output"])) == 2,
    ),
    "output an object": (
        Scenario(output="object"),
        lambda t, p, d: d["output"] == [{"url": t["future_links"][0]}],
    ),
    "output under links": (
        Scenario(output="links"),
        lambda t, p, d: d["links"] == t["future_links"] and "output" not in d,
    ),
    "output a data URI": (
        Scenario(output="data_uri"),
        lambda t, p, d: d["output"][0].startswith("data:audio/wav;base64,UklGR"),
    ),
    "output base64": (
        Scenario(output="base64"),
        lambda t, p, d: base64.b64decode(d["output"][0])[:4] == b"RIFF",
    ),
    "output under chunk_output": (
        Scenario(output="chunk"),
        lambda t, p, d: base64.b64decode(d["chunk_output"])[:4] == b"RIFF" and "output" not in d,
    ),
    "no status": (Scenario(status="absent"), lambda t, p, d: "status" not in d and "output" in d),
    "failed": (Scenario(status="failed"), lambda t, p, d: d["status"] == "failed"),
    "error": (Scenario(status="error"), lambda t, p, d: d["status"] == "error"),
    "queued": (
        Scenario(status="queued"),
        lambda t, p, d: (t["status"], p["status"], d["status"]) == ("queued", "queued", "success"),
    ),
    "an unknown word": (Scenario(status="unknown"), lambda t, p, d: p["status"] == "warming_up"),
    "always failing": (Scenario(failure_probability=1), lambda t, p, d: d["status"] == "error"),
    "try again": (Scenario(try_again=1), lambda t, p, d: d["message"] == "Failed, Try Again"),
    "not found at first": (
        Scenario(not_found_polls=1),
        lambda t, p, d: p["message"] == "Request not found" and d["status"] == "success",
    ),
    "never found": (
        Scenario(not_found_polls=-1),
        lambda t, p, d: d["message"] == "Request not found" and d["id"] == "",
    ),
    "another job's success": (
        Scenario(wrong_id_polls=1),
        lambda t, p, d: d["status"] == "success" and d["id"] != t["id"],
    ),
    "never finished": (Scenario(never_finishes=True), lambda t, p, d: d["status"] == "processing"),
    "finished at the second poll": (
        Scenario(polls_to_finish=2, generation_seconds=9),
        lambda t, p, d: (p["status"], d["status"]) == ("processing", "success"),
    ),
    "proxy_links null": (
        Scenario(proxy_links="null"),
        lambda t, p, d: t["proxy_links"] is None and d["proxy_links"] is None,
    ),
    "proxy_links empty": (Scenario(proxy_links="empty"), lambda t, p, d: d["proxy_links"] == []),
    "proxy_links absent": (
        Scenario(proxy_links="absent"),
        lambda t, p, d: "proxy_links" not in {**t, **d},
    ),
    "the mirror has its own name": (
        Scenario(mirror_differs=True),
        lambda t, p, d: d["proxy_links"] == t["proxy_links"],
    ),
    "the output is not what was promised": (
        Scenario(future_differs=True),
        lambda t, p, d: d["output"] != t["future_links"],
    ),
    "a signed link": (
        Scenario(link_seconds=60),
        lambda t, p, d: d["output"][0].startswith(t["future_links"][0] + "?X-Expires="),
    ),
    "a seed above 2^31": (
        Scenario(seed_above_2_31=True),
        lambda t, p, d: t["meta"]["seed"] > 2**31,
    ),
    "plain booleans": (Scenario(json_style="plain"), lambda t, p, d: t["meta"]["temp"] is False),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_an_odd_shape(name: str) -> None:
    scenario, holds = SHAPES[name]
    _, ticket, pending, done = await replies(scenario)
    assert holds(ticket, pending, done)


async def test_the_key_can_come_back_in_every_answer() -> None:
    box, *answers = await replies(Scenario(echo_key=True))
    assert all(box.key in str(answer) for answer in answers)


async def test_a_fetch_on_a_foreign_host_is_only_noted() -> None:
    async with Sandbox(scenario=Scenario(fetch_host="foreign")) as box, Caller(box) as call:
        ticket = await call.submit()
        assert ticket["fetch_result"].startswith(box.foreign_url)
        status, _, _ = await call.get(ticket["fetch_result"])
    assert (status, box.book.count("foreign")) == (404, 1)


async def test_every_submit_can_answer_the_first_job_s_id() -> None:
    """S35."""
    async with Sandbox(scenario=Scenario(id="same")) as box, Caller(box) as call:
        first, second = await call.submit(), await call.submit()
    assert first["id"] == second["id"]
    assert len(box.book.jobs) == 2


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (SUBMIT, SHORT),
        (
            "/api/v6/voice/text_to_speech",
            {"prompt": "hello", "voice_id": "tara", "language": "hindi"},
        ),
    ],
)
async def test_a_fetch_can_echo_the_track_id_that_a_ticket_leaves_out(
    path: str, fields: dict[str, Any]
) -> None:
    scenario = Scenario(fetch_meta=True, generation_seconds=0)
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        _, ticket = await call.post(path, **fields, track_id=7)
        done = await call.fetch(ticket["id"])
    assert not {"track_id", "webhook"} & set(ticket["meta"])
    assert done["meta"]["track_id"] == 7


async def test_a_success_can_flap_back_to_processing() -> None:
    """P12."""
    scenario = Scenario(flap_polls=2, generation_seconds=0)
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        job = (await call.submit())["id"]
        words = [(await call.fetch(job))["status"] for _ in range(4)]
    assert words == ["success", "processing", "processing", "success"]


async def test_a_synchronous_job_can_fail() -> None:
    scenario = Scenario(mode="sync", status="failed", generation_seconds=0)
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        reply = await call.submit()
    assert (reply["status"], "output" in reply) == ("failed", False)
    assert len(box.book.debits) == 1


async def test_complaints_can_be_an_object_of_lists_with_http_200() -> None:
    async with Sandbox(scenario=Scenario(validation="object")) as box, Caller(box) as call:
        status, reply = await call.post(SUBMIT, temp="no", prompt="")
    assert status == 200
    assert reply["message"] == {
        "prompt": ["The prompt field is required."],
        "temp": ["The temp field must be true or false."],
    }


async def test_every_refusal_can_come_with_http_200() -> None:
    scenario = Scenario(error_status="always200", retry_after=None)
    async with Sandbox(scenario=scenario, slots=1, balance=0.01) as box, Caller(box) as call:
        refused = [await call.post(SUBMIT, key="wrong", **SHORT), await call.post(SUBMIT)]
        await call.submit()
        refused.append(await call.post(SUBMIT, **SHORT))
    assert [(status, reply["status"]) for status, reply in refused] == [(200, "error")] * 3


@pytest.mark.parametrize(("kind", "status"), [("text429", 429), ("text503", 503), ("text200", 200)])
async def test_a_full_queue_can_be_told_in_plain_text(kind: Any, status: int) -> None:
    async with Sandbox(scenario=Scenario(queue_full=kind), slots=1) as box, Caller(box) as call:
        await call.submit()
        assert await call.post(SUBMIT, **SHORT) == (status, "queue is full, current_queue: 1")


async def test_a_full_queue_may_give_no_hint() -> None:
    """S25."""
    async with Sandbox(scenario=Scenario(retry_after=None), slots=1) as box, Caller(box) as call:
        await call.submit()
        _, refusal = await call.post(SUBMIT, **SHORT)
    assert list(refusal) == ["status", "message"]


async def test_an_identical_submit_trips_the_spam_filter_for_a_while() -> None:
    scenario = Scenario(spam_filter_seconds=30)
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        await call.submit()
        status, spam = await call.post(SUBMIT, **SHORT)
        await call.submit(track_id=2)
        box.advance(30)
        await call.submit()
    assert (status, spam["status"], "spam filter" in spam["tips"]) == (200, "error", True)
    assert len(box.book.debits) == 3


@pytest.mark.parametrize(("where", "mirror"), [("primary", 200), ("both", 403)])
async def test_files_can_be_missing_for_a_while_after_success(where: Any, mirror: int) -> None:
    """D18."""
    scenario = Scenario(cdn_lag_seconds=5, cdn_lag_on=where, cdn_lag_status=403)
    async with Sandbox(scenario=scenario) as box, Caller(box) as call:
        ticket = await call.submit()
        box.advance(2)
        reply = await call.fetch(ticket["id"])
        links = [reply["output"][0], reply["proxy_links"][0]]
        early = [(await call.get(link))[0] for link in links]
        box.advance(5)
        late = [(await call.get(link))[0] for link in links]
    assert (early, late) == ([403, mirror], [200, 200])


async def test_a_signed_link_dies_and_a_fetch_gives_a_fresh_one() -> None:
    """D19, P16."""
    async with Sandbox(scenario=Scenario(link_seconds=60)) as box, Caller(box) as call:
        reply = await call.finished()
        old = reply["output"][0]
        statuses = [(await call.get(old))[0]]
        box.advance(61)
        fresh = (await call.fetch(reply["id"]))["output"][0]
        statuses += [(await call.get(link))[0] for link in (old, fresh)]
    assert statuses == [200, 403, 200]


async def test_the_object_can_be_base64_text() -> None:
    async with Sandbox(scenario=Scenario(output="base64_body")) as box, Caller(box) as call:
        reply = await call.finished()
        _, headers, body = await call.get(reply["output"][0])
    assert headers["Content-Type"] == "text/plain"
    assert base64.b64decode(body) == box.canonical(reply["id"])


@pytest.mark.parametrize("kind", get_args(Wav))
async def test_a_file_in_each_container_holds_the_same_frames(kind: Any) -> None:
    """D15."""
    async with Sandbox(scenario=Scenario(wav=kind)) as box, Caller(box) as call:
        reply = await call.finished()
        _, _, body = await call.get(reply["output"][0])
        assert body == box.canonical(reply["id"])
    fmt, data = body.index(b"fmt "), body.index(b"data", 12)
    rate, _, block = struct.unpack_from("<IIH", body, fmt + 12)
    frames = {"pcm24": 6, "float32": 8, "extensible_float": 8}.get(kind, 4)
    trailing = 11 if kind == "odd_chunk" else 0
    assert (rate, block) == (5000, frames)
    assert len(body) - data - 8 - trailing == round(5000 * 253 / 50) * block
    (riff,) = struct.unpack_from("<I", body, 4)
    lies = {
        "streaming_size": 0xFFFFFFFF,
        "rf64": 0xFFFFFFFF,
        "zero_size": 0,
        "size_too_small": len(body) - 1008,
        "size_too_big": len(body) + 992,
        "data_past_end": len(body) + 992,
    }
    assert riff == lies.get(kind, len(body) - 8)


@pytest.mark.parametrize(("form", "magic"), [("mp3", b"\xff\xfb"), ("flac", b"fLaC")])
async def test_other_formats_are_served_as_such(form: str, magic: bytes) -> None:
    async with Sandbox() as box, Caller(box) as call:
        reply = await call.finished(output_format=form, sampling_rate=44100)
        _, headers, body = await call.get(reply["output"][0])
    assert reply["output"][0].endswith(f".{form}")
    assert headers["Content-Type"] == {"mp3": "audio/mpeg", "flac": "audio/flac"}[form]
    assert (body[: len(magic)], body) == (magic, box.canonical(reply["id"]))


async def test_webhooks_can_tell_of_unfinished_jobs_come_twice_and_name_ids_as_text() -> None:
    heard: list[Reply] = []

    async def receive(request: web.Request) -> web.Response:
        heard.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    scenario = Scenario(
        webhook_processing=1,
        webhook_duplicates=1,
        webhook_id="string",
        webhook_early=False,
        webhook_delay_seconds=5,
        generation_seconds=0,
        faults=(Fault(on="webhook", kind="patch", fields={"output": 3}, without=("meta",)),),
    )
    async with TestServer(app) as receiver, Sandbox(scenario=scenario) as box, Caller(box) as call:
        ticket = await call.submit(webhook=str(receiver.make_url("/")))
        done = (await call.fetch(ticket["id"]))["status"]
        box.advance(5)
        await box.delivered()
    assert done == "success"
    assert [(note["status"], note["id"]) for note in heard] == [
        ("processing", str(ticket["id"])),
        ("success", str(ticket["id"])),
        ("success", str(ticket["id"])),
    ]
    assert [(note["output"], "meta" in note) for note in heard[1:]] == [(3, False)] * 2


async def test_a_receiver_that_is_not_there_is_noted() -> None:
    async with Sandbox(scenario=Scenario(generation_seconds=0)) as box, Caller(box) as call:
        await call.submit(webhook="http://127.0.0.1:1/")
        await box.delivered()
    (delivery,) = box.book.webhooks
    assert delivery.status is None
    assert delivery.error is not None
    assert "ClientConnectorError" in delivery.error


async def test_single_deliveries_can_be_lost_late_or_nonsense() -> None:
    heard: list[bytes] = []

    async def receive(request: web.Request) -> web.Response:
        heard.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    faults = (
        Fault(on="webhook", kind="lost"),
        Fault(on="webhook", kind="answer", body="[1,"),
        Fault(on="webhook", kind="late", seconds=60),
    )
    scenario = Scenario(generation_seconds=0, faults=faults)
    async with TestServer(app) as receiver, Sandbox(scenario=scenario) as box, Caller(box) as call:
        for _ in range(2):
            await call.submit(webhook=str(receiver.make_url("/")))
            await box.delivered()
        await call.submit(webhook=str(receiver.make_url("/")))
        before = len(heard)
        box.advance(60)
        await box.delivered()
    assert (heard[0], before, len(heard)) == (b"[1,", 1, 2)


async def test_a_job_keeps_the_scenario_of_its_header_for_its_downloads() -> None:
    header = '{"generation_seconds": 0, "cdn_lag_seconds": 60, "cdn_lag_on": "both"}'
    async with Sandbox() as box, Caller(box) as call:
        _, lagging = await call.post(SUBMIT, header, **SHORT)
        plain = await call.submit()
        box.advance(5)
        statuses = [(await call.get(t["future_links"][0]))[0] for t in (lagging, plain)]
    assert statuses == [404, 200]
