"""Decide whether two responses are of the same bytes (RFC 9110, sections 8.8 and 13.1.5)."""

from __future__ import annotations

from .retry_after import http_date

_SAFE_AGE = 60.0


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
