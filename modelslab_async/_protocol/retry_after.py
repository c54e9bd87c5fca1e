"""Read `Retry-After`: how long a server wants us to stay away, in seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_DIGITS = 18  # 30 thousand million years; hundreds of digits would read as infinity


def retry_after(header: str | None, now: float, *, date: str | None = None) -> float | None:
    """Seconds that the header asks for, or ``None`` when it is absent or unreadable.

    Args:
        header: a number of seconds, or a date in one of the three formats of RFC 9110.
        now: seconds since the epoch by our clock. A date that has passed asks for 0.
        date: the answer's own ``Date``. A server tells times by its own clock, however wrong, so
            where this can be read, the wait is reckoned from it.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _MAX_DIGITS else None
    when = http_date(text)
    sent = None if date is None else http_date(date)
    return None if when is None else max(0.0, when - (now if sent is None else sent))


def http_date(text: str) -> float | None:
    """Seconds since the epoch, by one of the three formats of RFC 9110."""
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:  # asctime carries no zone, and RFC 9110 says it is UTC
        when = when.replace(tzinfo=UTC)
    return (when - datetime.fromtimestamp(0, UTC)).total_seconds()


def max_or_none(*hints: float | None) -> float | None:
    """The longest of several waits; a server that says it twice is obeyed twice."""
    return max((hint for hint in hints if hint is not None), default=None)
