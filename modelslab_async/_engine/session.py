"""Set up and tear down everything that an open client owns on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import anyio
from attrs import evolve

from .._policy.download import DownloadPolicy
from .._policy.poll import Finish, PollPolicy, PollState
from .._protocol.replies import Finished, RemoteFile
from .._protocol.text import read_text
from .._protocol.urls import is_loopback, origin
from .._protocol.urls import job_id as trusted_id
from ..endpoints.base import Request
from ..errors import RequestError
from .aio import in_thread, running_loop
from .download import BeforePublish, Downloader, Progress
from .events import Events
from .handle import read_handle
from .http import KeyedTransport, Network, Record
from .job import Job
from .poll import Poller
from .prepare import Submission, prepare
from .queue import Slots, slots_of
from .recording import Exchange, Recording
from .saved import SavedFile
from .secret import Secret
from .storage import Storage
from .submit import Submitter
from .targets import Target
from .webhook import Deliveries

if TYPE_CHECKING:
    from ..webhooks import WebhookReceiver

_log = logging.getLogger("modelslab_async.session")


class Session:
    """An open client: its connections, its tasks, and its share of the account's slots."""

    def __init__(self) -> None:
        self.loop = running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clips = anyio.CapacityLimiter(2)
        self._stack = AsyncExitStack()
        self.slots: Slots
        self.transport: KeyedTransport
        self.poller: Poller
        self.submitter: Submitter
        self.downloader: Downloader
        self.deliveries: Deliveries | None = None
        self._texts: TemporaryDirectory[str] | None = None

    @classmethod
    async def open(
        cls,
        secret: Secret,
        base_url: str,
        *,
        max_jobs: int,
        max_downloads: int,
        poll: PollPolicy,
        download: DownloadPolicy,
        timeout: float | None,
        submit_timeout: float,
        network: Network,
        webhook: WebhookReceiver | None,
        events: Events,
        record: Path | None = None,
    ) -> Self:
        """Open the connections of a client; see `ModelsLab` for what the settings mean."""
        self = cls()
        loopback = is_loopback(origin(base_url)[1])
        recording = await self._recording(record, secret, base_url, network)
        self.transport = await self._stack.enter_async_context(
            KeyedTransport(secret, base_url, network, recording)
        )
        storage = await self._stack.enter_async_context(
            Storage(network, download, allow_loopback=loopback, record=recording)
        )
        self.slots = slots = slots_of((base_url, secret.fingerprint))
        slots.join(max_jobs)
        self._stack.callback(slots.leave, max_jobs)
        self.downloader = Downloader(storage, download, max_downloads, events)
        self._stack.callback(self.downloader.close)
        self.poller = Poller(
            self.transport,
            poll,
            timeout=timeout,
            probe=self.downloader.probe,
            spawn=self._spawn,
            left_queue=slots.ended,
            events=events,
        )
        if webhook is not None:
            webhook.hide(secret)
            self.deliveries = Deliveries(webhook, self.poller, self._spawn)
            self._stack.callback(self.deliveries.close)
            if recording is not None:
                self._stack.callback(webhook.tap(partial(_record_delivery, recording)))
        self.submitter = Submitter(
            self.transport,
            origin=base_url,
            slots=slots,
            poller=self.poller,
            timeout=submit_timeout,
            deliveries=self.deliveries,
            spawn=self._spawn,
            events=events,
        )
        return self

    async def _recording(
        self, path: Path | None, secret: Secret, base_url: str, network: Network
    ) -> Record | None:
        """Begin to record to a file, until the client closes."""
        if path is None:
            return None
        network.routes().check(base_url)  # a client that cannot open leaves no file behind
        recording = await in_thread(partial(Recording, path, base_url, secret.redact))
        self._stack.push_async_callback(in_thread, recording.close)
        return recording.add

    async def close(self) -> None:
        """Wait for submits in flight, stop polling, and close connections."""
        await self.submitter.close()
        for job in self.poller.watched:
            _log.warning(
                "job %s is not finished; it keeps running: resume with client.job(%r)",
                job.id,
                job.short_handle,
                extra={"job_id": job.id, "track_id": job.track_id},
            )
        await asyncio.sleep(0)  # a task cancelled before its first step would skip its cleanup
        self.poller.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._stack.aclose()

    async def prepare(self, request: Request, track_id: int | str) -> Submission:
        """Prepare a request for sending, with a webhook URL if there is a receiver.

        Raises:
            RequestError: see `prepare.prepare`.
        """
        webhook = None if self.deliveries is None else self.deliveries.url_for(track_id)
        return await prepare(request, track_id, webhook=webhook, clips=self._clips)

    def job_of(self, request: Request, job_id: str) -> Job:
        """Return the job with this id, as the result of such a request.

        Raises:
            RequestError: it is no id.
        """
        own = trusted_id(job_id)
        if own is None:
            return self.job(job_id)  # raises the error
        watched = self.poller.find(own, request.fetch)
        return watched or self._resumed_job(id=own, path=request.fetch, gives=request.gives)

    def job(self, handle: str | int) -> Job:
        """Return the job of an id or a handle: the one already polled, or a new `Job`.

        Raises:
            RequestError: it is neither.
        """
        known = read_handle(handle)
        watched = self.poller.find(known["id"], known.get("path"))
        if watched is not None:
            return watched
        job = self._resumed_job(**known)
        if not job.id:
            job.end(Finish(Finished(links=job.links)))
        return job

    async def download(
        self,
        file: RemoteFile,
        target: Target,
        progress: Progress | None = None,
        on_stall: Callable[[], None] | None = None,
        before_publish: BeforePublish | None = None,
    ) -> SavedFile:
        """Download a file to disk; ask the API for new links if all known ones are dead.

        Raises:
            DownloadError: see `Downloader.download`.
        """

        async def refresh() -> RemoteFile | None:
            return await self._refreshed(file)

        return await self.downloader.download(
            file,
            target,
            refresh=refresh,
            progress=progress,
            on_stall=on_stall,
            before_publish=before_publish,
        )

    async def read(self, file: RemoteFile) -> object:
        """Download a job's text or JSON output like any other file, to a temporary directory.

        Raises:
            RequestError: the job's output is not text.
            DownloadError: see `Downloader.download`.
        """
        if file.gives != "text":
            raise RequestError(
                f"the output of job {file.job_id} is {file.gives}, not text; download it instead",
                field="what",
            )
        if self._texts is None:
            self._texts = await in_thread(partial(TemporaryDirectory, prefix="modelslab-"))
            self._stack.push_async_callback(in_thread, self._texts.cleanup)
        target = Target(Path(self._texts.name), token_hex(8), exact=True)
        saved = await self.download(file, target)
        return await in_thread(partial(_read_and_remove, saved.path))

    async def _refreshed(self, file: RemoteFile) -> RemoteFile | None:
        """Poll the job, and return the file with the API's current links before the old ones."""
        if not file.job_id:
            return None
        job = self._job_of(file)
        await job.refresh()
        for other in job.links.files(file.job_id, gives=file.gives):
            if other.index == file.index:
                return evolve(file, urls=tuple(dict.fromkeys((*other.urls, *file.urls))))
        return None

    def _job_of(self, file: RemoteFile) -> Job:
        if not file.path:
            return self.job(file.job_id)
        family, _, fetch_id = file.path.rpartition("/")
        watched = self.poller.find(file.job_id, family)
        return watched or self._resumed_job(
            id=file.job_id, path=family, fetch_id=fetch_id, gives=file.gives
        )

    def _resumed_job(self, **known: Any) -> Job:
        """Return a job that was submitted earlier or elsewhere; its first poll is due at once."""
        track_id = known.get("track_id")
        if self.deliveries is not None and track_id is not None:
            with contextlib.suppress(RequestError):  # no webhook URL of ours can contain it
                self.transport.hide(self.deliveries.url_for(track_id), track_id)
        return Job(
            self.poller,
            state=PollState(self.loop.time(), resumed=True, deadline=self.loop.time()),
            **known,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that is cancelled, at the latest, when the client closes."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the client crashed; please report this", exc_info=error)


def _record_delivery(record: Record, body: bytes) -> None:
    record(Exchange(where="webhook", method="POST", target="", body=body))


def _read_and_remove(path: Path) -> object:
    """Blocking: read the file, and remove it."""
    data = path.read_bytes()
    path.unlink()
    return read_text(data)
