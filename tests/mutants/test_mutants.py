"""The planted bugs still fit the code. Whether the suite sees them is what the command says.

``python -m tests.mutants`` runs the tests of each; here nothing is run.
"""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from .catalogue import MUTANTS
from .killing import ROOT
from .mutant import DoesNotApply, Mutant, Patch


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_g23_a_planted_bug_fits_the_code_and_is_python(mutant: Mutant) -> None:
    for path, text in mutant.mutated(ROOT).items():
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(path.read_text())), path


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_g23_the_tests_of_a_planted_bug_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        function = name.partition("[")[0]
        assert f"def {function}(" in (ROOT / "tests" / file).read_text(), test


def test_g23_there_are_bugs_enough_and_each_has_its_name() -> None:
    names = Counter(mutant.name for mutant in MUTANTS)
    assert names.total() >= 39
    assert set(names.values()) == {1}


@pytest.mark.parametrize("source", ["", "one one"])
def test_g23_a_patch_that_does_not_fit_says_so(source: str) -> None:
    with pytest.raises(DoesNotApply, match="change the patch: 'one'"):
        Patch("errors.py", "one", "two").applied(source)
