"""Copy a file and add marks to the copy. Blocking."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from .._engine.partfile import PartFile
from .._engine.tagging import tag
from .._protocol.marks import Provenance as Provenance
from ..errors import ConfigurationError

_BLOCK: Final = 1024 * 1024


def tag_file(
    source: str | os.PathLike[str], target: str | os.PathLike[str], about: Provenance
) -> str:
    """Copy a file, and add INFO and XMP to the copy: that a model made it, and what is known of it.

    The samples stay the same bytes. Marks that the file has already are kept; with them, and for
    other formats than WAV, the copy is the same file.

    Args:
        source: stays as it is.
        target: the copy, which must not exist.
        about: what the marks say.

    Returns:
        Why the copy has no new marks; empty if it has.

    Raises:
        ConfigurationError: the target exists.
        OSError: a file cannot be read or written.
    """
    source, target = Path(source), Path(target)
    part = PartFile(target.parent, target.name)
    try:
        digest = hashlib.sha256()
        with source.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                part.add(block)
                if part.is_full:
                    part.flush()
        part.flush()
        reason = tag(part, about, digest.hexdigest())
        if part.publish(target.name) is None:
            raise ConfigurationError(f"{target} exists already, with other content")
        return reason
    finally:
        part.discard()
