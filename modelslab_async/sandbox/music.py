"""Render a prompt as music: a whole WAV file from the standard library alone.

Nothing here waits, reads a clock or keeps anything between calls but finished notes (see `voices`).
`score.plan` decides what is played, `arrange` writes it out, `lanes` mixes it.
"""

from __future__ import annotations

import struct
from array import array

from attrs import define, field

from .arrange import Bar, Layer, arrange, ending, step_frames, swung
from .lanes import amplified, delayed, exceeds, interleaved, mixed, quieter, split
from .score import Song, plan
from .voices import MAX_RING, note

__all__ = ["Song", "plan", "render"]

CHANNELS = 2
_PEAK = 28800  # -1.1 dBFS
_MAX_GAIN = 7
_MIN_ENDING = MAX_RING + 0.6
_WIDTH = 0.011
_FADE_IN, _FADE_OUT = 0.003, 0.02

Stereo = tuple[int, int]


def render(prompt: str, *, seconds: float, sample_rate: int = 32000, seed: int = 0) -> bytes:
    """A RIFF/WAVE file (PCM16, stereo) of exactly `round(seconds * sample_rate)` frames.

    `seconds` is 0 to 480, `sample_rate` 5000 to 192000 samples per second. The same arguments give
    the same bytes in every process; another prompt or seed gives other music. The peak is between
    -12 and -1 dBFS, and the file begins and ends in silence.

    Raises:
        ValueError: when `seconds` or `sample_rate` is outside those bounds.
    """
    if not 0 <= seconds <= 480:
        raise ValueError(f"seconds must be 0..480, not {seconds!r}")
    if not 5000 <= sample_rate <= 192000:
        raise ValueError(f"sample_rate must be 5000..192000, not {sample_rate!r}")
    frames = round(seconds * sample_rate)
    chunks = _Mixer(plan(prompt, seed), sample_rate).chunks(frames)
    return b"".join([_header(frames, sample_rate), *chunks])


def _header(frames: int, sample_rate: int) -> bytes:
    width = 2 * CHANNELS
    size = frames * width
    form = struct.pack("<HHIIHH", 1, CHANNELS, sample_rate, sample_rate * width, width, 16)
    return struct.pack(
        "<4sI4s4sI16s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, form, b"data", size
    )


@define
class _Chunk:
    """A stretch of both channels in biased lanes, not yet amplified."""

    left: int
    right: int
    frames: int


@define
class _Mixer:
    """Turns the layers of one song into sound, each once."""

    song: Song
    rate: int
    _layers: dict[Layer, Stereo] = field(factory=dict)

    def chunks(self, frames: int) -> list[bytes | memoryview]:
        """PCM16 stereo, in order, `frames` frames in all."""
        if not frames:
            return []
        mixed_bars = self._bars(frames)
        different = {id(chunk): chunk for chunk in mixed_bars}
        gain = _gain(list(different.values()))
        loud = {key: self._pcm(chunk, gain) for key, chunk in different.items()}
        pieces = [loud[id(chunk)] for chunk in mixed_bars]
        pieces[0] = self._faded(pieces[0], round(_FADE_IN * self.rate), opening=True)
        pieces[-1] = self._faded(pieces[-1], round(_FADE_OUT * self.rate), opening=False)
        return [memoryview(piece).cast("B") for piece in pieces]

    def _bars(self, frames: int) -> list[_Chunk]:
        """Every bar with what still rings from the one before; the ending takes what is left."""
        steps = 4 * self.song.beats_per_bar
        length = round(steps * step_frames(self.song, self.rate))
        count = max(0, int((frames - _MIN_ENDING * self.rate) // length))
        bars = arrange(self.song, count)
        known: dict[tuple[Stereo, Bar], tuple[_Chunk, Stereo]] = {}
        chunks: list[_Chunk] = []
        ringing: Stereo = (0, 0)
        for bar in bars:
            if (ringing, bar) not in known:
                known[ringing, bar] = self._cut(bar, ringing, length)
            chunk, ringing = known[ringing, bar]
            chunks.append(chunk)
        left_over = frames - count * length
        room = int(
            (left_over / self.rate - MAX_RING) * self.rate / step_frames(self.song, self.rate)
        )
        last, _ = self._cut(ending(self.song, max(0, room)), ringing, left_over)
        return [*chunks, last]

    def _cut(self, bar: Bar, ringing: Stereo, length: int) -> tuple[_Chunk, Stereo]:
        sounds = [self._layer(layer) for layer in bar]
        left, left_tail = split(sum((s[0] for s in sounds), ringing[0]), length)
        right, right_tail = split(sum((s[1] for s in sounds), ringing[1]), length)
        return _Chunk(left, right, length), (left_tail, right_tail)

    def _layer(self, layer: Layer) -> Stereo:
        if layer not in self._layers:
            self._layers[layer] = self._placed(layer)
        return self._layers[layer]

    def _placed(self, layer: Layer) -> Stereo:
        step = step_frames(self.song, self.rate)
        sound = mixed(
            [
                (round(swung(self.song, n.step) * step),
                 note(n.voice, n.pitch, n.held * step / self.rate, n.level, self.rate))
                for n in layer.notes
            ]
        )  # fmt: skip
        if layer.echo:
            return self._echoing(sound)
        if layer.place == "center":
            return sound, sound
        late = delayed(sound, round(_WIDTH * self.rate))
        return (sound, late) if layer.place == "left" else (late, sound)

    def _echoing(self, sound: int) -> Stereo:
        """The line with an echo three sixteenths later on the left, six on the right."""
        step = step_frames(self.song, self.rate)
        faint = quieter(sound, 2)
        return sound + delayed(faint, round(3 * step)), sound + delayed(faint, round(6 * step))

    def _pcm(self, chunk: _Chunk, gain: int) -> array[int]:
        left = amplified(chunk.left, gain, chunk.frames)
        return interleaved(left, amplified(chunk.right, gain, chunk.frames))

    def _faded(self, piece: array[int], fade: int, *, opening: bool) -> array[int]:
        """A copy whose first or last `fade` frames rise from silence or sink into it."""
        count = CHANNELS * min(fade, len(piece) // CHANNELS)
        rise = [CHANNELS * (i // CHANNELS) / max(1, count) for i in range(count)]
        if opening:
            return (
                array("h", [int(s * g) for s, g in zip(piece, rise, strict=False)]) + piece[count:]
            )
        kept = len(piece) - count
        fall = [int(s * g) for s, g in zip(piece[kept:], reversed(rise), strict=True)]
        return piece[:kept] + array("h", fall)


def _gain(chunks: list[_Chunk]) -> int:
    """The greatest whole factor that keeps every sample below the peak."""
    gain = _MAX_GAIN
    for chunk in chunks:
        for channel in (chunk.left, chunk.right):
            while gain > 1 and exceeds(channel, _PEAK // gain, chunk.frames):
                gain -= 1
    return gain
