"""Say what a mutant is: a bug as data, and the tests that must see it. Nothing here runs a test.

A patch names its old text exactly. Text that has moved or changed is an error that says so, for a
bug that is planted nowhere would look like one that no test can find.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from attrs import field, frozen

PACKAGE: Final = "modelslab_async"


class DoesNotApply(Exception):
    """The production code has changed, and the patch has not: its message says where."""


@frozen
class Patch:
    """One edit of one file of the package: ``old``, which is there just once, becomes ``new``."""

    file: str
    old: str = field(repr=False)
    new: str = field(repr=False)

    def applied(self, source: str) -> str:
        """The file's text with the bug in it.

        Raises:
            DoesNotApply: the old text is not in it just once.
        """
        count = source.count(self.old)
        if count != 1:
            raise DoesNotApply(
                f"{self.file} holds the old text {count} times and not once; "
                f"the code has changed, so change the patch: {self.old.strip()!r:.200}"
            )
        return source.replace(self.old, self.new)


@frozen
class Mutant:
    """One planted bug.

    Attributes:
        name: what the bug is.
        tests: node ids below ``tests/``; one of them must fail.
        patches: the edits that make it.
    """

    name: str
    tests: tuple[str, ...]
    patches: tuple[Patch, ...] = field(repr=False)

    def mutated(self, root: Path) -> dict[Path, str]:
        """The files of a tree that differ with this bug in them, and their new text.

        Raises:
            DoesNotApply: a patch finds its old text no more.
        """
        texts: dict[Path, str] = {}
        for patch in self.patches:
            path = root / PACKAGE / patch.file
            texts[path] = patch.applied(texts.get(path) or path.read_text())
        return texts


def planted(name: str, tests: tuple[str, ...], *patches: Patch) -> Mutant:
    """A mutant, in the order in which it is read: what, seen by whom, made how."""
    return Mutant(name, tests, patches)


def of(module: str, *names: str) -> tuple[str, ...]:
    """Node ids of tests of one module, named without what all names begin with."""
    return tuple(f"{module}.py::test_{name}" for name in names)


def module_of(test: str) -> str:
    """The file of a test, by its node id."""
    return test.partition("::")[0]
