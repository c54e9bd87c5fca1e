"""Send each paid request exactly once, uninterrupted by cancellation.

A submit runs in its own task with its own timeout, and the caller waits for it even if cancelled.
So the outcome is always known before anything else can happen. The same task then polls the job,
and releases its slot when the job has ended.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeAlias

import anyio
import anyio.lowlevel
from attrs import evolve, frozen

from .._policy.error_mapping import blocked, no_response, request_refused, submit_unknown
from .._policy.poll import Finish, PollState
from .._policy.queue import MAX_WAIT, backoff
from .._policy.submit import Accepted, Busy, NotSent, Outcome, Rejected, Unknown, classify
from .._protocol.inline import with_inline_text
from .._protocol.output import Output
from .._protocol.replies import Finished, Pending, Refused, Ticket, read_reply, with_id
from .._protocol.retry_after import max_or_none
from .._protocol.urls import fetch_route
from .._protocol.wire_json import Encoded
from .._protocol.wire_values import id_in_fragment
from .._protocol.wording import texts
from .._text import safe_text
from ..errors import ConfigurationError, LedgerError, ModelsLabError, SubmitUnknown
from .aio import now, wait_shielded
from .events import EventKind, Events, JobEvent
from .handle import short_handle
from .http import KeyedTransport, NoResponse, Response, read_off_loop
from .job import Job
from .poll import Poller
from .prepare import Submission, completed
from .queue import Slot, Slots
from .webhook import Deliveries

_MAX_UNSENT_TRIES = 5
_PRIORITY_RETRIES = 3
"""Retries at the head of the line. After that a refused job goes to its end: the request itself may
be the cause, as with the spam filter, and would block all others forever."""

_MAX_KNOWN = 10_000

_log = logging.getLogger("modelslab_async.submit")

SubmitResult: TypeAlias = Job | NotSent | Busy | Rejected | Unknown


class Journal(Protocol):
    """Records attempts durably, so that they are known after a crash."""

    async def intent(self, submission: Submission, attempt: int) -> None:
        """Record that this is about to be sent; return when that is durable."""

    async def answer(self, answer: SubmitResult) -> SubmitResult:
        """Record the outcome; return, when that is durable, the outcome to act on."""


@frozen
class _Result:
    """The outcome of one attempt, and the HTTP status of its response; 0 without one."""

    outcome: SubmitResult
    status: int = 0


@frozen
class _Attempt:
    """One attempt to send a submission: its slot, its number from 1, its journal."""

    submission: Submission
    slot: Slot
    number: int
    journal: Journal | None


class Submitter:
    """Submits requests within the account's slots.

    Args:
        transport: sends the requests.
        origin: of the API, to check the fetch URL in a ticket.
        slots: of the account.
        poller: polls the accepted jobs.
        timeout: seconds for one submit; a server that generates synchronously may take minutes.
        deliveries: of the webhook receiver, if there is one.
        spawn: starts a task; the client waits for it before it closes.
        events: receives each step.
    """

    def __init__(
        self,
        transport: KeyedTransport,
        *,
        origin: str,
        slots: Slots,
        poller: Poller,
        timeout: float,
        deliveries: Deliveries | None,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        events: Events,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._slots = slots
        self._poller = poller
        self._timeout = timeout
        self._deliveries = deliveries
        self._spawn = spawn
        self._events = events
        self._known: dict[tuple[str, str], None] = {}
        self._sending: set[asyncio.Future[_Result]] = set()
        self._begun: set[int | str] = set()
        self._closed = False

    async def close(self) -> None:
        """Send nothing more, and wait for the responses to submits in flight."""
        self._closed = True
        self._slots.cancel_waiters(self)
        if self._sending:
            await asyncio.wait(self._sending)

    async def submit(self, submission: Submission, journal: Journal | None = None) -> Job:
        """Send until the API accepts or refuses for good. A full queue is no failure: this waits.

        Args:
            submission: the request to send.
            journal: records each attempt, before and after.

        Raises:
            LedgerError: the journal cannot be written.
            SubmitUnknown: a job may exist.
            APIError: refused for good.
            TransportError: the API cannot be reached; nothing was sent.
        """
        try:
            return await self._submit(submission, journal)
        except (asyncio.CancelledError, ModelsLabError) as error:
            self._emit_end(submission, getattr(error, "outcome", error))
            raise
        finally:
            self._begun.discard(submission.track_id)

    async def _submit(self, submission: Submission, journal: Journal | None) -> Job:
        tries = unsent = 0
        while True:
            slot = await self._slot(submission, retry=0 < tries <= _PRIORITY_RETRIES)
            tries += 1
            result = await self._await_attempt(_Attempt(submission, slot, tries, journal))
            if isinstance(result.outcome, Unknown):
                result = await self._recover_unknown(submission, result, journal)
            if isinstance(result.outcome, Job):
                return result.outcome
            error = _error(result, submission)
            if error is not None:
                raise error
            if isinstance(result.outcome, NotSent):
                unsent += 1
                if unsent == _MAX_UNSENT_TRIES:
                    raise _unreachable(result.outcome, submission.track_id)
                delay = backoff(unsent - 1, random.random())
                why = result.outcome.reason
                self._emit_waiting(submission, f"cannot reach the API ({why})", delay)
                await anyio.sleep(delay)

    async def _recover_unknown(
        self, submission: Submission, unknown: _Result, journal: Journal | None
    ) -> _Result:
        """Resolve an unknown outcome by webhook; if cancelled, note it on the cancellation."""
        try:
            return await self._job_from_webhook(submission, journal) or unknown
        except ConfigurationError:  # the client is closing, so no poll can confirm the job
            return unknown
        except asyncio.CancelledError as cancelled:
            cancelled.outcome = error = _error(unknown, submission)  # type: ignore[attr-defined]
            _add_note(cancelled, str(error), submission.track_id)
            raise

    async def _job_from_webhook(
        self, submission: Submission, journal: Journal | None
    ) -> _Result | None:
        """Return the job whose response was lost, if a webhook names it and a poll confirms it."""
        if self._deliveries is None or "webhook" not in submission.fields:
            return None
        tried: set[str] = set()
        until = now() + self._poller.policy.patience
        while job_id := await self._deliveries.find(submission.track_id, until - now(), tried):
            tried.add(job_id)
            job = await self._confirmed(submission, job_id)
            if job is not None:
                return _Result(job if journal is None else await journal.answer(job))
        return None

    async def _confirmed(self, submission: Submission, job_id: str) -> Job | None:
        """The job of this id, if the API knows it, and not as that of another submit."""
        known = (submission.request.fetch, job_id)
        job = Job(
            self._poller,
            id=job_id,
            track_id=submission.track_id,
            path=submission.request.fetch,
            gives=submission.request.gives,
            asked=submission.request.asked_seconds(),
            prompt=submission.request.title,
            model=submission.request.NAME,
            state=PollState(now(), deadline=self._poller.deadline()),
        )
        if known not in self._known:
            await self._poller.poll(job)
        news = job.state.result
        if known in self._known or not isinstance(news, Finished | Ticket | Pending):
            return None
        if news.track_id not in (None, str(submission.track_id)):
            return None
        self._remember(*known)
        self._emit(submission, EventKind.ACCEPTED, job_id=job_id)
        return job

    async def _slot(self, submission: Submission, *, retry: bool) -> Slot:
        await anyio.lowlevel.checkpoint()  # do not submit if already cancelled
        slot = None if self._closed else await self._slots.take(retry=retry, client=self)
        if self._closed:
            if slot is not None:
                slot.release()
            raise ConfigurationError("the client was closed before this request was sent")
        if slot is None:
            raise blocked(self._slots.blocked_for or 0.0, submission.track_id)
        return slot

    async def _await_attempt(self, attempt: _Attempt) -> _Result:
        """Run one attempt, and wait for its outcome even if the caller is cancelled."""
        answered: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._sending.add(answered)
        answered.add_done_callback(self._sending.discard)

        def ended(task: asyncio.Task[None]) -> None:
            if not answered.done():  # it was cancelled before its first step
                attempt.slot.release()
                answered.set_result(_Result(NotSent("this process stopped it", permanent=True)))

        self._spawn(self._attempt(attempt, answered)).add_done_callback(ended)
        cancelled = await wait_shielded(answered)
        if cancelled is not None:
            _attach_outcome(cancelled, answered, attempt.submission)
            raise cancelled
        return answered.result()

    async def _attempt(self, attempt: _Attempt, answered: asyncio.Future[_Result]) -> None:
        """POST once, then poll the job that this creates until it has ended."""
        try:
            result = await self._post_journaled(attempt)
        except ModelsLabError as error:
            attempt.slot.release()
            answered.set_exception(error)
            return
        except BaseException as error:
            attempt.slot.release()
            reason = f"this process stopped it ({type(error).__name__})"
            answered.set_result(_Result(Unknown(reason)))
            raise
        answered.set_result(result)
        try:
            if isinstance(result.outcome, Job):
                if self._deliveries is not None:
                    self._deliveries.accepted(result.outcome)
                await self._poller.watch(result.outcome)
        finally:
            attempt.slot.release()

    async def _post_journaled(self, attempt: _Attempt) -> _Result:
        """POST with the intent on disk before the first byte, and the outcome before returning."""
        fields = await completed(attempt.submission)
        if attempt.journal is None:
            return await self._post(attempt, fields)
        await attempt.journal.intent(attempt.submission, attempt.number)
        result = await self._post(attempt, fields)
        return evolve(result, outcome=await attempt.journal.answer(result.outcome))

    async def _post(self, attempt: _Attempt, fields: Encoded) -> _Result:
        submission, slot = attempt.submission, attempt.slot
        self._transport.hide(submission.fields.get("webhook"), submission.track_id)
        self._begun.add(submission.track_id)
        self._emit(submission, EventKind.SUBMITTING, request=submission.request)
        answer = await self._transport.post(
            submission.request.path, fields, timeout=self._timeout, paid=True
        )
        outcome, status = await read_off_loop(
            answer,
            partial(
                _outcome,
                answer,
                self._origin,
                tuple(texts(submission.fields)),
                submission.request.gives,
            ),
        )
        _log.debug("submit of %s: %r", submission.track_id, outcome)
        match outcome:
            case Busy(reply):
                self._slots.refused(
                    slot,
                    maximum=reply.maximum,
                    retry_after=reply.retry_after,
                    interval=reply.interval,
                )
                self._emit_waiting(submission, *self._slots.wait())
            case Accepted(reply):
                self._slots.accepted()
                return _Result(self._job(submission, reply), status)
        return _Result(outcome, status)

    def _job(self, submission: Submission, reply: Ticket | Finished) -> Job | Unknown:
        job_id = reply.id or ""
        path, fetch_id = self._route(reply) or (submission.request.fetch, job_id)
        if (path, job_id) in self._known:
            return Unknown(f"the server returned job {job_id} for two submits", job_id)
        self._remember(path, job_id)
        eta = reply.eta if isinstance(reply, Ticket) else None
        kind = submission.request.kind
        durations = self._poller.durations
        probe = durations.is_probe(kind, eta)
        job = Job(
            self._poller,
            id=job_id,
            track_id=submission.track_id,
            path=path,
            fetch_id=fetch_id,
            links=reply.links,
            kind=kind,
            eta=eta,
            state=PollState(
                started=now(),
                schedule=durations.schedule(kind, eta, probe=probe),
                probe=probe,
                deadline=self._poller.deadline(),
            ),
            sent=tuple(texts(submission.fields)),
            gives=submission.request.gives,
            asked=submission.request.asked_seconds(),
            prompt=submission.request.title,
            model=submission.request.NAME,
        )
        self._emit(submission, EventKind.ACCEPTED, job_id=job_id, seconds=eta)
        if isinstance(reply, Finished) and reply.links.output:
            job.end(Finish(reply))
        return job

    def _emit(self, submission: Submission, kind: EventKind, **details: Any) -> None:
        self._events.emit(JobEvent(kind=kind, track_id=submission.track_id, **details))

    def _emit_waiting(self, submission: Submission, reason: str, seconds: float | None) -> None:
        self._emit(submission, EventKind.WAITING, reason=safe_text(reason), seconds=seconds)

    def _emit_end(self, submission: Submission, error: BaseException) -> None:
        """Report that a submit has ended without a job, or that this is not known."""
        has_job = isinstance(error, asyncio.CancelledError) and hasattr(error, "job")
        if has_job or submission.track_id not in self._begun:  # a job's own events report it
            return
        # A ledger that cannot be written may have failed after the answer.
        ambiguous = isinstance(error, SubmitUnknown | LedgerError)
        kind = EventKind.AMBIGUOUS if ambiguous else EventKind.REJECTED
        self._emit(submission, kind, error=type(error).__name__)

    def _route(self, reply: Ticket | Finished) -> tuple[str, str] | None:
        """Return the ticket's fetch path, if it is safe to send the key there."""
        route = fetch_route(reply.fetch_result, self._origin)
        if route is None and reply.fetch_result:
            _log.warning(
                "job %s: its fetch_result is not a fetch path of this API and is ignored",
                reply.id,
                extra={"job_id": reply.id},
            )
        return route

    def _remember(self, family: str, job_id: str) -> None:
        if not job_id:
            return
        self._known[(family, job_id)] = None
        if len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]


def _outcome(
    answer: Response | NoResponse, origin: str, sent: tuple[str, ...], gives: Output
) -> tuple[Outcome, int]:
    if isinstance(answer, Response):
        reply = read_reply(answer.body, answer.status, sent=sent)
        if gives == "text":
            reply = with_inline_text(reply)
        route = fetch_route(getattr(reply, "fetch_result", None), origin)
        if route is not None:
            reply = with_id(reply, route[1])
        if isinstance(reply, Refused):
            reply = evolve(reply, retry_after=max_or_none(reply.retry_after, answer.retry_after))
        return classify(reply, answer.status), answer.status

    if answer.sent:
        return Unknown(answer.reason, id_in_fragment(answer.fragment, sent)), 0
    return NotSent(answer.reason, answer.permanent, answer.timed_out), 0


def _error(result: _Result, submission: Submission) -> ModelsLabError | None:
    """Return the error if this attempt was the last; ``None``: try again."""
    request, track_id = submission.request, submission.track_id
    match result.outcome:
        case Unknown(reason, hint):
            known_as = hint and short_handle(hint, f"{request.fetch}/{hint}", request.gives)
            return submit_unknown(reason, track_id, hint, known_as)
        case Rejected(reply):
            return request_refused("submit", reply, result.status, track_id=track_id)
        case Busy(reply) if (reply.retry_after or 0.0) > MAX_WAIT and reply.maximum is None:
            return request_refused("submit", reply, result.status, track_id=track_id)
        case NotSent(permanent=True):
            return _unreachable(result.outcome, track_id)
    return None


def _unreachable(outcome: NotSent, track_id: int | str) -> ModelsLabError:
    return no_response("submit", outcome.reason, timed_out=outcome.timed_out, track_id=track_id)


def _attach_outcome(
    cancelled: asyncio.CancelledError, answered: asyncio.Future[_Result], submission: Submission
) -> None:
    """Attach the outcome to a cancellation: the job may have been paid for meanwhile."""
    error = answered.exception()
    if error is None and isinstance(job := answered.result().outcome, Job):
        cancelled.job = job.to_json()  # type: ignore[attr-defined]
        text = f"job {job.id} was accepted while its caller was cancelled; "
        text += f"client.job({job.short_handle!r})"
    else:
        error = error or _error(answered.result(), submission)
        if error is None:
            return
        cancelled.outcome = error  # type: ignore[attr-defined]
        text = str(error)
    _add_note(cancelled, text, submission.track_id)


def _add_note(cancelled: asyncio.CancelledError, text: str, track_id: int | str) -> None:
    cancelled.add_note(text)
    _log.warning("%s", text, extra={"track_id": track_id})
