"""Write a song out as bars of notes. Nothing here waits, reads a clock or makes a sound.

A bar is a handful of layers, and bars share layers: a chorus that comes back is the same value, so
whoever turns layers into sound needs to do it once.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .score import Song

STEPS_PER_BEAT = 4
_LEAD, _COMP, _BASS, _ARPEGGIO = 3000, 1250, 3300, 1150

# One character per sixteenth: x plays, o plays softly, . rests.
_BEATS: dict[str, dict[str, str]] = {
    "none": {},
    "rock": {"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    "metal": {"kick": "x.xxx.xxx.xxx.xx", "snare": "....x.......x...", "ride": "x...x...x...x..."},
    "jazz": {"ride": "x...x.o.x...x.o.", "tick": "....x.......x...", "brush": "o.....o...o....."},
    "shuffle": {"kick": "x.......x.o.....", "snare": "....x.......x..o", "hat": "x.o.x.o.x.o.x.o."},
    "techno": {"kick": "x...x...x...x...", "open hat": "..x...x...x...x.",
               "clap": "....x.......x...", "hat": "o..oo..oo..oo..o"},
    "lofi": {"kick": "x......x..x.....", "rim": "....x.......x...", "hat": "x.o.o.o.x.o.o.oo"},
    "pop": {"kick": "x.......x.x.....", "clap": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    "disco": {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x...x...x...x...",
              "open hat": "..o...o...o...o."},
    "light": {"tick": "x...x...x...x...", "shaker": "x.o.x.o.x.o.x.o."},
    "waltz": {"kick": "x...........", "brush": "....x...x..."},
    "tabla": {"ge": "x.....x...x.....", "na": "..x.x...x..ox.x.", "tick": "x.......o......."},
    "bossa": {"kick": "x.....x.x.....x.", "rim": "x..x..x...x..x..", "shaker": "xoxoxoxoxoxoxoxo"},
    "epic": {"taiko": "x.....x.x..o..x.", "tom": "....o.......o.oo"},
    "reggae": {"kick": "........x.......", "rim": "........x.......", "hat": "..x...x...x...xo"},
}  # fmt: skip
_STROKE_LEVELS = {
    "kick": 4600, "taiko": 4600, "snare": 2900, "clap": 2500, "ge": 4000, "na": 2800, "tom": 2600,
    "rim": 1700, "brush": 900, "ride": 800, "tick": 1000,
}  # fmt: skip
_COMPING = {
    "eighths": "x.x.x.x.x.x.x.x.", "charleston": "x.....x.........", "offbeats": "..x...x...x...x.",
    "stabs": "x..x..x...x..x..", "pad": "x.......x.......", "waltz": "....x...x...",
    "strum": "x...x.x...x.x.x.", "drone": "x...x...x...x...", "bossa": "x..x..x....x..x.",
    "skank": "....x.......x...", "quarters": "x...x...x...x...",
}  # fmt: skip
# One character per sixteenth: a digit is a step of the chord's scale, 8 its octave, w walks.
_BASSLINES = {
    "": "................", "eighths": "1.1.1.1.1.1.1.5.", "gallop": "1.111.111.111.11",
    "walking": "1...3...5...w...", "offbeats": "..1...1...1...1.", "long": "1...............",
    "sparse": "1......1..5.....", "one": "1...........", "twobeat": "1.......5.....5.",
    "bossa": "1.....5.5.....1.", "funk": "1..1..8...1.5.8.",
}  # fmt: skip
_RHYTHMS = (
    ((0, 8), (0, 6, 8), (0, 4, 12), (0, 8, 12)),
    ((0, 4, 6, 8, 12), (0, 3, 6, 8, 12), (0, 6, 8, 14), (0, 4, 8, 10, 12), (2, 4, 6, 8, 12)),
    (
        (0, 2, 4, 6, 8, 10, 12, 14),
        (0, 3, 6, 8, 11, 14),
        (0, 2, 3, 4, 8, 10, 12),
        (0, 4, 6, 7, 8, 12),
    ),
)


class Note(NamedTuple):
    """One note: sixteenths from the bar line, voice, MIDI pitch, sixteenths held, peak level."""

    step: int
    voice: str
    pitch: int
    held: int
    level: int


@frozen
class Layer:
    """Notes that sound from one place: "center", "left" or "right"; lead lines echo."""

    notes: tuple[Note, ...]
    place: str = "center"
    echo: bool = False


Bar = tuple[Layer, ...]


def step_frames(song: Song, sample_rate: int) -> float:
    """Samples per sixteenth."""
    return sample_rate * 60 / song.bpm / STEPS_PER_BEAT


def swung(song: Song, step: int) -> float:
    """Where a sixteenth falls, in sixteenths: the second half of a beat comes late with swing."""
    beat, within = divmod(step, STEPS_PER_BEAT)
    part = within / STEPS_PER_BEAT
    if part < 0.5:
        return STEPS_PER_BEAT * (beat + part * song.swing / 0.5)
    return STEPS_PER_BEAT * (beat + song.swing + (part - 0.5) * (1 - song.swing) / 0.5)


def arrange(song: Song, count: int) -> list[Bar]:
    """The first `count` bars: phrases of four, with an introduction when there is room for one."""
    writer = _Writer(song)
    phrases = [_phrase(writer, name) for name in _form(-(-count // 4))]
    return [bar for phrase in phrases for bar in phrase][:count]


def ending(song: Song, room: int) -> Bar:
    """The home chord, spread upwards over `room` sixteenths and left to ring after them."""
    return _Writer(song).ending(room)


def _form(phrases: int) -> Iterator[str]:
    if phrases <= 2:
        yield from ("verse", "answer")[:phrases]
        return
    yield "opening"
    middle = ("verse", "answer", "chorus", "verse", "break", "chorus")
    for index in range(phrases - 2):
        yield middle[index % len(middle)]
    yield "chorus"


def _phrase(writer: _Writer, name: str) -> list[Bar]:
    return [tuple(layer for layer in writer.bar(name, i) if layer.notes) for i in range(4)]


class _Writer:
    """Writes the bars of one song; layers asked for twice come out equal."""

    def __init__(self, song: Song) -> None:
        self.song = song
        self.steps = STEPS_PER_BEAT * song.beats_per_bar
        draw = Random(song.seed)
        self._motifs = {name: _motif(draw, song.density) for name in ("verse", "chorus")}
        self._turn = draw.choice((-2, -1, 1, 2))
        self._figure = draw.choice(((0, 1, 2, 1), (0, 2, 1, 2), (2, 1, 0, 1), (0, 1, 2, 3)))
        self._center = 72 + draw.choice((-2, 0, 2))

    def bar(self, phrase: str, index: int) -> Iterator[Layer]:
        degree = self.song.progression[index % len(self.song.progression)]
        quiet = phrase in ("opening", "break")
        yield self._comp(degree)
        if self.song.arpeggio and (quiet or phrase == "chorus" or self.song.beat == "none"):
            yield from self._arpeggio(degree)
        if phrase != "break":
            yield self._bass(degree)
        if not quiet:
            yield self._drums(fill=index == 3)
            yield self._lead(phrase, index, degree)

    def ending(self, room: int) -> Bar:
        chord = self._chord(0)
        pace = max(1, min(STEPS_PER_BEAT, room // len(chord)))
        spread = [Note(pace * i, self.song.comp, p, 8, _COMP) for i, p in enumerate(chord)]
        top = Note(pace * len(chord), self.song.lead, self._near(0, self._center), 8, _LEAD)
        layers = [Layer(tuple(spread), "left"), Layer((top,), echo=True)]
        if self.song.bass:
            layers.append(Layer((Note(0, self.song.bass, self._low(0), 8, _BASS),)))
        beat = _BEATS[self.song.beat]
        layers.append(Layer(tuple(Note(0, n, 0, 1, 4000) for n in ("kick", "taiko") if n in beat)))
        if not {"snare", "clap", "taiko"}.isdisjoint(beat):
            layers.append(Layer((Note(0, "crash", 0, 1, 700),)))
        return tuple(layer for layer in layers if layer.notes)

    def _pitch(self, degree: int) -> int:
        """Semitones above the tonic of a scale degree counted from 0, in any octave."""
        octave, step = divmod(degree, 7)
        return 12 * octave + self.song.scale[step]

    def _near(self, degree: int, center: int) -> int:
        """The pitch of this degree's name that is nearest to a center."""
        name = (self.song.tonic + self._pitch(degree)) % 12
        return center - 6 + (name - center + 6) % 12

    def _chord(self, degree: int) -> list[int]:
        tones = (0, 2, 4, 6) if self.song.seventh else (0, 2, 4)
        if self.song.comp == "distorted":
            root = self._near(degree, 46)
            return [root, root + 7, root + 12]
        return sorted(self._near(degree + tone, 61) for tone in tones)

    def _low(self, degree: int) -> int:
        return self._near(degree, 39)

    def _comp(self, degree: int) -> Layer:
        if self.song.comping == "drone":
            tones = [self._near(4, 55), self._near(0, 60), self._near(0, 60), self._near(0, 48)]
            return Layer(tuple(Note(4 * i, self.song.comp, p, 8, _COMP) for i, p in enumerate(tones)
                               if 4 * i < self.steps), "left")  # fmt: skip
        hits = _hits(_COMPING[self.song.comping][: self.steps], self.steps)
        chord = self._chord(degree)
        return Layer(
            tuple(Note(at, self.song.comp, p, held, _COMP) for at, held, _ in hits for p in chord),
            "left",
        )

    def _arpeggio(self, degree: int) -> Iterator[Layer]:
        chord = [pitch + 12 for pitch in self._chord(degree)]
        chord.append(chord[0] + 12)
        notes = [
            Note(2 * i, self.song.arpeggio, chord[self._figure[i % 4] % len(chord)], 2, _ARPEGGIO)
            for i in range(self.steps // 2)
        ]
        yield Layer(tuple(notes[0::2]), "left")
        yield Layer(tuple(notes[1::2]), "right")

    def _bass(self, degree: int) -> Layer:
        if not self.song.bass:
            return Layer(())
        root = self._low(degree)
        line = _BASSLINES[self.song.bassline][: self.steps]
        return Layer(
            tuple(
                Note(at, self.song.bass, self._bass_pitch(root, degree, kind), held, _BASS)
                for at, held, kind in _hits(line, self.steps)
            )
        )

    def _bass_pitch(self, root: int, degree: int, kind: str) -> int:
        if kind == "w":
            return root + (-1 if self.song.seed % 2 else 2)
        if kind == "8":
            return root + 12
        return root + self._pitch(degree + int(kind) - 1) - self._pitch(degree)

    def _drums(self, *, fill: bool) -> Layer:
        notes = [
            Note(at, stroke, 0, 1, int(_loudness(stroke) * (0.5 if kind == "o" else 1)))
            for stroke, pattern in _BEATS[self.song.beat].items()
            for at, _, kind in _hits(pattern[: self.steps], self.steps)
            if not (fill and stroke == "snare" and at > self.steps - 4)
        ]
        if fill and "snare" in _BEATS[self.song.beat]:
            turn = ("snare", "tom") if self.song.seed % 2 else ("tom", "tom")
            notes += [Note(self.steps - 4 + i, turn[i // 2], 0, 1, 1900) for i in range(4)]
        return Layer(tuple(notes))

    def _lead(self, phrase: str, index: int, degree: int) -> Layer:
        motif = self._motifs["chorus" if phrase == "chorus" else "verse"]
        contour = [(at, rise) for at, rise in motif if at < self.steps]
        if index == 3:
            home = 2 if phrase == "verse" else 0  # a verse asks, the others answer
            contour = [(0, self._turn), (self.steps // 4, 1), (self.steps // 2, home)]
        elif index == 2 or (phrase == "answer" and index == 1):
            contour = [*contour[:-1], (contour[-1][0], contour[-1][1] + self._turn)]
        register = self._center + (3 if phrase == "chorus" else 0)
        base = self._base_degree(degree, register)
        starts = [at for at, _ in contour[1:]] + [self.steps]
        notes = [
            Note(at, self.song.lead, self._melody(base + rise, degree, at), end - at, _LEAD)
            for (at, rise), end in zip(contour, starts, strict=True)
        ]
        return Layer(tuple(notes), echo=True)

    def _base_degree(self, degree: int, center: int) -> int:
        """The chord tone, as a degree counted from the tonic near MIDI 60, nearest to a center."""
        home = 60 + self.song.tonic
        candidates = [degree + tone + 7 * octave for octave in (-1, 0, 1) for tone in (0, 2, 4)]
        return min(candidates, key=lambda d: abs(home + self._pitch(d) - center))

    def _melody(self, degree: int, chord: int, at: int) -> int:
        """A melody pitch: on a strong beat the nearest note of the chord, else as written."""
        if at % 8 == 0:
            degree = min(
                (degree, degree - 1, degree + 1), key=lambda d: (d - chord) % 7 not in (0, 2, 4)
            )
        return 60 + self.song.tonic + self._pitch(degree)


def _motif(draw: Random, density: int) -> list[tuple[int, int]]:
    """(step, scale steps above the first note): mostly small moves that turn back when far out."""
    rise, contour = 0, []
    for at in draw.choice(_RHYTHMS[density]):
        contour.append((at, rise))
        move = draw.choice((-2, -1, -1, 1, 1, 2, 3))
        rise += -move if abs(rise + move) > 4 else move
    return contour


def _hits(pattern: str, steps: int) -> list[tuple[int, int, str]]:
    """(step, steps until the next hit or the bar's end, character) of every character but dots."""
    starts = [at for at, kind in enumerate(pattern) if kind != "."]
    ends = [*starts, steps][1:]
    return [(at, end - at, pattern[at]) for at, end in zip(starts, ends, strict=True)]


def _loudness(stroke: str) -> int:
    return _STROKE_LEVELS.get(stroke, 850)
