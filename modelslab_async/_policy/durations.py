"""Learn how long jobs take, and say from that when to ask about the next one.

What is observe is a log-normal law: of the time that a kind of job takes, and of the time as a part
of the server's eta, which is as good as it has proved to be. Nothing here waits or reads a clock.
"""

from __future__ import annotations

import math

from attrs import define, field, frozen

QUESTION = 0.015
"""What a question costs: as much as to know of an end too late by this part of a job's time."""

_LEAST_SHARE = 0.02
_LEAST_SPREAD = 0.01
_SPREAD_AT_FIRST = 0.15
_LEAST_WEIGHT = 1 / 16
_SCOUTS = 3
_SCOUT_EVERY = 16
_FAR = 4.0
_ETAS = (1e-3, 1e6)  # beyond these, an eta would be more than numbers can bear


@frozen
class Schedule:
    """When to ask about a job, by its age in seconds.

    Attributes:
        due: the age at which to ask first.
        share: how long to wait after a question, as a part of the age; ``None``: as a policy says.
        late: the age from which on the job takes longer than was to be expected.
    """

    due: float
    share: float | None = None
    late: float = math.inf

    def share_at(self, age: float, growth: float) -> float:
        """How long to wait at this age, as a part of it: late jobs are asked about ever less."""
        if self.share is None:
            return growth
        if self.late == math.inf:  # nothing is expected of it, so it is never late
            return self.share
        return min(growth, max(self.share, (age / self.late - 1) / 2))


@frozen
class Estimate:
    """A log-normal law: centre and spread of the logarithm, and how many jobs taught it."""

    centre: float
    spread: float = _SPREAD_AT_FIRST
    samples: int = 1

    def observe(self, low: float | None, high: float) -> Estimate:
        """The law after one more job, whose logarithm lies above ``low`` and is ``high`` at most.

        A job that was done when first asked about tells little, and is counted for what the law
        itself says of such a job: one step of expectation maximisation, as new ones come in.
        """
        least = -math.inf if low is None else (low - self.centre) / self.spread
        mean, variance = _between(least, (high - self.centre) / self.spread)
        weight = max(1 / (self.samples + 1), _LEAST_WEIGHT)
        kept = (1 - weight) * (1 + weight * mean * mean) + weight * variance
        return Estimate(
            centre=self.centre + weight * mean * self.spread,
            spread=max(_LEAST_SPREAD, self.spread * math.sqrt(kept)),
            samples=self.samples + 1,
        )

    def expectation(self, scale: float = 1.0, *, least: float = 0.0) -> Schedule:
        """When to ask, so that questions and lag together cost least.

        For a normal law, evenly spaced questions from some point on are close to the best, and
        this point and step are close to the best of those (a test searches for better ones).

        Args:
            scale: seconds that the law is about a part of.
            least: seconds between two questions. Where that is long for such jobs, the first waits
                until another would hardly be needed.
        """
        share = max(_LEAST_SHARE, math.sqrt(2 * QUESTION * self.spread))
        step = max(share, least / (scale * math.exp(self.centre)))
        first = 0.6 + 0.53 * math.log(QUESTION / self.spread)
        first = max(first, _where_density_is(self.spread / (QUESTION + step)))
        return Schedule(
            due=scale * math.exp(self.centre + first * self.spread),
            share=share,
            late=scale * math.exp(self.centre + 2 * self.spread),
        )


def _between(low: float, high: float) -> tuple[float, float]:
    """Mean and variance of a standard normal number that is known to lie between two."""
    if low > _FAR or high < -_FAR:  # a surprise: as near to what was expected as it can be
        return (low if low > 0 else high), 0.0
    low = max(low, -2 * _FAR)
    mass = _below(high) - _below(low)
    if mass < 1e-6:
        return (low + high) / 2, 0.0
    left, right = _density(low), _density(high)
    mean = (left - right) / mass
    return mean, max(0.0, 1 + (low * left - high * right) / mass - mean * mean)


def _below(number: float) -> float:
    return math.erfc(-number / math.sqrt(2)) / 2


def _density(number: float) -> float:
    return math.exp(-number * number / 2) / math.sqrt(2 * math.pi)


def _where_density_is(value: float) -> float:
    """The number beyond which the density is less; it is less everywhere: minus infinity."""
    part = value * math.sqrt(2 * math.pi)
    return math.sqrt(-2 * math.log(part)) if part < 1 else -math.inf


@define
class DurationModel:
    """How long the jobs of a client took: what to expect of the next.

    Attributes:
        first: the earliest age at which to ask about a job of which nothing is known yet.
        least: seconds between two questions about one job, at least.
        kinds: what was observe of each kind of request.
        etas: what was observe of the time of jobs as a part of their eta.
    """

    first: float
    least: float
    kinds: dict[object, Estimate] = field(factory=dict)
    etas: Estimate | None = None
    _jobs: dict[object, int] = field(factory=dict)

    def is_probe(self, kind: object, eta: float | None) -> bool:
        """Whether the next job is to be asked about early, to find out if it takes that long.

        The first few jobs are, and a few of all later: who only asks when a job should be done
        never learns that it was done long before.
        """
        subject = None if eta else kind
        number = self._jobs[subject] = self._jobs.get(subject, 0) + 1
        return number <= _SCOUTS or number % _SCOUT_EVERY == 0

    def expected(self, kind: object, eta: float | None, *, probe: bool = False) -> Schedule:
        """By eta or by kind, whichever has proved the better guide; else the server's word.

        Where there is none, few questions are asked until a probe knows more.
        """
        by_kind, eta = self.kinds.get(kind), _bounded(eta)
        if eta and self.etas and (by_kind is None or self.etas.spread <= by_kind.spread):
            return self.etas.expectation(eta, least=self.least)
        if by_kind is not None:
            return by_kind.expectation(least=self.least)
        if eta:
            due = max(eta, self.first)
            return Schedule(due, share=_LEAST_SHARE, late=0.9 * due)
        return Schedule(self.first, share=None if probe else 1.0)

    def observe(self, kind: object, eta: float | None, low: float | None, high: float) -> None:
        """One more job of this kind was done at the age ``high``, and not yet at ``low``."""
        high = max(high, 1e-3)
        low = None if low is None or low <= 0 else min(low, high)
        self.kinds[kind] = _taught(self.kinds.get(kind), low, high)
        if eta := _bounded(eta):
            self.etas = _taught(self.etas, low and low / eta, high / eta)

    @property
    def longest(self) -> float | None:
        """Seconds that the slowest kind of job takes, if any is known."""
        if not self.kinds:
            return None
        return math.exp(max(belief.centre for belief in self.kinds.values()))


def _bounded(eta: float | None) -> float | None:
    return min(max(eta, _ETAS[0]), _ETAS[1]) if eta else None


def _taught(belief: Estimate | None, low: float | None, high: float) -> Estimate:
    bottom, top = None if low is None else math.log(low), math.log(high)
    if belief is None:
        return Estimate(top if bottom is None else (bottom + top) / 2)
    return belief.observe(bottom, top)


def as_backup(expected: Schedule, growth: float) -> Schedule:
    """What to expect of a job whose end is told: to ask when that is overdue.

    Should it not be told this once, that is noticed later than by polling, by this part of the
    job's age at most: the first question leaves so much later, and then one after each such part.

    Args:
        expected: when polling would ask.
        growth: the time between two questions, as a part of the job's age, as a policy has it.
    """
    overdue = expected.late if math.isfinite(expected.late) else 0.0
    return Schedule(max(expected.due, min(overdue, expected.due * (1 + growth))))
