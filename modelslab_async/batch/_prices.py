"""Read amounts of money, and the prices of endpoints. Prices are the user's own: none is built in.

Amounts are decimals, and sums of them are exact: three jobs at 0.1 cost 0.3, and not more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Context, Decimal
from difflib import get_close_matches
from typing import Final

from attrs import frozen

from .._text import shown
from ..endpoints import REQUESTS, Estimate

UNITS: Final = ("per_job", "per_second", "per_character")
"""What a price can be for: a job, a second of audio, a character to be spoken."""

EXACT: Final = Context(prec=150)  # no amount that `amount` lets pass needs more digits

_LARGEST: Final = Decimal(10) ** 15
_NUMBER: Final = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")


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


def price_key(name: object) -> tuple[str, str]:
    """Endpoint and unit of a price such as ``text_to_speech.per_character``.

    Raises:
        ValueError: there is no such endpoint or unit; the message names the nearest.
    """
    endpoint, _, unit = name.partition(".") if isinstance(name, str) else ("", "", "")
    if endpoint not in REQUESTS:
        raise ValueError(f"{shown(endpoint)} is no endpoint{_meant(endpoint, REQUESTS)}")
    if unit not in UNITS:
        raise ValueError(f"{shown(unit)} is no unit of a price{_meant(unit, UNITS)}")
    return endpoint, unit


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.replace("-", "_").casefold(), known, n=1)
    return f"; did you mean {near[0]}?" if near else f", but must be one of {', '.join(known)}"


@frozen
class Price:
    """What the jobs of one endpoint cost: the sum of what is set; ``None``: that is not."""

    per_job: Decimal | None = None
    per_second: Decimal | None = None
    per_character: Decimal | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, unit) is not None for unit in UNITS)

    def of(self, estimate: Estimate) -> Decimal | None:
        """The cost of one job; ``None``: it cannot be told.

        A price per second says nothing of a job whose length is not known or that makes no audio,
        and one per character nothing of a job that speaks no text: none of them is free.
        """
        is_timed = estimate.is_known and estimate.seconds
        if not self or (self.per_second and not is_timed):
            return None
        if self.per_character and not estimate.characters:
            return None
        cost = self.per_job or Decimal(0)
        cost = EXACT.fma(self.per_second or Decimal(0), estimate.seconds, cost)
        return EXACT.fma(self.per_character or Decimal(0), Decimal(estimate.characters), cost)

    def raised_to(self, other: Price) -> Price:
        """The same with no amount below that of the other."""
        return Price(*(higher(getattr(self, unit), getattr(other, unit)) for unit in UNITS))


def higher(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The higher of two amounts; what is not set is below all."""
    return max((price for price in (one, other) if price is not None), default=None)
