"""What a notebook shows is small, inert and complete in itself."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import wave
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.preview import MAX_HTML, MAX_PLAYERS, Shown, message, preview

HOSTILE = """"'><script>alert(1)</script><img src=x onerror="alert(1)">\u202e\x1b[2J&"""
ALLOWED = {"div", "b", "code", "br", "small", "svg", "path", "audio", "video", "img", "pre"}
MP3 = (b"\xff\xfb\x90\x64" + b"\x55" * 413) * 2000
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0" * 100


def wav(frames: int, rate: int = 48_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"\x00\x40\x00\xc0" * frames)
    return file.getvalue()


def shown(
    data: bytes, *, seconds: float | None = 5.0, name: str = "", path: str = "a.wav"
) -> Shown:
    return Shown(
        name=name,
        path=path,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=seconds,
        read_at=lambda offset, count: data[offset : offset + count],
    )


class Page(HTMLParser):
    """The elements and the visible text of a preview."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def sources(self) -> list[tuple[str, bytes]]:
        """The media type and the bytes of everything that is embedded."""
        texts = [attrs["src"] or "" for _, attrs in self.elements if "src" in attrs]
        parts = [text.removeprefix("data:").split(";base64,") for text in texts]
        return [(mime, base64.b64decode(data, validate=True)) for mime, data in parts]


def page_of(*files: Shown, count: int | None = None, heading: str = "") -> Page:
    """A preview, with what is true of each: small, and nothing in it that runs or is loaded."""
    text = preview(files, len(files) if count is None else count, heading)
    assert len(text.encode()) <= MAX_HTML
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= ALLOWED
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
    assert not re.search(r"https?:|url\(|href", text)
    assert page.text.replace("\n", "").isprintable()
    return page


@pytest.mark.parametrize(
    ("data", "element", "mime"),
    [
        (wav(1000), "audio", "audio/wav"),
        (MP3[:41_700], "audio", "audio/mpeg"),
        (b"fLaC\0\0\0\x22" + b"\0" * 100, "audio", "audio/flac"),
        (PNG, "img", "image/png"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "img", "image/jpeg"),
        (MP4, "video", "video/mp4"),
    ],
)
def test_a_small_file_is_embedded_as_it_is(data: bytes, element: str, mime: str) -> None:
    page = page_of(shown(data))
    assert page.sources == [(mime, data)]
    assert element in [tag for tag, _ in page.elements]


def test_a_large_wav_is_a_waveform_and_a_copy_of_its_beginning() -> None:
    page = page_of(shown(wav(48_000 * 30), seconds=30.0))
    [(mime, copy)] = page.sources
    assert mime == "audio/wav"
    with wave.open(io.BytesIO(copy)) as heard:
        assert 10 < heard.getnframes() / heard.getframerate() < 12
    assert "svg" in [tag for tag, _ in page.elements]
    assert "the first 11 s, as an 8-bit preview; the file has all of it" in page.text


def test_a_large_mp3_plays_from_its_first_frame() -> None:
    tag = b"ID3\3\0\0" + b"\0\0\x7f\x7f" + b"\0" * (0x7F * 128 + 0x7F)
    page = page_of(shown(tag + MP3, seconds=52.0))
    [(mime, data)] = page.sources
    assert (mime, data) == ("audio/mpeg", MP3[: len(data)])
    assert 10 < len(data) / 417 * 0.026 < 13
    assert "the first 11 s; the file has all of it" in page.text
    assert "the beginning; " in page_of(shown(MP3, seconds=None)).text


@pytest.mark.parametrize("head", [b"fLaC\0\0\0\x22", PNG, MP4])
def test_what_cannot_be_cut_is_a_line_when_it_is_large(head: bytes) -> None:
    page = page_of(shown(head + bytes(range(1, 256)) * 2000, path="out/large"))
    assert page.sources == []
    assert "out/large" in page.text
    assert "510.1 kB is too large to embed: open the file" in page.text.replace(
        "0.5 MB", "510.1 kB"
    )


def test_a_text_is_shown_and_its_markup_is_not() -> None:
    page = page_of(shown(b"<script>alert(1)</script>\nand \xe2\x80\xae more", seconds=None))
    assert "<script>alert(1)</script>\nand \\u202e more" in page.text
    assert "the beginning" not in page.text


@pytest.mark.parametrize("letters", ["a\u202e", "&", "\U0001f3b5", "a\n"])
def test_of_a_long_text_the_beginning_is_shown(letters: str) -> None:
    text = shown((letters * 50_000).encode(), seconds=None)
    page = page_of(*[text] * MAX_PLAYERS)
    assert page.text.count("the beginning; the file has all of it") == MAX_PLAYERS


def test_bytes_of_another_kind_are_a_line() -> None:
    assert "cannot be shown here: open the file" in page_of(shown(b"PK\3\4" + b"\1" * 90)).text


def test_a_file_with_other_content_than_was_saved_is_not_played() -> None:
    data = wav(1000)
    other = Shown(
        path="a.wav", size=len(data), sha256="0" * 64, seconds=1, read_at=shown(data).read_at
    )
    page = page_of(other)
    assert page.sources == []
    assert "has changed since it was saved" in page.text


def test_a_file_that_is_gone_says_so() -> None:
    gone = Shown(path="a.wav", size=9, sha256="", seconds=1, fault="is no longer there")
    assert page_of(gone).text == "a.wav 1.0 sis no longer there"


@given(st.sampled_from([HOSTILE, HOSTILE * 100]) | st.text(max_size=2000))
def test_names_paths_and_headings_are_text_and_nothing_else(text: str) -> None:
    page = page_of(shown(wav(10), name=text, path=text), heading=text)
    assert len(page.sources) == 1


def test_a_preview_with_the_longest_texts_everywhere_fits() -> None:
    long = "'" * 5000
    files = [shown(wav(48_000 * 30), name=long, path=long)] * MAX_PLAYERS
    page = page_of(*files, count=100_000, heading=long)
    assert len(page.sources) == MAX_PLAYERS
    assert "and 99997 more files" in page.text


def test_room_that_one_file_does_not_need_is_left_to_the_next() -> None:
    small, large = shown(wav(10)), shown(wav(48_000 * 30))
    alone, after = page_of(large).sources[-1][1], page_of(small, small, large).sources[-1][1]
    assert len(after) > len(alone) * 0.7


def test_no_file_at_all_is_only_a_heading() -> None:
    assert page_of(heading="Batch: no rows yet").text == "Batch: no rows yet"
    assert Page(message(HOSTILE)).elements == [("div", {})]


def test_a_small_wav_of_an_encoding_without_samples_has_no_waveform() -> None:
    data = wav(48_000 * 30)
    page = page_of(shown(data[:20] + b"\x55\0" + data[22:]))
    assert page.sources == []
    assert "svg" not in [tag for tag, _ in page.elements]
