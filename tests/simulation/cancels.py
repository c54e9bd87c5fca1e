"""Cancel every public call at every point where it waits: ``python -m tests.simulation.cancels``.

A probe drives the call by hand and cancels it after its n-th wait: through an anyio scope or by
`Task.cancel`, once or again at the next wait. Whatever is cut off, what is paid for is known to
somebody, files are whole or not there, and nothing is left running.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import sys
import tempfile
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
from attrs import define, frozen

from modelslab_async import ModelsLab, MusicGen
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Sandbox, Scenario
from modelslab_async.webhooks import Delivery, SqliteInbox, WebhookReceiver

from .network import LIFE
from .oracles import findings
from .world import CALM, HOOKS, KEY, SECRET, Outcome, Script, World, simulate

How = Literal["scope", "task", "scope then task", "task twice"]
HOWS: tuple[How, ...] = ("scope", "task", "scope then task", "task twice")
REQUEST = MusicGen("rain on a tin roof", max_new_token=256, sampling_rate=10000)

Flow: TypeAlias = Callable[[ModelsLab, Path], Coroutine[Any, Any, Coroutine[Any, Any, Any]]]
"""What is done before, and then the call that is cut."""


@define
class Probe:
    """Awaits a coroutine, and cancels when it waits for the ``at``-th time.

    Attributes:
        at: at which wait; 0: never, only count.
        waits: how often it waited.
    """

    work: Coroutine[Any, Any, Any]
    at: int
    cancel: Callable[[], object]
    again: Callable[[], object] | None = None
    waits: int = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.work.__await__()
        step: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            self._waits()
            try:
                value = yield waited_for
            except BaseException as error:  # noqa: BLE001  it is for the coroutine
                step = partial(steps.throw, error)
            else:
                step = partial(steps.send, value)

    def _waits(self) -> None:
        self.waits += 1
        loop = asyncio.get_running_loop()
        if self.at and self.waits == self.at:
            loop.call_soon(self.cancel)
        if self.at and self.waits == self.at + 1 and self.again is not None:
            loop.call_soon(self.again)


@frozen
class Cut:
    """Where and how a call is cancelled."""

    at: int
    how: How

    async def run(self, work: Coroutine[Any, Any, Any], seen: Seen) -> None:
        task = asyncio.current_task()
        assert task is not None
        with anyio.CancelScope() as scope:
            by_scope = self.how.startswith("scope")
            probe = Probe(work, self.at, scope.cancel if by_scope else task.cancel)
            if self.how in ("scope then task", "task twice"):
                probe.again = task.cancel
            try:
                await probe
            except asyncio.CancelledError as error:
                seen.error = error
                raise
            finally:
                seen.waits = probe.waits


@define
class Seen:
    """What came out of a call."""

    waits: int = 0
    error: BaseException | None = None


# --- the calls


async def submit(client: ModelsLab, folder: Path) -> Coroutine[Any, Any, Any]:
    return client.submit(REQUEST)


async def generate(client: ModelsLab, folder: Path) -> Coroutine[Any, Any, Any]:
    return client.generate(REQUEST)


async def result(client: ModelsLab, folder: Path) -> Coroutine[Any, Any, Any]:
    job = await client.submit(REQUEST)
    return job.result(60.0)


async def download(client: ModelsLab, folder: Path) -> Coroutine[Any, Any, Any]:
    return client.download(await client.generate(REQUEST), folder)


FLOWS: dict[str, Flow] = {
    "submit": submit,
    "generate": generate,
    "result": result,
    "download": download,
}
SCENARIOS = {
    "calm": CALM,
    "full queue": Scenario(fetch_meta=True, taken_slots=5, taken_seconds=3.0, retry_after=1.0),
    "finished at once": Scenario(mode="sync", fetch_meta=True, generation_seconds=1.0),
}


def cut_call(flow: str, scenario: str, cut: Cut) -> tuple[int, list[str]]:
    """Cancel one call; how often it waited, and what is wrong after it."""
    seen = Seen()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(Script(id=flow, scenario=SCENARIOS[scenario]), 0, folder)
        with world.time_and_chance(), asyncio.Runner(loop_factory=lambda: world.loop) as runner:
            found = runner.run(_main(world, FLOWS[flow], cut, seen, folder))
    return seen.waits, found


async def _main(world: World, flow: Flow, cut: Cut, seen: Seen, folder: Path) -> list[str]:
    async with world.sandbox() as box:
        context = contextvars.copy_context()
        context.run(LIFE.set, 1)
        found: list[str] = []

        async def use() -> None:
            async with ModelsLab(KEY, base_url=box.url) as client:
                call = await flow(client, folder)
                try:
                    await cut.run(call, seen)
                finally:
                    if flow in (submit, generate):  # else the caller has the job in his hands
                        found.extend(_paid_is_known(client, box, seen))

        task = world.loop.create_task(use(), context=context)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        world.audit(1)
        return [*found, *world.left_behind, *world.broken, *_files_are_whole(box, folder)]


def _paid_is_known(client: ModelsLab, box: Sandbox, seen: Seen) -> Iterator[str]:
    if seen.error is None:
        return
    told = f"{getattr(seen.error, 'job', '')} {getattr(seen.error, '__notes__', '')}"
    watched = {job.id for job in client.jobs}
    for job_id, _ in box.book.debits:
        track_id = str(box.book.jobs[job_id].track_id)
        if str(job_id) not in told and str(job_id) not in watched and track_id not in told:
            yield f"job {job_id} was paid for, and nobody knows it"
    if len(box.book.debits) > 1:
        yield "paid twice"


def _files_are_whole(box: Sandbox, folder: Path) -> Iterator[str]:
    whole = {box.canonical(job_id) for job_id in box.book.jobs}
    for path in folder.iterdir():
        if path.suffix != ".wav" or path.read_bytes() not in whole:
            yield f"{path.name} lies about"


# --- a batch, which goes on afterwards


def cut_batch(scenario: str, webhook: bool, cut: Cut) -> tuple[int, list[str]]:
    """Cancel a batch in its first life, and let it go on in others."""
    seen = Seen()
    script = Script(
        id="cancelled",
        scenario=SCENARIOS[scenario],
        webhook=webhook,
        around=lambda work: cut.run(work, seen),
    )
    outcome = simulate(script, 0)
    return seen.waits, [one for one in findings(outcome) if not _cut_off(one, outcome)]


def _cut_off(finding: str, outcome: Outcome) -> bool:
    """A submit that was cut off before it left is honestly ambiguous, or was never sent."""
    lost = outcome.in_state(RowState.AMBIGUOUS)
    return finding.startswith("I3") and not any(outcome.jobs_of(row) for row in lost)


# --- a delivery


def cut_delivery(cut: Cut) -> tuple[int, list[str]]:
    """Cancel the taking in of a webhook: the inbox holds all of it, or nothing."""
    seen = Seen()
    with tempfile.TemporaryDirectory() as name:
        world = World(Script(id="delivery"), 0, Path(name))
        with world.time_and_chance(), asyncio.Runner(loop_factory=lambda: world.loop) as runner:
            found = runner.run(_delivered(Path(name) / "inbox.sqlite3", cut, seen))
    return seen.waits, found


async def _delivered(path: Path, cut: Cut, seen: Seen) -> list[str]:
    body = b'{"status": "success", "id": 7, "track_id": "4711", "output": ["https://x.test/a.wav"]}'
    async with SqliteInbox(path) as inbox:
        receiver = WebhookReceiver(SECRET, HOOKS, inbox=inbox)
        way = receiver.url_for(4711).removeprefix(HOOKS)
        work = asyncio.ensure_future(cut.run(_deliver(receiver, way, body), seen))
        with contextlib.suppress(asyncio.CancelledError):
            await work
        kept: list[Delivery] = await inbox.take("4711")
    if seen.error is None and len(kept) != 1:
        return [f"answered, and {len(kept)} kept"]
    return [f"{len(kept)} kept of one"] if len(kept) > 1 else []


async def _deliver(receiver: WebhookReceiver, way: str, body: bytes) -> None:
    status = await receiver.deliver(way, body)
    assert status == 200, status


# --- all of them


Sweep: TypeAlias = Callable[[Cut], tuple[int, list[str]]]


def sweeps() -> dict[str, Sweep]:
    """Every call, in each of the situations that it waits in."""
    calls: dict[str, Sweep] = {
        f"{flow}, {scenario}": partial(cut_call, flow, scenario)
        for flow in FLOWS
        for scenario in SCENARIOS
    }
    batches: dict[str, Sweep] = {
        f"batch, {scenario}": partial(cut_batch, scenario, False) for scenario in SCENARIOS
    }
    told = {"batch, told by webhook": partial(cut_batch, "calm", True)}
    return {**calls, **batches, **told, "webhook": cut_delivery}


def sweep(one: Sweep) -> tuple[int, list[str]]:
    """Cut one call at each of its points in each way; how many cuts, and what was wrong."""
    waits, found = one(Cut(0, "task"))
    cuts = [Cut(at, how) for at in range(1, waits + 1) for how in HOWS]
    found = [f"uncut: {text}" for text in found]
    for cut in cuts:
        found += [f"{cut.how} at wait {cut.at}: {text}" for text in one(cut)[1]]
    return len(cuts), found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.cancels", description=__doc__)
    parser.parse_args(arguments)
    failed = 0
    for name, one in sweeps().items():
        cuts, found = sweep(one)
        failed += len(found)
        sys.stdout.write(f"{name}: {cuts} cuts, {len(found)} findings\n")
        sys.stdout.writelines(f"    {text}\n" for text in found[:10])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
