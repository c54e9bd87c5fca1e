"""Limit the jobs in the account's queue: the semaphore around submits.

A slot is one entry of the account's queue on the server. It is taken before the submit is sent and
released when the job has ended, before its download. `_policy.queue` decides how many slots there
are; this module only makes submits wait, first come, first served.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from weakref import WeakKeyDictionary

from .._policy.queue import ConcurrencyLimit
from .aio import now


class Slot:
    """One entry of the account's queue. Releasing it twice has no further effect."""

    def __init__(self, slots: Slots, *, was_freed: bool) -> None:
        self._slots: Slots | None = slots
        self.taken_at = now()
        self.was_freed = was_freed

    def release(self) -> None:
        """Make the slot available to the next job."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._returned()


class Slots:
    """All slots of one account, shared by the clients with its key on one event loop."""

    def __init__(self) -> None:
        self._members: list[int] = []
        self._pace = ConcurrencyLimit.of(1)
        self._taken = 0
        self._waiting: deque[tuple[asyncio.Future[Slot | None], object]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, max_jobs: int) -> None:
        """Add a client; the smallest ``max_jobs`` of all open clients applies to all."""
        self._members.append(max_jobs)
        self._pace = self._pace.with_max_jobs(min(self._members))

    def leave(self, max_jobs: int) -> None:
        """Remove a client. After the last one, all remaining waiters get no slot."""
        self._members.remove(max_jobs)
        if self._members:
            self._pace = self._pace.with_max_jobs(min(self._members))
            self._wake()
            return
        self._stop_timer()
        self._dismiss_waiters()

    def cancel_waiters(self, client: object) -> None:
        """End the waits of one client, which is closing; other clients keep waiting."""
        for waiter in [one for one in self._waiting if one[1] is client]:
            self._waiting.remove(waiter)
            if not waiter[0].done():
                waiter[0].set_result(None)

    @property
    def limit(self) -> int:
        """The current number of slots."""
        return self._pace.limit

    @property
    def taken(self) -> int:
        """The number of slots in use."""
        return self._taken

    def wait(self) -> tuple[str, float | None]:
        """Return why a refused submit waits, and for how many seconds."""
        seconds = max(0.0, self._pace.next_submit_at() - now())
        if self._pace.is_rate_limited:
            return "rate limited by the API", seconds
        return f"the account's queue is full (limit {self._pace.limit})", seconds

    @property
    def blocked_for(self) -> float | None:
        """Seconds until submits are allowed again, if too long to sleep; else ``None``."""
        return self._pace.blocked_for(now(), queued=self._taken)

    async def take(self, *, retry: bool = False, client: object = None) -> Slot | None:
        """Wait for a slot; ``None``: waiting is pointless (`blocked_for`) or was cancelled.

        Args:
            retry: this job was refused just before, so it goes to the head of the line.
            client: identifies the waiter for `cancel_waiters`.
        """
        if self._waiting or not self._free():
            return await self._wait_turn(retry, client)
        return self._take_now()

    def accepted(self) -> None:
        """Record that a submit was accepted."""
        self._pace = self._pace.accepted()
        self._wake()

    def ended(self) -> None:
        """Record that a job of this account has left the queue."""
        self._pace = self._pace.ended(now())
        self._wake()

    def refused(
        self,
        slot: Slot,
        *,
        maximum: int | None,
        retry_after: float | None,
        interval: float | None = None,
    ) -> None:
        """Record that a submit was refused: release its slot, and make submits wait as asked."""
        self._pace = self._pace.refused(
            maximum=maximum,
            retry_after=retry_after,
            interval=interval,
            sent_at=slot.taken_at,
            now=now(),
            draw=random.random(),
            was_freed=slot.was_freed,
        )
        slot.release()

    def _free(self) -> bool:
        return self._taken < self._pace.limit and now() >= self._pace.next_submit_at()

    def _take_now(self) -> Slot:
        slot = Slot(self, was_freed=now() < self._pace.not_before)
        self._pace = self._pace.submitted(now())
        self._taken += 1
        return slot

    async def _wait_turn(self, first: bool, client: object) -> Slot | None:
        turn: asyncio.Future[Slot | None] = asyncio.get_running_loop().create_future()
        waiter = (turn, client)
        if first:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        self._wake()
        try:
            return await turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not turn.cancelled() and (slot := turn.result()):
                slot.release()  # it was handed over just before the cancellation
            raise

    def _returned(self) -> None:
        self._taken -= 1
        self._wake()

    def _wake(self) -> None:
        if self.blocked_for is not None:
            self._dismiss_waiters()
        while self._waiting and self._free():
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._take_now())
        if self._waiting and self._taken < self._pace.limit:
            self._wake_later()

    def _dismiss_waiters(self) -> None:
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    def _wake_later(self) -> None:
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._pace.next_submit_at(), self._on_time)

    def _on_time(self) -> None:
        self._stop_timer()
        self._wake()

    def _stop_timer(self) -> None:
        """Drop the timer as well: it refers to the loop, and would keep `_accounts` alive."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_accounts: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Slots]]
_accounts = WeakKeyDictionary()


def slots_of(account: tuple[str, str]) -> Slots:
    """Return the slots of an account (origin, key fingerprint) on the running event loop."""
    return _accounts.setdefault(asyncio.get_running_loop(), {}).setdefault(account, Slots())
