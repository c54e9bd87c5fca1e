"""Show how a manifest was read, before paying for any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._text import plural, safe_text
from .console import Console

if TYPE_CHECKING:
    from ..batch import Preview

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def preview_lines(preview: Preview) -> list[str]:
    """How a manifest was read, as text."""
    more = ["  ..."] if preview.rows > len(preview.first) else []
    return [_summary(preview), *(f"  {name}  {prompt}" for name, prompt in preview.first), *more]


def _summary(preview: Preview) -> str:
    reading, form = preview.reading, "text, one prompt per line"
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
    return f"manifest: {form}; {plural(preview.rows, 'row')}" + (
        f"; skipped {' and '.join(skipped)}" if skipped else ""
    )


def warn_of_comments(preview: Preview, console: Console) -> None:
    """Warn about lines that were skipped as comments but may be prompts."""
    reading = preview.reading
    if reading.hashtags:
        console.warn(
            f"skipped as {plural(reading.hashtags, 'comment')}: lines that begin with #, "
            f"such as {safe_text(reading.hashtag, 40)!r}; a prompt that begins with # is "
            "written \\#"
        )


def preview_as_json(preview: Preview) -> dict[str, Any]:
    """How a manifest was read, as JSON."""
    return {
        "format": preview.reading.format,
        "delimiter": preview.reading.delimiter or None,
        "rows": preview.rows,
        "comments": preview.reading.comments,
        "blank": preview.reading.blank,
        "first": [{"path": name, "prompt": prompt} for name, prompt in preview.first],
    }
