"""What may be shown of a key, and of a URL that may hold a password."""

from __future__ import annotations

import re

_ENCODED = re.compile(r"^([a-z][a-z0-9+.-]*://)?[^/?#]*%.*", re.IGNORECASE | re.DOTALL)
_MORE = re.compile(r"[?#].*", re.DOTALL)
# Also the @ that an input method of East Asia types.
_USER = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*[@\uff20\ufe6b]", re.IGNORECASE | re.DOTALL)
# No port, but what is left of a user and a password where the host was forgotten.
_NO_PORT = re.compile(
    r"^([a-z][a-z0-9+.-]*://)?[^/\[:]+:(?![0-9]*(?:/|$)).*", re.IGNORECASE | re.DOTALL
)


def masked(key: str | None) -> str | None:
    """A key as it may be shown: its last four characters, if it is long enough for that."""
    if key is None:
        return None
    return f"***{key[-4:]}" if len(key) >= 16 else "***"


def without_password(url: str) -> str:
    """A URL, or what a proxy is named by, as it may be shown: a host, and a path at most."""
    without_user = _USER.sub(r"\1***@", url)
    return _MORE.sub("***", _NO_PORT.sub(r"\1***", _ENCODED.sub(r"\1***", without_user)))
