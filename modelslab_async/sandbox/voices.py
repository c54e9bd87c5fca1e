"""Synthesise single notes and drum strokes. Nothing here waits, reads a clock or shares randomness.

A note is one or two parts. A part is one short cycle of a waveform, a whole number of periods long,
repeated under an envelope that is straight within each repetition: the cycle costs a Python loop,
each repetition only a few products of whole numbers (see `lanes`).
"""

from __future__ import annotations

import math
import struct
from array import array
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from attrs import field, frozen

from .drums import STROKES
from .lanes import from_biased

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_RING = 1.3
"""Seconds a struck note may ring at the longest; an ending leaves at least this much room."""

_CACHE_BYTES = 42 << 20
_MIDDLE_C = 261.63


@frozen
class Part:
    """One layer of a voice: partials as (ratio, amplitude), times in seconds, detune in cents."""

    partials: tuple[tuple[float, float], ...]
    share: float = 1.0
    decay: float = 0.4
    cents: float = 0.0
    attack: float = 0.004


@frozen
class Voice:
    """An instrument. A sustained one lasts as long as it is held, a struck one rings out alone."""

    parts: tuple[Part, ...]
    sustained: bool = False
    attack: float = 0.0
    release: float = 0.12
    tremolo: float = 0.0
    ring: float = 1.1


def _harmonics(*amplitudes: float) -> tuple[tuple[float, float], ...]:
    return tuple((float(n), a) for n, a in enumerate(amplitudes, 1) if a)


def _saw(count: int, slope: float = 1.0) -> tuple[tuple[float, float], ...]:
    return tuple((float(n), n**-slope) for n in range(1, count + 1))


def _odd(count: int, slope: float = 1.0) -> tuple[tuple[float, float], ...]:
    return tuple((float(n), n**-slope) for n in range(1, 2 * count, 2))


def _chorus(partials: tuple[tuple[float, float], ...], cents: float) -> tuple[Part, ...]:
    return (Part(partials, 0.5, cents=-cents), Part(partials, 0.5, cents=cents))


def _struck(body: Part, bright: Part, ring: float = 1.1) -> Voice:
    return Voice((body, bright), ring=ring)


VOICES: dict[str, Voice] = {
    "piano": _struck(
        Part(_harmonics(1, 0.4, 0.2, 0.08), 0.66, 0.42),
        Part(((2, 0.4), (3, 0.5), (4, 0.4), (5, 0.35), (6.02, 0.22), (7.03, 0.15)), 0.34, 0.13),
    ),
    "epiano": _struck(
        Part(_harmonics(1, 0.18, 0.05), 0.74, 0.5, cents=2),
        Part(((2, 0.3), (7, 0.5), (14, 0.2)), 0.26, 0.12),
    ),
    "guitar": _struck(
        Part(_harmonics(1, 0.6, 0.35, 0.1, 0.05), 0.6, 0.34, attack=0.002),
        Part(_harmonics(0.2, 0.6, 0.6, 0.5, 0.4, 0.3, 0.25, 0.15), 0.4, 0.1, attack=0.002),
    ),
    "distorted": Voice(_chorus((*_odd(8, 0.8), (2.0, 0.5), (4.0, 0.3)), 5), sustained=True),
    "sitar": _struck(
        Part(_harmonics(1, 0.5, 0.5, 0.3), 0.5, 0.5, attack=0.002),
        Part(_harmonics(0, 0.3, 0.4, 0.6, 0.7, 0.7, 0.6, 0.5, 0.35, 0.25), 0.5, 0.26, cents=3),
        1.3,
    ),
    "harp": _struck(
        Part(_harmonics(1, 0.35, 0.12), 0.8, 0.4, attack=0.003),
        Part(_harmonics(0, 0.5, 0.5, 0.3, 0.15), 0.2, 0.12, attack=0.002),
    ),
    "marimba": _struck(
        Part(_harmonics(1), 0.75, 0.22, attack=0.003),
        Part(((3.93, 1), (9.2, 0.25)), 0.25, 0.05),
        0.6,
    ),
    "bell": _struck(
        Part(((1, 1), (2, 0.35), (2.76, 0.25)), 0.72, 0.5, attack=0.003),
        Part(((3, 0.4), (5.4, 0.5), (8.93, 0.2)), 0.28, 0.18, attack=0.002),
        1.3,
    ),
    "bass": _struck(
        Part(_harmonics(1, 0.55, 0.3, 0.15), 0.75, 0.34),
        Part(_harmonics(0, 0.4, 0.6, 0.5, 0.3, 0.2), 0.25, 0.09),
        0.9,
    ),
    "synth bass": _struck(
        Part(_saw(5, 1.2), 0.62, 0.26), Part(_saw(12, 0.8), 0.38, 0.08, cents=4), 0.8
    ),
    "organ": Voice(
        (
            Part(_harmonics(1, 0.7, 0.4, 0.3, 0, 0.2, 0, 0.2), 0.6),
            Part(_harmonics(1, 0.5), 0.4, cents=5),
        ),
        sustained=True,
        attack=0.012,
        tremolo=0.08,
    ),
    "strings": Voice(_chorus(_saw(9, 1.25), 6), sustained=True, attack=0.16, release=0.35),
    "choir": Voice(
        _chorus(_harmonics(1, 0.55, 0.3, 0.1, 0.04), 7), sustained=True, attack=0.24, release=0.45
    ),
    "flute": Voice(
        (Part(_harmonics(1, 0.3, 0.1, 0.03), 0.75), Part(_harmonics(1, 0.2, 0.05), 0.25, cents=8)),
        sustained=True,
        attack=0.05,
        tremolo=0.12,
    ),
    "brass": Voice(_chorus(_saw(10, 0.9), 4), sustained=True, attack=0.06, release=0.14),
    "violin": Voice(
        _chorus(_saw(10, 1.05), 4), sustained=True, attack=0.07, release=0.16, tremolo=0.1
    ),
    "synth": Voice(_chorus(_saw(8, 1.1), 8), sustained=True, attack=0.01, release=0.16),
    "lead": Voice(
        _chorus(_odd(6, 1.2), 5), sustained=True, attack=0.012, release=0.12, tremolo=0.1
    ),
}


class NoteCache:
    """Notes by what made them, the least recently used dropped first, bounded in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._notes: OrderedDict[tuple[object, ...], tuple[int, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[object, ...], make: Callable[[], int]) -> int:
        with self._lock:
            if key in self._notes:
                self._notes.move_to_end(key)
                return self._notes[key][0]
        note = make()
        self._keep(key, note)
        return note

    def _keep(self, key: tuple[object, ...], note: int) -> None:
        cost = note.__sizeof__()
        with self._lock:
            if key in self._notes or cost > self._limit // 4:
                return
            self._notes[key] = (note, cost)
            self._size += cost
            while self._size > self._limit:
                self._size -= self._notes.popitem(last=False)[1][1]

    @property
    def size(self) -> int:
        """Bytes the kept notes hold."""
        return self._size


CACHE = NoteCache(_CACHE_BYTES)


@frozen
class Tone:
    """What a note is made from: voice name, MIDI pitch, seconds held, peak level, samples/s."""

    voice: str
    pitch: int
    held: float
    level: int
    rate: int = field(kw_only=True)


def note(voice: str, pitch: int, held: float, level: int, rate: int) -> int:
    """The sound of one note, peak about `level`; `held` is rounded so that notes can be shared."""
    if voice in STROKES:
        return CACHE.get((voice, level, rate), lambda: _stroke(voice, level, rate))
    tone = Tone(voice, pitch, _shared_length(voice, held), level, rate=rate)
    return CACHE.get((voice, pitch, tone.held, level, rate), lambda: _tone(tone))


def _stroke(name: str, level: int, rate: int) -> int:
    samples = STROKES[name](rate)
    return from_biased(
        struct.pack(f"<{len(samples)}H", *[int(level * s + 32768.5) for s in samples])
    )


def _shared_length(voice: str, held: float) -> float:
    if not VOICES[voice].sustained:
        return 0.0
    slow = VOICES[voice].attack > 0.1
    lengths = (0.6, 1.0, 1.7) if slow else (0.16, 0.3, 0.55, 1.0, 1.7)
    return min(lengths, key=lambda known: abs(known - held))


def _tone(tone: Tone) -> int:
    return sum(_part(part, tone) for part in VOICES[tone.voice].parts)


def _part(part: Part, tone: Tone) -> int:
    pitch = 440.0 * 2 ** ((tone.pitch - 69 + part.cents / 100) / 12)
    length, periods = _cycle_length(pitch, tone.rate)
    cycle = _cycle(part.partials, length, periods)
    if not cycle:
        return 0
    block = length / tone.rate
    voice = VOICES[tone.voice]
    gains = (
        _held(voice, tone.held, block) if voice.sustained else _ringing(voice, part, pitch, block)
    )
    peak = 2 * tone.level * part.share
    onset = min(length, max(1, round(part.attack * tone.rate)))
    return _repeated(cycle, [round(peak * gain) for gain in gains], onset)


def _cycle_length(pitch: float, rate: int) -> tuple[int, int]:
    """(samples, periods) of 9 to 17 ms, the pair nearest to the pitch."""
    period = rate / pitch
    shortest, longest = 0.009 * rate / period, 0.017 * rate / period
    fewest = max(1, math.ceil(shortest))
    counts = range(fewest, max(fewest, math.floor(longest)) + 1)
    periods = min(counts, key=lambda n: abs(round(n * period) / (n * period) - 1))
    return max(2, round(periods * period)), periods


def _cycle(partials: Sequence[tuple[float, float]], length: int, periods: int) -> list[int]:
    """One cycle with a peak of 32767; partials the rate cannot carry are left out."""
    sine = [math.sin(2 * math.pi * i / length) for i in range(length)]
    wave: list[float] = []
    for ratio, amplitude in partials:
        turns = round(ratio * periods)
        if 2.2 * turns < length:
            partial = (sine * turns)[::turns]
            wave = [w + amplitude * s for w, s in zip(wave or [0.0] * length, partial, strict=True)]
    scale = 32767 / max(map(abs, wave), default=1.0)
    return [int(scale * sample) for sample in wave]


def _ringing(voice: Voice, part: Part, pitch: float, block: float) -> list[float]:
    height = min(1.4, max(0.45, math.sqrt(_MIDDLE_C / pitch)))
    total = min(MAX_RING, voice.ring * height)
    fall = part.decay * height
    count = max(2, math.floor(total / block))
    gains = [math.exp(-block * i / fall) for i in range(count)]
    return [g * min(1.0, (count - i) / (0.25 * count)) for i, g in enumerate(gains)] + [0.0]


def _held(voice: Voice, held: float, block: float) -> list[float]:
    count = max(2, math.ceil((held + voice.release) / block))
    times = [block * i for i in range(count)]
    return [_held_gain(voice, held, time) for time in times] + [0.0]


def _held_gain(voice: Voice, held: float, time: float) -> float:
    rise = min(1.0, time / voice.attack) if voice.attack > 0.03 else 1.0
    fall = 1.0 if time <= held else max(0.0, 1 - (time - held) / voice.release)
    sway = 1 - voice.tremolo * (0.5 - 0.5 * math.cos(2 * math.pi * 5.2 * time))
    return rise * fall * fall * sway


def _repeated(cycle: list[int], gains: list[int], onset: int) -> int:
    """The cycle once per gain but the last, sliding straight from each gain to the next."""
    length = len(cycle)
    steady = _wide(cycle)
    sliding = _wide([sample * i // length for i, sample in enumerate(cycle)])
    opening = [sample * i // onset for i, sample in enumerate(cycle[:onset])]
    first = _wide(opening + cycle[onset:])
    centre = int.from_bytes(b"\x00\x80\x00\x80" * length, "little")
    blocks = []
    for index, gain in enumerate(gains[:-1]):
        block = (steady if index else first) * gain + sliding * (gains[index + 1] - gain) + centre
        blocks.append(block.to_bytes(4 * length, "little"))
    halves = array("H", b"".join(blocks))
    return from_biased(halves[1::2].tobytes())


def _wide(samples: list[int]) -> int:
    """Samples as signed lanes of 32 bits, so that a 16-bit gain fits above them."""
    lanes = struct.pack(f"<{len(samples)}I", *[sample + 32768 for sample in samples])
    return int.from_bytes(lanes, "little") - int.from_bytes(
        b"\x00\x80\0\0" * len(samples), "little"
    )
