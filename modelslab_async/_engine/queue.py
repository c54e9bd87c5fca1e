"""Keep the account's queue full and never overfull: the semaphore around submits.

A slot is a place in the account's queue on the server. It is taken before the submit leaves and
given back when the job has ended, before its download. How many there are is decided in
`_policy.queue`; here is only the waiting, first come first served.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from weakref import WeakKeyDictionary

from .._policy.queue import ConcurrencyLimit
from .aio import now


class Slot:
    """One place in the account's queue. Giving it back twice gives it back once."""

    def __init__(self, slots: Slots, *, was_freed: bool) -> None:
        self._slots: Slots | None = slots
        self.taken_at = now()
        self.was_freed = was_freed

    def give_back(self) -> None:
        """Let the next job have this place."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._returned()


class Slots:
    """All places that one account has, shared by the clients of one event loop with one key."""

    def __init__(self) -> None:
        self._members: list[int] = []
        self._pace = ConcurrencyLimit.of(1)
        self._taken = 0
        self._waiting: deque[tuple[asyncio.Future[Slot | None], object]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, max_jobs: int) -> None:
        """One more client; the smallest setting among those that are open holds for all."""
        self._members.append(max_jobs)
        self._pace = self._pace.with_max_jobs(min(self._members))

    def leave(self, max_jobs: int) -> None:
        """One client less. When it was the last, whoever still waits is sent away."""
        self._members.remove(max_jobs)
        if self._members:
            self._pace = self._pace.with_max_jobs(min(self._members))
            self._wake()
            return
        self._stop_timer()
        self._send_away()

    def cancel_waiters(self, client: object) -> None:
        """Let nobody of this client wait any more: it closes, others may stay."""
        for place in [one for one in self._waiting if one[1] is client]:
            self._waiting.remove(place)
            if not place[0].done():
                place[0].set_result(None)

    @property
    def limit(self) -> int:
        """Places there are now."""
        return self._pace.limit

    @property
    def taken(self) -> int:
        """Places in use now."""
        return self._taken

    def wait(self) -> tuple[str, float | None]:
        """Why a refused submit waits, and for how many seconds, if that is known."""
        seconds = max(0.0, self._pace.next_submit_at() - now())
        if self._pace.is_rate_limited:
            return "rate limited by the API", seconds
        return f"the account's queue is full (limit {self._pace.limit})", seconds

    @property
    def blocked_for(self) -> float | None:
        """Seconds for which the server wants nothing, if it is more than anyone sleeps through."""
        return self._pace.blocked_for(now(), queued=self._taken)

    async def take(self, *, again: bool = False, client: object = None) -> Slot | None:
        """Wait for a place; ``None``: there is none to wait for (`blocked_for`, or sent away).

        Args:
            again: this job was refused just before, and goes before newcomers.
            client: for whom, as `cancel_waiters` takes it.
        """
        if self._waiting or not self._free():
            return await self._turn(again, client)
        return self._taken_now()

    def accepted(self) -> None:
        """A submit was accepted."""
        self._pace = self._pace.accepted()
        self._wake()

    def ended(self) -> None:
        """A job of this account has left the queue, whoever waited for it."""
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
        """A submit was turned away: its place is given back, and all wait as they were told."""
        self._pace = self._pace.refused(
            maximum=maximum,
            retry_after=retry_after,
            interval=interval,
            sent_at=slot.taken_at,
            now=now(),
            draw=random.random(),
            was_freed=slot.was_freed,
        )
        slot.give_back()

    def _free(self) -> bool:
        return self._taken < self._pace.limit and now() >= self._pace.next_submit_at()

    def _taken_now(self) -> Slot:
        slot = Slot(self, was_freed=now() < self._pace.not_before)
        self._pace = self._pace.submitted(now())
        self._taken += 1
        return slot

    async def _turn(self, first: bool, client: object) -> Slot | None:
        turn: asyncio.Future[Slot | None] = asyncio.get_running_loop().create_future()
        place = (turn, client)
        if first:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        self._wake()
        try:
            return await turn
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not turn.cancelled() and (slot := turn.result()):
                slot.give_back()  # it was handed over in the same instant
            raise

    def _returned(self) -> None:
        self._taken -= 1
        self._wake()

    def _wake(self) -> None:
        if self.blocked_for is not None:
            self._send_away()
        while self._waiting and self._free():
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._taken_now())
        if self._waiting and self._taken < self._pace.limit:
            self._wake_later()

    def _send_away(self) -> None:
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
        """Forget the timer, too: it holds the loop, by which `_accounts` holds this."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_accounts: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Slots]]
_accounts = WeakKeyDictionary()


def slots_of(account: tuple[str, str]) -> Slots:
    """The slots of an account (origin and fingerprint of the key) on the running event loop."""
    return _accounts.setdefault(asyncio.get_running_loop(), {}).setdefault(account, Slots())
