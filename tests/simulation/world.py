"""One run: a sandbox, a batch on it that lives, is killed and lives again, and what came of it.

A run has a storm, in which all that its `Script` names goes wrong, and then a calm, in which
everything must come to its end. A kill takes the client's directory as it is at that moment, cuts
its connections, and lets what is left of it run out where it can reach nothing; the next life
begins with the directory that was taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import random
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock
from uuid import UUID
from weakref import WeakKeyDictionary

import aiohttp
import aiohttp.connector
from attrs import Factory, define, evolve, field, frozen

import modelslab_async
from modelslab_async import ModelsLab, ModelsLabError
from modelslab_async._engine import filesystem, partfile
from modelslab_async._engine import queue as slots
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._rows import Row, Step
from modelslab_async.batch._sqlite.reader import Reader, holds_batch
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Sandbox, Scenario
from modelslab_async.sandbox._account import AccountBook, Job
from modelslab_async.webhooks import WebhookReceiver

from .damage import damage
from .disk import Disk, DiskFault, put_back
from .families import MAKERS
from .loop import VirtualLoop
from .network import LIFE, Mishap, Network

KEY = "sim-key-5d1f0c2b7a94e38614f7c0d9ab52e6f3"
SECRET = "sim-secret-93b1d07f"
HOOKS = "http://127.0.0.1:8787"
EPOCH = 1_790_000_000.0
CALM = Scenario(fetch_meta=True, generation_seconds=(1.0, 4.0))
_LIVES_IN_CALM = 4
_BETWEEN_LIVES = 20.0
_LEDGER_SETTINGS = Ledger.__init__.__kwdefaults__  # it took `time.time` before anybody patched it


Visitor = Callable[[Sandbox, Network], Coroutine[Any, Any, None]]
Around = Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]


@frozen(kw_only=True)
class Script:
    """What happens in a run, as data.

    Attributes:
        id: the fault's, or a name.
        family: of the jobs that are asked for, by its name in `families`.
        jobs, slots, max_jobs: rows; places of the account; places that the client believes in.
        host: what the client calls the API's host; ``localhost`` has to be looked up.
        pool: connections that a connector of the caller's own allows; ``None``: there is none.
        scenario: of the sandbox while the storm lasts.
        after: of the sandbox in the calm; ``None``: the same without what goes wrong.
        mishaps, disk: what goes wrong with connections and files while the storm lasts.
        kills: after how many seconds of a life it is killed, one life after the other.
        damages: so many lives after the first begin with files of done rows missing or changed;
            each life is asked to bring them again.
        stops: (after, for) seconds: the client's machine sleeps.
        leaps: (after, by) seconds: the wall clock jumps.
        webhook: results are told, too.
        storm: seconds.
        copied: what a kill leaves is a copy of the directory, and its user knows.
        doubles: submits are doubled on the way, so that debits cannot be single.
        visitor: somebody else who does something meanwhile, such as forging webhooks; ends with
            the storm.
        around: what is done around the program of the first life, such as cancelling it.
        expects: says what is wrong with an outcome, beside the oracles.
    """

    id: str
    family: str = "music"
    jobs: int = 3
    slots: int = 5
    max_jobs: int = 5
    host: str = "127.0.0.1"
    pool: int | None = None
    scenario: Scenario = CALM
    after: Scenario | None = None
    mishaps: tuple[Mishap, ...] = ()
    disk: tuple[DiskFault, ...] = ()
    kills: tuple[float, ...] = ()
    damages: int = 0
    stops: tuple[tuple[float, float], ...] = ()
    leaps: tuple[tuple[float, float], ...] = ()
    webhook: bool = False
    storm: float = 300.0
    copied: bool = False
    doubles: bool = False
    visitor: Visitor | None = field(default=None, eq=False)
    around: Around | None = field(default=None, eq=False)
    expects: Callable[[Outcome], list[str]] | None = field(default=None, eq=False)


@define(kw_only=True, repr=False)
class Outcome:
    """What a run has left behind, for the oracles."""

    script: Script
    seed: int
    rows: list[Row] = Factory(list)
    steps: list[Step] = Factory(list)
    book: AccountBook
    files: dict[str, bytes] = Factory(dict)
    right: dict[str, bytes] = Factory(dict)
    changed: dict[str, bytes] = Factory(dict)
    made: set[bytes] = Factory(set)
    stopped: list[str] = Factory(list)
    lives: int = 0
    killed: int = 0
    last_life_seconds: float = 0.0
    seconds: float = 0.0
    touched: dict[str, int] = Factory(dict)
    leaks: set[str] = Factory(set)
    unmatched: list[tuple[str, int]] = Factory(list)
    left_behind: list[str] = Factory(list)
    broken: list[str] = Factory(list)
    trace: str = ""
    turns: int = 0

    def in_state(self, *states: RowState) -> list[Row]:
        return [row for row in self.rows if row.state in states]

    def jobs_of(self, row: Row) -> list[Job]:
        """Jobs on the server that this row's submits made."""
        return [job for job in self.book.jobs.values() if job.prompt == row.prompt]


def calmed(scenario: Scenario) -> Scenario:
    """The same server with all its habits, when nothing goes wrong any more."""
    return evolve(
        scenario,
        faults=(),
        never_finishes=False,
        failure_probability=0.0,
        status="normal",
        taken_slots=0,
        not_found_polls=0,
        wrong_id_polls=0,
        webhook_lost=0.0,
    )


def simulate(script: Script, seed: int) -> Outcome:
    """Run a script from its beginning to its end, by the dice of a seed."""
    _set_aside()
    with tempfile.TemporaryDirectory(dir=_quick_disk()) as folder:
        world = World(script, seed, Path(folder) / "out")
        with world.time_and_chance(), asyncio.Runner(loop_factory=lambda: world.loop) as runner:
            return runner.run(world.run())


@cache
def _set_aside() -> None:
    """Keep what was there before from being looked through after each run."""
    gc.collect()
    gc.freeze()


def _quick_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class World:
    """A run in its making."""

    def __init__(self, script: Script, seed: int, directory: Path) -> None:
        self.script = script
        self.network = Network(seed, KEY)
        self.loop = VirtualLoop(self.network, Random(f"{seed}|loop"))
        self._seed = seed
        self._directory = directory
        self._disk = Disk(seed)
        self._leap = 0.0
        self.broken: list[str] = []
        self.left_behind: list[str] = []
        self._stopped: list[str] = []
        self._life = 0
        self._killed = 0
        self._last_life = 0.0
        self._changed: dict[str, bytes] = {}
        self._lives: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self.loop.set_task_factory(self._task)

    def _task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **settings: Any
    ) -> asyncio.Task[Any]:
        """A task that is known by the life that began it."""
        task = asyncio.Task(coro, loop=loop, **settings)
        context = settings.get("context")
        self._lives[task] = LIFE.get() if context is None else context.get(LIFE, 0)
        return task

    @contextlib.contextmanager
    def time_and_chance(self) -> Iterator[None]:
        """The wall clock follows the loop's, and every random number the seed."""
        entropy = Random(f"{self._seed}|entropy")
        random.seed(self._seed)
        log = _Log(self.broken)
        logger = logging.getLogger()
        with (
            mock.patch.object(time, "time", self._wall),
            mock.patch.object(random, "_urandom", entropy.randbytes),
            mock.patch("uuid.uuid4", side_effect=lambda: UUID(int=entropy.getrandbits(128))),
            mock.patch.object(aiohttp.connector, "monotonic", self.loop.time),
            mock.patch.object(partfile, "os", self._disk),
            mock.patch.object(filesystem, "os", self._disk),
            mock.patch.dict(_LEDGER_SETTINGS, clock=self._wall),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", ResourceWarning)
            logger.addHandler(log)
            try:
                yield
            finally:
                logger.removeHandler(log)

    def _wall(self) -> float:
        return EPOCH + self._leap + self.loop.time()

    @contextlib.asynccontextmanager
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        """The sandbox of this run, on made-up connections."""
        self.loop.set_exception_handler(self._note_broken)
        script = self.script
        async with Sandbox(script.scenario, slots=script.slots, key=KEY, seed=self._seed) as box:
            for place, url in (
                ("api", box.url),
                ("storage", box.storage_url),
                ("mirror", box.mirror_url),
                ("foreign", box.foreign_url),
                ("hooks", HOOKS),
            ):
                self.network.places[int(url.rpartition(":")[2])] = place  # type: ignore[assignment]
            yield box

    async def run(self) -> Outcome:
        """The whole of it."""
        script = self.script
        async with self.sandbox() as box:
            self.network.arm(script.mishaps)
            self._disk.arm(script.disk)
            visit = None
            if script.visitor is not None:
                visit = self.loop.create_task(script.visitor(box, self.network))
            await self._storm(box)
            if visit is not None:
                visit.cancel()
                await asyncio.wait([visit])
                if not visit.cancelled() and visit.exception() is not None:
                    self.broken.append(f"the visitor: {visit.exception()!r}")
            touched = {**self.network.touched, "disk": self._disk.touched}
            box.scenario = script.after or calmed(script.scenario)
            self.network.arm(())
            self._disk.arm(())
            await self._calm(box)
            return self._outcome(box, touched)

    async def _storm(self, box: Sandbox) -> None:
        over = self.loop.time() + self.script.storm
        kills = list(self.script.kills)
        pause = _BETWEEN_LIVES
        while (left := over - self.loop.time()) > 0 and not self._is_over(*kills):
            kill = kills.pop(0) if kills else left
            await self._live(box, kill)
            await asyncio.sleep(min(pause, over - self.loop.time()))
            pause *= 2

    async def _calm(self, box: Sandbox) -> None:
        for _ in range(_LIVES_IN_CALM):
            self._stopped.clear()
            await self._live(box, None)
            if self._is_over():
                return
            await asyncio.sleep(_BETWEEN_LIVES)

    def _is_over(self, *kills: float) -> bool:
        """Whether nothing is left that another life could do."""
        if kills or self._life <= self.script.damages:
            return False
        if not holds_batch(self._directory):  # killed at its start, it left none
            return False
        with Reader.open(self._directory) as reader:
            left = {row.state for row in reader.each()}
            count = sum(reader.counts().values())
        return count == self.script.jobs and left <= {RowState.DONE, RowState.REJECTED}

    async def _live(self, box: Sandbox, kill_after: float | None) -> None:
        """One life of the client's process, to its own end or to its kill."""
        self._life += 1
        life = self._life
        if 1 < life <= 1 + self.script.damages:
            dice = Random(f"{self._seed}|damage|{life}")
            damage(self._directory, dice, self._changed)
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        began = self.loop.time()
        work = self._work(box)
        if life == 1 and self.script.around is not None:
            work = self.script.around(work)
        task = self.loop.create_task(work, context=context)
        timers = self._disturb()
        done, _ = await asyncio.wait([task], timeout=kill_after)
        for timer in timers:
            timer.cancel()
        if not done:
            await self._kill(life, task)
        self._last_life = self.loop.time() - began
        with contextlib.suppress(asyncio.CancelledError):
            if task.exception() is not None:
                self._stopped.append(repr(task.exception()))
        self.audit(life)
        slots._accounts.pop(self.loop, None)  # a process knows nothing of those before it

    def _disturb(self) -> list[asyncio.TimerHandle]:
        stops = [
            self.loop.call_later(after, self.loop.skip, seconds)
            for after, seconds in self.script.stops
        ]
        return stops + [
            self.loop.call_later(after, self._jump, seconds) for after, seconds in self.script.leaps
        ]

    def _jump(self, seconds: float) -> None:
        self._leap += seconds

    async def _kill(self, life: int, task: asyncio.Task[None]) -> None:
        self._killed += 1
        taken = self._directory.with_name(f"taken-{life}")
        if self._directory.exists():
            shutil.copytree(self._directory, taken, symlinks=True)
        self.network.kill(life)
        task.cancel()
        await asyncio.wait([task])
        if self.script.copied:
            shutil.rmtree(self._directory, ignore_errors=True)
            if taken.exists():
                taken.rename(self._directory)
        elif taken.exists():
            put_back(taken, self._directory)

    async def _work(self, box: Sandbox) -> None:
        """What a user's program does."""
        script = self.script
        request = MAKERS[script.family]
        requests = [request(f"{script.id} piece {number}") for number in range(script.jobs)]
        async with contextlib.AsyncExitStack() as stack:
            receiver = None
            if script.webhook:
                receiver = WebhookReceiver(SECRET, HOOKS)
                await stack.enter_async_context(receiver.serve(port=8787))
            client = await stack.enter_async_context(
                ModelsLab(
                    KEY,
                    base_url=box.url.replace("127.0.0.1", script.host),
                    max_jobs=script.max_jobs,
                    network=await _own_network(stack, script.pool),
                    webhook=receiver,
                )
            )
            outcomes = await stack.enter_async_context(
                client.batch(
                    requests,
                    directory=self._directory,
                    accept_copy=script.copied,
                    retry_missing=bool(script.damages),
                )
            )
            try:
                async for _ in outcomes:
                    pass
            except ModelsLabError as error:
                self._stopped.append(f"{type(error).__name__}: {error}")

    def audit(self, life: int) -> None:
        """What a process must not leave behind when its client is closed."""
        for task in asyncio.all_tasks():
            if self._lives.get(task) == life:
                self.left_behind.append(f"life {life}: task {task.get_coro()}")
        for connection in self.network.open_connections:
            if connection.lives[0] == life and not connection.client.is_closing():
                self.left_behind.append(f"life {life}: connection to {connection.place}")
        if threading.active_count() > 1 and any(
            thread.name.startswith("modelslab") for thread in threading.enumerate()
        ):
            self.left_behind.append(f"life {life}: a thread")

    def _note_broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.broken.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _outcome(self, box: Sandbox, touched: dict[str, int]) -> Outcome:
        gc.collect()
        outcome = Outcome(
            script=self.script,
            seed=self._seed,
            book=box.book,
            stopped=self._stopped,
            lives=self._life,
            killed=self._killed,
            last_life_seconds=self._last_life,
            seconds=self.loop.time(),
            touched={kind: times for kind, times in touched.items() if times},
            leaks=self.network.leaks | (box.book.key_seen_on() - {"api"}),
            unmatched=self.network.unmatched,
            left_behind=self.left_behind,
            broken=self.broken,
            trace=self.network.trace,
            turns=self.loop.turns,
            changed=self._changed,
        )
        with Reader.open(self._directory) as reader:
            outcome.rows = list(reader.each())
            outcome.steps = [step for row in outcome.rows for step in reader.history(row.seq)]
        outcome.files = {
            str(path.relative_to(self._directory)): path.read_bytes()
            for path in self._directory.rglob("*")
            if path.is_file()
        }
        outcome.made = {box.canonical(job_id) for job_id in outcome.book.jobs}
        outcome.right = {
            row.id: box.canonical(job.id)
            for row in outcome.in_state(RowState.DONE)
            for job in outcome.jobs_of(row)
        }
        return outcome


async def _own_network(
    stack: contextlib.AsyncExitStack, pool: int | None
) -> modelslab_async.Network | None:
    if pool is None:
        return None
    connector = aiohttp.TCPConnector(limit=pool, force_close=True)
    return modelslab_async.Network(connector=await stack.enter_async_context(connector))


class _Log(logging.Handler):
    """Keeps what must never be logged: the key, and tracebacks of ours."""

    def __init__(self, broken: list[str]) -> None:
        super().__init__(logging.INFO)
        self.broken = broken

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if KEY in text or SECRET in text or "please report" in text:
            self.broken.append(f"log: {text} {record.exc_info}")
