"""Hold the API key so that it can be sent, and cannot be shown, stored or compared by accident."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import quote

from .errors import ConfigurationError

_PIECE = 12  # who quotes a key cut short has given it away as well


class Secret:
    """An API key. It prints as ``***``, refuses to be pickled, and removes itself from bytes."""

    __slots__ = ("_forms", "_value")

    def __init__(self, value: str) -> None:
        """Take a key.

        Raises:
            ConfigurationError: empty, or with characters that no key has.
        """
        value = value.strip()
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigurationError(
                "the API key is empty or holds characters that no key has; "
                "copy it again from your ModelsLab dashboard into MODELSLAB_API_KEY"
            )
        self._value = value
        self._forms = _forms(value)

    def sealed(self, rest: bytes) -> bytes:
        """A JSON object with the key first, then the members of ``rest``, an encoded object."""
        head = b'{"key":' + json.dumps(self._value).encode("ascii")
        return head + (b"}" if rest == b"{}" else b"," + rest[1:])

    def sealed_size(self, rest: bytes) -> int:
        """How many bytes `sealed` gives."""
        return len(self.sealed(b"{}")) + (0 if rest == b"{}" else len(rest) - 1)

    def removed_from(self, data: bytes) -> bytes:
        """The bytes without the key, also where it stands reversed or encoded."""
        for form in self._forms:
            data = data.replace(form, b"***")
        return data

    @property
    def fingerprint(self) -> str:
        """The same for the same key, and no way back to it."""
        return hashlib.sha256(b"modelslab_async account " + self._value.encode()).hexdigest()[:16]

    @property
    def hint(self) -> str:
        """The last four characters, for a person who has several keys; ``***`` for short ones."""
        return f"***{self._value[-4:]}" if len(self._value) >= 16 else "***"

    def __repr__(self) -> str:
        return "***"

    def __format__(self, _: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled; give each process its own environment")


def _forms(value: str) -> tuple[bytes, ...]:
    """Every spelling under which a server may hand the key back to us."""
    raw = value.encode("ascii")
    quoted = quote(value, safe="")
    forms = [
        raw,
        raw[::-1],
        raw.hex().encode(),
        raw.hex().upper().encode(),
        quoted.encode(),
        re.sub("%..", lambda code: code[0].lower(), quoted).encode(),
        json.dumps(value)[1:-1].encode(),
        html.escape(value).encode(),
        value.encode("utf-16-le"),
        value.encode("utf-16-be"),
        *_base64_forms(raw),
        # From the start on, so that of a piece of any length less than this is left at its end.
        *(raw[start : start + _PIECE] for start in range(len(raw) - _PIECE + 1)),
    ]
    # As PHP, which this API runs on, writes text in JSON.
    forms += [form.replace(b"/", b"\\/") for form in forms]
    # A form of a few characters would be found in any text by chance, and is no secret anyway.
    long = (form for form in dict.fromkeys(forms) if len(form) >= 8)
    return tuple(sorted(long, key=len, reverse=True))


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """What stays the same of the key's base64 text wherever the key stands in what was encoded."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        # A character at either end also holds bits of the neighbours, or is padding.
        core = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))
