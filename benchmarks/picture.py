"""Draw what stands beside others as bars: an SVG of its own few lines. Pure: results in, text out.

A quantity gets a panel when our client is one of several subjects of it. Bars are medians, the thin
line is from the lowest run to the highest, and after each value stands how many times ours it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape

from .measuring import OURS, Figure, Result

WIDTH = 900
_COLUMN, _LABELS, _VALUES, _BAR, _STEP, _TITLE = 450, 165, 115, 14, 20, 34
_SCALE = _COLUMN - _LABELS - _VALUES
_STYLE = "font: 12px system-ui, sans-serif; fill: #24292f"


def picture(results: Iterable[Result]) -> str:
    """All panels, two beside each other."""
    panels = [panel for result in results for panel in _panels(result)]
    lines: list[str] = []
    top = 6
    for left, right in zip(panels[::2], [*panels[1::2], None], strict=False):
        lines += _panel(*left, 0, top)
        lines += _panel(*right, _COLUMN, top) if right else []
        rows = max(len(left[1]), len(right[1]) if right else 0)
        top += _TITLE + _STEP * rows
    return "\n".join([*_head(top + 6), *lines, "</svg>"])


def _head(height: int) -> list[str]:
    view = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view} role="img" style="{_STYLE}">',
        f"<title>{OURS} beside others</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]


def _panels(result: Result) -> Iterator[tuple[str, list[Figure]]]:
    for quantity in dict.fromkeys(figure.quantity for figure in result.figures):
        panel = [figure for figure in result.figures if figure.quantity == quantity]
        if len(panel) > 1 and any(figure.subject == OURS for figure in panel):
            yield f"{result.name}: {quantity}", panel


def _panel(title: str, panel: Sequence[Figure], left: int, top: int) -> list[str]:
    most = max(max(figure.values) for figure in panel) or 1.0
    ours = next(figure.median for figure in panel if figure.subject == OURS)
    lines = [f'<text x="{left + 10}" y="{top + 20}" font-weight="600">{escape(title)}</text>']
    for row, figure in enumerate(panel):
        start = left + _LABELS
        lines += _bar(figure, start, top + _TITLE + row * _STEP, _SCALE / most, ours)
    return lines


def _bar(figure: Figure, left: int, top: int, scale: float, ours: float) -> list[str]:
    colour = "#1f6feb" if figure.subject == OURS else "#afb8c1"
    width, middle, base = scale * figure.median, top + _BAR // 2, top + _BAR - 3
    low, high = (left + scale * end for end in (min(figure.values), max(figure.values)))
    value = f"{figure.median:.3g} {figure.unit}".rstrip()
    times = "" if figure.subject == OURS or not ours else f" ({figure.median / ours:.2g} x)"
    return [
        f'<text x="{left - 8}" y="{base}" text-anchor="end">{escape(figure.subject)}</text>',
        f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="#24292f"/>',
        f'<text x="{high + 6:.1f}" y="{base}">{escape(value + times)}</text>',
    ]
