"""G9: a published file is the very bytes that were sent (I4), and nothing else is left (I5).

Each shape of body in each framing, on either of two mirrors and on both; `simulation.bodies` has
the shapes, `simulation.integrity` the rule.
"""

from __future__ import annotations

import os
from itertools import product

import pytest

from .bodies import SHAPES
from .integrity import Case, Framing, Where, findings

SEEDS = range(50 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_is_published_by_the_rule_or_not_at_all(shape: str) -> None:
    for framing, where, seed in product(Framing, Where, SEEDS):
        assert not findings(Case(SHAPES[shape], framing, where), seed), (framing, where, seed)
