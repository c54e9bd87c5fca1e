"""Post webhooks as the ModelsLab docs describe: once, unsigned, best effort (webhooks page)."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from attrs import define, field

from ._account import Account, Delivery, Job
from ._addresses import is_loopback
from ._answer import dump
from ._shapes import delivery, still_running

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ._clock import Clock
    from ._context import ActiveScenario
    from ._fault import Fault
    from ._tickets import Tickets

ANSWER_SECONDS = 30.0
_HEADERS = {"Content-Type": "application/json"}


@define(eq=False)
class Deliveries:
    """Posts a webhook for each job that has a webhook URL, when the job ends."""

    _account: Account
    _tickets: Tickets
    _clock: Clock
    _seed: int
    _anywhere: bool
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    def follow(self, job: Job, active: ActiveScenario) -> None:
        """Post the job's webhook when the job ends."""
        self._start(self._follow(job, active))

    async def deliver(self, job: Job, active: ActiveScenario) -> None:
        """Post the job's webhook now, as often as the scenario says."""
        scenario = active.scenario
        dice = Random(f"{self._seed}|webhook|{job.id}")
        if dice.random() < scenario.webhook_lost:
            return
        fault = active.plan.draw("webhook")
        if fault and fault.kind == "lost":
            return
        if fault and fault.kind == "late":
            await self._clock.until(self._clock.now() + (fault.seconds or 0))
        await self._tickets.prepare(job, active.scenario)
        payload = self._payload(job, active, fault)
        for _ in range(1 + scenario.webhook_duplicates):
            await self._post(job, payload)

    async def settled(self) -> None:
        """Wait until all deliveries have been posted."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _follow(self, job: Job, active: ActiveScenario) -> None:
        unfinished = dump(still_running(job, active.scenario), style=active.scenario.json_style)
        for _ in range(active.scenario.webhook_processing):
            await self._post(job, unfinished)
        while not job.done:
            await self._clock.pause(max(0.0, job.finished_at - self._clock.now()))
            self._account.settle(self._clock.now())
        await self._clock.until(job.finished_at + active.scenario.webhook_delay_seconds)
        await self.deliver(job, active)

    async def _post(self, job: Job, payload: bytes) -> None:
        record = Delivery(job.id, str(job.webhook), self._clock.now(), payload)
        self._account.book.webhooks.append(record)
        if not (self._anywhere or _is_here(record.url)):
            record.error = "not sent: other machines need webhooks_anywhere=True"
            return
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout)
        try:
            async with self._session.post(
                record.url, data=payload, headers=_HEADERS, allow_redirects=False
            ) as answer:
                record.status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            record.error = f"{type(error).__name__}: {error}"

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _payload(self, job: Job, active: ActiveScenario, fault: Fault | None = None) -> bytes:
        scenario = active.scenario
        links = self._tickets.links(job, scenario, self._clock.now())
        output = self._tickets.output(job, scenario, links)
        document = delivery(job, scenario, links, output)
        if fault and fault.kind == "answer":
            return fault.content()
        if fault and fault.kind == "patch":
            document |= fault.fields or {}
            document = {n: v for n, v in document.items() if n not in fault.without}
        return dump(document, style=scenario.json_style)


def _is_here(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
