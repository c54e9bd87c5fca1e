"""Where settings and keys are kept.

A relative path, as of HOME=., would be looked for in whatever directory the command runs in, and
what lies there may be foreign: it must not decide who gets the key.
"""

from __future__ import annotations

import os
from pathlib import Path

PROJECT_FILE = Path(".modelslab/config.toml")


def own_files() -> list[Path]:
    """The file that ``config set`` writes; none for a user without a home."""
    home = own_home()
    return [] if home is None else [home / "async.toml"]


def key_file(profile: str) -> Path | None:
    """Where ``auth login`` keeps the key of a profile; ``None``: this user has no home."""
    home = own_home()
    return None if home is None else home / "async-keys" / profile


def user_files() -> list[Path]:
    """Configuration that may be shared with ModelsLab's own command line: it is never written."""
    homes = (home for home in (own_home(), go_home()) if home is not None)
    return list(dict.fromkeys(home / "config.toml" for home in homes))


def own_home() -> Path | None:
    """The user's directory for settings."""
    from platformdirs import user_config_path

    try:
        home = user_config_path("modelslab")
    except RuntimeError:  # a user without a name and without HOME, as in many containers
        return None
    return home if home.is_absolute() else None


def go_home() -> Path | None:
    """That of ModelsLab's own command line (its repository, internal/config)."""
    home = Path(os.path.expanduser("~/.config/modelslab"))  # noqa: PTH111  it never raises
    return home if home.is_absolute() else None


def is_reachable(path: Path) -> bool:
    """Whether there is something at a place where a file may be, and we may go there.

    Raises:
        OSError: the file system fails.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Replace a file by this text, whole or not at all; nobody else can read it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
