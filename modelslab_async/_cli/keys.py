"""Keys of profiles: what ``auth login`` keeps, and what ModelsLab's own command line does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from pathlib import Path

from modelslab_async import ConfigurationError

from .console import INVOCATION
from .help import nearest
from .places import go_home, key_file, own_home, write_private
from .textfiles import decoded, read_bytes

LONGEST_KEY = 64 * 1024
_PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def check_profile(name: str) -> str:
    """The name of a profile, which is one of a file, too.

    Raises:
        ConfigurationError: it cannot be one.
    """
    if not _PROFILE.fullmatch(name):
        raise ConfigurationError(
            f"{name!r:.80} cannot name a profile: use letters, digits and . _ -, up to 64"
        )
    return name


def kept_key(profile: str) -> tuple[str, Path] | None:
    """The key that ``auth login`` has kept for a profile, and its file."""
    path = key_file(profile)
    if path is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        key = decoded(read_bytes(path, LONGEST_KEY)).strip()
        _close_to_others(path)
        return (key, path) if key else None
    return None


def keep_key(profile: str, key: str) -> Path:
    """Keep a key in a file that only its owner can read.

    Raises:
        ConfigurationError: this user has no home.
        OSError: it cannot be written.
    """
    path = key_file(profile)
    if path is None:
        raise ConfigurationError("there is no home directory to keep a key in: set HOME")
    write_private(path, f"{key}\n")
    return path


def foreign_key(profile: str) -> tuple[str, Path] | None:
    """The key that ModelsLab's command line keeps in a file where there is no keyring."""
    home = go_home()
    if home is None:
        return None
    path = home / "profiles" / f"{profile}.json"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        key = json.loads(decoded(read_bytes(path))).get("apikey")
        return (key, path) if isinstance(key, str) and key else None
    return None


def profiles() -> list[str]:
    """Profiles that have a key in a file."""
    ours, theirs = own_home(), go_home()
    found = set[str]()
    with contextlib.suppress(OSError):
        found |= {path.name for path in (ours / "async-keys").iterdir()} if ours else set()
    with contextlib.suppress(OSError):
        found |= {path.stem for path in (theirs / "profiles").glob("*.json")} if theirs else set()
    return sorted(name for name in found if _PROFILE.fullmatch(name))


def without_key(profile: str) -> str:
    """What to do about a profile that has no key."""
    login = f"{INVOCATION} auth login --profile {profile}"
    advice = nearest(profile, profiles(), f"keep one with {login}")
    return f"profile {profile!r} has no key; {advice}"


def _close_to_others(path: Path) -> None:
    """Take the right to read from everybody else, if a copy or an editor has given it."""
    about = path.stat()
    if stat.S_IMODE(about.st_mode) & 0o077 and about.st_uid == os.geteuid():
        path.chmod(0o600)
