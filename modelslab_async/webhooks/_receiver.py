"""Take deliveries through one core, whatever door they come in by, and tell whoever listens."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from .._engine.redaction import Tokens
from ._asgi import AsgiApp
from ._delivery import Delivery
from ._inbox import Inbox, MemoryInbox
from ._signing import MAX_BODY, Head, Signer, checked_url, read_hint, reject_status

if TYPE_CHECKING:
    from aiohttp import web

    from .._engine.secret import Secret

_log = logging.getLogger("modelslab_async.webhooks")

_REMEMBERED: Final = 10_000


class WebhookReceiver:
    """Gives each job a webhook URL that nobody else can make, and takes what is posted there.

    Mount `app` in an ASGI application, or call `add_to` for one of aiohttp, or run `serve`. Behind
    a proxy, the path may arrive with any prefix or none.

    Args:
        secret: at least 16 bytes that all replicas share; or secrets by version, to change them:
            ``{"v2": new, "v1": old}`` signs with the first and takes URLs of both.
        public_url: where the outside reaches the receiver, prefix included, such as
            ``https://music.example.com/hooks``; ``http://`` on loopback only.
        inbox: where deliveries are kept; `MemoryInbox` when you name none.

    Raises:
        ConfigurationError: a secret too short, or a URL of another kind.
    """

    def __init__(
        self,
        secret: str | bytes | Mapping[str, str | bytes],
        public_url: str,
        *,
        inbox: Inbox | None = None,
    ) -> None:
        self._signer = Signer(secret)
        self._public_url = checked_url(public_url)
        self._listeners: list[Callable[[Delivery], None]] = []
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._counts: Counter[int] = Counter()
        self._hidden: set[Secret] = set()
        self._app = AsgiApp(self)
        self.inbox: Inbox = MemoryInbox() if inbox is None else inbox

    def __repr__(self) -> str:
        return f"<WebhookReceiver {self._public_url}, signs with {self._signer.version}>"

    @property
    def counts(self) -> Mapping[int, int]:
        """How many requests were answered with each HTTP status; 404 are the forged ones."""
        return dict(self._counts)

    def url_for(self, track_id: int | str) -> str:
        """The webhook URL for a job: ``{public_url}/{version}/{track_id}/{token}``.

        Raises:
            RequestError: a track_id that would not pass through a URL unchanged.
        """
        return f"{self._public_url}/{self._signer.path(track_id)}"

    def hide(self, secret: Secret) -> None:
        """Take this API key out of whatever is delivered, in every spelling, before it is kept.

        A client does it for its own: a server may repeat the key in what it says of a job.
        """
        self._hidden.add(secret)

    def subscribe(self, listener: Callable[[Delivery], None]) -> Callable[[], None]:
        """Have a function called with each new delivery, on the event loop it arrives on.

        A delivery that repeats a recent one is kept and told once. Returns the end of it.
        """

        def unsubscribe() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)

        def entry(delivery: Delivery) -> None:
            listener(delivery)

        self._listeners.append(entry)
        return unsubscribe

    def refusal(self, head: Head) -> int | None:
        """The HTTP status for a request that needs no reading, or ``None`` to read its body.

        A wrong method, an unknown path and a false token are all 404, so that nobody learns which.
        """
        known = head.method == "POST" and self._signer.track_id(head.path) is not None
        status = reject_status(head) if known else 404
        if status is not None:
            self._counts[status] += 1
        return status

    async def deliver(self, path_tail: str, body: bytes) -> int:
        """Take one POST; returns the HTTP status to answer.

        200: kept and told; 404: nobody's URL; 413: more than 64 KiB; 400: about no job; 503: the
        inbox is broken. The body is believed in nothing, see `Delivery`.

        Args:
            path_tail: the path, percent-decoded, from the version on; what is before is ignored.
            body: the bytes, whole.
        """
        status = await self._deliver(path_tail, body)
        self._counts[status] += 1
        return status

    async def _deliver(self, path: str, body: bytes) -> int:
        track_id = self._signer.track_id(path)
        if track_id is None:
            return 404
        if len(body) > MAX_BODY:
            return 413
        for secret in self._hidden:
            body = secret.redact(body)
        tokens = Tokens()
        tokens.add(path, track_id)
        body = tokens.redact(body)
        reply = read_hint(body)
        if reply is None:
            return 400
        delivery = Delivery(track_id, reply, time.time(), hashlib.sha256(body).hexdigest())
        return await self._take_in(delivery)

    async def _take_in(self, delivery: Delivery) -> int:
        """Keep first, then answer: a delivery that is told 200 survives this process."""
        key = (delivery.track_id, delivery.digest)
        if key not in self._told:
            try:
                await self.inbox.put(delivery)
            except Exception:  # noqa: BLE001 - an inbox may be anybody's code; polls go on
                _log.exception("the webhook inbox failed; the delivery is refused with 503")
                return 503
        if key not in self._told:  # an equal one may have been faster
            self._told[key] = None
            self._tell(delivery)
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return 200

    def _tell(self, delivery: Delivery) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(delivery)
            except Exception:  # noqa: BLE001 - it must not keep the news from the others
                _log.exception("a listener failed on the webhook of %s", delivery.track_id)

    # --- doors

    @property
    def app(self) -> AsgiApp:
        """An ASGI application to mount anywhere: ``app.mount("/hooks", receiver.app)``.

        It hides tokens from access logs that are written after the answer, as uvicorn's are.
        Limits of connections and headers are the server's.
        """
        return self._app

    def add_to(self, app: web.Application, prefix: str = "") -> None:
        """Take deliveries in an aiohttp application, below a prefix such as ``/hooks``.

        The logs of accesses and of errors, ``aiohttp.access`` and ``aiohttp.server``, are told to
        hide tokens: give `HideTokens` to others that you name to aiohttp.
        """
        from . import _aiohttp_app as server  # the other doors need no aiohttp

        server.add_to(self, app, prefix)

    def serve(self, host: str = "127.0.0.1", port: int = 8787) -> AbstractAsyncContextManager[int]:
        """Listen by ourselves: ``async with receiver.serve(port=8787): ...``; gives the port.

        Plain HTTP, for a proxy or tunnel with the certificate to stand before. Slow, idle, huge
        and forged requests are cut short, and hold up no good one.

        Raises:
            WebhookError: the address cannot be listened on.
        """
        from . import _aiohttp_app as server  # the other doors need no aiohttp

        return server.listening(self, host, port)
