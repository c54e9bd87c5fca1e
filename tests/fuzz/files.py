"""Targets: whole files from outside, sounds and manifests."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

from modelslab_async._policy.download import AttemptFailure, Ending, Integrity, integrity_of
from modelslab_async._protocol.audio import begins, examine
from modelslab_async._protocol.sound import Completeness, NotSound, Sound
from modelslab_async.batch._lines import BadRow
from modelslab_async.batch._manifest import Format, Reading, read_manifest
from modelslab_async.batch._naming import DEFAULT_TEMPLATE, file_name
from modelslab_async.batch._records import NewRow, from_record
from modelslab_async.batch._rows import request_text

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
    found = begins(data[:4096])
    if isinstance(verdict, NotSound):
        assert verdict.reason.isprintable()
        assert not isinstance(found, str) or found == verdict.reason
        return
    assert not isinstance(found, str)
    assert found[0] is verdict.format or data.startswith(b"ID3")
    _is_measured(verdict, len(data))
    _is_vouched_for(verdict)
    if verdict.mended:
        _is_better(verdict, data)


def _is_measured(sound: Sound, size: int) -> None:
    assert sound.seconds is None or 0 <= sound.seconds < math.inf
    assert 0 < sound.sample_rate <= 1_000_000
    assert 0 < sound.channels <= 64
    declared = sound.declared_size
    match sound.completeness:
        case Completeness.EXACT:
            assert declared == size
        case Completeness.SHORT:
            assert declared is None or declared > size
        case Completeness.LONG:
            assert declared is not None
            assert declared <= size
        case Completeness.UNKNOWN:
            assert declared is None


def _is_vouched_for(sound: Sound) -> None:
    alone = integrity_of(sound, Ending.CLOSED)
    assert isinstance(alone, AttemptFailure) == (sound.completeness is not Completeness.EXACT)
    announced = integrity_of(sound, Ending.ANNOUNCED)
    assert isinstance(announced, AttemptFailure) == (sound.completeness is Completeness.SHORT)
    assert sound.completeness is not Completeness.SHORT or announced is not Integrity.MENDED


def _is_better(sound: Sound, data: bytes) -> None:
    """A mended file is as long a sound, and needs no more of it."""
    pieces = (
        part if isinstance(part, bytes) else data[part.start : part.stop] for part in sound.mended
    )
    again = examine(lambda at, count: mended[at : at + count], len(mended := b"".join(pieces)))
    assert isinstance(again, Sound)
    assert not again.mended
    assert (again.seconds, again.channels) == (sound.seconds, sound.channels)


def manifest(data: bytes) -> None:
    """A digit for the format, then a manifest: each row can be used, or is bad and says why."""
    format_ = _FORMATS[data[0] % len(_FORMATS)] if data else None
    reading = Reading()
    rows = list(read_manifest(io.BytesIO(data[1:]), format_, folder=_NOWHERE, reading=reading))
    good = [row for row in rows if isinstance(row, NewRow)]
    for row in rows:
        if isinstance(row, BadRow):
            assert str(row).isprintable()
        else:
            _can_be_planned(row)
    assert len({row.id for row in good}) == len(good)
    lines = [row.line or 0 for row in rows]
    assert lines == sorted(set(lines)), "each row begins on a line of its own"
    assert (reading.rows, reading.bad_rows) == (len(rows), len(rows) - len(good))


def _can_be_planned(row: NewRow) -> None:
    assert re.fullmatch("[0-9a-f]{64}", row.payload_hash)
    kept = json.loads(request_text(row.planned()))
    assert from_record(kept) == (row.request, row.fields)
    name = file_name(DEFAULT_TEMPLATE, row.line or 0, row.id, row.request.title, "7")
    assert Path("out", name).name == name
