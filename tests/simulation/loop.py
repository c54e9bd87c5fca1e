"""An event loop whose time passes only when everybody waits, and whose sockets are made up.

Nothing here sleeps: when no callback is ready, the clock jumps to the next timer. Names, servers
and connections lead into `network.Network`; blocking work, which the product gives to the loop's
`run_in_executor`, is done on the spot, at a moment drawn by the loop. No thread runs, so a seed
repeats a run to the byte.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .network import Network

START = 1000.0
MOST_TURNS = 2_000_000
_WORK_SECONDS = (0.0005, 0.02)


class Deadlock(Exception):
    """Nobody can ever go on: nothing is ready, and no timer runs."""


class Livelock(Exception):
    """So many turns of the loop that somebody must be spinning."""


class _Selector(selectors.DefaultSelector):
    """Looks at real sockets (the loop's own self-pipe) without waiting, and moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = START
        self.turns = 0
        self.tasks: Callable[[], str] = str

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Livelock(self.tasks())
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock(self.tasks())
        self.moment += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. ``network`` is where its connections lead."""

    def __init__(self, network: Network, dice: Random) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)
        self._clock.tasks = self._told
        self._network = network
        self._dice = dice

    def time(self) -> float:
        return self._clock.moment

    @property
    def turns(self) -> int:
        """How often the loop went round."""
        return self._clock.turns

    def skip(self, seconds: float) -> None:
        """Let time pass at once, as for a process that was stopped: all timers are late."""
        self._clock.moment += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Do the work here, a moment from now; the future is done when it is done."""
        future = self.create_future()
        self.call_later(self._dice.uniform(*_WORK_SECONDS), _work, future, func, args)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        return await self._network.resolve(host, port)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await self._network.connect(sock, address)

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        *,
        sock: socket.socket,
        **_: Any,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        return await self._network.open(sock, protocol_factory)

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: Any = None,
        port: Any = None,
        **_: Any,
    ) -> Any:
        return self._network.listen(protocol_factory, port or 0)

    def _told(self) -> str:
        lines = []
        for task in asyncio.all_tasks(self):
            frames = task.get_stack(limit=3)
            places = " < ".join(f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in frames)
            lines.append(f"{task.get_name()}: {places}")
        return "\n".join(sorted(lines))


def _work(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    try:
        result = func(*args)
    except BaseException as error:  # noqa: BLE001  it is raised to whoever waits
        future.set_exception(error)
    else:
        future.set_result(result)
