"""The sandbox's music: whole, repeatable, obedient to its prompt and never too loud."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslab_async.sandbox.arrange import arrange, ending, step_frames, swung
from modelslab_async.sandbox.encode import crc16, flac, mp3, mp3_frame_count
from modelslab_async.sandbox.lanes import from_biased, mixed, quieter, split
from modelslab_async.sandbox.music import render
from modelslab_async.sandbox.score import SCALES, plan
from modelslab_async.sandbox.voices import NoteCache

PROMPTS = (
    "rock music from the 90s",
    "sitar, tabla",
    "calm ambient pads in D major, no drums",
    "fast dark techno 150 bpm",
    "happy waltz, piano and flute",
    "",
)


def channels(wav: bytes) -> tuple[array[int], array[int]]:
    samples = array("h", wav[44:])
    return samples[0::2], samples[1::2]


def peak(wav: bytes) -> int:
    samples = array("h", wav[44:])
    return max(max(samples), -min(samples))


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [(2.0, 32000), (1.23457, 44100), (30.0, 5000), (0.5, 192000), (0.0004, 8000), (0.0, 32000)],
)
def test_the_file_is_a_whole_wav_of_exactly_the_asked_length(seconds: float, rate: int) -> None:
    wav = render("piano", seconds=seconds, sample_rate=rate)
    frames = round(seconds * rate)
    riff, size, wave, fmt, fmt_size, code, count, hz, speed, width, bits, data, length = (
        struct.unpack_from("<4sI4s4sIHHIIHH4sI", wav)
    )
    assert (riff, wave, fmt, data) == (b"RIFF", b"WAVE", b"fmt ", b"data")
    assert (fmt_size, code, count, hz, speed, width, bits) == (16, 1, 2, rate, 4 * rate, 4, 16)
    assert (length, size, len(wav)) == (4 * frames, 36 + 4 * frames, 44 + 4 * frames)


@pytest.mark.parametrize("seconds", [-1.0, 481.0, float("nan")])
def test_a_length_out_of_bounds_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        render("piano", seconds=seconds)


@pytest.mark.parametrize("rate", [4999, 192001])
def test_a_sample_rate_out_of_bounds_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="sample_rate"):
        render("piano", seconds=1, sample_rate=rate)


def test_another_process_with_other_hashes_renders_the_same_bytes() -> None:
    code = (
        "import hashlib; from modelslab_async.sandbox.music import render;"
        "wav = render('jazz trio', seconds=6, sample_rate=8000, seed=3);"
        "print(hashlib.sha256(wav).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    here = render("jazz trio", seconds=6, sample_rate=8000, seed=3)
    assert run.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_a_second_render_in_one_process_is_the_same() -> None:
    first, second = (render("folk guitar", seconds=5, sample_rate=8000) for _ in range(2))
    assert first == second


def test_every_prompt_and_every_seed_sounds_different() -> None:
    texts = [*PROMPTS, *(f"rock music number {n}" for n in range(20))]
    clips = {render(text, seconds=4, sample_rate=5000) for text in texts}
    clips |= {render("rock music", seconds=4, sample_rate=5000, seed=seed) for seed in range(5)}
    assert len(clips) == len(texts) + 5


@pytest.mark.parametrize("rate", [5000, 22050, 32000, 96000])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_peak_lies_between_minus_12_and_minus_1_dbfs(prompt: str, rate: int) -> None:
    loudest = peak(render(prompt, seconds=5 if rate < 90000 else 2, sample_rate=rate))
    assert 32768 * 10 ** (-12 / 20) <= loudest <= 32768 * 10 ** (-1 / 20)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_music_begins_and_ends_in_silence(prompt: str) -> None:
    for channel in channels(render(prompt, seconds=5, sample_rate=16000)):
        assert channel[0] == channel[-1] == 0
        assert max(map(abs, channel[-16:])) < 400


def test_the_two_channels_differ() -> None:
    left, right = channels(render("piano", seconds=4, sample_rate=8000))
    assert left != right


@pytest.mark.parametrize(
    ("prompt", "bpm"),
    [("lofi at 96 bpm", 96), ("132BPM techno", 132), ("tempo: 71.5 piano", 71.5), ("999 bpm", 240)],
)
def test_a_named_tempo_is_played(prompt: str, bpm: float) -> None:
    assert plan(prompt).bpm == bpm


def test_a_tempo_word_changes_the_tempo() -> None:
    assert plan("slow rock").bpm < 105 < plan("fast rock").bpm


def test_techno_kicks_fall_on_every_beat_of_the_named_tempo() -> None:
    song = plan("techno 120 bpm")
    (bar,) = arrange(song, 1)
    kicks = {n.step for layer in bar for n in layer.notes if n.voice == "kick"}
    assert sorted(swung(song, at) * step_frames(song, 32000) for at in kicks) == [
        0,
        16e3,
        32e3,
        48e3,
    ]


def test_swing_delays_the_second_half_of_a_beat_only() -> None:
    song = plan("jazz")
    assert [swung(song, at) for at in (0, 4, 8)] == [0, 4, 8]
    assert 2.4 < swung(song, 2) < 2.7


@pytest.mark.parametrize(
    ("prompt", "tonic", "mode"),
    [
        ("song in A major", 9, "major"),
        ("G# minor techno", 8, "minor"),
        ("b flat minor ballad", 10, "minor"),
        ("jazz in Bb", 10, None),
        ("rock in F#m", 6, "minor"),
        ("D dorian groove", 2, "dorian"),
        ("key of E", 4, None),
        ("pop in Cb major", 11, "major"),
    ],
)
def test_a_named_key_is_played(prompt: str, tonic: int, mode: str | None) -> None:
    song = plan(prompt)
    assert song.tonic == tonic
    assert mode in (None, song.mode)


def test_every_melody_and_chord_note_belongs_to_the_key() -> None:
    song = plan("piano and flute in A major, folk")
    allowed = {(9 + step) % 12 for step in SCALES["major"]}
    notes = [n for bar in arrange(song, 16) for layer in bar for n in layer.notes if n.pitch]
    assert {n.pitch % 12 for n in notes if n.voice in (song.lead, song.comp)} <= allowed
    assert len({n.pitch for n in notes if n.voice == song.lead}) > 4


def test_mood_words_choose_the_mode() -> None:
    assert plan("happy tune").mode in ("major", "lydian")
    assert plan("sad tune").mode == "minor"


def test_named_instruments_play() -> None:
    song = plan("sitar, tabla")
    assert (song.lead, song.beat) == ("sitar", "tabla")
    assert plan("trumpet over strings").lead == "brass"
    assert plan("trumpet over strings").comp == "strings"
    assert plan("rock without drums").beat == "none"


def test_a_long_song_has_sections_and_brings_them_back() -> None:
    bars = arrange(plan("pop song"), 40)
    assert 8 <= len(set(bars)) <= 20
    assert bars[4:8] == bars[16:20] != bars[8:12]


def test_the_ending_comes_home() -> None:
    song = plan("pop in C major")
    notes = [n for layer in ending(song, 8) for n in layer.notes if n.pitch]
    assert {n.pitch % 12 for n in notes} == {0, 4, 7}


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(max_size=40), seconds=st.floats(0.0, 3.0), seed=st.integers())
def test_any_text_renders(prompt: str, seconds: float, seed: int) -> None:
    wav = render(prompt, seconds=seconds, sample_rate=5000, seed=seed)
    assert len(wav) == 44 + 4 * round(seconds * 5000)
    if seconds >= 1:
        assert 8231 <= peak(wav) <= 29204


def test_a_lone_surrogate_renders() -> None:
    assert render("piano \ud800", seconds=0.1) != render("piano", seconds=0.1)


def sound(*samples: int) -> int:
    return from_biased(struct.pack(f"<{len(samples)}H", *[s + 32768 for s in samples]))


def samples_of(value: int, count: int) -> list[int]:
    biased, _ = split(value, count)
    return [s - 32768 for s in struct.unpack(f"<{count}H", biased.to_bytes(2 * count, "little"))]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-3000, 3000)), max_size=10))
def test_mixing_adds_samples_where_they_fall(events: list[tuple[int, int]]) -> None:
    expected = [0] * 10
    for at, value in events:
        expected[at] += value
    assert samples_of(mixed([(at, sound(value)) for at, value in events]), 10) == expected


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=20), st.integers(0, 20))
def test_a_split_sound_rings_on(values: list[int], at: int) -> None:
    whole = sound(*values)
    _, rest = split(whole, at)
    expected = values[at:] + [0] * at
    assert samples_of(rest, len(values)) == expected[: len(values)]


@given(st.lists(st.integers(-16000, 16000), min_size=1, max_size=20))
def test_a_quieter_sound_is_every_sample_divided(values: list[int]) -> None:
    assert samples_of(quieter(sound(*values), 2), len(values)) == [v >> 2 for v in values]


def test_the_note_cache_stays_within_its_bound() -> None:
    cache = NoteCache(50_000)
    for n in range(100):
        cache.get((n,), lambda: 1 << 8 * 5000)
    assert 40_000 < cache.size <= 50_000


def test_a_note_larger_than_a_quarter_of_the_cache_is_not_kept() -> None:
    cache = NoteCache(1000)
    assert cache.get(("long",), lambda: 1 << 8 * 400) == 1 << 8 * 400
    assert cache.size == 0


def remainder(data: bytes, width: int, polynomial: int) -> int:
    """A CRC bit by bit, as the FLAC format describes it."""
    value = 0
    for byte in data:
        for bit in range(7, -1, -1):
            top = value >> (width - 1) ^ (byte >> bit & 1)
            value = (value << 1 & (1 << width) - 1) ^ (polynomial if top else 0)
    return value


@given(st.binary(max_size=300))
def test_the_folded_crc_is_the_crc_bit_by_bit(data: bytes) -> None:
    assert crc16(data) == remainder(data, 16, 0x8005)


def test_the_flac_names_rate_length_and_digest_of_the_wav() -> None:
    wav = render("bell", seconds=0.7, sample_rate=22050)
    stream = flac(wav)
    assert stream[:8] == b"fLaC\x00\x00\x00\x22"
    assert struct.unpack_from(">HH", stream, 8) == (4096, 4096)
    packed = int.from_bytes(stream[18:26], "big")
    fields = (packed >> 44, packed >> 41 & 7, packed >> 36 & 31, packed & (1 << 36) - 1)
    assert fields == (22050, 1, 15, 15435)
    assert stream[26:42] == hashlib.md5(wav[44:], usedforsecurity=False).digest()


def test_every_flac_frame_holds_its_samples_between_right_checksums() -> None:
    wav = render("bell", seconds=0.3, sample_rate=30000)
    stream = flac(wav)
    at = 46 + int.from_bytes(stream[43:46], "big")
    left, right = (list(channel) for channel in channels(wav))
    for number, start in enumerate(range(0, 9000, 4096)):
        count = min(4096, 9000 - start)
        frame = stream[at : at + 12 + 4 * count]
        assert frame[:7] == struct.pack(">HBBBH", 0xFFF8, 0x70, 0x18, number, count - 1)
        assert frame[7] == remainder(frame[:7], 8, 0x07)
        body = struct.unpack(f">B{count}hB{count}h", frame[8:-2])
        assert list(body) == [2, *left[start : start + count], 2, *right[start : start + count]]
        assert int.from_bytes(frame[-2:], "big") == remainder(frame[:-2], 16, 0x8005)
        at += len(frame)
    assert at == len(stream)


@pytest.mark.parametrize("junk", [b"", b"<html>" * 20, b"RIFF\0\0\0\0WAVEfmt " + bytes(40)])
def test_only_a_pcm_wav_becomes_a_flac(junk: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        flac(junk)


@pytest.mark.parametrize("bitrate", [128, 192, 320])
@pytest.mark.parametrize("seconds", [0.0, 1.0, 30.0])
def test_the_mp3_is_a_chain_of_the_right_number_of_frames(seconds: float, bitrate: int) -> None:
    data, at, found = mp3(seconds, bitrate), 0, 0
    while at < len(data):
        assert data[at : at + 2] == b"\xff\xfb"
        at += 144000 * bitrate // 44100 + (data[at + 2] >> 1 & 1)
        found += 1
    assert at == len(data)
    assert found == mp3_frame_count(seconds) == -(-int(seconds * 44100) // 1152)
    assert abs(len(data) - bitrate * 125 * found * 1152 / 44100) < 1


def test_a_bitrate_that_mpeg_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="100 kbit/s"):
        mp3(1, 100)
