"""Check files of any origin: what a listener would notice, and marks. Blocking; it only reads.

The samples of WAV files are read here. MP3, FLAC and others are decoded where the extra ``audio``
is installed, and are otherwise not checked, which `CheckedFile` says.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from .._protocol.audio import examine
from .._protocol.marks import Mark as Mark
from .._protocol.marks import marks_in
from .._protocol.sound import Completeness, Sound
from .._protocol.sound_check import Flag as Flag
from .._protocol.sound_check import SoundCheck, check_sound
from ._libraries import Libraries, libraries

_LONGEST: Final = 3600
"""Seconds of the longest sound that is decoded as a whole."""


@frozen(kw_only=True)
class CheckedFile:
    """What was found of one file. ``None`` means that a value is not known.

    Attributes:
        path: as it was given.
        format: such as ``wav``; empty if it is no sound.
        seconds: its duration.
        sample_rate, channels: in Hz, and 1 for mono.
        flags: what may be wrong with it, each a `Flag`; ``None``: not checked.
        peak_dbfs: of the highest sample, in dB.
        lufs: integrated loudness (EBU R 128); known where the extra ``audio`` is installed.
        marks: what says where it comes from.
        peaks: its waveform: the highest level, 0 to 127, at each of up to 240 places.
        sound_sha256: of its samples, in hex; for sound that was not decoded only.
        problem: why it cannot be used as a sound, or what is odd about it; may be empty.
    """

    path: Path
    format: str = ""
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    flags: tuple[str, ...] | None = None
    peak_dbfs: float | None = None
    lufs: float | None = None
    marks: tuple[Mark, ...] = ()
    peaks: bytes | None = field(default=None, repr=False)
    sound_sha256: str | None = field(default=None, repr=False)
    problem: str = ""


def check_files(paths: Iterable[Path]) -> Iterator[CheckedFile]:
    """Check files one after the other; one with the samples of an earlier one says so.

    Its flag ``same_as`` is followed by the earlier file's name.
    """
    first: dict[str, Path] = {}
    for path in paths:
        found = check_file(path)
        digest = found.sound_sha256
        if digest is not None and found.flags is not None and Flag.SILENT not in found.flags:
            before = first.setdefault(digest, path)
            if before != path:
                same = f"{Flag.SAME_AS.value}:{before.name}"
                found = evolve(found, flags=(*found.flags, same))
        yield found


def check_file(path: str | os.PathLike[str]) -> CheckedFile:
    """Check one file; what cannot be read or is no sound has a ``problem``."""
    path = Path(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return CheckedFile(path=path, problem=f"cannot be read: {reason}")
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return CheckedFile(path=path, problem="is not a regular file")
        return _checked(path, fd, about.st_size, libraries())
    except OSError as error:
        return CheckedFile(path=path, problem=f"cannot be read: {error.strerror}")
    finally:
        os.close(fd)


def marks_of(path: Path) -> tuple[Mark, ...]:
    """The marks of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return marks_in(partial(_read_at, file.fileno()), path.stat().st_size)


def _checked(path: Path, fd: int, size: int, library: Libraries | None) -> CheckedFile:
    read_at = partial(_read_at, fd)
    sound, check, lufs, problem = examine(read_at, size), None, None, ""
    if isinstance(sound, Sound):
        check = check_sound(read_at, size)
        problem = _oddity(sound)
    known: dict[str, Any] = {}
    if library is not None:
        decoded = _decoded(path, library, whole=check is None)
        if decoded is not None:
            known, lufs = decoded
    if check is not None:
        known |= _values(check)
    if isinstance(sound, Sound):
        known |= {
            "format": sound.format.value,
            "seconds": sound.seconds,
            "sample_rate": sound.sample_rate,
            "channels": sound.channels,
        }
    elif not known:
        return CheckedFile(path=path, problem=f"is no sound that is known here: {sound.reason}")
    return CheckedFile(
        path=path, lufs=lufs, marks=marks_in(read_at, size), problem=problem, **known
    )


def _oddity(sound: Sound) -> str:
    if sound.completeness is Completeness.SHORT:
        return "ends before its header says"
    return "has a header that other programs may not read" if sound.mended else ""


def _values(check: SoundCheck) -> dict[str, Any]:
    return {
        "flags": check.flags,
        "peak_dbfs": check.peak_dbfs,
        "peaks": check.peaks,
        "sound_sha256": check.digest,
    }


def _decoded(
    path: Path, library: Libraries, *, whole: bool
) -> tuple[dict[str, Any], float | None] | None:
    """What decoding a file tells of it, and its loudness; ``None`` if it cannot be decoded.

    Args:
        whole: its samples were not read yet.
    """
    try:
        info = library.soundfile.info(str(path))
        if info.frames > info.samplerate * _LONGEST:
            return None
        samples, rate = library.soundfile.read(str(path), dtype="float32", always_2d=True)
    except (library.soundfile.LibsndfileError, RuntimeError, OSError):
        return None
    about: dict[str, Any] = {
        "format": str(info.format).lower(),
        "seconds": info.frames / info.samplerate,
        "sample_rate": rate,
        "channels": info.channels,
    }
    if whole and len(samples):
        check = check_sound(*_as_wav(samples, rate))
        if check is not None:  # the digest would be that of the decoder's samples
            about |= {**_values(check), "sound_sha256": None}
    return about, loudness_of(samples, rate, library)


def loudness_of(samples: Any, rate: int, library: Libraries) -> float | None:
    """Integrated loudness in LUFS; ``None`` for what is silent or shorter than 0.4 s."""
    try:
        lufs = float(library.loudness.integrated_loudness(samples, rate))
    except ValueError:
        return None
    return round(lufs, 2) if lufs > -70 else None  # the gate of EBU R 128


def _as_wav(samples: Any, rate: int) -> tuple[Any, int]:
    """Floats as a WAV file in memory, to be checked like one: how to read it, and its size."""
    channels = samples.shape[1]
    data = samples.astype("<f4").tobytes()
    head = b"".join(
        [
            b"RIFF",
            (36 + len(data)).to_bytes(4, "little"),
            b"WAVEfmt \x10\0\0\0\3\0",
            channels.to_bytes(2, "little"),
            rate.to_bytes(4, "little"),
            (rate * channels * 4).to_bytes(4, "little"),
            (channels * 4).to_bytes(2, "little"),
            b"\x20\0data",
            len(data).to_bytes(4, "little"),
        ]
    )
    whole = memoryview(head + data)
    return lambda offset, count: bytes(whole[offset : offset + count]), len(whole)


def _read_at(fd: int, offset: int, count: int) -> bytes:
    return os.pread(fd, count, offset)
