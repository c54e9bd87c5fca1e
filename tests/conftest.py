"""What every test may use: the asyncio backend, a running sandbox, and a client that is quick."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach a real account: neither its key nor its origin is in the environment."""
    for name in ("MODELSLAB_API_KEY", "MODELS_LAB_API_KEY", "MODELSLAB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
