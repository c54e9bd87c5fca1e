"""Corners of the sandbox's encoders that no ordinary song reaches."""

from __future__ import annotations

import pytest

from modelslab_async.sandbox.encode import _coded_number, flac

from .tracks import wav


@pytest.mark.parametrize("number", [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF])
def test_the_number_of_a_flac_frame_is_coded_as_a_character_is(number: int) -> None:
    """RFC 9639, section 9.1.5: by the bits of UTF-8."""
    assert _coded_number(number) == chr(number).encode()


@pytest.mark.parametrize(
    ("at", "value"), [(0, b"RIFX"), (20, b"\3\0"), (22, b"\3\0"), (34, b"\x18\0"), (36, b"LIST")]
)
def test_a_wav_that_is_not_the_sandboxs_own_kind_is_not_made_flac(at: int, value: bytes) -> None:
    other = bytearray(wav(100))
    other[at : at + len(value)] = value
    with pytest.raises(ValueError, match=r"RIFF|PCM16"):
        flac(bytes(other))
