"""Decide what the page is told of a batch: rows, money and decisions as JSON of bounded size."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final

from .._text import decimal_text
from ..batch import Decision, Row, RowState
from ..batch._advice import Advice

MAX_ROWS: Final = 100_000
"""More would make a page that no browser opens."""

_MAX_PROMPT: Final = 2000
_MAX_ERROR: Final = 1000
_MAX_NAME: Final = 40
_MAX_VALUE: Final = 60
_MAX_FIELDS: Final = 12
_MAX_REQUEST: Final = 64 * 1024  # larger ones hold audio
_OWN: Final = frozenset({"id", "prompt"})  # which the page has anyway

MEDIA: Final[Mapping[str, str]] = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
}
"""The media types of what a browser can play, by extension."""


def fact_of(row: Row, file: str) -> dict[str, Any]:
    """What the page is told of a row; what is unknown is left out.

    Instants are milliseconds since the epoch: submitted, accepted, finished, done.

    Args:
        row: of the ledger.
        file: the name of its file; empty: it has none that is to be read.
    """
    is_done = row.state is RowState.DONE  # before that, the file's values are only expected
    instants = (row.submitted_at, row.accepted_at, row.finished_at, row.done_at)
    fact = {
        "row": row.seq,
        "id": row.id,
        "state": row.state.value,
        "prompt": row.prompt[:_MAX_PROMPT],
        "fields": _fields(row.request),
        "file": file,
        "plays": PurePath(file).suffix.lower() in MEDIA,
        "sha256": row.sha256 if file else None,
        "seconds": row.seconds and round(row.seconds, 2) if is_done else None,
        "size": row.size if is_done else None,
        "peaks": base64.b64encode(row.peaks).decode() if is_done and row.peaks else None,
        "flags": list(row.flags or ()) if is_done else None,
        "at": [at and round(at * 1000) for at in instants] if row.submitted_at else None,
        "job": row.job_id,
        "cost": row.cost,
        "error": None if is_done or not row.error else row.error[:_MAX_ERROR],
        "kind": None if is_done else row.error_kind,
    }
    return {name: value for name, value in fact.items() if value not in (None, "", {}, [], False)}


def _fields(request: str) -> dict[str, str]:
    """The other fields of a request as short texts."""
    if len(request) > _MAX_REQUEST:
        return {}
    known = json.loads(request)
    shown = [(name, value) for name, value in known.items() if name not in _OWN]
    return {name[:_MAX_NAME]: _text(value) for name, value in shown[:_MAX_FIELDS]}


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 3]}..."


def decision_as_json(decision: Decision) -> dict[str, Any]:
    """A decision as the page reads and writes it."""
    return {
        "row": decision.row,
        "sha256": decision.sha256,
        "verdict": decision.verdict,
        "stars": decision.stars,
        "note": decision.note,
    }


def advice_as_json(advice: Advice, words: Mapping[str, str]) -> dict[str, str]:
    """What to do about rows in a state: a sentence, and the command that it is about."""
    told = f"{advice.about}; this command{advice.effect}" if advice.effect else advice.about
    return {"text": told, "command": advice.command_line(words)}


def money_of(paid: list[tuple[str | None, str, int]]) -> dict[str, Any]:
    """What was paid so far: the number of jobs, and their cost where a price was known.

    Args:
        paid: of `Reader.paid`.
    """
    priced = [(Decimal(cost), jobs) for cost, _, jobs in paid if cost is not None]
    jobs = sum(number for _, _, number in paid)
    unpriced = jobs - sum(number for _, number in priced)
    cost = sum((cost * number for cost, number in priced), Decimal(0))
    return {"jobs": jobs, "cost": decimal_text(cost) if priced else None, "unpriced": unpriced}


def script_text(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a ``script`` element: no text of it ends or comments out that."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
