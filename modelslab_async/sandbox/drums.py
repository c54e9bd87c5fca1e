"""Shape drum strokes sample by sample, peak at most 1. Nothing here waits or reads a clock.

The noise comes from a generator seeded here, so that a stroke is the same in every process.
"""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _times(seconds: float, rate: int) -> list[float]:
    return [i / rate for i in range(max(2, int(seconds * rate)))]


def _settled(samples: list[float]) -> list[float]:
    """Peak 1 and a last stretch that fades to nothing, so that a stroke never ends in a click."""
    peak = max(max(map(abs, samples)), 1e-9)
    tail = max(1, len(samples) // 8)
    count = len(samples)
    return [s / peak * min(1.0, (count - i - 1) / tail) for i, s in enumerate(samples)]


def _noise(count: int, seed: int) -> list[float]:
    draw = Random(seed).random
    return [2 * draw() - 1 for _ in range(count)]


def _brightened(samples: list[float]) -> list[float]:
    """Differences of neighbours: the low end goes, the hiss stays."""
    return [a - b for a, b in zip(samples[1:], samples, strict=False)]


def _thump(
    rate: int, seconds: float, low: float, high: float, fall: float, bend: float
) -> list[float]:
    """A sine that drops from `high` to `low` Hz within about `bend` seconds."""
    turn = 2 * math.pi
    return [
        math.sin(turn * (low * t + (high - low) * bend * (1 - math.exp(-t / bend))))
        * math.exp(-t / fall)
        * min(1.0, t / 0.001)
        for t in _times(seconds, rate)
    ]


def _hiss(rate: int, seconds: float, fall: float, seed: int) -> list[float]:
    times = _times(seconds, rate)
    noise = _brightened(_noise(len(times) + 1, seed))
    return [n * math.exp(-t / fall) for n, t in zip(noise, times, strict=True)]


def _kick(rate: int) -> list[float]:
    return _settled(_thump(rate, 0.24, 46, 170, 0.085, 0.028))


def _snare(rate: int) -> list[float]:
    times = _times(0.2, rate)
    rattle = _noise(len(times), 11)
    shell = _thump(rate, 0.2, 175, 260, 0.05, 0.02)
    return _settled(
        [
            0.75 * s + 0.6 * n * math.exp(-t / 0.055)
            for s, n, t in zip(shell, rattle, times, strict=True)
        ]
    )


def _brush(rate: int) -> list[float]:
    times = _times(0.16, rate)
    swell = [min(1.0, t / 0.02) * math.exp(-t / 0.05) for t in times]
    return _settled([n * g for n, g in zip(_noise(len(times), 12), swell, strict=True)])


def _clap(rate: int) -> list[float]:
    times = _times(0.18, rate)
    bursts = [math.exp(-(t % 0.011) / 0.004) if t < 0.033 else math.exp(-t / 0.05) for t in times]
    return _settled([n * g for n, g in zip(_noise(len(times), 13), bursts, strict=True)])


def _hat(rate: int) -> list[float]:
    return _settled(_hiss(rate, 0.06, 0.016, 14))


def _open_hat(rate: int) -> list[float]:
    return _settled(_hiss(rate, 0.25, 0.08, 15))


def _crash(rate: int) -> list[float]:
    return _settled(_hiss(rate, 0.9, 0.28, 16))


def _ride(rate: int) -> list[float]:
    hiss = _hiss(rate, 0.3, 0.09, 17)
    ping = _thump(rate, 0.3, min(3150, rate / 3), min(3150, rate / 3), 0.09, 0.01)
    return _settled([0.5 * h + 0.35 * p for h, p in zip(hiss, ping, strict=True)])


def _shaker(rate: int) -> list[float]:
    times = _times(0.09, rate)
    noise = _brightened(_noise(len(times) + 1, 18))
    return _settled(
        [n * math.sin(math.pi * t / 0.09) ** 2 for n, t in zip(noise, times, strict=True)]
    )


def _rim(rate: int) -> list[float]:
    return _settled(_thump(rate, 0.06, min(820, rate / 3), min(1700, rate / 3), 0.014, 0.004))


def _tom(rate: int) -> list[float]:
    return _settled(_thump(rate, 0.32, 92, 150, 0.12, 0.05))


def _taiko(rate: int) -> list[float]:
    return _settled(_thump(rate, 0.6, 58, 110, 0.2, 0.04))


def _ge(rate: int) -> list[float]:
    """The left tabla drum, whose pitch is bent upwards by the heel of the hand."""
    return _settled(_thump(rate, 0.42, 128, 82, 0.15, 0.12))


def _na(rate: int) -> list[float]:
    """The right tabla drum, a clear tone with its own nearly harmonic overtones."""
    partials = ((311.0, 1.0), (622.0, 0.7), (940.0, 0.35))
    return _settled(
        [
            sum(a * math.sin(2 * math.pi * f * t) for f, a in partials if 2.2 * f < rate)
            * math.exp(-t / 0.1)
            for t in _times(0.34, rate)
        ]
    )


def _tick(rate: int) -> list[float]:
    return _settled(_thump(rate, 0.05, 420, 700, 0.012, 0.01))


STROKES: dict[str, Callable[[int], list[float]]] = {
    "kick": _kick,
    "snare": _snare,
    "brush": _brush,
    "clap": _clap,
    "hat": _hat,
    "open hat": _open_hat,
    "crash": _crash,
    "ride": _ride,
    "shaker": _shaker,
    "rim": _rim,
    "tom": _tom,
    "taiko": _taiko,
    "ge": _ge,
    "na": _na,
    "tick": _tick,
}
