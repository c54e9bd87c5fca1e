"""P rows of time: how often polls are sent, how long they stay away, and when they end."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import (
    JobFailed,
    JobStatus,
    JobTimeout,
    ModelsLab,
    MusicGen,
    NotFound,
    OutputLost,
    PollPolicy,
)
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.fastloop import virtual
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rock music from the 90s", max_new_token=256)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual()


def patient(box: Sandbox, **settings: Any) -> ModelsLab:
    return client_of(box, **{"poll": PollPolicy(), **settings})


def polls(box: Sandbox) -> list[float]:
    return [one.time for one in box.book.requests if "/fetch/" in one.path]


def too_many(headers: dict[str, str], status: int = 429, **fields: Any) -> Fault:
    body = json.dumps({"status": "error", "message": "Rate limit exceeded.", **fields})
    return Fault(on="fetch", kind="answer", status=status, headers=headers, body=body)


HINTS: dict[str, tuple[Fault, float]] = {
    "header": (too_many({"Retry-After": "40"}), 40),
    "field": (too_many({}, retry_after=40), 40),
    "text": (too_many({}, retry_after="40"), 40),
    "both": (too_many({"Retry-After": "5"}, retry_after=40), 40),
    "words": (too_many({}, tips="please wait for 40 seconds"), 40),
    "words_in_a_200": (too_many({}, status=200, retry_after=40), 40),
    "zero": (too_many({"Retry-After": "0"}), 1),
    "past": (too_many({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}), 1),
    "none": (too_many({}), 15),
}


@pytest.mark.parametrize(("fault", "least"), HINTS.values(), ids=HINTS.keys())
async def test_p06_too_many_polls_slow_down_every_job_of_the_client(
    fault: Fault, least: float
) -> None:
    async with Sandbox(scenario=Scenario(faults=(fault,))) as box, patient(box) as client:
        await client.job(1).refresh()
        await asyncio.gather(*(client.job(number).refresh() for number in (1, 2, 3)))
        first, *others = polls(box)
        assert len(others) == 3
        assert min(others) - first >= least


async def test_p06_times_that_were_given_away_before_the_pause_are_given_again() -> None:
    scenario = Scenario(faults=(too_many({"Retry-After": "700"}),))
    slow = PollPolicy(rate=0.002)
    async with Sandbox(scenario=scenario) as box, patient(box, poll=slow) as client:
        await asyncio.gather(client.job(1).refresh(), client.job(2).refresh())
        first, second = polls(box)
        assert second - first >= 700


async def test_p06_a_server_that_breaks_down_is_left_alone_as_long_as_it_asks() -> None:
    broken = Fault(on="fetch", kind="edge", status=503, headers={"Retry-After": "50"})
    scenario = Scenario(generation_seconds=0, eta="float", faults=(broken,))
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        await client.generate(REQUEST)
        first, second = polls(box)
        assert second - first >= 50


LONG: dict[str, Fault] = {
    "header": too_many({"Retry-After": "5000"}),
    "field": too_many({}, retry_after=5000),
    "in_a_200": too_many({}, status=200, retry_after=86_400),
    "page": Fault(
        on="fetch",
        kind="answer",
        status=429,
        headers={"Retry-After": "86400"},
        body="<html>Error 1015</html>",
    ),
    "unavailable": Fault(on="fetch", kind="edge", status=503, headers={"Retry-After": "3600"}),
    "date": too_many({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}),
}


@pytest.mark.parametrize("fault", LONG.values(), ids=LONG.keys())
@pytest.mark.parametrize("timeout", [800, 30, 5])
async def test_p25_one_long_wait_times_out_neither_its_job_nor_another(
    fault: Fault, timeout: float
) -> None:
    scenario = Scenario(generation_seconds=2, eta="float", faults=(fault,))
    async with Sandbox(scenario=scenario) as box, patient(box, timeout=timeout) as client:
        made = await asyncio.gather(*(client.generate(REQUEST) for _ in range(4)))
        assert max(one.waited for one in made) < 70
        assert len(box.book.debits) == 4


async def test_p25_a_wait_that_is_asked_for_again_and_again_ends_with_the_time_of_the_job() -> None:
    away = evolve(too_many({"Retry-After": "5000"}), times=None)
    scenario = Scenario(generation_seconds=0, faults=(away,))
    async with Sandbox(scenario=scenario) as box, patient(box, timeout=800) as client:
        with pytest.raises(JobTimeout, match="Rate limit exceeded") as caught:
            await client.generate(REQUEST)
        assert caught.value.job
        assert len(polls(box)) <= 16


@pytest.mark.parametrize("eta", [0, -5, "soon", None, "NaN", 1e-9])
async def test_s39_the_first_poll_is_never_at_once(eta: object) -> None:
    odd = Fault(on="submit", kind="patch", fields={"eta": eta})
    scenario = Scenario(generation_seconds=0, faults=(odd,))
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        await client.generate(REQUEST)
        (submitted,) = (job.submitted_at for job in box.book.jobs.values())
        assert polls(box)[0] - submitted >= 1


async def test_s39_an_eta_of_thirty_years_is_not_believed() -> None:
    odd = Fault(on="submit", kind="patch", fields={"eta": 10**9})
    scenario = Scenario(generation_seconds=0, faults=(odd,))
    async with Sandbox(scenario=scenario) as box, patient(box, timeout=None) as client:
        generation = await client.generate(REQUEST)
        assert generation.polls == 1
        assert generation.waited >= 450  # the first job of a client is asked about early


async def test_s39_an_eta_that_is_too_long_is_found_out_by_few_for_all() -> None:
    scenario = Scenario(generation_seconds=20, eta_factor=3)
    many = 110  # more than are planned anew in one turn of the loop
    boxed = Sandbox(scenario=scenario, slots=many)
    async with boxed as box, patient(box, max_jobs=many) as client:
        made = await asyncio.gather(*(client.generate(REQUEST) for _ in range(many)))
        assert max(one.waited for one in made) < 60
        assert [one.polls for one in made].count(1) >= many - 10


async def test_the_first_jobs_of_a_new_kind_tell_the_others_however_much_is_known() -> None:
    scenario = Scenario(generation_seconds=20, eta="absent")
    new = evolve(REQUEST, max_new_token=512)
    async with Sandbox(scenario=scenario, slots=10) as box, patient(box, max_jobs=10) as client:
        for _ in range(2):
            await asyncio.gather(*(client.generate(REQUEST) for _ in range(10)))
        made = await asyncio.gather(*(client.generate(new) for _ in range(10)))
        assert max(one.waited for one in made) < 28


async def test_p25_in_a_pause_beyond_its_time_a_job_is_asked_about_once() -> None:
    away = too_many({}, retry_after=3000)
    scenario = Scenario(never_finishes=True, faults=(away,))
    async with Sandbox(scenario=scenario) as box, patient(box, timeout=50) as client:
        await client.job(1).refresh()
        with pytest.raises(JobTimeout, match="it keeps running"):
            await client.generate(REQUEST)
        assert len(polls(box)) == 2


# --- how long an answer that contradicts the job is borne --------------------------------------


async def test_polls_that_bring_nothing_ever_end_with_the_time_and_say_what_came() -> None:
    broken = Fault(on="fetch", kind="edge", status=502, times=None)
    scenario = Scenario(generation_seconds=0, faults=(broken,))
    async with Sandbox(scenario=scenario) as box, patient(box, timeout=600) as client:
        with pytest.raises(JobTimeout, match=r"last reply: .*resume with client.job") as caught:
            await client.generate(REQUEST)
        box.scenario = Scenario()
        assert caught.value.job is not None
        assert (await client.job(caught.value.job)).files
        assert len(box.book.debits) == 1


async def test_p08_a_job_that_the_api_has_forgotten_is_found_where_its_ticket_said(
    tmp_path: Path,
) -> None:
    scenario = Scenario(generation_seconds=0, eta="float", not_found_polls=-1)
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        (file,) = (await client.generate(REQUEST)).files
        assert (await client.download(file, to=tmp_path)).size


async def test_p08_a_forgotten_file_is_found_though_its_host_sends_a_few_bytes_at_a_time() -> None:
    drip = Fault(on="download", kind="drip", at=4, seconds=0.0, times=None)
    scenario = Scenario(generation_seconds=0, eta="float", not_found_polls=-1, faults=(drip,))
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        assert (await client.generate(REQUEST)).files


async def test_p08_a_job_that_is_nowhere_is_detached_and_not_failed() -> None:
    scenario = Scenario(never_finishes=True, eta="absent", not_found_polls=-1)
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        job = await client.submit(REQUEST)
        with pytest.raises(NotFound, match="try again later") as caught:
            await job
        assert (caught.value.job, job.status) == (job.to_json(), JobStatus.DETACHED)
        box.scenario = Scenario()
        assert await client.job(caught.value.job or "").refresh() is JobStatus.PROCESSING


async def test_p09_failed_try_again_without_end_is_believed_in_the_end() -> None:
    scenario = Scenario(generation_seconds=0, eta="float", try_again=10_000)
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        with pytest.raises(JobFailed, match="Failed, Try Again"):
            await client.generate(REQUEST)
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("output", ["always_empty", "null", "number"])
async def test_p11_success_that_never_names_a_file_is_looked_for_behind_the_other_links(
    output: Any,
) -> None:
    scenario = Scenario(generation_seconds=0, eta="float", output=output)
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        (file,) = (await client.generate(REQUEST)).files
        assert file.urls


@pytest.mark.parametrize("output", ["always_empty", "null", "number"])
async def test_p11_success_without_any_file_is_output_lost_and_can_be_asked_about_later(
    output: Any,
) -> None:
    gone = Fault(on="download", kind="xml", status=404, times=None)
    scenario = Scenario(generation_seconds=0, eta="float", output=output, faults=(gone,))
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        with pytest.raises(OutputLost, match="it is paid for") as caught:
            await client.generate(REQUEST)
        box.scenario = Scenario()
        assert (await client.job(caught.value.job or "")).files
        assert len(box.book.debits) == 1


# --- how often ---------------------------------------------------------------------------------


async def test_p20_many_jobs_that_are_due_at_once_are_asked_about_one_after_the_other() -> None:
    slowly = PollPolicy(rate=0.8)
    async with Sandbox() as box, patient(box, poll=slowly) as client:
        await asyncio.gather(*(client.job(number).refresh() for number in range(1, 81)))
        gaps = [later - sooner for sooner, later in pairwise(polls(box))]
        assert len(gaps) == 79
        assert min(gaps) >= 1  # of 1.25, less what the network was faster


async def test_p23_a_job_is_not_polled_more_often_than_its_length_allows() -> None:
    scenario = Scenario(generation_seconds=20, eta="absent")
    often = PollPolicy(first=1, min_interval=0.5, growth=0.01)
    async with Sandbox(scenario=scenario) as box, patient(box, poll=often) as client:
        generation = await client.generate(REQUEST)
        assert generation.polls <= 1 + generation.waited / often.min_interval
        assert min(later - sooner for sooner, later in pairwise(polls(box))) >= often.min_interval


async def test_an_expectation_is_learnt_from_the_jobs_before() -> None:
    scenario = Scenario(generation_seconds=20, eta="absent")
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        first, *_, last = [await client.generate(REQUEST) for _ in range(4)]
        assert last.polls < first.polls / 2
