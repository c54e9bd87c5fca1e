"""The endpoints of the account: balance, queue depth, asset list, upload.

Shapes follow the general-api pages of the ModelsLab docs.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import define, field

from ._shapes import refusal

if TYPE_CHECKING:
    from ._account import Account, Job
    from ._answer import Answer
    from ._clock import Clock
    from ._context import ActiveScenario, RequestContext
    from ._storage import Storage
    from ._tickets import Tickets

COUNTS_PER_MINUTE = 30
MAX_UPLOAD = 5 * 2**20
ASSET_TYPES = ("image", "video", "voice", "3d")
MAX_PER_PAGE = 100


@define(eq=False)
class AccountEndpoints:
    """The handlers of the account's endpoints."""

    _account: Account
    _tickets: Tickets
    _clock: Clock
    _storage: Storage
    _counted: deque[float] = field(factory=deque, init=False)

    async def balance(self, x: RequestContext) -> Answer:
        data = {"balance": self._account.book.balance, "currency": "USD"}
        return x.json({"status": "success", "data": data})

    async def request_count(self, x: RequestContext) -> Answer:
        now = self._clock.now()
        while self._counted and self._counted[0] <= now - 60:
            self._counted.popleft()
        if len(self._counted) >= COUNTS_PER_MINUTE:
            return _too_many_counts(x, self._counted[0] + 60 - now)
        self._counted.append(now)
        return x.json(
            {
                "status": "success",
                "processing_count": self._account.in_queue + taken_slots_at(x.active, now),
                "message": "Current processing request count retrieved successfully",
            }
        )

    async def assets(self, x: RequestContext) -> Answer:
        """List a page of the finished files, newest first."""
        kind = x.document.get("type")
        if kind not in ASSET_TYPES:
            return x.json(refusal(x.scenario, "The selected type is invalid"), status=400)
        page, size = (
            _page_number(x.document.get(n), d) for n, d in (("page", 1), ("per_page", 10))
        )
        if not page or not size or size > MAX_PER_PAGE:
            return x.json(refusal(x.scenario, "The page field is invalid"), status=400)
        jobs = list(reversed(self._account.book.jobs.values())) if kind == "voice" else []
        found = [job for job in jobs if job.state == "success"]
        first = (page - 1) * size
        shown = found[first : first + size]
        return x.json(
            {
                "status": "success",
                "type": kind,
                "data": [self._asset(job, x) for job in shown],
                "pagination": {
                    "current_page": page,
                    "per_page": size,
                    "total": len(found),
                    "last_page": max(1, math.ceil(len(found) / size)),
                    "from": first + 1 if shown else None,
                    "to": first + len(shown) if shown else None,
                },
            }
        )

    def _asset(self, job: Job, x: RequestContext) -> dict[str, Any]:
        links = self._tickets.links(job, x.scenario, self._clock.now())
        name = job.token if x.scenario.id == "string" else job.id
        return {"id": name, "output": [links.output]}

    async def upload(self, x: RequestContext) -> Answer:
        """Store a file of at most 5 MB for a day."""
        text = x.document.get("base64_string")
        if not isinstance(text, str) or not text.startswith("data:"):
            return x.json(refusal(x.scenario, "base64_string is required"), status=400)
        content_type, _, data = text.removeprefix("data:").partition(";base64,")
        try:
            body = base64.b64decode(data, validate=True)
        except binascii.Error:
            return x.json(refusal(x.scenario, "base64_string is not valid base64"), status=400)
        if not body or len(body) > MAX_UPLOAD:
            return x.json(refusal(x.scenario, "The file must be at most 5 MB"), status=400)
        number, url = self._storage.keep_upload(body, content_type)
        return x.json({"status": "success", "id": number, "output": [url]})


def taken_slots_at(active: ActiveScenario, now: float) -> int:
    """Return how many queue slots the scenario marks as taken by other clients."""
    scenario, begun = active.scenario, active.first_submit
    lasts = math.inf if scenario.taken_seconds is None else scenario.taken_seconds
    return scenario.taken_slots if begun is None or now - begun < lasts else 0


def _too_many_counts(x: RequestContext, wait: float) -> Answer:
    message = f"Rate limit exceeded. Maximum {COUNTS_PER_MINUTE} requests per minute allowed."
    return x.json(refusal(x.scenario, message, retry_after=math.ceil(wait)), status=429)


def _page_number(value: object, default: int) -> int:
    """Return a page number or size; 0 if the value is not a positive integer."""
    if value is None:
        return default
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
