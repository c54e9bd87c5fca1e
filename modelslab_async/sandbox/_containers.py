"""Convert PCM samples to the WAV variants that servers write. Pure: bytes in, bytes out.

Layouts follow Microsoft's RIFF and WAVEFORMATEXTENSIBLE descriptions and EBU Tech 3306 (RF64).
"""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_UNKNOWN_SIZE = 0xFFFFFFFF


@frozen
class _Sound:
    channels: int
    rate: int
    samples: bytes

    def fmt(self, tag: int, bits: int, *, extensible: bool = False) -> bytes:
        block = self.channels * bits // 8
        shown = _EXTENSIBLE if extensible else tag
        plain = struct.pack(
            "<HHIIHH", shown, self.channels, self.rate, self.rate * block, block, bits
        )
        if not extensible:
            return _chunk(b"fmt ", plain)
        speakers = (1 << self.channels) - 1
        extra = struct.pack("<HHIH", 22, bits, speakers, tag) + _GUID_TAIL
        return _chunk(b"fmt ", plain + extra)

    def floats(self) -> bytes:
        values = array("f", (sample / 32768 for sample in memoryview(self.samples).cast("h")))
        return values.tobytes()

    def wide(self) -> bytes:
        """Return the samples with 24 bits: a zero low byte and the 16 bits."""
        out = bytearray(len(self.samples) // 2 * 3)
        out[1::3] = self.samples[0::2]
        out[2::3] = self.samples[1::2]
        return bytes(out)


def contain(wav: bytes, kind: str) -> bytes:
    """Convert the PCM16 file `wav` to the container `kind`; some kinds have wrong sizes."""
    return wav if kind == "pcm16" else _KINDS[kind](_parse(wav))


def _parse(wav: bytes) -> _Sound:
    channels, rate = struct.unpack_from("<HI", wav, wav.index(b"fmt ") + 10)
    start = wav.index(b"data", 36) + 8
    return _Sound(channels, rate, wav[start:])


def _chunk(name: bytes, body: bytes, *, size: int | None = None, pad: bool = True) -> bytes:
    tail = b"\0" if pad and len(body) % 2 else b""
    return name + struct.pack("<I", len(body) if size is None else size) + body + tail


def _riff(*chunks: bytes, size: int | None = None, form: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack("<I", len(body) if size is None else size) + body


def _with_sizes(riff: int, data: int) -> Callable[[_Sound], bytes]:
    """Return a writer whose RIFF and data sizes are wrong by these numbers of bytes."""

    def write(sound: _Sound) -> bytes:
        fmt = sound.fmt(_PCM, 16)
        size = len(sound.samples)
        chunk = _chunk(b"data", sound.samples, size=size + data)
        return _riff(fmt, chunk, size=4 + len(fmt) + len(chunk) + riff)

    return write


def _with_fixed_sizes(value: int) -> Callable[[_Sound], bytes]:
    def write(sound: _Sound) -> bytes:
        chunk = _chunk(b"data", sound.samples, size=value)
        return _riff(sound.fmt(_PCM, 16), chunk, size=value)

    return write


def _with_chunks(*before: bytes) -> Callable[[_Sound], bytes]:
    return lambda sound: _riff(*before, sound.fmt(_PCM, 16), _chunk(b"data", sound.samples))


def _bad_list(sound: _Sound) -> bytes:
    """Write a LIST chunk of odd length without its pad byte before `data`."""
    info = _chunk(b"LIST", b"INFOISFT\x0d\0\0\0modelslab 1.0", pad=False)
    return _riff(sound.fmt(_PCM, 16), info, _chunk(b"data", sound.samples))


def _odd_chunk(sound: _Sound) -> bytes:
    """Write a last chunk of odd length without its pad byte."""
    data = _chunk(b"data", sound.samples)
    return _riff(sound.fmt(_PCM, 16), data, _chunk(b"id3 ", b"ID3", pad=False))


def _rf64(sound: _Sound) -> bytes:
    fmt = sound.fmt(_PCM, 16)
    size = len(sound.samples)
    frames = size // (2 * sound.channels)
    total = 4 + 36 + len(fmt) + 8 + size
    sizes = _chunk(b"ds64", struct.pack("<QQQI", total, size, frames, 0))
    data = _chunk(b"data", sound.samples, size=_UNKNOWN_SIZE)
    return _riff(sizes, fmt, data, size=_UNKNOWN_SIZE, form=b"RF64")


_KINDS: dict[str, Callable[[_Sound], bytes]] = {
    "pcm24": lambda s: _riff(s.fmt(_PCM, 24), _chunk(b"data", s.wide())),
    "float32": lambda s: _riff(s.fmt(_FLOAT, 32), _chunk(b"data", s.floats())),
    "extensible": lambda s: _riff(s.fmt(_PCM, 16, extensible=True), _chunk(b"data", s.samples)),
    "extensible_float": lambda s: _riff(
        s.fmt(_FLOAT, 32, extensible=True), _chunk(b"data", s.floats())
    ),
    "extra_chunks": _with_chunks(_chunk(b"JUNK", bytes(28)), _chunk(b"bext", bytes(602))),
    "bad_list": _bad_list,
    "odd_chunk": _odd_chunk,
    "rf64": _rf64,
    "streaming_size": _with_fixed_sizes(_UNKNOWN_SIZE),
    "zero_size": _with_fixed_sizes(0),
    "size_too_small": _with_sizes(-1000, 0),
    "size_too_big": _with_sizes(1000, 0),
    "data_past_end": _with_sizes(1000, 1000),
    "silent": lambda s: _riff(s.fmt(_PCM, 16), _chunk(b"data", bytes(len(s.samples)))),
}
