"""Fetch files from wherever a job's links lead. The key is not within reach of this module.

A link is foreign text: its spelling is checked before each hop, and the address that it leads to at
the moment of connecting, so that no name can turn into a machine of this network in between. Behind
a proxy the name is the proxy's to resolve, and the spelling alone is checked.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

import aiohttp
from attrs import define, field, frozen
from yarl import URL

from .._policy.download import AttemptFailure, DownloadPolicy, FailureKind, judge_status
from .._protocol.addresses import address_ranges, forbidden_address
from .._protocol.encoding import labels_of
from .._protocol.links import Link, LinkRefused, address_refused, read_link, redirected
from .._protocol.retry_after import retry_after
from .._protocol.versions import is_same_version, strong_validator
from ..errors import ConfigurationError
from .aio import GRACE, lacks_thread, time_limit
from .http import Network, describe, has_two_lengths, through

_READ_BUFFER = 1024 * 1024
_LARGE = 4 * 1024 * 1024
_MAX_REDIRECTS = 3
OTHER_VERSION = "a part of another file than before"
_FORBIDDEN = "not a public address"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


class LinkFailed(Exception):
    """One try at one link failed; what that means is for `_policy.download` to say."""

    def __init__(self, failure: AttemptFailure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


@define
class _Attempt:
    """What one request came across while it connected.

    Attributes:
        sockets: how many were opened.
        forbidden: the last address that none was opened for.
    """

    sockets: int = 0
    forbidden: str | None = None


_attempt: ContextVar[_Attempt] = ContextVar("modelslab_async_attempt")


@frozen
class Body:
    """The body of a download, whose first byte is wanted now.

    Attributes:
        offset: where in the file it begins: 0, or what was asked for.
        size: of the whole file in bytes, if the server announced it.
        validator: an ETag or date by which this very file can be gone on with, or ``None``.
        codings: what the server says that the bytes are encoded with, the outermost last.
        marks_end: it comes in chunks, of which the last says that it is the last.
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

    def __init__(self, network: Network, policy: DownloadPolicy, *, allow_loopback: bool) -> None:
        self._network = network
        self._policy = policy
        self._allow_loopback = allow_loopback
        self._allowed = address_ranges(network.allow_addresses)
        self._open: set[aiohttp.ClientResponse] = set()

    async def __aenter__(self) -> Self:
        _keep_large_blocks()
        self._routes = self._network.routes()
        self._session = self._session_of(self._guarded_socket)
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
            response.close()  # closing the session alone would leave whoever reads asleep for ever
        await self._session.close()
        await self._proxied.close()

    @asynccontextmanager
    async def get(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AsyncIterator[Body]:
        """The body behind a link, from ``offset`` on where the server can and the file is the same.

        Raises:
            LinkFailed: there is no such body to be had.
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
        """The first answer that is no redirect; each hop is judged like the first link."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._request(self._read(url), headers)
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

    def _read(self, url: str) -> Link:
        try:
            return read_link(url, allow_loopback=self._allow_loopback, allowed=self._allowed)
        except LinkRefused as refused:
            failure = LinkFailed(_refusal(refused))
        raise failure

    async def _request(self, link: Link, headers: dict[str, str]) -> aiohttp.ClientResponse:
        if self._session.closed:
            raise ConfigurationError(
                "the client was closed before the file was whole; nothing was published: "
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
                    _as_spelled(link),
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                    **through(proxy),
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

    def _guarded_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for one resolved address: what is checked here is what is connected to."""
        family, kind, protocol, _, address = info
        ip = str(address[0])
        attempt = _attempt.get()
        if forbidden_address(ip, allow_loopback=self._allow_loopback, allowed=self._allowed):
            attempt.forbidden = ip
            raise OSError(_FORBIDDEN)
        attempt.sockets += 1
        return socket.socket(family, kind, protocol)


def _as_spelled(link: Link) -> URL:
    """A URL that the library sends as it is: in one piece, it sees no query to put in order."""
    return URL.build(scheme=link.scheme, authority=link.authority, path=link.target, encoded=True)


def _keep_large_blocks() -> None:
    """Let the C library keep the memory of read buffers, which come and go by the thousand.

    The GNU library hands each large block back to the kernel, and takes it again page by page,
    until it has seen a larger one go. This one is never touched, and so takes no memory.
    """
    bytes(_LARGE)


def _refusal(refused: LinkRefused) -> AttemptFailure:
    trouble = FailureKind.ADDRESS if refused.can_be_allowed else FailureKind.REFUSED
    return AttemptFailure(trouble, str(refused))


def _body(response: aiohttp.ClientResponse, asked_offset: int, known: str | None) -> Body:
    status = response.status
    trouble = judge_status(status, resuming=asked_offset > 0)
    if trouble is not None:
        headers = response.headers
        wait = retry_after(headers.get("Retry-After"), time.time(), date=headers.get("Date"))
        raise LinkFailed(AttemptFailure(trouble, f"HTTP {status}", retry_after=wait))
    if has_two_lengths(response):
        raise LinkFailed(AttemptFailure(FailureKind.NETWORK, "the answer names two lengths"))
    length = response.content_length
    named = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if status == 206 or (named is not None and int(named[1])):  # some say 200 of a part
        return _partial(response, asked_offset, length, known)
    return _described(response, 0, length, _validator(response))


def _described(
    response: aiohttp.ClientResponse, offset: int, size: int | None, validator: str | None
) -> Body:
    codings = labels_of(",".join(response.headers.getall("Content-Encoding", ())))
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return Body(response.content, offset, size, validator, codings, marks_end=chunked)


def _partial(
    response: aiohttp.ClientResponse, asked: int, length: int | None, known: str | None
) -> Body:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != asked:
        raise LinkFailed(
            AttemptFailure(FailureKind.WRONG, "another part of the file than was asked for")
        )
    size = None if length is None else asked + length
    if size is not None and found[2] not in ("*", str(size)):
        raise LinkFailed(
            AttemptFailure(FailureKind.WRONG, "a part that does not reach the end of the file")
        )
    headers = response.headers
    if not is_same_version(known, headers.get("ETag"), headers.get("Last-Modified")):
        raise LinkFailed(AttemptFailure(FailureKind.WRONG, OTHER_VERSION))
    return _described(response, asked, size, known)


def _validator(response: aiohttp.ClientResponse) -> str | None:
    names = ("ETag", "Last-Modified", "Date")
    return strong_validator(*(response.headers.get(name) for name in names))


def _attempt_failure(error: Exception) -> AttemptFailure:
    # An unknown certificate is a ValueError, too, and says nothing about the link.
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return AttemptFailure(FailureKind.REFUSED, "the link is no URL")
    trouble = (
        FailureKind.CUT if isinstance(error, aiohttp.ClientPayloadError) else FailureKind.NETWORK
    )
    return AttemptFailure(trouble, describe(error))
