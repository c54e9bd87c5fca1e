"""Render a prompt as stereo samples. Pure: the same arguments give the same samples.

`score.plan` chooses the song and `arrange` returns its notes. The notes of eight bars are mixed
once into a loop, which is repeated to the requested duration: copying a loop is much cheaper than
synthesis.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .arrange import BARS, STEPS_PER_BEAT, arrange, step_seconds
from .score import Song, plan

Samples = NDArray[np.float32]

_PEAK = 28800  # of 32767: -1.1 dBFS
_FADE_IN, _FADE_OUT = 0.003, 0.4  # seconds
_RELEASE = 0.012  # seconds; a note that ends at once clicks
_LONGEST_NOTE = 2.0  # seconds
_TABLE = 2048  # samples in one period of a voice

# Strengths of the harmonics from the fundamental up; decay per second; attack in seconds.
_VOICES: dict[str, tuple[tuple[float, ...], float, float]] = {
    "piano": ((1, 0.5, 0.3, 0.15, 0.08), 3.0, 0.003),
    "epiano": ((1, 0.1, 0.02, 0.3), 2.2, 0.004),
    "guitar": ((1, 0.7, 0.5, 0.35, 0.2, 0.1), 4.0, 0.002),
    "harp": ((1, 0.4, 0.2, 0.1), 3.5, 0.002),
    "marimba": ((1, 0, 0, 0.35), 8.0, 0.002),
    "bell": ((1, 0, 0.6, 0, 0.4, 0, 0, 0.3), 1.8, 0.002),
    "organ": ((1, 0.8, 0.6, 0.5, 0.3, 0.3), 0.2, 0.01),
    "strings": ((1, 0.6, 0.45, 0.3, 0.2, 0.12), 0.4, 0.08),
    "violin": ((1, 0.7, 0.5, 0.5, 0.3, 0.2, 0.1), 0.4, 0.05),
    "choir": ((1, 0.5, 0.15, 0.1), 0.3, 0.12),
    "flute": ((1, 0.2, 0.05), 0.4, 0.05),
    "brass": ((0.8, 1, 0.8, 0.6, 0.4, 0.25), 0.8, 0.04),
    "lead": ((1, 0.5, 0.33, 0.25, 0.2, 0.17, 0.14), 0.8, 0.006),
    "synth": ((1, 0, 0.33, 0, 0.2, 0, 0.14), 1.5, 0.006),
    "distorted": ((1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3), 1.2, 0.003),
    "sitar": ((0.6, 0.8, 1, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3), 3.0, 0.002),
    "bass": ((1, 0.5, 0.2, 0.1), 2.5, 0.004),
    "synth bass": ((1, 0.6, 0.4, 0.3, 0.2), 2.0, 0.004),
}
# Hertz at the start and the end of the stroke; share of noise; decay per second.
_DRUMS = {
    "kick": (160.0, 45.0, 0.02, 14.0),
    "tom": (180.0, 90.0, 0.05, 12.0),
    "snare": (220.0, 180.0, 0.7, 22.0),
    "rim": (800.0, 700.0, 0.3, 60.0),
    "hat": (0.0, 0.0, 1.0, 70.0),
}
_DRUM_SECONDS = 0.25


def render(prompt: str, *, seconds: float, sample_rate: int = 32000, seed: int = 0) -> bytes:
    """Return a WAV file (PCM16, stereo) of exactly ``round(seconds * sample_rate)`` frames.

    ``seconds`` is 0 to 480, ``sample_rate`` 5000 to 192000 per second. A different prompt or seed
    gives different music. The peak is -12 to -1 dBFS; the file begins and ends in silence.

    Raises:
        ValueError: ``seconds`` or ``sample_rate`` is outside those bounds.
    """
    if not 0 <= seconds <= 480:
        raise ValueError(f"seconds must be 0..480, not {seconds!r}")
    if not 5000 <= sample_rate <= 192000:
        raise ValueError(f"sample_rate must be 5000..192000, not {sample_rate!r}")
    samples = _track(plan(prompt, seed), round(seconds * sample_rate), sample_rate)
    return wav_file([samples.tobytes()], len(samples), sample_rate)


def wav_file(chunks: Iterable[bytes], frames: int, sample_rate: int) -> bytes:
    """Return PCM16 stereo samples with the canonical 44-byte header."""
    form = struct.pack("<HHIIHH", 1, 2, sample_rate, 4 * sample_rate, 4, 16)
    head = struct.pack(
        "<4sI4s4sI16s4sI",
        b"RIFF", 36 + 4 * frames, b"WAVE", b"fmt ", 16, form, b"data", 4 * frames,
    )  # fmt: skip
    return b"".join([head, *chunks])


def _track(song: Song, frames: int, rate: int) -> NDArray[np.int16]:
    """Return int16 samples of shape (frames, 2)."""
    loop = _loop(song, rate, frames)
    peak = float(np.abs(loop).max(initial=0.0))
    pcm = (loop * (_PEAK / max(peak, 1e-9))).astype("<i2")
    track = np.tile(pcm, (-(-frames // max(1, len(pcm))), 1))[:frames]
    for part, seconds in ((track, _FADE_IN), (track[::-1], _FADE_OUT)):
        count = min(frames // 2, round(seconds * rate))
        part[:count] = part[:count] * np.linspace(0, 1, count, dtype="f4")[:, None]
    return track


def _loop(song: Song, rate: int, needed: int) -> Samples:
    """Return a loop of as many bars as needed; notes past its end continue at its start."""
    bar_steps = STEPS_PER_BEAT * song.beats_per_bar
    bar = step_seconds(song, bar_steps) * rate
    bars = max(1, min(BARS, -(-needed // max(1, int(bar)))))
    length = round(bars * bar)
    mix = np.zeros((length + round((_LONGEST_NOTE + _DRUM_SECONDS) * rate), 2), "f4")
    step = 60 / song.bpm / STEPS_PER_BEAT
    for note in arrange(song):
        if note.step >= bars * bar_steps:
            break
        held = min(_LONGEST_NOTE, note.held * step)
        sound = (
            _tone(note.voice, note.pitch, round(held * rate), rate)
            if note.pitch
            else _stroke(note.voice, rate)
        )
        start = round(step_seconds(song, note.step) * rate)
        place = mix[start : start + len(sound)]
        place[:, 0] += sound * (note.level * (1 - max(0.0, note.pan)))
        place[:, 1] += sound * (note.level * (1 + min(0.0, note.pan)))
    loop, ringing = mix[:length], mix[length:]
    for start in range(0, len(ringing), length):
        part = ringing[start : start + length]
        loop[: len(part)] += part
    return loop


@lru_cache(maxsize=128)
def _tone(voice: str, pitch: int, frames: int, rate: int) -> Samples:
    """Return one note: the period of the voice at the note's pitch, with its envelope."""
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    _, decay, attack = _VOICES[voice]
    phase = (np.arange(frames) * (hertz * _TABLE / rate)).astype("i4") & (_TABLE - 1)
    time = np.arange(frames, dtype="f4") / rate
    envelope = np.exp(-decay * time) * np.minimum(1, time / attack)
    envelope *= np.minimum(1, time[::-1] / _RELEASE)
    period = _period(voice, min(len(_VOICES[voice][0]), int(rate / 2 / hertz)))
    return np.asarray(period[phase] * envelope, "f4")


@lru_cache
def _period(voice: str, harmonics: int) -> Samples:
    """Return one period of a voice with peak 1; harmonics are below half the sample rate."""
    angle = np.linspace(0, 2 * np.pi, _TABLE, endpoint=False, dtype="f4")
    strengths = _VOICES[voice][0][: max(1, harmonics)]
    period = sum(s * np.sin(n * angle) for n, s in enumerate(strengths, 1))
    return np.asarray(period / np.abs(period).max(), "f4")


@lru_cache(maxsize=32)
def _stroke(drum: str, rate: int) -> Samples:
    start, end, noise, decay = _DRUMS[drum]
    time = np.arange(round(_DRUM_SECONDS * rate), dtype="f4") / rate
    sweep = end * time + (start - end) * (1 - np.exp(-30 * time)) / 30
    dice = np.random.default_rng(len(drum) * 256 + ord(drum[0]))
    sound = (1 - noise) * np.sin(2 * np.pi * sweep) + noise * dice.uniform(-1, 1, len(time))
    return np.asarray(sound * np.exp(-decay * time) * np.minimum(1, time[::-1] / _RELEASE), "f4")
