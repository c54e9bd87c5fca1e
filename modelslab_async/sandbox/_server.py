"""Run the API, its object storage, a mirror and a foreign host on this machine.

The other modules are pure or handle single requests. This one opens the sockets, records requests,
sends responses and shuts everything down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

from aiohttp import web

from ._account import Account, AccountBook, RequestRecord
from ._account_file import AccountFile
from ._addresses import is_loopback
from ._answer import Answer, json_answer, text_answer
from ._api import CORS, Api
from ._clock import Clock
from ._context import ActiveScenario, BodyTooLargeError, Origins, RequestContext, reset_connection
from ._deliveries import Deliveries
from ._fault import FaultPlan
from ._files import FileStore
from ._general import AccountEndpoints
from ._generation import Generation
from ._inspection import with_inspection
from ._loading import ScenarioError, load_scenario
from ._replay import Replay
from ._scenario import Scenario
from ._storage import Storage
from ._tickets import Tickets
from ._voices import VoiceEndpoints

if TYPE_CHECKING:
    from types import TracebackType

HEADER = "X-Sandbox-Scenario"
"""The header of a request that has a scenario of its own."""
HOSTS = ("api", "storage", "mirror", "foreign")
BACKLOG = 1024
_OPTIONS: dict[str, Any] = {"keepalive_timeout": 75.0, "access_log": None}
_CLOSING_STEPS = 1000
_SHUTDOWN_SECONDS = 0.1

Handle = Callable[[RequestContext, str], Awaitable[Answer | None]]


class _Connection(web.RequestHandler):
    """A numbered connection that may be reset before a byte is read."""

    __slots__ = ("number", "opened")

    number: int
    opened: Callable[[], tuple[int, bool]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.number, doomed = self.opened()
        if doomed:
            reset_connection(cast("asyncio.Transport", transport))


_RENDERING = ("numpy", "soundfile")  # imported by the first render


class Sandbox:
    """A local ModelsLab music API that records everything that happens.

    ```python
    async with Sandbox() as box:
        client = ModelsLab(box.key, base_url=box.url)
    ```

    Args:
        scenario: how the sandbox behaves. Assign to `box.scenario` to change it at any time;
            names are accepted as well.
        slots: maximum number of jobs in the account's queue (5, 10 or 15 on ModelsLab's plans).
        key: the account's API key; None generates one.
        seed: seed of all random values.
        port: port of the API; 0 selects a free one. The other hosts always use free ports.
        host: host name in all URLs, such as the name of this machine inside containers. Unless it
            is a loopback address, the sandbox listens on all interfaces.
        balance: dollars in the wallet.
        webhooks_anywhere: post webhooks to other machines as well.
        account: a file that keeps the account's jobs, made if there is none: a later sandbox with
            this file and scenario has them and their files. The file's seed replaces `seed`.
        replay: a recording of `ModelsLab(record=...)`: what it holds is answered as it was then,
            with rendered files; the rest as by any sandbox.

    Raises:
        AccountFileError: `account` is another kind of file.
        RecordingError: `replay` is no recording.
        OSError: `replay` or `account` cannot be read.
        ModuleNotFoundError: on entering, if NumPy or soundfile (the extra ``sandbox``) is missing.

    The sandbox has four listeners: `url` is the API, `storage_url` the object storage of `output`,
    `mirror_url` that of `proxy_links`, and `foreign_url` an unrelated host that only records
    requests. `box.book` has jobs, charges, requests (and which host received the key) and webhook
    deliveries. Other processes can read it at `GET /sandbox/book`, and the exact bytes of a job's
    file at `GET /sandbox/files/ID`.

    The request header `X-Sandbox-Scenario` selects another scenario: its name, or a JSON object of
    `Scenario` fields. A job submitted with the header keeps the scenario for its fetches and
    downloads, unless their header names another.
    """

    def __init__(
        self,
        scenario: Scenario | str | None = None,
        *,
        slots: int = 5,
        key: str | None = None,
        seed: int = 0,
        port: int = 0,
        host: str = "127.0.0.1",
        balance: float = 1000.0,
        webhooks_anywhere: bool = False,
        account: str | os.PathLike[str] | None = None,
        replay: str | os.PathLike[str] | None = None,
    ) -> None:
        if slots < 1:
            raise ValueError(f"an account has at least one slot, not {slots}")
        self.key = key or f"sandbox-{secrets.token_hex(20)}"
        self._file = None if account is None else AccountFile(Path(account), seed)
        self.seed = seed = seed if self._file is None else self._file.seed
        self.slots = slots
        self._port = port
        self._host = host
        self._webhooks_anywhere = webhooks_anywhere
        self._replay = None if replay is None else Replay(Path(replay))
        self._first = (
            scenario if isinstance(scenario, Scenario) else load_scenario(scenario or "clean")
        )
        self._book = AccountBook(balance)
        self._account = Account(self._book, slots=slots, first_id=310_815 + seed % 1_000_000)
        self._file_store = FileStore(seed)
        self._key_bytes = self.key.encode()
        self._connections = 0
        self._stack = contextlib.AsyncExitStack()
        self._header_scenarios: dict[str, ActiveScenario] = {}

    async def __aenter__(self) -> Self:
        missing = [name for name in _RENDERING if find_spec(name) is None]
        if missing:  # fail now, not when the first file is rendered
            raise ModuleNotFoundError(
                f"the sandbox needs {' and '.join(missing)} to render audio: "
                "pip install 'modelslab-async[sandbox]'"
            )
        self._clock = Clock()
        self._active = self._arm(self._first)
        async with contextlib.AsyncExitStack() as stack:
            origins = [await self._listen(stack, host) for host in HOSTS]
            self._origins = Origins(*origins)
            self._assemble(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Origin of the API: the client's `base_url`."""
        return self._origins.api

    @property
    def storage_url(self) -> str:
        return self._origins.storage

    @property
    def mirror_url(self) -> str:
        return self._origins.mirror

    @property
    def foreign_url(self) -> str:
        return self._origins.foreign

    @property
    def scenario(self) -> Scenario:
        """How the sandbox behaves from the next request on."""
        return self._active.scenario

    @scenario.setter
    def scenario(self, scenario: Scenario | str) -> None:
        if not isinstance(scenario, Scenario):
            scenario = load_scenario(scenario)
        self._active = self._arm(scenario)

    @property
    def book(self) -> AccountBook:
        """The record of everything so far, with the current state of every job."""
        self._account.settle(self._clock.now())
        return self._book

    def now(self) -> float:
        """Return the sandbox's clock, in seconds from an arbitrary start."""
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`: jobs end, links expire, webhooks are posted."""
        self._clock.advance(seconds)

    async def delivered(self) -> None:
        """Wait until every current and future webhook has been posted."""
        await self._deliveries.settled()

    def canonical(self, job_id: int | str) -> bytes:
        """Return the exact bytes of a job's finished file.

        Raises:
            KeyError: no job has this id.
        """
        job = self._account.find(job_id)
        if job is None:
            raise KeyError(f"the sandbox has no job {job_id!r}")
        return self._file_store.file(job).body

    def _arm(self, scenario: Scenario, name: str | None = None) -> ActiveScenario:
        return ActiveScenario(scenario, FaultPlan(scenario.faults, self.seed), name)

    def _scenario_of(self, source: str) -> ActiveScenario:
        """Return the scenario of a header value; its counters persist between requests."""
        if source not in self._header_scenarios:
            self._header_scenarios[source] = self._arm(load_scenario(source), source)
        return self._header_scenarios[source]

    def _assemble(self, stack: contextlib.AsyncExitStack) -> None:
        tickets = Tickets(self.seed, self._origins, self._file_store)
        deliveries = Deliveries(
            self._account, tickets, self._clock, self.seed, self._webhooks_anywhere
        )
        self._deliveries = deliveries
        stack.push_async_callback(deliveries.close)
        storage = Storage(
            self._account, self._file_store, self._clock, self._origins.storage, self._scenario_of
        )
        generation = Generation(
            self._account, tickets, self._clock, storage, deliveries, self._file
        )
        if self._file is not None:
            self._file.open(urlsplit(self._origins.storage).port or 0)
            stack.callback(self._file.close)
            now = time.time()
            for kept in self._file.jobs:
                generation.restore(kept, self._active, max(0.0, now - kept.at))
        account_endpoints = AccountEndpoints(self._account, tickets, self._clock, storage)
        voices = VoiceEndpoints(storage)
        api = Api(
            self.key,
            self._account,
            self._clock,
            generation,
            account_endpoints,
            voices,
            self._scenario_of,
        )
        self._handles: dict[str, Handle] = {
            "api": with_inspection(api.handle, lambda: self.book, self.canonical),
            "storage": storage.handle,
            "mirror": storage.handle,
            "foreign": _not_found,
        }
        if self._replay is not None:
            self._replay.attach(self._origins, self._file_store, self._book)
            for host in ("api", "storage"):
                self._handles[host] = self._replay.before(self._handles[host])

    async def _listen(self, stack: contextlib.AsyncExitStack, host: str) -> str:
        """Open one host and return its origin."""
        server = web.Server(lambda request: self._answer(host, request), handler_cancellation=True)

        def connect() -> _Connection:
            connection = _Connection(server, loop=loop, **_OPTIONS)
            connection.opened = lambda: self._opened(host)
            return connection

        loop = asyncio.get_running_loop()
        address = "127.0.0.1" if is_loopback(self._host) else "0.0.0.0"  # noqa: S104 - asked for
        port = self._port if host == "api" else 0
        if host == "storage" and self._file is not None:
            port = self._file.storage_port
        try:
            listener = await loop.create_server(connect, address, port, backlog=BACKLOG)
        except OSError:
            if host == "api" or not port:
                raise
            # Another program has it now: links of the earlier sandbox are dead.
            listener = await loop.create_server(connect, address, 0, backlog=BACKLOG)
        stack.push_async_callback(_shut_down, listener, server)
        return f"http://{self._host}:{listener.sockets[0].getsockname()[1]}"

    def _opened(self, host: str) -> tuple[int, bool]:
        """Number a new connection; return whether to reset it at once."""
        self._connections += 1
        self._book.connections[host] += 1
        return self._connections, host == "api" and self._active.plan.draw("connect") is not None

    async def _answer(self, host: str, request: web.BaseRequest) -> web.StreamResponse:
        x = self._new_context(host, request)
        source = request.headers.get(HEADER)
        try:
            if source is not None:
                x.active = self._scenario_of(source)
            answer = await self._handles[host](x, x.path)
        except ScenarioError as error:
            message = {"status": "error", "message": f"{HEADER}: {error}"}
            answer = json_answer(message, status=400)
        except BodyTooLargeError:
            answer = text_answer("Request Entity Too Large", status=413)
        except (ConnectionError, web.RequestPayloadError):
            answer = None
        if answer is None:
            return web.Response()
        x.record.status = answer.status
        headers = {**answer.headers, **(CORS if host == "api" else {})}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _new_context(self, host: str, request: web.BaseRequest) -> RequestContext:
        key = self._key_bytes
        target = request.raw_path
        record = RequestRecord(
            host,
            request.method,
            target,
            self._clock.now(),
            cast("_Connection", request.protocol).number,
            has_key=key in target.encode() or any(key in text for _, text in request.raw_headers),
        )
        self._book.requests.append(record)
        return RequestContext(request, record, self._active, self._origins, key)


async def _not_found(x: RequestContext, _: str) -> Answer:
    await x.read()
    return text_answer("nothing here", status=404)


async def _shut_down(listener: asyncio.Server, server: web.Server) -> None:
    """Stop listening and close every connection, including those that hang on purpose."""
    listener.close()
    for connection in server.connections:
        if isinstance(connection.transport, asyncio.Transport):
            connection.transport.abort()
    for _ in range(_CLOSING_STEPS):
        if not server.connections:
            break
        await asyncio.sleep(0)
    await server.shutdown(_SHUTDOWN_SECONDS)
    await listener.wait_closed()
