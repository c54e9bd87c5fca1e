"""Say what a batch may cost. Prices are the user's own: none is known here, none invented.

Amounts are decimals, and sums of them are exact: three jobs at 0.1 cost 0.3, and not more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Final

from attrs import evolve, field, fields, frozen

from .._text import decimal_text, plural
from ..endpoints import Request
from ..errors import ConfigurationError, LimitReached

_LARGEST: Final = Decimal(10) ** 15
_NUMBER: Final = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
_EXACT: Final = Context(prec=150)  # no amount that `amount` lets pass needs more digits


def amount(value: object) -> Decimal:
    """An amount of money: a finite number, zero or more.

    A float counts as the decimal that it stands for, to 12 digits: 0.1 + 0.2 is 0.3.

    Raises:
        ValueError: it is none; the message says what it must be.
    """
    text = _text_of(value)
    if re.fullmatch(r"[0-9]+,[0-9]+", text):
        raise ValueError(f"a number with a point, as in {text.replace(',', '.')}")
    if not _NUMBER.fullmatch(text) or len(text) > 40 or Decimal(text) >= _LARGEST:
        raise ValueError("a number from 0 to 999,999,999,999,999")
    return Decimal(text)


def _text_of(value: object) -> str:
    if isinstance(value, float):
        return f"{value + 0.0:.12g}"  # zero has no sign here
    if isinstance(value, Decimal) or (type(value) is int and value < _LARGEST):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def _optional(value: Decimal | float | str | None) -> Any:
    try:
        return None if value is None else amount(value)
    except ValueError:
        return value  # for `_check_amount`, which knows the name


def _check_amount(_: Any, attribute: Any, value: object) -> None:
    try:
        amount(0 if value is None else value)
    except ValueError as error:
        raise _unfit(attribute.name, value, str(error)) from None


def _check_jobs(_: Any, attribute: Any, value: object) -> None:
    if value is None or (type(value) is int and value >= 0):
        return
    raise _unfit(attribute.name, value, "a whole number, 0 or more")


def _unfit(name: str, value: object, what: str) -> ConfigurationError:
    try:
        named = f"{value!r:.40}"
    except ValueError:  # Python writes no integer of more than 4,300 digits
        named = "too large"
    return ConfigurationError(f"{name} is {named}, but must be {what}")


@frozen(kw_only=True)
class Limits:
    """How much a batch may pay for in its whole life, over all runs in one directory.

    The ledger keeps them: a later run changes what it names, and leaves the rest as it is. What
    was paid for counts at the price of its day.

    Amounts may be given as `decimal.Decimal`, int, float or text.

    Attributes:
        max_jobs_total: jobs; ``None``: as the ledger says, and without that no limit.
        max_cost: in the unit of the prices; ``None``: as for jobs. It needs a price.
        price_per_job: what one job costs; ``None``: as the ledger says, else nothing.
        price_per_second: what one second of audio costs, beside that; ``None``: as for a job.

    Raises:
        ConfigurationError: one of them is below zero, or no number.
    """

    max_jobs_total: int | None = field(default=None, validator=_check_jobs)
    max_cost: Decimal | None = field(default=None, converter=_optional, validator=_check_amount)
    price_per_job: Decimal | None = field(
        default=None, converter=_optional, validator=_check_amount
    )
    price_per_second: Decimal | None = field(
        default=None, converter=_optional, validator=_check_amount
    )

    @property
    def priced(self) -> bool:
        """Whether costs can be told at all."""
        return bool(self.price_per_job or self.price_per_second)

    def cost(self, seconds: Decimal) -> Decimal:
        """Of one job that makes so many seconds of audio."""
        return _EXACT.fma(
            self.price_per_second or Decimal(0), seconds, self.price_per_job or Decimal(0)
        )

    def price_of(self, request: Request) -> Decimal | None:
        """What a request will cost; ``None``: no price is known, or none by what is known of it."""
        estimate = request.estimate()
        if not self.priced or (self.price_per_second and not estimate.is_known):
            return None
        return self.cost(estimate.seconds)

    def over(self, earlier: Limits) -> Limits:
        """These limits, and where they say nothing, those of an earlier run."""
        given = {name: value for name, value in _values(self).items() if value is not None}
        return evolve(earlier, **given)

    def raised_to(self, prices: Limits) -> Limits:
        """The same with prices that are no lower than these."""
        return evolve(
            self,
            price_per_job=_higher(self.price_per_job, prices.price_per_job),
            price_per_second=_higher(self.price_per_second, prices.price_per_second),
        )

    def check(self) -> None:
        """See that they can be kept.

        Raises:
            ConfigurationError: a cost is limited that nobody can tell.
        """
        if self.max_cost is not None and not self.priced:
            raise ConfigurationError(
                f"max_cost is {decimal_text(self.max_cost)}, but no price is known: give "
                "price_per_job or price_per_second"
            )

    def as_texts(self) -> dict[str, str]:
        """Those that are set, as a ledger keeps them; `of_texts` brings them back."""
        return {
            name: decimal_text(value) if isinstance(value, Decimal) else str(value)
            for name, value in _values(self).items()
            if value is not None
        }

    @classmethod
    def of_texts(cls, texts: Mapping[str, str]) -> Limits:
        """The limits that a ledger keeps, among whatever else."""
        known: dict[str, Any] = {name: texts[name] for name in _NAMES if name in texts}
        if "max_jobs_total" in known:
            known["max_jobs_total"] = int(known["max_jobs_total"])
        return cls(**known)


_NAMES: Final = tuple(attribute.name for attribute in fields(Limits))


def _values(limits: Limits) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in _NAMES}


def _higher(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return max((price for price in (one, other) if price is not None), default=None)


class Budget:
    """Counts what a batch has paid for, against its limits.

    Attributes:
        limits: over all runs.
        left: jobs that this run may still pay for; ``None``: as many as the limits let it.
        jobs, cost: what is paid for.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.left: int | None = None
        self.jobs = 0
        self.cost = Decimal(0)

    def charge(self, cost: Decimal, jobs: int = 1) -> None:
        """So many more jobs are paid for, or may be, each at this cost."""
        self.jobs += jobs
        if self.left is not None:
            self.left -= jobs
        self.cost = _EXACT.fma(cost, jobs, self.cost)

    def refund(self, cost: Decimal) -> None:
        """A job that was counted has proved not to exist."""
        self.charge(cost, -1)

    def refusal(self, cost: Decimal | None) -> LimitReached | None:
        """Why one more job of this cost may not be paid for, if so; ``None``: it is not known."""
        limits = self.limits
        if limits.max_jobs_total is not None and self.jobs >= limits.max_jobs_total:
            paid = plural(self.jobs, "job is", "jobs are")
            return LimitReached(
                f"{paid} paid for, and max_jobs_total is {limits.max_jobs_total}; "
                "raise it and run the batch again to go on"
            )
        if self.left is not None and self.left <= 0:
            return LimitReached(
                "this run has sent as many jobs as it may pay for; run the batch again to go on"
            )
        if limits.max_cost is None:
            return None
        if cost is None:
            return LimitReached(
                "the cost of the next job cannot be told: price_per_second says nothing of a job "
                "whose length is not known; give price_per_job alone, or lift max_cost"
            )
        total = _EXACT.add(self.cost, cost)
        if total > limits.max_cost:
            return LimitReached(
                f"the next job would bring the cost to {decimal_text(total)}, and max_cost is "
                f"{decimal_text(limits.max_cost)}; raise it and run the batch again to go on"
            )
        return None
