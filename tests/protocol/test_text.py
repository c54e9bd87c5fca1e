"""What a message shows of a value costs no more than what it shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelslab_async._text import duration_text, plural, shown, size_text


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def deep() -> object:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    return value


def circle() -> object:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [None, True, 5, 1.5, "it's", b"x", bytearray(b"x"), ["x", 1], ("x",), {"a": [1]}, {1},
     Path("a.wav")],
)  # fmt: skip
def test_a_short_value_is_shown_as_its_repr(value: object) -> None:
    assert shown(value) == repr(value)


# Made when they are needed: every process of the suite collects them.
@pytest.mark.parametrize(
    ("make", "start"),
    [
        (lambda: "x" * 10**8, "'xxx"),
        (lambda: b"x" * 10**8, "b'xxx"),
        (lambda: bytearray(10**8), "bytearray(b'\\x00"),
        (lambda: 10**100_000, "<int>"),
        (lambda: ["x" * 10**8] * 10**6, "['xxx"),
        (lambda: dict.fromkeys(range(10**6)), "<dict of 1000000 items>"),
        (lambda: set(range(10**6)), "<set of 1000000 items>"),
        (lambda: range(10**9), "range(0, 1000000000)"),
        (deep, "[[["),
        (circle, "[[["),
        (Odd, "<Odd"),
    ],
    ids=range(11),
)
def test_of_a_large_or_odd_value_the_start_is_shown(make: Callable[[], object], start: str) -> None:
    text = shown(make())
    assert text.startswith(start)
    assert len(text) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (150, "2 min 30 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (150_000, "41 h 40 min"),
        (360_000, "4 d 4 h"),
    ],
)
def test_a_length_of_time_is_shown_in_units_that_people_read(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0 MB"),
        (45, "45 bytes"),
        (12_340, "12.3 kB"),
        (50_000, "0.1 MB"),
        (11_520_000, "11.5 MB"),
        (19.2e9, "19.2 GB"),
        (2.5e12, "2.5 TB"),
    ],
)
def test_a_size_is_shown_in_units_that_people_read(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 rows have"), (1, "1 row has"), (2, "2 rows have")]
)
def test_a_noun_follows_its_count(count: int, text: str) -> None:
    assert plural(count, "row has", "rows have") == text
    assert plural(count, "job") == f"{count} job" + ("" if count == 1 else "s")
