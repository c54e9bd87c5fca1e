"""The facade: one asynchronous session with the API, from request to file on disk."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from ._arguments import above_zero, at_least, file_of, key_from_environment, request_of, several
from ._engine.aio import in_thread, runs_on, wait_shielded
from ._engine.download import Progress
from ._engine.events import Events, Observer
from ._engine.filesystem import remove_empty
from ._engine.http import Network
from ._engine.job import Generation, Job
from ._engine.saved import SavedFile
from ._engine.secret import Secret
from ._engine.session import Session
from ._engine.targets import check_target, target_of
from ._one_shots import Balance, OneShots, Voice
from ._policy.download import DownloadPolicy
from ._policy.poll import PollPolicy
from ._protocol.replies import RemoteFile
from ._protocol.urls import api_origin
from ._protocol.wire_values import MAX_TRACK_ID
from ._text import slug
from .endpoints.base import Request, routed
from .errors import ConfigurationError, ModelsLabError

if TYPE_CHECKING:
    from .batch._batch import Batch
    from .batch._chosen import RowKey
    from .batch._intake import RequestLike
    from .batch._ledger import Ledger
    from .batch._limits import Limits
    from .batch._reconcile import Reconciler
    from .batch._states import RowState
    from .webhooks import WebhookReceiver

DEFAULT_BASE_URL = "https://modelslab.com"
_LONGEST_STEM = "x" * 64  # a slug of the job's id, and a number
__all__ = ["Balance", "ModelsLab", "Voice"]


class ModelsLab(OneShots):
    """A client for the ModelsLab API. Use it with ``async with``; it can be reopened.

    Args:
        api_key: the key; default: ``MODELSLAB_API_KEY``, then ``MODELS_LAB_API_KEY``.
        base_url: origin of the API; default: ``MODELSLAB_BASE_URL``, then
            ``https://modelslab.com``. ``http://`` is for loopback only.
        max_jobs: the most jobs in the account's queue at once: 5, 10 or 15 by plan (ModelsLab docs,
            rate limits page). Clients with the same key on one event loop share these slots.
        max_downloads: the most downloads at once.
        poll: how often to poll a job.
        download: how persistently to download a file.
        timeout: seconds to wait for a job after its acceptance; waiting for a slot does not count.
            ``None``: no limit.
        submit_timeout: seconds for one submit. The server may generate synchronously; after a
            timeout the outcome is unknown: a job may exist and be billed.
        network: your own connector or proxy.
        webhook: a receiver that is reachable from outside; completion then arrives by webhook.
            Until the first delivery, jobs are polled as usual; after that only when overdue.
        observer: called with each `JobEvent` on the event loop, for displays and telemetry.
        record: a file to be made on opening, for every exchange with the API and storage hosts,
            redacted, for a bug report: `modelslab_async.sandbox.Sandbox` replays it.
        enterprise: send each request that has an enterprise twin to it, unless the request says
            otherwise. A job, and a row of a batch once it is planned, stay where they are.

    Raises:
        ConfigurationError: there is no key, or a setting is invalid.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        max_jobs: int = 5,
        max_downloads: int = 8,
        poll: PollPolicy | None = None,
        download: DownloadPolicy | None = None,
        timeout: float | None = 900.0,
        submit_timeout: float = 180.0,
        network: Network | None = None,
        webhook: WebhookReceiver | None = None,
        observer: Observer | None = None,
        record: str | os.PathLike[str] | None = None,
        enterprise: bool = False,
    ) -> None:
        self._record = None if record is None else Path(record)
        self._secret = Secret(api_key or key_from_environment())
        url = base_url or os.environ.get("MODELSLAB_BASE_URL") or DEFAULT_BASE_URL
        self._origin = api_origin(url)
        self._max_jobs = at_least("max_jobs", max_jobs)
        self._max_downloads = at_least("max_downloads", max_downloads)
        self._poll = poll or PollPolicy()
        self._download = download or DownloadPolicy()
        self._timeout = None if timeout is None else above_zero("timeout", timeout)
        self._submit_timeout = above_zero("submit_timeout", submit_timeout)
        self._network = network or Network()
        self._webhook = webhook
        self._events = Events(observer)
        self._enterprise = enterprise
        self._opened: Session | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cancelled = await self._closed()
        if cancelled is not None and error is None:
            raise cancelled

    async def open(self) -> Self:
        """Open the client, for notebooks and frameworks that cannot use ``async with``.

        Returns:
            The client itself.

        Raises:
            ConfigurationError: it is already open, or a setting is invalid.
        """
        if self._opened is not None:
            raise ConfigurationError("this client is already open; use one client per event loop")
        self._opened = await Session.open(
            self._secret,
            self._origin,
            max_jobs=self._max_jobs,
            max_downloads=self._max_downloads,
            poll=self._poll,
            download=self._download,
            timeout=self._timeout,
            submit_timeout=self._submit_timeout,
            network=self._network,
            webhook=self._webhook,
            events=self._events,
            record=self._record,
        )
        return self

    async def close(self) -> None:
        """Close the client. It waits for the responses to submits in flight."""
        cancelled = await self._closed()
        if cancelled is not None:
            raise cancelled

    async def _closed(self) -> asyncio.CancelledError | None:
        session, self._opened = self._session, None
        closing = asyncio.ensure_future(session.close())
        cancelled = await wait_shielded(closing)
        closing.result()
        return cancelled

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Call ``observer`` with each `JobEvent` from now on, besides any other observer.

        Args:
            observer: called on the event loop, so it must return quickly. One that raises is
                logged and not called again.

        Returns:
            A function that ends it.
        """
        return self._events.add(observer)

    async def submit(self, request: Request | str, **values: Any) -> Job:
        """Send a request as soon as a slot is free, and return the accepted job.

        If the queue is full (429 in any form), this waits. If the caller is cancelled while the
        request is in flight, this still waits for the response. The job is then in the
        ``CancelledError`` (as ``.job`` and in a note), in the log, and in `jobs`.

        Args:
            request: the request; or a prompt for `MusicGen`, with its fields as ``values``.

        Raises:
            RequestError: the request is invalid.
            SubmitUnknown: no readable response; a job may exist. It is not sent again.
            APIError: the API refuses; nothing was accepted.
            TransportError: the API cannot be reached; nothing was sent.
        """
        request = routed(request_of(request, values), enterprise=self._enterprise)
        session = self._session
        track_id = request.track_id
        if track_id is None:
            track_id = 1 + secrets.randbelow(MAX_TRACK_ID - 1)
        return await session.submitter.submit(await session.prepare(request, track_id))

    @overload
    async def generate(
        self,
        request: Request | str,
        timeout: float | None = None,
        *,
        to: None = None,
        **values: Any,
    ) -> Generation: ...

    @overload
    async def generate(
        self,
        request: Request | str,
        timeout: float | None = None,
        *,
        to: str | os.PathLike[str],
        **values: Any,
    ) -> SavedFile: ...

    async def generate(
        self,
        request: Request | str,
        timeout: float | None = None,
        *,
        to: str | os.PathLike[str] | None = None,
        **values: Any,
    ) -> Generation | SavedFile:
        """Submit a request, wait for its output and, with ``to``, download the file.

        Args:
            request: the request; or a prompt for `MusicGen`, with its fields as ``values``.
            timeout: seconds from the job's acceptance; ``None``: the client's timeout.
            to: as for `download`. Before anything is sent, this checks that the file can be saved
                there.

        Raises:
            RequestError: the request is invalid, or no file can be saved to ``to``.
            ModelsLabError: as `submit`, `Job.result` and `download`.
        """
        request = request_of(request, values)
        made: list[Path] = []
        if to is not None:
            target = target_of(to, _LONGEST_STEM, request.gives)
            made = await in_thread(partial(check_target, target, request.gives))
        try:
            job = await self.submit(request)
        except ModelsLabError:
            await in_thread(partial(remove_empty, made))
            raise
        try:
            generation = await job.result(timeout)
            return generation if to is None else await self.download(generation, to)
        except asyncio.CancelledError as cancelled:
            cancelled.job = job.to_json()  # type: ignore[attr-defined]
            cancelled.add_note(
                f"job {job.id} keeps running; resume with client.job({job.short_handle!r})"
            )
            raise

    async def download(
        self,
        what: Generation | RemoteFile | Job,
        to: str | os.PathLike[str] = ".",
        *,
        progress: Progress | None = None,
    ) -> SavedFile:
        """Download a complete file to disk. It never replaces another file.

        Args:
            what: a generation with one file, one of its files, or a job to wait for.
            to: a directory, in which the file is named after the job's id; or the file's path, if
                it has an extension of such files (.wav, .mp3 or .flac for audio, .txt or .json for
                text). The final extension always matches the content.
            progress: called with bytes received and bytes expected, or ``None``.

        Raises:
            DownloadError: the download failed, or the file cannot be written. Trying again is free.
            ModelsLabError: as `Job.result`, for a job.
        """
        return await self._download_file(await file_of(what), to, progress)

    async def download_all(
        self, what: Generation | Job, to: str | os.PathLike[str] = "."
    ) -> list[SavedFile]:
        """Download all files of a generation to a directory, one after the other.

        Raises:
            DownloadError: as `download`.
        """
        if isinstance(what, Job):
            what = await what.result()
        return [await self._download_file(file, to, None) for file in what.files]

    async def read(self, what: Generation | RemoteFile | Job) -> Any:
        """Return a job's text or parsed JSON, such as a transcript with timestamps.

        Raises:
            RequestError: the job's output is not text; use `download`.
            DownloadError: the download failed, or it is not text. Trying again is free.
            ModelsLabError: as `Job.result`, for a job.
        """
        return await self._session.read(await file_of(what))

    def batch(
        self,
        requests: Iterable[RequestLike] | AsyncIterable[RequestLike] | None,
        *,
        directory: str | os.PathLike[str],
        max_jobs: int | None = None,
        template: str | None = None,
        restrict_filenames: bool = False,
        limits: Limits | None = None,
        max_new_jobs: int | None = None,
        only: Iterable[RowKey] | None = None,
        retry: Iterable[RowState] = (),
        retry_rows: Iterable[str] | None = None,
        retry_flagged: Iterable[str] = (),
        retry_missing: bool = False,
        confirmed: str | None = None,
        accept_copy: bool = False,
        same_account: bool = False,
    ) -> Batch:
        """Run many requests durably: an async context manager that yields `Succeeded` and `Failed`.

        Each step is committed in ``directory`` before the next one starts, so the same call resumes
        after a crash and pays for nothing twice. Submits with unknown outcomes are reconciled and
        reported at the end of the run.

        Args:
            requests: requests such as `MusicGen`, mappings of fields (``id`` is the row's own key),
                or prompts; ``None`` continues with the rows in the directory.
            directory: for files, ledger and results; one process at a time may use it.
            max_jobs: the most jobs of this batch in the queue at once; default: the client's.
            template: for file names, of ``{seq}``, ``{id}``, ``{slug}``, ``{job}`` and columns of
                the requests, such as ``{mood}``; default: that of the run before in this directory,
                at first ``{seq:05d}-{slug}``.
            restrict_filenames: use only ASCII letters in file names. This is automatic if the file
                system does not support others.
            limits: what may be paid for, over all runs in this directory; the ledger stores them.
            max_new_jobs: the most jobs that this run may pay for; the other rows stay planned. 0:
                only finish jobs that are already paid for.
            only: the rows that this run may submit or retry, as ``[3, range(10, 21), "intro"]``:
                numbers, ranges of numbers and ids; the other rows stay planned. ``None``: all.
            retry: states of rows to retry, each as a new paid job: ``rejected``, ``failed``, or
                ``ambiguous``, which may pay twice. For ``output_lost`` only the files are looked
                for again, for free.
            retry_rows: ids of the rows to which ``retry`` and ``retry_flagged`` apply; ``None``:
                all.
            retry_flagged: flags, such as ``silent``: done rows that have one get a new paid job.
                The old file is kept; the new one is saved beside it.
            retry_missing: read all saved files, and download missing or changed ones again, for
                free. A changed file is kept; the new one is saved beside it as ``name~2.wav``.
            confirmed: ``plan.selection.fingerprint`` of the `batch.Plan` that was agreed to; if the
                planned rows have changed, nothing is sent. For ``requests=None``.
            accept_copy: for a directory that was copied or restored from a backup: confirms that
                its planned rows are to be paid for from here; else `LedgerCopied` is raised.
            same_account: confirms that the key or origin with which the batch was paid for belongs
                to this same account. Without it, such a run is refused.

        Raises:
            LedgerError: on entering: the directory is in use, or its ledger cannot be used.
            LedgerCopied, LedgerMoved: while iterating: the directory is a copy, or was renamed,
                removed or replaced meanwhile; nothing more was paid for.
            ModelsLabError: while iterating, after the last outcome: why the batch stopped early.
        """
        # A late import: batches would double the import time, and not every program uses them.
        from .batch._batch import Batch, BatchSettings
        from .batch._chosen import Chosen
        from .batch._runner import AHEAD

        room = self._max_jobs + AHEAD
        if max_jobs is not None:  # so few active rows cannot take more than their slots
            room = min(room, at_least("max_jobs", max_jobs))
        if max_new_jobs is not None:
            at_least("max_new_jobs", max_new_jobs, 0)

        settings = BatchSettings(
            template=template,
            restrict_filenames=restrict_filenames,
            limits=limits,
            max_new_jobs=max_new_jobs,
            only=None if only is None else Chosen(only),
            retry=several("retry", retry),
            retry_rows=None if retry_rows is None else several("retry_rows", retry_rows),
            retry_flagged=several("retry_flagged", retry_flagged),
            retry_missing=retry_missing,
            confirmed=confirmed,
            accept_copy=accept_copy,
            same_account=same_account,
            enterprise=self._enterprise,
        )
        return Batch(self._session, requests, Path(directory), room=room, settings=settings)

    def reconciler(self, ledger: Ledger) -> Reconciler:
        """Return a reconciler for a batch's ambiguous rows; `Batch` uses one automatically."""
        from .batch._reconcile import Reconciler

        return Reconciler(self._session, ledger)

    def job(self, handle: str | int) -> Job:
        """Return a job by its id or by the text of `Job.to_json` from any process.

        Any thread may call this; only the client's own event loop may wait for the job.

        Raises:
            RequestError: it is neither.
        """
        return self._open_session.job(handle)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The unfinished jobs of this client. Save their `Job.to_json` to resume them later.

        Any thread may read this.
        """
        return self._open_session.poller.watched

    def __repr__(self) -> str:
        state = "closed" if self._opened is None else "open"
        return f"<ModelsLab {self._origin} {state}, {self._max_jobs} jobs at once>"

    # --- inside -----------------------------------------------------------------------------

    @property
    def _open_session(self) -> Session:
        if self._opened is None:
            raise ConfigurationError(
                "the client is not open: use it inside `async with ModelsLab() as client:`"
            )
        return self._opened

    @property
    def _session(self) -> Session:
        session = self._open_session
        if not runs_on(session.loop):
            raise ConfigurationError(
                "the client is open on another event loop: use one client per loop; from a "
                "thread, use asyncio.run_coroutine_threadsafe(client.generate(...), loop)"
            )
        return session

    async def _download_file(
        self, file: RemoteFile, to: str | os.PathLike[str], progress: Progress | None
    ) -> SavedFile:
        number = f"-{file.index + 1}" if file.index else ""
        target = target_of(
            to, f"{slug(file.job_id or 'track', ascii_only=True)}{number}", file.gives
        )
        return await self._session.download(file, target, progress)
