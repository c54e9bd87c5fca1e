"""Render the file of a job on first use; the bytes are the same every time.

NumPy and soundfile (the extra ``sandbox``) are imported by the first render, in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import field, frozen

from ._containers import contain

if TYPE_CHECKING:
    from ._account import Job

CONTENT_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "txt": "text/plain; charset=utf-8",
    "mp4": "video/mp4",
}
CACHE_BYTES = 64 * 2**20
_MP3_RATE = 44100  # MPEG-1 has 32000, 44100 and 48000 only


@frozen
class File:
    """A stored object: its bytes, its type and its entity tag."""

    body: bytes = field(repr=False)
    content_type: str
    etag: str


def stored(body: bytes, content_type: str) -> File:
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return File(body, content_type, f'"{digest}"')


class FileStore:
    """Renders the files of jobs and caches the most recent ones, up to `CACHE_BYTES`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: OrderedDict[tuple[int, str], File] = OrderedDict()
        self._size = 0

    async def prepare(self, job: Job, extension: str | None = None) -> None:
        """Render the file for `file` in a thread, so that the event loop is not blocked."""
        name = (job.id, extension or job.extension)
        if name not in self._kept:
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(None, self._make, job, name[1])
            self._keep(name, stored(body, CONTENT_TYPES[name[1]]))

    def file(self, job: Job, extension: str | None = None) -> File:
        """Return the finished file of `job`, optionally in another format."""
        name = (job.id, extension or job.extension)
        if (kept := self._kept.get(name)) is not None:
            self._kept.move_to_end(name)
            return kept
        made = stored(self._make(job, name[1]), CONTENT_TYPES[name[1]])
        self._keep(name, made)
        return made

    def other_wav(self, job: Job) -> bytes:
        """Return a valid file of the same duration with other music."""
        return self._render(job, salt=1)

    def _make(self, job: Job, extension: str) -> bytes:
        if extension == "txt":
            return _text(job)
        if extension == "mp4":
            return _video(job)
        from ._audio import codecs

        if extension == "mp3":
            wav = self._render(job, rate=_MP3_RATE)
            return codecs.mp3(wav, str(job.request.get("bitrate") or "320k"))
        wav = self._render(job)
        return codecs.flac(wav) if extension == "flac" else contain(wav, job.wav)

    def _render(self, job: Job, salt: int = 0, rate: int | None = None) -> bytes:
        from ._audio.synth import render

        number = hashlib.sha256(f"{self._seed}|{job.id}|{salt}".encode()).digest()
        return render(
            job.prompt,
            seconds=job.seconds,
            sample_rate=rate or job.sample_rate,
            seed=int.from_bytes(number[:4], "big"),
        )

    def _keep(self, name: tuple[int, str], made: File) -> None:
        if name in self._kept:  # rendered twice at the same time
            return
        self._kept[name] = made
        self._size += len(made.body)
        while self._size > CACHE_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1].body)


def _text(job: Job) -> bytes:
    """Return lyrics or a transcript; JSON if the request asks for timestamps."""
    words = f"Job {job.id} of the sandbox".split()
    if level := job.request.get("timestamp_level"):
        spans = [" ".join(words)] if level == "sentence" else words
        segments = [{"text": one, "start": at, "end": at + 1} for at, one in enumerate(spans)]
        return json.dumps(segments).encode()
    lines = [" ".join(words), *filter(None, [job.prompt])]
    return "\n".join(
        ("[Verse]", *lines) if job.path.endswith("lyrics_generator") else lines
    ).encode()


def _video(job: Job) -> bytes:
    """Return a complete MP4 file without frames (ISO/IEC 14496-12: ftyp, moov/mvhd, mdat)."""
    scale = 1000
    matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    length = struct.pack(">IIII", 0, 0, scale, int(job.seconds * scale))
    rest = struct.pack(">IH10x", 1 << 16, 1 << 8) + matrix + bytes(24) + struct.pack(">I", 1)
    header = _box(b"mvhd", bytes(4) + length + rest)
    return (
        _box(b"ftyp", b"isom" + bytes(4) + b"isom")
        + _box(b"moov", header)
        + _box(b"mdat", b"%d" % job.id * 100)
    )


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content
