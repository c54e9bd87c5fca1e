"""Decide how many worthless requests an address may still make. Nothing here reads a clock."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict


class Buckets:
    """Each address has ``burst`` requests, and gets ``rate`` more in a second.

    It remembers the ``most`` addresses that came last. IPv6 addresses of one /64 are one: they are
    given out in such blocks.
    """

    def __init__(self, rate: float, burst: float, most: int = 10_000) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Whether one more is within the limit. ``now`` is in seconds, and never goes back."""
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
