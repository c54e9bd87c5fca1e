"""Give up a download that is too slow."""

from __future__ import annotations

from .._policy.download import AttemptFailure, DownloadPolicy, FailureKind, too_slow
from .aio import RunningClock
from .storage import Body, LinkFailed


class SpeedMonitor:
    """Abandons a link that is too slow, over the last ``timeout`` seconds or overall."""

    def __init__(self, policy: DownloadPolicy, size: int | None, clock: RunningClock) -> None:
        self._policy = policy
        self._size = size
        self._now = clock
        self._began = self._since = clock()
        self._bytes = self._received = 0

    async def watch(self, body: Body) -> bytes:
        data = await body.read(self._policy.timeout)
        self._bytes += len(data)
        self._received += len(data)
        elapsed = self._now() - self._since
        if elapsed >= self._policy.timeout:
            if self._bytes < self._policy.min_rate * elapsed:
                raise LinkFailed(
                    AttemptFailure(
                        FailureKind.SLOW, f"under {self._policy.min_rate:g} bytes/s (min_rate)"
                    )
                )
            self._since, self._bytes = self._now(), 0
        left = None if self._size is None else self._size - self._received
        slow = too_slow(self._received, left, self._now() - self._began, self._policy)
        if slow is not None and data:
            raise LinkFailed(AttemptFailure(FailureKind.SLOW, slow))
        return data
