"""Show how a manifest was read, before anything of it is paid for."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define

from .._text import safe_text
from ..batch._manifest import Reading, Row
from ..batch._naming import DEFAULT_TEMPLATE, file_name
from .generate import plural
from .output import Output

_SHOWN = 3
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@define
class Preview:
    """What a manifest was taken for.

    Attributes:
        template: how files are named; ``None``: as usual.
        reading: filled in while the manifest is read.
        rows: how many it has.
        first: names of the files of the first rows, and their prompts.
    """

    template: str | None
    reading: Reading = Factory(Reading)
    rows: int = 0
    first: list[tuple[str, str]] = Factory(list)

    def add(self, row: Row, seq: int) -> None:
        """One more row of the manifest, with its number in the batch."""
        self.rows += 1
        if len(self.first) < _SHOWN:
            request = row.request
            # The id of a job is not known yet, and neither is the format that the API will send.
            stem = file_name(self.template or DEFAULT_TEMPLATE, seq, row.id, request.prompt, "job")
            name = f"{stem}.{request.output_format or 'wav'}"
            self.first.append((name, safe_text(request.prompt, 60)))

    def lines(self) -> list[str]:
        """The same for people."""
        more = ["  ..."] if self.rows > len(self.first) else []
        return [self._summary(), *(f"  {name}  {prompt}" for name, prompt in self.first), *more]

    def _summary(self) -> str:
        reading, form = self.reading, "text, one prompt per line"
        if reading.format == "jsonl":
            form = "JSONL, one object per line"
        if reading.format == "csv":
            mark = reading.delimiter
            form = f"CSV with {_DELIMITERS.get(mark, f'{mark!r} between cells')}"
        skipped = [
            *([plural(reading.comments, "comment line") + " (#)"] if reading.comments else []),
            *([plural(reading.blank, "blank line")] if reading.blank else []),
        ]
        return f"manifest: {form}; {plural(self.rows, 'row')}" + (
            f"; skipped {' and '.join(skipped)}" if skipped else ""
        )

    def warn(self, voice: Output) -> None:
        """Say which lines were taken for comments that may be prompts."""
        reading = self.reading
        if reading.hashtags:
            voice.warn(
                f"skipped as {plural(reading.hashtags, 'comment')}: lines that begin with #, "
                f"such as {safe_text(reading.hashtag, 40)!r}; a prompt that begins with # is "
                "written \\#"
            )

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "format": self.reading.format,
            "delimiter": self.reading.delimiter or None,
            "rows": self.rows,
            "comments": self.reading.comments,
            "blank": self.reading.blank,
            "first": [{"path": name, "prompt": prompt} for name, prompt in self.first],
        }
