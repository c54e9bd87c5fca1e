"""What tools answer: JSON in one text, and a link to each file. Blocking.

No sound travels through the model's context, and no answer is longer than `MAX_BYTES`: what does
not fit is left for another page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Final

from mcp.types import CallToolResult, ContentBlock, ResourceLink, TextContent

from .._text import safe_text
from ..batch import (
    Decision,
    Decisions,
    Limits,
    Reader,
    Row,
    RowState,
    holds_batch,
    read_decisions,
    request_of,
    runner_of,
)
from ..errors import LedgerError
from ._root import Root, counts_of, file_of, words_of
from ._runs import UNDER_WAY

MAX_BYTES: Final = 16_000
_PAGE: Final = 20
_BATCHES: Final = 50
_WITHOUT: Final = (RowState.REJECTED, RowState.FAILED, RowState.OUTPUT_LOST)
_TITLE: Final = 60
_TYPES: Final = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".txt": "text/plain",
    ".json": "application/json",
}


def answer(data: Mapping[str, Any], links: Iterable[tuple[Path, int]] = ()) -> CallToolResult:
    """An answer of at most `MAX_BYTES`; links that do not fit are left out.

    Args:
        data: what is told, which fits.
        links: files, and their sizes in bytes.
    """
    text = TextContent(type="text", text=json.dumps(data, ensure_ascii=False))
    left = MAX_BYTES - _size(text)
    content: list[ContentBlock] = [text]
    for path, size in links:
        link = ResourceLink(
            type="resource_link",
            name=path.name,
            uri=path.as_uri(),
            mime_type=_TYPES.get(path.suffix),
            size=size,
        )
        left -= _size(link) + 1
        if left < 0:
            break
        content.append(link)
    return CallToolResult(content=content)


def _fill(
    data: dict[str, Any], name: str, entries: Iterable[dict[str, Any]], most: int = _PAGE
) -> bool:
    """Put entries into a list of the data as long as they fit; whether all did."""
    found: list[dict[str, Any]] = []
    room = MAX_BYTES * 2 // 3 - _room(data)
    data[name] = found
    for entry in entries:
        room -= _room(entry)
        if len(found) == most or (room < 0 and found):
            return False
        found.append(entry)
    return True


def _room(data: dict[str, Any]) -> int:
    """Bytes in a message, which holds the text of the data as a text: escaped once more."""
    text = json.dumps(data, ensure_ascii=False)
    return len(json.dumps(text, ensure_ascii=False).encode())


def _size(block: TextContent | ResourceLink) -> int:
    return len(block.model_dump_json(by_alias=True, exclude_none=True).encode())


def about_batch(
    root: Root,
    folder: Path,
    *,
    only: Iterable[str] | None = None,
    after: int = 0,
    is_active: bool = False,
    stopped: str = "",
) -> CallToolResult:
    """The state of a batch, and its tracks.

    Args:
        root: of the batch.
        folder: of the batch.
        only: ids of the tracks to tell of; ``None``: all.
        after: the number of the last row of the page before.
        is_active: this server works on it.
        stopped: why a run has ended early.
    """
    counts = counts_of(folder)
    data: dict[str, Any] = {
        "batch": folder.name,
        "directory": str(folder),
        "states": {state.value: count for state, count in counts.items()},
        "next": _next(counts, is_active=is_active or _is_worked_on(folder)),
        **({"stopped": stopped} if stopped else {}),
        **root.money(),
    }
    try:
        decisions = read_decisions(folder)
    except LedgerError as error:  # what is paid for is told all the same
        decisions, data["problem"] = Decisions(), words_of(error)
    rows = list(_rows(folder, only, after))
    entries = (_entry(folder, row) | _decided(decisions.of(row)) for row in rows)
    if not _fill(data, "tracks", entries):
        data["more"] = f"list_music with after={data['tracks'][-1]['row']} tells the rest"
    files = ((file_of(folder, row), row.size or 0) for row in rows[: len(data["tracks"])])
    return answer(data, [(file, size) for file, size in files if file])


def _rows(folder: Path, only: Iterable[str] | None, after: int) -> Iterator[Row]:
    if not holds_batch(folder):
        return
    with Reader.open(folder) as reader:
        if only is None:
            yield from reader.page(after=after, limit=_PAGE + 1)
            return
        known = [one for row_id in only if (one := reader.planned_as(row_id))]
        for one in sorted(known, key=lambda one: one.seq):
            yield reader.row(one.seq)


def _entry(folder: Path, row: Row) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "row": row.seq,
        "id": safe_text(row.id, _TITLE),
        "state": row.state.value,
        "prompt": safe_text(row.prompt, _TITLE),
    }
    if row.state is not RowState.DONE:
        return entry | ({"error": safe_text(row.error, 200)} if row.error else {})
    entry |= {"file": safe_text(row.path, 255), "seconds": row.seconds}
    if row.flags:
        entry["flags"] = list(row.flags)
    if file_of(folder, row) is None:
        entry["problem"] = "the file is missing or changed since it was saved: check_music"
    return entry


def _decided(decision: Decision | None) -> dict[str, Any]:
    """What the person has decided about a file on the page of `listen_music`."""
    if decision is None:
        return {}
    found: dict[str, Any] = {
        "verdict": decision.verdict,
        "stars": decision.stars,
        "note": safe_text(decision.note, 200) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _next(counts: Mapping[RowState, int], *, is_active: bool) -> str:
    """What is to be done, in words that lead to no second payment."""
    if is_active or any(counts.get(state) for state in UNDER_WAY):
        return "wait_music with this batch; it is free. Do not make these tracks another way"
    if counts.get(RowState.AMBIGUOUS):
        return (
            "tell the person: reconcile_music lists tracks that may be paid for, and whose jobs "
            "are not known. Do not make them again"
        )
    if planned := counts.get(RowState.PLANNED):
        return f"{planned} not sent yet: make_music with the same tracks goes on, and pays for them"
    if lost := sum(counts.get(state, 0) for state in _WITHOUT):
        return (
            f"nothing: finished, {lost} without a file. Their errors say why; calling again leaves "
            "them so, and another take is a new payment"
        )
    return "nothing: finished"


def _is_worked_on(folder: Path) -> bool:
    return runner_of(folder) is not None


def about_batches(root: Root, after: str) -> CallToolResult:
    """All batches of the root by name, after the one of that name."""
    data: dict[str, Any] = {"root": str(root.path), **root.money()}
    entries = (_about(folder) for folder in root.folders() if folder.name > after)
    if not _fill(data, "batches", entries, _BATCHES):
        data["more"] = f"list_music with after_batch={data['batches'][-1]['batch']!r}"
    return answer(data)


def _about(folder: Path) -> dict[str, Any]:
    about: dict[str, Any] = {"batch": safe_text(folder.name, 255)}
    try:
        states = {state.value: count for state, count in counts_of(folder).items()}
    except LedgerError as error:
        return about | {"problem": words_of(error)[:120]}
    return about | {"states": states} | ({"running": True} if _is_worked_on(folder) else {})


def about_unknown(folder: Path, prices: Limits) -> CallToolResult:
    """The rows that may have a job that is paid for, and what only a person may decide."""
    data: dict[str, Any] = {"batch": folder.name}
    states = (RowState.AMBIGUOUS, RowState.SUBMITTING, RowState.DETACHED)
    with Reader.open(folder) as reader:
        entries = (_unknown(folder, row, prices) for row in reader.each(states))
        if not _fill(data, "unknown", entries):
            data["more"] = "there are more than these"
    if data["unknown"]:
        data["next"] = (
            "wait_music looks for these jobs, free. For what stays ambiguous, tell the person: "
            "their dashboard may show the track_id, and `modelslab-async reconcile DIR` takes "
            f"their decision, with DIR {quote(str(folder))}. Do not make these tracks again"
        )
    return answer(data)


def _unknown(folder: Path, row: Row, prices: Limits) -> dict[str, Any]:
    cost = row.cost or prices.price_of(request_of(row))
    return {
        **_entry(folder, row),
        "track_id": row.track_id,
        "sent_at": row.submitted_at,
        "cost": None if cost is None else str(cost),
    }
