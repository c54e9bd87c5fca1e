"""Decide how many jobs may be in the account's queue, and when the next one may leave.

The account's queue takes 5, 10 or 15 requests at once, by plan (ModelsLab docs, rate limits page).
Nothing here waits or reads a clock.
"""

from __future__ import annotations

from attrs import evolve, frozen

MAX_WAIT = 3600.0
"""Seconds; a server that asks for a longer wait is not slept through but reported."""

_FLOOR = 1.0
_CEILING = 30.0


@frozen
class Pace:
    """How many slots there are, and from when on they may be used.

    Attributes:
        ceiling: the most slots there may be: the caller's setting, and no more than the maximum
            that the server last named.
        limit: slots now.
        not_before: no submit leaves before this time.
    """

    ceiling: int
    limit: int
    not_before: float = 0.0
    _asked: int = 0
    _named: int | None = None
    _cut_at: float = float("-inf")
    _refusals: int = 0
    _accepted: int = 0

    @classmethod
    def of(cls, max_jobs: int) -> Pace:
        """The pace of a client that has not been refused yet."""
        return cls(ceiling=max_jobs, limit=max_jobs, asked=max_jobs)

    def accepted(self) -> Pace:
        """A submit was accepted; after a whole round of them one more slot is tried."""
        count = self._accepted + 1
        if count < self.limit or self.limit >= self.ceiling:
            return evolve(self, accepted=count, refusals=0)
        return evolve(self, limit=self.limit + 1, accepted=0, refusals=0)

    def refused(
        self,
        *,
        maximum: int | None,
        retry_after: float | None,
        sent_at: float,
        now: float,
        draw: float,
    ) -> Pace:
        """A submit was turned away because the queue is full.

        Args:
            maximum: the number of requests that the answer says are allowed.
            retry_after: seconds to stay away, as the answer says.
            sent_at: when that submit left: a whole burst of refusals cuts the pace once.
            now: the time of the answer.
            draw: a random number from 0 to 1, to spread clients that were refused together.
        """
        wait = backoff(self._refusals, draw) if retry_after is None else max(_FLOOR, retry_after)
        paused = evolve(
            self,
            not_before=max(self.not_before, now + wait),
            refusals=self._refusals + 1,
            accepted=0,
        )
        if maximum is not None:
            ceiling = min(self._asked, maximum)
            return evolve(paused, ceiling=ceiling, limit=ceiling, named=maximum, cut_at=now)
        if sent_at < self._cut_at:
            return paused
        return evolve(paused, limit=max(1, self.limit // 2), cut_at=now)

    def asking(self, max_jobs: int) -> Pace:
        """The same pace under another setting, as when a client joins or leaves.

        What the server made of it stays: the maximum that it named, slots that it took away, and
        how long it wants to be left alone.
        """
        ceiling = max_jobs if self._named is None else min(max_jobs, self._named)
        limit = ceiling if self.limit == self.ceiling else min(self.limit, ceiling)
        return evolve(self, asked=max_jobs, ceiling=ceiling, limit=limit)

    def parked(self, now: float) -> float | None:
        """Seconds left of a wait that nobody shall sleep through, or ``None``."""
        left = self.not_before - now
        return left if left > MAX_WAIT else None


def backoff(tries: int, draw: float) -> float:
    """Seconds to wait where nobody says how long: 1 s at least, 30 s at most, spread out."""
    return _FLOOR + draw * (min(_CEILING, 2.0 ** min(tries + 1, 10)) - _FLOOR)
