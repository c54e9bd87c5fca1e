"""Where to save a file, and whether it can be saved there."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from .._protocol.output import ENDINGS, Output
from ..errors import RequestError
from .filesystem import make_durably, probe, remove_empty


@frozen
class Target:
    """Where to save a file.

    Attributes:
        directory: the path that the user gave.
        stem: the file name without extension.
        exact: whether no other name is acceptable.
        through: another path of the same directory that stays valid if the directory is renamed.
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
    """Interpret the caller's ``to``.

    A path with an extension of such files (.wav, .mp3 or .flac for audio) is the file's own path,
    but the final extension always matches the content. Any other path is a directory, in which the
    file gets the name ``stem``. The disk is not consulted: the same call always means the same, and
    nothing blocks.
    """
    path = Path(to)
    if path.suffix.lower() in ENDINGS[gives]:
        return Target(path.parent, path.stem, exact=True)
    return Target(path, stem, exact=False)


def check_target(target: Target, gives: Output) -> list[Path]:
    """Check, before anything is paid for, that a file can be saved there. Blocking.

    Returns:
        The directories that were made for it.

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
            f"{target.directory} cannot be written to: {error.strerror}; name another directory"
        ) from error
    return made


def _refused(why: str) -> RequestError:
    return RequestError(f"{why}; nothing was sent", field="to")
