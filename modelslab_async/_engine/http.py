"""Speak to the one origin that may see the key: no redirects, no cookies, capped answers.

What comes back is a value, also when nothing came back: exceptions of the HTTP library hold bytes
of the request, and the request holds the key, so they end here.
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
from .._protocol.addresses import address_ranges
from .._protocol.encoding import decode
from .._protocol.loose_json import is_object
from .._protocol.retry_after import retry_after
from .._protocol.urls import is_loopback, origin
from .._protocol.wire_json import Encoded, encode_json
from .._text import safe_text
from ..errors import ConfigurationError
from .aio import GRACE, in_thread, lacks_thread, time_limit
from .overheard import body_of, listen, overheard
from .redaction import Tokens
from .secret import Secret

T = TypeVar("T")

MAX_ANSWER_BYTES = 4 * 1024 * 1024
# Gateways add policies and cookies by the kilobyte, and a redirect may hold a long link; the
# library's own limit is 8 KiB for each.
_MAX_HEADER_BYTES = 64 * 1024
_MAX_HEADERS = 512
_FRAGMENT = 64 * 1024
_CONNECT_TIMEOUT = 30.0
# Bytes of an answer that the event loop reads by itself, in 20 ms at worst; 64 KiB take 40 ms.
_SHORT = 16 * 1024
_FIRST_PIECE = 4096
_PIECE = 256 * 1024
_WHO_ARE_YOU = 407  # a proxy wants a user and a password
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}

_log = logging.getLogger("modelslab_async.http")


@frozen(kw_only=True)
class Network:
    """The caller's own way to the network, for whom the default is not right.

    Attributes:
        connector: used for everything, and never closed by us; what it connects to is the
            caller's responsibility then. Give it ``force_close=True``: else a paid call may leave
            on an idle connection that the server is just closing, which is `SubmitUnknown`.
        proxy: URL of an HTTP proxy for everything. What a host name leads to is the proxy's
            responsibility then; an ``http://`` API origin is refused, for it would read the key.
        trust_env: take proxies from ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and
            ``NO_PROXY``, for each URL anew, when the client opens. ``.netrc`` is not read.
        allow_addresses: ranges such as ``"198.18.0.0/15"`` that files may be downloaded from
            though they are not public: those of a tunnel, a carrier or a company.

    Raises:
        ConfigurationError: a proxy or a range that cannot be used.
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

    def routes(self) -> Routes:
        """Which way each URL takes, by the environment as it is now."""
        if self.proxy is not None:
            return Routes(one=read_proxy(self.proxy, "proxy"))
        return Routes(proxies=proxies_of(os.environ) if self.trust_env else Proxies())

    def session(self, connector: aiohttp.BaseConnector, **settings: Any) -> aiohttp.ClientSession:
        """A session that keeps no cookies and unpacks nothing by itself.

        Proxies are ours to choose: the library, left to the environment, also reads ``.netrc``.
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
    """Which way to a URL: through one proxy always, by the environment's, or directly."""

    one: Proxy | None = None
    proxies: Proxies = Proxies()

    def check(self, base_url: str) -> None:
        """See that the API and files can be reached, before anything is sent.

        Raises:
            ConfigurationError: a proxy that cannot be used, or that would read the key.
        """
        scheme, host, port = origin(base_url)
        if self.one is not None and scheme == "http":
            raise ConfigurationError(
                "an http:// base_url through a proxy would show it the API key; nothing was sent: "
                "use https://, or no proxy for this machine"
            )
        self.proxies.proxy_for(scheme, host, port)
        if not is_loopback(host):
            self.proxies.check()

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for a URL; ``None``: connect directly."""
        return self.one or self.proxies.proxy_for(scheme, host, port)


def through(proxy: Proxy | None) -> dict[str, Any]:
    """The same as arguments of a request. The password is in no URL that an error may show."""
    if proxy is None:
        return {}
    user = {} if proxy.authorization is None else {"Proxy-Authorization": proxy.authorization}
    return {"proxy": proxy.url, "proxy_headers": user}


@frozen
class Response:
    """One complete answer: HTTP status, body without the key, seconds of ``Retry-After``."""

    status: int
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    retry_after: float | None = None


@frozen
class NoResponse:
    """No complete answer. ``sent`` is False only if not one byte of the request left.

    ``fragment`` is what there is of one, without the key.
    """

    reason: str
    sent: bool
    timed_out: bool = False
    permanent: bool = False
    fragment: bytes = field(default=b"", repr=False, eq=False)


async def read_beside(answer: Response | NoResponse, read: Callable[[], T]) -> T:
    """What ``read`` makes of an answer; a long one is read in a thread, beside the event loop."""
    if isinstance(answer, NoResponse) or len(answer.body) <= _SHORT:
        return read()
    return await in_thread(read)


class _Received:
    """What has come of an answer so far; it outlives whatever ends the connection."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()


class KeyedTransport:
    """POSTs JSON with the key to paths of one origin. An async context manager, of one use."""

    def __init__(self, secret: Secret, base_url: str, network: Network) -> None:
        self._secret = secret
        self._origin = base_url
        self._network = network
        self._tokens = Tokens()

    def hide(self, webhook: object, track_id: object) -> None:
        """Take the secret parts of this webhook URL out of what the API says from now on."""
        self._tokens.add(webhook, track_id)

    @property
    def origin(self) -> str:
        """Where the key goes, and nowhere else."""
        return self._origin

    def fingerprint(self, salt: bytes) -> str:
        """Of the key, see `Secret.salted_fingerprint`."""
        return self._secret.salted_fingerprint(salt)

    async def __aenter__(self) -> Self:
        routes = self._network.routes()
        routes.check(self._origin)
        self._through = through(routes.proxy_for(*origin(self._origin)))
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_sent)
        self._asking = self._network.session(aiohttp.TCPConnector(limit=0), trace_configs=[trace])
        # A paid call never meets a stale keep-alive connection: each opens its own.
        fresh = aiohttp.TCPConnector(limit=0, force_close=True)
        listen(fresh)
        self._paying = self._network.session(fresh, trace_configs=[trace])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._asking.close()
        await self._paying.close()

    async def post(
        self, path: str, fields: Encoded | Mapping[str, Any], *, timeout: float, paid: bool = False
    ) -> Response | NoResponse:
        """One attempt at one request, never repeated and never redirected.

        Args:
            path: starts with a slash; ids in it have passed `urls.job_id`.
            fields: JSON fields beside the key; large ones encoded already, by `encode_json`.
            timeout: seconds for all of it.
            paid: open a connection of its own.
        """
        session = self._paying if paid else self._asking
        rest = fields if isinstance(fields, Encoded) else Encoded(encode_json(fields))
        trace = SimpleNamespace(sent=False)
        received = _Received()
        heard = overheard()
        silence = None
        try:
            async with (
                time_limit(timeout, grace=GRACE),
                session.post(
                    self._origin + path,
                    data=_KeyedPayload(self._secret, rest),
                    headers=_HEADERS,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
                    trace_request_ctx=trace,
                    **self._through,
                ) as response,
            ):
                await _read(response, received)
        except Exception as error:  # noqa: BLE001  whatever broke, the request may have arrived
            silence = _silence(error, sent=trace.sent)
            received.body = received.body or bytearray(body_of(bytes(heard)))
        read = partial(self._answer, received, silence)
        # Megabytes of escapes, or what a few bytes unpack to, take longer than the loop may stand.
        plain = bytes(received.body[:16]).lstrip()[:1] in (b"{", b"")
        short = plain and len(received.body) <= _SHORT
        answer = read() if short else await in_thread(read)
        _log.debug("POST %s: %r", path, answer)
        return answer

    def _answer(self, received: _Received, silence: NoResponse | None) -> Response | NoResponse:
        """The answer, if all of it has come: damage behind its last brace takes nothing from it."""
        encoding = received.headers.get("Content-Encoding")
        decoded = decode(bytes(received.body), encoding, MAX_ANSWER_BYTES)
        body = self._tokens.redact(self._secret.redact(decoded.body))
        if silence is None and decoded.problem and not is_object(body):
            silence = NoResponse(f"the answer is compressed: {decoded.problem}", sent=True)
        if silence is not None:
            return evolve(silence, fragment=body[:_FRAGMENT])
        wait = received.headers.get("Retry-After")
        date = received.headers.get("Date")
        return Response(received.status, body, retry_after(wait, time.time(), date=date))


class _KeyedPayload(Payload):
    """A body that is put together only while it is written, so that no repr or frame shows it."""

    def __init__(self, secret: Secret, rest: Encoded) -> None:
        super().__init__(None, content_type="application/json")
        self._secret = secret
        self._rest = rest
        self._size = secret.sealed_size(rest.data)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return "***"

    async def write(self, writer: AbstractStreamWriter) -> None:
        # A large body is copied and encrypted piece by piece: other tasks run between the pieces.
        # The first is so short that it never waits, so no frame holds the key during an upload; and
        # what a frame holds of a body is a view, which shows nothing of it.
        rest = memoryview(self._rest.data)
        await writer.write(memoryview(self._secret.with_key(bytes(rest[:_FIRST_PIECE]))))
        for start in range(_FIRST_PIECE, len(rest), _PIECE):
            await writer.write(rest[start : start + _PIECE])
            await asyncio.sleep(0)


class _Unusable(Exception):
    """An answer that is not read on. Its text is ours."""


async def _note_sent(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.sent = True


def has_two_lengths(response: aiohttp.ClientResponse) -> bool:
    """Whether nobody can say where the body ends; not every parser of the library refuses that."""
    return len(response.headers.getall("Content-Length", ())) > 1


async def _read(response: aiohttp.ClientResponse, received: _Received) -> None:
    if has_two_lengths(response):
        raise _Unusable("the answer names two lengths")
    received.status, received.headers = response.status, response.headers
    async for part in response.content.iter_any():
        received.body += part
        if len(received.body) > MAX_ANSWER_BYTES:
            raise _Unusable("the answer is over 4 MiB")


def _silence(error: Exception, *, sent: bool) -> NoResponse:
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
        or (isinstance(error, aiohttp.ClientHttpProxyError) and error.status == _WHO_ARE_YOU),
    )


def _why_not_trusted(error: Exception) -> str:
    return safe_text(getattr(error, "verify_message", "") or type(error).__name__, 120)


def describe(error: Exception) -> str:
    """What went wrong on the wire, in words without a byte of what was sent.

    The library's own parse errors quote the answer and are only named by their kind.
    """
    match error:
        case _Unusable():
            return str(error)
        case aiohttp.ServerTimeoutError() if isinstance(error, aiohttp.ConnectionTimeoutError):
            return "no connection within the time allowed"
        case TimeoutError():
            return "no complete answer within the time allowed"
        case aiohttp.ClientConnectorError():
            return _no_connection(error)
        case aiohttp.ClientPayloadError():
            return "the answer stopped before its end"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused the connection (HTTP {error.status})"
        case aiohttp.ClientResponseError():
            return "the answer is not valid HTTP"
    return _broken(error)


def _broken(error: Exception) -> str:
    match error:
        case OSError():
            return f"the connection broke: {safe_text(error.strerror or type(error).__name__, 120)}"
        case RuntimeError() if lacks_thread(error):
            return "the system refuses a thread to look up the host name"
    return f"the connection broke ({type(error).__name__})"


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the host name cannot be resolved: {safe_text(error.host)}"
        case aiohttp.ClientConnectorCertificateError():
            return (
                f"the certificate of {safe_text(error.host)} is not trusted "
                f"({_why_not_trusted(error.certificate_error)}); if a proxy or a company signs the "
                "traffic itself, name the file with its certificates in SSL_CERT_FILE"
            )
        case aiohttp.ClientProxyConnectionError():
            reason = safe_text(error.os_error, 120)
            return f"no connection to the proxy {safe_text(error.host)}: {reason}"
    return f"no connection to {safe_text(error.host)}: {safe_text(error.os_error, 120)}"
