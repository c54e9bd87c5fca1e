"""The submit and fetch endpoints: tickets, pending replies and results."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from . import _shapes as shapes
from ._answer import Answer, text_answer
from ._endpoints import ENDPOINTS
from ._faults import inject
from ._general import taken_slots_at
from ._tickets import OTHER_ID, Tickets
from ._validation import complaints

if TYPE_CHECKING:
    from ._account import Account, Job
    from ._account_file import AccountFile, KeptJob
    from ._clock import Clock
    from ._context import ActiveScenario, RequestContext
    from ._deliveries import Deliveries
    from ._scenario import Scenario
    from ._storage import Storage

NO_CREDITS = "Insufficient credits. Please add more credits to continue."


@define(eq=False)
class Generation:
    """The handlers of submits and fetches."""

    _account: Account
    _tickets: Tickets
    _clock: Clock
    _storage: Storage
    _deliveries: Deliveries
    _file: AccountFile | None = None
    _bodies: dict[bytes, float] = field(factory=dict, init=False)

    async def submit(self, x: RequestContext) -> Answer | None:
        """Refuse the request, or create and charge a job; a fault may occur before or after."""
        if refused := self._refusal(x):
            return refused
        fault = x.draw("submit")
        if fault is None:
            job = self._accept(x)
            answer = await self._accepted(x, job)
            job.is_told = x.scenario.mode == "sync"
            return answer
        if not fault.accepted:
            return await inject(fault, x, lambda: _not_accepted(x))
        job = self._accept(x)
        return await inject(fault, x, lambda: self._accepted(x, job))

    def _refusal(self, x: RequestContext) -> Answer | None:
        scenario = x.scenario
        if found := complaints(ENDPOINTS[x.path], x.document):
            status = 400 if scenario.validation == "flat" else 200
            return x.refuse(shapes.validation(scenario, found), status=status)
        if self._account.book.balance < scenario.price:
            return x.refuse(shapes.refusal(scenario, NO_CREDITS), status=402)
        if self._is_spam(x):
            return x.refuse(
                shapes.refusal(scenario, "Rate limit exceeded", tips=shapes.SPAM_TIPS), status=200
            )
        now = self._clock.now()
        if x.active.first_submit is None:
            x.active.first_submit = now
        busy = self._account.in_queue + taken_slots_at(x.active, now)
        return _queue_full(x, self._account.slots) if busy >= self._account.slots else None

    def _is_spam(self, x: RequestContext) -> bool:
        """Return whether an identical body was accepted within `spam_filter_seconds`."""
        if not x.scenario.spam_filter_seconds:
            return False
        last = self._bodies.get(hashlib.sha256(x.body).digest(), -math.inf)
        return self._clock.now() - last < x.scenario.spam_filter_seconds

    def _accept(self, x: RequestContext) -> Job:
        now, scenario = self._clock.now(), x.scenario
        job = self._tickets.job(
            x.path, x.document, scenario, number=self._account.next_id(), now=now
        )
        self._add(job, x.active, now, scenario.price)
        if self._file is not None:
            self._file.add(job, scenario.price)
        if scenario.spam_filter_seconds:
            self._bodies[hashlib.sha256(x.body).digest()] = now
        if job.webhook and not scenario.webhook_early:
            self._deliveries.follow(job, x.active)
        return job

    def restore(self, kept: KeptJob, active: ActiveScenario, age: float) -> None:
        """Have a job of an earlier sandbox again, which was accepted `age` seconds ago."""
        now = self._clock.now() - age
        job = self._tickets.job(
            kept.path, kept.request, active.scenario, number=kept.number, now=now
        )
        self._add(job, active, now, kept.price)
        if job.webhook and not job.done:
            self._deliveries.follow(job, active)

    def _add(self, job: Job, active: ActiveScenario, now: float, price: float) -> None:
        scenario = active.scenario
        job.shown_id = self._tickets.shown_id(job, scenario, self._account.first())
        job.pinned = active.name
        workers = scenario.workers or self._account.slots
        self._account.accept(job, now=now, workers=workers, price=price)
        self._storage.register(job)

    async def _accepted(self, x: RequestContext, job: Job) -> Answer:
        if job.webhook and x.scenario.webhook_early:
            await self._deliveries.deliver(job, x.active)
        if x.scenario.mode == "sync":
            await self._clock.until(job.finished_at)
            self._account.settle(self._clock.now())
            await self._tickets.prepare(job, x.scenario)
            return self._sync_reply(x, job)
        links = self._tickets.links(job, x.scenario, self._clock.now())
        return x.reply(shapes.ticket(job, x.scenario, links, eta=self._left(job)))

    def _sync_reply(self, x: RequestContext, job: Job) -> Answer:
        if job.state == "failed":
            return x.reply({**shapes.failure(x.scenario), "id": job.shown_id})
        links = self._tickets.links(job, x.scenario, self._clock.now())
        output = self._tickets.output(job, x.scenario, links)
        return x.reply(shapes.sync_success(job, x.scenario, links, output))

    def _left(self, job: Job) -> float:
        """Return the seconds until the job ends; its generation time if the end is unknown."""
        if math.isinf(job.finished_at):
            return job.generation_seconds
        return job.finished_at - self._clock.now()

    async def fetch(self, x: RequestContext, job: Job | None) -> Answer:
        """Return the state of a job and count the poll."""
        if job is None:
            return x.reply(shapes.failed_poll(x.scenario, "Request not found"))
        if self._account.polled(job, self._clock.now()):
            self._clock.wake()
        await self._tickets.prepare(job, x.scenario)
        return x.reply(self._poll_reply(x.scenario, job))

    def _poll_reply(self, scenario: Scenario, job: Job) -> dict[str, Any]:
        if scenario.not_found_polls == -1 or job.polls <= scenario.not_found_polls:
            return shapes.failed_poll(scenario, "Request not found")
        if not job.done:
            return shapes.pending(scenario, eta=self._poll_eta(scenario, job))
        turn = job.ready_polls - scenario.try_again
        if turn <= 0:
            return shapes.failed_poll(scenario, "Failed, Try Again")
        if job.state == "failed":
            return shapes.failure(scenario)
        return self._ready_reply(scenario, job, turn)

    def _ready_reply(self, scenario: Scenario, job: Job, turn: int) -> dict[str, Any]:
        """Return the reply to the `turn`-th fetch of a finished job."""
        links = self._tickets.links(job, scenario, self._clock.now())
        if turn <= scenario.wrong_id_polls:
            wrong = evolve(links, output=links.output + ".other", mirror=links.mirror + ".other")
            return shapes.success(job.id + OTHER_ID + 1, scenario, wrong, [wrong.output])
        turn -= scenario.wrong_id_polls
        empty = scenario.empty_polls if scenario.output == "empty_then_list" else 0
        shown = job.id if scenario.id == "fetch_differs" else job.shown_id
        if turn <= empty:
            return shapes.success(shown, scenario, links, [])
        if 1 < turn - empty <= 1 + scenario.flap_polls:
            return shapes.pending(scenario)
        answer = shapes.success(shown, scenario, links, self._tickets.output(job, scenario, links))
        if not scenario.fetch_meta:
            return answer
        echo = {**shapes.meta(job, scenario, links.output), "track_id": job.track_id}
        return {**answer, "meta": echo | answer.get("meta", {})}

    def _poll_eta(self, scenario: Scenario, job: Job) -> float | None:
        match scenario.poll_eta:
            case "absent":
                return None
            case "right":
                return self._left(job)
            case "growing":
                return max(1.0, job.generation_seconds) * 2.0 ** min(job.polls, 64)


async def _not_accepted(x: RequestContext) -> Answer:
    """Return the genuine response of a fault with ``accepted=False``."""
    message = "Internal server error. Please try again."
    return x.refuse(shapes.refusal(x.scenario, message), status=500)


def _queue_full(x: RequestContext, slots: int) -> Answer:
    kind = x.scenario.queue_full
    if kind != "json429":
        status = {"text429": 429, "text503": 503, "text200": 200}[kind]
        return text_answer(f"queue is full, current_queue: {slots}", status=status)
    hint = {} if x.scenario.retry_after is None else {"retry_after": x.scenario.retry_after}
    message = f"Rate limit exceeded. Maximum {slots} queued requests allowed."
    return x.refuse(shapes.refusal(x.scenario, message, **hint), status=429)
