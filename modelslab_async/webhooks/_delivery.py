"""Keep one delivery as a value, and as text for an inbox. Nothing here waits or reads a clock."""

from __future__ import annotations

import json
from typing import Final

import cattrs
from attrs import field, frozen
from cattrs.strategies import configure_tagged_union

from .._protocol.replies import Failed, Finished, Pending, Refused, Reply, Ticket
from .._protocol.wire_json import decode_json
from ..errors import WebhookError


@frozen
class Delivery:
    """One webhook that proved whose job it is for. A hint: only a fetch says what is true.

    Attributes:
        track_id: the job's, from the URL that was signed for it.
        reply: what the body says; links and raw fields are left out of it.
        received_at: when, in seconds since the epoch.
        digest: the same for the same body.
    """

    track_id: str
    reply: Reply
    received_at: float
    digest: str = field(default="", repr=False)

    @property
    def job_id(self) -> str | None:
        """The id to confirm by a fetch; ``None`` if the body has none or is of another job."""
        told: str | None = getattr(self.reply, "track_id", None)
        return self.reply.id if told is None or told == self.track_id else None

    def to_json(self) -> str:
        """As one line of ASCII text, for an inbox of your own."""
        return json.dumps(_CONVERTER.unstructure(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Delivery:
        """What `to_json` was given.

        Raises:
            WebhookError: the text is not from there.
        """
        try:
            body = text.encode() if isinstance(text, str) else text
            return _CONVERTER.structure(decode_json(body), cls)
        except (cattrs.BaseValidationError, ValueError, TypeError, KeyError):
            raise WebhookError("a delivery in the inbox cannot be read; delete it") from None


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(omit_if_default=True)
    kinds = Ticket | Pending | Finished | Refused | Failed
    for union in (kinds, Reply):
        configure_tagged_union(union, converter, tag_name="kind")
    return converter


_CONVERTER: Final = _converter()
