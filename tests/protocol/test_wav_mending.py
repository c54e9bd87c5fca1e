"""A WAV that only this library could read is written anew, sample by sample the same (D52)."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.audio import examine, examine_bytes, refusal
from modelslab_async._protocol.sound import AudioFormat, Completeness, NotSound, Sound
from modelslab_async.sandbox._audio.codecs import flac

from ..support.tracks import wav

WHOLE = wav(500)
SAMPLES = WHOLE[44:]
FLAC = flac(WHOLE)
MP3 = (b"\xff\xfb\x90\x64" + b"\x55" * 413) * 20
FMT = WHOLE[20:36]
GUID = bytes.fromhex("0100000000001000800000aa00389b71")
OPEN = 0xFFFFFFFF


def chunk(name: bytes, body: bytes, size: int | None = None, *, pad: bool = True) -> bytes:
    size = len(body) if size is None else size
    return name + struct.pack("<I", size) + body + b"\0" * (pad and len(body) % 2)


def riff(*chunks: bytes, size: int | None = None, mark: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return mark + struct.pack("<I", len(body) if size is None else size) + body


def plain(tag: int, rate: int, per_second: int, block: int, bits: int) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, 1, rate, per_second, block, bits))


def extensible(channels: int = 1, valid: int = 16, guid: bytes = GUID) -> bytes:
    block = 2 * channels
    head = struct.pack("<HHIIHH", 0xFFFE, channels, 10_000, 10_000 * block, block, 16)
    return chunk(b"fmt ", head + struct.pack("<HHI", 22, valid, 4) + guid)


def mended(data: bytes) -> bytes:
    """The file as it is published."""
    sound = examine_bytes(data)
    assert isinstance(sound, Sound)
    if not sound.mended:
        return data
    parts = (p if isinstance(p, bytes) else data[p.start : p.stop] for p in sound.mended)
    return b"".join(parts)


F, D = chunk(b"fmt ", FMT), chunk(b"data", SAMPLES)
DS64 = chunk(b"ds64", struct.pack("<QQQI", 4 + 36 + 24 + 8 + 1000, 1000, 500, 0))
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n"
BOUNDARY = b"--b0undary\r\nContent-Type: audio/wav\r\n\r\n"
ID3 = b"ID3\4\0\0\0\0\x26\0" + bytes(0x26 << 7)
BROKEN: dict[str, bytes] = {
    "LIST without its pad byte": riff(F, chunk(b"LIST", b"INFOx", pad=False), D),
    "two chunks without pad bytes": riff(
        F, chunk(b"LIST", b"INFOx", pad=False), chunk(b"fact", b"abc", pad=False), D
    ),
    "bext of odd size without its pad byte": riff(chunk(b"bext", bytes(603), pad=False), F, D),
    "LIST longer than it says": riff(F, chunk(b"LIST", bytes(64), size=4), D),
    "LIST that overshoots into the sound": riff(F, chunk(b"LIST", bytes(20), size=500), D),
    "LIST that overshoots the file": riff(F, chunk(b"LIST", bytes(20), size=1 << 30), D),
    "LIST of odd size that overshoots": riff(F, chunk(b"LIST", bytes(21), 999, pad=False), D),
    "sizes of ffmpeg to a pipe": riff(F, chunk(b"data", SAMPLES, OPEN), size=OPEN),
    "sizes of zero": riff(F, chunk(b"data", SAMPLES, 0), size=0),
    "sizes of sox to a pipe": riff(F, chunk(b"data", SAMPLES, 0x7FFFF000), size=0x7FFFF024),
    "only the RIFF size open": riff(F, D, size=OPEN),
    "only the data size open": riff(F, chunk(b"data", SAMPLES, OPEN)),
    "a RIFF size of zero": riff(F, D, size=0),
    "a RIFF size too small": riff(F, D, size=500),
    "a RIFF size too small, and a page behind": riff(F, D, size=500) + b"<html>",
    "no block align": riff(plain(1, 10_000, 0, 0, 16), D),
    "an impossible block align": riff(plain(1, 10_000, 20_000, 7, 16), D),
    "extensible": riff(extensible(), D),
    "extensible without valid bits": riff(extensible(valid=0), D),
    "RF64": riff(DS64, F, chunk(b"data", SAMPLES, OPEN), size=OPEN, mark=b"RF64"),
    "BW64": riff(DS64, F, chunk(b"data", SAMPLES, OPEN), size=OPEN, mark=b"BW64"),
    "RF64 of 32-bit sizes": riff(F, D, mark=b"RF64"),
    "RF64 without long sizes": riff(F, chunk(b"data", SAMPLES, OPEN), size=OPEN, mark=b"RF64"),
    "a mark of UTF-8 in front": b"\xef\xbb\xbf" + WHOLE,
    "a line in front": b"\r\n" + WHOLE,
    "zeros in front": bytes(512) + WHOLE,
    "headers in front": HTTP + WHOLE,
    "ICY headers in front": b"ICY 200 OK\r\nicy-name: x\r\n\r\n" + WHOLE,
    "boundaries around it": BOUNDARY + WHOLE + b"\r\n--b0undary--\r\n",
    "a tag in front": ID3 + WHOLE,
    "a tag in front of a broken LIST": ID3 + riff(F, chunk(b"LIST", b"INFOx", pad=False), D),
    "a line in front of open sizes": b"\n" + riff(F, chunk(b"data", SAMPLES, 0), size=0),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_wav_opens_in_a_strict_reader_and_holds_the_same_samples(data: bytes) -> None:
    again = mended(data)
    assert again != data
    with wave.open(io.BytesIO(again)) as reader:
        assert (reader.getnchannels(), reader.getframerate()) == (1, 10_000)
        assert reader.getnframes() == len(SAMPLES) // 2
        assert reader.readframes(10_000) == SAMPLES
    sound = examine_bytes(again)
    assert isinstance(sound, Sound)
    assert not sound.mended
    if not again.endswith(b"<html>"):
        assert sound.completeness is Completeness.EXACT


def big_endian(size: int = 1036) -> bytes:
    fmt = struct.pack(">IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    head = b"RIFX" + struct.pack(">I", size) + b"WAVEfmt " + fmt
    return head + b"data" + struct.pack(">I", 1000) + SAMPLES


FINE: dict[str, bytes] = {
    "plain": WHOLE,
    "chunks around": riff(
        chunk(b"JUNK", bytes(28)), F, chunk(b"fact", bytes(4)), D, chunk(b"id3 ", b"ID3")
    ),
    "an odd chunk at the end, without its pad byte": riff(F, D, chunk(b"id3 ", b"ID3", pad=False)),
    "a page behind it": WHOLE + b"<html>",
    "24 bits in 32": riff(plain(1, 8000, 32000, 4, 24), D),
    "float": riff(plain(3, 8000, 32000, 4, 32), D),
    "ADPCM": riff(plain(2, 8000, 4000, 256, 4), D),
    "six channels, extensible": riff(extensible(6), D),
    "extensible of fewer valid bits": riff(extensible(valid=12), D),
    "extensible float": riff(extensible(guid=b"\3" + GUID[1:]), D),
    "big-endian": big_endian(),
    "a cut one, which says so itself": WHOLE[:-100],
    "a RIFF size that promises more": riff(F, D, size=5000),
}


@pytest.mark.parametrize("data", FINE.values(), ids=FINE.keys())
def test_a_wav_that_others_read_stays_as_it_is(data: bytes) -> None:
    sound = examine_bytes(data)
    assert isinstance(sound, Sound)
    assert sound.mended == ()


def test_a_broken_big_endian_wav_is_mended_in_its_own_order() -> None:
    assert mended(big_endian(OPEN)) == big_endian()


def test_an_odd_sound_gets_its_pad_byte_and_keeps_what_stands_behind_it() -> None:
    tail = chunk(b"LIST", b"INFOISFT\4\0\0\0test")
    odd = SAMPLES + b"\1"
    for data in (
        riff(F, D, tail, size=0),
        riff(F, chunk(b"data", odd, pad=False), tail, size=0),
        riff(F, chunk(b"data", odd), tail, size=0),
        riff(F, chunk(b"data", odd, 0, pad=False), size=0),
    ):
        again = mended(data)
        assert again.endswith(tail) or tail not in data
        assert struct.unpack("<I", again[4:8])[0] == len(again) - 8
        assert len(again) % 2 == 0
        with wave.open(io.BytesIO(again)) as reader:
            assert reader.getnframes() == len(SAMPLES) // 2


def test_t10_chunks_without_number_behind_the_sound_are_not_all_read() -> None:
    data = riff(F, D, chunk(b"note", b"") * 10_005, size=0)
    again = mended(data)
    assert again.endswith(data[-8 * 10_005 :])
    with wave.open(io.BytesIO(again)) as reader:
        assert reader.readframes(10_000) == SAMPLES


def test_a_cut_wav_whose_chunks_cannot_be_found_is_mended_to_what_is_there() -> None:
    """It is published only as `source_short`."""
    data = BROKEN["LIST without its pad byte"][:-100]
    sound = examine_bytes(data)
    assert isinstance(sound, Sound)
    assert sound.completeness is Completeness.SHORT
    with wave.open(io.BytesIO(mended(data))) as reader:
        assert reader.getnframes() == len(SAMPLES) // 2 - 50


@pytest.mark.parametrize(
    "data",
    [
        riff(F, chunk(b"data", b"")),
        riff(F, chunk(b"data", b""), chunk(b"LIST", b"INFO")),
        riff(F, chunk(b"data", b""), chunk(b"LIST", b"INFO"), size=OPEN),
        b"\n" + riff(F, chunk(b"data", b"")),
    ],
)
def test_a_wav_of_no_samples_is_not_sound(data: bytes) -> None:
    """Whatever chunks it has: an encoder that failed writes such a file."""
    assert examine_bytes(data) == NotSound("WAV header without any sound")


def test_a_file_too_large_for_a_riff_is_left_alone() -> None:
    size = 5 * 2**30
    head = riff(F, chunk(b"data", b"", 0), size=0)
    sound = examine(lambda at, count: head[at : at + count].ljust(count, b"x"), size)
    assert isinstance(sound, Sound)
    assert sound.mended == ()


def test_a_format_behind_what_is_taken_for_the_sound_is_not_mended() -> None:
    """The name of the sound stands in a text before its format: nothing is certain there."""
    data = riff(chunk(b"LIST", b"data\2\0\0\0xx"), F, chunk(b"LIST", b"x" * 9, 1 << 30))
    sound = examine_bytes(data)
    assert isinstance(sound, Sound)
    assert sound.mended == ()


OTHERS: dict[str, tuple[bytes, AudioFormat, bytes]] = {
    "a mark of UTF-8 and an MP3": (b"\xef\xbb\xbf" + MP3, AudioFormat.MP3, MP3),
    "headers and an MP3": (HTTP + MP3, AudioFormat.MP3, MP3),
    "headers and a tag": (HTTP + ID3 + MP3, AudioFormat.MP3, ID3 + MP3),
    "a line and a FLAC": (b"\n" + FLAC, AudioFormat.FLAC, FLAC),
    "headers and a FLAC": (BOUNDARY + FLAC, AudioFormat.FLAC, FLAC),
}


@pytest.mark.parametrize(("data", "form", "whole"), OTHERS.values(), ids=OTHERS.keys())
def test_what_stands_in_front_of_another_format_is_dropped(
    data: bytes, form: AudioFormat, whole: bytes
) -> None:
    sound = examine_bytes(data)
    assert isinstance(sound, Sound)
    assert sound.format is form
    assert sound.note
    assert mended(data) == whole


@pytest.mark.parametrize(
    "data",
    [
        b"PK\3\4" + bytes(26) + WHOLE,
        b"OggS" + bytes(100) + WHOLE,
        b'{"audio": "RIFF....WAVEfmt "}',
        b"a text about RIFF, and WAVE files " * 9,
        bytes(5000) + WHOLE,
        b"\1\2\3" + MP3,
        b"\n" + WHOLE[:30],
    ],
    ids=["archive", "Ogg", "JSON", "text", "too far", "binary", "header only"],
)
def test_not_everything_that_holds_a_mark_is_a_sound(data: bytes) -> None:
    assert isinstance(examine_bytes(data), NotSound)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"<html><body>", "HTML page"),
        (b"HTTP/1.1 200 OK", None),
        (b"Not found".ljust(4096), "text"),
        (bytes(100), None),
        (bytes(4096), "zero bytes"),
        (b"", None),
        (WHOLE[:20], None),
        (b"OggS" + bytes(30), "Ogg file"),
    ],
)
def test_a_body_is_refused_as_soon_as_its_beginning_says_enough(
    head: bytes, reason: str | None
) -> None:
    assert refusal(head) == reason


@given(
    st.lists(
        st.builds(
            lambda name, body, pad: chunk(name, body, pad=pad),
            st.sampled_from((b"LIST", b"fact", b"JUNK", b"bext", b"odd ")),
            st.binary(max_size=9),
            st.booleans(),
        ),
        max_size=4,
    ),
    st.sampled_from([None, 0, OPEN, 40]),
    st.sampled_from([None, 0, OPEN]),
    st.sampled_from([b"", b"\r\n", HTTP, ID3]),
)
def test_whatever_is_wrong_a_mended_file_is_right_and_keeps_its_samples(
    before: list[bytes], riff_size: int | None, data_size: int | None, front: bytes
) -> None:
    data = front + riff(F, *before, chunk(b"data", SAMPLES, data_size), size=riff_size)
    verdict = examine_bytes(data)
    assert isinstance(verdict, Sound)
    again = mended(data)
    assert SAMPLES in again
    if verdict.mended:
        sound = examine_bytes(again)
        assert isinstance(sound, Sound)
        assert sound.mended == ()
        assert sound.seconds == verdict.seconds
