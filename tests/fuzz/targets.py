"""All targets by name, each with its corpus and with words that its readers look for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from . import answers, files, names, planted

CORPUS = Path(__file__).parent / "corpus"

_ANSWER = (
    b'"status"', b'"success"', b'"processing"', b'"error"', b'"failed"', b'"id"', b'"output"',
    b'"links"', b'"future_links"', b'"proxy_links"', b'"fetch_result"', b'"message"', b'"meta"',
    b'"retry_after"', b'"eta"', b'"track_id"', b"[]", b"{}", b"null", b"NaN", b"-1", b"1e999",
    b"200 ", b"302 ", b"404 ", b"429 ", b"500 ", b"503 ", b"\xef\xbb\xbf", b"\\ud800",
    b"Rate limit exceeded", b"Request not found", b"Failed, Try Again", b"Invalid API key",
)  # fmt: skip
_AUDIO = (
    b"RIFF", b"RIFX", b"RF64", b"WAVE", b"fmt ", b"data", b"ds64", b"LIST", b"\xff\xff\xff\xff",
    b"\0\0\0\0", b"ID3\4\0\0", b"\xff\xfb\x90\0", b"\xff\xf3\x40\0", b"TAG", b"APETAGEX",
    b"fLaC\0\0\0\x22", b"OggS", b"\xfe\xff", b"<html", b"UklGR",
)  # fmt: skip
_MANIFEST = (
    b"prompt", b'"prompt"', b'"id"', b'"track_id"', b'"duration"', b'"init_audio_file"', b'"key"',
    b'"unchecked"', b"\n", b"\r\n", b",", b";", b"\t", b'"', b'""', b"{", b"}", b"[", b"#",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"../", b"NaN", b"1e999", b"true",
)  # fmt: skip
_URL = (
    b"https://", b"http://", b"modelslab.com", b"/api/v6/voice/fetch/", b"/api/v7/voice/fetch/",
    b"127.0.0.1", b"[::1]", b"[::ffff:10.0.0.1]", b"0x7f000001", b"localhost", b":443", b":0",
    b"@", b"\\", b"%2f", b"%00", b"?", b"#", b"..", b"//", b".", b"\xe2\x84\xaa", b"169.254.",
)  # fmt: skip
_TEXT = (
    b"CON", b"lpt1.", b"..", b"/", b"\\", b"\x1b[", b"\xe2\x80\xae", b"\xc2\xa0", b"\r\n", b'"',
    b",", b"=", b"\0", b"\xed\xa0\x80", b"\xef\xac\x81", b"\xc2\xb9", b"-", b" ",
)  # fmt: skip
_DATE = (
    b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94", b" 1994", b"Nov", b" GMT", b" -0500",
    b" +9999", b"99999", b":", b"\xc2\xb2", b"-", b".", b"e9", b"_",
)  # fmt: skip


@frozen
class Target:
    """One reader of foreign bytes: ``run`` raises if it does what it must not."""

    name: str
    run: Callable[[bytes], None]
    words: tuple[bytes, ...]

    def corpus(self) -> tuple[bytes, ...]:
        """What is kept of earlier runs, and what they began with."""
        return _corpus(self.name)


@functools.cache
def _corpus(name: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))


TARGETS = {
    target.name: target
    for target in (
        Target("submit", answers.submit, _ANSWER),
        Target("fetch", answers.fetch, _ANSWER),
        Target("webhook", answers.webhook, _ANSWER),
        Target("retry_after", answers.retry_header, _DATE),
        Target("audio", files.audio, _AUDIO),
        Target("manifest", files.manifest, _MANIFEST),
        Target("urls", names.urls, _URL),
        Target("text", names.text, _TEXT),
    )
}
PLANTED = Target("planted", planted.planted, _ANSWER)
