"""Choose tempo, key, chords and instruments for a prompt. Pure.

Words for a tempo, key, genre, mood or instrument in the prompt are respected. Everything else is
chosen at random, seeded by a digest of prompt and seed, so the result is always the same.
"""

from __future__ import annotations

import hashlib
import re
from random import Random

from attrs import evolve, frozen

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "bhairav": (0, 1, 4, 5, 7, 8, 11),
}
_PROGRESSIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 5, 4), (0, 2, 3, 4), (3, 0, 4, 5)),
    "minor": ((0, 5, 2, 6), (0, 6, 5, 6), (0, 3, 5, 4), (0, 2, 6, 3), (5, 6, 0, 0), (0, 3, 0, 6)),
    "harmonic minor": ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 0, 4)),
    "dorian": ((0, 3, 0, 3), (0, 6, 3, 0), (0, 1, 3, 0)),
    "phrygian": ((0, 1, 0, 1), (0, 5, 1, 0)),
    "lydian": ((0, 1, 0, 1), (0, 1, 5, 4)),
    "mixolydian": ((0, 6, 3, 0), (0, 3, 6, 0)),
    "bhairav": ((0, 0, 3, 0), (0, 0, 0, 0)),
    "jazz": ((1, 4, 0, 5), (0, 5, 1, 4), (2, 5, 1, 4)),
    "blues": ((0, 3, 0, 4), (0, 0, 3, 0), (3, 0, 4, 0)),
}


@frozen
class Style:
    """The properties of a genre; where there are several values, one is chosen at random."""

    words: str
    bpm: tuple[int, int]
    modes: str
    leads: str
    comps: str
    bass: str
    beat: str
    comp: str
    bassline: str
    swing: float = 0.5
    density: int = 1
    arpeggio: str = ""
    seventh: bool = False
    progressions: str = ""


_STYLES = (
    Style("rock indie grunge punk", (108, 140), "major,minor,mixolydian", "distorted,guitar",
          "distorted,organ", "bass", "rock", "eighths", "eighths"),
    Style("metal hardcore", (140, 176), "phrygian,minor", "distorted,lead", "distorted", "bass",
          "metal", "eighths", "gallop", density=2),
    Style("jazz swing bebop", (104, 150), "major,dorian", "piano,brass", "piano,epiano", "bass",
          "jazz", "charleston", "walking", 0.64, 2, seventh=True, progressions="jazz"),
    Style("blues soul rnb", (76, 104), "mixolydian", "guitar,organ", "organ,piano", "bass",
          "shuffle", "offbeats", "walking", 0.64, seventh=True, progressions="blues"),
    Style("techno house edm electronic trance dance club rave electro", (120, 134),
          "minor,dorian,phrygian", "lead,synth", "synth", "synth bass", "techno", "stabs",
          "offbeats", arpeggio="synth"),
    Style("synthwave retrowave 80s eighties synthpop", (96, 116), "minor,dorian", "lead,bell",
          "synth,choir", "synth bass", "disco", "pad", "eighths", arpeggio="synth"),
    Style("ambient drone meditation sleep spa atmospheric space", (58, 76), "lydian,major,dorian",
          "bell,flute,epiano", "choir,strings", "", "none", "pad", "long", density=0,
          arpeggio="harp"),
    Style("lofi lo-fi chillhop hip-hop hiphop hop trap rap beats chill", (72, 88),
          "dorian,minor,major", "epiano,guitar,marimba", "epiano", "bass", "lofi", "charleston",
          "sparse", 0.6, 0, seventh=True),
    Style("classical baroque sonata minuet chamber", (84, 120),
          "major,minor,harmonic minor", "violin,piano,flute", "strings,piano", "", "none",
          "pad", "long", density=2, arpeggio="piano"),
    Style("waltz", (120, 160), "major,harmonic minor", "violin,piano,flute", "piano,harp", "bass",
          "waltz", "waltz", "one"),
    Style("folk country acoustic bluegrass celtic", (92, 124), "major,mixolydian,dorian",
          "guitar,flute,violin", "guitar", "bass", "light", "strum", "twobeat"),
    Style("indian raga sitar tabla bollywood hindustani", (72, 104), "bhairav,phrygian,mixolydian",
          "sitar,flute", "harp", "", "tabla", "drone", "", density=2),
    Style("latin bossa samba salsa nova tango", (112, 136), "minor,dorian,major",
          "guitar,flute,marimba", "guitar,piano", "bass", "bossa", "bossa", "bossa", seventh=True),
    Style("epic cinematic orchestral trailer soundtrack film movie battle", (84, 112),
          "minor,harmonic minor,dorian", "brass,violin", "strings,choir", "bass", "epic", "pad",
          "long", arpeggio="strings"),
    Style("reggae dub ska", (72, 92), "major,minor", "organ,brass,guitar", "organ,guitar", "bass",
          "reggae", "skank", "sparse", 0.55),
    Style("funk disco groove groovy", (104, 122), "dorian,mixolydian", "brass,lead,guitar",
          "epiano,guitar", "synth bass", "disco", "stabs", "funk", density=2, seventh=True),
    Style("pop song upbeat summer", (96, 124), "major,minor", "piano,lead,guitar",
          "piano,strings,synth", "bass", "pop", "quarters", "twobeat"),
)  # fmt: skip

_MOODS: tuple[tuple[str, str, float, int], ...] = (
    # words, modes ("" keeps the genre's), tempo factor, change of density
    ("happy joyful cheerful bright uplifting fun sunny playful", "major,lydian", 1.08, 0),
    ("sad melancholic melancholy lonely somber sorrow nostalgic emotional", "minor", 0.85, -1),
    ("dark sinister scary horror evil gloomy ominous", "phrygian,harmonic minor,minor", 0.92, 0),
    ("calm peaceful relaxing relaxed soft gentle dreamy quiet serene", "", 0.84, -1),
    ("energetic intense aggressive driving powerful exciting", "", 1.1, 1),
    ("mysterious exotic oriental arabic", "harmonic minor,phrygian", 0.95, 0),
    ("slow adagio largo", "", 0.72, -1),
    ("fast allegro presto quick rapid", "", 1.28, 1),
)
_INSTRUMENTS: dict[str, str] = {
    "piano": "piano", "keys": "epiano", "rhodes": "epiano", "guitar": "guitar", "banjo": "guitar",
    "ukulele": "harp", "sitar": "sitar", "harp": "harp", "kalimba": "marimba",
    "marimba": "marimba", "xylophone": "marimba", "vibraphone": "bell", "bell": "bell",
    "bells": "bell", "glockenspiel": "bell", "organ": "organ", "accordion": "organ",
    "strings": "strings", "violin": "violin", "violins": "strings", "cello": "violin",
    "choir": "choir", "voice": "choir", "vocals": "choir", "flute": "flute", "whistle": "flute",
    "brass": "brass", "trumpet": "brass", "horns": "brass", "saxophone": "brass", "sax": "brass",
    "synth": "lead", "synthesizer": "lead", "distorted": "distorted", "electric": "distorted",
}  # fmt: skip
_CAN_COMP = {"piano", "epiano", "guitar", "harp", "organ", "strings", "choir", "synth", "distorted"}
_DRUM_WORDS = {"drum": "rock", "drums": "rock", "percussion": "bossa", "tabla": "tabla",
               "taiko": "epic", "beat": "lofi", "808": "techno"}  # fmt: skip
_NO_DRUMS = re.compile(r"\b(?:no|without) (?:drums?|percussion|beat)\b")
_NATURALS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SHIFTS = {"#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}
_SHORT_MODES = {"maj": "major", "min": "minor", "m": "minor"}

_TEMPO = re.compile(
    r"(\d{2,3}(?:\.\d{1,3})?)[\s-]*bpm\b|\b(?:bpm|tempo)(?: of)?[\s:=]*(\d{2,3}(?:\.\d{1,3})?)",
    re.IGNORECASE,
)
_ACCIDENTAL = r"(#|♯|b|♭|[\s-]?sharp|[\s-]?flat)?"
_KEYS = (
    re.compile(
        rf"\b([a-g]){_ACCIDENTAL}[\s-]*"
        r"(major|minor|maj|min|harmonic minor|dorian|phrygian|lydian|mixolydian)\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\b(?:key of|in)\s+([A-G]){_ACCIDENTAL}(m)?(?=\s*(?:[,.;:!)]|$))"),
    re.compile(r"\b([A-G])(#|♯|b|♭)(m)?(?!\w)"),
    re.compile(r"\b([A-G])()(m)(?!\w)"),
)


@frozen(kw_only=True)
class Song:
    """The input of `arrange`: beats per minute, key (pitch class 0..11, mode), instruments."""

    bpm: float
    tonic: int
    mode: str
    progression: tuple[int, ...]
    lead: str
    comp: str
    bass: str
    arpeggio: str
    beat: str
    comping: str
    bassline: str
    swing: float
    density: int
    seventh: bool
    beats_per_bar: int
    seed: int

    @property
    def scale(self) -> tuple[int, ...]:
        """The seven degrees of the scale, in semitones above the tonic."""
        return SCALES[self.mode]


def plan(prompt: str, seed: int = 0) -> Song:
    """Choose tempo, key, chords and instruments for a prompt, which may be any text."""
    digest = hashlib.sha256(f"{seed}\0{prompt}".encode("utf-8", "surrogatepass")).digest()
    draw = Random(int.from_bytes(digest, "big"))
    words = _words(prompt)
    style = _style(words, draw)
    moods = [mood for mood in _MOODS if not set(mood[0].split()).isdisjoint(words)]
    tonic, mode = _key(prompt, style, moods, draw)
    song = Song(
        bpm=_bpm(prompt, style, moods, draw),
        tonic=tonic,
        mode=mode,
        progression=draw.choice(_PROGRESSIONS[_family(style, mode)]),
        lead=_pick(style.leads, draw),
        comp=_pick(style.comps, draw),
        bass=style.bass,
        arpeggio=style.arpeggio,
        beat=style.beat,
        comping=style.comp,
        bassline=style.bassline,
        swing=style.swing,
        density=max(0, min(2, style.density + sum(mood[3] for mood in moods))),
        seventh=style.seventh,
        beats_per_bar=3 if "waltz" in words or "3/4" in prompt else 4,
        seed=draw.getrandbits(64),
    )
    return _with_players(song, words)


def _words(prompt: str) -> list[str]:
    """Return the words in lower case; a hyphenated word is followed by its parts."""
    found = re.findall(r"[a-z0-9]+(?:-[a-z]+)*", prompt.casefold())
    return [part for word in found for part in dict.fromkeys((word, *word.split("-")))]


def _pick(names: str, draw: Random) -> str:
    return draw.choice(names.split(","))


def _style(words: list[str], draw: Random) -> Style:
    scores = [len(set(style.words.split()).intersection(words)) for style in _STYLES]
    best = max(scores)
    return draw.choice([s for s, score in zip(_STYLES, scores, strict=True) if score == best])


def _family(style: Style, mode: str) -> str:
    fits = style.progressions and mode in style.modes.split(",")
    return style.progressions if fits else mode


def _bpm(
    prompt: str, style: Style, moods: list[tuple[str, str, float, int]], draw: Random
) -> float:
    drawn = float(draw.randint(*style.bpm))
    found = _TEMPO.search(prompt)
    if found:
        return max(40.0, min(240.0, float(found[1] or found[2])))
    for mood in moods:
        drawn *= mood[2]
    return float(round(max(50.0, min(190.0, drawn))))


def _key(
    prompt: str, style: Style, moods: list[tuple[str, str, float, int]], draw: Random
) -> tuple[int, str]:
    modes = next((mood[1] for mood in moods if mood[1]), style.modes)
    tonic, mode = draw.randrange(12), _pick(modes, draw)
    found = next(filter(None, (key.search(prompt) for key in _KEYS)), None)
    if found is None:
        return tonic, _named_mode(prompt) or mode
    shift = _SHIFTS.get((found[2] or "").strip(" -").casefold(), 0)
    named = (found[3] or "").casefold()
    return (
        (_NATURALS[found[1].casefold()] + shift) % 12,
        _SHORT_MODES.get(named, named) or mode,
    )


def _named_mode(prompt: str) -> str | None:
    text = prompt.casefold()
    named = [mode for mode in SCALES if re.search(rf"\b{mode}\b", text)]
    return max(named, key=len, default=None)


def _with_players(song: Song, words: list[str]) -> Song:
    """Return the song with the instruments that the prompt names, where they are suitable."""
    named = list(dict.fromkeys(_INSTRUMENTS[word] for word in words if word in _INSTRUMENTS))
    if {"guitar", "distorted"} <= set(named):
        named.remove("guitar")
    if named:
        song = evolve(song, lead=named[0])
    comp = next((name for name in named[1:] or named if name in _CAN_COMP), song.comp)
    beat = next((_DRUM_WORDS[word] for word in words if word in _DRUM_WORDS), song.beat)
    if song.beat != "none" and beat not in ("tabla", "epic"):
        beat = song.beat
    if not {"solo", "drumless", "beatless"}.isdisjoint(words) or _NO_DRUMS.search(" ".join(words)):
        beat = "none"
    bass = song.bass or ("bass" if "bass" in words else "")
    return evolve(song, comp=comp, beat=beat, bass=bass)
