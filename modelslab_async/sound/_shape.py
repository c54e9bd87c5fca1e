"""Bring samples to a length, a loudness and a rate: pure functions of NumPy arrays of floats.

Only the gain of a whole file is changed, never its dynamics: where the peak limit allows less gain
than the loudness asks for, the file stays quieter, and that is said.
"""

from __future__ import annotations

import math
from typing import Any, Final

from attrs import frozen

from ._check import loudness_of
from ._libraries import Libraries

_QUIET: Final = 0.001  # -60 dBFS
_MARGIN: Final = 0.02  # seconds that trimming leaves before and after the sound
_OPUS_RATES: Final = (8000, 12000, 16000, 24000, 48000)
_MP3_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


@frozen(kw_only=True)
class Shape:
    """What becomes of a sound.

    Attributes:
        lufs: integrated loudness to reach; ``None``: as it is.
        peak: the highest true peak, in dB, of a sound whose loudness is changed.
        trim: cut silence (below -60 dBFS) off both ends.
        fade: seconds over which the end fades out; 0: none.
        loop: seconds of the end that are mixed into the beginning, so that it can be repeated
            without a seam; 0: none.
    """

    lufs: float | None = None
    peak: float = -1.0
    trim: bool = False
    fade: float = 0.0
    loop: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.lufs is not None or self.trim or self.fade > 0 or self.loop > 0


def shaped(samples: Any, rate: int, shape: Shape, library: Libraries) -> tuple[Any, str]:
    """The samples, trimmed, looped and faded; and what could not be done.

    Args:
        samples: floats, one row per frame.
    """
    notes = []
    if shape.trim:
        samples = _trimmed(samples, rate, library)
    if shape.loop:
        count = round(shape.loop * rate)
        if len(samples) < 2 * count:
            notes.append(f"no loop: it is shorter than twice {shape.loop:g} s")
        else:
            samples = _looped(samples, count, library)
    if shape.fade:
        count = min(round(shape.fade * rate), len(samples))
        ramp = library.numpy.linspace(1.0, 0.0, count, dtype="float32")[:, None]
        samples = library.numpy.concatenate(
            [samples[: len(samples) - count], samples[-count:] * ramp]
        )
    return samples, "; ".join(notes)


def _trimmed(samples: Any, rate: int, library: Libraries) -> Any:
    loud = library.numpy.flatnonzero(library.numpy.abs(samples).max(axis=1) >= _QUIET)
    if not len(loud):
        return samples
    margin = round(_MARGIN * rate)
    return samples[max(int(loud[0]) - margin, 0) : int(loud[-1]) + 1 + margin]


def _looped(samples: Any, count: int, library: Libraries) -> Any:
    """Mix the end into the beginning, at equal power: the last frame leads on to the first."""
    angle = library.numpy.linspace(0.0, math.pi / 2, count, endpoint=False, dtype="float32")[
        :, None
    ]
    mixed = samples[:count] * library.numpy.sin(angle) + samples[-count:] * library.numpy.cos(angle)
    return library.numpy.concatenate([mixed, samples[count:-count]])


def gain_of(samples: Any, rate: int, shape: Shape, library: Libraries) -> tuple[float, str]:
    """The gain in dB that brings samples to the loudness, and why that is not all that is asked."""
    if shape.lufs is None:
        return 0.0, ""
    now = loudness_of(samples, rate, library)
    if now is None:
        return 0.0, "loudness unchanged: it is silent, or shorter than 0.4 s"
    wanted = shape.lufs - now
    most = shape.peak - true_peak(samples, rate, library)
    if wanted <= most:
        return wanted, ""
    if wanted - most < 0.1:
        return most, ""
    return most, f"{shape.lufs - now - most:.1f} dB below {shape.lufs:g} LUFS, for its peak"


def true_peak(samples: Any, rate: int, library: Libraries) -> float:
    """The true peak in dB (ITU-R BS.1770, four times oversampled)."""
    between = library.soxr.resample(samples, rate, 4 * rate)
    highest = max(
        float(library.numpy.abs(samples).max(initial=0.0)),
        float(library.numpy.abs(between).max(initial=0.0)),
    )
    return 20 * math.log10(highest) if highest else -math.inf


def at_rate(samples: Any, rate: int, form: str, library: Libraries) -> tuple[Any, int]:
    """The samples at a rate that a format can have, and the rate."""
    if form == "opus" and rate not in _OPUS_RATES:
        return library.soxr.resample(samples, rate, 48000), 48000
    if form == "mp3" and rate not in _MP3_RATES:
        return library.soxr.resample(samples, rate, 44100), 44100
    return samples, rate
