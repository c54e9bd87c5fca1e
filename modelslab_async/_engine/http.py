"""HTTP to the one origin that may see the key: no redirects, no cookies, size-limited responses.

A failed request returns a value too. Exceptions of the HTTP library may hold bytes of the request,
and the request contains the key, so they never leave this module.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from attrs import evolve, field, frozen

from .._policy.proxies import Proxies, Proxy, proxies_of, read_proxy
from .._policy.validators import at_least
from .._protocol.addresses import address_ranges
from .._protocol.encoding import decode
from .._protocol.loose_json import is_object
from .._protocol.retry_after import retry_after
from .._protocol.urls import is_loopback, origin
from .._protocol.wire_json import Encoded, encode_json
from .._text import safe_text
from ..errors import ConfigurationError
from .aio import GRACE, in_thread, lacks_thread, time_limit
from .capture import capture_responses, captured_body, start_capture
from .recording import Exchange
from .redaction import Tokens
from .secret import Secret

T = TypeVar("T")
Record = Callable[[Exchange], None]

MAX_ANSWER_BYTES = 4 * 1024 * 1024
# Gateways add kilobytes of policies and cookies, and a redirect may contain a long link; aiohttp's
# default limit is 8 KiB per line and field.
_MAX_HEADER_BYTES = 64 * 1024
_MAX_HEADERS = 512
_FRAGMENT = 64 * 1024
# Responses up to this many bytes are parsed on the event loop: 20 ms at worst; 64 KiB take 40 ms.
_MAX_READ_ON_LOOP = 16 * 1024
_FIRST_PIECE = 4096
_PIECE = 256 * 1024
_PROXY_AUTH_REQUIRED = 407  # a proxy wants a user and a password
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}

_log = logging.getLogger("modelslab_async.http")


@frozen(kw_only=True)
class Network:
    """Network settings, for callers who need other than the default.

    Attributes:
        connector: used for all requests, and never closed by the client. What it connects to is
            then the caller's responsibility. Create it with ``force_close=True``: otherwise a paid
            request may be sent on an idle connection that the server is just closing, and ends in
            `SubmitUnknown`.
        proxy: URL of an HTTP proxy for all requests. Resolving host names is then the proxy's
            responsibility. An ``http://`` API origin is refused, because the proxy could read the
            key.
        trust_env: when the client opens, read ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and
            ``NO_PROXY``, and apply them per URL. ``.netrc`` is not read.
        allow_addresses: non-public address ranges, such as ``"198.18.0.0/15"``, from which files
            may be downloaded: those of a tunnel, a carrier or a company.
        connect_timeout: seconds to wait for each connection.

    Raises:
        ConfigurationError: a proxy, a range or a time is unusable.
    """

    connector: aiohttp.BaseConnector | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)

    @proxy.validator
    def _check_proxy(self, _: object, proxy: str | None) -> None:
        if proxy is not None:
            read_proxy(proxy, "proxy")

    trust_env: bool = False
    allow_addresses: Sequence[str] = field(default=())

    @allow_addresses.validator
    def _check_addresses(self, _: object, ranges: Sequence[str]) -> None:
        address_ranges(ranges)

    connect_timeout: float = field(default=30.0, validator=at_least(0, exclusive=True))

    def routes(self) -> Routes:
        """Return the proxy per URL, from the current environment."""
        if self.proxy is not None:
            return Routes(one=read_proxy(self.proxy, "proxy"))
        return Routes(proxies=proxies_of(os.environ) if self.trust_env else Proxies())

    def session(self, connector: aiohttp.BaseConnector, **settings: Any) -> aiohttp.ClientSession:
        """Return a session without cookies and without automatic decompression.

        It does not read proxies from the environment: aiohttp would then read ``.netrc`` too.
        """
        return aiohttp.ClientSession(
            connector=self.connector or connector,
            connector_owner=self.connector is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
            trust_env=False,
            **settings,
        )


@frozen
class Routes:
    """Selects the proxy for each URL: one for all, those of the environment, or none."""

    one: Proxy | None = None
    proxies: Proxies = Proxies()

    def check(self, base_url: str) -> None:
        """Check, before anything is sent, that the proxies for the API and files are usable.

        Raises:
            ConfigurationError: a proxy is unusable, or could read the key.
        """
        scheme, host, port = origin(base_url)
        if self.one is not None and scheme == "http":
            raise ConfigurationError(
                "with an http:// base_url the proxy could read the API key; nothing was sent: "
                "use https://, or no proxy for this machine"
            )
        self.proxies.proxy_for(scheme, host, port)
        if not is_loopback(host):
            self.proxies.check()

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy for a URL; ``None``: connect directly."""
        return self.one or self.proxies.proxy_for(scheme, host, port)


def proxy_arguments(proxy: Proxy | None) -> dict[str, Any]:
    """Return aiohttp's request arguments for a proxy; its password is in a header, not in a URL."""
    if proxy is None:
        return {}
    user = {} if proxy.authorization is None else {"Proxy-Authorization": proxy.authorization}
    return {"proxy": proxy.url, "proxy_headers": user}


@frozen
class Response:
    """One complete response: HTTP status, body without the key, seconds of ``Retry-After``."""

    status: int
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    retry_after: float | None = None


@frozen
class NoResponse:
    """No complete response. ``sent`` is False only if not one byte of the request left.

    ``fragment`` is the part of the response that arrived, without the key.
    """

    reason: str
    sent: bool
    timed_out: bool = False
    permanent: bool = False
    fragment: bytes = field(default=b"", repr=False, eq=False)


async def read_off_loop(answer: Response | NoResponse, read: Callable[[], T]) -> T:
    """Call ``read`` to parse a response: in a thread if it is long, so the loop is not blocked."""
    if isinstance(answer, NoResponse) or len(answer.body) <= _MAX_READ_ON_LOOP:
        return read()
    return await in_thread(read)


class _Received:
    """The part of a response received so far; it survives a broken connection."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()


class KeyedTransport:
    """POSTs JSON with the key to paths of one origin. A single-use async context manager."""

    def __init__(
        self, secret: Secret, base_url: str, network: Network, record: Record | None = None
    ) -> None:
        self._record = record
        self._secret = secret
        self._origin = base_url
        self._network = network
        self._tokens = Tokens()

    def hide(self, webhook: object, track_id: object) -> None:
        """Redact the secret parts of this webhook URL from all later responses."""
        self._tokens.add(webhook, track_id)

    @property
    def origin(self) -> str:
        """The only origin that receives the key."""
        return self._origin

    def fingerprint(self, salt: bytes) -> str:
        """Return the key's `Secret.salted_fingerprint`."""
        return self._secret.salted_fingerprint(salt)

    async def __aenter__(self) -> Self:
        routes = self._network.routes()
        routes.check(self._origin)
        self._proxy_arguments = proxy_arguments(routes.proxy_for(*origin(self._origin)))
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_mark_sent)
        self._session = self._network.session(aiohttp.TCPConnector(limit=0), trace_configs=[trace])
        # Each paid request opens its own connection, so it never hits a stale keep-alive one.
        fresh = aiohttp.TCPConnector(limit=0, force_close=True)
        capture_responses(fresh)
        self._paid_session = self._network.session(fresh, trace_configs=[trace])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()
        await self._paid_session.close()

    async def post(
        self, path: str, fields: Encoded | Mapping[str, Any], *, timeout: float, paid: bool = False
    ) -> Response | NoResponse:
        """Send one request once: no retry, no redirect.

        Args:
            path: starts with a slash; ids in it have passed `urls.job_id`.
            fields: JSON fields besides the key; large ones already encoded by `encode_json`.
            timeout: seconds for the whole exchange.
            paid: open a new connection for it.
        """
        session = self._paid_session if paid else self._session
        started = time.monotonic()
        rest = fields if isinstance(fields, Encoded) else Encoded(encode_json(fields))
        trace = SimpleNamespace(sent=False)
        received = _Received()
        captured = start_capture()
        no_response = None
        connecting = self._network.connect_timeout
        try:
            async with (
                time_limit(timeout, grace=GRACE),
                session.post(
                    self._origin + path,
                    data=_KeyedPayload(self._secret, rest),
                    headers=_HEADERS,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=connecting),
                    trace_request_ctx=trace,
                    **self._proxy_arguments,
                ) as response,
            ):
                await _read(response, received)
        except Exception as error:  # noqa: BLE001  after any error, the request may have arrived
            no_response = _no_response(error, sent=trace.sent)
            received.body = received.body or bytearray(captured_body(bytes(captured)))
        read = partial(self._answer, received, no_response)
        # Redacting megabytes of escapes, or unpacking a small body, would block the loop too long.
        plain = bytes(received.body[:16]).lstrip()[:1] in (b"{", b"")
        short = plain and len(received.body) <= _MAX_READ_ON_LOOP
        answer = read() if short else await in_thread(read)
        _log.debug("POST %s: %r", path, answer)
        if self._record is not None:
            self._record(_exchange(path, rest.data, received, answer, started))
        return answer

    def _answer(self, received: _Received, no_response: NoResponse | None) -> Response | NoResponse:
        """Return the response if its JSON is complete; damage after the last brace is harmless."""
        encoding = received.headers.get("Content-Encoding")
        decoded = decode(bytes(received.body), encoding, MAX_ANSWER_BYTES)
        body = self._tokens.redact(self._secret.redact(decoded.body))
        if no_response is None and decoded.problem and not is_object(body):
            no_response = NoResponse(f"the response is compressed: {decoded.problem}", sent=True)
        if no_response is not None:
            return evolve(no_response, fragment=body[:_FRAGMENT])
        wait = received.headers.get("Retry-After")
        date = received.headers.get("Date")
        return Response(received.status, body, retry_after(wait, time.time(), date=date))


def _exchange(
    path: str,
    sent: bytes,
    received: _Received,
    answer: Response | NoResponse,
    started: float,
) -> Exchange:
    """Return an exchange for a recording; the key is not in ``sent``."""
    body = answer.body if isinstance(answer, Response) else None
    problem = answer.reason if isinstance(answer, NoResponse) else ""
    return Exchange(
        where="api",
        method="POST",
        target=path,
        sent=sent,
        status=received.status,
        headers=tuple(received.headers.items()),
        body=body,
        problem=problem,
        was_sent=isinstance(answer, Response) or answer.sent,
        started=started,
    )


class _KeyedPayload(Payload):
    """A body that gets the key only while it is written, so that no repr or frame contains it."""

    def __init__(self, secret: Secret, rest: Encoded) -> None:
        super().__init__(None, content_type="application/json")
        self._secret = secret
        self._rest = rest
        self._size = secret.keyed_size(rest.data)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return "***"

    async def write(self, writer: AbstractStreamWriter) -> None:
        # A large body is copied and encrypted in pieces, and other tasks run between them. The
        # first piece is so short that its write never waits, so no frame holds the key during an
        # upload. Frames hold the rest as a memoryview, whose repr does not show the content.
        rest = memoryview(self._rest.data)
        await writer.write(memoryview(self._secret.with_key(bytes(rest[:_FIRST_PIECE]))))
        for start in range(_FIRST_PIECE, len(rest), _PIECE):
            await writer.write(rest[start : start + _PIECE])
            await asyncio.sleep(0)


class _Unusable(Exception):
    """Reading a response was aborted. The text is ours, not the server's."""


async def _mark_sent(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.sent = True


def has_two_lengths(response: aiohttp.ClientResponse) -> bool:
    """Return whether the body's end is ambiguous; not every parser of aiohttp rejects that."""
    return len(response.headers.getall("Content-Length", ())) > 1


async def _read(response: aiohttp.ClientResponse, received: _Received) -> None:
    if has_two_lengths(response):
        raise _Unusable("the response states two lengths")
    received.status, received.headers = response.status, response.headers
    async for part in response.content.iter_any():
        received.body += part
        if len(received.body) > MAX_ANSWER_BYTES:
            raise _Unusable("the response is over 4 MiB")


def _no_response(error: Exception, *, sent: bool) -> NoResponse:
    return NoResponse(
        describe(error),
        sent=sent,
        timed_out=isinstance(error, TimeoutError),
        permanent=isinstance(
            error,
            aiohttp.ClientConnectorCertificateError
            | aiohttp.ClientConnectorSSLError
            | aiohttp.InvalidURL,
        )
        or (
            isinstance(error, aiohttp.ClientHttpProxyError) and error.status == _PROXY_AUTH_REQUIRED
        ),
    )


def _verify_message(error: Exception) -> str:
    return safe_text(getattr(error, "verify_message", "") or type(error).__name__, 120)


def describe(error: Exception) -> str:
    """Describe a network error without a byte of the request.

    aiohttp's parse errors quote the response, so only their kind is named.
    """
    match error:
        case _Unusable():
            return str(error)
        case aiohttp.ServerTimeoutError() if isinstance(error, aiohttp.ConnectionTimeoutError):
            return "no connection within the time allowed"
        case TimeoutError():
            return "no complete response within the time allowed"
        case aiohttp.ClientConnectorError():
            return _no_connection(error)
        case aiohttp.ClientPayloadError():
            return "the response is incomplete"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without a response"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused the connection (HTTP {error.status})"
        case aiohttp.ClientResponseError():
            return "the response is not valid HTTP"
    return _broken(error)


def _broken(error: Exception) -> str:
    match error:
        case OSError():
            return f"the connection broke: {safe_text(error.strerror or type(error).__name__, 120)}"
        case RuntimeError() if lacks_thread(error):
            return "the system has no thread left to look up the host name"
    return f"the connection broke ({type(error).__name__})"


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the host name cannot be resolved: {safe_text(error.host)}"
        case aiohttp.ClientConnectorCertificateError():
            return (
                f"the certificate of {safe_text(error.host)} is not trusted "
                f"({_verify_message(error.certificate_error)}); if a proxy or your company "
                "intercepts TLS, set SSL_CERT_FILE to the file with its certificates"
            )
        case aiohttp.ClientProxyConnectionError():
            reason = safe_text(error.os_error, 120)
            return f"no connection to the proxy {safe_text(error.host)}: {reason}"
    return f"no connection to {safe_text(error.host)}: {safe_text(error.os_error, 120)}"
