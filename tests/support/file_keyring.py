"""A keyring in a file, for the package `keyring`: PYTHON_KEYRING_BACKEND names the class."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError


class FileKeyring(KeyringBackend):
    """Kept where KEYRING_FILE says; locked while there is a directory in its place."""

    priority = 5

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._keep(self._kept() | {f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        kept = self._kept()
        if kept.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError("there is none")
        self._keep(kept)

    @property
    def _path(self) -> Path:
        path = Path(os.environ["KEYRING_FILE"])
        if path.is_dir():
            raise KeyringLocked("it is locked")
        return path

    def _kept(self) -> dict[str, str]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def _keep(self, kept: dict[str, str]) -> None:
        self._path.write_text(json.dumps(kept))
