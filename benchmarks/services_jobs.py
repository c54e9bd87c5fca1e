"""The jobs that every peer is given, and what came of each. Pure: nothing here waits or connects.

How long a job takes and what it makes follow from its number alone, which is the last word of its
prompt, so that all peers have the same work, and a driver can check every byte they saved.
"""

from __future__ import annotations

import heapq
import random
import struct
from collections.abc import Sequence
from functools import cache

from attrs import define, field, frozen

SEED = 30
TRACK_BYTES = 640_000
_RATE, _FRAME = 32_000, 4
_HEADER_BYTES = 44
_SHIFT = 997 * _FRAME


@frozen
class Pace:
    """How long jobs take: ``mean`` seconds, up to ``spread`` more or less."""

    mean: float = 1.5
    spread: float = 0.3

    def seconds(self, number: int) -> float:
        draw = random.Random(SEED * 1_000_003 + number)
        return draw.uniform(self.mean - self.spread, self.mean + self.spread)


@frozen
class Track:
    """The .wav file of one job, in pieces: the same noise for all, turned by the job's number."""

    number: int

    def pieces(self) -> tuple[bytes, memoryview, memoryview]:
        noise = memoryview(_noise())
        start = self.number * _SHIFT % len(noise)
        return _header(len(noise)), noise[start:], noise[:start]

    def whole(self) -> bytes:
        return b"".join(self.pieces())


@cache
def _noise() -> bytes:
    return random.Random(SEED).randbytes(TRACK_BYTES - _HEADER_BYTES)


@cache
def _header(size: int) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, _RATE, _RATE * _FRAME, _FRAME, 16)
    riff = struct.pack("<4sI4s", b"RIFF", size + _HEADER_BYTES - 8, b"WAVE")
    return riff + form + struct.pack("<4sI", b"data", size)


def list_schedule(seconds: Sequence[float], at_once: int) -> float:
    """When all are done, if a place that gets free is taken at once by the next."""
    places = [0.0] * at_once
    for one in seconds:
        heapq.heapreplace(places, places[0] + one)
    return max(places)


@define
class Job:
    """One job at the server. Times are those of its event loop."""

    number: int
    submitted: float
    started: float
    finished: float
    told: float | None = None


@define
class Works:
    """All jobs: accepted as long as the queue has room, and made in order by the workers.

    Attributes:
        pace: how long they take.
        queue: unfinished jobs that are accepted at most; 0 for any number.
        workers: how many are made at once; 0 for all.
    """

    pace: Pace
    queue: int = 0
    workers: int = 0
    jobs: list[Job] = field(factory=list)
    _unfinished: list[float] = field(factory=list)
    _free: list[float] = field(factory=list)

    def accept(self, number: int, now: float) -> Job | None:
        """The job, whose end is known from the beginning; ``None``: the queue is full."""
        while self._unfinished and self._unfinished[0] <= now:
            heapq.heappop(self._unfinished)
        if self.queue and len(self._unfinished) >= self.queue:
            return None
        started = self._start(now)
        job = Job(number, now, started, started + self.pace.seconds(number))
        heapq.heappush(self._unfinished, job.finished)
        if self.workers:
            heapq.heappush(self._free, job.finished)
        self.jobs.append(job)
        return job

    def _start(self, now: float) -> float:
        if not self.workers or len(self._free) < self.workers:
            return now
        return max(now, heapq.heappop(self._free))
