"""Keys of profiles: what ``auth login`` keeps, and what ModelsLab's own command line does.

A key is kept in the system's keyring if the package ``keyring`` is installed and has one that it
recommends; a file then says so. Otherwise the file holds the key.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from pathlib import Path
from types import ModuleType

from modelslab_async import ConfigurationError

from .._text import safe_text
from .console import INVOCATION
from .help import nearest
from .places import go_home, key_file, own_home, write_private
from .textfiles import decoded, read_bytes

LONGEST_KEY = 64 * 1024
KEYRING = "the system's keyring"
_IN_KEYRING = "in the keyring"
_SERVICE = "modelslab-async"
_PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def check_profile(name: object) -> str:
    """The name of a profile, which is one of a file, too.

    Raises:
        ConfigurationError: it cannot be one.
    """
    if not _PROFILE.fullmatch(str(name)):
        raise ConfigurationError(
            f"{name!r:.80} cannot name a profile: use letters, digits and . _ -, up to 64"
        )
    return str(name)


def kept_key(profile: str) -> tuple[str | None, str] | None:
    """The key that ``auth login`` has kept for a profile, and where.

    ``None`` in place of the key: the keyring does not give it.
    """
    path = key_file(profile)
    if path is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        key = decoded(read_bytes(path, LONGEST_KEY)).strip()
        _close_to_others(path)
        if key == _IN_KEYRING:
            return _from_keyring(profile)
        return (key, str(path)) if key else None
    return None


def keep_key(profile: str, key: str) -> str:
    """Keep a key where only its owner can read it, and return where that is.

    Raises:
        ConfigurationError: this user has no home.
        OSError: the file cannot be written.
    """
    path = key_file(profile)
    if path is None:
        raise ConfigurationError("there is no home directory to keep a key in: set HOME")
    is_in_keyring = _into_keyring(profile, key)
    write_private(path, f"{_IN_KEYRING if is_in_keyring else key}\n")
    return KEYRING if is_in_keyring else str(path)


def forget_key(profile: str) -> Path | None:
    """Remove the kept key of a profile; return its file, or ``None`` if there is none.

    Raises:
        ConfigurationError: the key stays in the keyring, which cannot be opened.
        OSError: the file cannot be removed.
    """
    path = key_file(profile)
    if path is None or not path.exists():
        return None
    kept = kept_key(profile)
    if kept is not None and kept[1].startswith(KEYRING):
        _out_of_keyring(profile)
    path.unlink()
    return path


def _keyring() -> ModuleType | None:
    """The package ``keyring``, if it is installed and knows a keyring that it recommends."""
    try:
        import keyring

        return keyring if keyring.get_keyring().priority >= 1 else None
    except Exception:  # noqa: BLE001 - not installed, or broken: files do without
        return None


def _into_keyring(profile: str, key: str) -> bool:
    keyring = _keyring()
    if keyring is None:
        return False
    try:
        keyring.set_password(_SERVICE, profile, key)
        return bool(keyring.get_password(_SERVICE, profile) == key)
    except Exception:  # noqa: BLE001 - locked, or without a session: the file does without
        return False


def _out_of_keyring(profile: str) -> None:
    keyring = _keyring()
    try:
        if keyring is None:
            raise RuntimeError("the package keyring is not installed here, or finds none")
        if keyring.get_password(_SERVICE, profile) is not None:
            keyring.delete_password(_SERVICE, profile)
    except Exception as error:  # noqa: BLE001 - each backend has errors of its own
        reason = safe_text(str(error) or type(error).__name__, 200)
        raise ConfigurationError(
            f"the key of profile {profile!r} is still in {KEYRING} ({reason}): unlock it, then run "
            f"{INVOCATION} auth logout again"
        ) from None


def _from_keyring(profile: str) -> tuple[str | None, str]:
    keyring = _keyring()
    if keyring is None:
        return None, f"{KEYRING}, but the package keyring is not installed here, or finds none"
    try:
        key = keyring.get_password(_SERVICE, profile)
    except Exception as error:  # noqa: BLE001 - each backend has errors of its own
        reason = safe_text(str(error) or type(error).__name__, 200)
        return None, f"{KEYRING}, which does not give it ({reason})"
    return (str(key), KEYRING) if key else (None, f"{KEYRING}, which has it no more")


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
