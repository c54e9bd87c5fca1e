"""Write samples and marks to a file that nothing else reads yet. Blocking."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final, Literal

from .._protocol.marks import (
    AI_SOURCE,
    Provenance,
    comment_of,
    tagged,
    title_of,
    xmp_of,
)
from ._libraries import Libraries

Format = Literal["wav", "flac", "ogg", "opus", "mp3"]
"""The formats of exported files."""

LOSSY: Final = ("ogg", "opus", "mp3")
_BLOCK: Final = 65536  # frames; the Vorbis encoder overflows its stack with more
_KINDS: Final = {
    "wav": ("WAV", ""),
    "flac": ("FLAC", ""),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
_DEEP: Final = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE"})


def encode(
    path: Path, samples: Any, rate: int, form: Format, source: str, library: Libraries
) -> None:
    """Write samples in a format; WAV and FLAC with 24 bits if the source has more than 16.

    Args:
        source: the kind of samples of the original, as libsndfile names it.
    """
    kind, subtype = _KINDS[form]
    subtype = subtype or ("PCM_24" if source in _DEEP else "PCM_16")
    with library.soundfile.SoundFile(
        str(path), "w", samplerate=rate, channels=samples.shape[1], format=kind, subtype=subtype
    ) as file:
        for at in range(0, len(samples), _BLOCK):
            file.write(samples[at : at + _BLOCK])


def mark(path: Path, form: str, about: Provenance, loop: int = 0) -> str:
    """Add marks to a file; return why it has none.

    Args:
        loop: frames of a sound that can be repeated; 0: it cannot.
    """
    if form == "wav":
        if loop:
            _append(path, _loop_chunk(loop))
        with path.open("rb") as file:

            def read_at(offset: int, count: int) -> bytes:
                file.seek(offset)
                return file.read(count)

            pieces = tagged(read_at, path.stat().st_size, about)
        if isinstance(pieces, str):
            return pieces
        if isinstance(added := pieces[-1], bytes):
            _append(path, added)
        return ""
    try:
        import mutagen
    except ImportError:
        return "tags of other formats than WAV need the extra audio"
    try:
        if form == "mp3":
            _mark_mp3(path, about)
        else:
            _mark_vorbis(mutagen.File(str(path)), about, loop)
    except mutagen.MutagenError as error:
        return f"{error}"
    return ""


def _append(path: Path, added: bytes) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.write(b"\0" * (size % 2 and added[:1] != b"\0") + added)
        length = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", length))


def _loop_chunk(frames: int) -> bytes:
    """A chunk ``smpl`` with one loop over the whole sound."""
    head = struct.pack("<9I", 0, 0, 0, 60, 0, 0, 0, 1, 0)
    return b"smpl" + struct.pack("<I", 60) + head + struct.pack("<6I", 0, 0, 0, frames - 1, 0, 0)


def _mark_vorbis(file: Any, about: Provenance, loop: int) -> None:
    if file.tags is None:
        file.add_tags()
    file["title"] = title_of(about)
    file["comment"] = comment_of(about)
    file["date"] = about.created[:10]
    file["digitalsourcetype"] = AI_SOURCE
    if loop:
        file["loopstart"], file["looplength"] = "0", f"{loop}"
    file.save()


def _mark_mp3(path: Path, about: Provenance) -> None:
    from mutagen import id3, mp3

    file = mp3.MP3(str(path))
    if file.tags is None:
        file.add_tags()
    for frame in (
        id3.TIT2(encoding=3, text=title_of(about)),
        id3.COMM(encoding=3, lang="eng", desc="", text=comment_of(about)),
        id3.TDRC(encoding=3, text=about.created[:10]),
        id3.PRIV(owner="XMP", data=xmp_of(about).encode()),
    ):
        file.tags.add(frame)
    file.save()
