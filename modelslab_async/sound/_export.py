"""Hand over the files of a batch: copies of one format and loudness, with marks. Blocking.

The originals are only read. ``index.jsonl`` in the output directory says what was made of what, so
a second export makes only what is new or is asked for differently, and replaces only its own files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from attrs import asdict, evolve, frozen

from .._engine.filesystem import lock, make_durably, sync_directory
from .._protocol.marks import Mark, Provenance
from ..batch._decisions import Decisions, Verdict, read_decisions
from ..batch._records import request_of
from ..batch._rows import Row
from ..batch._sqlite.reader import Reader
from ..batch._states import RowState
from ..errors import ConfigurationError
from ._check import marks_of
from ._encode import LOSSY, Format, encode, mark
from ._libraries import needed
from ._shape import Shape, at_rate, gain_of, shaped, true_peak
from ._sign import Signer

INDEX_NAME: Final = "index.jsonl"
_SOUNDS: Final = (".wav", ".mp3", ".flac")
_MOST_TRIES: Final = 4
_PART: Final = re.compile(r"\..+\.[0-9a-f]{16}\.part(?:\.signed\.part)?", re.DOTALL)
_NOTED: Final = 0.1
"""Decibels below which a difference is not mentioned."""
_BLOCK: Final = 1024 * 1024
_VERSION: Final = 1
"""Part of the settings of each file: another one makes all files again."""


@frozen(kw_only=True)
class Exported:
    """What became of the file of one row.

    Attributes:
        row: its number.
        id: its own key.
        path: the copy; ``None``: there is none.
        is_new: whether it was made now.
        error: why there is no copy; empty if there is one.
        note: what could not be done; may be empty.
        gain: dB by which it was made louder.
    """

    row: int
    id: str
    path: Path | None = None
    is_new: bool = False
    error: str = ""
    note: str = ""
    gain: float = 0.0


class _Refused(Exception):
    """Why a file is not exported."""


def export_batch(
    directory: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    format: Format | None = None,  # noqa: A002 - the word of the command line
    shape: Shape | None = None,
    kept: bool = False,
    tag: bool = True,
    drop_c2pa: bool = False,
    sign: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
) -> Iterator[Exported]:
    """Copy the sounds of done rows to another directory, one after the other.

    Args:
        directory: of the batch; nothing there is changed.
        out: of the copies; it is made if there is none.
        format: of the copies; ``None``: that of each file.
        shape: loudness, length and fades; ``None``: as they are.
        kept: only files whose listeners have decided so; see `batch.read_decisions`.
        tag: add marks: that a model made them, with prompt and job.
        drop_c2pa: also make copies that lose the C2PA manifest of their original. Without it, such
            a file is copied as it is, or not at all.
        sign: PEM files with your certificates and your key, to sign WAV, FLAC and MP3 copies as
            C2PA does (extra ``c2pa``). A manifest that an original has becomes a part of the new.

    Raises:
        ConfigurationError: an extra is needed, a certificate cannot be used, ``out`` is the batch's
            directory, or another export to it is under way.
        LedgerError: there is no batch, or its ledger cannot be read.
        OSError: the directory cannot be written to.
    """
    directory, out, shape = Path(directory), Path(out), shape or Shape()
    if shape.fade and shape.loop:
        raise ConfigurationError("a sound that fades out cannot loop: choose one of them")
    if out.resolve() == directory.resolve():
        raise ConfigurationError(f"{out} is the batch itself: name another directory")
    if shape.changes or format is not None:
        needed("changing the format or loudness of sounds")
    signer = Signer(Path(sign[0]), Path(sign[1])) if sign is not None else None
    decisions = read_decisions(directory) if kept else None
    with Reader.open(directory) as reader:
        make_durably(out)
        with _alone(out):
            job = _Export(
                directory, out, format, shape, tag=tag, drop_c2pa=drop_c2pa, signer=signer
            )
            for row in reader.each((RowState.DONE,)):
                if _is_wanted(row, decisions):
                    yield job.export(row)
            sync_directory(out)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other exports out of a directory, and remove what killed ones have left there."""
    fd = os.open(out / INDEX_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            lock(fd, wait=False)
        except BlockingIOError:
            raise ConfigurationError(f"another export to {out} is under way") from None
        except OSError:
            pass  # a file system without locks
        else:
            for entry in os.scandir(out):
                if _PART.fullmatch(entry.name):
                    Path(entry).unlink(missing_ok=True)
        yield
    finally:
        os.close(fd)


def _is_wanted(row: Row, decisions: Decisions | None) -> bool:
    if not row.path or Path(row.path).suffix.lower() not in _SOUNDS:
        return False
    if decisions is None:
        return True
    decision = decisions.of(row)
    return decision is not None and decision.verdict is Verdict.KEPT


class _Export:
    """One export to one directory."""

    def __init__(
        self,
        directory: Path,
        out: Path,
        format: Format | None,  # noqa: A002
        shape: Shape,
        *,
        tag: bool,
        drop_c2pa: bool,
        signer: Signer | None,
    ) -> None:
        self._directory = directory
        self._out = out
        self._format = format
        self._shape = shape
        self._tag = tag
        self._drop_c2pa = drop_c2pa
        self._signer = signer
        self._known = _read_index(out / INDEX_NAME)
        signed = None if signer is None else signer.fingerprint
        text = json.dumps([_VERSION, asdict(shape), tag, drop_c2pa, signed], sort_keys=True)
        self._settings = hashlib.sha256(text.encode()).hexdigest()[:16]

    def export(self, row: Row) -> Exported:
        """Make the copy of a row's file, unless it is there."""
        source = self._directory / (row.path or "")
        form = self._format or source.suffix.lower().removeprefix(".")
        target = self._out / f"{source.stem}.{form}"
        made = Exported(row=row.seq, id=row.id)
        known = self._known.get(target.name, {})
        try:
            if self._stands(target, known):
                if (known["source"], known["settings"]) == (row.sha256, self._settings):
                    note, gain = str(known.get("note", "")), float(known.get("gain", 0.0))
                    return evolve(made, path=target, note=note, gain=gain)
            elif os.path.lexists(target):
                raise _Refused(f"{target} is not as an export has made it: move it")
            return self._made(made, row, source, target, form)
        except _Refused as refused:
            return evolve(made, error=str(refused))
        except (OSError, RuntimeError) as error:  # libsndfile raises the latter
            reason = getattr(error, "strerror", None) or error
            return evolve(made, error=f"{source}: {reason}")

    def _stands(self, target: Path, known: Mapping[str, Any]) -> bool:
        """Whether the copy is there as it was made."""
        with suppress(OSError):
            return bool(known) and target.lstat().st_size == known.get("size")
        return False

    def _made(self, made: Exported, row: Row, source: Path, target: Path, form: str) -> Exported:
        if Path(row.path or "").name != row.path:
            raise _Refused(f"{row.path!r:.80} is not a name in the directory")
        part = self._out / f".{target.name[:100]}.{secrets.token_hex(8)}.part"
        try:
            if _copied(source, part) != row.sha256:
                raise _Refused(f"{source} is not as it was saved; `verify` names such files")
            note, gain = self._changed(row, source, part, form)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            entry = {
                "file": target.name,
                "row": row.seq,
                "id": row.id,
                "prompt": row.prompt,
                "source": row.sha256,
                "settings": self._settings,
                "size": part.stat().st_size,
                "gain": gain,
                "note": note,
            }
            # First, so that a killed export knows the file as its own.
            _append_to(self._out / INDEX_NAME, entry)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return evolve(made, path=target, is_new=True, note=note, gain=gain)

    def _changed(self, row: Row, source: Path, part: Path, form: str) -> tuple[str, float]:
        """Bring a copy to its format, loudness and marks; return a note and the gain."""
        is_signed = Mark.C2PA in marks_of(source)
        is_plain = f".{form}" == source.suffix.lower() and not self._shape.changes
        is_kept = is_signed and self._signer is None and not self._drop_c2pa
        if is_kept and is_plain:
            return "its C2PA manifest is kept, and no tag added", 0.0
        if is_kept:
            raise _Refused(
                f"{source} has a C2PA manifest, which another format or loudness would lose; "
                "copy it as it is, or drop the manifest (--drop-c2pa)"
            )
        notes, gain, loop = [], 0.0, 0
        if not is_plain:
            note, gain, loop = self._encoded(source, part, form)
            notes.append(note)
        if self._tag:
            reason = mark(part, form, _about(row), loop)
            notes.append(f"no tag: {reason}" if reason else "")
        if self._signer is not None:
            reason = self._signed(self._signer, row, part, form, source if is_signed else None)
            notes.append(f"not signed: {reason}" if reason else "")
        return "; ".join(filter(None, notes)), round(gain, 2)

    def _signed(self, signer: Signer, row: Row, part: Path, form: str, parent: Path | None) -> str:
        target = part.with_name(f"{part.name}.signed.part")
        try:
            reason = signer.sign(part, target, form, _about(row), parent)
            if not reason:
                target.replace(part)
            elif parent is not None and not self._drop_c2pa:
                raise _Refused(f"{parent} has a C2PA manifest, which would be lost: {reason}")
            return reason
        finally:
            target.unlink(missing_ok=True)

    def _encoded(self, source: Path, part: Path, form: Any) -> tuple[str, float, int]:
        library, shape = needed("this"), self._shape
        info = library.soundfile.info(str(source))
        samples, rate = library.soundfile.read(str(source), dtype="float32", always_2d=True)
        before = len(samples)
        samples, note = shaped(samples, rate, shape, library)
        looped = bool(shape.loop) and not note and before > len(samples)
        samples, rate = at_rate(samples, rate, form, library)
        gain, reason = gain_of(samples, rate, shape, library)
        for _ in range(_MOST_TRIES):
            louder = samples * library.numpy.float32(10 ** (gain / 20))
            encode(part, louder, rate, form, info.subtype, library)
            if shape.lufs is None or form not in LOSSY:
                break
            decoded, _ = library.soundfile.read(str(part), dtype="float32", always_2d=True)
            excess = true_peak(decoded, rate, library) - shape.peak
            if excess <= 0:
                break
            gain -= excess + 0.05  # encoders move peaks
            if excess >= _NOTED:
                reason = f"{excess:.1f} dB quieter, for its peak after encoding"
        notes = "; ".join(filter(None, (note, reason)))
        return notes, gain, len(samples) if looped else 0


def _about(row: Row) -> Provenance:
    at = time.gmtime(row.done_at or 0.0)
    return Provenance(
        prompt=row.prompt,
        model=request_of(row).NAME,
        job_id=row.job_id or "",
        track_id=row.track_id or "",
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", at),
        software="modelslab-async",
        sha256=row.source_sha256 or "",
    )


def _copied(source: Path, part: Path) -> str:
    """Copy a file and return the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    with source.open("rb") as file, part.open("xb") as copy:
        while block := file.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    shutil.copymode(source, part)
    return digest.hexdigest()


def _read_index(path: Path) -> dict[str, Mapping[str, Any]]:
    """The last line about each file; what is no line of an index is passed over."""
    known: dict[str, Mapping[str, Any]] = {}
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and {"file", "source", "settings", "size"} <= {*entry}:
                    known[str(entry["file"])] = entry
    return known


def _append_to(path: Path, entry: Mapping[str, Any]) -> None:
    with path.open("ab") as file:
        file.write((json.dumps(entry) + "\n").encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
