"""The facade: one asynchronous session with the API, from request to file on disk."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from attrs import evolve

from ._arguments import above_zero, at_least, file_of, key_from_environment, request_of, several
from ._engine.aio import in_thread, runs_on, wait_shielded
from ._engine.download import Progress, SavedFile
from ._engine.events import Observer
from ._engine.http import Network
from ._engine.job import Generation, Job
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
from .endpoints.base import Request
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .batch._batch import Batch
    from .batch._ledger import Ledger
    from .batch._limits import Limits
    from .batch._manifest import RequestLike
    from .batch._reconcile import Reconciler
    from .batch._states import RowState
    from .webhooks import WebhookReceiver

DEFAULT_BASE_URL = "https://modelslab.com"
_LONGEST_STEM = "x" * 64  # a slug of the job's id, and a number

__all__ = ["Balance", "ModelsLab", "Voice"]


class ModelsLab(OneShots):
    """A session with the ModelsLab music API. Use it with ``async with``, again if you like.

    Args:
        api_key: the key; from ``MODELSLAB_API_KEY``, then ``MODELS_LAB_API_KEY``, when not given.
        base_url: origin of the API; from ``MODELSLAB_BASE_URL``, else ``https://modelslab.com``.
            ``http://`` is for loopback only.
        max_jobs: jobs that may be in the account's queue at once: 5, 10 or 15 by plan (ModelsLab
            docs, rate limits page). Clients of one event loop with one key share them.
        max_downloads: downloads at once.
        poll: how often to ask about a job.
        download: how hard to try for a file.
        timeout: seconds to wait for a job from its acceptance on; waiting for a slot does not
            count. ``None``: no limit.
        submit_timeout: seconds for one submit. The server may generate while we wait; a submit
            that is given up leaves a job that may exist and be billed.
        network: your own connector or proxy.
        webhook: a receiver that is reachable from outside: completion then arrives by webhook. Jobs
            are polled as without one until a delivery has arrived; then only when overdue.
        observer: is called with each `JobEvent`, on the event loop: for displays and telemetry.

    Raises:
        ConfigurationError: no key, or a setting that cannot be used.
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
    ) -> None:
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
        self._observer = observer
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

    async def open(self) -> None:
        """Open the session, for notebooks and frameworks that cannot use ``async with``.

        Raises:
            ConfigurationError: it is open already, or a setting cannot be used.
        """
        if self._opened is not None:
            raise ConfigurationError("this client is open already; make one for each event loop")
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
            observer=self._observer,
        )

    async def close(self) -> None:
        """Close the session that `open` opened. Replies to requests already sent are awaited."""
        cancelled = await self._closed()
        if cancelled is not None:
            raise cancelled

    async def _closed(self) -> asyncio.CancelledError | None:
        session, self._opened = self._session, None
        closing = asyncio.ensure_future(session.close())
        cancelled = await wait_shielded(closing)
        closing.result()
        return cancelled

    async def submit(self, request: Request | str, **values: Any) -> Job:
        """Send a request, once a slot is free, and return the job that the API made of it.

        A full queue (429 in any form) is waited out. If the caller is cancelled while the request
        is on its way, the answer is awaited first, and the job is on the ``CancelledError`` as
        ``.job``, in a note of it, in the log, and in `jobs`.

        Args:
            request: what to generate; or a prompt for `MusicGen`, with fields of it as ``values``.

        Raises:
            RequestError: the request cannot be sent as it is.
            SubmitUnknown: no readable answer; a job may exist. It is not sent again.
            APIError: the API refuses; nothing was accepted.
            TransportError: the API cannot be reached; nothing was sent.
        """
        request, session = request_of(request, values), self._session
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
        """Submit, wait for what comes of it and, with ``to``, bring the file to disk.

        Args:
            request: what to generate; or a prompt for `MusicGen`, with fields of it as ``values``.
            timeout: seconds from the job's acceptance; ``None``: the client's.
            to: as `download` takes it. Whether a file can go there is checked before anything is
                sent.

        Raises:
            RequestError: the request cannot be sent as it is, or no file can go to ``to``.
            ModelsLabError: as `submit`, `Job.result` and `download`.
        """
        request = request_of(request, values)
        if to is not None:
            target = target_of(to, _LONGEST_STEM, request.gives)
            await in_thread(partial(check_target, target, request.gives))
        job = await self.submit(request)
        try:
            generation = await job.result(timeout)
            return generation if to is None else await self.download(generation, to)
        except asyncio.CancelledError as cancelled:
            cancelled.job = job.to_json()  # type: ignore[attr-defined]
            cancelled.add_note(
                f"job {job.id} goes on; client.job({job.short_handle!r}) takes it up again"
            )
            raise

    async def download(
        self,
        what: Generation | RemoteFile | Job,
        to: str | os.PathLike[str] = ".",
        *,
        progress: Progress | None = None,
    ) -> SavedFile:
        """Bring a file to disk, whole, and never over another file.

        Args:
            what: a generation with one file, one of its files, or a job, which is waited for.
            to: a directory, where the file gets the job's id as its name; or, when it ends as
                such files do (.wav, .mp3 or .flac for audio, .txt or .json for a text), the file's
                path. The ending follows what the bytes are.
            progress: called with bytes received and bytes expected, or ``None``.

        Raises:
            DownloadError: it did not arrive, or the disk does not take it. It can be tried again.
            ModelsLabError: as `Job.result`, when given a job.
        """
        return await self._bring(await file_of(what), to, progress)

    async def download_all(
        self, what: Generation | Job, to: str | os.PathLike[str] = "."
    ) -> list[SavedFile]:
        """Bring all files of a generation into a directory, one after the other.

        Raises:
            DownloadError: as `download`.
        """
        if isinstance(what, Job):
            what = await what.result()
        return [await self._bring(file, to, None) for file in what.files]

    async def read(self, what: Generation | RemoteFile | Job) -> Any:
        """The text that a job made, or the value of its JSON, such as a transcript with times.

        Raises:
            RequestError: it was asked for something else than a text; use `download`.
            DownloadError: it did not arrive, or is no text. It can be tried again.
            ModelsLabError: as `Job.result`, when given a job.
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
        retry: Iterable[RowState] = (),
        retry_rows: Iterable[str] | None = None,
        retry_missing: bool = False,
        confirmed: str | None = None,
        accept_copy: bool = False,
        same_account: bool = False,
    ) -> Batch:
        """Make many requests durably: an async context manager over `Succeeded` and `Failed`.

        Every step is on disk before the next, in ``directory``, so that the same call goes on
        where a killed process stopped, and pays for nothing twice. Submits whose answers are lost
        are looked for, and told of, when the requests have ended.

        Args:
            requests: each a request such as `MusicGen`, a mapping of its fields (``id`` is the
                row's own key), or a prompt; ``None`` goes on with what the directory holds.
            directory: where files, ledger and results go; one process works in it at a time.
            max_jobs: jobs of this batch in the queue at once; the client's when not given.
            template: how files are named; ``{seq:05d}-{slug}`` when not given.
            restrict_filenames: leave letters of other scripts than ASCII's out of names, as is
                done anyway where the file system cannot take them.
            limits: what may be paid for, over all runs in this directory, whose ledger keeps it.
            max_new_jobs: jobs that this run may pay for, so that the rest stays planned; 0: it only
                finishes what is paid for.
            retry: states of rows that are made anew, each as a new job that is paid for:
                ``rejected``, ``failed``, or, knowing that it may be paid twice, ``ambiguous``.
                For ``output_lost`` the files alone are looked for again, which costs nothing.
            retry_rows: ids of the rows that ``retry`` is about; ``None``: all of the directory.
            retry_missing: all files that were saved are read, and those that are missing or changed
                are downloaded again, which costs nothing. A changed file stays as it is, and the
                new one is saved beside it, as ``name~2.wav``.
            confirmed: ``plan.selection.fingerprint`` of the `batch.Plan` that somebody agreed to
                pay for; if others are planned by now, nothing is sent. For ``requests=None``.
            accept_copy: confirms, for a directory that was copied or restored from a backup, that
                its planned rows are to be paid for from here; else `LedgerCopied` is raised.
            same_account: the batch was paid for with another key, or at another origin, of this
                same account. Without it, such a run is refused.

        Raises:
            LedgerError: on entering: the directory is in use, or its ledger cannot be used.
            LedgerCopied, LedgerMoved: while iterating: the directory is a copy, or was renamed,
                removed or replaced meanwhile; nothing more was paid for.
            ModelsLabError: while iterating, after the last outcome: why the batch stopped early.
        """
        # Half of what importing this package costs would be for batches, which not all have.
        from .batch._batch import Batch, BatchSettings
        from .batch._runner import AHEAD

        room = self._max_jobs + AHEAD
        if max_jobs is not None:  # with so few rows under way, no slot is taken from others
            room = min(room, at_least("max_jobs", max_jobs))
        if max_new_jobs is not None:
            at_least("max_new_jobs", max_new_jobs, 0)

        settings = BatchSettings(
            restrict_filenames=restrict_filenames,
            limits=limits,
            max_new_jobs=max_new_jobs,
            retry=several("retry", retry),
            retry_rows=None if retry_rows is None else several("retry_rows", retry_rows),
            retry_missing=retry_missing,
            confirmed=confirmed,
            accept_copy=accept_copy,
            same_account=same_account,
        )
        if template is not None:
            settings = evolve(settings, template=template)
        return Batch(self._session, requests, Path(directory), room=room, settings=settings)

    def reconciler(self, ledger: Ledger) -> Reconciler:
        """What finds the jobs of a batch's ambiguous rows; `Batch` does so by itself."""
        from .batch._reconcile import Reconciler

        return Reconciler(self._session, ledger)

    def job(self, handle: str | int) -> Job:
        """A job that is known by its id, or by what `Job.to_json` gave, in any process.

        Any thread may call this; only the client's own event loop may wait for the job.

        Raises:
            RequestError: it is neither.
        """
        return self._open_session.job(handle)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Jobs of this session that the server has not finished. Keep their `Job.to_json`.

        Any thread may look at them.
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
                "the client is open on another event loop: make one client for each loop; from a "
                "thread, use asyncio.run_coroutine_threadsafe(client.generate(...), loop)"
            )
        return session

    async def _bring(
        self, file: RemoteFile, to: str | os.PathLike[str], progress: Progress | None
    ) -> SavedFile:
        number = f"-{file.index + 1}" if file.index else ""
        target = target_of(
            to, f"{slug(file.job_id or 'track', ascii_only=True)}{number}", file.gives
        )
        return await self._session.download(file, target, progress)
