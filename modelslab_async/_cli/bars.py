"""Lay out the progress lines: narrow terminals lose details first, counts last. Pure code."""

from __future__ import annotations

import textwrap
from typing import Final

import click
from attrs import frozen
from rich.cells import cell_len, set_cell_size

_NAME: Final = 40
_BAR: Final = 24
_LEAST_NAME: Final = 8
_FULL, _EMPTY = "\u2501", "\u2508"


@frozen
class Line:
    """One progress line.

    Attributes:
        name: what is in progress, printable.
        part: how much of it is done, from 0 to 1; ``None``: not known.
        about: figures.
    """

    name: str
    part: float | None
    about: str


def composed(lines: list[Line], columns: int, *, colored: bool) -> list[str]:
    """The lines as text in aligned columns, none wider than ``columns``."""
    names = min(max((cell_len(line.name) for line in lines), default=0), _NAME)
    about = max((cell_len(line.about) for line in lines), default=0)
    if names + _BAR + about + 2 <= columns:
        return [
            f"{set_cell_size(line.name, names)} {_bar(line.part, colored)} {line.about}".rstrip()
            for line in lines
        ]
    room = columns - about - 1
    if room < _LEAST_NAME:
        texts = [line.about for line in lines]
        return [
            text if cell_len(text) <= columns else set_cell_size(text, columns).rstrip()
            for text in texts
        ]
    names = min(names, room)
    return [f"{set_cell_size(line.name, names)} {line.about}".rstrip() for line in lines]


def shown(
    whole: Line, words: str, rows: list[Line], size: tuple[int, int], *, colored: bool
) -> list[str]:
    """The total as a bar, then in words, then as many rows as fit.

    Args:
        whole: the bar of the total.
        words: a summary, wrapped onto as many lines as it needs.
        rows: jobs in progress.
        size: columns and lines of the terminal.
        colored: whether bars have a colour.
    """
    columns, most = size
    first, *others = composed([whole, *rows], columns, colored=colored)
    return [first, *textwrap.wrap(words, columns), *others][:most]


def _bar(part: float | None, colored: bool) -> str:
    full = round(_BAR * min(max(part or 0.0, 0.0), 1.0))
    done = click.style(_FULL * full, fg="green") if colored and full else _FULL * full
    return done + _EMPTY * (_BAR - full)
