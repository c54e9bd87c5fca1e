"""P rows: an answer to a poll may be anything, and a job that is paid for is not lost by it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import (
    APIError,
    AuthenticationError,
    InsufficientCredits,
    JobFailed,
    JobStatus,
    JobTimeout,
    ModelsLabError,
    MusicGen,
    PermissionDenied,
    PollPolicy,
)
from modelslab_async.sandbox import Fault, RequestRecord, Sandbox, Scenario

from ..support.quick import client_of

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rock music from the 90s", max_new_token=256)
EAGER = PollPolicy(first=0.005, min_interval=0.005, max_interval=0.02, rate=2000)


def polls(box: Sandbox) -> list[RequestRecord]:
    return [one for one in box.book.requests if "/fetch/" in one.path]


def spoilt(kind: Any, *, times: int | None = 2, **more: Any) -> Scenario:
    """A sandbox whose first polls go wrong."""
    fault = Fault(on="fetch", kind=kind, times=times, **more)
    return Scenario(generation_seconds=0, eta="float", faults=(fault,))


# --- polls that bring nothing -----------------------------------------------------------------

NOTHING: dict[str, tuple[str, dict[str, Any]]] = {
    "p02_reset": ("reset", {}),
    "p02_reset_in_request": ("reset_in_request", {}),
    "p02_reset_inside_the_body": ("reset_body", {}),
    "p03_silent": ("silent", {}),
    "p03_stalled_inside_the_body": ("stall_body", {}),
    "p04_cut_inside_the_headers": ("cut_headers", {}),
    "p04_cut_inside_the_body": ("cut_body", {}),
    "p04_chunks_without_the_last": ("chunked_cut", {}),
    "p04_chunks_that_end_early": ("chunked_early_end", {}),
    "p04_cut_without_a_length": ("close_delimited_cut", {}),
    "p04_bad_chunk": ("bad_chunk", {}),
    "p04_two_lengths": ("two_lengths", {}),
    "p04_no_status_line": ("garbage", {}),
    "p04_gzip_cut": ("gzip_cut", {}),
    **{f"p05_edge_{status}": ("edge", {"status": status}) for status in (502, 504, 520, 522, 524)},
    **{f"p05_runtime_{status}": ("runtime", {"status": status}) for status in (500, 503, 408)},
    **{f"p05_json_{status}": ("json", {"status": status}) for status in (500, 503)},
    "p05_html": ("html", {}),
    "p05_empty": ("empty", {}),
    "p05_empty_500": ("empty", {"status": 500}),
    "p05_xml": ("xml", {"status": 200}),
    "p14_unknown_word": ("answer", {"body": '{"status": "warming_up", "output": ""}'}),
    "p14_no_words": ("answer", {"body": "{}"}),
    "p14_list": ("answer", {"body": "[]"}),
    "p15_failure_of_another_job": ("answer", {"body": '{"status": "failed", "id": 99999}'}),
    "p18_deep": ("answer", {"body": "[" * 100_000}),
    "p18_5_mib": ("answer", {"body": json.dumps({"status": "success", "tip": "x" * 5 * 2**20})}),
    "p18_long_integer": ("answer", {"body": '{"status": "success", "id": ' + "9" * 5000 + "}"}),
    "p18_body_without_end": ("endless", {"seconds": 0}),
}


@pytest.mark.parametrize(("kind", "more"), NOTHING.values(), ids=NOTHING.keys())
async def test_a_poll_that_brings_nothing_is_asked_again(kind: str, more: dict[str, Any]) -> None:
    poll = evolve(EAGER, timeout=0.05) if kind in ("silent", "stall_body") else EAGER
    async with Sandbox(scenario=spoilt(kind, **more)) as box, client_of(box, poll=poll) as client:
        generation = await client.generate(REQUEST)
        assert {int(generation.id)} == set(box.book.jobs)
        assert len(polls(box)) == 3
        assert len(box.book.debits) == 1


async def test_p01_a_connection_that_is_reset_at_once_is_tried_again() -> None:
    reset = Fault(on="connect", kind="reset", skip=1, times=3)
    scenario = Scenario(generation_seconds=0, faults=(reset,))
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).files
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_p22_a_redirect_is_not_followed(status: int) -> None:
    scenario = spoilt("redirect", status=status, location="{foreign}{path}")
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).files
        assert box.book.key_seen_on() == {"api"}
        assert box.book.count("foreign") == 0


# --- polls that say no ------------------------------------------------------------------------

NO: dict[str, tuple[int, str, type[APIError]]] = {
    "p07_401": (401, "Invalid API key", AuthenticationError),
    "p07_402": (402, "Insufficient credits", InsufficientCredits),
    "p07_403": (403, "Your plan does not include this", PermissionDenied),
    "p07_200": (200, "Invalid API key", AuthenticationError),
}


@pytest.mark.parametrize(("status", "words", "kind"), NO.values(), ids=NO.keys())
async def test_a_refusal_gives_the_job_back_to_go_on_with(
    status: int, words: str, kind: type[APIError]
) -> None:
    body = json.dumps({"status": "error", "message": words})
    scenario = spoilt("answer", times=2, status=status, body=body)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        job = await client.submit(REQUEST)
        with pytest.raises(kind) as caught:
            await job
        assert caught.value.job == job.to_json()
        assert job.status is JobStatus.DETACHED
        assert (await client.job(job.to_json())).id == job.id
        assert (await job).id == job.id
        assert len(box.book.debits) == 1


ONCE: dict[str, tuple[int, str]] = {
    "p24_failed": (200, '{"status": "failed", "message": "no"}'),
    "p24_a_bad_request": (200, '{"status": "error", "message": "prompt is required"}'),
    "p24_400": (400, '{"status": "error", "message": "no"}'),
    "p24_key": (401, '{"status": "error", "message": "Invalid API key"}'),
    "p24_credits": (402, '{"status": "error", "message": "Insufficient credits"}'),
    "p24_plan": (403, '{"status": "error", "message": "Your plan does not include this"}'),
    "p24_key_in_a_200": (200, '{"status": "error", "message": "Invalid API key"}'),
    "p24_no_such_address": (404, '{"message": "The route x could not be found."}'),
}
NEVER: dict[str, tuple[int, str]] = {
    "p24_block_page": (403, "<html><title>Just a moment...</title></html>"),
    "p24_login_page": (401, "<html><title>Log in</title></html>"),
    "p24_proxy_page": (407, "<html><title>Proxy Authentication Required</title></html>"),
    "p24_captive_portal": (200, "<html><form>Log in to the network</form></html>"),
    "p24_payment_page": (402, "<html>pay here</html>"),
    "p24_gateway": (403, '{"message": "Forbidden"}'),
    "p24_envoy": (401, '{"error": {"code": 401, "status": "UNAUTHENTICATED"}}'),
    "p24_internal": (200, '{"status": "error", "message": "Internal server error. Try again."}'),
    "p24_timeout": (408, '{"status": "error", "message": "Request Timeout"}'),
    "p24_too_early": (425, '{"status": "error", "message": "Too Early"}'),
    "p24_conflict": (409, '{"status": "failed", "message": "no"}'),
    "p24_deadlock": (400, '{"status": "failed", "message": "Deadlock found"}'),
    "p24_server_error": (500, '{"status": "failed", "message": "Processing failed"}'),
    "p24_upstream": (200, '{"status": "failed", "message": "upstream unavailable"}'),
}


@pytest.mark.parametrize(("status", "body"), ONCE.values(), ids=ONCE.keys())
async def test_one_answer_ends_no_job(status: int, body: str) -> None:
    scenario = spoilt("answer", times=1, status=status, body=body)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).polls == 2


@pytest.mark.parametrize(("status", "body"), NEVER.values(), ids=NEVER.keys())
async def test_what_anybody_on_the_way_says_ends_no_job_however_often(
    status: int, body: str
) -> None:
    scenario = spoilt("answer", times=5, status=status, body=body)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).polls == 6
        assert len(box.book.debits) == 1


async def test_a_job_whose_failure_quotes_a_prompt_of_odd_words_has_failed() -> None:
    prompt = "internal server error, gateway timeout"
    scenario = Scenario(
        generation_seconds=0, eta="float", status="failed", failure_message=f"bad '{prompt}'"
    )
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        with pytest.raises(JobFailed):
            await client.generate(MusicGen(prompt, max_new_token=256))


async def test_p08_a_job_that_is_not_found_at_first_is_found() -> None:
    scenario = Scenario(generation_seconds=0, eta="float", not_found_polls=3)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).polls == 4
        assert len(box.book.debits) == 1


async def test_p09_failed_try_again_is_asked_again() -> None:
    scenario = Scenario(generation_seconds=0, eta="float", try_again=3)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).polls == 4
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("status", ["failed", "error"])
async def test_p10_a_failed_job_says_why_and_not_the_key(status: Any) -> None:
    scenario = Scenario(generation_seconds=0, eta="float", status=status, echo_key=True)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        job = await client.submit(REQUEST)
        with pytest.raises(JobFailed, match="ran out of memory") as caught:
            await job
        assert box.key not in repr(caught.value.__dict__) + str(caught.value)
        assert (job.status, len(polls(box))) == (JobStatus.FAILED, 2)
        with pytest.raises(JobFailed):
            await job
        assert len(polls(box)) == 2  # what is over is not asked about again


# --- success, more or less --------------------------------------------------------------------


async def test_p11_success_without_output_is_not_ready() -> None:
    scenario = Scenario(generation_seconds=0, eta="float", output="empty_then_list", empty_polls=3)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).polls == 4


async def test_p12_the_first_success_stands() -> None:
    scenario = Scenario(generation_seconds=0, eta="float", flap_polls=5)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        job = await client.submit(REQUEST)
        first = await job
        assert await job.refresh() is JobStatus.SUCCESS
        assert (await job).files == first.files
        assert len(polls(box)) == 1


async def test_p13_a_job_without_end_is_detached_in_time_and_never_sent_again() -> None:
    scenario = Scenario(never_finishes=True)
    async with Sandbox(scenario=scenario) as box, client_of(box, timeout=0.1) as client:
        with pytest.raises(JobTimeout, match=r"it keeps running: resume with client.job"):
            await client.generate(REQUEST)
        assert box.book.count("api", MusicGen.ENDPOINT) == len(box.book.debits) == 1


@pytest.mark.parametrize("word", ["queued", "unknown"])
async def test_p14_another_word_for_processing_is_waited_through(word: Any) -> None:
    scenario = Scenario(status=word, polls_to_finish=3, eta="absent")
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        assert (await client.generate(REQUEST)).polls == 3


async def test_p15_the_success_of_another_job_is_ignored() -> None:
    scenario = Scenario(generation_seconds=0, eta="float", wrong_id_polls=2)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        generation = await client.generate(REQUEST)
        assert generation.polls == 3
        assert not any(".other" in url for file in generation.files for url in file.urls)


async def test_p16_links_of_the_ticket_stay_behind_those_of_the_result() -> None:
    scenario = Scenario(polls_to_finish=2, eta="absent", mirror_differs=True, future_differs=True)
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        generation = await client.generate(REQUEST)
        (job,) = box.book.jobs.values()
        paths = [url.partition("://")[2].partition("/")[2] for url in generation.files[0].urls]
    assert [f"/{path}" for path in paths] == [
        job.names[name] for name in ("output", "mirror", "future")
    ]


async def test_p17_an_eta_that_grows_without_end_delays_nothing() -> None:
    scenario = Scenario(polls_to_finish=6, eta="absent", poll_eta="growing")
    async with Sandbox(scenario=scenario) as box, client_of(box, timeout=5) as client:
        assert (await client.generate(REQUEST)).polls == 6


# --- how often --------------------------------------------------------------------------------


async def test_p19_everybody_who_asks_at_once_shares_one_poll() -> None:
    slow = Fault(on="fetch", kind="delay", seconds=0.1, times=None)
    scenario = Scenario(generation_seconds=0, faults=(slow,))
    async with Sandbox(scenario=scenario) as box, client_of(box, poll=EAGER) as client:
        job = client.job((await client.submit(REQUEST)).id)
        await asyncio.gather(*(job.refresh() for _ in range(9)), job.result(), job.wait())
        assert len(polls(box)) == 1


async def test_two_handles_of_one_job_come_to_the_same_end() -> None:
    scenario = Scenario(polls_to_finish=4, eta="absent")
    async with Sandbox(scenario=scenario) as box:
        async with client_of(box) as client:
            text = (await client.submit(REQUEST)).to_json()
        async with client_of(box) as client:
            first, second = client.job(text), client.job(text)
            one, other = await asyncio.gather(first.result(), second.result())
            assert one.files == other.files
            assert not client.jobs


async def test_updates_end_when_the_client_stops_asking() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box:
        async with client_of(box, timeout=0.1) as client:
            job = await client.submit(REQUEST)
            seen = [snapshot.status async for snapshot in job.updates()]
        assert (seen[0], seen[-1]) == (JobStatus.PROCESSING, JobStatus.DETACHED)


async def test_every_error_of_a_poll_names_the_job() -> None:
    async with Sandbox(scenario=Scenario(never_finishes=True)) as box:
        async with client_of(box, timeout=0.05) as client:
            job = await client.submit(REQUEST)
            with pytest.raises(ModelsLabError) as caught:
                await job
        assert (caught.value.job_id, caught.value.track_id) == (job.id, job.track_id)
        assert caught.value.__notes__ == [repr(job)]


async def test_a_handle_keeps_the_family_of_paths_that_the_ticket_named() -> None:
    scenario = Scenario(generation_seconds=0, fetch_host="whisper")
    async with Sandbox(scenario=scenario) as box:
        async with client_of(box, poll=EAGER) as client:
            text = (await client.submit(REQUEST)).to_json()
        async with client_of(box, poll=EAGER) as client:
            assert (await client.job(text)).files
        assert all("/v6/whisper/fetch/" in one.path for one in polls(box))
