"""Add marks to a WAV file that is about to be published. Plain blocking code."""

from __future__ import annotations

import time

from attrs import evolve

from .._protocol.marks import Provenance, tagged
from .partfile import PartFile


def tag(part: PartFile, about: Provenance, sha256: str) -> str:
    """Add INFO and XMP to a WAV file; return why not, or nothing.

    Args:
        part: the complete file; its samples stay the same bytes.
        about: what the marks say; the time and this program are added.
        sha256: of the file as the server sent it.
    """
    if part.read_at(0, 4) != b"RIFF":
        return "only WAV files can be tagged"
    about = evolve(
        about,
        created=about.created or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        software=about.software or "modelslab-async",
        sha256=about.sha256 or sha256,
    )
    pieces = tagged(part.read_at, part.size, about)
    if isinstance(pieces, str):
        return pieces
    if len(pieces) > 1:
        part.mend(pieces)
    return ""
