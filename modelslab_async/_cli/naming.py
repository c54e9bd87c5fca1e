"""Choose where files go, and find out before anything is paid whether they can go there."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from .._engine.filesystem import (
    UTF8_NAMES,
    make_durably,
    probe,
    remove_empty,
    takes_all_scripts,
)
from .._text import folded

EXTENSIONS = (".wav", ".mp3", ".flac", ".txt", ".json", ".mp4")
_NOT_MADE = frozenset(
    {
        *(".aac", ".aif", ".aiff", ".alac", ".m4a", ".oga", ".ogg", ".opus", ".webm", ".wma"),
        *(".srt", ".vtt", ".avi", ".mkv", ".mov"),
    }
)
_SLUGGED = len("-9999.flac") + 60


def check_place(
    output: str | None, *, several: bool, warn: Callable[[str], None] | None = None
) -> tuple[Path, Path | None]:
    """The directory, and the file in it if ``-o`` names one; checked before anything is paid.

    Raises:
        click.UsageError: as `check_writable`, or one file is named for several.
    """
    path = Path(output or ".")
    is_file = path.suffix.lower() in EXTENSIONS and not _is_directory(output)
    if several and (is_file or os.path.isfile(path)):  # noqa: PTH113  these two never raise
        raise click.UsageError(f"-o {path} is a file, but several jobs need a directory")
    directory = path.parent if is_file else path
    check_writable(directory, warn=warn)
    return directory, path if is_file else None


def check_ending(output: str | None, endings: Sequence[str]) -> None:
    """Check that ``-o`` names a directory, or a file that ends as those of a command do.

    Raises:
        click.UsageError: it names another kind of file.
    """
    path = Path(output or ".")
    ending = path.suffix.lower()
    if _is_directory(output) or ending not in {*EXTENSIONS, *_NOT_MADE} or ending in endings:
        return
    raise click.UsageError(
        f"-o {path}: this command makes no {ending} files; end the name in {either(endings)}"
    )


def either(words: Sequence[str]) -> str:
    """``.wav, .mp3 or .flac``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def format_for(output: str | None, chosen: str | None, *, is_named: bool) -> str | None:
    """The format to ask for: that of the ending of ``-o``, else the chosen one.

    Args:
        output: what ``-o`` names, as `check_ending` lets it pass.
        chosen: ``--output-format``, also from the environment or a file; ``None``: not given.
        is_named: it stands on the command line, beside ``-o``.

    Raises:
        click.UsageError: the two contradict each other.
    """
    path = Path(output or ".")
    ending = path.suffix.lower()
    if _is_directory(output) or ending not in EXTENSIONS:
        return chosen
    if chosen == ending[1:] or (chosen is None and ending == ".wav"):  # as the API does by itself
        return chosen
    if chosen is not None and is_named:
        raise click.UsageError(
            f"-o {path} and --output-format {chosen} contradict each other: leave one of them out"
        )
    return ending[1:]


def _is_directory(output: str | None) -> bool:
    """Whether ``-o`` names a directory: it is one, or ends with a slash."""
    return output is None or output.endswith("/") or os.path.isdir(output)  # noqa: PTH112


def place_again(
    output: str | None, *, overwrite: bool, exec_: str | None = None, play: bool = False
) -> list[str]:
    """The options that let another command put its files in the same place, and do as much."""
    return [
        *(["-o", output] if output else []),
        *(["--overwrite"] if overwrite else []),
        *(["--exec", exec_] if exec_ is not None else []),
        *(["--play"] if play else []),
    ]


def check_writable(
    directory: Path,
    *,
    warn: Callable[[str], None] | None = None,
    advice: str = "name another place with -o",
) -> None:
    """Whether files can be made here, or in the directory that will be made here.

    Args:
        directory: where.
        warn: told instead if they cannot, where none will be made now.
        advice: what to do if they cannot.

    Raises:
        click.UsageError: they cannot.
    """
    objection = _objection(directory, advice)
    if objection is not None:
        if warn is None:
            raise click.UsageError(objection)
        warn(objection)


def _objection(directory: Path, advice: str) -> str | None:
    try:
        existing = _existing(directory)
        if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
            return None
    except OSError as error:  # also of the current directory, which may have been removed
        if not directory.is_absolute():
            return (
                f"{directory} cannot be reached from the current directory: {error.strerror}; "
                "name a full path with -o"
            )
    return f"{directory} cannot be written to; {advice}"


def _existing(directory: Path) -> Path:
    return next(place for place in (directory, *directory.absolute().parents) if place.exists())


def spells_all_scripts(directory: Path, *, dry_run: bool) -> bool:
    """Whether names here, or in the directory that will be made here, may hold any letters."""
    return UTF8_NAMES and (dry_run or takes_all_scripts(_existing(directory)))


def check_publishing(directory: Path, name: str) -> None:
    """Make the directory, and see that its file system can take a file under such a name.

    Raises:
        click.UsageError: it cannot.
    """
    made: list[Path] = []
    try:
        made = make_durably(directory)
        probe(directory, name)
    except OSError as error:
        remove_empty(made)
        raise click.UsageError(
            f"{directory} cannot be written to: {error.strerror}; nothing was sent, "
            "name another place with -o"
        ) from error


def replacement(file: Path | None, ending: str = ".wav") -> Path:
    """The name that a file has until it replaces another one.

    Raises:
        click.UsageError: no file is named.
    """
    if file is None:
        raise click.UsageError("--overwrite replaces one file: name it with -o FILE")
    return file.with_name(f"{bare(file)}.new-{os.urandom(4).hex()}{ending}")


def bare(path: Path) -> str:
    """The name of a file without the ending of a format."""
    return path.stem if path.suffix.lower() in EXTENSIONS else path.name


def longest_name(file: Path | None) -> str:
    """As long and as unusual as any name that a track's file will get."""
    if file is None:
        return "-" * _SLUGGED
    return f"{replacement(file).stem}{max(EXTENSIONS, key=len)}"


def is_taken(path: Path) -> bool:
    """Whether something stands under this name, with the ending of any format."""
    return any(os.path.lexists(path.parent / f"{bare(path)}{ending}") for ending in EXTENSIONS)


def free_names(
    directory: Path, stem: str, claimed: set[str], ending: str = ".wav"
) -> Iterator[str]:
    """Paths that nothing has yet, on disk or in ``claimed``: ``stem``, ``stem-2`` and so on.

    ``claimed`` holds names as a file system compares them that knows no case.
    """
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        path = directory / f"{name}{ending}"
        if folded(name) not in claimed and not is_taken(path):
            claimed.add(folded(name))
            yield str(path)
