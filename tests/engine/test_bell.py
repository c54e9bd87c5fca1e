"""Waiting for news: woken by a notification, by time, or not at all."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from modelslab_async._engine.aio import Signal

pytestmark = pytest.mark.anyio


async def test_a_ring_wakes_all_who_wait_and_nobody_who_comes_later() -> None:
    bell, woken = Signal(), list[int]()

    async def one(number: int) -> None:
        await bell.wait()
        woken.append(number)

    async with anyio.create_task_group() as group:
        for number in (1, 2):
            group.start_soon(one, number)
        await anyio.wait_all_tasks_blocked()
        bell.notify()
        group.start_soon(one, 3)
        await anyio.wait_all_tasks_blocked()
        assert sorted(woken) == [1, 2]
        bell.notify()
    assert sorted(woken) == [1, 2, 3]
    assert bell.generation == 2


async def test_who_waits_for_some_time_is_not_woken_by_a_ring_after_it() -> None:
    bell = Signal()
    await bell.wait(0)
    bell.notify()
    assert bell.generation == 1


async def test_a_ring_in_the_instant_of_a_cancellation_breaks_nothing() -> None:
    bell = Signal()
    waiting = asyncio.ensure_future(bell.wait(60))
    await anyio.wait_all_tasks_blocked()
    waiting.cancel()
    bell.notify()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    bell.notify()
