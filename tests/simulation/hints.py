"""G11: all the ways to ask for a wait, and how long that is. They are sent one after the other.

Dates are instants of the simulated wall clock, so they come first, in their order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from attrs import Factory, frozen

from modelslab_async.sandbox import Fault
from modelslab_async.sandbox._fault import Where

from .loop import START
from .world import EPOCH


@frozen(kw_only=True)
class Hint:
    """One way.

    Attributes:
        header: ``Retry-After``.
        date: ``Date`` of the answer, by the server's clock.
        fields: of the JSON.
        seconds: what it asks for; ``None``: nothing that can be read.
        until: what it asks for as an instant of the loop's time, instead.
    """

    header: str | None = None
    date: str | None = None
    fields: Mapping[str, Any] = Factory(dict)
    seconds: float | None = None
    until: float | None = None

    def fault(self, on: Where, *, status: int = 429, times: int | None = 1) -> Fault:
        """An answer that holds it."""
        body = {"status": "error", "message": "Rate limit exceeded.", **self.fields}
        return Fault(
            on=on,
            kind="answer",
            status=status,
            accepted=False,
            times=times,
            headers=self._headers(),
            body=json.dumps(body),
        )

    def _headers(self) -> dict[str, str] | None:
        given = {"Retry-After": self.header, "Date": self.date}
        return {name: value for name, value in given.items() if value is not None} or None

    def least(self, now: float) -> float:
        """Seconds from now that nothing may be sent: never less than one."""
        told = self.seconds if self.until is None else self.until - now
        return max(1.0, told or 0.0)


def written(after: float, form: str = "%a, %d %b %Y %H:%M:%S GMT", zone: int = 0) -> str:
    """An instant so many seconds after the beginning of a run."""
    return time.strftime(form, time.gmtime(EPOCH + START + after + 3600 * zone))


def _date(after: float, form: str, zone: int = 0) -> Hint:
    return Hint(header=written(after, form, zone), until=START + after)


_DAY = "%a, %d %b %Y %H:%M:%S"
DATES = (
    _date(60, f"{_DAY} GMT"),
    _date(120, "%A, %d-%b-%y %H:%M:%S GMT"),
    _date(180, "%a %b %d %H:%M:%S %Y"),
    _date(240, f"{_DAY} +0000"),
    _date(300, f"{_DAY} -0000"),
    _date(360, f"{_DAY} +0100", 1),
    _date(420, f"{_DAY} EST", -5),
    _date(480, _DAY),
)
PAST = tuple(
    Hint(header=header, seconds=0.0)
    for header in (
        written(-3600),
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Thu Jan  1 00:00:00 1970",
        formatdate(0),
    )
)
# Servers whose clocks are wrong by an hour, a day and years: what counts is their own ``Date``.
SKEWED = tuple(
    Hint(header=written(wrong + 30), date=written(wrong), seconds=30.0)
    for wrong in (-3600, 3600, 86_400, -1e9, 1e9)
)
NUMBERS = tuple(
    Hint(header=header, seconds=float(header))
    for header in ("0", "1", "3", " 3 ", "1.5", "0030", "120", "3600")
)
NONE = tuple(
    Hint(header=header)
    for header in (
        None, "", "-1", "+30", "1e3", "soon", "30, 60", "nan", "9" * 19,
        "1994-11-06T08:49:37Z", "Sun, 31 Feb 1994 08:49:37 GMT",
    )
)  # fmt: skip
_NUMBERS: tuple[Any, ...] = (3, 2.5, "3", "2.5", 0, 10, 3600)
_NO_NUMBERS: tuple[Any, ...] = (None, float("nan"), -1, [], {}, True, "soon", "-3")
FIELDS = (
    *(Hint(fields={"retry_after": value}, seconds=float(value)) for value in _NUMBERS),
    *(Hint(fields={"retry_after": value}) for value in _NO_NUMBERS),
)
WORDS = (
    Hint(fields={"tips": "please wait for 3 seconds and try again"}, seconds=3),
    Hint(fields={"tips": "try again in 7 seconds"}, seconds=7),
    Hint(fields={"tips": "retry after 5 s"}, seconds=5),
)
BOTH = (
    Hint(header="5", fields={"retry_after": 2}, seconds=5),
    Hint(header="2", fields={"retry_after": 5}, seconds=5),
    Hint(header="soon", fields={"retry_after": 5}, seconds=5),
    Hint(header="5", fields={"retry_after": -5}, seconds=5),
)
HINTS = (*DATES, *PAST, *SKEWED, *NUMBERS, *NONE, *FIELDS, *WORDS, *BOTH)
