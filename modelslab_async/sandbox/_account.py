"""The account: its queue, its balance and the record of everything that happened.

Pure: the caller passes the time and each job's duration, so the states of a job are known as soon
as it is accepted.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["queued", "processing", "success", "failed"]


@define(eq=False)
class Job:
    """One job on the server. Times are seconds of the sandbox's clock; ``inf`` if not known yet."""

    id: int
    path: str
    track_id: str | int | None
    prompt: str
    request: Mapping[str, Any] = field(repr=False)
    submitted_at: float
    seconds: float
    sample_rate: int
    extension: str
    state: State = "queued"
    started_at: float = math.inf
    finished_at: float = math.inf
    generation_seconds: float = 0.0
    polls_to_finish: int | None = None
    fails: bool = False
    wav: str = "pcm16"
    token: str = ""
    task_id: str = ""
    shown_id: int | str = 0
    polls: int = 0
    ready_polls: int = 0
    is_told: bool = False  # by the answer to its submit
    pinned: str | None = None
    family: str = "voice"
    endless: bool = False
    names: Mapping[str, str] = field(factory=dict, repr=False)

    @property
    def done(self) -> bool:
        return self.state in ("success", "failed")

    @property
    def webhook(self) -> str | None:
        return self.request.get("webhook") or None

    @property
    def temp(self) -> bool:
        return bool(self.request.get("temp"))


@define(eq=False)
class RequestRecord:
    """One received request; `status` is None if no status line was sent."""

    host: str
    method: str
    path: str
    time: float
    connection: int
    has_key: bool = False
    status: int | None = None


@define(eq=False)
class Delivery:
    """One webhook delivery; `status` is None if the receiver did not respond."""

    job_id: int
    url: str
    time: float
    payload: bytes = field(repr=False)
    status: int | None = None
    error: str | None = None


@define(eq=False)
class AccountBook:
    """The record of everything that happened: jobs, charges, requests and deliveries."""

    balance: float
    jobs: dict[int, Job] = field(factory=dict, repr=False)
    debits: list[tuple[int, float]] = field(factory=list, repr=False)
    requests: list[RequestRecord] = field(factory=list, repr=False)
    webhooks: list[Delivery] = field(factory=list, repr=False)
    connections: Counter[str] = field(factory=Counter)
    peak_queue: int = 0

    def count(self, host: str | None = None, path_prefix: str | None = None) -> int:
        """Count the requests received, optionally only those to one host and below one path."""
        return sum(
            host in (None, record.host) and record.path.startswith(path_prefix or "")
            for record in self.requests
        )

    def key_seen_on(self) -> set[str]:
        """Return the hosts that received the API key; any host except `api` is a leak."""
        return {record.host for record in self.requests if record.has_key}


class Account:
    """A first-in-first-out queue for a number of workers, and the balance of the wallet."""

    def __init__(self, book: AccountBook, *, slots: int, first_id: int) -> None:
        self.book = book
        self.slots = slots
        self._first_id = first_id
        self._next_id = first_id
        self._waiting: list[tuple[float, int]] = []
        self._ends: list[tuple[float, int]] = []
        self._polled: set[int] = set()
        self._aliases: dict[str, Job] = {}

    @property
    def in_queue(self) -> int:
        """The number of unfinished jobs at the last `settle`."""
        return len(self._ends) + len(self._polled)

    def next_id(self) -> int:
        return self._next_id

    def settle(self, now: float) -> None:
        """Update the state of every job to the time `now`."""
        while self._waiting and self._waiting[0][0] <= now:
            self.book.jobs[heapq.heappop(self._waiting)[1]].state = "processing"
        while self._ends and self._ends[0][0] <= now:
            self._finish(self.book.jobs[heapq.heappop(self._ends)[1]])

    def accept(self, job: Job, *, now: float, workers: int, price: float) -> None:
        """Queue a job and charge its price; the caller has checked that a slot is free."""
        self._next_id = job.id + 1
        self.book.jobs[job.id] = job
        for alias in (str(job.id), job.token, job.task_id):
            self._aliases[alias] = job
        self.book.debits.append((job.id, price))
        self.book.balance = round(self.book.balance - price, 6)
        self._schedule(job, now, workers)
        self.book.peak_queue = max(self.book.peak_queue, self.in_queue)
        self.settle(now)

    def _schedule(self, job: Job, now: float, workers: int) -> None:
        if job.polls_to_finish is not None and not job.endless:
            job.started_at, job.state = now, "processing"
            self._polled.add(job.id)
            return
        job.started_at = self._worker_free_at(now, workers)
        ends = math.inf if job.endless else job.generation_seconds
        job.finished_at = job.started_at + ends
        heapq.heappush(self._waiting, (job.started_at, job.id))
        heapq.heappush(self._ends, (job.finished_at, job.id))

    def _worker_free_at(self, now: float, workers: int) -> float:
        """Return when a job can start: when all but `workers - 1` earlier jobs have ended."""
        if len(self._ends) < workers:
            return now
        return sorted(end for end, _ in self._ends)[-workers]

    def polled(self, job: Job, now: float) -> bool:
        """Count one fetch of a job; return whether it finished the job (`polls_to_finish`)."""
        job.polls += 1
        ends = job.id in self._polled and job.polls >= (job.polls_to_finish or 0)
        if ends:
            self._polled.remove(job.id)
            job.finished_at = now
            self._finish(job)
        job.ready_polls += job.done
        return ends

    def find(self, name: str | int) -> Job | None:
        """Return the job with this id, in any spelling."""
        return self._aliases.get(str(name))

    def first(self) -> Job | None:
        return self.book.jobs.get(self._first_id)

    @staticmethod
    def _finish(job: Job) -> None:
        job.state = "failed" if job.fails else "success"
