"""Generate and download tracks concurrently, from prompts or from existing jobs.

A failed track does not affect the others. A stopped track keeps the handle that continues it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from attrs import define, evolve, field

from modelslab_async import DownloadError, JobFailed, ModelsLabError
from modelslab_async._engine.aio import in_thread

from .._protocol.urls import VOICE_FETCH
from .naming import bare, is_taken
from .streams import nobody_reads

if TYPE_CHECKING:
    from modelslab_async import Job, ModelsLab, RemoteFile, Request, SavedFile

    from .waiting import Waits


Keep = Callable[[str], None]


class State(Enum):
    """The state of a track."""

    WAITING = "waiting"
    GENERATING = "generating"
    DOWNLOADING = "downloading"
    SAVED = "saved"
    FAILED = "failed"


@define(eq=False)
class Track:
    """One requested file.

    Attributes:
        name: what the user calls it, printable.
        order: the request, or the handle of a job that runs already.
        targets: where it may go, in order; the next is tried when a name is taken meanwhile.
        replaces: the file that it replaces once it is complete, if any.
        is_piped: its bytes go to standard output, and not its path.
    """

    name: str
    order: Request | str
    targets: Iterable[str]
    replaces: Path | None = None
    is_piped: bool = False
    state: State = State.WAITING
    job: Job | None = None
    handle: str | None = None
    received: int = 0
    total: int | None = None
    links: tuple[str, ...] = field(factory=tuple)
    saved: list[SavedFile] = field(factory=list)
    error: ModelsLabError | None = None
    notes: list[str] = field(factory=list)

    @property
    def track_id(self) -> int | str | None:
        """The track_id of the job, if this run submitted it."""
        return None if isinstance(self.order, str) else self.order.track_id

    @property
    def is_open(self) -> bool:
        """Whether it is still in progress."""
        return self.state not in (State.SAVED, State.FAILED)

    @property
    def resume_id(self) -> str:
        """The id that `fetch` continues with; empty when there is no job or it is over."""
        over = self.state is State.SAVED or isinstance(self.error, JobFailed)
        if self.handle is None or over:
            return ""
        handle = json.loads(self.handle)
        family, _, job_id = handle["path"].rpartition("/")
        if (family, handle.get("gives", "audio")) == (VOICE_FETCH, "audio"):
            return str(job_id)
        return json.dumps(handle | {"links": {}})  # in another family, the id is another job

    @property
    def hinted_id(self) -> str:
        """The id that an unreadable reply seems to name, where `fetch` takes it as it is."""
        job_id = self.error.job_id if self.error and self.handle is None else None
        order = self.order
        if not isinstance(order, str) and (order.fetch, order.gives) != (VOICE_FETCH, "audio"):
            return ""  # the error has the whole handle
        return job_id or ""


@define(eq=False)
class _Submits:
    """The submits of a run; no more are sent once the reader of the results has gone.

    Attributes:
        is_over: it has gone.
    """

    is_over: bool = False
    _waiting: set[anyio.CancelScope] = field(factory=set)

    def stop(self) -> None:
        """End those that wait for a slot; what is on its way is answered."""
        self.is_over = True
        for scope in self._waiting:
            scope.cancel()

    async def job_of(self, client: ModelsLab, track: Track, request: Request) -> Job | None:
        """Submit a request; ``None`` if there is no job, because no more are sent."""
        if self.is_over:
            return None
        late: str | None = None
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                return await client.submit(request)
            except asyncio.CancelledError as cancelled:
                late = getattr(cancelled, "job", None)  # it was accepted all the same
                if scope.cancel_called:
                    track.notes += getattr(cancelled, "__notes__", [])
                raise
            finally:
                self._waiting.discard(scope)
        return None if late is None else client.job(late)


class Reporter(Protocol):
    """Shows the progress of tracks."""

    interval: float
    waits: Waits

    def changed(self, track: Track) -> None:
        """A track has a new state."""

    def tick(self) -> None:
        """Called every `interval` seconds."""

    def close(self) -> None:
        """Called when the run has ended."""


async def bring_all(
    client: ModelsLab,
    tracks: Sequence[Track],
    reporter: Reporter,
    keep: Keep | None = None,
    saved: Callable[[Path], None] = lambda _: None,
) -> None:
    """Generate and download every track; errors are stored in the track.

    Nothing more is submitted once the reader of stdout has gone; what is paid for is saved.

    Args:
        client: open.
        tracks: which.
        reporter: shows them.
        keep: records the handle of each accepted job; called in a thread.
        saved: is called with each file.
    """
    async with anyio.create_task_group() as group:
        group.start_soon(_tick, reporter)
        async with anyio.create_task_group() as work:
            submits = _Submits()
            for track in tracks:
                work.start_soon(_bring, client, track, reporter, submits, keep, saved)
        group.cancel_scope.cancel()


async def _tick(reporter: Reporter) -> None:
    while True:
        await anyio.sleep(reporter.interval)
        reporter.tick()


async def _bring(
    client: ModelsLab,
    track: Track,
    reporter: Reporter,
    submits: _Submits,
    keep: Keep | None,
    saved: Callable[[Path], None],
) -> None:
    try:
        await _steps(client, track, reporter, submits, keep)
        if nobody_reads():
            submits.stop()
        for file in track.saved:
            saved(file.path)
    except asyncio.CancelledError as cancelled:
        late, track.handle = track.handle is None, getattr(cancelled, "job", track.handle)
        track.notes += getattr(cancelled, "__notes__", [])
        if late and track.handle is not None and keep is not None:
            keep(track.handle)  # nothing else happens any more that it could hold up
        raise
    except ModelsLabError as error:
        track.error = error
        _reach(track, State.FAILED, reporter)


async def _steps(
    client: ModelsLab, track: Track, reporter: Reporter, submits: _Submits, keep: Keep | None
) -> None:
    order = track.order
    if isinstance(order, str):
        track.job = client.job(order)
    else:
        track.job = await submits.job_of(client, track, order)
    if track.job is None:
        return
    track.handle = track.job.to_json()
    if keep is not None:
        await in_thread(partial(keep, track.handle))
    _reach(track, State.GENERATING, reporter)
    if isinstance(order, str):
        await track.job.refresh()  # most are finished by now
    generation = await track.job.result()
    track.links = tuple(url for file in generation.files for url in file.urls)
    _reach(track, State.DOWNLOADING, reporter)
    for file in generation.files:
        saved = await _save(client, track, file)
        if track.replaces is not None and not track.saved:
            saved = await in_thread(partial(_replace, saved, track.replaces))
        track.saved.append(saved)
    _reach(track, State.SAVED, reporter)


def _reach(track: Track, state: State, reporter: Reporter) -> None:
    track.state = state
    reporter.changed(track)


async def _save(client: ModelsLab, track: Track, file: RemoteFile) -> SavedFile:
    """Try the next name if one was taken meanwhile: the file is paid for."""
    error: DownloadError | None = None
    for target in _targets(track, file):
        try:
            return await client.download(file, target, progress=_progress(track))
        except DownloadError as failed:
            error = failed
            if target.endswith(os.sep) or not is_taken(Path(target)):
                break
    raise error or DownloadError("there is no free name")


def _targets(track: Track, file: RemoteFile) -> Iterable[str]:
    """Where a file may go; a second one, which this API does not give, beside the first."""
    if not track.saved:
        return track.targets
    first = track.saved[0].path
    return [str(first.with_name(f"{first.stem}-{file.index + 1}{first.suffix}"))]


def _replace(saved: SavedFile, path: Path) -> SavedFile:
    final = path.with_name(f"{bare(path)}{saved.path.suffix}")
    try:
        saved.path.replace(final)
    except OSError as error:
        raise DownloadError(
            f"{saved.path} is whole, but cannot replace {final}: {error.strerror}; rename it"
        ) from error
    return evolve(saved, path=final)


def _progress(track: Track) -> Any:
    def heard(received: int, total: int | None) -> None:
        track.received, track.total = received, total

    return heard
