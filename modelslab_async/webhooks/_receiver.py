"""Accept deliveries from any frontend, store them, and notify the listeners."""

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
    """Creates an unforgeable webhook URL per job, and accepts the deliveries posted there.

    Mount `app` in an ASGI application, call `add_to` for an aiohttp application, or run `serve`.
    Behind a proxy, requests may arrive with any path prefix or none.

    Args:
        secret: at least 16 bytes, shared by all replicas; or secrets by version, for rotation:
            ``{"v2": new, "v1": old}`` signs with the first and accepts URLs of both.
        public_url: the receiver's public URL including any prefix, such as
            ``https://music.example.com/hooks``; ``http://`` on loopback only.
        inbox: stores the deliveries; default: `MemoryInbox`.

    Raises:
        ConfigurationError: the secret is too short, or the URL is not allowed.
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
        self._reported: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._counts: Counter[int] = Counter()
        self._hidden: set[Secret] = set()
        self._app = AsgiApp(self)
        self._taps: tuple[Callable[[bytes], None], ...] = ()
        self.inbox: Inbox = MemoryInbox() if inbox is None else inbox

    def __repr__(self) -> str:
        return f"<WebhookReceiver {self._public_url}, signs with {self._signer.version}>"

    @property
    def counts(self) -> Mapping[int, int]:
        """The number of requests per HTTP response status; 404 are the forged ones."""
        return dict(self._counts)

    def url_for(self, track_id: int | str) -> str:
        """Return the webhook URL for a job: ``{public_url}/{version}/{track_id}/{token}``.

        Raises:
            RequestError: the track_id would not survive a URL unchanged.
        """
        return f"{self._public_url}/{self._signer.path(track_id)}"

    def hide(self, secret: Secret) -> None:
        """Redact this API key, in every spelling, from deliveries before they are stored.

        Clients call this with their own key: a server may repeat it in its messages.
        """
        self._hidden.add(secret)

    def tap(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Call a function with the body of each delivery, keys and tokens removed.

        It is called before the body is read, and for repeated ones too. Returns a function that
        ends it.
        """
        self._taps = (*self._taps, listener)

        def end() -> None:
            self._taps = tuple(one for one in self._taps if one is not listener)

        return end

    def subscribe(self, listener: Callable[[Delivery], None]) -> Callable[[], None]:
        """Call a function with each new delivery, on the event loop on which it arrives.

        A repeated delivery is stored and reported once. Returns a function that unsubscribes.
        """

        def unsubscribe() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)

        def entry(delivery: Delivery) -> None:
            listener(delivery)

        self._listeners.append(entry)
        return unsubscribe

    def refusal(self, head: Head) -> int | None:
        """Return the HTTP status that rejects a request unread, or ``None`` to read its body.

        A wrong method, an unknown path and a wrong token all give 404, to reveal nothing.
        """
        known = head.method == "POST" and self._signer.track_id(head.path) is not None
        status = reject_status(head) if known else 404
        if status is not None:
            self._counts[status] += 1
        return status

    async def deliver(self, path_tail: str, body: bytes) -> int:
        """Handle one POST, and return the HTTP status for the response.

        200: stored and reported; 404: not one of our URLs; 413: more than 64 KiB; 400: not about a
        job; 503: the inbox failed. The body is not trusted, see `Delivery`.

        Args:
            path_tail: the percent-decoded path from the version on; any prefix is ignored.
            body: the complete body.
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
        for tap in self._taps:
            tap(body)
        reply = read_hint(body)
        if reply is None:
            return 400
        delivery = Delivery(track_id, reply, time.time(), hashlib.sha256(body).hexdigest())
        return await self._store(delivery)

    async def _store(self, delivery: Delivery) -> int:
        """Store first, then respond: a delivery with response 200 survives a crash."""
        key = (delivery.track_id, delivery.digest)
        if key not in self._reported:
            try:
                await self.inbox.put(delivery)
            except Exception:  # noqa: BLE001 - an inbox may be third-party code; polling continues
                _log.exception("the webhook inbox failed; the delivery is refused with 503")
                return 503
        if key not in self._reported:  # an equal one may have been faster
            self._reported[key] = None
            for listener in tuple(self._listeners):
                try:
                    listener(delivery)
                except Exception:  # noqa: BLE001 - the other listeners must still be called
                    _log.exception("a listener failed on the webhook of %s", delivery.track_id)
        self._reported.move_to_end(key)
        if len(self._reported) > _REMEMBERED:
            self._reported.popitem(last=False)
        return 200

    # --- frontends

    @property
    def app(self) -> AsgiApp:
        """An ASGI application to mount anywhere: ``app.mount("/hooks", receiver.app)``.

        It hides tokens from access logs that are written after the response, such as uvicorn's.
        The server limits connections and headers.
        """
        return self._app

    def add_to(self, app: web.Application, prefix: str = "") -> None:
        """Accept deliveries in an aiohttp application, below a prefix such as ``/hooks``.

        The loggers ``aiohttp.access`` and ``aiohttp.server`` get a filter that hides tokens. If you
        pass other loggers to aiohttp, add `HideTokens` to them.
        """
        from . import _aiohttp_app as server  # the other frontends need no aiohttp

        server.add_to(self, app, prefix)

    def serve(self, host: str = "127.0.0.1", port: int = 8787) -> AbstractAsyncContextManager[int]:
        """Run a standalone listener: ``async with receiver.serve() as port: ...``.

        It speaks plain HTTP: put a TLS proxy or tunnel in front. A request has 10 s for
        its headers and 5 s for its body of at most 64 KiB; of 500 connections the oldest is closed.

        Raises:
            WebhookError: it cannot listen on that address.
        """
        from . import _aiohttp_app as server  # the other frontends need no aiohttp

        return server.listening(self, host, port)
