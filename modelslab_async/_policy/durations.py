"""Estimate how long jobs take, to decide when to poll the next one.

There are two series: durations in seconds per kind of request, and the durations of all jobs as
fractions of the server's ETA. The one that varies less is used. Nothing here waits or reads a
clock.
"""

from __future__ import annotations

import math

from attrs import define, field, frozen

POLL_COST = 0.015
"""One poll costs as much as noticing a job's end late by this fraction of its duration."""

_MIN_STEP = 0.02
_MIN_DEVIATION = 0.01
_FIRST_DEVIATION = 0.15
_MIN_WEIGHT = 1 / 16
_PROBES = 3
_PROBE_EVERY = 16
_ETA_RANGE = (1e-3, 1e6)  # seconds; ETAs outside this range would overflow or underflow


@frozen
class Schedule:
    """When to poll a job, by its age in seconds.

    Attributes:
        first: the age of the first poll.
        step: the wait after a poll as a fraction of the age; ``None``: use the policy's.
        late: the age from which the job counts as late.
    """

    first: float
    step: float | None = None
    late: float = math.inf

    def step_at(self, age: float, growth: float) -> float:
        """Return the wait at this age, as a fraction of it; it grows once the job is late."""
        if self.step is None:
            return growth
        if self.late == math.inf:  # no estimate, so it is never late
            return self.step
        return min(growth, max(self.step, (age / self.late - 1) / 2))


@frozen
class Estimate:
    """Weighted mean and deviation of log durations, and the number of samples.

    Durations vary by factors, hence the logarithm. This is how TCP estimates round-trip times
    (RFC 6298, section 2), with the variance in place of the mean deviation.
    """

    mean: float
    deviation: float = _FIRST_DEVIATION
    samples: int = 1

    def observe(self, low: float | None, high: float) -> Estimate:
        """Return the estimate after one more job that took between ``low`` and ``high`` (logs).

        ``low`` is ``None`` for a job that was done at its first poll. This gives only an upper
        bound, so the job counts as if it had ended one deviation earlier.
        """
        seen = high - self.deviation if low is None else (low + high) / 2
        weight, error = max(1 / (self.samples + 1), _MIN_WEIGHT), seen - self.mean
        variance = (1 - weight) * (self.deviation**2 + weight * error**2)
        return Estimate(
            mean=self.mean + weight * error,
            deviation=max(_MIN_DEVIATION, math.sqrt(variance)),
            samples=self.samples + 1,
        )

    def schedule(self, scale: float = 1.0, *, min_interval: float = 0.0) -> Schedule:
        """Return the schedule that minimizes the combined cost of polls and lag.

        For a normal distribution, evenly spaced polls from some point on are close to optimal, and
        this point and step are close to the best such pair (a test searches for better ones).

        Args:
            scale: seconds; the estimate is a fraction of this.
            min_interval: least seconds between two polls. If that is long compared with the jobs,
                the first poll waits until a second one is hardly needed.
        """
        step = max(_MIN_STEP, math.sqrt(2 * POLL_COST * self.deviation))
        first = 0.6 + 0.53 * math.log(POLL_COST / self.deviation)
        longer = max(step, min_interval / (scale * math.exp(self.mean)))
        first = max(first, _density_crossing(self.deviation / (POLL_COST + longer)))
        return Schedule(
            first=scale * math.exp(self.mean + first * self.deviation),
            step=step,
            late=scale * math.exp(self.mean + 2 * self.deviation),
        )


def _density_crossing(value: float) -> float:
    """Return where the normal density falls below a value; minus infinity if it always is."""
    part = value * math.sqrt(2 * math.pi)
    return math.sqrt(-2 * math.log(part)) if part < 1 else -math.inf


@define
class DurationModel:
    """Predicts the duration of a client's next job from its finished ones.

    Attributes:
        first_poll: the earliest age, in seconds, at which to poll a job without an estimate.
        min_interval: least seconds between two polls of one job.
        by_kind: the estimate per kind of request.
        of_eta: the estimate of the duration as a fraction of the ETA.
    """

    first_poll: float
    min_interval: float
    by_kind: dict[object, Estimate] = field(factory=dict)
    of_eta: Estimate | None = None
    _jobs: dict[object, int] = field(factory=dict)

    def is_probe(self, kind: object, eta: float | None) -> bool:
        """Return whether to poll the next job early, to check the estimate.

        The first few jobs are probes, and every 16th later one: a client that polls only when a
        job should be done never learns that jobs are done long before.
        """
        subject = None if eta else kind
        number = self._jobs[subject] = self._jobs.get(subject, 0) + 1
        return number <= _PROBES or number % _PROBE_EVERY == 0

    def schedule(self, kind: object, eta: float | None, *, probe: bool = False) -> Schedule:
        """Return the schedule by ETA or by kind, whichever varies less; else by the bare ETA.

        Without either, polls are few until a probe has finished.
        """
        by_kind, eta = self.by_kind.get(kind), _clamped(eta)
        if eta and self.of_eta and (by_kind is None or self.of_eta.deviation <= by_kind.deviation):
            return self.of_eta.schedule(eta, min_interval=self.min_interval)
        if by_kind is not None:
            return by_kind.schedule(min_interval=self.min_interval)
        if eta:
            first = max(eta, self.first_poll)
            return Schedule(first, step=_MIN_STEP, late=0.9 * first)
        return Schedule(self.first_poll, step=None if probe else 1.0)

    def observe(self, kind: object, eta: float | None, low: float | None, high: float) -> None:
        """Add one job of this kind that was done at age ``high`` but not yet at age ``low``."""
        high = max(high, 1e-3)
        low = None if low is None or low <= 0 else min(low, high)
        self.by_kind[kind] = _observed(self.by_kind.get(kind), low, high)
        if eta := _clamped(eta):
            self.of_eta = _observed(self.of_eta, low and low / eta, high / eta)

    @property
    def longest(self) -> float | None:
        """The mean duration in seconds of the slowest kind of job, or ``None`` without samples."""
        if not self.by_kind:
            return None
        return math.exp(max(estimate.mean for estimate in self.by_kind.values()))


def _clamped(eta: float | None) -> float | None:
    return min(max(eta, _ETA_RANGE[0]), _ETA_RANGE[1]) if eta else None


def _observed(estimate: Estimate | None, low: float | None, high: float) -> Estimate:
    bottom, top = None if low is None else math.log(low), math.log(high)
    if estimate is None:
        return Estimate(top if bottom is None else (bottom + top) / 2)
    return estimate.observe(bottom, top)
