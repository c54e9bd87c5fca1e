"""Look for existing files under the name of a row's file, before and after payment. Blocking."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._engine.filesystem import UTF8_NAMES, spelled
from .._engine.partfile import published
from .._engine.saved import SavedFile, measured
from .._policy.download import Integrity
from .._protocol.output import ENDINGS
from ..errors import DownloadError
from ._records import request_of
from ._rows import Row, flags_text
from ._sqlite.directory import Directory
from ._states import RowState


def standing(directory: Path, stems: Iterable[str], row: Row) -> Path | None:
    """An existing file with a name that the file of the row may get, with any extension."""
    gives = request_of(row).gives
    paths = (directory / f"{stem}{ending}" for stem in stems for ending in ENDINGS[gives])
    return next(filter(os.path.lexists, paths), None)


def free_stem(directory: Path, old: str, stem: str, row: Row) -> str:
    """An unused name, without extension, for a file that is downloaded again.

    No field of a template can contain ``~``, so no other row of the batch gets such a name.

    Args:
        directory: of the file.
        old: its name in the ledger, without extension.
        stem: its name by the template.
        row: the row of the file.
    """
    beside = (f"{stem}~{number}" for number in itertools.count(2))
    olds = [old] if old.isascii() or UTF8_NAMES else []
    names = itertools.chain(olds, [stem], beside)
    return next(name for name in names if standing(directory, [name], row) is None)


def no_name(row: Row, taken: Path) -> DownloadError:
    """The error of a row that was not submitted because the name of its file is taken."""
    return DownloadError(
        f"{taken} exists and does not belong to this batch, so row {row.id} was not sent. If the "
        "file is from a run of this batch whose ledger is lost, the row is paid for already; "
        "otherwise move the file, then run again"
    )


def about(saved: SavedFile) -> dict[str, Any]:
    """The values of a file for the ledger; see `FILE_COLUMNS`."""
    return {
        "path": saved.path.name,
        "sha256": saved.sha256,
        "source_sha256": saved.source_sha256,
        "size": saved.size,
        "seconds": saved.seconds,
        "integrity": saved.integrity.value,
        "flags": flags_text(saved.flags),
        "peak_dbfs": saved.peak_dbfs,
        "peaks": saved.peaks,
        "sound_sha256": saved.sound_sha256,
    }


def published_before(row: Row, directory: Path, place: Directory) -> SavedFile | None:
    """The file of a row that was published just before its run was killed.

    Its hash was recorded before it was published, so it need not be downloaded again: its links may
    have expired.

    Args:
        row: any.
        directory: the output directory, as the user named it.
        place: the same, open.

    Raises:
        DownloadError: the file cannot be read.
    """
    expected = row.path and row.sha256 and row.integrity
    if row.state is not RowState.READY or not expected:
        return None
    path, size, sha256 = row.path or "", row.size or 0, row.sha256 or ""
    try:
        found = published(place.at(spelled(path)), size, sha256, request_of(row).gives)
    except OSError as error:
        raise DownloadError(
            f"{directory / path} cannot be read: {error.strerror}; it is paid for: look at the "
            "disk, then run again",
            job_id=row.job_id,
        ) from error
    if found is None:
        return None
    content, check, silent = found
    return SavedFile(
        path=directory / path,
        size=size,
        sha256=sha256,
        source_sha256=row.source_sha256 or sha256,
        seconds=row.seconds,
        sample_rate=content.sample_rate,
        channels=content.channels,
        integrity=Integrity(expected),
        silent=silent,
        **measured(content, check, request_of(row).asked_seconds()),
    )
