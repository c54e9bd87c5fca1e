"""The sandbox's music: whole, repeatable, obedient to its prompt and never too loud."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import struct
import subprocess
import sys
import threading
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslab_async import MusicGen
from modelslab_async.sandbox import Sandbox, Scenario
from modelslab_async.sandbox import _server as server
from modelslab_async.sandbox._audio.arrange import Note, arrange, step_seconds
from modelslab_async.sandbox._audio.codecs import flac, mp3
from modelslab_async.sandbox._audio.score import SCALES, plan
from modelslab_async.sandbox._audio.synth import render
from modelslab_async.sandbox._files import FileStore

from ..support.quick import client_of

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
        "import hashlib; from modelslab_async.sandbox._audio.synth import render;"
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


def bar_of(notes: list[Note], index: int, steps: int = 16) -> list[Note]:
    return [
        note._replace(step=note.step - index * steps)
        for note in notes
        if note.step // steps == index
    ]


def test_techno_kicks_fall_on_every_beat_of_the_named_tempo() -> None:
    song = plan("techno 120 bpm")
    kicks = {n.step for n in bar_of(arrange(song), 0) if n.voice == "kick"}
    assert sorted(step_seconds(song, at) for at in kicks) == [0, 0.5, 1.0, 1.5]


def test_swing_delays_the_second_half_of_a_beat_only() -> None:
    song = plan("jazz 60 bpm")
    assert [step_seconds(song, at) for at in (0, 4, 8)] == [0, 1, 2]
    assert 0.6 < step_seconds(song, 2) < 0.7


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
    notes = [note for note in arrange(song) if note.pitch]
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


def test_the_chorus_has_another_tune_than_the_verse() -> None:
    song = plan("pop song, piano lead")
    verse, chorus = (
        [(n.step, n.pitch) for n in bar_of(arrange(song), bar) if n.voice == song.lead]
        for bar in (0, 4)
    )
    assert verse != chorus


def test_a_long_track_repeats_its_loop() -> None:
    wav = render("techno 240 bpm", seconds=20, sample_rate=8000)
    left, _ = channels(wav)
    loop = 8 * 8000  # eight bars of a second each
    assert left[1000:loop] == left[loop + 1000 : 2 * loop]


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(max_size=40), seconds=st.floats(0.0, 3.0), seed=st.integers())
def test_any_text_renders(prompt: str, seconds: float, seed: int) -> None:
    wav = render(prompt, seconds=seconds, sample_rate=5000, seed=seed)
    assert len(wav) == 44 + 4 * round(seconds * 5000)
    if seconds >= 1:
        assert 8231 <= peak(wav) <= 29204


def test_a_lone_surrogate_renders() -> None:
    assert render("piano \ud800", seconds=0.1) != render("piano", seconds=0.1)


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    return samples, rate


def test_the_flac_holds_exactly_the_samples_of_the_wav() -> None:
    wav = render("bell", seconds=0.7, sample_rate=22050)
    samples, rate = decoded(flac(wav))
    assert rate == 22050
    assert samples.tobytes() == wav[44:]


@pytest.mark.parametrize("bitrate", ["128k", "192k", "320k"])
def test_the_mp3_is_audible_and_has_the_bit_rate_that_was_asked_for(bitrate: str) -> None:
    wav = render("organ", seconds=4, sample_rate=44100)
    stream = mp3(wav, bitrate)
    samples, rate = decoded(stream)
    assert rate == 44100
    assert len(samples) == 4 * 44100
    assert np.abs(samples).max() > 8000
    assert abs(len(stream) * 8 / 4 - 1000 * int(bitrate[:-1])) < 0.05 * 1000 * int(bitrate[:-1])


@pytest.mark.parametrize(("bitrate", "rate"), [("100k", 44100), ("320k", 11025)])
def test_a_bit_rate_or_sample_rate_that_mp3_does_not_have_is_refused(
    bitrate: str, rate: int
) -> None:
    with pytest.raises(ValueError, match="no MP3"):
        mp3(render("piano", seconds=0.1, sample_rate=rate), bitrate)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["numpy", "soundfile"])
async def test_a_missing_extra_is_named_before_the_sandbox_listens(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda module: None if module == name else module)
    with pytest.raises(ModuleNotFoundError, match=rf"{name} .*modelslab-async\[sandbox\]"):
        async with Sandbox():
            pass


@pytest.mark.anyio
async def test_rendering_leaves_the_event_loop_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The render waits for a signal that only a running event loop can give."""
    turn = threading.Event()
    genuine = FileStore._make

    def patient(store: FileStore, job: Any, extension: str) -> bytes:
        assert turn.wait(30), "the event loop stood still during the render"
        return genuine(store, job, extension)

    monkeypatch.setattr(FileStore, "_make", patient)
    scenario = Scenario(generation_seconds=0)
    async with Sandbox(scenario) as box, client_of(box) as client:
        generation = await client.generate(MusicGen("rain", max_new_token=256))
        async with asyncio.TaskGroup() as group:
            saved = group.create_task(client.download(generation, to=tmp_path))
            while not box.book.count("storage"):
                await asyncio.sleep(0)
            turn.set()
    assert saved.result().integrity == "exact"
