"""Join webhook deliveries with the jobs they are about. A delivery is a hint: it says when to ask.

So a forged or repeated delivery costs a fetch at most, and a lost one costs time and nothing else.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio

from .jobs import Job
from .polls import Poller
from .protocol.replies import Failed, Finished, Refused
from .runtime import now

if TYPE_CHECKING:
    from .webhooks import Delivery, WebhookReceiver

_log = logging.getLogger("modelslab_async.webhooks")

_LEAST_GAP = 1.0
"""Seconds between two questions about one job that deliveries bring about."""

_PATIENCE = 10.0
"""Seconds that an inbox may take: a job that waits for it longer holds its slot for nothing."""


class Deliveries:
    """What a receiver hears of the jobs of one client.

    Args:
        receiver: takes the webhooks; it may serve other clients too.
        poller: asks about jobs.
        spawn: starts a task that the client ends when it closes.
    """

    def __init__(
        self,
        receiver: WebhookReceiver,
        poller: Poller,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._receiver = receiver
        self._poller = poller
        self._spawn = spawn
        self._waiting: defaultdict[str, list[anyio.Event]] = defaultdict(list)
        self._asked: dict[str, float] = {}
        self._unsubscribe = receiver.subscribe(self._heard)
        self.url_for = receiver.url_for

    def close(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    async def accepted(self, job: Job) -> None:
        """The job is known now; its delivery may have been faster than the answer to its submit."""
        if any(map(_has_ended, await self._kept(str(job.track_id)))):
            await self._poller.ask(job)

    async def find(self, track_id: int | str, patience: float) -> str | None:
        """The id of the job that a lost answer named, if a delivery says so within the time."""
        name, heard = str(track_id), anyio.Event()
        self._waiting[name].append(heard)
        try:
            with anyio.move_on_after(patience):
                while not (found := await self.named(name)):
                    await heard.wait()
                    heard = anyio.Event()
                    self._waiting[name].append(heard)
                return found[0]
        finally:
            self._waiting.pop(name, None)
        return None

    async def named(self, track_id: int | str) -> list[str]:
        """The ids that deliveries give a job, the newest first, each for a fetch to confirm."""
        deliveries = reversed(await self._kept(str(track_id)))
        return list(dict.fromkeys(one.job_id for one in deliveries if one.job_id))

    async def _kept(self, track_id: str) -> list[Delivery]:
        """What is in the inbox; nothing when it is broken, for polls go on without it."""
        try:
            with anyio.fail_after(_PATIENCE):
                return await self._receiver.inbox.take(track_id)
        except Exception:  # noqa: BLE001 - an inbox may be anybody's code
            _log.exception("the webhook inbox failed; polls go on")
            return []

    def _heard(self, delivery: Delivery) -> None:
        for event in self._waiting.pop(delivery.track_id, ()):
            event.set()
        job = self._poller.watching_track(delivery.track_id)
        if job is not None and _has_ended(delivery) and self._may_ask(job):
            self._spawn(self._poller.ask(job))

    def _may_ask(self, job: Job) -> bool:
        """Whether long enough has passed; whoever floods us gets no more than that out of it."""
        for name in [name for name, at in self._asked.items() if now() - at >= _LEAST_GAP]:
            del self._asked[name]
        if job.id in self._asked:
            return False
        self._asked[job.id] = now()
        return True


def _has_ended(delivery: Delivery) -> bool:
    """Deliveries about jobs that still run are seen too, and are no reason to ask."""
    return isinstance(delivery.reply, Finished | Failed | Refused)
