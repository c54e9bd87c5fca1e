"""Decide which bytes of which version a response holds (RFC 9110, sections 8.8, 13.1.5, 14.4)."""

from __future__ import annotations

import re

from attrs import frozen

from .retry_after import http_date

_SAFE_AGE = 60.0
# Servers write other spellings too: "Bytes 5-9/10", "bytes=5-9/10", "bytes: 5-9/10", no total.
_CONTENT_RANGE = re.compile(
    r"bytes[ =:]{1,3}(\d{1,18})-(\d{1,18})(?:/(\d{1,18}|\*))?", re.IGNORECASE | re.ASCII
)


@frozen
class ContentRange:
    """The bytes of a file that a response holds: first and last, and the file's size if stated."""

    first: int
    last: int
    total: int | None

    @property
    def length(self) -> int:
        """The number of bytes."""
        return self.last - self.first + 1

    @property
    def is_whole(self) -> bool:
        """Whether these are all bytes of the file."""
        return self.length == self.total


def content_range(header: str | None) -> ContentRange | None:
    """Parse a ``Content-Range``; return ``None`` if it is absent or names no possible bytes."""
    found = _CONTENT_RANGE.fullmatch((header or "").strip())
    if found is None:
        return None
    total = int(found[3]) if found[3] not in (None, "*") else None
    held = ContentRange(int(found[1]), int(found[2]), total)
    possible = held.first <= held.last and (total is None or held.last < total)
    return held if possible else None


def strong_validator(etag: str | None, last_modified: str | None, date: str | None) -> str | None:
    """Return the value for ``If-Range`` that identifies this exact version, or ``None``.

    A weak entity tag does not guarantee equal bytes. A date has a resolution of one second, so it
    identifies a version only if the file was at least a minute old when it was sent.
    """
    if etag is not None:
        return etag if etag.startswith('"') else None
    written, sent = (None if text is None else http_date(text) for text in (last_modified, date))
    if written is None or sent is None or sent - written < _SAFE_AGE:
        return None
    return last_modified


def is_same_version(validator: str | None, etag: str | None, last_modified: str | None) -> bool:
    """Return whether a partial response is of the version from which ``validator`` was taken.

    One without a validator is not: servers without ``If-Range`` support ignore it, and send a part
    of the current version.
    """
    return validator is not None and validator in (etag, last_modified)
