"""A fault of a sound just over its threshold has a flag; just under it, there is none."""

from __future__ import annotations

import json
import math
import struct
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.sound_check import (
    PLACES,
    SoundCheck,
    check_sound,
    length_flags,
)

from ..support.sounds import faded, long_form, still, tone, wav_of


def checked(data: bytes) -> SoundCheck | None:
    return check_sound(lambda offset, count: data[offset : offset + count], len(data))


def mono(*parts: list[float], width: int = 2, is_float: bool = False) -> bytes:
    return wav_of(chain(*parts), width=width, is_float=is_float)


PLAIN = tone(3)
RISE = [1 - 2**-15] * 3
LOUD = [1 - 2**-15] * 4
# A wave of 1 s at -60 dBFS is 0.001 of full scale, 32.8 steps of 16 bits.
FILES = {
    "a tone": (mono(PLAIN), []),
    "8 bits": (mono(PLAIN, width=1), []),
    "24 bits": (mono(PLAIN, width=3), []),
    "32 bits": (mono(PLAIN, width=4), []),
    "float": (mono(PLAIN, width=4, is_float=True), []),
    "double": (mono(PLAIN, width=8, is_float=True), []),
    "stereo": (wav_of(PLAIN, PLAIN), []),
    "RF64": (long_form(mono(tone(8), still(1.05))), ["dead_tail"]),
    "digital silence": (mono(still(3)), ["silent"]),
    "8-bit silence": (mono(still(3), width=1), ["silent"]),
    "float silence": (mono(still(3), width=4, is_float=True), ["silent"]),
    "just silent": (mono(tone(3, 0.00098)), ["silent"]),
    "just not silent": (mono(tone(3, 0.00102)), []),
    "silent in 24 bits": (mono(tone(3, 0.00098), width=3), ["silent"]),
    "silent as float": (mono(tone(3, 0.00098), width=4, is_float=True), ["silent"]),
    "one channel silent": (wav_of(PLAIN, still(3)), []),
    "a tail of 11 %": (mono(tone(8.9), still(1.15)), ["dead_tail"]),
    "a tail of 9 %": (mono(tone(10.5), still(1.04)), []),
    "a tail of 0.9 s": (mono(tone(2), still(0.9)), []),
    "a quiet tail": (mono(tone(8), tone(1.2, 0.0009)), ["dead_tail"]),
    "a tail of noise at -55 dB": (mono(tone(8), tone(1.2, 0.0018)), []),
    "a long fade": (mono(faded(tone(10), 6)), []),
    "a fade and a short rest": (mono(faded(tone(10), 3), still(0.5)), []),
    "a fade and a long rest": (mono(faded(tone(8), 3), still(1.5)), ["dead_tail"]),
    "a gap of 2.2 s": (mono(tone(2), still(2.2), tone(2)), ["gap"]),
    "a gap of 1.9 s": (mono(tone(2), still(1.9), tone(2)), []),
    "a gap and a tail": (mono(tone(2), still(2.2), tone(2), still(2)), ["dead_tail", "gap"]),
    "a late beginning": (mono(still(2.5), tone(2)), []),
    "four at full scale": (mono(PLAIN, LOUD, PLAIN), ["clipped"]),
    "three at full scale": (mono(PLAIN, RISE, PLAIN), []),
    "four below zero": (mono(PLAIN, [-1.0] * 4, PLAIN), ["clipped"]),
    "two up and two down": (mono(PLAIN, [1.0, 1.0, -1.0, -1.0], PLAIN), []),
    "four just below": (mono(PLAIN, [1 - 2**-14] * 4, PLAIN), []),
    "two in each of two channels": (
        wav_of([*PLAIN, 1.0, 1.0, *PLAIN], [*PLAIN, 1.0, 1.0, *PLAIN]),
        [],
    ),
    "clipped in the right channel": (
        wav_of([*PLAIN, *still(4 / 8000)], [*PLAIN, *LOUD]),
        ["clipped"],
    ),
    "clipped in 8 bits": (mono(PLAIN, [1.0] * 4, width=1), ["clipped"]),
    "clipped in 24 bits": (mono(PLAIN, [-1.0] * 4, width=3), ["clipped"]),
    "clipped as float": (mono(PLAIN, [1.5] * 4, width=4, is_float=True), ["clipped"]),
    "just not clipped as float": (mono(PLAIN, [0.99] * 4, width=4, is_float=True), []),
    "off zero by 2.1 %": (mono([value + 0.021 for value in PLAIN]), ["dc"]),
    "off zero by 1.9 %": (mono([value + 0.019 for value in PLAIN]), []),
    "off zero in 24 bits": (mono([value - 0.021 for value in PLAIN], width=3), ["dc"]),
    "off zero as float": (mono([v - 0.021 for v in PLAIN], width=4, is_float=True), ["dc"]),
    "channels off zero in turn": (
        wav_of([v + 0.03 for v in PLAIN], [v - 0.03 for v in PLAIN]),
        ["dc"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_exactly_the_flags_of_its_faults(name: str) -> None:
    data, flags = FILES[name]
    found = checked(data)
    assert found is not None
    assert list(found.flags) == flags


@pytest.mark.parametrize("data", [b"", b"fLaC", b"ID3\4\0", wav_of([0.5])[:30], wav_of([])])
def test_what_holds_no_samples_is_not_checked(data: bytes) -> None:
    assert checked(data) is None


@pytest.mark.parametrize(
    ("level", "width", "is_float", "decibels"),
    [
        (1.0, 2, False, 0.0),
        (0.5, 2, False, -6.02),
        (0.001, 2, False, -59.92),
        (0.5, 3, False, -6.02),
        (0.5, 1, False, -6.02),
        (0.5, 4, True, -6.02),
        (2.0, 4, True, 6.02),
        (0.0, 2, False, None),
        (0.0, 1, False, None),
        (0.0, 4, True, None),
    ],
)
def test_the_peak_is_in_decibels_of_full_scale(
    level: float, width: int, is_float: bool, decibels: float | None
) -> None:
    found = checked(mono(tone(1, level), width=width, is_float=is_float))
    assert found is not None
    assert found.peak_dbfs == pytest.approx(decibels, abs=0.1) if decibels else not found.peak_dbfs


def test_floats_that_are_no_numbers_have_a_peak_that_json_can_hold() -> None:
    found = checked(mono(PLAIN, [math.nan, math.inf, -math.inf], width=4, is_float=True))
    assert found is not None
    assert json.loads(json.dumps(found.peak_dbfs, allow_nan=False)) > 100


def test_peaks_draw_the_sound_from_its_beginning_to_its_end() -> None:
    found = checked(mono(tone(1, 0.5), still(1), tone(1, 0.25), tone(1, 1.0)))
    assert found is not None
    assert len(found.peaks) == PLACES
    assert [found.peaks[at] for at in (10, 90, 150, 220)] == [64, 0, 32, 127]


@pytest.mark.parametrize("frames", [1, 2, 239, 240, 241])
def test_a_sound_of_few_samples_has_as_many_peaks_at_most(frames: int) -> None:
    found = checked(wav_of([0.5] * frames))
    assert found is not None
    assert found.peaks == bytes([64] * min(frames, PLACES))


def test_the_same_samples_have_one_digest_whatever_stands_around_them() -> None:
    one = mono(PLAIN)
    other = one[:12] + b"LIST" + struct.pack("<I", 4) + b"INFO" + one[12:]
    changed = one[:-2] + b"\1\1"
    digests = [found.digest for data in (one, other, changed) if (found := checked(data))]
    assert digests[0] == digests[1] != digests[2]


def test_a_run_at_full_scale_is_found_wherever_the_file_is_cut_into_parts() -> None:
    for at in range(30, 50):  # a peak is taken from 33 frames: the run lies across a cut, too
        sound = [0.0] * 8000
        sound[at : at + 4] = [1.0] * 4
        found = checked(wav_of(sound))
        assert found is not None
        assert "clipped" in found.flags


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=600),
    st.sampled_from([2, 3, 4]),
)
def test_peaks_are_those_that_a_loop_over_all_samples_finds(values: list[int], width: int) -> None:
    found = checked(wav_of([value / 32768 for value in values], width=width))
    assert found is not None
    heights = [value if value >= 0 else -1 - value for value in values]
    count = min(len(values), PLACES)
    bounds = [len(values) * place // count for place in range(count + 1)]
    highest = [max(heights[begin:end]) for begin, end in pairwise(bounds)]
    assert list(found.peaks) == [height >> 8 for height in highest]
    top = max(highest)
    full = 32768 if top == 32767 else top
    assert found.peak_dbfs == (round(20 * math.log10(full / 32768), 2) if top else None)


@given(st.binary(max_size=300), st.integers(0, 200), st.sampled_from([1, 2, 3, 4]))
def test_no_bytes_make_the_check_fail(tail: bytes, cut: int, width: int) -> None:
    whole = mono(tone(0.05), width=width)
    checked(whole[: len(whole) - cut] + tail)
    checked(whole[: min(cut, 44)] + tail)


@pytest.mark.parametrize(
    ("seconds", "asked", "flags"),
    [
        (26.9, (30, 30), ("short",)),
        (27.1, (30, 30), ()),
        (32.9, (30, 30), ()),
        (33.1, (30, 30), ("long",)),
        (10.0, (5.12, 30), ()),
        (4.0, (5.12, 30), ("short",)),
        (None, (30, 30), ()),
        (1.0, None, ()),
    ],
)
def test_a_length_is_judged_by_what_was_asked_for(
    seconds: float | None, asked: tuple[float, float] | None, flags: tuple[str, ...]
) -> None:
    assert length_flags(seconds, asked) == flags


def test_floats_in_the_other_order_and_long_files_are_checked_alike() -> None:
    little = mono(tone(1), width=4, is_float=True)
    samples = little[44:] if little[36:40] == b"data" else little[little.index(b"data") + 8 :]
    turned = b"".join(samples[at : at + 4][::-1] for at in range(0, len(samples), 4))
    fmt = struct.pack(">HHIIHH", 3, 1, 32000, 128000, 4, 32)
    body = b"WAVEfmt " + struct.pack(">I", 16) + fmt + b"data" + struct.pack(">I", len(turned))
    big = b"RIFX" + struct.pack(">I", len(body) + len(turned)) + body + turned
    ours, other = checked(little), checked(big)
    assert ours is not None
    assert other is not None
    assert (other.peaks, other.flags) == (ours.peaks, ours.flags)
    long = checked(mono(tone(1) * 101))  # of which every second place is summed
    assert long is not None
    assert long.flags == ()
