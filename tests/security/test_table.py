"""The table of threats in the package's docstring is whole, and true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import __doc__ as text

TESTS = Path(__file__).parents[1]
THREATS = [f"T{number:02}" for number in range(1, 39)]


def rows() -> Iterator[tuple[str, str]]:
    """Each threat with each of its places."""
    threat = ""
    for line in (text or "").splitlines():
        found = re.fullmatch(r"    (T\d\d| {3})  .{37}(\S.*)", line)
        if found:
            threat = found[1].strip() or threat
            yield from ((threat, place) for place in found[2].split())


@pytest.mark.parametrize("threat", THREATS)
def test_every_threat_has_its_tests(threat: str) -> None:
    assert threat in {row[0] for row in rows()}


@pytest.mark.parametrize(("threat", "place"), list(rows()))
def test_a_test_of_the_table_is_there(threat: str, place: str) -> None:
    name, _, test = place.partition("::")
    module = (TESTS / f"{name}.py").read_text()
    if test:
        assert f"def {test}" in module
    else:
        assert re.search(rf"\b{threat}\b|_{threat.lower()}_", module)
