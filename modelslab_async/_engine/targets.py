"""Where a file shall go. Nothing here touches the disk."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from .._protocol.output import ENDINGS, Output


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


def target_of(to: str | os.PathLike[str], stem: str, gives: Output) -> Target:
    """What the caller's ``to`` means.

    A name that ends as such files do (.wav, .mp3 or .flac for audio) is the file's own path, and
    the ending gives way to what the bytes are. Anything else is a directory, where the file gets
    ``stem`` as its name. What is on disk has no say in it: the same call means the same each time,
    and nothing blocks.
    """
    path = Path(to)
    if path.suffix.lower() in ENDINGS[gives]:
        return Target(path.parent, path.stem, exact=True)
    return Target(path, stem, exact=False)
