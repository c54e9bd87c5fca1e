"""When the rest of a file is the rest of the same file (D30)."""

from __future__ import annotations

import pytest

from modelslab_async._protocol.versions import is_same_version, strong_validator

OLD = "Wed, 01 Jul 2026 10:00:00 GMT"
NOW = "Wed, 01 Jul 2026 10:01:00 GMT"


@pytest.mark.parametrize(
    ("etag", "last_modified", "date", "expected"),
    [
        ('"one"', None, None, '"one"'),
        ('"one"', OLD, NOW, '"one"'),
        ('W/"one"', None, NOW, None),
        ('W/"one"', OLD, NOW, None),
        ("one", OLD, NOW, None),
        ("", OLD, NOW, None),
        (None, OLD, NOW, OLD),
        (None, OLD, "Wed, 01 Jul 2026 10:00:59 GMT", None),
        (None, OLD, OLD, None),
        (None, OLD, None, None),
        (None, NOW, OLD, None),
        (None, "yesterday", NOW, None),
        (None, OLD, "today", None),
        (None, None, NOW, None),
        (None, None, None, None),
    ],
)
def test_only_what_tells_the_very_bytes_is_a_validator(
    etag: str | None, last_modified: str | None, date: str | None, expected: str | None
) -> None:
    """RFC 9110: a weak tag is equal for other bytes, and so is the date of a second ago."""
    assert strong_validator(etag, last_modified, date) == expected


@pytest.mark.parametrize(
    ("known", "etag", "last_modified", "same"),
    [
        ('"one"', '"one"', None, True),
        ('"one"', '"one"', OLD, True),
        ('"one"', '"two"', OLD, False),
        ('"one"', 'W/"one"', None, False),
        ('"one"', None, OLD, False),
        ('"one"', None, None, False),
        (OLD, None, OLD, True),
        (OLD, None, NOW, False),
        (OLD, None, None, False),
        (None, None, None, False),
    ],
)
def test_a_part_that_does_not_name_the_version_is_none_of_it(
    known: str | None, etag: str | None, last_modified: str | None, same: bool
) -> None:
    """Servers that know no If-Range send a part of whatever is there now."""
    assert is_same_version(known, etag, last_modified) == same
