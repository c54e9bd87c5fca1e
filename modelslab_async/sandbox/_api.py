"""Route requests to handlers and check the API key.

Paths and refusals follow the ModelsLab docs (music-gen, fetch-voice, authentication and
general-api pages). The responses to unknown paths and methods are Laravel's.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import define, field

from ._answer import Answer
from ._context import ActiveScenario, RequestContext
from ._endpoints import ENDPOINTS, FETCH_PATHS
from ._faults import inject, inject_early
from ._shapes import JSON_TIP, refusal

if TYPE_CHECKING:
    from ._account import Account, Job
    from ._clock import Clock
    from ._general import AccountEndpoints
    from ._generation import Generation
    from ._voices import VoiceEndpoints

CORS = {"Access-Control-Allow-Origin": "*"}
"""Headers of every response: Laravel's default for ``api/*``."""

_PREFLIGHT = {"Access-Control-Allow-Methods": "POST, GET", "Access-Control-Allow-Headers": "*"}

Handler = Callable[[RequestContext], Awaitable[Answer]]


@define(eq=False)
class Api:
    """The API host: routing, authentication and fault injection."""

    _key: str = field(repr=False)
    _account: Account
    _clock: Clock
    _generation: Generation
    _account_endpoints: AccountEndpoints
    _voices: VoiceEndpoints
    _scenario_of: Callable[[str], ActiveScenario]
    _routes: dict[str, tuple[str, Handler]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        account_endpoints = self._account_endpoints
        self._routes = {
            "/api/wallet_balance": ("balance", account_endpoints.balance),
            "/api/v6/processing/request_count": ("request_count", account_endpoints.request_count),
            "/api/assets_generated": ("assets", account_endpoints.assets),
            "/api/v6/assets_generated": ("assets", account_endpoints.assets),
            "/api/v6/base64_to_url": ("upload", account_endpoints.upload),
            "/api/v6/voice/voice_list": ("voices", self._voices.list),
            "/api/v6/voice/voice_upload": ("voice_upload", self._voices.add),
            "/api/v1/enterprise/voice/voice_upload": ("voice_upload", self._voices.add),
            "/api/v6/voice/base64_to_url": ("upload", self._voices.to_url),
        }

    async def handle(self, x: RequestContext, path: str) -> Answer | None:
        """Return the response, or None if a fault has already used the connection."""
        if x.record.method == "OPTIONS" and "Access-Control-Request-Method" in x.request.headers:
            await x.read()
            return Answer(204, b"", _PREFLIGHT)
        if path in ENDPOINTS:
            return await self._submit(x)
        if path in self._routes:
            return await self._answer(x, *self._routes[path])
        for family, prefix in FETCH_PATHS.items():
            if path.startswith(prefix):
                return await self._fetch(x, family, path.removeprefix(prefix))
        await x.read()
        message = f"The route {path.lstrip('/')} could not be found."
        return x.json({"message": message}, status=404)

    async def _submit(self, x: RequestContext) -> Answer | None:
        if (fault := x.draw("submit", early=True)) and inject_early(fault, x):
            return None
        return await self._check_request(x) or await self._generation.submit(x)

    async def _fetch(self, x: RequestContext, family: str, name: str) -> Answer | None:
        job = self._account.find(name)
        if job and job.pinned and not x.active.name:
            x.active = self._scenario_of(job.pinned)
        known: Job | None = job if job and job.family == family else None
        return await self._answer(x, "fetch", lambda x: self._generation.fetch(x, known))

    async def _answer(self, x: RequestContext, on: str, handler: Handler) -> Answer | None:
        if (fault := x.draw(on, early=True)) and inject_early(fault, x):
            return None
        if refused := await self._check_request(x, get=on == "request_count"):
            return refused
        if fault := x.draw(on):
            return await inject(fault, x, lambda: handler(x))
        return await handler(x)

    async def _check_request(self, x: RequestContext, *, get: bool = False) -> Answer | None:
        """Read the request and check method, JSON and key; return the refusal, or None."""
        await x.read()
        method = x.record.method
        if method != "POST" and not (get and method == "GET"):
            return _wrong_method(x, method)
        if not x.parse():
            return x.refuse(refusal(x.scenario, "Invalid API Request", tip=JSON_TIP), status=400)
        given = x.document.get("key")
        if not given:
            return x.refuse(refusal(x.scenario, "API key required"), status=401)
        if not hmac.compare_digest(str(given).encode(), self._key.encode()):
            return x.refuse(refusal(x.scenario, "Invalid API key"), status=401)
        self._account.settle(self._clock.now())
        return None


def _wrong_method(x: RequestContext, method: str) -> Answer:
    message = f"The {method} method is not supported for this route. Supported methods: POST."
    return x.json({"message": message}, status=405).with_headers({"Allow": "POST"})
