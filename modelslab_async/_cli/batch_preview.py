"""Show how a manifest was read, before paying for any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._text import plural, safe_text
from .console import Console

if TYPE_CHECKING:
    from ..batch import Plan, Reading

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def preview_lines(plan: Plan) -> list[str]:
    """How the manifest of a plan was read, as text; empty if it has none."""
    if plan.reading is None:
        return []
    more = ["  ..."] if plan.reading.rows > len(plan.first) else []
    return [
        _summary(plan.reading),
        *(f"  {name}  {prompt}" for name, prompt in plan.first),
        *more,
    ]


def _summary(reading: Reading) -> str:
    form = "text, one prompt per line"
    if reading.format == "jsonl":
        form = "JSONL, one object per line"
    if reading.format == "toml":
        form = "TOML, combinations of values"
    if reading.format == "csv":
        mark = reading.delimiter
        form = f"CSV with {_DELIMITERS.get(mark, f'{mark!r} between cells')}"
    skipped = [
        *([plural(reading.comments, "comment line") + " (#)"] if reading.comments else []),
        *([plural(reading.blank, "blank line")] if reading.blank else []),
    ]
    return f"manifest: {form}; {plural(reading.rows, 'row')}" + (
        f"; skipped {' and '.join(skipped)}" if skipped else ""
    )


def warn_of_comments(reading: Reading, console: Console) -> None:
    """Warn about lines that were skipped as comments but may be prompts."""
    if reading.hashtags:
        console.warn(
            f"skipped as {plural(reading.hashtags, 'comment')}: lines that begin with #, "
            f"such as {safe_text(reading.hashtag, 40)!r}; a prompt that begins with # is "
            "written \\#"
        )


def preview_as_json(plan: Plan) -> dict[str, Any] | None:
    """How the manifest of a plan was read, as JSON; ``None`` if it has none."""
    reading = plan.reading
    if reading is None:
        return None
    return {
        "format": reading.format,
        "delimiter": reading.delimiter or None,
        "rows": reading.rows,
        "comments": reading.comments,
        "blank": reading.blank,
        "first": [{"path": name, "prompt": prompt} for name, prompt in plan.first],
    }
