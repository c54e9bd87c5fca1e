"""What all peers share: what they are given, and how they are measured."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from attrs import frozen

from ..measuring import Meter


@frozen
class Order:
    """So many jobs of a service, so many at once, into this folder."""

    url: str
    count: int
    at_once: int
    folder: Path

    def path(self, number: int) -> Path:
        return self.folder / f"{number}.wav"


def load(*modules: str) -> None:
    """Import what a client else imports when it is first used, in the time that is measured."""
    for module in modules:
        importlib.import_module(module)


def prompt(number: int) -> str:
    return f"piece {number}"


async def all_of(order: Order, one: Callable[[int], Awaitable[None]]) -> None:
    """All jobs in tasks of their own, each from beginning to end in one of the places."""
    places = asyncio.Semaphore(order.at_once)

    async def placed(number: int) -> None:
        async with places:
            await one(number)

    await asyncio.gather(*(placed(number) for number in range(order.count)))


def measured(work: Callable[[Order], None]) -> None:
    """Do the work that the command line orders, and print what it cost."""
    url, count, at_once, folder = sys.argv[1:]
    order = Order(url, int(count), int(at_once), Path(folder))
    before = set(sys.modules)
    meter = Meter()
    work(order)
    cost = meter.read()
    print(json.dumps({**cost, "imported": sorted(sys.modules.keys() - before)}))


def measured_async(work: Callable[[Order], Coroutine[Any, Any, None]]) -> None:
    """The same for a coroutine; its event loop is part of what it costs."""
    measured(lambda order: asyncio.run(work(order)))
