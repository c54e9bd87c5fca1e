"""Decide how many jobs may be in the account's queue, and when the next submit may be sent.

The account's queue holds 5, 10 or 15 requests, depending on the plan (ModelsLab docs, rate limits
page). A refusal that states this maximum is about depth: as soon as one of our own jobs leaves the
queue there is a free slot, however long the refusal asks to wait. A refusal that states a rate is
not about depth: the number of slots stays, and submits are sent at that rate. Nothing here waits or
reads a clock.
"""

from __future__ import annotations

from attrs import evolve, frozen

MAX_WAIT = 3600.0
"""Seconds; the client reports a longer requested wait instead of sleeping."""

_MAX_PROBES = 6
"""Refusals in a row after which a slot freed by our own job is no longer assumed to be free."""

_FLOOR = 1.0
_CEILING = 30.0


@frozen
class ConcurrencyLimit:
    """The number of slots, and when they may be used.

    Attributes:
        ceiling: the most slots there may be: the smaller of the caller's setting and the maximum
            that the server last stated.
        limit: the slots there are now.
        not_before: no submit is sent before this time, except for those that `freed` counts.
        freed: submits that may be sent earlier, one for each job of ours that has left the queue.
        freed_from: when the next of those may be sent.
    """

    ceiling: int
    limit: int
    not_before: float = 0.0
    freed: int = 0
    freed_from: float = 0.0
    _max_jobs: int = 0
    _interval: float = 0.0
    _server_maximum: int | None = None
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
        """Return the limit of a client that has not been refused yet."""
        return cls(ceiling=max_jobs, limit=max_jobs, max_jobs=max_jobs)

    @property
    def is_rate_limited(self) -> bool:
        """Whether the last refusal stated a rate rather than a depth."""
        return self._interval > 0

    def next_submit_at(self) -> float:
        """Return the earliest time at which a submit may be sent if a slot is free."""
        return min(self.not_before, self.freed_from) if self.freed else self.not_before

    def submitted(self, now: float) -> ConcurrencyLimit:
        """Record a submit sent now; before `not_before` it uses the slot of an ended job."""
        paced = self._block_until(now + self._interval) if self._interval else self
        if now < self.not_before:
            return evolve(paced, freed=self.freed - 1)
        return evolve(paced, freed=0, ended_before=max(0, self._ended_before - 1))

    def _block_until(self, time: float) -> ConcurrencyLimit:
        """Send nothing before this time, even if a job ends."""
        time = max(time, self.not_before)
        return evolve(self, not_before=time, freed_from=time, rate_until=time)

    def ended(self, now: float) -> ConcurrencyLimit:
        """Record that a job of ours has left the queue."""
        if now >= self.not_before:
            before = min(self._ended_before + 1, self.limit)
            return evolve(self, ended_at=now, ended_before=before)
        freed = min(self.freed + 1, self.limit)
        return evolve(self, ended_at=now, freed=freed, freed_from=self._rate_until, probes=0)

    def accepted(self) -> ConcurrencyLimit:
        """Record an accepted submit; after `limit` of them, try one more slot."""
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
        """Record a submit that was refused because the queue is full or submits come too fast.

        Args:
            maximum: the number of requests that the reply says are allowed.
            retry_after: seconds that the reply asks to wait.
            interval: seconds between two submits at the rate that the reply states.
            sent_at: when the submit was sent: a burst of refusals reduces the limit only once.
            now: the time of the reply.
            draw: a random number from 0 to 1, to spread clients that were refused together.
            was_freed: whether it was sent before `not_before`, in a slot freed by a job of ours.
        """
        burst = sent_at < self._cut_at
        refusals = max(1, self._refusals + (not burst))
        default = backoff(refusals - 1, draw) if interval is None else interval
        wait = max(_FLOOR, default if retry_after is None else retry_after)
        paused = evolve(
            self, not_before=max(self.not_before, now + wait), refusals=refusals, accepted=0
        )
        if maximum is not None:
            ceiling = min(self._max_jobs, maximum)
            cut = evolve(paused, ceiling=ceiling, limit=ceiling, server_maximum=maximum, cut_at=now)
            if was_freed:
                return cut._probe_freed_slot(sent_at, now, draw)
            if sent_at < self._ended_at:  # the slot of a job that ended meanwhile is free now
                return evolve(cut, freed=self.freed + self._ended_before, ended_before=0)
            return cut
        paused = paused._block_until(now + wait)
        if interval is not None:
            return evolve(paused, interval=interval, cut_at=now)
        if burst:
            return paused
        return evolve(paused, limit=max(1, self.limit // 2), cut_at=now)

    def _probe_freed_slot(self, sent_at: float, now: float, draw: float) -> ConcurrencyLimit:
        """Try a slot that our own job has freed again after a while.

        The server may be slow to count it, or another user of the key was faster.
        """
        if sent_at < self._probed_at:  # part of a burst, which counts as one probe
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

    def with_max_jobs(self, max_jobs: int) -> ConcurrencyLimit:
        """Return the same limit under another setting, as when a client joins or leaves.

        What the server imposed stays: its stated maximum, the slots it took away, and its wait.
        """
        ceiling = max_jobs if self._server_maximum is None else min(max_jobs, self._server_maximum)
        limit = ceiling if self.limit == self.ceiling else min(self.limit, ceiling)
        return evolve(self, max_jobs=max_jobs, ceiling=ceiling, limit=limit)

    def blocked_for(self, now: float, *, queued: int = 0) -> float | None:
        """Return the remaining seconds of a wait above `MAX_WAIT`, or ``None``.

        Args:
            now: the time.
            queued: jobs of ours in the queue: when one ends, a submit may be sent sooner.
        """
        remaining = (self._rate_until if queued or self.freed else self.not_before) - now
        return remaining if remaining > MAX_WAIT else None


def backoff(tries: int, draw: float) -> float:
    """Return the seconds to wait if the server states none: exponential, 1 to 30 s, jittered."""
    return _FLOOR + draw * (min(_CEILING, 2.0 ** min(tries + 1, 10)) - _FLOOR)
