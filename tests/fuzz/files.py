"""Targets: whole files from outside, sounds and manifests."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

from modelslab_async.batch.given import taken
from modelslab_async.batch.intake import to_plan
from modelslab_async.batch.manifest import BadRow, Format, Row, check_manifest, read_manifest
from modelslab_async.batch.naming import DEFAULT_TEMPLATE, file_name
from modelslab_async.batch.rows import request_text
from modelslab_async.policy.transferring import Integrity, Setback, integrity_of
from modelslab_async.protocol.audio import Completeness, NotSound, Sound, examine, sniff

_CALLS = 100_000
_NOWHERE = Path("/nonexistent")
_FORMATS: tuple[Format | None, ...] = (None, "text", "jsonl", "csv")


def audio(data: bytes) -> None:
    """A file gets a verdict in bounded work, and only one that is whole is called so."""
    calls = 0

    def read_at(offset: int, count: int) -> bytes:
        nonlocal calls
        calls += 1
        assert offset >= 0
        assert 0 <= count <= 64 * 1024
        return data[offset : offset + count]

    verdict = examine(read_at, len(data))
    assert calls < _CALLS
    kind = sniff(data[:512])
    if isinstance(verdict, NotSound):
        assert verdict.reason.isprintable()
        assert not isinstance(kind, str) or kind == verdict.reason
        return
    assert kind is verdict.format
    _is_measured(verdict, len(data))
    _is_vouched_for(verdict)


def _is_measured(sound: Sound, size: int) -> None:
    assert sound.actual_size == size
    assert sound.seconds is None or 0 <= sound.seconds < math.inf
    assert 0 < sound.sample_rate <= 1_000_000
    assert 0 < sound.channels <= 64
    declared = sound.declared_size
    match sound.completeness:
        case Completeness.EXACT:
            assert declared == size
        case Completeness.SHORT:
            assert declared is not None
            assert declared > size
        case Completeness.LONG:
            assert declared is not None
            assert declared <= size
        case Completeness.UNKNOWN:
            assert declared is None


def _is_vouched_for(sound: Sound) -> None:
    alone = integrity_of(sound, announced=False)
    assert isinstance(alone, Setback) or alone is Integrity.RIFF
    announced = integrity_of(sound, announced=True)
    assert isinstance(announced, Setback) == (sound.completeness is Completeness.SHORT)


def manifest(data: bytes) -> None:
    """A digit for the format, then a manifest: each row can be used, or is bad and says why."""
    format_ = _FORMATS[data[0] % len(_FORMATS)] if data else None
    rows = list(read_manifest(io.BytesIO(data[1:]), format_, folder=_NOWHERE))
    good = [row for row in rows if isinstance(row, Row)]
    for row in rows:
        if isinstance(row, BadRow):
            assert str(row).isprintable()
        else:
            _can_be_planned(row)
    assert len({row.id for row in good}) == len(good)
    lines = [row.line or 0 for row in rows]
    assert lines == sorted(set(lines)), "each row begins on a line of its own"
    assert check_manifest(rows).bad_rows == len(rows) - len(good)


def _can_be_planned(row: Row) -> None:
    assert re.fullmatch("[0-9a-f]{64}", row.payload_hash)
    kept = json.loads(request_text(to_plan(row)))
    assert taken(kept) == (row.request, row.fields)
    name = file_name(DEFAULT_TEMPLATE, row.line or 0, row.id, row.request.prompt, "7")
    assert Path("out", name).name == name
