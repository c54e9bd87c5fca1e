"""Download a job's file to disk, complete, from any of its links.

`_policy.download` decides which link to try next and whether to publish. This module moves the
bytes, in large buffers, with one hop to a thread per buffer.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from attrs import evolve

from .._policy.download import (
    Abort,
    AttemptFailure,
    DownloadPolicy,
    Ending,
    FailureKind,
    Get,
    Integrity,
    Refresh,
    Transfer,
    can_be_repeated,
    integrity_of,
    next_step,
)
from .._policy.error_mapping import download_failed, write_failed
from .._protocol.audio import HEAD
from .._protocol.encoding import Undecodable, coding_of
from .._protocol.files import may_hold, refusal
from .._protocol.marks import Provenance
from .._protocol.output import Judged, Output
from .._protocol.replies import RemoteFile
from .._protocol.sound import Sound
from .._text import safe_text
from ..errors import DownloadError
from .aio import RunningClock, in_thread
from .events import EventKind, Events, JobEvent
from .partfile import PartFile
from .saved import SavedFile, measured
from .speed import SpeedMonitor
from .storage import OTHER_VERSION, Body, LinkFailed, Storage
from .tagging import tag
from .targets import Target
from .unpacking import undo_all

Progress = Callable[[int, int | None], None]
"""``progress(received, total)`` in bytes; ``total`` is ``None`` if the server announces no size."""

BeforePublish = Callable[["SavedFile"], Awaitable[None]]
_MIN_PROGRESS = 64 * 1024
_log = logging.getLogger("modelslab_async.download")


class Downloader:
    """Downloads files, a limited number at once.

    Args:
        storage: follows the links.
        policy: how persistently to try.
        max_downloads: how many at once.
        events: receives each step.
    """

    def __init__(
        self, storage: Storage, policy: DownloadPolicy, max_downloads: int, events: Events
    ) -> None:
        self._events = events
        self._storage = storage
        self._policy = policy
        self._limit = asyncio.Semaphore(max_downloads)
        self._threads = ThreadPoolExecutor(max_downloads, thread_name_prefix="modelslab-files")
        self._swept: set[Path] = set()
        self._active = 0
        self._closed = False

    async def download(
        self,
        file: RemoteFile,
        target: Target,
        *,
        refresh: Callable[[], Awaitable[RemoteFile | None]],
        progress: Progress | None = None,
        on_stall: Callable[[], None] | None = None,
        before_publish: BeforePublish | None = None,
    ) -> SavedFile:
        """Download one file to disk.

        Args:
            file: what to download.
            target: where to put it.
            refresh: asks the API for new links when all known ones are dead.
            progress: called as bytes arrive.
            on_stall: called when an attempt made no progress.
            before_publish: awaited when the file is complete, before it gets its final name.

        Raises:
            DownloadError: the download failed, or the file cannot be written.
        """
        if not file.urls:
            raise download_failed(Abort(FailureKind.GONE, "it has no link"), file, 0)
        not_swept = target.directory not in self._swept
        self._swept.add(target.directory)  # once: a directory may hold a hundred thousand files
        part = PartFile(target.used, target.stem, sweep=not_swept)
        self._active += 1
        try:
            async with self._limit:
                run = _FileDownload(
                    self, file, target, part, refresh, progress, on_stall, before_publish
                )
                try:
                    with run.clock:
                        return await run.run()
                except OSError as error:
                    failed = write_failed(error, file, target.directory)
                    run.emit(EventKind.NOT_SAVED, error=type(failed).__name__)
                    raise failed from error
                except BaseException as error:
                    run.emit(EventKind.NOT_SAVED, error=type(error).__name__)
                    raise
                finally:
                    if part.is_open:
                        await in_thread(part.discard, self._threads)
        finally:
            self._active -= 1
            self._end_threads()

    def close(self) -> None:
        """Stop the threads as soon as no download needs them."""
        self._closed = True
        self._end_threads()

    def _end_threads(self) -> None:
        if self._closed and not self._active:
            self._threads.shutdown(wait=False)

    async def is_resumable(self, file: RemoteFile) -> bool:
        """Return whether the first link that can be read serves the rest of this same file.

        Raises:
            DownloadError: no link can be read.
        """
        failure = AttemptFailure(FailureKind.GONE, "it has no link")
        for url in (one for one in file.urls if not one.startswith("data:")):
            try:
                async with self._storage.get(url) as body:
                    validator = body.validator
                if validator is None:
                    return False
                async with self._storage.get(url, offset=1, validator=validator) as rest:
                    return rest.offset == 1
            except LinkFailed as failed:
                failure = failed.failure
        raise download_failed(Abort(failure.kind, failure.detail), file, len(file.urls))

    async def probe(self, url: str, gives: Output) -> bool:
        """Return whether a link serves the requested kind of content; reads only its beginning."""
        head = b""
        try:
            async with self._storage.get(url) as body:
                with anyio.move_on_after(self._policy.timeout):
                    while len(head) < HEAD and (data := await body.read(self._policy.timeout)):
                        head += data
        except LinkFailed:
            return False
        return may_hold(gives, head)


class _FileDownload:
    """The attempts to download one file."""

    def __init__(
        self,
        downloader: Downloader,
        file: RemoteFile,
        target: Target,
        part: PartFile,
        refresh: Callable[[], Awaitable[RemoteFile | None]],
        progress: Progress | None,
        on_stall: Callable[[], None] | None,
        before_publish: BeforePublish | None,
    ) -> None:
        self._events = downloader._events
        self._storage = downloader._storage
        self._policy = downloader._policy
        self._threads = downloader._threads
        self._file = file
        self._target = target
        self._part = part
        self._in_trouble = on_stall
        self._refresh = refresh
        self._progress = progress
        self._before_publish = before_publish
        self._source: tuple[str, Body] | None = None
        self._head = b""
        self._furthest = 0
        self._attempts = 0
        self.clock = RunningClock()

    async def run(self) -> SavedFile:
        transfer = Transfer(links=len(self._file.urls), last_progress=self.clock())
        link = 0
        while True:
            self._attempts += 1
            self.emit(EventKind.DOWNLOADING)
            try:
                saved = await self._attempt(self._file.urls[link], transfer)
                self.emit(EventKind.SAVED, size=saved.size)
                return saved
            except LinkFailed as failed:
                failure = failed.failure
            if self._in_trouble is not None and not failure.progressed:
                self._in_trouble()
            if failure.kind is FailureKind.WRONG:
                self._discard_source()
            transfer, link = await self._next(transfer, failure)

    def emit(self, kind: EventKind, **details: Any) -> None:
        """Report a step of this download."""
        job_id, file = self._file.job_id, self._file.index
        self._events.emit(JobEvent(kind=kind, job_id=job_id, file=file, **details))

    async def _next(self, transfer: Transfer, failure: AttemptFailure) -> tuple[Transfer, int]:
        transfer, step = next_step(transfer, failure, self.clock(), self._policy)
        if isinstance(step, Refresh):
            known, self._file = self._file, await self._refresh() or self._file
            transfer = evolve(transfer, links=len(self._file.urls))
            step = step.otherwise if {*self._file.urls} <= {*known.urls} else Get(0, 0.0)
        match step:
            case Get(link, delay):
                reason = f"download: {failure.kind.value} ({failure.detail})"
                self.emit(EventKind.WAITING, reason=safe_text(reason), seconds=delay)
                await anyio.sleep(delay)
                return transfer, link
            case Abort():
                raise download_failed(step, self._file, self._attempts)

    async def _attempt(self, url: str, transfer: Transfer) -> SavedFile:
        if url.startswith("data:"):
            await self._write_inline(url)
            return await self._finish(Ending.ANNOUNCED, transfer, ())
        validator = self._source[1].validator if self._source and self._source[0] == url else None
        async with self._storage.get(
            url, offset=self._part.size if validator else 0, validator=validator
        ) as body:
            ending = await self._receive(url, body)
        return await self._finish(ending, transfer, body.codings)

    async def _write_inline(self, url: str) -> None:
        """Write the content of a data: URL: some replies contain the file itself."""
        head, _, text = url.partition(",")
        try:
            data = base64.b64decode(text, validate=True) if head.endswith(";base64") else b""
        except ValueError:  # letters that are not ASCII, too
            data = b""
        await in_thread(self._part.restart, self._threads)
        self._part.add(data)

    async def _receive(self, url: str, body: Body) -> Ending:
        """Write the body, and return how it signalled its end."""
        if body.offset:
            body = self._same_version(body)
        elif self._part.size:
            await in_thread(self._part.restart, self._threads)
        self._source = (url, body)
        self._check_size(body.size or 0)
        try:
            await self._write_all(body)
            if body.size is not None and self._part.size < body.size:
                raise LinkFailed(AttemptFailure(FailureKind.CUT, "fewer bytes than announced"))
        except LinkFailed as failed:
            progressed = self._is_progress(failed.failure, body)
            raise LinkFailed(evolve(failed.failure, progressed=progressed)) from None
        if body.size is not None and self._part.size > body.size:
            raise LinkFailed(AttemptFailure(FailureKind.WRONG, "more bytes than announced"))
        if body.size is not None:
            return Ending.ANNOUNCED
        return Ending.MARKED if body.marks_end else Ending.CLOSED

    def _same_version(self, rest: Body) -> Body:
        """Return a resumed transfer, with the size that either response stated.

        Check that it is the same file: servers reuse ETags across versions.
        """
        before = self._source[1] if self._source else rest
        sizes = {rest.size, before.size} - {None}
        if rest.codings != before.codings or len(sizes) > 1:
            raise LinkFailed(AttemptFailure(FailureKind.WRONG, OTHER_VERSION))
        return evolve(rest, size=before.size if rest.size is None else rest.size)

    def _is_progress(self, failure: AttemptFailure, body: Body) -> bool:
        """Return whether to resume from the same link at once.

        Only bytes beyond the furthest point so far count. Otherwise a link that always breaks at
        the same byte would be retried forever. There must also be enough of them: a link that gives
        one byte per request would need as many requests as the file has bytes.
        """
        if body.validator is None or failure.kind is FailureKind.SLOW:
            return False
        if self._part.size - self._furthest < _MIN_PROGRESS:
            return False
        self._furthest = self._part.size
        return True

    async def _write_all(self, body: Body) -> None:
        """Receive the whole body. The caller flushes the last buffer."""
        size = None if body.size is None else body.size - body.offset
        monitor = SpeedMonitor(self._policy, size, self.clock)
        while data := await monitor.watch(body):
            if self._part.size < HEAD:
                self._head = (self._head if self._part.size else b"") + data
                _check_content(self._file.gives, self._head[:HEAD], body.codings)
            self._part.add(data)
            self._check_size(self._part.size)
            self._report(self._part.size, body.size)
            if self._part.is_full:
                await in_thread(self._part.flush, self._threads)

    def _check_size(self, size: int) -> None:
        if size > self._policy.max_bytes:
            raise LinkFailed(
                AttemptFailure(
                    FailureKind.WRONG, f"over {self._policy.max_bytes} bytes (max_bytes)"
                )
            )

    def _report(self, received: int, total: int | None) -> None:
        if self._progress is None:
            return
        try:
            self._progress(received, total)
        except Exception:  # noqa: BLE001  a broken display must not cost a file that is paid for
            _log.exception("the progress callback raised; it is not called again")
            self._progress = None

    async def _finish(
        self, ending: Ending, transfer: Transfer, codings: tuple[str, ...]
    ) -> SavedFile:
        work = self._publish if self._before_publish is None else self._judge
        judged = await in_thread(partial(work, ending, transfer, codings), self._threads)
        if isinstance(judged, AttemptFailure):
            self._discard_source()
            raise LinkFailed(judged)
        if self._before_publish is None:
            return judged
        await self._before_publish(judged)
        return await in_thread(partial(self._published, judged), self._threads)

    def _publish(
        self, ending: Ending, transfer: Transfer, codings: tuple[str, ...]
    ) -> SavedFile | AttemptFailure:
        """Blocking: `_judge`, then `_published`."""
        judged = self._judge(ending, transfer, codings)
        return judged if isinstance(judged, AttemptFailure) else self._published(judged)

    def _judge(
        self, ending: Ending, transfer: Transfer, codings: tuple[str, ...]
    ) -> SavedFile | AttemptFailure:
        """Blocking: flush, then examine the content and the evidence that it is complete."""
        self._part.flush()
        source = self._part.sha256
        try:
            undone = undo_all(self._part, self._file.gives, codings, self._policy.max_bytes)
            ending = Ending.MARKED if undone and ending is Ending.CLOSED else ending
        except Undecodable as error:
            return AttemptFailure(FailureKind.CUT if error.cut else FailureKind.WRONG, str(error))
        content = self._part.examine(self._file.gives)
        if isinstance(content, str):
            # A file that is not written yet is empty.
            kind = FailureKind.WRONG if self._part.size else FailureKind.CUT
            return AttemptFailure(kind, content)
        confirmed = any(failure.fingerprint == source for failure in transfer.failures)
        integrity = integrity_of(content, ending, confirmed=confirmed)
        if isinstance(integrity, AttemptFailure):
            proper = can_be_repeated(content, ending)
            return evolve(integrity, fingerprint=source if proper else None)
        if content.mended:
            self._part.mend(content.mended)
        if self._policy.tag and isinstance(content, Sound):
            tag(self._part, self._file.about or Provenance(job_id=self._file.job_id), source)
        return self._saved_file(content, integrity, source)

    def _discard_source(self) -> None:
        """Do not resume: the part file is not the beginning of the file."""
        self._source = None

    def _saved_file(self, content: Judged, integrity: Integrity, source: str) -> SavedFile:
        """Describe the file under the name it should get; that name may still be taken."""
        is_sound = isinstance(content, Sound)
        check, silent = self._part.check_sound() if is_sound else (None, False)
        return SavedFile(
            path=self._target.directory / f"{self._target.stem}{content.extension}",
            size=self._part.size,
            sha256=self._part.sha256,
            source_sha256=source,
            seconds=content.seconds,
            sample_rate=content.sample_rate,
            channels=content.channels,
            integrity=integrity,
            silent=silent,
            **measured(content, check, self._file.asked),
        )

    def _published(self, saved: SavedFile) -> SavedFile:
        """Blocking: publish the file, and return it with its final path."""
        return evolve(saved, path=self._name(saved.path.suffix))

    def _name(self, extension: str) -> Path:
        for number in range(1, 10_000):
            suffix = "" if number == 1 else f"-{number}"
            path = self._part.publish(f"{self._target.stem}{suffix}{extension}")
            if path is not None:
                return self._target.directory / path.name
            if self._target.exact:
                break
        taken = self._target.directory / f"{self._target.stem}{extension}"
        raise DownloadError(
            f"{taken} already exists with other content; nothing was overwritten: "
            f"move it, or download job {self._file.job_id} to another name",
            job_id=self._file.job_id or None,
        )


def _check_content(gives: Output, head: bytes, codings: tuple[str, ...]) -> None:
    """Reject other content, such as an HTML page, from its first bytes, before any is written."""
    reason = refusal(gives, head) if len(head) >= 16 else None
    if reason and coding_of(head, codings) is None:
        raise LinkFailed(AttemptFailure(FailureKind.WRONG, reason))
