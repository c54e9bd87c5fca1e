"""Say what a batch may cost. Prices are the user's own: none is known here, none invented."""

from __future__ import annotations

from attrs import field, frozen, validators

from ..errors import LimitReached
from ..policy.settings import at_least
from ..protocol.requests import MusicGen

DEFAULT_SECONDS = 30.0
"""Length of a generation that names none (ModelsLab docs, music-gen page since 2026-03-27)."""

_TOKENS_A_SECOND = 50.0


@frozen(kw_only=True)
class Limits:
    """How much a batch may pay for in its whole life, over all runs in one directory.

    Attributes:
        max_jobs_total: jobs; ``None``: no limit.
        max_cost: in the unit of the prices; ``None``: no limit.
        price_per_job: what one job costs.
        price_per_second: what one second of audio costs, beside that.

    Raises:
        ConfigurationError: one of them is below zero, or no number.
    """

    max_jobs_total: int | None = field(default=None, validator=validators.optional(at_least(0)))
    max_cost: float | None = field(default=None, validator=validators.optional(at_least(0)))
    price_per_job: float = field(default=0.0, validator=at_least(0))
    price_per_second: float = field(default=0.0, validator=at_least(0))

    @property
    def priced(self) -> bool:
        """Whether costs can be told at all."""
        return bool(self.price_per_job or self.price_per_second)

    def cost(self, seconds: float) -> float:
        """Of one job that makes so many seconds of audio."""
        return self.price_per_job + self.price_per_second * seconds


def seconds_of(request: MusicGen) -> float:
    """How long the music will be that a request asks for, as far as the documents tell."""
    if request.max_new_token is not None:
        return request.max_new_token / _TOKENS_A_SECOND
    return DEFAULT_SECONDS if request.duration is None else float(request.duration)


class Purse:
    """Counts what a batch has paid for, against its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.jobs = 0
        self.cost = 0.0

    def paid(self, seconds: float) -> None:
        """One more job is paid for, or may be."""
        self.jobs += 1
        self.cost += self._limits.cost(seconds)

    def returned(self, seconds: float) -> None:
        """A job that was counted has proved not to exist."""
        self.jobs -= 1
        self.cost -= self._limits.cost(seconds)

    def refusal(self, seconds: float) -> LimitReached | None:
        """Why one more job of this length may not be paid for, if so."""
        limits = self._limits
        if limits.max_jobs_total is not None and self.jobs >= limits.max_jobs_total:
            return LimitReached(
                f"{self.jobs} jobs are paid for, and max_jobs_total is {limits.max_jobs_total}; "
                "raise it and run the batch again to go on"
            )
        cost = self.cost + limits.cost(seconds)
        if limits.max_cost is not None and cost > limits.max_cost:
            return LimitReached(
                f"the next job would bring the cost to {cost:.4g}, and max_cost is "
                f"{limits.max_cost:.4g}; raise it and run the batch again to go on"
            )
        return None
