"""Pages of batches that no sandbox has to make: many rows, and each kind of row."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from modelslab_async import RowState
from modelslab_async.batch import Row
from modelslab_async.batch._rows import COLUMNS
from modelslab_async.listening._facts import fact_of
from modelslab_async.listening._page import page_html

MOODS = ("calm", "tense", "victorious", "melancholic", "playful", "dark", "hopeful", "dreamy")
GENRES = ("techno", "lo-fi hip hop", "ambient", "epic orchestral", "jazz trio", "synthwave")
TAKES = 3
START = 1_790_000_000.0


def row_of(seq: int, **changes: Any) -> Row:
    """A done row, as a batch of takes has it."""
    kind = (seq - 1) // TAKES
    mood, genre = MOODS[kind % len(MOODS)], GENRES[kind // len(MOODS) % len(GENRES)]
    prompt = f"{mood} {genre}, {90 + kind % 40} bpm"
    begun = START + seq * 2
    known = {
        "seq": seq,
        "id": f"{mood}-{genre.replace(' ', '-')}-{seq}",
        "state": RowState.DONE,
        "request": json.dumps({"prompt": prompt, "mood": mood, "max_new_token": 512}),
        "payload_hash": f"{seq:064x}",
        "attempt": 1,
        "cost": "0.02",
        "job_id": str(310_000 + seq),
        "prompt": prompt,
        "path": f"{mood}-{genre.replace(' ', '-')}-{seq}.wav",
        "sha256": f"{seq:064x}",
        "size": 640_000,
        "seconds": 10.24,
        "flags": ("dead_tail",) if seq % 25 == 7 else (),
        "peaks": peaks(seq),
        "planned_at": START,
        "submitted_at": begun,
        "accepted_at": begun + 0.4,
        "finished_at": begun + 8 + seq % 5,
        "done_at": begun + 9 + seq % 5,
        "polls": 2,
        "updated_at": begun + 9,
    }
    return Row(**{**dict.fromkeys(COLUMNS), **known, **changes})


def broken(seq: int, state: RowState, error: str) -> Row:
    return row_of(seq, state=state, path=None, sha256=None, error=error, finished_at=None)


def peaks(seed: int) -> bytes:
    """A waveform that looks like music."""
    beat = 8 + seed % 7
    return bytes(
        int(
            (30 + 60 * abs(math.sin(place / 40 + seed)))
            * (1 - 0.55 * (place % beat) / beat)
            * min(1, (240 - place) / 20)
        )
        for place in range(240)
    )


def data_of(rows: list[Row], **changes: Any) -> dict[str, Any]:
    return {
        "name": "album",
        "batch": "0",
        "seen": "0-0",
        "rows": [fact_of(row, row.path or "") for row in rows],
        "money": {"jobs": len(rows), "cost": "6", "unpriced": 0},
        "running": False,
        "advice": {},
        "decisions": [],
        **changes,
    }


def written(directory: Path, rows: list[Row], **changes: Any) -> Path:
    """A page as a file."""
    path = directory / "listen.html"
    path.write_text(page_html(data_of(rows, **changes), live=False), encoding="ascii")
    return path
