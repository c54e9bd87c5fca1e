"""Match webhook deliveries to jobs. A delivery is a hint: it only says when to poll.

So a forged or repeated delivery costs one poll at most. Jobs are polled as if there were no
webhooks, because a schedule with fewer polls would notice later that a delivery was lost. A
delivery may arrive at another process, so a shared inbox is checked while jobs wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
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

_MIN_POLL_INTERVAL = 1.0
"""Seconds between two polls of one job that deliveries cause."""

_CHECK_INTERVAL = 0.4
"""Seconds between two checks of a shared inbox, so that a job ends within 1 s of its delivery."""

_MAX_CHECK_INTERVAL = 30.0
"""The same for an inbox that fails again and again."""

_INBOX_TIMEOUT = 10.0
"""Seconds that an inbox may take to respond."""


class Deliveries:
    """The deliveries of one receiver for the jobs of one client.

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
        self._polled_at: dict[tuple[str, str], float] = {}
        self._failures = 0
        self._unsubscribe = receiver.subscribe(self._on_delivery)
        self.url_for = receiver.url_for
        # An inbox of somebody else's is taken to be shared: looking into it costs little.
        self._is_shared = getattr(receiver.inbox, "is_shared", True)
        if self._is_shared:
            spawn(self._watch())

    def close(self) -> None:
        """Unsubscribe from the receiver."""
        self._unsubscribe()

    def accepted(self, job: Job) -> None:
        """Check the inbox for a new job: its delivery may have overtaken the submit's response."""
        self._spawn(self._check_inbox(job))

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
                    for job_id in await self.job_ids_for(name):
                        if job_id not in tried:
                            return job_id
                    if heard.generation == generation:
                        await heard.wait(self._pause if self._is_shared else None)
        finally:
            self._waiters.pop(name, None)
        return None

    async def job_ids_for(self, track_id: int | str) -> list[str]:
        """Return the job ids in a submit's deliveries, newest first; polls must confirm them."""
        deliveries = reversed(await self._deliveries_of(str(track_id)))
        return list(dict.fromkeys(one.job_id for one in deliveries if one.job_id))

    # --- inside -----------------------------------------------------------------------------

    @property
    def _pause(self) -> float:
        """Seconds until the next check of a shared inbox."""
        return min(_MAX_CHECK_INTERVAL, _CHECK_INTERVAL * 2.0 ** min(self._failures, 8))

    async def _watch(self) -> None:
        """While jobs wait, check for deliveries that another process has received."""
        while True:
            generation = self._poller.watch_started.generation
            async with anyio.create_task_group() as looks:  # slow once, not for each job
                for job in self._poller.watched:
                    if job.track_id is not None:
                        looks.start_soon(self._check_inbox, job)
            if self._poller.watched:
                await anyio.sleep(self._pause)
            elif self._poller.watch_started.generation == generation:
                await self._poller.watch_started.wait()

    async def _check_inbox(self, job: Job) -> None:
        if self._should_poll(job, await self._deliveries_of(str(job.track_id))):
            self._spawn(self._poll(job))  # a task, so that the next check need not wait

    async def _poll(self, job: Job) -> None:
        await self._poller.poll(job, ended_by_webhook=True)
        if job.ending is None and not self._is_shared:  # `_watch` checks a shared inbox
            await anyio.sleep(_MIN_POLL_INTERVAL)
            await self._check_inbox(job)

    async def _deliveries_of(self, track_id: str) -> list[Delivery]:
        """Return the deliveries in the inbox; none if it fails: polling continues without it."""
        try:
            with anyio.fail_after(_INBOX_TIMEOUT):
                kept = await self._receiver.inbox.take(track_id)
        except Exception:  # noqa: BLE001 - an inbox may be anybody's code
            if not self._failures:
                _log.exception("the webhook inbox failed; polling continues")
            self._failures += 1
            return []
        self._failures = 0
        return kept

    def _on_delivery(self, delivery: Delivery) -> None:
        if not runs_on(self._poller.loop):  # the receiver may be served in a thread of its own
            self._poller.loop.call_soon_threadsafe(self._on_delivery, delivery)
            return
        if (heard := self._waiters.get(delivery.track_id)) is not None:
            heard.notify()
        job = self._poller.find_by_track_id(delivery.track_id)
        if job is not None and self._should_poll(job, [delivery]):
            self._spawn(self._poll(job))

    def _should_poll(self, job: Job, deliveries: list[Delivery]) -> bool:
        """Return whether there is news of an end and the last such poll is long enough ago.

        The interval limits what a flood of forged deliveries can cause.
        """
        used = self._used.setdefault(job, set())
        news = {one.digest for one in deliveries if _has_ended(one)} - used
        if not news or job.ending is not None:
            return False
        for one in [one for one, at in self._polled_at.items() if now() - at >= _MIN_POLL_INTERVAL]:
            del self._polled_at[one]
        if job.identity in self._polled_at:
            return False
        self._polled_at[job.identity] = now()
        used |= news
        return True


def _has_ended(delivery: Delivery) -> bool:
    """Return whether a delivery reports an ended job; some are about running ones."""
    return isinstance(delivery.reply, Finished | Failed)
