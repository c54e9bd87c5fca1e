"""What several of the security tests need."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .canary import Watch
from .hostile import Certificate


@pytest.fixture(scope="package")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Of api.test and cdn.test, signed by nobody; the stage trusts it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    return Certificate.made(tmp_path_factory.mktemp("tls") / "both.pem")


@pytest.fixture
def watch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Watch:
    """Of this test's folder and of what the process says."""
    return Watch([tmp_path], capfd)
