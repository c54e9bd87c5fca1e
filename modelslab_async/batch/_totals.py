"""Add up what jobs should come to, and what they would cost."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Self

from attrs import define

from ..endpoints import Estimate


@define
class Total:
    """What several jobs come to, as far as their requests tell.

    Attributes:
        jobs: how many there are.
        seconds: of audio, where the requests tell.
        untimed: jobs whose length is not known.
        characters: to be spoken.
        megabytes: size of the files, in millions of bytes.
        cost: of those whose cost can be told.
        unpriced: jobs whose cost cannot be told.
    """

    jobs: int = 0
    seconds: Decimal = Decimal(0)
    untimed: int = 0
    characters: int = 0
    megabytes: float = 0.0
    cost: Decimal = Decimal(0)
    unpriced: int = 0

    @property
    def price(self) -> Decimal | None:
        """What all of them cost; ``None``: that of one or more cannot be told."""
        return None if self.unpriced else self.cost

    def add(self, estimate: Estimate, cost: Decimal | None, jobs: int = 1) -> None:
        """Count so many more of such jobs, or fewer."""
        self.jobs += jobs
        self.seconds += estimate.seconds * jobs
        self.untimed += 0 if estimate.is_known else jobs
        self.characters += estimate.characters * jobs
        self.megabytes += estimate.megabytes * jobs
        self.cost += (cost or 0) * jobs
        self.unpriced += jobs if cost is None else 0

    @classmethod
    def of(cls, totals: Iterable[Self]) -> Self:
        """The sum of several."""
        parts = list(totals)
        return cls(
            jobs=sum(part.jobs for part in parts),
            seconds=sum((part.seconds for part in parts), Decimal(0)),
            untimed=sum(part.untimed for part in parts),
            characters=sum(part.characters for part in parts),
            megabytes=sum(part.megabytes for part in parts),
            cost=sum((part.cost for part in parts), Decimal(0)),
            unpriced=sum(part.unpriced for part in parts),
        )
