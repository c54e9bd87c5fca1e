"""Put PCM into other containers: FLAC and MP3. Nothing here waits, reads a clock or draws a number.

The standard library has no encoder for either. FLAC may store samples as they are, so that one is
lossless and complete; an MP3 cannot be had that cheaply, see `mp3`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from array import array
from functools import lru_cache

_BLOCK = 4096
_VERBATIM = b"\x02"
_VENDOR = b"modelslab sandbox"
_MP3_RATES = {44100: 0, 48000: 1, 32000: 2}
_MP3_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_FRAME = 1152


def flac(wav: bytes) -> bytes:
    """A FLAC stream holding exactly the samples of a canonical PCM16 WAV file (44-byte header).

    The samples are stored verbatim (FLAC format, "SUBFRAME_VERBATIM"), so the file is as long as
    the WAV. STREAMINFO carries the number of samples and the MD5 of the PCM.

    Raises:
        ValueError: when `wav` is not such a file.
    """
    if len(wav) < 44 or wav[:4] != b"RIFF" or wav[8:16] != b"WAVEfmt " or wav[36:40] != b"data":
        raise ValueError("not a RIFF/WAVE file with a 44-byte header")
    form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", wav, 20)
    if (form, bits) != (1, 16) or not 1 <= channels <= 2:
        raise ValueError("only PCM16, mono or stereo")
    (size,) = struct.unpack_from("<I", wav, 40)
    pcm = wav[44 : 44 + size]
    head = _stream_info(pcm, channels, rate) + _comment()
    return b"fLaC" + head + b"".join(_flac_frames(pcm, channels))


def _stream_info(pcm: bytes, channels: int, rate: int) -> bytes:
    total = len(pcm) // (2 * channels)
    packed = rate << 44 | (channels - 1) << 41 | 15 << 36 | total
    sizes = struct.pack(">HH", _BLOCK, _BLOCK) + bytes(6)
    body = sizes + packed.to_bytes(8, "big") + hashlib.md5(pcm, usedforsecurity=False).digest()
    return b"\x00" + len(body).to_bytes(3, "big") + body


def _comment() -> bytes:
    body = struct.pack("<I", len(_VENDOR)) + _VENDOR + struct.pack("<I", 0)
    return b"\x84" + len(body).to_bytes(3, "big") + body


def _flac_frames(pcm: bytes, channels: int) -> list[bytes]:
    lanes = array("H", pcm)
    lanes.byteswap()
    apart = [lanes[channel::channels].tobytes() for channel in range(channels)]
    starts = range(0, len(apart[0]), 2 * _BLOCK)
    return [
        _flac_frame(number, [channel[at : at + 2 * _BLOCK] for channel in apart])
        for number, at in enumerate(starts)
    ]


def _flac_frame(number: int, channels: list[bytes]) -> bytes:
    count = len(channels[0]) // 2
    head = b"\xff\xf8\x70" + bytes([(len(channels) - 1) << 4 | 0x08])
    head += _coded_number(number) + struct.pack(">H", count - 1)
    head += bytes([_crc8(head)])
    frame = head + b"".join(_VERBATIM + channel for channel in channels)
    return frame + struct.pack(">H", crc16(frame))


def _coded_number(number: int) -> bytes:
    """The frame number the way UTF-8 codes a character, as FLAC wants it."""
    if number < 0x80:
        return bytes([number])
    if number < 0x800:
        return bytes([0xC0 | number >> 6, 0x80 | number & 63])
    if number < 0x10000:
        return bytes([0xE0 | number >> 12, 0x80 | number >> 6 & 63, 0x80 | number & 63])
    return bytes(
        [0xF0 | number >> 18, 0x80 | number >> 12 & 63, 0x80 | number >> 6 & 63, 0x80 | number & 63]
    )


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _crc8_table()[value ^ byte]
    return value


@lru_cache(maxsize=1)
def _crc8_table() -> bytes:
    return bytes(_shifted(byte, 8, 0x07) for byte in range(256))


def _shifted(value: int, width: int, polynomial: int) -> int:
    for _ in range(8):
        value <<= 1
        if value >> width:
            value ^= 1 << width | polynomial
    return value


def crc16(data: bytes) -> int:
    """The CRC that ends a FLAC frame: polynomial x^16 + x^15 + x^2 + 1, start 0, high bit first.

    Works on the data as one polynomial over GF(2). The divisor is (x + 1)(x^15 + x + 1): the rest
    by the first is the parity, and raising the second to a power of two k times keeps it a
    trinomial, so x^(15k) may be folded down to x^k + 1 with a few shifts of the whole number.
    """
    whole = int.from_bytes(data, "big") << 16
    rest, power = whole, 1 << max(0, whole.bit_length().bit_length() - 4)
    while power:
        while high := rest >> 15 * power:
            rest ^= (high << 15 * power) ^ (high << power) ^ high
        power >>= 1
    return rest if (rest ^ whole).bit_count() % 2 == 0 else rest ^ 0b1000000000000011


def mp3(seconds: float, bitrate_kbps: int, sample_rate: int = 44100) -> bytes:
    """MPEG-1 Layer III frames that last `seconds`, all of them silence.

    The standard library has no MP3 encoder and one is too much to write for a stand-in, so the
    frames are real, have the right number and size, decode everywhere, and hold no sound. Stereo,
    constant bit rate, `ceil(seconds * sample_rate / 1152)` frames, no ID3 tag.

    Raises:
        ValueError: when MPEG-1 Layer III has no such bit rate (kbit/s) or sample rate.
    """
    if bitrate_kbps not in _MP3_BITRATES or sample_rate not in _MP3_RATES:
        raise ValueError(f"no MPEG-1 Layer III at {bitrate_kbps} kbit/s and {sample_rate} Hz")
    per_frame = 144000 * bitrate_kbps
    rates = (_MP3_BITRATES.index(bitrate_kbps) + 1) << 4 | _MP3_RATES[sample_rate] << 2
    ends = [per_frame * n // sample_rate for n in range(mp3_frame_count(seconds, sample_rate) + 1)]
    shortest = per_frame // sample_rate
    plain, padded = (
        bytes((0xFF, 0xFB, rates | padding << 1, 0)) + bytes(shortest + padding - 4)
        for padding in (0, 1)
    )
    lengths = (after - before for before, after in itertools.pairwise(ends))
    return b"".join([padded if length > shortest else plain for length in lengths])


def mp3_frame_count(seconds: float, sample_rate: int = 44100) -> int:
    """How many frames of 1152 samples cover `seconds`."""
    return math.ceil(seconds * sample_rate / _MP3_FRAME)
