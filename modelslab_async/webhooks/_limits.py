"""Rate limits for forged requests, per address. Nothing here reads a clock."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict


class Buckets:
    """Token buckets: each address has ``burst`` requests, and gains ``rate`` per second.

    Only the ``most`` latest addresses are kept. All IPv6 addresses of one /64 share a bucket,
    because such blocks are assigned as a whole.
    """

    def __init__(self, rate: float, burst: float, most: int = 10_000) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Return whether one more request is within the limit. ``now``: monotonic seconds."""
        name = _block(address)
        left, then = self._left.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        fits = left >= 1
        self._left[name] = (left - 1 if fits else left, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return fits


def _block(address: str) -> str:
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
