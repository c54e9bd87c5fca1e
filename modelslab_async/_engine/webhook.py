"""Join webhook deliveries with the jobs they are about. A delivery is a hint: it says when to ask.

So a forged or repeated delivery costs a fetch at most. A lost one costs what polling would have:
jobs are polled as if there were no webhooks until a delivery has proved that they arrive, and so
they are again as soon as one is missed. Between the two, polls are but a backup: the end of a job
is known at most a quarter later (`PollPolicy.growth`) than by polling alone. To poll as usual there
would cost all the fetches that webhooks save. A delivery may arrive at another process: while jobs
wait, an inbox that is shared is looked into.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import anyio

from .._protocol.replies import Failed, Finished
from .aio import Signal, now, runs_on
from .job import Job
from .poll import Poller

if TYPE_CHECKING:
    from ..webhooks import Delivery, WebhookReceiver

_log = logging.getLogger("modelslab_async.webhooks")

_LEAST_GAP = 1.0
"""Seconds between two questions about one job that deliveries bring about."""

_LOOK_EVERY = 0.4
"""Seconds between two looks into a shared inbox, so that a job ends within 1 s of its delivery."""

_LOOK_AT_LEAST = 30.0
"""The same for an inbox that fails again and again."""

_PATIENCE = 10.0
"""Seconds that an inbox may take to answer."""

_MISSED_AFTER = 5.0
"""Seconds after which a delivery that did not come with the end of its job is a lost one."""


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
        self._waiters: dict[str, Signal] = {}
        self._used: WeakKeyDictionary[Job, set[str]] = WeakKeyDictionary()
        self._asked: dict[tuple[str, str], float] = {}
        self._failures = 0
        self._unsubscribe = receiver.subscribe(self._heard)
        self.url_for = receiver.url_for
        # An inbox of somebody else's is taken to be shared: looking into it costs little.
        self._is_shared = getattr(receiver.inbox, "is_shared", True)
        if self._is_shared:
            spawn(self._watch())

    def close(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    def has_webhook(self, fields: Mapping[str, Any], track_id: int | str) -> bool:
        """Whether this receiver is told when the job of a request ends."""
        return "webhook" in fields and fields["webhook"] == self.url_for(track_id)

    def accepted(self, job: Job) -> None:
        """The job is known now; its delivery may have been faster than the answer to its submit."""
        self._spawn(self._look(job))

    def ended(self, job: Job) -> None:
        """The job has ended; if no delivery said so, webhooks are not relied on any more."""
        if self._poller.trusts_webhooks and job.has_webhook and not self._used.get(job):
            self._spawn(self._miss(job))

    async def find(self, track_id: int | str, patience: float, tried: set[str]) -> str | None:
        """The id of the job that a lost answer named, if a delivery says so within the time.

        Args:
            track_id: of the submit.
            patience: seconds.
            tried: ids that a fetch has not confirmed.
        """
        name = str(track_id)
        heard = self._waiters[name] = Signal()
        try:
            with anyio.move_on_after(patience):
                while True:
                    generation = heard.generation
                    for job_id in await self.named(name):
                        if job_id not in tried:
                            return job_id
                    if heard.generation == generation:
                        await heard.wait(self._pause if self._is_shared else None)
        finally:
            self._waiters.pop(name, None)
        return None

    async def named(self, track_id: int | str) -> list[str]:
        """The ids that deliveries give a job, the newest first, each for a fetch to confirm."""
        deliveries = reversed(await self._kept(str(track_id)))
        return list(dict.fromkeys(one.job_id for one in deliveries if one.job_id))

    # --- inside -----------------------------------------------------------------------------

    @property
    def _pause(self) -> float:
        """Seconds until the next look into a shared inbox."""
        return min(_LOOK_AT_LEAST, _LOOK_EVERY * 2.0 ** min(self._failures, 8))

    async def _watch(self) -> None:
        """While jobs wait, look for deliveries that another process has taken."""
        while True:
            generation = self._poller.begun.generation
            async with anyio.create_task_group() as looks:  # slow once, not for each job
                for job in self._poller.watched:
                    if job.track_id is not None:
                        looks.start_soon(self._look, job)
            if self._poller.watched:
                await anyio.sleep(self._pause)
            elif self._poller.begun.generation == generation:
                await self._poller.begun.wait()

    async def _look(self, job: Job) -> None:
        if self._says_to_ask(job, await self._kept(str(job.track_id))):
            self._spawn(self._ask(job))  # the next look shall not wait for an answer

    async def _ask(self, job: Job) -> None:
        await self._poller.ask(job, told=True)
        if job.ending is not None:
            self._poller.trusts_webhooks |= job.has_webhook
        elif not self._is_shared:  # `_watch` looks again by itself
            await anyio.sleep(_LEAST_GAP)
            await self._look(job)

    async def _miss(self, job: Job) -> None:
        await anyio.sleep(_MISSED_AFTER)
        if not await self._kept(str(job.track_id)):
            _log.info("the webhook of job %s did not come; jobs are polled again", job.id)
            self._poller.distrust_webhooks()

    async def _kept(self, track_id: str) -> list[Delivery]:
        """What is in the inbox; nothing when it is broken, for polls go on without it."""
        try:
            with anyio.fail_after(_PATIENCE):
                kept = await self._receiver.inbox.take(track_id)
        except Exception:  # noqa: BLE001 - an inbox may be anybody's code
            if not self._failures:
                _log.exception("the webhook inbox failed; polls go on")
            self._failures += 1
            return []
        self._failures = 0
        return kept

    def _heard(self, delivery: Delivery) -> None:
        if not runs_on(self._poller.loop):  # the receiver may be served in a thread of its own
            self._poller.loop.call_soon_threadsafe(self._heard, delivery)
            return
        if (heard := self._waiters.get(delivery.track_id)) is not None:
            heard.notify()
        job = self._poller.watching_track(delivery.track_id)
        if job is not None and self._says_to_ask(job, [delivery]):
            self._spawn(self._ask(job))

    def _says_to_ask(self, job: Job, deliveries: list[Delivery]) -> bool:
        """Whether there is news of an end, and long enough has passed since the last.

        Whoever floods us gets no more than that out of it.
        """
        used = self._used.setdefault(job, set())
        news = {one.digest for one in deliveries if _has_ended(one)} - used
        if not news or job.ending is not None:
            return False
        for one in [one for one, at in self._asked.items() if now() - at >= _LEAST_GAP]:
            del self._asked[one]
        if job.identity in self._asked:
            return False
        self._asked[job.identity] = now()
        used |= news
        return True


def _has_ended(delivery: Delivery) -> bool:
    """Deliveries about jobs that still run are seen too, and are no reason to ask."""
    return isinstance(delivery.reply, Finished | Failed)
