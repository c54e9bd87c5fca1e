"""Put together, and take apart, all that an open client has on its event loop."""

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
from .download import BeforePublish, Downloader, Progress, SavedFile
from .events import Events, Observer
from .handle import read_handle
from .http import KeyedTransport, Network
from .job import Job
from .poll import Poller
from .prepare import Submission, prepare
from .queue import Slots, slots_of
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
        observer: Observer | None,
    ) -> Self:
        """Open the connections of a client; see `ModelsLab` for what the settings mean."""
        self = cls()
        loopback = is_loopback(origin(base_url)[1])
        self.transport = await self._stack.enter_async_context(
            KeyedTransport(secret, base_url, network)
        )
        storage = await self._stack.enter_async_context(
            Storage(network, download, allow_loopback=loopback)
        )
        self.slots = slots = slots_of((base_url, secret.fingerprint))
        slots.join(max_jobs)
        self._stack.callback(slots.leave, max_jobs)
        events = Events(observer)
        self.downloader = Downloader(storage, download, max_downloads, events)
        self._stack.callback(self.downloader.close)
        self.poller = Poller(
            self.transport,
            poll,
            timeout=timeout,
            probe=self.downloader.leads_to,
            spawn=self._spawn,
            left_queue=self._left_queue,
            events=events,
        )
        if webhook is not None:
            webhook.hide(secret)
            self.deliveries = Deliveries(webhook, self.poller, self._spawn)
            self._stack.callback(self.deliveries.close)
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

    async def close(self) -> None:
        """Wait for submits that are on their way, stop asking about jobs, close connections."""
        await self.submitter.close()
        for job in self.poller.watched:
            _log.warning(
                "job %s is not finished; it keeps running: client.job(%r) takes it up again",
                job.id,
                job.short_handle,
                extra={"job_id": job.id, "track_id": job.track_id},
            )
        await asyncio.sleep(0)  # a task that is cancelled before its first step cleans up nothing
        self.poller.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._stack.aclose()

    async def prepare(self, request: Request, track_id: int | str) -> Submission:
        """Make a request ready to be sent, its end to be told by webhook if there is a receiver.

        Raises:
            RequestError: see `prepare.prepare`.
        """
        webhook = None if self.deliveries is None else self.deliveries.url_for(track_id)
        return await prepare(request, track_id, webhook=webhook, clips=self._clips)

    def job_of(self, request: Request, job_id: str) -> Job:
        """The job of this id, as one that such a request has made.

        Raises:
            RequestError: it is no id.
        """
        own = trusted_id(job_id)
        if own is None:
            return self.job(job_id)  # which says so
        watched = self.poller.watching(own, request.fetch)
        return watched or self._taken_up(id=own, path=request.fetch, gives=request.gives)

    def job(self, handle: str | int) -> Job:
        """The job of an id or a handle: the one that is watched already, or a new `Job`.

        Raises:
            RequestError: it is neither.
        """
        known = read_handle(handle)
        watched = self.poller.watching(known["id"], known.get("path"))
        if watched is not None:
            return watched
        job = self._taken_up(**known)
        if not job.id:
            job.end(Finish(Finished(links=job.links)))
        return job

    async def bring(
        self,
        file: RemoteFile,
        target: Target,
        progress: Progress | None = None,
        in_trouble: Callable[[], None] | None = None,
        before_publish: BeforePublish | None = None,
    ) -> SavedFile:
        """Bring a file to disk, asking for new links when all that it has are dead.

        Raises:
            DownloadError: see `Downloader.download`.
        """

        async def refresh() -> RemoteFile | None:
            return await self._fresh(file)

        return await self.downloader.download(
            file,
            target,
            refresh=refresh,
            progress=progress,
            in_trouble=in_trouble,
            before_publish=before_publish,
        )

    async def read(self, file: RemoteFile) -> object:
        """The text, or the JSON, that a job made; it goes the way of all files, to a place of ours.

        Raises:
            RequestError: it is no text that was asked for.
            DownloadError: see `Downloader.download`.
        """
        if file.gives != "text":
            raise RequestError(
                f"job {file.job_id} was asked for {file.gives} and not for a text; download it",
                field="what",
            )
        if self._texts is None:
            self._texts = await in_thread(partial(TemporaryDirectory, prefix="modelslab-"))
            self._stack.push_async_callback(in_thread, self._texts.cleanup)
        target = Target(Path(self._texts.name), token_hex(8), exact=True)
        saved = await self.bring(file, target)
        return await in_thread(partial(_taken_out, saved.path))

    async def _fresh(self, file: RemoteFile) -> RemoteFile | None:
        """The file with the links that the API names now before those it had."""
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
        watched = self.poller.watching(file.job_id, family)
        return watched or self._taken_up(
            id=file.job_id, path=family, fetch_id=fetch_id, gives=file.gives
        )

    def _taken_up(self, **known: Any) -> Job:
        """A job that was submitted elsewhere, or is finished, to be asked about at once."""
        track_id = known.get("track_id")
        if self.deliveries is not None and track_id is not None:
            with contextlib.suppress(RequestError):  # no webhook of ours can name it
                self.transport.hide(self.deliveries.url_for(track_id), track_id)
        return Job(
            self.poller,
            state=PollState(self.loop.time(), resumed=True, deadline=self.loop.time()),
            **known,
        )

    def _left_queue(self, job: Job) -> None:
        self.slots.ended()
        if self.deliveries is not None:
            self.deliveries.ended(job)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that lives as long as the client at most."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the client broke; please report this", exc_info=error)


def _taken_out(path: Path) -> object:
    """Blocking: what the file says, which is removed."""
    data = path.read_bytes()
    path.unlink()
    return read_text(data)
