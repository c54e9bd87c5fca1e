"""What a link may give instead of the file, or as the file: each shape of body by its name (G9).

A shape is bytes and what they say about themselves to somebody who reads the format's standard:
that is written down here by hand, and never asked of the code that is tested.
"""

from __future__ import annotations

import base64
import enum
import gzip
import struct
import zlib
from collections.abc import Iterator

from attrs import frozen

from modelslab_async.sandbox._audio.codecs import flac, mp3
from modelslab_async.sandbox._audio.synth import render
from modelslab_async.sandbox._containers import contain

from ..support.tracks import silence, wav


class Tells(enum.Enum):
    """What the bytes say about their own end."""

    ALL = "it is a sound, and says itself that it ends here"
    FRAMES = "it is a sound whose last frame is whole; how many there should be it does not say"
    NOTHING = "it is a sound that does not say where it ends, or ends before the bytes do"
    MORE = "it is a sound of which something is missing"
    CUT = "what it is packed in has no end"
    NO_SOUND = "no sound begins here"


@frozen
class Shape:
    """A body.

    Attributes:
        data: the bytes that come.
        tells: what they say.
        broken_off: more was on its way when the connection ended, which a framing can show.
        ending: of the file that it is, if it is one.
        unpacked: what is published, if the body is packed.
        mended: what is published, if the header of that needs to be written anew.
    """

    data: bytes
    tells: Tells
    broken_off: bool = False
    ending: str = ".wav"
    unpacked: bytes = b""
    mended: bytes = b""

    @property
    def file(self) -> bytes:
        """What is published."""
        return self.mended or self.unpacked or self.data


WHOLE = wav(4000)
_OTHER = wav(4000, seed=1)
_HEADER = 44
_MP3 = mp3(render("bell", seconds=2.0, sample_rate=44100), "128k")
_FRAME = b"\xff\xfb\x50\x00" + bytes(204)  # 64 kbit/s, 44,100 Hz: 208 bytes
_FLAC = flac(WHOLE)
_FLAC_UNCOUNTED = _FLAC[:21] + bytes([_FLAC[21] & 0xF0]) + bytes(4) + _FLAC[26:]
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


def _counting(frames: int) -> bytes:
    """A first frame, without sound, that says how many follow."""
    counts = b"Xing" + struct.pack(">II", 1, frames)
    return _FRAME[:36] + counts + _FRAME[36 + len(counts) :]


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
        for name in ("extra_chunks", "float32", "odd_chunk", "pcm24")
    },
}  # fmt: skip
_MUTE_FILES = {
    "one byte more": WHOLE + b"\0",
    "a page behind it": WHOLE + _PAGE,
    "two files": WHOLE + _OTHER,
    "a RIFF size too small": _sizes(_RIFF_SIZE - 100, _DATA_SIZE - 100),
}
_INFO = b"LIST" + struct.pack("<I", 25) + b"INFOISFT\x0d\0\0\0modelslab 1.0"
_EXTENSIBLE = contain(WHOLE, "extensible")
_OPEN_FILES = {
    "sizes of zero": _sizes(0, 0),
    "sizes of a stream": _sizes(0xFFFFFFFF, 0xFFFFFFFF),
    "sizes of sox": _sizes(0x7FFFF024, 0x7FFFF000),
}
_BROKEN_FILES = {
    "bad_list": (contain(WHOLE, "bad_list"), _riff(_FMT, _INFO + b"\0", _DATA)),
    "extensible": (_EXTENSIBLE, _EXTENSIBLE[:20] + b"\1\0" + _EXTENSIBLE[22:]),
    "rf64": (
        contain(WHOLE, "rf64"),
        _riff(_chunk(b"JUNK", contain(WHOLE, "rf64")[20:48]), _FMT, _DATA),
    ),
    "only the RIFF size open": (_sizes(0, _DATA_SIZE), WHOLE),
    "only the data size open": (_sizes(_RIFF_SIZE, 0xFFFFFFFF), WHOLE),
    "a RIFF size that ends inside the sound": (_sizes(1000, _DATA_SIZE), WHOLE),
    "a mark of UTF-8 in front": (b"\xef\xbb\xbf" + WHOLE, WHOLE),
    "a line in front": (b"\r\n" + WHOLE, WHOLE),
    "headers in front": (b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + WHOLE, WHOLE),
    "a tag in front": (_TAG + WHOLE, WHOLE),
}
_PACKED_FILES = {
    "gzip": gzip.compress(WHOLE, mtime=0),
    "gzip twice": gzip.compress(gzip.compress(WHOLE, mtime=0), mtime=0),
    "zlib": zlib.compress(WHOLE),
    "the chunks of an upload": b"".join(
        b"%x;chunk-signature=%b\r\n%b\r\n" % (len(part), b"0" * 64, part)
        for part in (WHOLE[:5000], WHOLE[5000:], b"")
    ),
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
    "a page, compressed": gzip.compress(_PAGE, mtime=0),
    "64 MiB of zeros, compressed": gzip.compress(bytes(2**26), mtime=0),
    "base64": base64.b64encode(WHOLE),
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
    **{name: Shape(data, Tells.NOTHING, mended=WHOLE) for name, data in _OPEN_FILES.items()},
    **{
        name: Shape(data, Tells.ALL, mended=mended)
        for name, (data, mended) in _BROKEN_FILES.items()
    },
    **{name: Shape(data, Tells.ALL, unpacked=WHOLE) for name, data in _PACKED_FILES.items()},
    **{
        f"{name}, cut": Shape(data[:-1], Tells.CUT)
        for name, data in _PACKED_FILES.items()
        if "upload" not in name
    },
    "open sizes, compressed": Shape(
        gzip.compress(_sizes(0, 0), mtime=0), Tells.NOTHING, unpacked=_sizes(0, 0), mended=WHOLE
    ),
    "mp3": Shape(_MP3, Tells.ALL, ending=".mp3"),
    "mp3 with a tag": Shape(_TAG + _MP3, Tells.ALL, ending=".mp3"),
    "bare frames": Shape(_FRAME * 9, Tells.FRAMES, ending=".mp3"),
    "bare frames and an old tag": Shape(_FRAME * 9 + b"TAG" + bytes(125), Tells.ALL, ending=".mp3"),
    "bare frames, the last cut": Shape(_FRAME * 9 + _FRAME[:99], Tells.MORE, ending=".mp3"),
    "mp3 before a page": Shape(_MP3 + _PAGE, Tells.NOTHING, ending=".mp3"),
    "half an mp3": Shape(_MP3[: len(_MP3) // 2], Tells.MORE, ending=".mp3"),
    "mp3 that counts its frames": Shape(_counting(9) + _FRAME * 9, Tells.ALL, ending=".mp3"),
    "mp3 with fewer frames than it counts": Shape(
        _counting(90) + _FRAME * 9, Tells.MORE, ending=".mp3"
    ),
    "flac": Shape(_FLAC, Tells.ALL, ending=".flac"),
    "flac behind a tag": Shape(_TAG + _FLAC, Tells.ALL, ending=".flac"),
    "flac of a stream": Shape(_FLAC_UNCOUNTED, Tells.FRAMES, ending=".flac"),
    "half a flac": Shape(_FLAC[: len(_FLAC) // 2], Tells.MORE, ending=".flac"),
    "half a flac of a stream": Shape(_FLAC_UNCOUNTED[:-5000], Tells.MORE, ending=".flac"),
}
