"""Certificates to sign with, made for one test."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest


def certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate, signed by one of its own, and its key."""
    pytest.importorskip("c2pa")
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = dt.datetime.now(dt.UTC)
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(subject: str, public: Any, *, is_root: bool) -> bytes:
        def named(name: str) -> Any:
            return x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name)])

        usage = dict.fromkeys(
            (
                *("content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "encipher_only", "decipher_only"),
            ),
            False,
        )
        usage |= {"digital_signature": True, "key_cert_sign": is_root, "crl_sign": is_root}
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("Root"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=30))
            .add_extension(x509.BasicConstraints(is_root, None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()),
                critical=False,
            )
        )
        if not is_root:
            purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        made: bytes = builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return made

    chain = certificate("Studio", leaf.public_key(), is_root=False)
    (folder / "cert.pem").write_bytes(chain + certificate("Root", root.public_key(), is_root=True))
    (folder / "key.pem").write_bytes(
        leaf.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"
