"""Decide how many jobs may be in the account's queue, and when the next one may leave.

The account's queue takes 5, 10 or 15 requests at once, by plan (ModelsLab docs, rate limits page).
A refusal that names this maximum speaks of depth: as soon as one of our own jobs leaves the queue,
there is a slot, however long the refusal asks to wait. One that names a rate says nothing of depth:
the slots stay, and submits leave at that rate. Nothing here waits or reads a clock.
"""

from __future__ import annotations

from attrs import evolve, frozen

MAX_WAIT = 3600.0
"""Seconds; a server that asks for a longer wait is not slept through but reported."""

_MAX_PROBES = 6
"""Refusals in a row after which a slot that our own job left is no longer believed to be free."""

_FLOOR = 1.0
_CEILING = 30.0


@frozen
class ConcurrencyLimit:
    """How many slots there are, and from when on they may be used.

    Attributes:
        ceiling: the most slots there may be: the caller's setting, and no more than the maximum
            that the server last named.
        limit: slots now.
        not_before: no submit leaves before this time, but for those that `freed` counts.
        freed: submits that may leave before that, for as many jobs of ours have left the queue.
        freed_from: when the next of those may leave.
    """

    ceiling: int
    limit: int
    not_before: float = 0.0
    freed: int = 0
    freed_from: float = 0.0
    _asked: int = 0
    _interval: float = 0.0
    _named: int | None = None
    _rate_until: float = 0.0
    _ended_at: float = float("-inf")
    _ended_before: int = 0
    _probes: int = 0
    _probed_at: float = float("-inf")
    _cut_at: float = float("-inf")
    _refusals: int = 0
    _accepted: int = 0

    @classmethod
    def of(cls, max_jobs: int) -> ConcurrencyLimit:
        """The pace of a client that has not been refused yet."""
        return cls(ceiling=max_jobs, limit=max_jobs, asked=max_jobs)

    @property
    def is_rate(self) -> bool:
        """Whether the last refusal named a rate, and not a depth."""
        return self._interval > 0

    def next_at(self) -> float:
        """The earliest time at which a submit may leave, if there is a slot for it."""
        return min(self.not_before, self.freed_from) if self.freed else self.not_before

    def left(self, now: float) -> ConcurrencyLimit:
        """A submit leaves now; before `not_before` it takes the slot of a job that has ended."""
        paced = self._silent_until(now + self._interval) if self._interval else self
        if now < self.not_before:
            return evolve(paced, freed=self.freed - 1)
        return evolve(paced, freed=0, ended_before=max(0, self._ended_before - 1))

    def _silent_until(self, time: float) -> ConcurrencyLimit:
        """Nothing leaves before this time, whatever ends."""
        time = max(time, self.not_before)
        return evolve(self, not_before=time, freed_from=time, rate_until=time)

    def ended(self, now: float) -> ConcurrencyLimit:
        """A job of ours has left the queue."""
        if now >= self.not_before:
            before = min(self._ended_before + 1, self.limit)
            return evolve(self, ended_at=now, ended_before=before)
        freed = min(self.freed + 1, self.limit)
        return evolve(self, ended_at=now, freed=freed, freed_from=self._rate_until, probes=0)

    def accepted(self) -> ConcurrencyLimit:
        """A submit was accepted; after a whole round of them one more slot is tried."""
        count = self._accepted + 1
        if count < self.limit or self.limit >= self.ceiling:
            return evolve(self, accepted=count, refusals=0, probes=0)
        return evolve(self, limit=self.limit + 1, accepted=0, refusals=0, probes=0)

    def refused(
        self,
        *,
        maximum: int | None,
        retry_after: float | None,
        interval: float | None = None,
        sent_at: float,
        now: float,
        draw: float,
        was_freed: bool = False,
    ) -> ConcurrencyLimit:
        """A submit was turned away because the queue is full.

        Args:
            maximum: the number of requests that the answer says are allowed.
            retry_after: seconds to stay away, as the answer says.
            interval: seconds from one submit to the next at the rate that the answer names.
            sent_at: when that submit left: a whole burst of refusals cuts the pace once.
            now: the time of the answer.
            draw: a random number from 0 to 1, to spread clients that were refused together.
            was_freed: it had left for a job of ours that had ended, before `not_before`.
        """
        burst = sent_at < self._cut_at
        refusals = max(1, self._refusals + (not burst))
        unsaid = backoff(refusals - 1, draw) if interval is None else interval
        wait = max(_FLOOR, unsaid if retry_after is None else retry_after)
        paused = evolve(
            self, not_before=max(self.not_before, now + wait), refusals=refusals, accepted=0
        )
        if maximum is not None:
            ceiling = min(self._asked, maximum)
            cut = evolve(paused, ceiling=ceiling, limit=ceiling, named=maximum, cut_at=now)
            if was_freed:
                return cut._believing(sent_at, now, draw)
            if sent_at < self._ended_at:  # the slot of who ended meanwhile was not free yet
                return evolve(cut, freed=self.freed + self._ended_before, ended_before=0)
            return cut
        paused = paused._silent_until(now + wait)
        if interval is not None:
            return evolve(paused, interval=interval, cut_at=now)
        if burst:
            return paused
        return evolve(paused, limit=max(1, self.limit // 2), cut_at=now)

    def _believing(self, sent_at: float, now: float, draw: float) -> ConcurrencyLimit:
        """A slot that our own job has left is tried again after a while.

        The server may be slow to count it, or somebody else with the key was faster.
        """
        if sent_at < self._probed_at:  # one of a burst, which is one try
            return evolve(self, freed=self.freed + 1)
        if self._probes == _MAX_PROBES:
            return self
        return evolve(
            self,
            freed=self.freed + 1,
            freed_from=max(self._rate_until, now + backoff(self._probes, draw)),
            probes=self._probes + 1,
            probed_at=now,
        )

    def asking(self, max_jobs: int) -> ConcurrencyLimit:
        """The same pace under another setting, as when a client joins or leaves.

        What the server made of it stays: the maximum that it named, slots that it took away, and
        how long it wants to be left alone.
        """
        ceiling = max_jobs if self._named is None else min(max_jobs, self._named)
        limit = ceiling if self.limit == self.ceiling else min(self.limit, ceiling)
        return evolve(self, asked=max_jobs, ceiling=ceiling, limit=limit)

    def parked(self, now: float, *, queued: int = 0) -> float | None:
        """Seconds left of a wait that nobody shall sleep through, or ``None``.

        Args:
            now: the time.
            queued: jobs of ours that are in the queue: the end of one frees a submit sooner.
        """
        left = (self._rate_until if queued or self.freed else self.not_before) - now
        return left if left > MAX_WAIT else None


def backoff(tries: int, draw: float) -> float:
    """Seconds to wait where nobody says how long: 1 s at least, 30 s at most, spread out."""
    return _FLOOR + draw * (min(_CEILING, 2.0 ** min(tries + 1, 10)) - _FLOOR)
