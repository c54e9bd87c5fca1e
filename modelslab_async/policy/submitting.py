"""Decide what became of one submit. A submit is sent again only where this module has proof.

Proof that no job exists is either that no byte left this machine (`NotSent`), or a refusal that we
read ourselves (`Busy`, `Rejected`). All else is `Unknown`, and an `Unknown` is never sent again.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from attrs import frozen

from ..protocol.replies import (
    Failed,
    Finished,
    Pending,
    Refusal,
    Refused,
    Reply,
    Ticket,
    Unreadable,
)
from ..protocol.trust import job_id as trusted_id


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
    """Refused for good. No job exists."""

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
        case Refused(reason=Refusal.RATE, id=None):
            return Busy(reply)
        case Refused(reason=Refusal.RATE):
            return Unknown("the server turns the request away and names a job", _hint(reply))
        case _ if status >= 500:
            return Unknown(f"the server broke down (HTTP {status})", _hint(reply))
        case _ if 300 <= status < 400:
            reason = f"the server sent a redirect (HTTP {status}), which is not followed"
            return Unknown(reason, _hint(reply))
        case Refused() | Failed():
            return Rejected(reply)
        case Ticket():
            return Accepted(reply)
        case Finished() if reply.id or reply.links.output:
            return Accepted(reply)
        case Finished() | Pending():
            return Unknown("the answer names no job", _hint(reply))
        case Unreadable():
            return Unknown(f"the answer is {reply.reason} (HTTP {status})", _hint(reply))
    assert_never(reply)


def _hint(reply: Reply) -> str | None:
    """The id that an answer names which proves nothing, or the one that it asks to fetch."""
    if isinstance(reply, Unreadable) or reply.id is not None:
        return reply.id
    return trusted_id((reply.fetch_result or "").rpartition("/")[2])
