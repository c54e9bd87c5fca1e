"""A client whose waits fit a test: the same decisions as in production, on a shorter scale.

Its limits are those of production, or a busy machine would reach one before what is to be shown.
Where it is shown what comes after a limit, the test shortens that one.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from typing import Any

from attrs import evolve

from modelslab_async import DownloadPolicy, ModelsLab, PollPolicy
from modelslab_async.sandbox import Sandbox

POLL = PollPolicy(first=0.02, min_interval=0.02, max_interval=0.1, rate=2000)
DOWNLOAD = DownloadPolicy(first_wait=0.02)
SOON_GIVEN_UP = evolve(DOWNLOAD, patience=0.3)


def client_of(box: Sandbox, **settings: Any) -> ModelsLab:
    """A client of this sandbox."""
    return ModelsLab(
        box.key,
        base_url=box.url,
        **{"poll": POLL, "download": DOWNLOAD, **settings},
    )


def free_port() -> int:
    """A port that nobody listens on now, and that the system gives to nobody who names none.

    From the range that it gives away, a suite beside this one could get the port meanwhile.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
