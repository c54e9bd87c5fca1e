"""What a file is, seen from what was asked for: whole, cut, odd, or something else."""

from __future__ import annotations

import json
import struct
import zlib
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.files import begins_as, examine, may_hold, refusal
from modelslab_async._protocol.output import ENDINGS, Content, Judged, Output
from modelslab_async._protocol.sound import AudioFormat, Completeness, Sound
from modelslab_async._protocol.text import read_text

from .test_audio import MP3, PCM16

EXACT, SHORT, LONG = Completeness.EXACT, Completeness.SHORT, Completeness.LONG
STREAMING, UNKNOWN, UNJUDGED = (
    Completeness.STREAMING,
    Completeness.UNKNOWN,
    Completeness.UNJUDGED,
)
PAGE = b"<!DOCTYPE html><html><body>It works</body></html>"
STORAGE = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'
OUTPUTS: tuple[Output, ...] = get_args(Output)


def brief(value: object) -> str:
    return str(value)[:30]


def judged(gives: Output, data: bytes) -> Judged | str:
    return examine(gives, lambda offset, count: data[offset : offset + count], len(data))


def content(gives: Output, data: bytes) -> tuple[str, Completeness]:
    found = judged(gives, data)
    assert isinstance(found, Content), found
    return found.extension, found.completeness


# Examples


def box(name: bytes, body: bytes = b"", *, size: int | None = None) -> bytes:
    return struct.pack(">I", 8 + len(body) if size is None else size) + name + body


def mvhd(scale: int, duration: int) -> bytes:
    return box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, scale, duration) + bytes(80))


def wide_mvhd(scale: int, duration: int) -> bytes:
    return box(b"mvhd", struct.pack(">IQQIQ", 1 << 24, 0, 0, scale, duration) + bytes(80))


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2")
MOOV = box(b"moov", mvhd(600, 1500))
MP4 = FTYP + MOOV + box(b"mdat", bytes(500))
FRAGMENTS = FTYP + MOOV + 2 * (box(b"moof", bytes(40)) + box(b"mdat", bytes(99)))


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + png_chunk(b"IDAT", zlib.compress(b"\0abc"))
    + png_chunk(b"IEND", b"")
)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(9) + b"\xff\xda" + b"\x11" * 300 + b"\xff\xd9"
GIF = (
    b"GIF89a\1\0\1\0\x80\0\0"
    + bytes(6)
    + b"\x21\xf9\4\0\0\0\0\0"
    + b"\x2c\0\0\0\0\1\0\1\0\x81"
    + bytes(12)
    + b"\2\2\x3b\x3b\0"  # data that look like the end
    + b"\x3b"
)
WEBP = b"RIFF" + struct.pack("<I", 4 + 8 + 10) + b"WEBPVP8 " + struct.pack("<I", 10) + bytes(10)
GLB = b"glTF" + struct.pack("<II", 2, 100) + bytes(88)
WORDS = json.dumps([{"text": "sun rises", "words": [{"word": "sun", "start": 0.1}]}]).encode()
GOOD: dict[Output, dict[str, bytes]] = {
    "audio": {".wav": PCM16, ".mp3": MP3},
    "text": {".txt": "Die Sonne geht auf, süß\n".encode(), ".json": WORDS},
    "video": {".mp4": MP4, ".gif": GIF},
    "image": {".png": PNG, ".jpg": JPEG, ".gif": GIF, ".webp": WEBP},
    "file": {".glb": GLB},
}
ANY = {ending: data for kind in GOOD.values() for ending, data in kind.items()}


@pytest.mark.parametrize("gives", OUTPUTS)
def test_what_was_asked_for_is_whole_and_gets_the_ending_of_its_content(gives: Output) -> None:
    for ending, data in GOOD[gives].items():
        found = judged(gives, data)
        assert not isinstance(found, str), found
        assert found.extension == ending
        assert ending in ENDINGS[gives]
        assert found.completeness in (EXACT, STREAMING if ending == ".txt" else EXACT, UNKNOWN)
        assert begins_as(gives, data)
        assert may_hold(gives, data)
        assert refusal(gives, data) is None


@pytest.mark.parametrize("gives", OUTPUTS)
def test_a_page_and_an_error_of_the_storage_are_never_what_was_asked_for(gives: Output) -> None:
    for data in (PAGE, b"\xef\xbb\xbf  " + PAGE, b"<!-- x -->\n" + PAGE, STORAGE, b"", b"\0" * 99):
        assert isinstance(judged(gives, data), str), data
        assert not may_hold(gives, data)


@pytest.mark.parametrize("gives", ["audio", "text", "video", "image"])
def test_what_was_asked_for_decides(gives: Output) -> None:
    for ending, data in ANY.items():
        if ending not in GOOD[gives]:
            assert isinstance(judged(gives, data), str), ending
            assert not begins_as(gives, data), ending


def test_a_file_of_any_kind_may_be_anything_that_is_no_error() -> None:
    for ending, data in ANY.items():
        found = judged("file", data)
        assert not isinstance(found, str), found
        assert found.extension == ending
        assert found.extension in ENDINGS["file"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PCM16, "WAV sound"),
        (MP3, "MP3 sound"),
        (PNG, "PNG image"),
        (MP4, "MP4 file"),
        (b"plain text, long enough to be seen", "text"),
        (b'{"a": 1}', "JSON"),
    ],
    ids=brief,
)
def test_a_refusal_names_what_came_instead(data: bytes, reason: str) -> None:
    for gives in OUTPUTS[:4]:
        found = judged(gives, data)
        assert not isinstance(found, str) or found in (reason, reason.removesuffix(" sound"))
    assert refusal("image" if reason != "PNG image" else "video", data) == reason


# Texts


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"hello", (".txt", STREAMING)),
        (b"\xef\xbb\xbfhello", (".txt", STREAMING)),
        (b"[Verse 1]\nsun rises\n[Chorus]", (".txt", STREAMING)),
        (b'["quoted" is no JSON]', (".txt", STREAMING)),
        (b"<laugh> hello", (".txt", STREAMING)),
        ("süß".encode()[:-1], (".txt", SHORT)),
        (WORDS[:-5], (".txt", SHORT)),
        (b'  {"text": "hello"}\n', (".json", EXACT)),
        (b"[]", (".json", EXACT)),
        (b'\xef\xbb\xbf{"error": null, "segments": []}', (".json", EXACT)),
        (b'{"message": "hi", "text": "x"}', (".json", EXACT)),
        (b'["' + b"a" * 2_000_000 + b'"]', (".json", EXACT)),
        (b'["' + b"a" * 2_000_000, (".json", SHORT)),
        (b"[" * 100_000 + b"]", (".txt", STREAMING)),
    ],
    ids=brief,
)
def test_a_text_says_how_far_it_vouches_for_itself(
    data: bytes, expected: tuple[str, Completeness]
) -> None:
    assert content("text", data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b'{"status": "error", "message": "Invalid API key"}',
        b'{"status": "failed"}',
        b'{"status":"processing","output":""}',
        b'{"error": "Not Found"}',
        b'{"message": "Unauthenticated."}',
        b'{"messege": "try again"}',
        b"Not Found",
        b"404 ",
        b"error code: 1015",
        b"Access denied.\r\n",
        b"503",
        "größer".encode("latin-1"),
        "hello".encode("utf-16"),
        b"hello" * 2000 + b"\0",
        b"hello" * 2000 + b"\xff",
    ],
    ids=brief,
)
def test_what_is_no_text_of_a_job_is_refused(data: bytes) -> None:
    assert isinstance(judged("text", data), str)


def test_a_text_is_read_as_what_it_is() -> None:
    assert read_text(b"\xef\xbb\xbfhello\n") == "hello\n"
    assert read_text(WORDS) == json.loads(WORDS)
    assert read_text(b'["quoted" is no JSON]') == '["quoted" is no JSON]'
    assert read_text(b"[" * 100_000) == "[" * 100_000


# Videos


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (MP4, (".mp4", EXACT)),
        (FTYP + box(b"mdat", bytes(50)) + MOOV, (".mp4", EXACT)),
        (box(b"ftyp", b"qt  \0\0\0\0") + MOOV + box(b"mdat"), (".mov", EXACT)),
        (FTYP + MOOV + b"\0\0\0\1mdat" + struct.pack(">Q", 66) + bytes(50), (".mp4", EXACT)),
        (FTYP + MOOV + box(b"mdat", bytes(50), size=0), (".mp4", STREAMING)),
        (FRAGMENTS, (".mp4", UNKNOWN)),
        (MP4 + b"\0\0\0\0\0", (".mp4", LONG)),
        (MP4 + b"\0\0\0\3free", (".mp4", LONG)),
        (MP4 + b"\0\0\0\1free", (".mp4", LONG)),
        (MP4 + b"\0\0\0\x10\1\2\3\4" + bytes(8), (".mp4", LONG)),
        (MP4[:-1], (".mp4", SHORT)),
        (FRAGMENTS[:-1], (".mp4", SHORT)),
        (FTYP + box(b"mdat", bytes(50)), (".mp4", SHORT)),
        (FTYP + MOOV, (".mp4", SHORT)),
        (FTYP, (".mp4", SHORT)),
        (MP4 + box(b"free") * 100_001, (".mp4", LONG)),
        (b"\x1aE\xdf\xa3" + bytes(99), (".webm", UNJUDGED)),
        (bytes(range(1, 30)) * 9, (".bin", UNJUDGED)),
        (b"\x89" * 99, (".bin", UNJUDGED)),
    ],
    ids=brief,
)
def test_the_boxes_of_a_video_add_up_to_it(data: bytes, expected: tuple[str, Completeness]) -> None:
    assert content("video", data) == expected


@pytest.mark.parametrize(
    ("moov", "seconds"),
    [
        (mvhd(600, 1500), 2.5),
        (wide_mvhd(1000, 1500), 1.5),
        (mvhd(0, 1500), None),
        (mvhd(600, 2**32 - 1), None),
        (box(b"trak", bytes(90)), None),
        (b"", None),
    ],
    ids=brief,
)
def test_a_video_says_how_long_it_is(moov: bytes, seconds: float | None) -> None:
    found = judged("video", FTYP + box(b"moov", moov) + box(b"mdat"))
    assert isinstance(found, Content)
    assert found.seconds == seconds


# Images and other files


@pytest.mark.parametrize("ending", [".png", ".jpg", ".gif", ".webp"])
def test_an_image_that_is_cut_anywhere_is_short_and_one_with_more_is_long(ending: str) -> None:
    whole = GOOD["image"][ending]
    for end in range(16, len(whole)):
        assert content("image", whole[:end]) == (ending, SHORT), end
    assert content("image", whole + b"more") == (ending, LONG)


def test_a_preview_inside_of_an_image_does_not_end_it() -> None:
    assert content("image", JPEG[:20] + JPEG + JPEG[20:]) == (".jpg", EXACT)


def test_a_block_that_no_gif_has_ends_it_too_soon() -> None:
    assert content("image", GIF[:19] + b"\x99" + GIF[20:]) == (".gif", SHORT)
    without_table = GIF[:10] + b"\0" + GIF[11:13] + GIF[19:]
    assert content("image", without_table) == (".gif", EXACT)


@pytest.mark.parametrize(
    ("gives", "data", "expected"),
    [
        ("image", b"\0\0\0\x1cftypavif" + bytes(50), (".avif", UNJUDGED)),
        ("image", b"II*\0" + bytes(50), (".tiff", UNJUDGED)),
        ("image", b"\x89nothing known" + bytes(50), (".bin", UNJUDGED)),
        ("file", b"PK\3\4" + bytes(50), (".zip", UNJUDGED)),
        ("file", b"\x89nothing known" + bytes(50), (".bin", UNJUDGED)),
        ("file", GLB + b"x", (".glb", LONG)),
        ("file", GLB[:-1], (".glb", SHORT)),
        ("file", b"o cube\nv 1 2 3\n", (".txt", STREAMING)),
        ("file", b"<?xml version='1.0'?><COLLADA/>", (".bin", UNJUDGED)),
    ],
    ids=brief,
)
def test_what_cannot_be_judged_is_never_called_whole(
    gives: Output, data: bytes, expected: tuple[str, Completeness]
) -> None:
    assert content(gives, data) == expected


@given(st.sampled_from(OUTPUTS), st.binary(max_size=200), st.sampled_from([*ANY.values()]))
def test_any_bytes_get_a_verdict(gives: Output, noise: bytes, start: bytes) -> None:
    for data in (noise, start[:40] + noise, noise + start):
        found = judged(gives, data)
        if isinstance(found, str):
            assert found.isprintable()
        else:
            assert found.extension in ENDINGS[gives]
        if isinstance(found, Sound):
            assert isinstance(found.format, AudioFormat)
        if refusal(gives, data[:4096]) is not None:
            assert isinstance(found, str)
