"""What every test may use: the asyncio backend, and how hard properties are tried."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# In the suite the same examples every time, and none is slow because the machine is busy.
# HYPOTHESIS_PROFILE=change is what each change must pass: the gate runs all properties with it;
# HYPOTHESIS_PROFILE=brief is for what the suite runs once more, in another way;
# HYPOTHESIS_PROFILE=nightly tries new ones each time: run it with --timeout 0.
_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", _CALM, max_examples=100, derandomize=True)
settings.register_profile("change", _CALM, max_examples=250, derandomize=True)
settings.register_profile("brief", _CALM, max_examples=25, derandomize=True)
settings.register_profile("nightly", _CALM, max_examples=20_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


# A shell lets what it starts in the background ignore Ctrl-C, and so would every command that a
# test starts, whatever is sent to it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are processors: tests that wait for a retry use none of them."""
    return 2 * (os.cpu_count() or 1)


_PROOFS = {"fuzz", "mutants", "security", "simulation"}


@pytest.hookimpl(tryfirst=True)  # before those that -m leaves out are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in the directories of the proofs."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in _PROOFS:
            item.add_marker("proof")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach a real account, or goes another way where the user has set proxies."""
    for name in list(os.environ):
        if name.startswith(("MODELSLAB_", "MODELS_LAB_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
