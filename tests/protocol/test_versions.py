"""When the rest of a file is the rest of the same file (D30)."""

from __future__ import annotations

import pytest

from modelslab_async._protocol.versions import (
    ContentRange,
    content_range,
    is_same_version,
    strong_validator,
)

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


@pytest.mark.parametrize(
    ("header", "held"),
    [
        ("bytes 5-9/10", ContentRange(5, 9, 10)),
        ("Bytes 5-9/10", ContentRange(5, 9, 10)),
        ("BYTES 5-9/*", ContentRange(5, 9, None)),
        ("bytes=5-9/10", ContentRange(5, 9, 10)),
        ("bytes: 5-9/10", ContentRange(5, 9, 10)),
        (" bytes  5-9 ", ContentRange(5, 9, None)),
        ("bytes 0-0/1", ContentRange(0, 0, 1)),
        ("bytes 0-10/10", None),
        ("bytes 9-5/10", None),
        ("bytes */10", None),
        ("bytes -5/10", None),
        ("bytes \u0665-\u0669/10", None),
        ("items 5-9/10", None),
        ("", None),
        (None, None),
    ],
)
def test_d30_a_range_is_read_in_the_spellings_that_servers_write(
    header: str | None, held: ContentRange | None
) -> None:
    assert content_range(header) == held


def test_d30_a_range_is_the_whole_only_if_the_stated_size_says_so() -> None:
    assert ContentRange(0, 9, 10).is_whole
    assert not ContentRange(0, 8, 10).is_whole
    assert not ContentRange(0, 9, None).is_whole
    assert ContentRange(5, 9, 10).length == 5
