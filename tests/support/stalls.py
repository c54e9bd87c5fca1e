"""Make every event loop late now and then, as on a machine that has much else to do.

``python -m pytest -p tests.support.stalls -m anyio``: one turn of a hundred comes up to 0.3 s late.
A test that passes only while nothing does, which fifty suites may not show, seldom gets through.
"""

from __future__ import annotations

import selectors
import time
from random import Random

SHARE = 0.01
LONGEST = 0.3

_random = Random()


class _Late(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if _random.random() < SHARE:
            time.sleep(_random.uniform(0, LONGEST))
        return super().select(timeout)


selectors.DefaultSelector = _Late  # type: ignore[misc]
