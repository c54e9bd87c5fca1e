"""Parse `Retry-After` headers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# RFC 9110 knows whole seconds only, but servers send fractions too. 18 digits are 30 thousand
# million years; hundreds would read as infinity.
_SECONDS = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")


def retry_after(header: str | None, now: float, *, date: str | None = None) -> float | None:
    """Return the seconds that the header asks to wait, or ``None`` if it is absent or invalid.

    Args:
        header: a number of seconds, or a date in one of the three formats of RFC 9110.
        now: seconds since the epoch by our clock. A date in the past gives 0.
        date: the response's ``Date``. If valid, the wait counts from it: the server's clock may be
            wrong, but both dates are from the same one.
    """
    if header is None:
        return None
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    when = http_date(text)
    sent = None if date is None else http_date(date)
    return None if when is None else max(0.0, when - (now if sent is None else sent))


def http_date(text: str) -> float | None:
    """Parse a date in one of the three formats of RFC 9110 into seconds since the epoch."""
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:  # asctime carries no zone, and RFC 9110 says it is UTC
        when = when.replace(tzinfo=UTC)
    return (when - datetime.fromtimestamp(0, UTC)).total_seconds()


def max_or_none(*hints: float | None) -> float | None:
    """Return the longest of several waits, or ``None`` if there is none."""
    return max((hint for hint in hints if hint is not None), default=None)
