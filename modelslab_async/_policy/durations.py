"""Estimate how long jobs take, to decide when to poll the next one.

Two series are kept: the seconds of each kind of request, and the seconds of all jobs as a part of
the server's ETA. Whichever varies less is used. Nothing here waits or reads a clock.
"""

from __future__ import annotations

import math

from attrs import define, field, frozen

POLL_COST = 0.015
"""A poll costs as much as noticing the end of a job too late by this part of its duration."""

_MIN_STEP = 0.02
_MIN_DEVIATION = 0.01
_FIRST_DEVIATION = 0.15
_MIN_WEIGHT = 1 / 16
_PROBES = 3
_PROBE_EVERY = 16
_ETA_RANGE = (1e-3, 1e6)  # beyond these, an ETA would be more than numbers can bear


@frozen
class Schedule:
    """When to poll a job, by its age in seconds.

    Attributes:
        first: the age of the first poll.
        step: how long to wait after a poll, as a part of the age; ``None``: as the policy says.
        late: the age from which on the job takes longer than was to be expected.
    """

    first: float
    step: float | None = None
    late: float = math.inf

    def step_at(self, age: float, growth: float) -> float:
        """How long to wait at this age, as a part of it: late jobs are polled ever less often."""
        if self.step is None:
            return growth
        if self.late == math.inf:  # nothing is expected of it, so it is never late
            return self.step
        return min(growth, max(self.step, (age / self.late - 1) / 2))


@frozen
class Estimate:
    """Weighted mean and deviation of the logarithm of durations, and of how many jobs.

    Durations vary by factors, hence the logarithm. This is how TCP estimates round trips (RFC 6298,
    section 2), with the variance in place of the mean deviation.
    """

    mean: float
    deviation: float = _FIRST_DEVIATION
    samples: int = 1

    def observe(self, low: float | None, high: float) -> Estimate:
        """The estimate after one more job, between ``low``, if known, and ``high`` (logarithms).

        A job that was done when first polled tells only that it took no longer, and counts as one
        that ended a deviation earlier.
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
        """When to poll, so that polls and lag together cost least.

        For a normal distribution, evenly spaced polls from some point on are close to the best, and
        this point and step are close to the best of those (a test searches for better ones).

        Args:
            scale: seconds that the estimate is about a part of.
            min_interval: seconds between two polls. Where that is long for such jobs, the first
                poll waits until another would hardly be needed.
        """
        step = max(_MIN_STEP, math.sqrt(2 * POLL_COST * self.deviation))
        first = 0.6 + 0.53 * math.log(POLL_COST / self.deviation)
        longer = max(step, min_interval / (scale * math.exp(self.mean)))
        first = max(first, _where_density_is(self.deviation / (POLL_COST + longer)))
        return Schedule(
            first=scale * math.exp(self.mean + first * self.deviation),
            step=step,
            late=scale * math.exp(self.mean + 2 * self.deviation),
        )


def _where_density_is(value: float) -> float:
    """The number beyond which the normal density is less; minus infinity: it is less everywhere."""
    part = value * math.sqrt(2 * math.pi)
    return math.sqrt(-2 * math.log(part)) if part < 1 else -math.inf


@define
class DurationModel:
    """What the finished jobs of a client say about the next one.

    Attributes:
        first_poll: the earliest age at which to poll a job of which nothing is known yet.
        min_interval: seconds between two polls of one job, at least.
        kinds: the estimate for each kind of request.
        of_eta: of the duration as a part of the ETA.
    """

    first_poll: float
    min_interval: float
    kinds: dict[object, Estimate] = field(factory=dict)
    of_eta: Estimate | None = None
    _jobs: dict[object, int] = field(factory=dict)

    def is_probe(self, kind: object, eta: float | None) -> bool:
        """Whether to poll the next job early, to find out if it takes that long.

        The first few jobs are probes, and a few of all later: who polls only when a job should be
        done never learns that it was done long before.
        """
        subject = None if eta else kind
        number = self._jobs[subject] = self._jobs.get(subject, 0) + 1
        return number <= _PROBES or number % _PROBE_EVERY == 0

    def schedule(self, kind: object, eta: float | None, *, probe: bool = False) -> Schedule:
        """By ETA or by kind, whichever has varied less; else as the server says.

        Where nothing is known, polls are few until a probe knows more.
        """
        by_kind, eta = self.kinds.get(kind), _clamped(eta)
        if eta and self.of_eta and (by_kind is None or self.of_eta.deviation <= by_kind.deviation):
            return self.of_eta.schedule(eta, min_interval=self.min_interval)
        if by_kind is not None:
            return by_kind.schedule(min_interval=self.min_interval)
        if eta:
            first = max(eta, self.first_poll)
            return Schedule(first, step=_MIN_STEP, late=0.9 * first)
        return Schedule(self.first_poll, step=None if probe else 1.0)

    def observe(self, kind: object, eta: float | None, low: float | None, high: float) -> None:
        """One more job of this kind was done at the age ``high``, and not yet at ``low``."""
        high = max(high, 1e-3)
        low = None if low is None or low <= 0 else min(low, high)
        self.kinds[kind] = _observed(self.kinds.get(kind), low, high)
        if eta := _clamped(eta):
            self.of_eta = _observed(self.of_eta, low and low / eta, high / eta)

    @property
    def longest(self) -> float | None:
        """Seconds that the slowest kind of job takes, if any is known."""
        if not self.kinds:
            return None
        return math.exp(max(estimate.mean for estimate in self.kinds.values()))


def _clamped(eta: float | None) -> float | None:
    return min(max(eta, _ETA_RANGE[0]), _ETA_RANGE[1]) if eta else None


def _observed(estimate: Estimate | None, low: float | None, high: float) -> Estimate:
    bottom, top = None if low is None else math.log(low), math.log(high)
    if estimate is None:
        return Estimate(top if bottom is None else (bottom + top) / 2)
    return estimate.observe(bottom, top)


def fallback(schedule: Schedule, growth: float) -> Schedule:
    """The schedule of a job whose end a webhook reports: poll when that is overdue.

    Should the webhook be lost this once, that is noticed later than by polling, by this part of the
    job's age at most: the first poll comes so much later, and then one after each such part.

    Args:
        schedule: when polling alone would ask.
        growth: the time between two polls, as a part of the job's age, as a policy has it.
    """
    overdue = schedule.late if math.isfinite(schedule.late) else 0.0
    return Schedule(max(schedule.first, min(overdue, schedule.first * (1 + growth))))
