"""S rows about submits that are turned away for now: they wait as they are told, and no longer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import ModelsLab, MusicGen, PollPolicy, RateLimited
from modelslab_async._engine.queue import Slots, slots_of
from modelslab_async._engine.secret import Secret
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.fastloop import virtual
from ..support.quick import client_of

pytestmark = pytest.mark.anyio

REQUEST = MusicGen("rock music from the 90s", max_new_token=256, track_id=4711)
FORMS = ["json429", "text429", "text503", "text200"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual()


def patient(box: Sandbox, **settings: Any) -> ModelsLab:
    return client_of(box, poll=PollPolicy(), **settings)


def submits(box: Sandbox) -> list[float]:
    """When each submit arrived."""
    return [one.time for one in box.book.requests if one.path == MusicGen.ENDPOINT]


def pace_of(box: Sandbox) -> Slots:
    return slots_of((box.url, Secret(box.key).fingerprint))


def busy(answer: Fault | None = None, **more: Any) -> Fault:
    body = json.dumps({"status": "error", "message": "Rate limit exceeded.", **more})
    return Fault(on="submit", kind="answer", status=429, accepted=False, body=body)


@pytest.mark.parametrize("form", FORMS)
async def test_s22_a_full_queue_in_any_words_is_waited_out(form: Any) -> None:
    full = Scenario(queue_full=form, retry_after=2, taken_slots=5)
    async with Sandbox(scenario=full) as box, patient(box) as client:
        generating = asyncio.create_task(client.generate(REQUEST))
        while len(submits(box)) < 3:
            await asyncio.sleep(0.1)
        box.scenario = Scenario(generation_seconds=2)
        assert (await generating).files
        least = 2 if form == "json429" else 1
        assert all(later - sooner >= least for sooner, later in pairwise(submits(box)))
        assert len(box.book.debits) == 1


HINTS: dict[str, tuple[dict[str, str], dict[str, Any], float]] = {
    "s22_header": ({"Retry-After": "3"}, {}, 3),
    "s22_header_and_shorter_field": ({"Retry-After": "3"}, {"retry_after": 1}, 3),
    "s22_header_and_longer_field": ({"Retry-After": "1"}, {"retry_after": 3}, 3),
    "s23_unreadable_header": ({"Retry-After": "soon"}, {}, 1),
    "s23_no_header_but_a_past_date": ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, {}, 1),
    "s24_field": ({}, {"retry_after": 3}, 3),
    "s24_float": ({}, {"retry_after": 2.5}, 2.5),
    "s24_text": ({}, {"retry_after": "3"}, 3),
    "s24_zero": ({}, {"retry_after": 0}, 1),
    "s24_null": ({}, {"retry_after": None}, 1),
    "s24_nan": ({}, {"retry_after": float("nan")}, 1),
    "s24_negative": ({}, {"retry_after": -1}, 1),
    "s24_list": ({}, {"retry_after": []}, 1),
    "s24_spam_filter_words": ({}, {"tips": "please wait for 3 seconds and try again"}, 3),
    "s25_no_hint": ({}, {}, 1),
}


@pytest.mark.parametrize(("headers", "fields", "least"), HINTS.values(), ids=HINTS.keys())
async def test_nothing_is_sent_before_the_wait_is_over(
    headers: dict[str, str], fields: dict[str, Any], least: float
) -> None:
    no = Fault(
        on="submit",
        kind="answer",
        status=429,
        accepted=False,
        times=2,
        headers=headers,
        body=json.dumps({"status": "error", "message": "Rate limit exceeded.", **fields}),
    )
    async with Sandbox(scenario=Scenario(faults=(no,))) as box, patient(box) as client:
        await asyncio.gather(*(client.submit(REQUEST) for _ in range(2)))
        first, last = submits(box)[1], submits(box)[2]
        assert last - first >= least
        assert len(box.book.debits) == 2


@pytest.mark.parametrize(
    "written",
    [
        lambda when: formatdate(when, usegmt=True),
        lambda when: time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(when)),
        lambda when: time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(when)),
        lambda when: formatdate(when).replace("-0000", "+0000"),
    ],
    ids=["imf", "rfc_850", "asctime", "zone"],
)
async def test_s23_a_date_is_waited_for(written: Callable[[float], str]) -> None:
    no = Fault(
        on="submit",
        kind="answer",
        status=429,
        accepted=False,
        headers={"Retry-After": written(time.time() + 20)},
    )
    async with Sandbox(scenario=Scenario(faults=(no,))) as box, patient(box) as client:
        await client.submit(REQUEST)
        first, last = submits(box)
        assert last - first >= 10  # of 20, less the second that a date is cut by, and our own


async def test_s27_the_spam_filter_is_waited_out() -> None:
    scenario = Scenario(spam_filter_seconds=30)
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        await client.submit(REQUEST)
        await client.submit(REQUEST)
        _first, refused, last = submits(box)
        assert last - refused >= 30
        assert len(box.book.debits) == 2


@pytest.mark.parametrize("max_jobs", [1, 3])
async def test_s43_who_is_refused_again_and_again_does_not_stand_before_all_others(
    max_jobs: int,
) -> None:
    spam = evolve(busy(retry_after=2), prompt="the same again", times=None)
    scenario = Scenario(generation_seconds=1, eta="float", faults=(spam,))
    async with Sandbox(scenario=scenario) as box, patient(box, max_jobs=max_jobs) as client:
        again = [
            asyncio.create_task(client.submit(MusicGen("the same again", max_new_token=256)))
            for _ in range(max_jobs)
        ]
        while len(submits(box)) < max_jobs:
            await asyncio.sleep(0.1)
        async with asyncio.timeout(600):
            made = await asyncio.gather(*(client.generate(REQUEST) for _ in range(4)))
        assert len({one.id for one in made}) == len(box.book.debits) == 4
        assert not any(task.done() for task in again)
        for task in again:
            task.cancel()
        await asyncio.gather(*again, return_exceptions=True)


async def test_s26_a_queue_that_stays_full_costs_nothing_and_takes_up_again() -> None:
    scenario = Scenario(taken_slots=5, retry_after=2)
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        waiting = asyncio.create_task(client.submit(REQUEST))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await client.submit(REQUEST)
        assert len(submits(box)) < 40
        assert not box.book.debits
        assert not waiting.done()
        box.scenario = Scenario()
        assert (await waiting).id
        assert len(box.book.debits) == 1


@pytest.mark.parametrize("wait", ["4000", "1000000000", "1" * 18])
async def test_s23_a_wait_beyond_an_hour_is_reported_to_all_and_slept_through_by_none(
    wait: str,
) -> None:
    no = Fault(
        on="submit", kind="answer", status=429, accepted=False, headers={"Retry-After": wait}
    )
    async with Sandbox(scenario=Scenario(faults=(no,))) as box, patient(box, max_jobs=1) as client:
        errors = await asyncio.gather(
            *(client.submit(REQUEST) for _ in range(3)), return_exceptions=True
        )
        for error in (*errors, await _error_of(client.submit(REQUEST))):
            assert isinstance(error, RateLimited)
            assert error.retryable
            assert error.retry_after is not None
            assert error.retry_after > 3600
        assert len(submits(box)) == 1


async def _error_of(awaitable: Any) -> object:
    return (await asyncio.gather(awaitable, return_exceptions=True))[0]


async def test_a_wait_holds_for_the_next_client_with_the_same_key_too() -> None:
    async with Sandbox(scenario=Scenario(faults=(busy(retry_after=20),))) as box:
        async with patient(box) as client:
            waiting = asyncio.create_task(client.submit(REQUEST))
            while not submits(box) or pace_of(box).taken:
                await asyncio.sleep(0.1)
        assert await _error_of(waiting)
        async with patient(box) as client:
            await client.submit(REQUEST)
        first, last = submits(box)
        assert last - first >= 20


async def test_the_number_of_slots_follows_the_maximum_that_the_answer_names() -> None:
    scenario = Scenario(generation_seconds=2, eta="float", retry_after=2)
    async with Sandbox(scenario=scenario, slots=3) as box, patient(box, max_jobs=15) as client:
        await asyncio.gather(*(client.generate(REQUEST) for _ in range(30)))
        assert pace_of(box).limit == 3
        assert len(box.book.debits) == 30
        assert len(submits(box)) <= 30 + 12  # of the first burst; not one is refused after it


@pytest.mark.parametrize("wait", [30, 300, 7200])
@pytest.mark.parametrize(("max_jobs", "places"), [(15, 5), (15, 10), (6, 1), (40, 15), (5, 5)])
async def test_s48_a_job_that_ends_frees_a_submit_however_long_a_full_queue_asks_to_wait(
    max_jobs: int, places: int, wait: int
) -> None:
    full = Scenario(generation_seconds=2, eta="float", retry_after=wait)
    async with (
        Sandbox(scenario=full, slots=places) as box,
        patient(box, max_jobs=max_jobs) as client,
    ):
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.generate(REQUEST) for _ in range(4 * places)))
        assert asyncio.get_running_loop().time() - begun < 4 * 2 + 3
        assert len(box.book.debits) == 4 * places
        assert len(submits(box)) <= 5 * places + max_jobs


@pytest.mark.parametrize("taken", [1, 2, 4])
async def test_s48_beside_others_in_the_account_the_slots_that_are_left_stay_in_use(
    taken: int,
) -> None:
    full = Scenario(
        generation_seconds=2, eta="float", retry_after=60, taken_slots=taken, taken_seconds=900
    )
    async with Sandbox(scenario=full) as box, patient(box) as client:
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.generate(REQUEST) for _ in range(6 * (5 - taken))))
        assert asyncio.get_running_loop().time() - begun < 6 * 2 + 4
        assert len(box.book.debits) == 6 * (5 - taken)


async def test_s48_a_full_queue_without_a_job_of_ours_is_left_alone_as_it_asks() -> None:
    full = Scenario(retry_after=40, taken_slots=5, taken_seconds=100)
    async with Sandbox(scenario=full) as box, patient(box) as client:
        await asyncio.gather(*(client.submit(REQUEST) for _ in range(5)))
        times = sorted(submits(box))
        rounds = [later - sooner for sooner, later in pairwise(times) if later - sooner > 1]
        assert len(rounds) == 3
        assert min(rounds) >= 40


@pytest.mark.parametrize(
    ("rate", "interval"), [("5 requests per minute", 12), ("5/min", 12), ("2 requests/s", 0.5)]
)
@pytest.mark.parametrize("hint", [{}, {"retry_after": 3}], ids=["no_hint", "hint"])
async def test_s49_a_rate_leaves_the_jobs_in_the_queue_and_paces_the_submits(
    rate: str, interval: float, hint: dict[str, Any]
) -> None:
    no = evolve(busy(message=f"Rate limit exceeded. Maximum {rate} allowed.", **hint), times=10)
    slow = Scenario(generation_seconds=100, eta="float", faults=(evolve(no, skip=5),))
    async with Sandbox(scenario=slow, slots=15) as box, patient(box, max_jobs=15) as client:
        await asyncio.gather(*(client.generate(REQUEST) for _ in range(15)))
        assert pace_of(box).limit == 15
        paced = submits(box)[15:]
        assert len(paced) == len(box.book.debits) - 5 == 10
        gaps = [later - sooner for sooner, later in pairwise(paced)]
        assert min(gaps) >= interval - 0.05
        assert max(gaps) <= interval + 1
        assert paced[0] - submits(box)[14] <= (3 if hint else max(1, interval)) + 1


@pytest.mark.parametrize("form", ["text429", "text503", "text200"])
async def test_without_a_maximum_the_slots_shrink_until_they_fit(form: Any) -> None:
    scenario = Scenario(generation_seconds=2, eta="float", queue_full=form)
    async with Sandbox(scenario=scenario, slots=3) as box, patient(box, max_jobs=12) as client:
        await asyncio.gather(*(client.generate(REQUEST) for _ in range(30)))
        assert len(box.book.debits) == 30


@pytest.mark.parametrize("form", FORMS)
async def test_an_account_that_others_keep_busy_delays_jobs_and_fails_none(form: Any) -> None:
    scenario = Scenario(
        generation_seconds=2,
        eta="float",
        queue_full=form,
        retry_after=3,
        taken_slots=4,
        taken_seconds=60,
    )
    async with Sandbox(scenario=scenario) as box, patient(box) as client:
        made = await asyncio.gather(*(client.generate(REQUEST) for _ in range(12)))
        assert len({one.id for one in made}) == len(box.book.debits) == 12
