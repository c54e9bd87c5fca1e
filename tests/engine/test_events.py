"""One observer is told each step of each job, and why nothing moves."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import pytest

from modelslab_async import EventKind, JobEvent, JobFailed, ModelsLabError
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.batches import quick
from ..support.quick import client_of

pytestmark = pytest.mark.anyio
_INVALID = '{"status": "error", "message": "Invalid API key"}'


async def events_of(scenario: Scenario, tmp_path: Path) -> list[JobEvent]:
    seen: list[JobEvent] = []
    async with Sandbox(scenario) as box, client_of(box, observer=seen.append) as client:
        with suppress(JobFailed):
            await client.generate("waltz", to=tmp_path / "waltz.wav")
    return seen


def kinds(events: list[JobEvent]) -> list[str]:
    """Without what depends on how often was asked."""
    return [one.kind.value for one in events if one.kind is not EventKind.POLLED]


async def test_the_steps_of_a_job_come_in_their_order(tmp_path: Path) -> None:
    seen = await events_of(quick(), tmp_path)
    assert kinds(seen) == ["submitting", "accepted", "finished", "downloading", "saved"]
    assert len({one.job_id for one in seen[1:]}) == 1
    assert seen[0].track_id == seen[1].track_id is not None


async def test_a_full_queue_is_named_with_the_seconds_until_the_next_try(tmp_path: Path) -> None:
    full = Scenario(taken_slots=5, taken_seconds=0.5, retry_after=1)
    waits = [one for one in await events_of(full, tmp_path) if one.kind is EventKind.WAITING]
    assert "queue is full" in waits[0].reason
    assert waits[0].seconds is not None
    assert 0 < waits[0].seconds <= 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(on="fetch", kind="reset"), "no reply to a poll"),
        (Fault(on="download", kind="html"), "download"),
    ],
)
async def test_what_keeps_a_job_waiting_is_said(fault: Fault, reason: str, tmp_path: Path) -> None:
    seen = await events_of(quick(fault), tmp_path)
    assert any(reason in one.reason for one in seen if one.kind is EventKind.WAITING)
    assert kinds(seen)[-1] == "saved"


async def test_a_job_that_fails_is_told_with_the_reason_of_the_server(tmp_path: Path) -> None:
    seen = await events_of(quick(failure_probability=1), tmp_path)
    assert seen[-1].kind is EventKind.FAILED
    assert seen[-1].reason


@pytest.mark.parametrize(
    ("fault", "ends"),
    [
        (Fault(on="submit", kind="reset"), ["ambiguous", "SubmitUnknown"]),
        (
            Fault(on="submit", kind="answer", status=401, accepted=False, body=_INVALID),
            ["rejected", "AuthenticationError"],
        ),
    ],
)
async def test_a_submit_that_makes_no_job_is_told_with_its_error(
    fault: Fault, ends: list[str]
) -> None:
    seen: list[JobEvent] = []
    async with Sandbox(quick(fault)) as box, client_of(box, observer=seen.append) as client:
        with suppress(ModelsLabError):
            await client.submit("waltz")
    assert kinds(seen) == ["submitting", ends[0]]
    assert seen[1].error == ends[1]
    assert seen[1].track_id == seen[0].track_id


async def test_a_cancelled_submit_is_told_by_what_is_known_of_it() -> None:
    """Cancelled with a lost reply, and while it waits for a slot, which sends nothing."""
    seen: list[JobEvent] = []
    lost = quick(Fault(on="submit", kind="reset", skip=1), never_finishes=True)
    async with (
        Sandbox(lost) as box,
        client_of(box, observer=seen.append, max_jobs=2) as client,
    ):
        await client.submit("one")
        sending = asyncio.ensure_future(client.submit("two"))
        while box.book.count("api", "/api/v6/voice/music_gen") < 2:
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        await client.submit("three")
        waiting = asyncio.ensure_future(client.submit("four"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    told = [one for one in kinds(seen) if one in ("submitting", "ambiguous", "rejected")]
    assert told == ["submitting", "submitting", "ambiguous", "submitting"]


async def test_an_observer_can_be_added_and_removed_while_the_client_is_open() -> None:
    first: list[JobEvent] = []
    second: list[JobEvent] = []
    async with Sandbox(quick()) as box, client_of(box, observer=first.append) as client:
        remove = client.observe(second.append)
        await client.generate("waltz")
        remove()
        count = len(second)
        await client.generate("tango")
    assert first[:count] == second
    assert len(first) > len(second)


async def test_an_observer_that_raises_costs_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    def broken(event: JobEvent) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError(event.kind)

    async with Sandbox(quick()) as box, client_of(box, observer=broken) as client:
        saved = await client.generate("waltz", to=tmp_path / "waltz.wav")
    assert saved.size
    assert calls == 1
    assert "observer raised" in caplog.text


async def test_the_log_has_the_same_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelslab_async.events")
    seen = await events_of(quick(), tmp_path)
    logged = [one.getMessage() for one in caplog.records if one.name == "modelslab_async.events"]
    assert logged == [str(one) for one in seen if one.kind is not EventKind.POLLED]
