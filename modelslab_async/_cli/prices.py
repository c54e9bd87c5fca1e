"""The options about what jobs cost, the limits that follow from them, and costs in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from .._text import decimal_text, duration_text, plural, size_text
from .known_settings import PRICE
from .options import all_of
from .settings import own_prices

if TYPE_CHECKING:
    from modelslab_async import Limits

    from ..batch import Plan, Total
    from .settings import Setting

_FOR_ALL = ("price_per_job", "price_per_second")


class Amount(click.ParamType[Any]):
    """An amount of money, as the exact decimal that was typed."""

    name = "amount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        from ..batch import amount

        try:
            return amount(value)
        except ValueError as error:
            self.fail(f"{value!r:.40} must be {error}", param, ctx)


class _Price(Amount):
    """The price of one endpoint, as its name and the amount."""

    name = "price"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from ..batch import price_key

        if isinstance(value, tuple):
            return value
        name, _, given = value.partition("=")
        try:
            price_key(name)
        except ValueError as error:
            self.fail(f"{value!r:.80}: {error}", param, ctx)
        return name, super().convert(given, param, ctx)


pricing = all_of(
    click.option(
        "--price-per-job",
        type=Amount(),
        allow_from_autoenv=False,
        help="Price per job, in your currency.  [default: async.price_per_job]",
    ),
    click.option(
        "--price-per-second",
        type=Amount(),
        allow_from_autoenv=False,
        help="Price per second of audio.  [default: async.price_per_second]",
    ),
    click.option(
        "--price",
        "prices",
        type=_Price(),
        multiple=True,
        metavar="ENDPOINT.UNIT=AMOUNT",
        allow_from_autoenv=False,
        help="Price of one endpoint in place of those above: text_to_speech.per_character=0.00002; "
        "also .per_second and .per_job.  [default: async.price.ENDPOINT.UNIT]",
    ),
)
"""Options about what a job costs; they go to ``settings``."""


def price_arguments(settings: Mapping[str, Setting]) -> list[str]:
    """What another command needs to take the prices of endpoints that this one was given."""
    return [
        word
        for name, setting in settings.items()
        if name.startswith(PRICE) and setting.origin == "flag"
        for word in ("--price", f"{name.removeprefix(PRICE)}={decimal_text(setting.value)}")
    ]


def prices_of(settings: Mapping[str, Setting], **given: Any) -> Limits:
    """The limits given, at the prices of the settings."""
    return evolve(_limits(settings, lambda _: True), **given)


def limits_of(settings: Mapping[str, Setting], directory: Path, **given: Any) -> Limits:
    """The limits of a directory: those given, else those in its ledger.

    A price from an option or from the environment is taken as it is. One from a file raises what
    the ledger says, and never lowers it: that may be the price which an option named.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    from modelslab_async import Limits

    from ..batch import Reader, holds_batch

    kept = Limits()
    if holds_batch(directory):
        with Reader.open(directory) as reader:
            kept = Limits.of_texts(reader.meta())
    configured = _limits(settings, lambda price: not price.is_named)
    named = _limits(settings, lambda price: price.is_named)
    return evolve(named, **given).over(kept.raised_to(configured))


def _limits(settings: Mapping[str, Setting], is_meant: Callable[[Setting], bool]) -> Limits:
    from modelslab_async import Limits

    prices = {name: settings[name] for name in _FOR_ALL} | own_prices(settings)
    meant = {name: price.value for name, price in prices.items() if is_meant(price)}
    for_all = {name: meant.pop(name, None) for name in _FOR_ALL}
    return Limits(**for_all, prices=meant)


def check_priced(limits: Limits) -> None:
    """Check that a cost is limited only where prices are known.

    Raises:
        click.UsageError: no price is known.
    """
    if limits.max_cost is not None and not limits.priced:
        raise click.UsageError("--max-cost needs --price-per-job, --price-per-second or --price")


def sizes_text(total: Total) -> str:
    """``90 s of audio, about 11.5 MB``: what jobs come to, as far as there is anything to say."""
    seconds, characters, untimed = float(total.seconds), total.characters, total.untimed
    unknown = "unknown length" if untimed == total.jobs else f"{untimed} of unknown length"
    sizes = [
        *([f"{duration_text(seconds)} of audio"] if seconds else []),
        *([unknown] if untimed else []),
        *([f"{characters:,} character{'s' * (characters != 1)}"] if characters else []),
        *([f"about {size_text(total.megabytes * 1e6)}"] if total.megabytes else []),
    ]
    return ", ".join(sizes)


def total_text(total: Total, price: Decimal | None) -> str:
    """``3 jobs, 90 s of audio, about 11.5 MB, price 0.18``."""
    cost = "unknown" if price is None else decimal_text(price)
    parts = (plural(total.jobs, "job"), sizes_text(total), f"price {cost}")
    return ", ".join(filter(None, parts))


def lines_by_endpoint(plan: Plan) -> list[str]:
    """What the jobs of each endpoint come to, where they are of several."""
    if len(plan.by_endpoint) < 2:
        return []
    width = max(map(len, plan.by_endpoint))
    return [
        f"  {name:<{width}}  {total_text(total, total.price)}"
        for name, total in plan.by_endpoint.items()
    ]


def total_as_json(total: Total, price: Decimal | None) -> dict[str, Any]:
    """What jobs come to, as JSON."""
    return {
        "jobs": total.jobs,
        "seconds": float(total.seconds),
        "characters": total.characters,
        "mb": round(total.megabytes, 3),
        "cost": None if price is None else float(price),
    }
