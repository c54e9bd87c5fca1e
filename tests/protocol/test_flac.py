"""FLAC counts its samples, and each frame has a checksum: a cut one is known (D16, D51)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.audio import examine_bytes
from modelslab_async._protocol.sound import AudioFormat, Completeness, NotSound, Sound
from modelslab_async.sandbox._audio.codecs import flac

from ..support.tracks import wav

FRAMES = 9000
WHOLE = flac(wav(FRAMES))
FIRST = WHOLE.index(b"\xff\xf8")
SECOND = WHOLE.index(b"\xff\xf8", FIRST + 8000)
OLD_TAG = b"TAG" + bytes(125)
ID3 = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)


def the_sound(data: bytes) -> Sound:
    verdict = examine_bytes(data)
    assert isinstance(verdict, Sound)
    assert verdict.format is AudioFormat.FLAC
    return verdict


def with_total(total: int) -> bytes:
    """The whole file, whose header counts so many samples."""
    packed = int.from_bytes(WHOLE[18:26], "big") >> 36 << 36 | total
    return WHOLE[:18] + packed.to_bytes(8, "big") + WHOLE[26:]


def crc(data: bytes, width: int, polynomial: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << width - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> width - 1 else 0)
    return value


def crc8(data: bytes) -> int:
    return crc(data, 8, 0x107)


def crc16(data: bytes) -> int:
    return crc(data, 16, 0x18005)


def frame(number: bytes, codes: bytes, more: bytes = b"", mark: bytes = b"\xff\xf9") -> bytes:
    """A frame of one channel, that is silent: its header, and one constant sample."""
    head = mark + codes + number + more
    head += bytes([crc8(head)])
    body = head + b"\0\0\0"
    return body + struct.pack(">H", crc16(body))


def stream(*frames: bytes, total: int, rate: int = 8000) -> bytes:
    info = bytes(10) + (rate << 44 | 15 << 36 | total).to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\0\0\x22" + info + b"".join(frames)


def test_a_whole_flac_is_exact() -> None:
    verdict = the_sound(WHOLE)
    assert verdict.completeness is Completeness.EXACT
    assert verdict.declared_size == len(WHOLE)
    assert (verdict.seconds, verdict.sample_rate, verdict.channels) == (FRAMES / 10_000, 10_000, 1)


@pytest.mark.parametrize(
    ("data", "completeness"),
    [
        (with_total(0), Completeness.UNKNOWN),
        (with_total(FRAMES - 5), Completeness.UNKNOWN),
        (with_total(FRAMES + 1), Completeness.SHORT),
        (WHOLE + OLD_TAG, Completeness.EXACT),
        (ID3 + WHOLE, Completeness.EXACT),
        (WHOLE + OLD_TAG[:-1], Completeness.SHORT),
        (WHOLE[:-1] + b"\0", Completeness.SHORT),
        (WHOLE[:-9], Completeness.SHORT),
        (with_total(0)[:-9], Completeness.SHORT),
        (WHOLE[:SECOND], Completeness.SHORT),
        (WHOLE[: FIRST + 100], Completeness.SHORT),
    ],
    ids=[
        "no total", "more than counted", "fewer than counted", "old tag", "tag in front",
        "old tag cut", "wrong checksum", "cut", "cut and no total", "one frame", "cut in it",
    ],
)  # fmt: skip
def test_a_flac_is_whole_if_all_samples_are_there_and_the_last_frame_is(
    data: bytes, completeness: Completeness
) -> None:
    assert the_sound(data).completeness is completeness


@pytest.mark.parametrize(
    ("codes", "more", "samples"),
    [
        (b"\x10\x08", b"", 192),
        (b"\x20\x08", b"", 576),
        (b"\x50\x08", b"", 4608),
        (b"\x60\x08", b"\x09", 10),
        (b"\x70\x08", b"\x0f\x9f", 4000),
        (b"\xc0\x08", b"", 4096),
        (b"\xcc\x08", b"\x08", 4096),
        (b"\xcd\x08", b"\x1f\x40", 4096),
        (b"\x7e\x08", b"\x00\x0f\x03\x20", 16),
    ],
)
def test_every_way_to_name_the_size_of_a_frame_is_read(
    codes: bytes, more: bytes, samples: int
) -> None:
    """RFC 9639, section 9.1."""
    one = stream(frame(b"\0", codes, more), total=samples)
    assert the_sound(one).completeness is Completeness.EXACT
    assert the_sound(one).seconds == samples / 8000


def test_frames_that_are_numbered_by_their_samples_follow_one_another() -> None:
    numbers = (
        b"\0",
        "\u1000".encode(),
        "\u2000".encode(),
        "\u3000".encode(),
    )
    frames = [frame(number, b"\xc0\x08") for number in numbers]
    assert the_sound(stream(*frames, total=4 * 4096)).completeness is Completeness.EXACT
    assert the_sound(stream(frames[0], frames[2], total=8192)).completeness is Completeness.SHORT


def test_a_mark_inside_a_frame_is_not_taken_for_the_next() -> None:
    inside = frame(b"\5", b"\xc0\x08", mark=b"\xff\xf8")
    first = frame(b"\0", b"\xc0\x08", mark=b"\xff\xf8")[:-2] + inside + bytes(20)
    first += struct.pack(">H", crc16(first))
    last = frame(b"\1", b"\xc0\x08", mark=b"\xff\xf8")
    assert the_sound(stream(first, last, total=8192)).completeness is Completeness.EXACT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (WHOLE[:41], "FLAC header cut short"),
        (WHOLE[:18] + bytes(3) + WHOLE[21:], "FLAC header with an impossible format"),
        (WHOLE[:4] + b"\4" + WHOLE[5:], "FLAC header with an impossible format"),
        (WHOLE[:FIRST], "FLAC header without its sound"),
        (WHOLE[:60], "FLAC header without its sound"),
        (WHOLE[:FIRST] + b"<html>Not found</html>", "FLAC header without its sound"),
        (b"fLaC\0\0\0\x22" + WHOLE[8:42] + b"\1\0\0\0" * 2000, "FLAC header without its sound"),
    ],
)  # fmt: skip
def test_a_flac_header_without_its_facts_or_its_sound_is_not_sound(
    data: bytes, reason: str
) -> None:
    assert examine_bytes(data) == NotSound(reason)


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xf8\x00\x08\0",  # no size
        b"\xff\xf8\xcf\x08\0",  # no rate
        b"\xff\xf8\xc0\xb8\0",  # no channels
        b"\xff\xf8\xc0\x09\0",  # a bit that must be 0
        b"\xff\xf8\xc0\x08\x80",  # a number that is none
        b"\xff\xf8\xc0\x08\xff",
        b"\xff\xf8\xc0\x08\xc3\x28",
        b"\xff\xf0\xc0\x08\0",
    ],
)
def test_a_reserved_value_is_no_header_of_a_frame(header: bytes) -> None:
    data = stream(header + bytes([crc8(header)]) + bytes(40), total=1)
    assert examine_bytes(data) == NotSound("FLAC header without its sound")


def test_t10_a_file_of_nothing_but_marks_is_judged_in_bounded_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelslab_async._protocol.flac._MAX_CANDIDATES", 100)
    frames = [frame(chr(n).encode(), b"\xc0\x08", mark=b"\xff\xf8") for n in range(200)]
    assert the_sound(stream(*frames, total=200 * 4096)).completeness is Completeness.SHORT
    monkeypatch.setattr("modelslab_async._protocol.flac._MAX_LAST_FRAME", 10)
    assert the_sound(stream(frames[0], total=4096)).completeness is Completeness.SHORT


@given(st.integers(0, len(WHOLE) - 1))
def test_no_part_of_a_flac_is_exact(cut: int) -> None:
    verdict = examine_bytes(WHOLE[:cut])
    assert isinstance(verdict, NotSound) or verdict.completeness is Completeness.SHORT


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:4] + bytes([WHOLE[4] & 0x7F]) + WHOLE[5:42],
        WHOLE[: FIRST + 4] + bytes([WHOLE[FIRST + 4] ^ 1]) + WHOLE[FIRST + 5 :],
    ],
    ids=["cut before the next block", "damaged header"],
)
def test_a_file_whose_first_frame_cannot_be_found_holds_no_sound(data: bytes) -> None:
    assert isinstance(examine_bytes(data), NotSound)
