"""Hold the API key so that it can be sent, and cannot be shown, stored or compared by accident."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import NoReturn

from ..errors import ConfigurationError
from .redaction import PIECE, Forms, without

_ROUNDS = 50_000
_KEPT_BYTES = 6
_QUOTES = "'\"`"


class Secret:
    """An API key. It prints as ``***``, refuses to be pickled, and removes itself from bytes."""

    __slots__ = ("_forms", "_value")

    def __init__(self, value: str) -> None:
        """Take a key.

        Raises:
            ConfigurationError: empty, with characters that no key has, or in quotes.
        """
        value = value.strip()
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigurationError(
                "the API key is empty or holds characters that no key has; "
                "copy it again from your ModelsLab dashboard into MODELSLAB_API_KEY"
            )
        if value[0] in _QUOTES and value[0] == value[-1]:
            raise ConfigurationError(
                "the API key stands in quotes, which `docker run --env-file`, for one, takes for a "
                "part of it; write it without them into MODELSLAB_API_KEY"
            )
        self._value = value
        self._forms = Forms(_forms(value))

    def with_key(self, rest: bytes) -> bytes:
        """A JSON object with the key first, then the members of ``rest``, an encoded object."""
        head = b'{"key":' + json.dumps(self._value).encode("ascii")
        return head + (b"}" if rest == b"{}" else b"," + rest[1:])

    def sealed_size(self, rest: bytes) -> int:
        """How many bytes `with_key` gives."""
        return len(self.with_key(b"{}")) + (0 if rest == b"{}" else len(rest) - 1)

    def redact(self, data: bytes) -> bytes:
        """The bytes without the key, however a server spells it, and cut short as it may be."""
        return without(data, self._forms)

    @property
    def fingerprint(self) -> str:
        """The same for the same key, and no way back to it."""
        return hashlib.sha256(b"modelslab_async account " + self._value.encode()).hexdigest()[:16]

    def salted_fingerprint(self, salt: bytes) -> str:
        """The same for the same key and salt, to be kept on disk. Blocking: some milliseconds.

        Slow and cut short, so that it neither gives a key away nor proves a guess.
        """
        derived = hashlib.pbkdf2_hmac("sha256", self._value.encode(), salt, _ROUNDS)
        return derived[:_KEPT_BYTES].hex()

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


def _forms(value: str) -> Iterator[tuple[bytes, int]]:
    """Every spelling under which a server may hand the key back, but for what decoding undoes.

    Each with how much of it discloses a piece of the key.
    """
    raw = value.encode("ascii")
    yield from ((raw, PIECE), (raw[::-1], PIECE), (raw.hex().encode(), 2 * PIECE))
    yield from ((value.encode(code), 2 * PIECE) for code in ("utf-16-le", "utf-16-be"))
    yield from ((form, PIECE * 4 // 3) for form in _base64_forms(raw))


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """What stays the same of the key's base64 text wherever the key stands in what was encoded."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        # A character at either end also holds bits of the neighbours, or is padding.
        core = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))
