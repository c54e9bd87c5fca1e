"""Questions to a ledger about the sound of its files."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Final

from .._rows import SoundSummary, Storable, flag_names

_SAME_SOUND: Final = """
SELECT min(seq) FROM rows WHERE sound_sha256 = ? AND seq <> ? AND state = 'done'
"""
_FLAGS: Final = """
SELECT flags, count(*) FROM rows WHERE state = 'done' AND coalesce(flags, '') <> '' GROUP BY flags
"""
_FLAGGED: Final = """
SELECT seq, flags FROM rows WHERE state = 'done' AND coalesce(flags, '') <> '' ORDER BY seq
"""
_UNCHECKED: Final = """
SELECT count(*) FROM rows WHERE state = 'done' AND peaks IS NULL
AND (path LIKE '%.wav' OR path LIKE '%.mp3' OR path LIKE '%.flac')
"""


def same_sound(db: sqlite3.Connection, seq: int, sha256: Storable) -> int | None:
    """The first done row with the same samples, other than row ``seq``; ``None`` if there is none.

    Args:
        sha256: of the samples; ``None`` if they were not checked.
    """
    found = db.execute(_SAME_SOUND, (sha256, seq)).fetchone()
    return None if found[0] is None else int(found[0])


def summary_of(db: sqlite3.Connection) -> SoundSummary:
    """See `Reader.sounds`."""
    flagged, flags = 0, Counter[str]()
    for stored, rows in db.execute(_FLAGS):
        flagged += rows
        flags.update(dict.fromkeys(flag_names(stored), rows))
    unchecked = int(db.execute(_UNCHECKED).fetchone()[0])
    return SoundSummary(flagged, unchecked, dict(flags.most_common()))


def flagged(db: sqlite3.Connection, flags: Iterable[str]) -> list[int]:
    """The numbers of done rows with any of these flags."""
    wanted = frozenset(flags)
    if not wanted:
        return []
    return [seq for seq, stored in db.execute(_FLAGGED) if wanted & flag_names(stored)]
