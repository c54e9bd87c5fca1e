"""Say what a batch may cost, and count what it has paid."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import evolve, field, fields, frozen

from .._text import decimal_text, plural
from ..endpoints import Estimate, Request
from ..errors import ConfigurationError, LimitReached
from ._prices import EXACT, UNITS, Price, amount, higher, price_key
from ._records import read_record
from ._sqlite.reader import Reader

_PRICE: Final = "price."
"""What the names of endpoints' prices begin with in a ledger."""


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


def _amounts(values: Mapping[str, Decimal | float | str]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise _unfit("prices", values, "a mapping such as {'sfx.per_job': 0.1}")
    return {name: _optional(value) for name, value in values.items()}


def _check_prices(_: Any, __: Any, prices: Mapping[str, object]) -> None:
    for name, value in prices.items():
        try:
            price_key(name)
        except ValueError as error:
            raise ConfigurationError(f"prices: {error}") from None
        try:
            amount(value)
        except ValueError as error:
            raise _unfit(f"prices[{name!r}]", value, str(error)) from None


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
        prices: of single endpoints, by names such as ``text_to_speech.per_character``; the units
            are ``per_job``, ``per_second`` and ``per_character``, and an endpoint's are added up.
            The two prices above are for endpoints that have none here. 0: it is free.

    Raises:
        ConfigurationError: one of them is below zero, or no number; or a price names no endpoint
            or unit.
    """

    max_jobs_total: int | None = field(default=None, validator=_check_jobs)
    max_cost: Decimal | None = field(default=None, converter=_optional, validator=_check_amount)
    price_per_job: Decimal | None = field(
        default=None, converter=_optional, validator=_check_amount
    )
    price_per_second: Decimal | None = field(
        default=None, converter=_optional, validator=_check_amount
    )
    prices: Mapping[str, Decimal] = field(
        factory=dict, converter=_amounts, validator=_check_prices, hash=False
    )

    @property
    def priced(self) -> bool:
        """Whether the cost of any job can be told at all."""
        return bool(self.prices or self.price_per_job or self.price_per_second)

    def price_of(self, request: Request) -> Decimal | None:
        """What a request will cost; ``None``: no price is known, or none by what is known of it."""
        return self.cost_of(request.NAME, request.estimate())

    def cost_of(self, endpoint: str, estimate: Estimate) -> Decimal | None:
        """The same of a request of this endpoint, with this estimate."""
        return self._price(endpoint).of(estimate)

    def _price(self, endpoint: str) -> Price:
        """Its own, else the one for all; a 0 that is for all is no price."""
        own = Price(*(self.prices.get(f"{endpoint}.{unit}") for unit in UNITS))
        return own or Price(self.price_per_job or None, self.price_per_second or None)

    def over(self, earlier: Limits) -> Limits:
        """These limits, and where they say nothing, those of an earlier run."""
        given = {name: value for name, value in _values(self).items() if value is not None}
        return evolve(earlier, **given, prices={**earlier.prices, **self.prices})

    def raised_to(self, prices: Limits) -> Limits:
        """The same with prices that are no lower than these, the price of no endpoint either."""
        raised = dict(self.prices)
        for endpoint in dict.fromkeys(price_key(name)[0] for name in prices.prices):
            price = self._price(endpoint).raised_to(prices._price(endpoint))
            found = {f"{endpoint}.{unit}": getattr(price, unit) for unit in UNITS}
            raised |= {name: value for name, value in found.items() if value is not None}
        return evolve(
            self,
            price_per_job=higher(self.price_per_job, prices.price_per_job),
            price_per_second=higher(self.price_per_second, prices.price_per_second),
            prices=raised,
        )

    def check(self) -> None:
        """See that they can be kept.

        Raises:
            ConfigurationError: a cost is limited that nobody can tell.
        """
        if self.max_cost is not None and not self.priced:
            raise ConfigurationError(
                f"max_cost is {decimal_text(self.max_cost)}, but no price is known: give "
                "price_per_job, price_per_second or prices"
            )

    def as_texts(self) -> dict[str, str]:
        """Those that are set, as a ledger keeps them; `of_texts` brings them back."""
        prices = {f"{_PRICE}{name}": value for name, value in self.prices.items()}
        return {
            name: decimal_text(value) if isinstance(value, Decimal) else str(value)
            for name, value in (_values(self) | prices).items()
            if value is not None
        }

    @classmethod
    def of_texts(cls, texts: Mapping[str, str]) -> Limits:
        """The limits that a ledger keeps, among whatever else."""
        known: dict[str, Any] = {name: texts[name] for name in _NAMES if name in texts}
        if "max_jobs_total" in known:
            known["max_jobs_total"] = int(known["max_jobs_total"])
        own = {name.removeprefix(_PRICE): texts[name] for name in texts if name.startswith(_PRICE)}
        return cls(**known, prices=own)


_NAMES: Final = tuple(one.name for one in fields(Limits) if one.name != "prices")


def _values(limits: Limits) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in _NAMES}


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
        self.cost = EXACT.fma(cost, jobs, self.cost)

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
                "the cost of the next job cannot be told: no price is known for its endpoint, or "
                "only one per second, and not its length; give its endpoint a price per job in "
                "prices, or lift max_cost"
            )
        total = EXACT.add(self.cost, cost)
        if total > limits.max_cost:
            return LimitReached(
                f"the next job would bring the cost to {decimal_text(total)}, and max_cost is "
                f"{decimal_text(limits.max_cost)}; raise it and run the batch again to go on"
            )
        return None


def budget_so_far(limits: Limits, reader: Reader) -> Budget:
    """The same as `paid_so_far`, unless there is nothing to check it against."""
    return Budget(limits) if limits == Limits() else paid_so_far(limits, reader)


def paid_so_far(limits: Limits, reader: Reader) -> Budget:
    """What all runs have paid: each job at its price then, or at the current one if unknown."""
    budget = Budget(limits)
    for cost, request, jobs in reader.paid():
        if cost is None:
            price = limits.price_of(read_record(request)[0]) if limits.priced else None
        else:
            price = Decimal(cost)
        budget.charge(price or Decimal(0), jobs)
    return budget
