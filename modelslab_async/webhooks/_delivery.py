"""One delivery as a value, and as text for an inbox. Nothing here waits or reads a clock."""

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
    """One authenticated webhook call. It is only a hint: the client polls to learn the real state.

    Attributes:
        track_id: of the job, from its signed URL.
        reply: the parsed body, without links and raw fields.
        received_at: seconds since the epoch.
        digest: a hash of the body; repeated deliveries have the same.
    """

    track_id: str
    reply: Reply
    received_at: float
    digest: str = field(default="", repr=False)

    @property
    def job_id(self) -> str | None:
        """The job id, to be confirmed by a poll; ``None`` if missing, or for another job."""
        track_id: str | None = getattr(self.reply, "track_id", None)
        return self.reply.id if track_id is None or track_id == self.track_id else None

    def to_json(self) -> str:
        """Return it as one line of ASCII text, for your own inbox."""
        return json.dumps(_CONVERTER.unstructure(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Delivery:
        """Parse the text from `to_json`.

        Raises:
            WebhookError: it is not such a text.
        """
        try:
            body = text.encode() if isinstance(text, str) else text
            return _CONVERTER.structure(decode_json(body), cls)
        except (cattrs.BaseValidationError, ValueError, TypeError, KeyError):
            raise WebhookError("a delivery in the inbox cannot be read; delete it") from None


_CONVERTER: Final = cattrs.Converter(omit_if_default=True)
for _union in (Ticket | Pending | Finished | Refused | Failed, Reply):
    configure_tagged_union(_union, _CONVERTER, tag_name="kind")
