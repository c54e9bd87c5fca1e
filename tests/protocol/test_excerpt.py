"""A short copy of a sound is the same sound, and costs the same for any length."""

from __future__ import annotations

import io
import math
import struct
import wave
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.excerpt import LOUDEST, excerpt, peaks
from modelslab_async._protocol.sound import ReadAt
from modelslab_async._protocol.wav import Samples, samples_of

MOST = 20_000
GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def reading(data: bytes) -> ReadAt:
    return lambda offset, count: data[offset : offset + count]


def tone(seconds: float, rate: int, hertz: float = 440, height: float = 0.5) -> list[float]:
    count = round(seconds * rate)
    return [height * math.sin(2 * math.pi * hertz * at / rate) for at in range(count)]


def packed(values: list[float], tag: int, width: int, order: str) -> bytes:
    if tag == 3:
        return struct.pack(f"{order}{len(values)}{'f' if width == 4 else 'd'}", *values)
    if width == 1:
        return bytes(round(128 + 127 * value) for value in values)
    scale = 2 ** (8 * width - 1) - 1
    name = "big" if order == ">" else "little"
    return b"".join(round(v * scale).to_bytes(width, name, signed=True) for v in values)


def wav_of(
    values: list[float],
    *,
    rate: int,
    tag: int = 1,
    width: int = 2,
    channels: int = 1,
    order: str = "<",
) -> bytes:
    """The same values in each channel."""
    data = packed([value for value in values for _ in range(channels)], tag, width, order)
    block = channels * width
    fmt = struct.pack(f"{order}HHIIHH", tag, channels, rate, rate * block, block, 8 * width)
    if tag == 0xFFFE:
        fmt += struct.pack(f"{order}HHI", 22, 8 * width, 0) + GUID
    mark = b"RIFF" if order == "<" else b"RIFX"
    body = b"WAVEfmt " + struct.pack(f"{order}I", len(fmt)) + fmt
    body += b"data" + struct.pack(f"{order}I", len(data)) + data
    return mark + struct.pack(f"{order}I", len(body)) + body


def found(data: bytes) -> Samples:
    samples = samples_of(reading(data), len(data))
    assert samples is not None
    return samples


def decoded(data: bytes) -> tuple[int, list[float]]:
    """The rate and the values of a copy, as the standard library reads it."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 1)
        return file.getframerate(), [(byte - 128) / 128 for byte in file.readframes(10**9)]


FORMATS = [
    *((1, width, channels, "<") for width in (1, 2, 3, 4) for channels in (1, 2)),
    (1, 2, 2, ">"),
    (1, 1, 1, ">"),
    *((3, width, 2, order) for width in (4, 8) for order in "<>"),
    (0xFFFE, 2, 2, "<"),
]


@pytest.mark.parametrize(("tag", "width", "channels", "order"), FORMATS)
def test_a_copy_has_the_samples_of_each_format(
    tag: int, width: int, channels: int, order: str
) -> None:
    values = tone(0.1, 16_000)
    data = wav_of(values, rate=16_000, tag=tag, width=width, channels=channels, order=order)
    copy, seconds = excerpt(reading(data), found(data), MOST)
    rate, heard = decoded(copy)
    assert (rate, len(heard), seconds) == (16_000, len(values), 0.1)
    assert max(abs(a - b) for a, b in zip(heard, values, strict=True)) < 0.02
    assert abs(max(peaks(reading(data), found(data), 160)) - 0.5 * LOUDEST) <= 2


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000, 96_000])
def test_a_copy_of_any_rate_sounds_as_high_and_as_long(rate: int) -> None:
    data = wav_of(tone(0.5, rate, hertz=200), rate=rate, channels=2)
    copy, seconds = excerpt(reading(data), found(data), MOST)
    its_rate, heard = decoded(copy)
    assert seconds == pytest.approx(0.5, abs=0.001)
    rises = sum(a < 0 <= b for a, b in pairwise(heard))
    assert rises / seconds == pytest.approx(200, abs=4)
    assert its_rate <= 24_000


def test_a_copy_is_never_larger_than_it_may_be() -> None:
    data = wav_of(tone(3, 16_000), rate=16_000)
    copy, seconds = excerpt(reading(data), found(data), 16_044)
    assert len(copy) == 16_044
    assert seconds == 1


def test_the_waveform_shows_the_whole_sound_and_not_only_its_beginning() -> None:
    values = [0.0] * 8000 + [0.9] * 8000
    data = wav_of(values, rate=16_000)
    assert peaks(reading(data), found(data), 4) == [0, 0, 115, 115]


def test_a_waveform_has_no_more_bars_than_the_sound_has_frames() -> None:
    data = wav_of([0.5, -1.0], rate=16_000)
    assert peaks(reading(data), found(data), 160) == [64, 127]


def test_a_sound_of_half_a_gigabyte_costs_no_more_than_a_short_one() -> None:
    head = wav_of([0.5] * 8, rate=48_000, channels=2)
    size = 500_000_000
    asked = []

    def read_at(offset: int, count: int) -> bytes:
        asked.append(count)
        return head[offset : offset + count].ljust(min(count, size - offset), b"\x20")

    long = head[:4] + struct.pack("<I", size - 8) + head[8:40] + struct.pack("<I", size - 44)
    head = long + head[44:]
    samples = samples_of(read_at, size)
    assert samples is not None
    assert len(peaks(read_at, samples, 160)) == 160
    assert len(excerpt(read_at, samples, 190_000)[0]) == 190_000
    assert sum(asked) < 6_000_000


def test_values_that_are_no_numbers_are_silence_and_too_loud_ones_are_loudest() -> None:
    values = [math.nan, math.inf, -math.inf, 9.0, 0.0]
    data = wav_of(values, rate=16_000, tag=3, width=4)
    heard = decoded(excerpt(reading(data), found(data), MOST)[0])[1]
    assert heard == [0, 127 / 128, -127 / 128, 127 / 128, 0]
    assert peaks(reading(data), found(data), 5) == [0, 127, 127, 127, 0]


def test_a_file_that_has_lost_its_end_gives_what_is_left() -> None:
    data = wav_of(tone(0.1, 16_000), rate=16_000)
    samples = found(data)
    assert len(excerpt(reading(data[:-1001]), samples, MOST)[0]) < len(data) // 2
    assert peaks(reading(data[:44]), samples, 3) == [0, 0, 0]


@pytest.mark.parametrize(("tag", "width"), [(6, 1), (7, 1), (1, 8), (0x55, 2)])
def test_encoded_samples_are_not_taken_for_plain_ones(tag: int, width: int) -> None:
    data = wav_of([0.0] * 16, rate=16_000, tag=1, width=1)
    data = (
        data[:20]
        + struct.pack("<H", tag)
        + data[22:32]
        + struct.pack("<HH", width, 8 * width)
        + data[36:]
    )
    assert samples_of(reading(data), len(data)) is None


@given(st.binary(max_size=200))
def test_any_bytes_after_a_mark_are_samples_or_none(data: bytes) -> None:
    data = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + data
    samples = samples_of(reading(data), len(data))
    if samples is not None:
        copy, seconds = excerpt(reading(data), samples, MOST)
        assert len(copy) <= MOST
        assert seconds >= 0
        assert all(0 <= bar <= LOUDEST for bar in peaks(reading(data), samples, 160))


def test_a_sound_without_a_frame_has_no_bar() -> None:
    data = wav_of([0.1], rate=16_000)
    empty = data[:40] + b"\0\0\0\0"
    samples = samples_of(reading(empty), len(empty))
    assert samples is not None
    assert peaks(reading(empty), samples, 160) == []
