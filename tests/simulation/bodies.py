"""What a link may give instead of the file, or as the file: each shape of body by its name (G9).

A shape is bytes and what they say about themselves to somebody who reads the format's standard:
that is written down here by hand, and never asked of the code that is tested.
"""

from __future__ import annotations

import base64
import enum
import gzip
import struct
from collections.abc import Iterator

from attrs import frozen

from modelslab_async.sandbox.audio.codecs import flac, mp3
from modelslab_async.sandbox.audio.synth import render
from modelslab_async.sandbox.containers import contain

from ..tracks import silence, wav


class Tells(enum.Enum):
    """What the bytes say about their own end."""

    ALL = "it is a sound, and its header accounts for every byte"
    NOTHING = "it is a sound that does not say where it ends, or ends before the bytes do"
    MORE = "it is a sound of which something is missing"
    NO_SOUND = "no sound begins here"


@frozen
class Shape:
    """A body.

    Attributes:
        data: the bytes that come.
        tells: what they say.
        broken_off: more was on its way when the connection ended, which a framing can show.
        ending: of the file that it is, if it is one.
    """

    data: bytes
    tells: Tells
    broken_off: bool = False
    ending: str = ".wav"


WHOLE = wav(4000)
_OTHER = wav(4000, seed=1)
_HEADER = 44
_MP3 = mp3(render("bell", seconds=2.0, sample_rate=44100), "128k")
_FLAC = flac(WHOLE)
_PAGE = b"<!DOCTYPE html><html><body>Not found</body></html>"
_DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
_TAG = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
_CUTS = (0, 1, 11, 12, 43, 44, 45, len(WHOLE) // 2, len(WHOLE) - 1)


def _riff(*chunks: bytes, mark: bytes = b"RIFF", form: bytes = b"WAVE") -> bytes:
    body = form + b"".join(chunks)
    return mark + struct.pack(">I" if mark == b"RIFX" else "<I", len(body)) + body


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


_FMT, _DATA = WHOLE[12:36], WHOLE[36:]


def _sizes(riff: int, data: int) -> bytes:
    """The whole file, with these sizes in its header."""
    return WHOLE[:4] + struct.pack("<I", riff) + WHOLE[8:40] + struct.pack("<I", data) + WHOLE[44:]


def _big_endian() -> bytes:
    fmt = b"fmt " + struct.pack(">IHHIIHH", 16, 1, 1, 10_000, 20_000, 2, 16)
    return _riff(fmt, b"data" + struct.pack(">I", 8000) + _OTHER[44:], mark=b"RIFX")


def _cuts() -> Iterator[tuple[str, Shape]]:
    """The file up to a byte: as a host has stored it, and as a connection brought it."""
    for at in _CUTS:
        tells = Tells.MORE if at > _HEADER else Tells.NO_SOUND
        yield f"stored up to byte {at}", Shape(WHOLE[:at], tells)
        yield f"broken off at byte {at}", Shape(WHOLE[:at], tells, broken_off=True)
    yield "broken off after the last byte", Shape(WHOLE, Tells.ALL, broken_off=True)


_RIFF_SIZE, _DATA_SIZE = len(WHOLE) - 8, len(WHOLE) - _HEADER
_WHOLE_FILES = {
    "whole": WHOLE,
    "another song of the same size": _OTHER,
    "silence": silence(len(WHOLE)),
    "a LIST before the sound": _riff(_FMT, _chunk(b"LIST", b"INFO" + bytes(20)), _DATA),
    "a fact before the sound": _riff(_FMT, _chunk(b"fact", bytes(4)), _DATA),
    "JUNK before the format": _riff(_chunk(b"JUNK", bytes(28)), _FMT, _DATA),
    "a tag after the sound": _riff(_FMT, _DATA, _chunk(b"id3 ", _TAG)),
    "big-endian": _big_endian(),
    "a sound that ends before its file": _sizes(_RIFF_SIZE, _DATA_SIZE - 100),
    **{
        name: contain(WHOLE, name)
        for name in ("bad_list", "extensible", "extra_chunks", "float32", "odd_chunk", "pcm24",
                     "rf64")
    },
}  # fmt: skip
_MUTE_FILES = {
    "one byte more": WHOLE + b"\0",
    "a page behind it": WHOLE + _PAGE,
    "two files": WHOLE + _OTHER,
    "a RIFF size too small": _sizes(_RIFF_SIZE - 100, _DATA_SIZE - 100),
    "sizes of zero": _sizes(0, 0),
    "sizes of a stream": _sizes(0xFFFFFFFF, 0xFFFFFFFF),
}
_SHORT_FILES = {
    "a RIFF size too large": _sizes(_RIFF_SIZE + 100, _DATA_SIZE),
    "a data size too large": _sizes(_RIFF_SIZE, _DATA_SIZE + 100),
    "both sizes too large": _sizes(_RIFF_SIZE + 100, _DATA_SIZE + 100),
}
_NO_FILES = {
    "64 KiB of zeros": bytes(64 * 1024),
    "a sound of no length": _riff(_FMT, _chunk(b"data", b"")),
    "no format": _riff(_DATA),
    "a film": _riff(_chunk(b"data", WHOLE), form=b"AVI "),
    "Ogg": b"OggS" + bytes(100) + WHOLE,
    "gzip": gzip.compress(WHOLE, mtime=0),
    "base64": base64.b64encode(WHOLE),
    "a mark of UTF-8 in front": b"\xef\xbb\xbf" + WHOLE,
    "a line in front": b"\r\n" + WHOLE,
    "UTF-16": "not found".encode("utf-16"),
    "HTML": _PAGE,
    "XML": _DENIED,
    "JSON": b'{"status": "error", "message": "not found"}',
    "text": b"upstream connect error or disconnect before headers",
    "a tag without a sound": _TAG + bytes(2000),
}

SHAPES: dict[str, Shape] = {
    **dict(_cuts()),
    **{name: Shape(data, Tells.ALL) for name, data in _WHOLE_FILES.items()},
    **{name: Shape(data, Tells.NOTHING) for name, data in _MUTE_FILES.items()},
    **{name: Shape(data, Tells.MORE) for name, data in _SHORT_FILES.items()},
    **{name: Shape(data, Tells.NO_SOUND) for name, data in _NO_FILES.items()},
    # Half of these is a sound as well, which nobody can tell from a shorter song.
    "mp3": Shape(_MP3, Tells.NOTHING, ending=".mp3"),
    "mp3 with a tag": Shape(_TAG + _MP3, Tells.NOTHING, ending=".mp3"),
    "half an mp3": Shape(_MP3[: len(_MP3) // 2], Tells.NOTHING, ending=".mp3"),
    "flac": Shape(_FLAC, Tells.NOTHING, ending=".flac"),
    "half a flac": Shape(_FLAC[: len(_FLAC) // 2], Tells.NOTHING, ending=".flac"),
}
