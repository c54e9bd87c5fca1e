"""Decide what became of one submit. A submit is sent again only where this module has proof.

Proof that no job exists is either that no byte left this machine (`NotSent`), or a refusal in the
API's own words under a status that fits (`Busy`, `Rejected`). That an error can be read proves
nothing: a server in trouble, or a gateway before it, speaks of errors after the job was made. All
that is not proved is `Unknown`, and an `Unknown` is never sent again.
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
    """Not one byte of the request left this machine; ``permanent``: trying again is no use."""

    reason: str
    permanent: bool = False
    timed_out: bool = False


@frozen
class Busy:
    """Refused for now: the queue is full, or requests come too fast. No job exists."""

    reply: Refused


@frozen
class Rejected:
    """Refused for good, or there is no such address. No job exists."""

    reply: Refused | Failed


@frozen
class Accepted:
    """A job exists; its id is known unless it is finished already."""

    reply: Ticket | Finished


@frozen
class Unknown:
    """A job may exist and may be billed. ``hint`` is an id that a broken answer named."""

    reason: str
    hint: str | None = None


Outcome: TypeAlias = NotSent | Busy | Rejected | Accepted | Unknown


def classify(reply: Reply, status: int) -> Outcome:
    """What an answer to a submit proves.

    Args:
        reply: the answer, read.
        status: its HTTP status, read by us from the answer itself.
    """
    match reply:
        case Unreadable():
            return Unknown(f"the answer is {reply.reason} (HTTP {status})", _hint(reply))
        case Ticket():
            return Accepted(reply)
        case Finished() if reply.id or reply.links.output:
            return Accepted(reply)
        case Refused() | Failed():
            return _said_no(reply, status)
        case Finished() | Pending():
            return Unknown("the answer names no job", _hint(reply))
    assert_never(reply)


def _said_no(reply: Refused | Failed, status: int) -> Outcome:
    match reply:
        case _ if reply.id is not None:
            # Whatever it says beside, only a job has an id: it is asked about, not sent again.
            return Accepted(_ticket(reply))
        case _ if has_traces(reply.raw):
            reason = "the answer says no, and yet it names a job or its files"
        case Failed(reason=Failure.NO_ROUTE):
            return Rejected(reply)
        case Failed():
            reason = "the answer proves neither a job nor its refusal"
        case Refused(reason=Refusal.SERVER):
            reason = "the server is in trouble"
        case Refused(bare=True) if reply.raw or reply.message or reply.retry_after is None:
            reason = "somebody on the way turned it away"
        case Refused(reason=Refusal.RATE):
            return Busy(reply)
        case _:
            return Rejected(reply)
    said = f" and says: {reply.message}" if reply.message else ""
    return Unknown(f"{reason} (HTTP {status}){said}", _hint(reply))


def _ticket(reply: Refused | Failed) -> Ticket:
    return Ticket(
        id=reply.id or "",
        track_id=reply.track_id,
        fetch_result=reply.fetch_result,
        status=reply.status,
        raw=reply.raw,
    )


def _hint(reply: Reply) -> str | None:
    """The id that an answer names which proves nothing, or the one that it asks to fetch."""
    if isinstance(reply, Unreadable) or reply.id is not None:
        return reply.id
    asked = trusted_id((reply.fetch_result or "").rpartition("/")[2])
    return asked or traced_id(reply.raw)
