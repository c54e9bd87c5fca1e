"""G9: a published file is the very bytes that were sent (I4), and nothing else is left (I5).

Each shape of body in each framing, on either of two mirrors and on both; `simulation.bodies` has
the shapes, `simulation.integrity` the rule.
"""

from __future__ import annotations

import os

import pytest

from .bodies import SHAPES
from .integrity import Case, Framing, Where, findings

SEEDS = range(50 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1)


@pytest.mark.parametrize("where", Where, ids=lambda where: where.value)
@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_is_published_by_the_rule_or_not_at_all(
    shape: str, framing: Framing, where: Where
) -> None:
    for seed in SEEDS:
        assert not findings(Case(SHAPES[shape], framing, where), seed)
