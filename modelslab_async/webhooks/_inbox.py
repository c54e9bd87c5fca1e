"""Store deliveries until a client takes them: in memory, or in your own `Inbox`."""

from __future__ import annotations

import threading
from typing import Final, Protocol

from ._delivery import Delivery

_MOST: Final = 10_000
_MOST_OF_ONE: Final = 32


class Inbox(Protocol):
    """Stores deliveries: for a job whose id is not known yet, for another replica, for a restart.

    While jobs wait, a client calls `take` for each of them several times a second, because another
    process may have received the delivery. An attribute ``is_shared`` that is false disables this.

    `MemoryInbox` serves one process, `SqliteInbox` the processes of one machine. For replicas on
    several machines, write an inbox for a shared store, for example Redis::

        class RedisInbox:
            def __init__(self, redis):
                self._redis = redis

            async def put(self, delivery):
                name = f"modelslab:{delivery.track_id}"
                await self._redis.hset(name, delivery.digest, delivery.to_json())
                await self._redis.expire(name, 7 * 24 * 3600)

            async def take(self, track_id):
                texts = await self._redis.hvals(f"modelslab:{track_id}")
                return [Delivery.from_json(text) for text in texts]
    """

    async def put(self, delivery: Delivery) -> None:
        """Store it once per ``(track_id, digest)``. The receiver responds 200 when this returns.

        On any exception it responds 503: the server may deliver again, and polling continues.
        """

    async def take(self, track_id: str) -> list[Delivery]:
        """Return all deliveries for a job, oldest first. Keep them: the caller may crash."""


class MemoryInbox:
    """Keeps the newest 10,000 deliveries, at most 32 per job, in the memory of this process."""

    is_shared: Final = False
    """No other process stores deliveries here, so clients need not check for them."""

    def __init__(self) -> None:
        self._ages: dict[tuple[str, str], None] = {}
        self._jobs: dict[str, dict[str, Delivery]] = {}
        self._lock = threading.Lock()  # a receiver may be served in a thread of its own

    async def put(self, delivery: Delivery) -> None:
        """Store it, unless an equal one is stored."""
        key = (delivery.track_id, delivery.digest)
        with self._lock:
            if key in self._ages:
                return
            self._ages[key] = None
            of_job = self._jobs.setdefault(delivery.track_id, {})
            of_job[delivery.digest] = delivery
            if len(of_job) > _MOST_OF_ONE:
                self._drop(delivery.track_id, next(iter(of_job)))
            if len(self._ages) > _MOST:
                self._drop(*next(iter(self._ages)))

    async def take(self, track_id: str) -> list[Delivery]:
        """Return all deliveries for a job, oldest first."""
        with self._lock:
            return list(self._jobs.get(track_id, {}).values())

    def _drop(self, track_id: str, digest: str) -> None:
        del self._ages[track_id, digest]
        of_job = self._jobs[track_id]
        del of_job[digest]
        if not of_job:
            del self._jobs[track_id]
