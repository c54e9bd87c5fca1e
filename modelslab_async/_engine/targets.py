"""Where a file shall go. Nothing here touches the disk."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from .._protocol.sound import AudioFormat

_ENDINGS = frozenset(form.extension for form in AudioFormat)


@frozen
class Target:
    """Where a file shall go.

    Attributes:
        directory: as the user knows it.
        stem: the name without ending.
        exact: no other name will do.
        through: another path of the directory, that is used instead: no rename changes it.
    """

    directory: Path
    stem: str
    exact: bool
    through: Path | None = None

    @property
    def used(self) -> Path:
        """The path for opening files."""
        return self.through or self.directory


def target_of(to: str | os.PathLike[str], stem: str) -> Target:
    """What the caller's ``to`` means.

    A name that ends in .wav, .mp3 or .flac is the file's own path, and the ending gives way to
    what the bytes are. Anything else is a directory, where the file gets ``stem`` as its name. What
    is on disk has no say in it: the same call means the same each time, and nothing blocks.
    """
    path = Path(to)
    if path.suffix.lower() in _ENDINGS:
        return Target(path.parent, path.stem, exact=True)
    return Target(path, stem, exact=False)
