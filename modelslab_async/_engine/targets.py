"""Where a file shall go, and whether it can go there."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from .._protocol.output import ENDINGS, Output
from ..errors import RequestError
from .filesystem import make_durably, probe, remove_empty


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


def check_target(target: Target, gives: Output) -> None:
    """Find out before anything is paid whether a file can get there. Blocking.

    Raises:
        RequestError: it cannot, or another file has its name.
    """
    endings = ENDINGS[gives]
    longest = f"{target.stem}{max(endings, key=len)}"
    made: list[Path] = []
    try:
        if target.exact:
            for ending in endings:
                path = target.directory / f"{target.stem}{ending}"
                if os.path.lexists(path):
                    raise _refused(f"{path} already exists; name another file")
        made = make_durably(target.directory)
        probe(target.directory, longest)
    except OSError as error:
        remove_empty(made)
        raise _refused(
            f"{target.directory} cannot be written to: {error.strerror}; name another place"
        ) from error


def _refused(why: str) -> RequestError:
    return RequestError(f"{why}; nothing was sent", field="to")
