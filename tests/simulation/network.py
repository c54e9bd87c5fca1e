"""Connections in memory, between the product and the sandbox, with all that can go wrong on one.

A direction of a connection is one queue with one timer, so bytes never overtake each other. What
goes wrong is data: a `Mishap` says on which connections it strikes, how often, and what it does.
Every byte is seen here, so here is also noted where the API key went.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar, copy_context
from random import Random
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen

from .families import SUBMITS

Place = Literal["api", "submit", "fetch", "storage", "mirror", "foreign", "hooks"]
Kind = Literal[
    "dns",  # there is no such name
    "dns_busy",  # the servers of the name know nothing just now
    "dns_silent",  # and do not answer, which the resolver finds out after `seconds`
    "refused",  # nobody listens
    "nowhere",  # nobody answers the connecting
    "no_files",  # EMFILE
    "dropped",  # RST right after the connection was accepted
    "fin",  # the connection ends, for both
    "rst",  # it is reset, for both
    "silence",  # nothing goes through any more, and nobody is told
    "half_closed",  # the client is told of an end; what it sends still arrives
    "replay",  # a proxy sends the request twice, and keeps the second answer
    "slow",  # `rate` bytes a second
    "sliced",  # in pieces of at most `at` bytes
    "late",  # `seconds` more each way
]
_LOOKUPS = ("dns", "dns_busy", "dns_silent")
_CONNECTS = ("refused", "nowhere", "no_files")
BEFORE: frozenset[str] = frozenset(_LOOKUPS + _CONNECTS)

LIFE: ContextVar[int] = ContextVar("LIFE", default=0)
"""Which life of the client is at work; 0 is the sandbox, which is never killed."""

_KERNEL = 128 * 1024
_LATENCY = (0.001, 0.05)
_SUBMITS = tuple(f"POST {path} ".encode() for path in SUBMITS)


@frozen(kw_only=True)
class Mishap:
    """What goes wrong with connections to one place.

    Attributes:
        on: where they lead; ``submit`` and ``fetch`` are connections to the API, by what is asked
            first; what happens before that knows no difference between them.
        kind: what happens.
        up, at: after ``at`` bytes of the request (``up``) or of the answers.
        times: how many connections at most; ``None``: all.
        skip: so many are spared first.
        probability: of each.
        seconds, rate: of ``late``, ``dns_silent`` and ``slow``.
    """

    on: Place
    kind: Kind
    up: bool = False
    at: int = 0
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seconds: float = 0.0
    rate: float = 1000.0


@define
class _Armed:
    mishap: Mishap
    dice: Random
    skip: int
    left: float

    def strikes(self) -> bool:
        if self.left < 1 or self.dice.random() >= self.mishap.probability:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.left -= 1
        return True


_Item: TypeAlias = bytes | BaseException | None
"""Bytes, a reset, or the end."""


class Network:
    """All connections of one run.

    Attributes:
        places: of ports, as `Mishap.on` names them.
        touched: how often each kind of mishap struck.
        unmatched: addresses that nobody listens on and somebody tried to connect to.
        leaks: places, other than the API's request bodies, that saw the key.
    """

    def __init__(self, seed: int, key: str) -> None:
        self.places: dict[int, Place] = {}
        self.unmatched: list[tuple[str, int]] = []
        self.leaks: set[str] = set()
        self.touched: dict[str, int] = {}
        self._seed = seed
        self._key = key.encode()
        self._dice = Random(f"{seed}|net")
        self._listeners: dict[int, _Listener] = {}
        self._aimed: dict[int, tuple[str, int]] = {}
        self._armed: list[_Armed] = []
        self._connections: list[Connection] = []
        self._dead: set[int] = set()
        self._trace = hashlib.sha256()
        self._number = 0

    def arm(self, mishaps: Iterable[Mishap]) -> None:
        """From now on, these mishaps and no others."""
        self._armed = [
            _Armed(
                one,
                Random(f"{self._seed}|{one.on}|{one.kind}|{number}"),
                one.skip,
                float("inf") if one.times is None else one.times,
            )
            for number, one in enumerate(mishaps)
        ]

    @property
    def trace(self) -> str:
        """A digest of every delivery so far: when, on which connection, how many bytes."""
        return self._trace.hexdigest()

    @property
    def open_connections(self) -> list[Connection]:
        """Those of which an end is still open."""
        return [one for one in self._connections if one.is_open]

    def cut(self, place: Place) -> None:
        """Reset every connection to a place, as when its host goes down."""
        for connection in self.open_connections:
            if connection.place == place:
                connection.reset()

    def kill(self, life: int) -> None:
        """The client's process is gone: its peers see resets, and it sees nothing any more."""
        self._dead.add(life)
        for connection in self.open_connections:
            connection.bereave(life)
        for listener in list(self._listeners.values()):
            if listener.life == life:
                listener.close()

    # --- what the loop asks for

    async def resolve(self, host: Any, port: Any) -> list[Any]:
        place = "storage" if str(host).startswith("pub-") else "api"
        mishap = self._strikes(place, _LOOKUPS)
        if mishap is not None and mishap.kind == "dns_silent":
            await asyncio.sleep(mishap.seconds)
        if mishap is not None and mishap.kind in ("dns_busy", "dns_silent"):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if mishap is not None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]

    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        if LIFE.get() in self._dead:
            await asyncio.get_running_loop().create_future()
        place = self.places.get(address[1], "foreign")
        mishap = self._strikes(place, _CONNECTS)
        if mishap is not None and mishap.kind == "no_files":
            raise OSError(errno.EMFILE, "Too many open files")
        if mishap is not None and mishap.kind == "nowhere":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self._dice.uniform(*_LATENCY))
        if address[1] not in self._listeners:
            self.unmatched.append((address[0], address[1]))
        if mishap is not None or address[1] not in self._listeners:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        self._aimed[sock.fileno()] = address

    async def open(
        self, sock: socket.socket, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        address = self._aimed.pop(sock.fileno())
        sock.close()
        listener = self._listeners.get(address[1])
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        self._number += 1
        place = self.places.get(address[1], "foreign")
        connection = Connection(self, self._number, place, (LIFE.get(), listener.life))
        self._connections.append(connection)
        protocol = factory()
        connection.server.again = listener.factory
        connection.server.context = listener.context.copy()
        connection.begin(protocol, connection.server.context.run(listener.factory))
        return connection.client, protocol

    def listen(self, factory: Callable[[], asyncio.Protocol], port: int) -> _Listener:
        while port == 0 or port in self._listeners:
            port = self._dice.randrange(20_000, 60_000)
        self._listeners[port] = listener = _Listener(self, factory, port, LIFE.get())
        return listener

    def unlisten(self, port: int) -> None:
        self._listeners.pop(port, None)

    # --- what connections ask for

    def latency(self) -> float:
        return self._dice.uniform(*_LATENCY)

    def mishap_of(self, place: str, first: bytes) -> Mishap | None:
        """What strikes a connection, asked when its first bytes are on their way."""
        if place != "api":
            return self._strikes(place, None)
        asked = "submit" if first.startswith(_SUBMITS) else "fetch"
        return self._strikes("api", None) or self._strikes(asked, None)

    def _strikes(self, place: str, kinds: tuple[str, ...] | None) -> Mishap | None:
        for one in self._armed:
            early = one.mishap.kind in BEFORE
            wanted = one.mishap.kind in kinds if kinds is not None else not early
            if wanted and one.mishap.on == place and one.strikes():
                kind = one.mishap.kind
                self.touched[kind] = self.touched.get(kind, 0) + 1
                return one.mishap
        return None

    def note(self, connection: Connection, up: bool, data: bytes) -> None:
        moment = asyncio.get_running_loop().time()
        self._trace.update(f"{moment:.6f} {connection.number} {up} {len(data)}\n".encode())

    def note_key(self, connection: Connection, up: bool, seen: bytes) -> None:
        head, _, body = seen.partition(b"\r\n\r\n")
        if self._key in seen and not (up and connection.place == "api" and self._key in body):
            self.leaks.add(f"{connection.place} {'request' if up else 'answer'}")
        elif up and self._key in head:
            self.leaks.add(f"{connection.place} request head")


@define(eq=False)
class _Address:
    port: int

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self.port


class _Listener:
    """What `asyncio.Server` is to those who listen."""

    def __init__(
        self, network: Network, factory: Callable[[], asyncio.Protocol], port: int, life: int
    ) -> None:
        self.factory = factory
        self.life = life
        self.context = copy_context()
        self.sockets = [_Address(port)]
        self._network = network

    def close(self) -> None:
        self._network.unlisten(self.sockets[0].port)

    async def wait_closed(self) -> None:
        await asyncio.sleep(0)

    def is_serving(self) -> bool:
        return True


class Connection:
    """Two ends, and a pipe each way."""

    def __init__(self, network: Network, number: int, place: Place, lives: tuple[int, int]) -> None:
        self.network = network
        self.number = number
        self.place = place
        self.lives = lives
        self.mishap: Mishap | None = None
        self._is_judged = False
        self._sent = bytearray()
        up, down = Pipe(self, up=True), Pipe(self, up=False)
        self.client = End(self, out=up)
        self.server = End(self, out=down)
        up.to, down.to = self.server, self.client

    @property
    def is_open(self) -> bool:
        return not (self.client.is_lost and self.server.is_lost)

    def begin(self, client: asyncio.Protocol, server: asyncio.Protocol | None) -> None:
        self.server.attach(server)
        self.client.attach(client)

    def judge(self, first: bytes) -> None:
        """Find out, by the first bytes of the request, what will happen to this connection."""
        if self._is_judged:
            return
        self._is_judged = True
        self.mishap = mishap = self.network.mishap_of(self.place, first)
        if mishap is None:
            return
        pipe = self.client.out if mishap.up else self.server.out
        match mishap.kind:
            case "dropped":
                self.reset()
            case "fin" | "rst" | "silence" | "half_closed":
                pipe.limit = mishap.at
            case "slow":
                pipe.rate = mishap.rate
            case "sliced":
                self.client.out.piece = self.server.out.piece = max(mishap.at, 1)
            case "late":
                self.client.out.delay = self.server.out.delay = mishap.seconds

    def strike(self) -> None:
        """The limit of a pipe is reached: do what the mishap says."""
        match self.mishap:
            case Mishap(kind="fin"):
                for pipe in (self.client.out, self.server.out):
                    pipe.is_shut = True
                    pipe.to.receive(None)
            case Mishap(kind="rst"):
                self.reset()
            case Mishap(kind="half_closed"):
                self.server.out.is_shut = True
                self.client.receive(None)
            case _:
                self.client.out.is_shut = self.server.out.is_shut = True

    def reset(self) -> None:
        error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        for end in (self.client, self.server):
            end.lose(error)

    def bereave(self, life: int) -> None:
        """One side's process is gone."""
        for end, other, own in (
            (self.client, self.server, self.lives[0]),
            (self.server, self.client, self.lives[1]),
        ):
            if own == life:
                other.lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
                end.lose(ConnectionAbortedError(errno.ECONNABORTED, "killed"))

    def passed(self, up: bool, data: bytes) -> None:
        """Bytes have arrived: note them, and send the request again if a proxy would."""
        self.network.note(self, up, data)
        if up:
            self._sent += data
            self.network.note_key(self, True, bytes(self._sent))
        else:
            self.network.note_key(self, False, data)
            if self.mishap is not None and self.mishap.kind == "replay":
                self.mishap = None
                self._replay(bytes(self._sent))

    def _replay(self, request: bytes) -> None:
        factory = self.server.again
        if factory is None:
            return
        copy = Connection(self.network, -self.number, self.place, (0, self.lives[1]))
        copy._is_judged = True
        copy.server.context = self.server.context.copy()
        copy.begin(_Nobody(), copy.server.context.run(factory))
        copy.client.write(request)


class _Nobody(asyncio.Protocol):
    """Reads an answer for nobody, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.close()


@define(eq=False)
class Pipe:
    """One direction: a queue and one timer.

    Attributes:
        limit: bytes until the mishap of the connection strikes.
        is_shut: nothing goes through any more.
    """

    connection: Connection
    up: bool = field(kw_only=True)
    limit: int | None = None
    rate: float | None = None
    piece: int | None = None
    delay: float = 0.0
    is_shut: bool = False
    waiting: int = 0
    to: End = field(init=False)
    _queue: deque[tuple[float, _Item]] = field(factory=deque)
    _last: float = 0.0
    _timer: asyncio.TimerHandle | None = None

    def put(self, item: _Item) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.connection.network.latency() + self.delay
        if isinstance(item, bytes):
            self.waiting += len(item)
            if self.rate is not None:
                due = max(due, self._last) + len(item) / self.rate
        self._last = max(due, self._last)
        self._queue.append((self._last, item))
        self._arm()

    def go_on(self) -> None:
        """The receiver reads again."""
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._queue and not self.to.is_paused:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._queue[0][0], loop.time()), self._pump)

    def _pump(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._queue and self._queue[0][0] <= now and not self.to.is_paused:
            self._deliver(self._queue.popleft()[1])
        self._arm()

    def _deliver(self, item: _Item) -> None:
        if not isinstance(item, bytes):
            if not self.is_shut:
                self.to.receive(item)
            return
        self.waiting -= len(item)
        for start in range(0, len(item), self.piece or len(item) or 1):
            self._pass(item[start : start + (self.piece or len(item))])
        self.connection.client.relieved()
        self.connection.server.relieved()

    def _pass(self, data: bytes) -> None:
        if self.is_shut:
            return
        if self.limit is None or len(data) < self.limit:
            self.limit = None if self.limit is None else self.limit - len(data)
            self._hand_over(data)
            return
        data, self.limit = data[: self.limit], None
        if data:
            self._hand_over(data)
        self.connection.strike()

    def _hand_over(self, data: bytes) -> None:
        self.connection.passed(self.up, data)
        self.to.receive(data)


class End(asyncio.Transport):
    """One side of a connection, as the protocol there sees it."""

    def __init__(self, connection: Connection, out: Pipe) -> None:
        super().__init__()
        self.out = out
        self.is_paused = False
        self.is_lost = False
        self.context = copy_context()
        self.again: Callable[[], asyncio.Protocol] | None = None
        self._connection = connection
        self._protocol: Any = None
        self._is_closing = False
        self._has_paused = False
        self._high = 64 * 1024

    def attach(self, protocol: Any) -> None:
        self._protocol = protocol
        self.context.run(protocol.connection_made, self)

    # --- the protocol's side

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._is_closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or self.is_lost or not data:
            return
        if self.out.up:
            self._connection.judge(bytes(data))
        if self.is_lost:
            return
        self.out.put(bytes(data))
        if not self._has_paused and self.get_write_buffer_size() > self._high:
            self._has_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.out.put(None)

    def get_write_buffer_size(self) -> int:
        return max(0, self.out.waiting - _KERNEL) if self._high else self.out.waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False
        self._in.go_on()

    def is_reading(self) -> bool:
        return not self.is_paused

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.out.put(None)
            asyncio.get_running_loop().call_soon(self.lose, None)

    def abort(self) -> None:
        if not self.is_lost:
            reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self.out.put(reset)
            self.lose(None)

    # --- the network's side

    @property
    def _in(self) -> Pipe:
        connection = self._connection
        return connection.server.out if self.out.up else connection.client.out

    def receive(self, item: _Item) -> None:
        if self.is_lost:
            if isinstance(item, bytes):  # nobody is here any more: whoever sends is told
                self.out.put(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        elif isinstance(item, BaseException):
            self.lose(item)
        elif item is None:
            if not self.context.run(self._protocol.eof_received):
                self.close()
        elif not self._is_closing:
            self.context.run(self._protocol.data_received, item)

    def relieved(self) -> None:
        """Bytes have left: whoever was told to stop writing may go on."""
        if self._has_paused and self.get_write_buffer_size() <= self._high // 4:
            self._has_paused = False
            if not self.is_lost:
                self._protocol.resume_writing()

    def lose(self, error: BaseException | None) -> None:
        """The connection is over for this side."""
        if self.is_lost:
            return
        self.is_lost = self._is_closing = True
        self.is_paused = False
        self._in.go_on()
        asyncio.get_running_loop().call_soon(
            self._protocol.connection_lost, error, context=self.context
        )
