"""Make rows of a prompt with names in braces, and lists of values for them.

The id of a row comes from its values, never from a position: another value in a list, or another
take, adds rows and changes none, so a batch pays for the new ones only.
"""

from __future__ import annotations

import difflib
import hashlib
import heapq
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from .._text import safe_text, shown, slug
from ..errors import RequestError

MAX_TAKES: Final = 1000
TAKES: Final = "takes"
"""The field that says how many times a row is made."""

_MAX_ID: Final = 160  # room for the number of a take below what an id may have
_HOLE: Final = re.compile(r"\{([^\W\d]\w*)\}|(\{\{|\}\})|([{}])")
_NAME: Final = re.compile(r"[^\W\d]\w*")
_KNOWN: Final = ("prompt", "id", TAKES, "matrix", "include", "exclude", "sample")
_OURS: Final = frozenset({"id", TAKES, "take", "matrix", "include", "exclude", "sample"})

Value = str | int | float | bool
Cell = dict[str, Any]
"""One combination: a value for each name."""


def combinations(
    prompt: str | None = None,
    *,
    matrix: Mapping[str, Sequence[Value]] | None = None,
    include: Iterable[Mapping[str, Value]] = (),
    exclude: Iterable[Mapping[str, Value]] = (),
    sample: Mapping[str, int] | None = None,
    takes: int = 1,
    id: str | None = None,  # noqa: A002 - the field's name
    **fields: Any,
) -> Iterator[dict[str, Any]]:
    """Rows for `ModelsLab.batch`: one per combination of values and take, made as they are needed.

    ``combinations("{mood} waltz", matrix={"mood": ["calm", "tense"]}, takes=2)`` makes four rows
    with the ids ``calm``, ``calm~2``, ``tense`` and ``tense~2``. A value is also a field of its
    row: one of the request, such as ``duration``, or one that is copied to the results.

    Args:
        prompt: with names in braces; ``{{`` is a brace. Optional if ``prompt`` is in the matrix.
        matrix: lists of values, by name.
        include: combinations besides those of the lists.
        exclude: values of combinations of the lists that are left out.
        sample: ``{"rows": 50, "seed": 7}``: only so many combinations of the lists, chosen by
            their values; another seed chooses others.
        takes: how many times each is made: the same request gives another sound each time.
        id: with names in braces; default: the values, or the start of the prompt.
        fields: other fields, the same for all rows.

    Raises:
        RequestError: while iterating: a value cannot be used, or two rows have one id.
    """
    given = {
        "prompt": prompt,
        "matrix": matrix or {},
        "include": list(include),
        "exclude": list(exclude),
        "sample": sample,
        TAKES: takes,
        "id": id,
        **fields,
    }
    return Group.of({name: value for name, value in given.items() if value is not None}).rows()


def taken(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row as often as its field ``takes`` says, which is left out; the second has an id ``~2``.

    Raises:
        RequestError: it is not a number of takes.
    """
    fields = {name: value for name, value in row.items() if name != TAKES}
    takes = row.get(TAKES)
    if takes is None:
        yield fields
        return
    if isinstance(takes, str) and takes.isdecimal():  # a cell of a table
        takes = int(takes[:9])
    if type(takes) is not int or not 1 <= takes <= MAX_TAKES:
        raise RequestError(
            f"takes is {shown(row[TAKES])}, but must be a whole number, 1 to {MAX_TAKES}",
            field=TAKES,
        )
    for take in range(1, takes + 1):
        again = dict(fields)
        if take > 1 and again.get("id") is not None:
            again["id"] = f"{again['id']}~{take}"
        yield again if takes == 1 else {**again, "take": take}


@frozen
class Group:
    """One prompt with its lists of values.

    Attributes:
        fields: the fields of all its rows, ``prompt``, ``id`` and ``takes`` among them.
        matrix: lists of values, by name.
    """

    fields: Mapping[str, Any]
    matrix: Mapping[str, Sequence[Value]]
    include: Sequence[Cell]
    exclude: Sequence[Cell]
    sample: Mapping[str, int] | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Group:
        """What a table of a manifest says.

        Raises:
            RequestError: what is wrong with it.
        """
        fields = {name: value for name, value in given.items() if name not in _KNOWN[3:]}
        matrix = _matrix(given.get("matrix", {}))
        if "prompt" in matrix and "prompt" in fields:
            raise _wrong("has a prompt, and another in matrix.prompt; give one of them", "prompt")
        include = _cells(given.get("include", []), "include")
        exclude = _cells(given.get("exclude", []), "exclude")
        for rule in exclude:
            for name, value in rule.items():
                _check_known(name, matrix, "exclude")
                if value not in matrix[name]:
                    values = f"matrix.{name} has {', '.join(map(_text, matrix[name]))}"
                    raise _wrong(
                        f"exclude has {name} = {shown(value)}, but {values:.200}", "exclude"
                    )
        return cls(fields, matrix, include, exclude, _sample(given.get("sample")))

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, in the order of the values.

        Raises:
            RequestError: a value cannot be used, or two rows have one id.
        """
        seen: dict[str, str] = {}
        for cell in self._chosen():
            row = self._row(cell)
            told = ", ".join(f"{name} = {_text(value)}" for name, value in cell.items())
            before = seen.setdefault(row["id"], told)
            if before is not told:
                raise _wrong(
                    f"id {row['id']!r} comes twice, from {safe_text(before, 120)!r} and "
                    f"{safe_text(told, 120)!r}: write one value in other words, or give an id with "
                    "names in braces",
                    "id",
                )
            yield from taken(row)

    def _chosen(self) -> Iterator[Cell]:
        found: Iterable[Cell] = self._product()
        if self.sample is not None:
            # By their values, so that a longer list changes few of them.
            found = heapq.nsmallest(self.sample["rows"], found, key=self._rank)
        return itertools.chain(found, self.include)

    def _product(self) -> Iterator[Cell]:
        if not self.matrix and self.include:
            return
        used = [False] * len(self.exclude)
        for values in itertools.product(*self.matrix.values()):
            cell = dict(zip(self.matrix, values, strict=True))
            out = [
                all(cell[name] == value for name, value in rule.items()) for rule in self.exclude
            ]
            used = [a or b for a, b in zip(used, out, strict=True)]
            if not any(out):
                yield cell
        for rule, is_used in zip(self.exclude, used, strict=True):
            if not is_used:
                named = ", ".join(f"{name} = {shown(value)}" for name, value in rule.items())
                raise _wrong(f"exclude {safe_text(named, 120)} excludes nothing", "exclude")

    def _rank(self, cell: Cell) -> bytes:
        seed = (self.sample or {}).get("seed", 0)
        text = json.dumps([seed, cell], sort_keys=True)
        return hashlib.sha256(text.encode()).digest()

    def _row(self, cell: Cell) -> dict[str, Any]:
        row = {**self.fields, **cell}
        for name in ("prompt", "id"):
            if name in self.fields:
                row[name] = _filled(self.fields[name], cell, name)
        if "id" not in self.fields:
            row["id"] = self._id(cell, row.get("prompt"))
        return row

    def _id(self, cell: Cell, prompt: object) -> str:
        """Of the values, in the order of the prompt: tables of TOML may be sorted by a program."""
        if not cell:
            if not prompt:
                raise _wrong("has neither a prompt nor an id; give it one of them", "prompt")
            return slug(str(prompt), 60)
        template = str(self.fields.get("prompt", ""))
        places = {name: template.find(f"{{{name}}}") for name in cell}
        order = sorted(cell, key=lambda name: (places[name] < 0, places[name], name))
        return slug("-".join(_text(cell[name]) for name in order), _MAX_ID)


def _matrix(given: object) -> dict[str, Sequence[Value]]:
    if not isinstance(given, Mapping):
        raise _wrong(f"matrix is {shown(given)}, but must be a table of lists", "matrix")
    for name, values in given.items():
        _check_name(name, "matrix")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise _wrong(
                f"matrix.{name} is {shown(values)}, but must be a list of values", "matrix"
            )
        for at, value in enumerate(values):
            _check_value(value, f"matrix.{name}")
            if value in values[:at]:
                raise _wrong(f"matrix.{name} holds {shown(value)} twice", "matrix")
    return dict(given)


def _cells(given: object, what: str) -> list[Cell]:
    if not isinstance(given, list) or not all(isinstance(cell, Mapping) for cell in given):
        raise _wrong(
            f"{what} is {shown(given)}, but must be a list of tables, such as "
            f'{what} = [{{mood = "calm"}}]',
            what,
        )
    for cell in given:
        if not cell:
            raise _wrong(f"{what} holds an empty table", what)
        for name, value in cell.items():
            _check_name(name, what)
            _check_value(value, f"{what}: {name}")
    return [dict(cell) for cell in given]


def _sample(given: object) -> Mapping[str, int] | None:
    if given is None:
        return None
    is_right = isinstance(given, Mapping) and {"rows"} <= {*given} <= {"rows", "seed"}
    if not is_right or any(type(value) is not int for value in given.values()):  # type: ignore[attr-defined]
        raise _wrong(
            f"sample is {shown(given)}, but must be a table such as {{rows = 50, seed = 7}}",
            "sample",
        )
    found: Mapping[str, int] = given  # type: ignore[assignment]
    if found["rows"] < 1:
        raise _wrong(f"sample.rows is {found['rows']}, but must be 1 or more", "sample")
    return found


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _OURS:
        raise _wrong(
            f"{what} has the name {shown(name)}, but a name is letters, digits and _, and none of "
            f"{', '.join(sorted(_OURS))}",
            what,
        )


def _check_value(value: object, what: str) -> None:
    if not isinstance(value, str | int | float) or value == "":
        raise _wrong(
            f"{what} holds {shown(value)}, but a value is text, a number, true or false", what
        )


def _check_known(name: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        has = f"the matrix has {', '.join(names)}" if names else "there is no matrix"
        meant = f"did you mean {near[0]}?" if near else has
        raise _wrong(f"{what} names {name}, which the matrix does not have: {meant}", what)


def _filled(text: object, cell: Cell, what: str) -> str:
    """Fill in the names in braces. Nothing else may be in braces: no attribute, index or code."""
    if not isinstance(text, str):
        raise _wrong(f"{what} is {shown(text)}, but must be text", what)

    def fill(match: re.Match[str]) -> str:
        name, double, single = match.groups()
        if double:
            return str(double[0])
        if single:
            raise _wrong(
                f"{what} has a {single} that is not around a name; for the character itself, "
                f"write {single}{single}",
                what,
            )
        _check_known(name, cell, what)
        value = _text(cell[name])
        return slug(value, _MAX_ID) if what == "id" else value

    return _HOLE.sub(fill, text)


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


def _wrong(reason: str, field: str) -> RequestError:
    return RequestError(reason, field=field)
