"""Classify the outcome of one submit. A submit is sent again only if this module has proof.

There are two proofs that no job exists: no byte left this machine (`NotSent`), or the API refused
the request in its own words under a matching status (`Busy`, `Rejected`). A readable error alone
proves nothing: a failing server, or a gateway in front of it, may report an error after the job was
created. Everything else is `Unknown`, and an `Unknown` submit is never sent again.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from attrs import frozen

from .._protocol.replies import (
    Failed,
    Failure,
    Finished,
    Pending,
    Refusal,
    Refused,
    Reply,
    Ticket,
    Unreadable,
)
from .._protocol.urls import job_id as trusted_id
from .._protocol.wire_values import has_traces, traced_id


@frozen
class NotSent:
    """Not one byte of the request left this machine; ``permanent``: retrying is pointless."""

    reason: str
    permanent: bool = False
    timed_out: bool = False


@frozen
class Busy:
    """Refused for now: the queue is full, or requests come too fast. No job exists."""

    reply: Refused


@frozen
class Rejected:
    """Refused for good, or the URL does not exist. No job exists."""

    reply: Refused | Failed


@frozen
class Accepted:
    """A job exists. Its id is known, unless it has already finished."""

    reply: Ticket | Finished


@frozen
class Unknown:
    """A job may exist and may be billed. ``hint`` is a job id from a damaged response."""

    reason: str
    hint: str | None = None


Outcome: TypeAlias = NotSent | Busy | Rejected | Accepted | Unknown


def classify(reply: Reply, status: int) -> Outcome:
    """Return what the response to a submit proves.

    Args:
        reply: the parsed response.
        status: its HTTP status.
    """
    match reply:
        case Unreadable():
            return Unknown(f"the response is {reply.reason} (HTTP {status})", _hint(reply))
        case Ticket():
            return Accepted(reply)
        case Finished() if reply.id or reply.links.output:
            return Accepted(reply)
        case Refused() | Failed():
            return _classify_refusal(reply, status)
        case Finished() | Pending():
            return Unknown("the response names no job", _hint(reply))
    assert_never(reply)


def _classify_refusal(reply: Refused | Failed, status: int) -> Outcome:
    match reply:
        case _ if reply.id is not None:
            # Only a job has an id. Whatever else the reply says, poll that job; never resend.
            return Accepted(_ticket(reply))
        case _ if has_traces(reply.raw):
            reason = "the response is a refusal, but it names a job or its files"
        case Failed(reason=Failure.NO_ROUTE):
            return Rejected(reply)
        case Failed():
            reason = "the response proves neither a job nor its refusal"
        case Refused(reason=Refusal.SERVER):
            reason = "the server reports an internal error"
        case Refused(bare=True) if reply.raw or reply.message or reply.retry_after is None:
            reason = "a proxy or gateway refused it"
        case Refused(reason=Refusal.RATE):
            return Busy(reply)
        case _:
            return Rejected(reply)
    message = f": {reply.message}" if reply.message else ""
    return Unknown(f"{reason} (HTTP {status}){message}", _hint(reply))


def _ticket(reply: Refused | Failed) -> Ticket:
    return Ticket(
        id=reply.id or "",
        track_id=reply.track_id,
        fetch_result=reply.fetch_result,
        status=reply.status,
        raw=reply.raw,
    )


def _hint(reply: Reply) -> str | None:
    """Return the job id in an inconclusive reply: its own, or that of its fetch URL."""
    if isinstance(reply, Unreadable) or reply.id is not None:
        return reply.id
    asked = trusted_id((reply.fetch_result or "").rpartition("/")[2])
    return asked or traced_id(reply.raw)
