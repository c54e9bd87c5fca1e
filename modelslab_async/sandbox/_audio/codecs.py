"""Encode the samples of a WAV file as FLAC or MP3, with libsndfile."""

from __future__ import annotations

import io

import soundfile

MP3_BITRATES = {"128k": 0.66, "192k": 0.44, "320k": 0.0}
"""libsndfile's compression level for each bit rate that the API offers (music-gen page)."""

_MP3_RATES = (48000, 44100, 32000)


def flac(wav: bytes) -> bytes:
    """Encode the exact samples of a WAV file as FLAC."""
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def mp3(wav: bytes, bitrate: str = "320k") -> bytes:
    """Encode a WAV file as MP3 (MPEG-1 Layer III, constant bit rate).

    Raises:
        ValueError: the API does not offer the bit rate, or MPEG-1 not the sample rate.
    """
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32", always_2d=True)
    if bitrate not in MP3_BITRATES or rate not in _MP3_RATES:
        raise ValueError(f"no MP3 of {bitrate} at {rate} Hz")
    out = io.BytesIO()
    soundfile.write(
        out, samples, rate, format="MP3", subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT", compression_level=MP3_BITRATES[bitrate],
    )  # fmt: skip
    return out.getvalue()
