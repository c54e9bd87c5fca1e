"""GET files from the hosts in a job's links. This module has no access to the key.

Links are untrusted. The URL is checked before each hop, and the resolved address when connecting,
so a host name cannot be rebound to a machine of this network between the check and the connection.
Behind a proxy, which resolves the name itself, only the URL is checked.
"""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

import aiohttp
from attrs import define, evolve, field, frozen
from yarl import URL

from .._policy.download import AttemptFailure, DownloadPolicy, FailureKind, judge_status
from .._protocol.addresses import address_ranges, forbidden_address
from .._protocol.encoding import labels_of
from .._protocol.links import Link, LinkRefused, address_refused, read_link, redirected
from .._protocol.retry_after import retry_after
from .._protocol.versions import content_range, is_same_version, strong_validator
from ..errors import ConfigurationError
from .aio import GRACE, lacks_thread, time_limit
from .http import Network, Record, describe, has_two_lengths, proxy_arguments
from .recording import Exchange

_READ_BUFFER = 1024 * 1024
_LARGE = 4 * 1024 * 1024
_MAX_REDIRECTS = 3
OTHER_VERSION = "a part of another file than before"
_FORBIDDEN = "not a public address"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class LinkFailed(Exception):
    """One attempt at one link failed; `_policy.download` decides what that means."""

    def __init__(self, failure: AttemptFailure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


@define
class _Attempt:
    """What happened while one request was connecting.

    Attributes:
        sockets: the number of sockets opened.
        forbidden: the last address that was refused.
    """

    sockets: int = 0
    forbidden: str | None = None


_attempt: ContextVar[_Attempt] = ContextVar("modelslab_async_attempt")


@frozen
class Body:
    """The body of a download, not read yet.

    Attributes:
        offset: its position in the file: 0, or the requested offset.
        size: of the whole file in bytes, also if this body ends earlier; ``None`` if not announced.
        validator: an ETag or date with which exactly this file can be resumed, or ``None``.
        codings: the content codings that the server states, outermost last.
        marks_end: whether its end is marked: it is chunked, or a part of a stated length.
    """

    _stream: aiohttp.StreamReader = field(repr=False)
    offset: int
    size: int | None
    validator: str | None
    codings: tuple[str, ...] = ()
    marks_end: bool = False

    async def read(self, seconds: float) -> bytes:
        """Some more bytes; none at the end.

        Args:
            seconds: of running time for them to come.

        Raises:
            LinkFailed: they do not come.
        """
        try:
            async with time_limit(seconds, grace=GRACE):
                return await self._stream.readany()
        except (aiohttp.ClientError, OSError) as error:
            failure = LinkFailed(_attempt_failure(error))
        raise failure


class Storage:
    """GETs files from anywhere that is not a private network. An async context manager."""

    def __init__(
        self,
        network: Network,
        policy: DownloadPolicy,
        *,
        allow_loopback: bool,
        record: Record | None = None,
    ) -> None:
        self._record = record
        self._network = network
        self._policy = policy
        self._allow_loopback = allow_loopback
        self._allowed = address_ranges(network.allow_addresses)
        self._open: set[aiohttp.ClientResponse] = set()

    async def __aenter__(self) -> Self:
        _keep_large_blocks()
        self._routes = self._network.routes()
        self._session = self._session_of(self._checked_socket)
        self._proxied = self._session_of(None)  # to a proxy, which may well be a private address
        return self

    def _session_of(self, factory: Any) -> aiohttp.ClientSession:
        return self._network.session(
            aiohttp.TCPConnector(limit=0, socket_factory=factory),
            read_bufsize=_READ_BUFFER,
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for response in self._open:
            response.close()  # closing only the session would leave readers waiting forever
        await self._session.close()
        await self._proxied.close()

    @asynccontextmanager
    async def get(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AsyncIterator[Body]:
        """GET a link; the body starts at ``offset`` if the server can resume this same file.

        Raises:
            LinkFailed: the link gives no body.
            ConfigurationError: the client was closed.
        """
        headers = {"Accept": "audio/*, */*;q=0.1", "Accept-Encoding": "identity"}
        if offset and validator:
            headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
        async with await self._follow(url, headers) as response:
            self._open.add(response)
            try:
                yield _body(response, offset if "Range" in headers else 0, validator)
            finally:
                self._open.discard(response)

    async def _follow(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Return the first response that is not a redirect; check each hop like the first link."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._recorded(url, headers)
            if response.status not in _REDIRECTS:
                return response
            location = response.headers.get("Location", "")
            response.release()
            try:
                url = redirected(url, location)
            except LinkRefused as refused:
                failure = LinkFailed(_refusal(refused))
            else:
                continue
            raise failure
        raise LinkFailed(AttemptFailure(FailureKind.GONE, f"more than {_MAX_REDIRECTS} redirects"))

    async def _recorded(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        if self._record is None:
            return await self._request(self._read(url), headers)
        exchange = Exchange(where="storage", method="GET", target=url)
        if "Range" in headers:
            exchange = evolve(exchange, sent=b'{"range":true}')
        try:
            response = await self._request(self._read(url), headers)
        except LinkFailed as failed:
            now = time.monotonic()
            self._record(evolve(exchange, problem=failed.failure.detail, ended=now))
            raise
        found = tuple(response.headers.items())
        now = time.monotonic()
        self._record(evolve(exchange, status=response.status, headers=found, ended=now))
        return response

    def _read(self, url: str) -> Link:
        try:
            return read_link(url, allow_loopback=self._allow_loopback, allowed=self._allowed)
        except LinkRefused as refused:
            failure = LinkFailed(_refusal(refused))
        raise failure

    async def _request(self, link: Link, headers: dict[str, str]) -> aiohttp.ClientResponse:
        if self._session.closed:
            raise ConfigurationError(
                "the client was closed before the file was complete; nothing was published: "
                "download it again with an open client, which is free"
            )
        proxy = self._routes.proxy_for(link.scheme, link.host, link.port)
        session = self._session if proxy is None else self._proxied
        attempt = _Attempt()
        _attempt.set(attempt)
        timeout = self._policy.timeout
        try:
            async with time_limit(timeout, grace=GRACE):
                return await session.get(
                    _verbatim_url(link),
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=self._network.connect_timeout
                    ),
                    **proxy_arguments(proxy),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = LinkFailed(_attempt_failure(error))
        except RuntimeError as error:  # names are looked up in a thread
            if not lacks_thread(error):
                raise
            failure = LinkFailed(_attempt_failure(error))
        if attempt.forbidden is not None and not attempt.sockets:
            failure = LinkFailed(_refusal(address_refused(link.host, attempt.forbidden)))
        raise failure

    def _checked_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Create the socket for one resolved address, checked here just before it connects."""
        family, kind, protocol, _, address = info
        ip = str(address[0])
        attempt = _attempt.get()
        if forbidden_address(ip, allow_loopback=self._allow_loopback, allowed=self._allowed):
            attempt.forbidden = ip
            raise OSError(_FORBIDDEN)
        attempt.sockets += 1
        return socket.socket(family, kind, protocol)


def _verbatim_url(link: Link) -> URL:
    """Return a URL that yarl sends unchanged: the query is part of the path, so not normalized."""
    return URL.build(scheme=link.scheme, authority=link.authority, path=link.target, encoded=True)


def _keep_large_blocks() -> None:
    """Make malloc keep the memory of read buffers, which are allocated by the thousand.

    glibc returns each large block to the kernel, and faults it in again page by page, until a
    larger block has been freed. This block is never touched, so it takes no memory.
    """
    bytes(_LARGE)


def _refusal(refused: LinkRefused) -> AttemptFailure:
    trouble = FailureKind.ADDRESS if refused.can_be_allowed else FailureKind.REFUSED
    return AttemptFailure(trouble, str(refused))


def _body(response: aiohttp.ClientResponse, asked_offset: int, known: str | None) -> Body:
    status = response.status
    trouble = judge_status(status)
    if trouble is not None:
        headers = response.headers
        wait = retry_after(headers.get("Retry-After"), time.time(), date=headers.get("Date"))
        raise LinkFailed(AttemptFailure(trouble, f"HTTP {status}", retry_after=wait))
    if has_two_lengths(response):
        raise LinkFailed(AttemptFailure(FailureKind.NETWORK, "the response states two lengths"))
    stated = response.headers.get("Content-Range")
    if status == 206 or content_range(stated) is not None:  # some servers send parts with 200
        return _partial(response, asked_offset, known)
    return _described(response, 0, response.content_length, _validator(response))


def _described(
    response: aiohttp.ClientResponse,
    offset: int,
    size: int | None,
    validator: str | None,
    *,
    marks_end: bool = False,
) -> Body:
    codings = labels_of(",".join(response.headers.getall("Content-Encoding", ())))
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return Body(response.content, offset, size, validator, codings, marks_end=marks_end or chunked)


def _partial(response: aiohttp.ClientResponse, asked: int, known: str | None) -> Body:
    """Return the body of a response that states its range, and perhaps the file's size.

    Its length is that of the part alone, which may end before the file does.
    """
    headers, length = response.headers, response.content_length
    held = content_range(headers.get("Content-Range"))
    if held is not None and held.is_whole and length in (None, held.length):
        return _described(response, 0, held.total, _validator(response))
    if held is None or held.first != asked:
        raise LinkFailed(
            AttemptFailure(FailureKind.WRONG, "another part of the file than requested")
        )
    if length not in (None, held.length):
        raise LinkFailed(AttemptFailure(FailureKind.WRONG, "a part of two lengths"))
    if asked and not is_same_version(known, headers.get("ETag"), headers.get("Last-Modified")):
        raise LinkFailed(AttemptFailure(FailureKind.WRONG, OTHER_VERSION))
    validator = known if asked else _validator(response)
    return _described(response, asked, held.total, validator, marks_end=length is not None)


def _validator(response: aiohttp.ClientResponse) -> str | None:
    names = ("ETag", "Last-Modified", "Date")
    return strong_validator(*(response.headers.get(name) for name in names))


def _attempt_failure(error: Exception) -> AttemptFailure:
    # An untrusted certificate is a ValueError too, but says nothing about the link's syntax.
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return AttemptFailure(FailureKind.REFUSED, "the link is not a valid URL")
    trouble = (
        FailureKind.CUT if isinstance(error, aiohttp.ClientPayloadError) else FailureKind.NETWORK
    )
    return AttemptFailure(trouble, describe(error))
