"""S rows: whatever befalls one submit, a job is paid for once at most, and never out of sight."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import (
    APIError,
    AuthenticationError,
    BadRequest,
    InsufficientCredits,
    JobStatus,
    ModelsLab,
    MusicGen,
    NotFound,
    PermissionDenied,
    SubmitUnknown,
)
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.quick import client_of
from ..support.tracks import says

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rock music from the 90s", max_new_token=256, track_id=4711)
LARGE = MusicGen("rock " * 800_000, max_new_token=256, track_id=4711)
QUICK = Scenario(generation_seconds=0.02, eta="float")


def submits(box: Sandbox) -> int:
    return box.book.count("api", MusicGen.ENDPOINT)


def spoilt(kind: Any, **more: Any) -> Scenario:
    """A sandbox whose first submit goes wrong; a second one would be accepted."""
    return Scenario(never_finishes=True, faults=(Fault(on="submit", kind=kind, **more),))


async def unknown(box: Sandbox, request: MusicGen = REQUEST, **settings: Any) -> SubmitUnknown:
    """The error of a submit whose outcome cannot be known, after it was sent just once."""
    async with client_of(box, **settings) as client:
        with pytest.raises(SubmitUnknown, match=r"with track_id 4711: .*before you send") as caught:
            await client.submit(request)
    assert submits(box) <= 1
    assert box.book.key_seen_on() <= {"api"}
    assert not caught.value.retryable
    assert caught.value.track_id == 4711
    return caught.value


# --- the connection breaks --------------------------------------------------------------------

BROKEN = {
    "s10_reset_after_accepting": ("reset", {}, 1),
    "s09_reset_before_accepting": ("reset", {"accepted": False}, 0),
    "s11_cut_inside_the_headers": ("cut_headers", {}, 1),
    "s12_cut_inside_the_body": ("cut_body", {}, 1),
    "s12_reset_inside_the_body": ("reset_body", {}, 1),
    "s12_length_above_the_body": ("long_length", {}, 1),
    "s12_length_below_the_body": ("short_length", {}, 1),
    "s13_chunks_without_the_last": ("chunked_cut", {}, 1),
    "s13_chunks_that_end_early": ("chunked_early_end", {}, 1),
    "s14_cut_without_a_length": ("close_delimited_cut", {}, 1),
    "s14_cut_under_http_1_0": ("http10_cut", {}, 1),
    "s15_silent_after_accepting": ("silent", {}, 1),
    "s16_silent_before_accepting": ("silent", {"accepted": False}, 0),
    "s16_stalled_inside_the_body": ("stall_body", {}, 1),
    "s19_no_status_line": ("garbage", {}, 1),
    "s21_chunk_size_that_is_no_number": ("bad_chunk", {}, 1),
    "s21_length_and_chunks": ("length_and_chunked", {}, 1),
    "s21_two_lengths": ("two_lengths", {}, 1),
    "s21_negative_length": ("negative_length", {}, 1),
    "s28_gzip_cut": ("gzip_cut", {}, 1),
    "t11_body_without_end": ("endless", {"seconds": 0}, 1),
}


@pytest.mark.parametrize(("kind", "more", "charges"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_unknown_and_never_asked_for_again(
    kind: str, more: dict[str, Any], charges: int
) -> None:
    waits = kind in ("silent", "stall_body")
    async with Sandbox(scenario=spoilt(kind, **more)) as box:
        await unknown(box, submit_timeout=0.1 if waits else 2.0)
        assert (len(box.book.debits), submits(box)) == (charges, 1)


async def test_s07_a_reset_before_the_server_reads_is_unknown() -> None:
    scenario = Scenario(faults=(Fault(on="connect", kind="reset"),))
    async with Sandbox(scenario=scenario) as box:
        await unknown(box)
        assert not box.book.debits


async def test_s08_a_reset_while_the_body_is_on_its_way_is_unknown() -> None:
    async with Sandbox(scenario=spoilt("reset_in_request")) as box:
        await unknown(box, LARGE)
        assert not box.book.debits


async def test_s37_a_server_that_reads_too_slowly_is_unknown() -> None:
    async with Sandbox(scenario=spoilt("slow_request", at=1024, seconds=0.01)) as box:
        await unknown(box, LARGE, submit_timeout=0.1)
        assert not box.book.debits


# --- the server breaks down -------------------------------------------------------------------

BREAKDOWNS = {
    **{f"s17_edge_{status}": ("edge", status) for status in (504, 522, 524)},
    **{f"s18_edge_{status}": ("edge", status) for status in (500, 502, 503, 520)},
    **{f"s18_runtime_{status}": ("runtime", status) for status in (500, 503, 408)},
    **{f"s18_json_{status}": ("json", status) for status in (500, 502, 503)},
    **{f"s18_empty_{status}": ("empty", status) for status in (500, 503)},
}


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not_accepted"])
@pytest.mark.parametrize(("kind", "status"), BREAKDOWNS.values(), ids=BREAKDOWNS.keys())
async def test_a_breakdown_of_the_server_is_unknown(kind: str, status: int, accepted: bool) -> None:
    async with Sandbox(scenario=spoilt(kind, status=status, accepted=accepted)) as box:
        await unknown(box)
        assert (len(box.book.debits), submits(box)) == (int(accepted), 1)


NAMING: dict[str, Fault] = {
    **{
        f"ticket_{status}": Fault(on="submit", kind="patch", status=status)
        for status in (400, 403, 429, 500, 503)
    },
    "error": Fault(on="submit", kind="patch", fields={"status": "error", "message": "no"}),
    "failed": Fault(
        on="submit", kind="patch", status=402, fields={"status": "failed", "message": "no"}
    ),
    "full_queue": Fault(
        on="submit",
        kind="patch",
        status=429,
        fields={"status": "error", "message": "Rate limit exceeded", "retry_after": 1},
    ),
    "gateway": Fault(
        on="submit", kind="patch", status=504, fields={"error": "x"}, without=("status",)
    ),
}


@pytest.mark.parametrize("fault", NAMING.values(), ids=NAMING.keys())
async def test_s44_an_answer_that_names_a_job_is_followed_whatever_else_it_says(
    fault: Fault,
) -> None:
    async with Sandbox(scenario=evolve(QUICK, faults=(fault,))) as box, client_of(box) as client:
        assert {int((await client.generate(REQUEST)).id)} == set(box.book.jobs)
        assert len(box.book.debits) == submits(box) == 1


@pytest.mark.parametrize("status", [409, 425, 499])
async def test_s18_a_status_that_proves_nothing_is_unknown(status: int) -> None:
    async with Sandbox(scenario=spoilt("html", status=status)) as box:
        await unknown(box)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    ["{foreign}{path}", "{api}{path}", "{storage}{path}", "//u:p@127.0.0.1/", "file:///x", None],
    ids=str,
)
async def test_s33_a_redirect_is_unknown_and_takes_the_key_nowhere(
    status: int, location: str | None
) -> None:
    async with Sandbox(scenario=spoilt("redirect", status=status, location=location)) as box:
        assert f"a redirect (HTTP {status})" in str(await unknown(box))
        assert len(box.book.requests) == len(box.book.debits) == 1


# --- the answer cannot be understood ----------------------------------------------------------

TICKET = '{"status": "processing", "id": 43730, "eta": 3}'
UNREADABLE = {
    "html": ("<!DOCTYPE html><html></html>", "utf-8"),
    "empty": ("", "utf-8"),
    "text": ("please come back later", "utf-8"),
    "array": (f"[{TICKET}, {TICKET}]", "utf-8"),
    "base64": ("eyJzdGF0dXMiOiAicHJvY2Vzc2luZyJ9", "utf-8"),
    "deep": ("[" * 100_000, "utf-8"),
    "two_ids": ('{"status": "processing", "id": 1, "id": 2}', "utf-8"),
    "long_integer": ('{"status": "processing", "id": ' + "9" * 5000 + "}", "utf-8"),
    "not_a_number": ('{"status": "processing", "id": NaN}', "utf-8"),
}


@pytest.mark.parametrize(("body", "encoding"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_s28_an_unreadable_200_is_unknown(body: str, encoding: str) -> None:
    async with Sandbox(scenario=spoilt("answer", body=body, encoding=encoding)) as box:
        await unknown(box)
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
async def test_s28_marks_and_encodings_do_not_hide_a_ticket(encoding: str) -> None:
    marked = spoilt("answer", body=TICKET, encoding=encoding)
    async with Sandbox(scenario=marked) as box, client_of(box) as client:
        assert (await client.submit(REQUEST)).id == "43730"


@pytest.mark.parametrize("kind", ["long_header", "many_headers", "gzip"])
async def test_s20_s28_what_a_gateway_adds_does_not_hide_a_ticket(kind: str) -> None:
    async with Sandbox(scenario=spoilt(kind)) as box, client_of(box) as client:
        job = await client.submit(REQUEST)
        assert {int(job.id)} == set(box.book.jobs)


USELESS_IDS = [
    None,
    "",
    True,
    1.5,
    [1],
    {"id": 1},
    2**63,
    0,
    -1,
    "..",
    "../x",
    "a b",
    "a\n",
    "x" * 129,
]


@pytest.mark.parametrize("value", USELESS_IDS, ids=lambda value: repr(value)[:20])
async def test_s29_a_ticket_with_an_id_of_no_use_is_unknown(value: object) -> None:
    fields = {"id": value, "fetch_result": "https://elsewhere.example/api/v6/voice/fetch/7"}
    async with Sandbox(scenario=spoilt("patch", fields=fields)) as box:
        await unknown(box)
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("value", USELESS_IDS, ids=lambda value: repr(value)[:20])
async def test_s46_a_trusted_fetch_result_names_the_job_where_the_id_does_not(
    value: object,
) -> None:
    odd = Fault(on="submit", kind="patch", fields={"id": value})
    async with Sandbox(scenario=Scenario(generation_seconds=0, faults=(odd,))) as box:
        async with client_of(box) as client:
            job = await client.submit(REQUEST)
            await job.refresh()
        assert {int(job.id)} == set(box.book.jobs)
        assert job.status is JobStatus.SUCCESS


ETAS: list[Any] = ["soon", None, -5, 0, 1e300, [], "NaN", True]
OUTPUTS: list[Any] = ["", None, 42, [[["x"]]], {"url": 1}]
STATUSES: list[Any] = ["", None, 7, "warming_up", ["processing"]]
ODD_FIELDS: list[dict[str, Any]] = [
    *[{"eta": eta} for eta in ETAS],
    *[{"output": output} for output in OUTPUTS],
    *[{"status": status} for status in STATUSES],
    {"future_links": "https://elsewhere.example/x.wav"},
    {"meta": "none", "track_id": {}},
    {"fetch_result": "https://elsewhere.example/api/v6/voice/fetch/1"},
]


@pytest.mark.parametrize("fields", ODD_FIELDS, ids=lambda fields: json.dumps(fields)[:40])
async def test_s29_a_ticket_with_other_odd_fields_is_a_ticket(fields: dict[str, Any]) -> None:
    odd = Fault(on="submit", kind="patch", fields=fields)
    async with Sandbox(scenario=Scenario(generation_seconds=0, faults=(odd,))) as box:
        async with client_of(box) as client:
            job = await client.submit(REQUEST)
            await job.refresh()
        assert {int(job.id)} == set(box.book.jobs)
        assert job.status is JobStatus.SUCCESS
        assert box.book.key_seen_on() == {"api"}


# --- the API says no --------------------------------------------------------------------------

NO = [
    (401, {"message": "Invalid API key"}, AuthenticationError),
    (402, {"message": "Insufficient credits"}, InsufficientCredits),
    (403, {"message": "Your plan does not include this"}, PermissionDenied),
    (400, {"messege": "prompt is required"}, BadRequest),
    (422, {"message": {"prompt": ["The prompt field is required."]}}, BadRequest),
    (413, {"message": "Too large"}, BadRequest),
    (200, {"message": "Invalid API key"}, AuthenticationError),
    (200, {"messege": "Insufficient credits. Recharge your wallet"}, InsufficientCredits),
    (200, {"message": {"prompt": ["The prompt field is required."]}}, BadRequest),
    (200, {"message": "Model not found: musicgen-9"}, BadRequest),
    (400, {"message": "'recharge your wallet' and 'spam filter' are not allowed"}, BadRequest),
]


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    NO,
    ids=[f"{status}-{json.dumps(words)[:30]}" for status, words, _ in NO],
)
async def test_s27_a_refusal_is_told_by_its_kind_and_costs_nothing(
    status: int, words: dict[str, Any], kind: type[APIError]
) -> None:
    body = json.dumps({"status": "error", **words})
    scenario = spoilt("answer", status=status, body=body, accepted=False)
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        with pytest.raises(kind) as caught:
            await client.submit(REQUEST)
        assert (caught.value.status_code, caught.value.track_id) == (status, 4711)
        assert (len(box.book.debits), submits(box)) == (0, 1)
        assert (await client.submit(REQUEST)).id  # and its slot is free again


NO_PROOF: dict[str, tuple[int, str]] = {
    "s40_internal": (200, '{"status": "error", "message": "Internal server error. Try again."}'),
    "s40_timeout": (408, '{"status": "error", "message": "Request Timeout"}'),
    "s40_deadlock": (400, '{"status": "error", "message": "Deadlock found"}'),
    "s40_curl": (422, '{"status": "failed", "message": "cURL error 28: timed out"}'),
    "s40_too_early": (425, '{"status": "error", "message": "Too Early"}'),
    "s40_conflict": (409, '{"status": "error", "message": "prompt is required"}'),
    "s40_unknown_words": (200, '{"status": "error", "tips": "nobody has seen this before"}'),
    "s40_no_words": (200, '{"status": "error"}'),
    "s41_block_page": (403, "<html><title>Attention Required!</title></html>"),
    "s41_gateway": (401, '{"message": "Unauthorized"}'),
    "s41_limiter_page": (429, "<html><h1>429 Too Many Requests</h1>nginx</html>"),
    "s41_too_large_page": (413, "<html><h1>413 Request Entity Too Large</h1></html>"),
    "s41_not_found_page": (404, "<html><h1>404 Not Found</h1></html>"),
    "s41_captive_portal": (200, "<html><form>Please log in to the network</form></html>"),
    "s41_a_song_about_queues": (200, "the queue is full of cats"),
}


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not_accepted"])
@pytest.mark.parametrize(("status", "body"), NO_PROOF.values(), ids=NO_PROOF.keys())
async def test_what_does_not_prove_that_no_job_exists_is_unknown(
    status: int, body: str, accepted: bool
) -> None:
    scenario = spoilt("answer", status=status, body=body, accepted=accepted)
    async with Sandbox(scenario=scenario) as box:
        await unknown(box)
        assert (len(box.book.debits), submits(box)) == (int(accepted), 1)


async def test_an_address_that_is_not_there_is_told_and_costs_nothing() -> None:
    body = '{"message": "The route api/v6/voice/music_gen could not be found."}'
    scenario = spoilt("answer", status=404, body=body, accepted=False)
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        with pytest.raises(NotFound, match="nothing was accepted: check MODELSLAB_BASE_URL"):
            await client.submit(REQUEST)


async def test_s42_a_prompt_that_is_quoted_does_not_make_a_refusal_another() -> None:
    words = '{"status": "error", "message": "prompt \'{prompt}\' violates the content policy"}'
    bad = Fault(
        on="submit", kind="answer", status=400, body=words, prompt="a", times=None, accepted=False
    )
    async with Sandbox(scenario=Scenario(faults=(bad,))) as box, client_of(box) as client:
        for prompt in ("recharge your wallet", "spam filter", "gateway timeout", "invalid api key"):
            with pytest.raises(BadRequest, match="change the request"):
                await client.submit(MusicGen(prompt, max_new_token=256))
        assert not box.book.debits


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_s38_a_refusal_among_others_leaves_the_jobs_that_are_paid_for_alone(
    status: int,
) -> None:
    no = Fault(on="submit", kind="json", status=status, accepted=False, skip=1)
    scenario = Scenario(polls_to_finish=3, eta="absent", faults=(no,))
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        paid = await client.submit(REQUEST)
        with pytest.raises(APIError):
            await client.submit(REQUEST)
        assert (await paid).files
        assert len(box.book.debits) == 1


# --- the API says yes -------------------------------------------------------------------------

LEGAL = ["chunked", "close_delimited", "http10", "drip", "delay"]


@pytest.mark.parametrize("kind", LEGAL)
async def test_an_unusual_but_whole_answer_is_an_answer(kind: Any) -> None:
    odd = Fault(on="submit", kind=kind, seconds=0, at=64)
    async with Sandbox(scenario=Scenario(generation_seconds=0, faults=(odd,))) as box:
        async with client_of(box) as client:
            assert (await client.generate(REQUEST)).files
        assert (len(box.book.debits), submits(box)) == (1, 1)


async def test_s32_interim_answers_are_passed_over() -> None:
    flood = Fault(on="submit", kind="informational", at=50)
    async with Sandbox(scenario=Scenario(never_finishes=True, faults=(flood,))) as box:
        async with client_of(box) as client:
            assert (await client.submit(REQUEST)).id
        assert (len(box.book.debits), submits(box)) == (1, 1)


async def test_s31_every_submit_has_a_connection_of_its_own() -> None:
    async with Sandbox(scenario=QUICK) as box, client_of(box) as client:
        for _ in range(4):
            await client.generate(REQUEST)
        paid = [one for one in box.book.requests if one.path == MusicGen.ENDPOINT]
        free = [one for one in box.book.requests if one.path != MusicGen.ENDPOINT]
    assert len({one.connection for one in paid}) == 4
    assert not {one.connection for one in paid} & {one.connection for one in free}


async def test_s34_a_job_that_is_finished_at_once_is_not_polled() -> None:
    scenario = Scenario(mode="sync", generation_seconds=0)
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        job = await client.submit(REQUEST)
        assert job.status is JobStatus.SUCCESS
        assert (await job).files
        assert len(box.book.requests) == len(box.book.debits) == 1


async def test_s34_a_job_that_is_finished_at_once_may_come_without_an_id() -> None:
    nameless = Fault(on="submit", kind="patch", without=("id",), times=2)
    scenario = Scenario(mode="sync", generation_seconds=0, faults=(nameless,))
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        first, second = [await client.generate(REQUEST) for _ in range(2)]
        assert first.id == second.id == ""
        assert first.files != second.files
        assert len(box.book.debits) == 2


@pytest.mark.parametrize("finished", [False, True], ids=["s35", "s36"])
async def test_one_id_for_two_submits_is_unknown_and_the_first_job_stands(finished: bool) -> None:
    scenario = Scenario(id="same", polls_to_finish=2, eta="absent")
    async with Sandbox(scenario=scenario) as box, client_of(box) as client:
        first = await client.submit(REQUEST)
        if finished:
            await first
        with pytest.raises(
            SubmitUnknown, match=f"returned job {first.id} for two submits"
        ) as caught:
            await client.submit(REQUEST)
        assert caught.value.job_id == first.id
        assert (await first).id == first.id
        assert (len(box.book.debits), submits(box)) == (2, 2)


async def test_x14_an_answer_that_came_while_the_loop_stood_still_is_read_before_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticket = b'{"status":"processing","id":77,"eta":1000}'
    asked, standing, answered = threading.Event(), threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while not connection.recv(65536).endswith(b"}"):
                pass
            asked.set()
            standing.wait()
            connection.sendall(says(ticket))
            answered.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with ModelsLab("a-key-of-no-account", base_url=url, submit_timeout=60) as client:
            task = asyncio.create_task(client.submit(REQUEST))
            while not asked.is_set():
                await asyncio.sleep(0)
            standing.set()
            answered.wait()
            loop = asyncio.get_running_loop()
            real = loop.time
            monkeypatch.setattr(loop, "time", lambda: real() + 600)
            assert (await task).id == "77"
        server.join()
