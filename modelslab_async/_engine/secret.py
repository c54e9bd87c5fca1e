"""The API key, held so that it can be sent but not printed, stored or compared by accident."""

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
        """Validate and hold a key.

        Raises:
            ConfigurationError: it is empty, contains invalid characters, or is quoted.
        """
        value = value.strip()
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigurationError(
                "the API key is empty or contains invalid characters; "
                "copy it again from your ModelsLab dashboard into MODELSLAB_API_KEY"
            )
        if value[0] in _QUOTES and value[0] == value[-1]:
            raise ConfigurationError(
                "the API key is in quotes, which `docker run --env-file`, for example, does not "
                "strip; set MODELSLAB_API_KEY without quotes"
            )
        self._value = value
        self._forms = Forms(_forms(value))

    def with_key(self, rest: bytes) -> bytes:
        """Return a JSON object: the key first, then the members of ``rest``, an encoded object."""
        head = b'{"key":' + json.dumps(self._value).encode("ascii")
        return head + (b"}" if rest == b"{}" else b"," + rest[1:])

    def keyed_size(self, rest: bytes) -> int:
        """Return the length of `with_key` in bytes."""
        return len(self.with_key(b"{}")) + (0 if rest == b"{}" else len(rest) - 1)

    def redact(self, data: bytes) -> bytes:
        """Return the bytes without the key, also if it is escaped or truncated."""
        return without(data, self._forms)

    @property
    def fingerprint(self) -> str:
        """A one-way hash that identifies the key."""
        return hashlib.sha256(b"modelslab_async account " + self._value.encode()).hexdigest()[:16]

    def salted_fingerprint(self, salt: bytes) -> str:
        """Return a salted hash of the key that is safe to keep on disk. Blocking: milliseconds.

        It is slow and truncated, so it neither reveals a key nor confirms a guess.
        """
        derived = hashlib.pbkdf2_hmac("sha256", self._value.encode(), salt, _ROUNDS)
        return derived[:_KEPT_BYTES].hex()

    @property
    def hint(self) -> str:
        """The last four characters, to tell several keys apart; ``***`` for a short key."""
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
        raise TypeError("an API key cannot be pickled; set it in each process's environment")


def _forms(value: str) -> Iterator[tuple[bytes, int]]:
    """Yield every encoding in which a server may return the key, except for escapes.

    Each comes with the number of its bytes that leaks a piece of the key.
    """
    raw = value.encode("ascii")
    yield from ((raw, PIECE), (raw[::-1], PIECE), (raw.hex().encode(), 2 * PIECE))
    yield from ((value.encode(code), 2 * PIECE) for code in ("utf-16-le", "utf-16-be"))
    yield from ((form, PIECE * 4 // 3) for form in _base64_forms(raw))


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """Yield the part of the key's base64 text that does not depend on its neighbours."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        # The characters at both ends also encode bits of the neighbours, or are padding.
        core = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))
