"""Turn a song into notes. Pure; random choices use only the song's seed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .score import Song

BARS = 8
STEPS_PER_BEAT = 4

# One character per sixteenth: x is a hit, o a soft hit, a dot is a rest.
_BEATS: dict[str, dict[str, str]] = {
    "none": {},
    "rock": {"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    "metal": {"kick": "x.xxx.xxx.xxx.xx", "snare": "....x.......x...", "hat": "x...x...x...x..."},
    "jazz": {"hat": "x...x.o.x...x.o.", "rim": "....x.......x..."},
    "shuffle": {"kick": "x.......x.o.....", "snare": "....x.......x..o", "hat": "x.o.x.o.x.o.x.o."},
    "techno": {"kick": "x...x...x...x...", "hat": "..x...x...x...x.", "snare": "....o.......o..."},
    "lofi": {"kick": "x......x..x.....", "rim": "....x.......x...", "hat": "x.o.o.o.x.o.o.oo"},
    "pop": {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    "disco": {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "light": {"rim": "x...x...x...x...", "hat": "x.o.x.o.x.o.x.o."},
    "waltz": {"kick": "x...........", "hat": "....x...x..."},
    "tabla": {"tom": "x.....x...x.....", "rim": "..x.x...x..ox.x."},
    "bossa": {"kick": "x.....x.x.....x.", "rim": "x..x..x...x..x..", "hat": "xoxoxoxoxoxoxoxo"},
    "epic": {"kick": "x.....x.x..o..x.", "tom": "....o.......o.oo"},
    "reggae": {"kick": "........x.......", "rim": "........x.......", "hat": "..x...x...x...xo"},
}
_DRUM_LEVELS = {"kick": 0.5, "snare": 0.32, "tom": 0.4, "rim": 0.22, "hat": 0.12}
_COMPING = {
    "eighths": "x.x.x.x.x.x.x.x.",
    "charleston": "x.....x.........",
    "offbeats": "..x...x...x...x.",
    "stabs": "x..x..x...x..x..",
    "pad": "x.......x.......",
    "waltz": "....x...x...",
    "strum": "x...x.x...x.x.x.",
    "drone": "x...............",
    "bossa": "x..x..x....x..x.",
    "skank": "....x.......x...",
    "quarters": "x...x...x...x...",
}
# A digit is a degree of the chord's scale, 8 its octave.
_BASSLINES = {
    "": "................",
    "eighths": "1.1.1.1.1.1.1.5.",
    "gallop": "1.111.111.111.11",
    "walking": "1...3...5...6...",
    "offbeats": "..1...1...1...1.",
    "long": "1...............",
    "sparse": "1......1..5.....",
    "one": "1...........",
    "twobeat": "1.......5.....5.",
    "bossa": "1.....5.5.....1.",
    "funk": "1..1..8...1.5.8.",
}
_RHYTHMS = (
    ((0, 8), (0, 6, 8), (0, 4, 12)),
    ((0, 4, 6, 8, 12), (0, 3, 6, 8, 12), (0, 4, 8, 10, 12)),
    ((0, 2, 4, 6, 8, 10, 12, 14), (0, 3, 6, 8, 11, 14), (0, 2, 3, 4, 8, 10, 12)),
)


class Note(NamedTuple):
    """One note.

    ``step`` counts sixteenths from the song's start, ``held`` is sixteenths, ``pitch`` a MIDI
    number (0 for drums), ``level`` the peak from 0 to 1, ``pan`` from -1 (left) to 1 (right).
    """

    step: int
    voice: str
    pitch: int
    held: int
    level: float
    pan: float


def step_seconds(song: Song, step: int) -> float:
    """Return the time of a sixteenth in seconds; swing delays the second half of a beat."""
    beat, within = divmod(step, STEPS_PER_BEAT)
    part = within / STEPS_PER_BEAT
    late = 2 * part * song.swing if part < 0.5 else song.swing + (2 * part - 1) * (1 - song.swing)
    return (beat + late) * 60 / song.bpm


def arrange(song: Song) -> list[Note]:
    """Return the notes of a loop of `BARS` bars: four of verse, four with the chorus motif."""
    draw = Random(song.seed)
    motifs = [_motif(draw, song.density) for _ in ("verse", "chorus")]
    steps = STEPS_PER_BEAT * song.beats_per_bar
    notes: list[Note] = []
    for index in range(BARS):
        degree = song.progression[index % len(song.progression)]
        bar = [
            *_comp(song, degree, steps),
            *_bass(song, degree, steps),
            *_drums(song, steps, fill=index % 4 == 3),
            *_lead(song, degree, steps, motifs[index // 4], resolve=index % 4 == 3),
        ]
        if index >= 4 or song.beat == "none":
            bar += _arpeggio(song, degree, steps)
        notes += [note._replace(step=note.step + index * steps) for note in bar]
    return notes


def _pitch(song: Song, degree: int) -> int:
    """Return the semitones above the tonic of a scale degree, counted from 0 over all octaves."""
    octave, step = divmod(degree, 7)
    return 12 * octave + song.scale[step]


def _near(song: Song, degree: int, center: int) -> int:
    """Return the pitch of a scale degree in the octave nearest to ``center``."""
    name = (song.tonic + _pitch(song, degree)) % 12
    return center - 6 + (name - center + 6) % 12


def _chord(song: Song, degree: int) -> list[int]:
    if song.comp == "distorted":
        root = _near(song, degree, 46)
        return [root, root + 7, root + 12]
    tones = (0, 2, 4, 6) if song.seventh else (0, 2, 4)
    return sorted(_near(song, degree + tone, 61) for tone in tones)


def _comp(song: Song, degree: int, steps: int) -> Iterator[Note]:
    chord = _chord(song, degree)
    for at, held, _ in _hits(_COMPING[song.comping], steps):
        yield from (Note(at, song.comp, pitch, held, 0.13, -0.4) for pitch in chord)


def _arpeggio(song: Song, degree: int, steps: int) -> Iterator[Note]:
    chord = _chord(song, degree)
    for index in range(steps // 2 if song.arpeggio else 0):
        pitch = chord[(0, 1, 2, 1)[index % 4]] + 12
        yield Note(2 * index, song.arpeggio, pitch, 2, 0.12, 0.6 if index % 2 else -0.6)


def _bass(song: Song, degree: int, steps: int) -> Iterator[Note]:
    if not song.bass:
        return
    root = _near(song, degree, 39)
    for at, held, kind in _hits(_BASSLINES[song.bassline], steps):
        above = 12 if kind == "8" else _pitch(song, degree + int(kind) - 1) - _pitch(song, degree)
        yield Note(at, song.bass, root + above, held, 0.34, 0.0)


def _drums(song: Song, steps: int, *, fill: bool) -> Iterator[Note]:
    beat = _BEATS[song.beat]
    for drum, pattern in beat.items():
        for at, _, kind in _hits(pattern, steps):
            yield Note(at, drum, 0, 1, _DRUM_LEVELS[drum] * (0.5 if kind == "o" else 1), 0.0)
    if fill and "snare" in beat:
        yield from (Note(steps - 3 + i, "tom", 0, 1, 0.25, 0.3 * i - 0.3) for i in range(3))


def _lead(
    song: Song, degree: int, steps: int, motif: list[tuple[int, int]], *, resolve: bool
) -> Iterator[Note]:
    contour = [(0, 1), (steps // 2, 0)] if resolve else [(at, up) for at, up in motif if at < steps]
    base = min(
        (degree + tone + 7 * octave for octave in (-1, 0, 1) for tone in (0, 2, 4)),
        key=lambda d: abs(60 + song.tonic + _pitch(song, d) - 72),
    )
    ends = [*(at for at, _ in contour[1:]), steps]
    for (at, up), end in zip(contour, ends, strict=True):
        pitch = 60 + song.tonic + _pitch(song, base + up)
        yield Note(at, song.lead, pitch, end - at, 0.3, 0.25)


def _motif(draw: Random, density: int) -> list[tuple[int, int]]:
    """Return a melody as (step, scale degrees above the first note), in small intervals."""
    up, contour = 0, []
    for at in draw.choice(_RHYTHMS[density]):
        contour.append((at, up))
        move = draw.choice((-2, -1, -1, 1, 1, 2, 3))
        up += -move if abs(up + move) > 4 else move
    return contour


def _hits(pattern: str, steps: int) -> list[tuple[int, int, str]]:
    """Return (step, steps to the next hit or the bar's end, character) per hit in a pattern."""
    starts = [at for at, kind in enumerate(pattern[:steps]) if kind != "."]
    ends = [*starts, steps][1:]
    return [(at, end - at, pattern[at]) for at, end in zip(starts, ends, strict=True)]
