"""What bytes are: whole sounds, cut ones, odd ones and no sounds (D05 to D16)."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.audio import examine, examine_bytes, is_silent, sniff
from modelslab_async._protocol.sound import AudioFormat, Completeness, NotSound, Sound

RATE = 8000
OPEN = 0xFFFFFFFF
FLOAT_GUID = struct.pack("<H", 3) + bytes.fromhex("000000001000800000aa00389b71")
PCM_GUID = struct.pack("<H", 1) + FLOAT_GUID[2:]


def fmt(
    tag: int = 1,
    bits: int = 16,
    channels: int = 2,
    rate: int = RATE,
    more: bytes = b"",
    block: int | None = None,
) -> bytes:
    block = channels * bits // 8 if block is None else block
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + more


def extensible(bits: int, guid: bytes) -> bytes:
    return fmt(0xFFFE, bits, more=struct.pack("<HHI", 22, bits, 3) + guid)


def chunk(name: bytes, body: bytes, size: int | None = None, *, pad: bool = True) -> bytes:
    size = len(body) if size is None else size
    return name + struct.pack("<I", size) + body + b"\0" * (pad and len(body) % 2)


def riff(*chunks: bytes, size: int | None = None, mark: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return mark + struct.pack("<I", len(body) if size is None else size) + body


def sound(seconds: float = 0.5, *, frame: int = 4) -> bytes:
    return bytes(range(1, 251)) * int(seconds * RATE * frame / 250)


PCM16 = riff(chunk(b"fmt ", fmt()), chunk(b"data", sound()))
FRAME = b"\xff\xfb\x90\x64" + b"\x55" * 413  # MPEG 1, 128 kbit/s, 44,100 Hz, joint stereo
MP3 = FRAME * 100


def the_sound(data: bytes) -> Sound:
    verdict = examine_bytes(data)
    assert isinstance(verdict, Sound)
    return verdict


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PCM16, id="pcm16"),
        pytest.param(
            riff(chunk(b"fmt ", fmt(bits=24)), chunk(b"data", sound(frame=6))), id="pcm24"
        ),
        pytest.param(
            riff(chunk(b"fmt ", fmt(3, 32)), chunk(b"data", sound(frame=8))), id="float32"
        ),
        pytest.param(
            riff(chunk(b"fmt ", extensible(16, PCM_GUID)), chunk(b"data", sound())),
            id="extensible pcm16",
        ),
        pytest.param(
            riff(chunk(b"fmt ", extensible(32, FLOAT_GUID)), chunk(b"data", sound(frame=8))),
            id="extensible float32",
        ),
        pytest.param(
            riff(chunk(b"fmt ", fmt(block=0)), chunk(b"data", sound())), id="block align 0"
        ),
        pytest.param(
            riff(
                chunk(b"JUNK", bytes(28)),
                chunk(b"bext", b"take 7".ljust(602, b"\0")),
                chunk(b"fmt ", fmt()),
                chunk(b"LIST", b"INFOISFT\x05\0\0\0test\0"),
                chunk(b"data", sound()),
                chunk(b"id3 ", b"ID3"),
            ),
            id="other chunks around",
        ),
        pytest.param(
            riff(chunk(b"fmt ", fmt()), chunk(b"LIST", b"odd", pad=False), chunk(b"data", sound())),
            id="odd LIST without its pad byte",
        ),
        pytest.param(
            riff(
                chunk(b"fmt ", fmt()),
                chunk(b"LIST", b"my data, metadata", size=5000, pad=False),
                chunk(b"data", sound()),
            ),
            id="LIST that overshoots into the sound",
        ),
        pytest.param(
            riff(
                chunk(b"fmt ", fmt()),
                chunk(b"LIST", bytes(8), size=1 << 30),
                chunk(b"data", sound()),
            ),
            id="LIST that overshoots the file",
        ),
        pytest.param(
            riff(chunk(b"fmt ", fmt()), chunk(b"LIST", bytes(64), size=4), chunk(b"data", sound())),
            id="LIST longer than it says",
        ),
        pytest.param(
            b"RIFX"
            + struct.pack(">I", 36 + 16000)
            + b"WAVEfmt "
            + struct.pack(">IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16)
            + b"data"
            + struct.pack(">I", 16000)
            + sound(),
            id="big-endian",
        ),
        pytest.param(
            riff(
                chunk(b"ds64", struct.pack("<QQQI", 16072, 16000, 4000, 0)),
                chunk(b"fmt ", fmt()),
                chunk(b"data", sound(), size=OPEN),
                mark=b"RF64",
                size=OPEN,
            ),
            id="RF64",
        ),
        pytest.param(
            riff(
                chunk(b"ds64", struct.pack("<QQQI", 1, 1, 1, 0)),
                chunk(b"fmt ", fmt()),
                chunk(b"data", sound()),
                mark=b"RF64",
            ),
            id="RF64 whose short sizes are in use",
        ),
    ],
)
def test_a_whole_wav_is_exact(data: bytes) -> None:
    """D15: its sizes agree with its bytes, whatever else it holds."""
    verdict = the_sound(data)
    assert verdict.format is AudioFormat.WAV
    assert verdict.completeness is Completeness.EXACT
    assert (verdict.seconds, verdict.sample_rate, verdict.channels) == (0.5, RATE, 2)
    assert verdict.declared_size == len(data)
    assert verdict.note == ""


def test_a_wav_by_the_standard_library_is_exact() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 1, RATE, 0, "NONE", ""))
        writer.writeframes(bytes(4001))
    verdict = the_sound(file.getvalue())
    assert verdict.completeness is Completeness.EXACT
    assert verdict.seconds == pytest.approx(4001 / RATE)


@pytest.mark.parametrize(
    ("tag", "bits", "channels", "rate", "frame"),
    [
        (1, 8, 1, 8000, 1),
        (1, 12, 2, 48000, 4),
        (1, 16, 64, 1_000_000, 128),
        (3, 64, 1, 44100, 8),
        (6, 8, 1, 8000, 1),
        (7, 8, 2, 8000, 2),
    ],
)
def test_an_uncompressed_wav_is_timed_by_its_frames(
    tag: int, bits: int, channels: int, rate: int, frame: int
) -> None:
    """Whatever its block align and byte rate say."""
    data = riff(chunk(b"fmt ", fmt(tag, bits, channels, rate, block=9)), chunk(b"data", bytes(512)))
    assert the_sound(data).seconds == pytest.approx(512 / frame / rate)


def test_a_compressed_wav_is_timed_by_its_byte_rate() -> None:
    data = riff(
        chunk(b"fmt ", fmt(tag=2, bits=4, channels=1, block=1)), chunk(b"data", bytes(4000))
    )
    assert the_sound(data).seconds == 0.5


def test_a_wav_that_names_no_rate_of_bytes_has_an_unknown_length() -> None:
    data = riff(chunk(b"fmt ", fmt(bits=0)), chunk(b"data", bytes(4000)))
    assert the_sound(data).seconds is None


@pytest.mark.parametrize(
    ("riff_size", "data_size", "declared"),
    [
        (OPEN, OPEN, None),
        (0, 0, None),
        (OPEN, 0, None),
        (OPEN - 8, OPEN - 44, None),
        (0x7FFFFFFF, 0x7FFFFFFF, None),
        (0x7FFFF024, 0x7FFFF000, None),
        (0x80000024, 0x80000000, None),
        (0, 15000, 15044),
        (OPEN, 15000, 15044),
        (15036, 0, 15044),
    ],
)
@pytest.mark.parametrize("mark", [b"RIFF", b"RF64"])
def test_a_size_left_open_makes_a_streaming_wav(
    mark: bytes, riff_size: int, data_size: int, declared: int | None
) -> None:
    """D15: legal, but something else must vouch for the length; RF64 may lack its long sizes.

    ffmpeg, sox, arecord and GStreamer each leave a size open with another number.
    """
    data = riff(
        chunk(b"fmt ", fmt()), chunk(b"data", sound(), size=data_size), size=riff_size, mark=mark
    )
    verdict = the_sound(data)
    assert verdict.completeness is Completeness.STREAMING
    assert verdict.seconds == (15_000 if data_size == 15_000 else 16_000) / 4 / RATE
    assert verdict.declared_size == declared
    assert verdict.note


def test_long_sizes_that_are_cut_or_open_count_as_open() -> None:
    """D15."""
    for ds64 in (bytes(8), bytes(28)):
        data = riff(
            chunk(b"fmt ", fmt()),
            chunk(b"ds64", ds64),
            chunk(b"data", sound(), size=OPEN),
            size=OPEN,
            mark=b"RF64",
        )
        assert the_sound(data).completeness is Completeness.STREAMING
    cut = riff(chunk(b"fmt ", fmt()), chunk(b"data", b"x"), chunk(b"ds64", b"x"), mark=b"RF64")
    assert the_sound(cut).completeness is Completeness.EXACT


def test_a_wav_cut_in_half_is_short() -> None:
    """D08, D11: and says how much is there."""
    verdict = the_sound(PCM16[:8044])
    assert verdict.completeness is Completeness.SHORT
    assert (verdict.seconds, verdict.declared_size) == (0.25, 16044)


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", sound(), size=20000)), 20044),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", sound(), size=20000), size=OPEN), 20044),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", sound(), size=20000), size=16), 20044),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", sound(), size=OPEN), size=20036), 20044),
    ],
    ids=["data past the end", "riff open", "riff too small", "data open"],
)
def test_a_wav_with_a_size_past_the_end_is_short(data: bytes, declared: int) -> None:
    """D15."""
    verdict = the_sound(data)
    assert verdict.completeness is Completeness.SHORT
    assert verdict.declared_size == declared


def test_a_wav_cut_behind_its_sound_is_short_and_says_so() -> None:
    """D15: a chunk after the sound, or only the pad byte of an odd sound, is missing."""
    for tail in (chunk(b"id3 ", b"ID3 "), b"\0"):
        data = riff(chunk(b"fmt ", fmt()), chunk(b"data", bytes(4001), pad=False), tail)
        verdict = the_sound(data[:4045])
        assert verdict.completeness is Completeness.SHORT
        assert verdict.note == "the sound itself is whole"


def test_a_broken_list_does_not_hide_that_the_sound_is_cut() -> None:
    """D08, D15."""
    broken = riff(
        chunk(b"fmt ", fmt()), chunk(b"LIST", bytes(8), size=1 << 30), chunk(b"data", sound())
    )
    assert the_sound(broken[:8000]).completeness is Completeness.SHORT


@pytest.mark.parametrize(
    ("riff_size", "data_size"),
    [(OPEN, 16000), (0, 16000), (4, 16000), (16028, 16000), (16036, OPEN), (16036, 0)],
)
@pytest.mark.parametrize("mark", [b"RIFF", b"RF64"])
def test_one_size_that_accounts_for_every_byte_is_enough(
    mark: bytes, riff_size: int, data_size: int
) -> None:
    """D15: where the other one is left open, or cannot be right."""
    data = riff(
        chunk(b"fmt ", fmt()), chunk(b"data", sound(), size=data_size), size=riff_size, mark=mark
    )
    verdict = the_sound(data)
    assert verdict.completeness is Completeness.EXACT
    assert (verdict.seconds, verdict.declared_size) == (0.5, 16044)
    assert verdict.note


def test_bytes_after_what_the_header_names_make_a_long_wav() -> None:
    """D15."""
    for data in (
        PCM16 + b"TAG",
        riff(chunk(b"fmt ", fmt()), chunk(b"data", sound()), size=8) + PCM16,
    ):
        verdict = the_sound(data)
        assert verdict.completeness is Completeness.LONG
        assert verdict.seconds == 0.5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PCM16[:3], "text"),
        (PCM16[:11], "WAV header cut short"),
        (PCM16[:12], "WAV header without its format"),
        (PCM16[:30], "WAV header without its format"),
        (PCM16[:40], "WAV header without its data"),
        (PCM16[:44], "WAV header without any sound"),
        (riff(chunk(b"data", sound())), "WAV header without its format"),
        (riff(chunk(b"fmt ", fmt()[:8]), size=0), "WAV header without its format"),
        (riff(chunk(b"fmt ", fmt())), "WAV header without its data"),
        (
            riff(
                chunk(b"fmt ", fmt()),
                chunk(b"LIST", b"x" * 9, 5000),
                chunk(b"data", sound(), 16002),
            ),
            "WAV header without its data",
        ),
        (riff(chunk(b"fmt ", fmt()), b"LISTdata"), "WAV header without its data"),
        (riff(chunk(b"fmt ", fmt()), b"dat\x01data\0\0"), "WAV header without its data"),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", b"")), "WAV header without any sound"),
        (
            riff(chunk(b"fmt ", fmt(channels=0)), chunk(b"data", sound())),
            "WAV header with an impossible format",
        ),
        (
            riff(chunk(b"fmt ", fmt(channels=9999, block=1)), chunk(b"data", sound())),
            "WAV header with an impossible format",
        ),
        (
            riff(chunk(b"fmt ", fmt(rate=0)), chunk(b"data", sound())),
            "WAV header with an impossible format",
        ),
        (
            riff(chunk(b"fmt ", fmt(rate=1 << 24)), chunk(b"data", sound())),
            "WAV header with an impossible format",
        ),
        (riff(mark=b"RIFF")[:8] + b"AVI LIST", "RIFF file that is not WAVE"),
        (riff(chunk(b"abcd", b"") * 20_000), "WAV header without its format"),
    ],
)
def test_a_wav_header_without_a_sound_is_not_sound(data: bytes, reason: str) -> None:
    """D13, D15: cut in the header, or empty, or impossible, or without end."""
    assert examine_bytes(data) == NotSound(reason)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (bytes(500), "zero bytes"),
        (b"<!DOCTYPE html><title>x</title>", "HTML page"),
        (b"\xef\xbb\xbf\n <HTML>", "HTML page"),
        (b"<?xml version='1.0'?><html xmlns='x'>", "HTML page"),
        (b"<head><title>502", "HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "XML"),
        (b"<Error>", "XML"),
        (b'{"status":"error"}', "JSON"),
        (b"[]", "JSON"),
        (b"UklGRiQAAABXQVZFZm10IBAAAAABAAEA", "base64 text"),
        (b"UklGRiQAAABX\r\nQVZFZm10IBAA\r\n", "base64 text"),
        (b"data:audio/wav;base64,UklGRg==", "base64 text"),
        (b"Not found", "text"),
        (b"error code: 1015, please slow down", "text"),
        ("gr\u00fc\u00dfe aus dem netz".encode(), "text"),
        (b"\x01\x02\x03", "unknown binary data"),
        (b"\xff\xfb", "text"),
        (b"OggS\0\2", "Ogg file"),
        (b"\x1f\x8b\x08", "gzip data"),
        (b"PK\x03\x04", "ZIP archive"),
        (b"\x89PNG\r\n", "PNG image"),
        (b"\xff\xd8\xff\xe0", "JPEG image"),
        (b"%PDF-1.7", "PDF document"),
        (b"\xff\xfe<\0h\0", "UTF-16 text"),
        (b"\xfe\xff\0<", "UTF-16 text"),
        (b"\0\0\0 ftypM4A ", "MP4 file"),
        (b"FORM\0\0\0\0AIFF", "AIFF file"),
    ],
)
def test_what_is_no_sound_is_named_for_what_it_is(head: bytes, reason: str) -> None:
    """D13, D14: whatever the file is called."""
    assert sniff(head) == reason
    assert examine_bytes(head) == NotSound(reason)


@pytest.mark.parametrize(
    ("head", "kind", "extension"),
    [
        (PCM16[:12], AudioFormat.WAV, ".wav"),
        (b"RF64\xff\xff\xff\xffWAVE", AudioFormat.WAV, ".wav"),
        (b"fLaC", AudioFormat.FLAC, ".flac"),
        (b"ID3\4", AudioFormat.MP3, ".mp3"),
        (FRAME[:4], AudioFormat.MP3, ".mp3"),
    ],
)
def test_a_sound_is_known_by_its_first_bytes(
    head: bytes, kind: AudioFormat, extension: str
) -> None:
    """D16."""
    assert sniff(head) is kind
    assert kind.extension == extension


def tag(length: int, flags: int = 0) -> bytes:
    size = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    footer = b"3DI\4\0" + bytes((flags,)) + size if flags & 0x10 else b""
    return b"ID3\4\0" + bytes((flags,)) + size + bytes(length) + footer


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(MP3, id="bare, named .wav"),
        pytest.param(tag(300) + MP3, id="behind a tag"),
        pytest.param(tag(5) + tag(300, flags=0x10) + MP3, id="behind two tags, one with a footer"),
        pytest.param(
            tag(10) + bytes(500) + b"\xff" * 9 + b"\xff\xfb\x90\x64junk" + MP3, id="behind padding"
        ),
        pytest.param(tag(0) * 9 + MP3, id="behind nine tags"),
        pytest.param(MP3[: len(FRAME) * 40] + bytes(77) + MP3[len(FRAME) * 40 :], id="a gap"),
        pytest.param(
            MP3[: len(FRAME) * 40] + tag(999) + MP3[len(FRAME) * 40 :], id="a tag in the middle"
        ),
        pytest.param(MP3 + b"LYRICSBEGIN" + bytes(40), id="before lyrics"),
        pytest.param(MP3 + b"TAG" + bytes(99), id="before an old tag that is cut"),
    ],
)
def test_an_mp3_is_timed_frame_by_frame(data: bytes) -> None:
    """D16: and says only that its last frame is whole."""
    verdict = the_sound(data)
    assert verdict.format is AudioFormat.MP3
    assert verdict.seconds == pytest.approx(100 * 1152 / 44100)
    assert (verdict.sample_rate, verdict.channels) == (44100, 2)
    assert verdict.completeness is Completeness.UNKNOWN
    assert verdict.declared_size is None


def ape(size: int) -> bytes:
    """An APE tag of header, items and footer; the size does not count the header."""
    return b"APETAGEX" + struct.pack("<III", 2000, size + 32, 1) + bytes(12 + size + 32)


OLD_TAG = b"TAG" + bytes(125)


@pytest.mark.parametrize("tail", [OLD_TAG, ape(0), ape(500), ape(40) + OLD_TAG], ids=len)
def test_a_tag_that_ends_where_the_file_does_proves_that_no_frame_is_missing(tail: bytes) -> None:
    """D51."""
    verdict = the_sound(MP3 + tail)
    assert verdict.completeness is Completeness.EXACT
    assert verdict.declared_size == len(MP3 + tail)
    assert the_sound(MP3[:-1] + tail).completeness is not Completeness.EXACT


@pytest.mark.parametrize("cut", [1, 3, 4, 200, len(FRAME) - 1])
def test_an_mp3_whose_last_frame_is_cut_is_short(cut: int) -> None:
    """D08, D11, D51."""
    verdict = the_sound(MP3 + FRAME[:cut])
    assert verdict.completeness is Completeness.SHORT
    assert verdict.declared_size is not None
    assert len(MP3) + cut < verdict.declared_size <= len(MP3 + FRAME)
    assert verdict.seconds == pytest.approx(100 * 1152 / 44100)


def counted(
    frames: int | None, size: int | None = None, name: bytes = b"Xing", at: int = 36
) -> bytes:
    """A frame that holds the counts of the frames after it."""
    flags = (frames is not None) | (size is not None) << 1
    numbers = [number for number in (frames, size) if number is not None]
    body = name + struct.pack(f">{1 + len(numbers)}I", flags, *numbers)
    return (b"\xff\xfb\x90\x64" + bytes(at - 4) + body).ljust(len(FRAME), b"\0")


def vbri(frames: int, size: int) -> bytes:
    body = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, size, frames)
    return (b"\xff\xfb\x90\x64" + bytes(32) + body).ljust(len(FRAME), b"\0")


ALL = len(MP3) + len(FRAME)


@pytest.mark.parametrize(
    ("first", "completeness"),
    [
        (counted(100, ALL), Completeness.EXACT),
        (counted(100, name=b"Info"), Completeness.EXACT),
        (counted(100, at=21), Completeness.EXACT),
        (counted(101, ALL), Completeness.EXACT),
        (counted(None, ALL), Completeness.EXACT),
        (vbri(100, ALL), Completeness.EXACT),
        (vbri(101, ALL), Completeness.EXACT),
        (counted(101), Completeness.UNKNOWN),
        (counted(None), Completeness.UNKNOWN),
        (counted(0, 0), Completeness.UNKNOWN),
        (counted(90, 1), Completeness.UNKNOWN),
        (counted(102), Completeness.SHORT),
        (counted(5000, ALL), Completeness.SHORT),
        (counted(101, ALL + 1), Completeness.SHORT),
        (vbri(150, 0), Completeness.SHORT),
    ],
)
def test_the_count_in_the_first_frame_of_an_mp3_is_compared_with_its_frames(
    first: bytes, completeness: Completeness
) -> None:
    """D51: encoders do not agree whether that frame is counted."""
    verdict = the_sound(first + MP3)
    assert verdict.completeness is completeness
    assert verdict.seconds == pytest.approx(100 * 1152 / 44100)
    assert the_sound(first + MP3[: -len(FRAME) * 3]).completeness is not Completeness.EXACT


def test_counts_are_not_read_from_a_frame_of_sound() -> None:
    frame = (b"\xff\xfb\x90\x64" + b"\x55" * 32 + b"Xing" + b"\0\0\0\1\0\0\xff\0").ljust(len(FRAME))
    assert the_sound(frame + MP3).completeness is Completeness.UNKNOWN


def test_bytes_after_all_counted_frames_make_a_long_mp3() -> None:
    for tail in (b"<html>oops</html>", FRAME[:99], bytes(300)):
        verdict = the_sound(counted(100, ALL) + MP3 + tail)
        assert verdict.completeness is Completeness.LONG
        assert verdict.declared_size == ALL


@pytest.mark.parametrize(
    ("header", "length", "samples", "rate", "channels"),
    [
        ("fffb9064", 417, 1152, 44100, 2),
        ("fffb9264", 418, 1152, 44100, 2),
        ("fffbe4c4", 960, 1152, 48000, 1),
        ("fffa1800", 144, 1152, 32000, 2),
        ("fff380c4", 208, 576, 22050, 1),
        ("fff3e8c4", 720, 576, 16000, 1),
        ("ffe318c4", 72, 576, 8000, 1),
        ("ffe34000", 208, 576, 11025, 2),
    ],
)
def test_every_version_of_layer_three_is_read(
    header: str, length: int, samples: int, rate: int, channels: int
) -> None:
    """ISO/IEC 11172-3, 13818-3: one frame is as long as rate and bit rate say."""
    frame = bytes.fromhex(header).ljust(length, b"\0")
    verdict = the_sound(frame * 3)
    assert verdict.seconds == pytest.approx(3 * samples / rate)
    assert (verdict.sample_rate, verdict.channels) == (rate, channels)
    assert the_sound(frame).seconds == pytest.approx(samples / rate)


@pytest.mark.parametrize(
    ("second", "table", "rate", "scale"),
    [
        (0xFB, (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320), 48000, 144_000),
        (0xF3, (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160), 24000, 72_000),
    ],
)
def test_every_bit_rate_of_layer_three_is_read(
    second: int, table: tuple[int, ...], rate: int, scale: int
) -> None:
    """ISO/IEC 11172-3, 13818-3."""
    for index, kbps in enumerate(table, start=1):
        frame = bytes((0xFF, second, index << 4 | 4, 0)).ljust(scale * kbps // rate, b"\0")
        verdict = the_sound(frame * 2)
        assert verdict.seconds == pytest.approx(2 * 0.024)
        assert verdict.sample_rate == rate


def test_frames_inside_a_tag_are_not_the_sound() -> None:
    other = bytes.fromhex("fffb9464").ljust(384, b"\0") * 3
    whole = tag(len(other))
    verdict = the_sound(whole[: -len(other)] + other + MP3)
    assert verdict.sample_rate == 44100
    assert verdict.seconds == pytest.approx(100 * 1152 / 44100)


@pytest.mark.parametrize("header", ["fffb0064", "fffbf064", "fffb9c64", "ffeb9064", "fff19064"])
def test_a_reserved_value_is_no_frame_header(header: str) -> None:
    assert sniff(bytes.fromhex(header)) is not AudioFormat.MP3


def test_an_mp3_whose_frames_stop_early_has_an_unknown_length() -> None:
    other_rate = bytes.fromhex("fffb9464").ljust(384, b"\0")
    for rest in (bytes(1000), other_rate * 2):
        verdict = the_sound(MP3 + rest)
        assert verdict.seconds is None
        assert verdict.completeness is Completeness.LONG
        assert verdict.declared_size == len(MP3)
    gaps = b"".join(MP3[: len(FRAME) * 9] + bytes(50) for _ in range(5))
    assert the_sound(gaps).completeness is Completeness.LONG


@pytest.mark.parametrize("data", [tag(20), tag(5000)[:100], FRAME[:100] * 9])
def test_a_tag_or_a_mark_without_frames_is_not_sound(data: bytes) -> None:
    assert examine_bytes(data) == NotSound("MP3 tag or mark without MP3 sound")


def test_an_mp3_of_more_frames_than_are_worth_counting_has_an_unknown_length() -> None:
    frame = bytes.fromhex("fff314c4").ljust(24, b"\0")
    verdict = examine(lambda at, count: (frame * 4000)[at % 24 :][:count], 24 * 1_000_001)
    assert isinstance(verdict, Sound)
    assert verdict.seconds is None


def test_a_large_file_is_judged_by_small_reads() -> None:
    """D23: 85 MB are never held in memory."""
    size = 85_000_000
    header = riff(chunk(b"fmt ", fmt()), chunk(b"data", b"", size - 44), size=size - 8)
    asked: list[int] = []

    def read_at(offset: int, count: int) -> bytes:
        asked.append(count)
        return header[offset : offset + count]

    verdict = examine(read_at, size)
    assert isinstance(verdict, Sound)
    assert verdict.completeness is Completeness.EXACT
    assert sum(asked) < 6000


def test_only_a_chunk_of_zeros_is_silent() -> None:
    """And a wav of nothing else is a sound for all that."""
    assert is_silent(bytes(1000))
    assert not is_silent(bytes(999) + b"\1")
    silent = riff(chunk(b"fmt ", fmt()), chunk(b"data", bytes(16000)))
    assert the_sound(silent).completeness is Completeness.EXACT


MARKS = (PCM16[:12], PCM16[:36], PCM16[:44], b"RF64\xff\xff\xff\xffWAVEds64", b"RIFX\0\0\0\0WAVE",
         b"fLaC\0\0\0\x22", b"ID3\4\0\0\0\0\0\0", FRAME, FRAME + FRAME[:4], b"")  # fmt: skip


@given(st.sampled_from(MARKS), st.binary(max_size=400))
def test_any_bytes_get_a_verdict(mark: bytes, rest: bytes) -> None:
    """D14, D15: never an exception."""
    verdict = examine_bytes(mark + rest)
    assert isinstance(verdict, NotSound) or verdict.sample_rate > 0


@given(st.data())
def test_a_flipped_byte_in_a_header_gets_a_verdict(data: st.DataObject) -> None:
    """D15."""
    whole = bytearray(PCM16)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    assert isinstance(examine_bytes(bytes(whole)), Sound | NotSound)


@given(
    st.lists(st.binary(max_size=9), max_size=3),
    st.binary(min_size=1, max_size=40),
    st.lists(st.binary(max_size=9), max_size=2),
    st.data(),
)
def test_only_the_whole_of_a_wav_is_exact(
    before: list[bytes], body: bytes, after: list[bytes], data: st.DataObject
) -> None:
    """D07, D08: this is what vouches for a body that came without a length."""
    whole = riff(
        *(chunk(b"LIST", text) for text in before),
        chunk(b"fmt ", fmt()),
        chunk(b"data", body),
        *(chunk(b"note", text) for text in after),
    )
    assert the_sound(whole).completeness is Completeness.EXACT
    cut = examine_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert isinstance(cut, NotSound) or cut.completeness is Completeness.SHORT
