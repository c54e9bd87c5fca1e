"""Sign copies with the user's certificate: a C2PA manifest that says that a model made the sound.

Nothing is asked of a time stamp server, so no connection is opened. Whether anyone trusts the
signature depends on the certificate alone.

Source: C2PA 2.2, actions ``c2pa.created`` and ``c2pa.opened``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from .._protocol.marks import AI_SOURCE, Provenance, title_of
from ..errors import ConfigurationError

_KINDS: Final = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}
_ALGORITHMS: Final = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
_MOST: Final = 1024 * 1024
_PARENT: Final = "parent"


class Signer:
    """Signs files with a certificate.

    Args:
        certificate: a PEM file with the chain: the signer's certificate first.
        key: a PEM file with its private key, without a passphrase (PKCS #8).

    Attributes:
        fingerprint: of the certificates.

    Raises:
        ConfigurationError: the extra ``c2pa`` is not installed, or the files cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        try:
            import c2pa
        except (ImportError, OSError):
            raise ConfigurationError(
                "signing needs the extra c2pa: pip install 'modelslab-async[c2pa]'"
            ) from None
        self._c2pa: ModuleType = c2pa
        chain = _read(certificate)
        self.fingerprint = hashlib.sha256(chain).hexdigest()[:16]
        self._signer = self._opened(chain, _read(key), certificate, key)

    def _opened(self, chain: bytes, secret: bytes, certificate: Path, key: Path) -> Any:
        """A signer for whichever algorithm the key is of."""
        reason = ""
        for name in _ALGORITHMS:
            try:
                info = self._c2pa.C2paSignerInfo(name.encode(), chain, secret, None)
                return self._c2pa.Signer.from_info(info)
            except self._c2pa.C2paError as error:
                reason = reason or f"{error}"[:200]
        raise ConfigurationError(f"{certificate} and {key} cannot sign: {reason}")

    def sign(
        self, path: Path, target: Path, form: str, about: Provenance, parent: Path | None
    ) -> str:
        """Sign a file; return why that is not done.

        Args:
            path: the file to sign.
            target: the signed file; written only if nothing is returned.
            form: its format.
            about: what is known of it.
            parent: the original, if it has a manifest, which then goes into the new one.
        """
        kind = _KINDS.get(form)
        if kind is None:
            return f"{form} files cannot hold a C2PA manifest"
        actions = [{"action": "c2pa.created", "digitalSourceType": AI_SOURCE}]
        if parent is not None:
            opened: dict[str, Any] = {"parameters": {"ingredientIds": [_PARENT]}}
            actions = [{"action": "c2pa.opened", **opened}, {"action": "c2pa.edited"}]
        manifest = {
            "claim_generator_info": [{"name": "modelslab-async"}],
            "title": title_of(about) or path.name,
            "format": kind,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        }
        try:
            builder = self._c2pa.Builder(json.dumps(manifest))
            if parent is not None:
                suffix = parent.suffix.lower().removeprefix(".")
                ingredient = {
                    "title": parent.name,
                    "relationship": "parentOf",
                    "instance_id": _PARENT,
                    "label": _PARENT,
                }
                with parent.open("rb") as original:
                    builder.add_ingredient(json.dumps(ingredient), _KINDS[suffix], original)
            with path.open("rb") as source, target.open("w+b") as signed:
                builder.sign(self._signer, kind, source, signed)
        except self._c2pa.C2paError as error:
            return f"{error}"[:300] or "the signature could not be made"
        return ""


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if b"-----BEGIN" not in data:
        raise ConfigurationError(f"{path} is no PEM file: it has no line -----BEGIN ...")
    return data
