"""Run the production decisions about polls in simulated time: hours of jobs take a second.

Discrete events: a place is taken, a question leaves, its answer comes. What is decided is decided
by `_policy.poll` and `_policy.durations`, as `_engine.poll.Poller` does it; nothing is measured
here.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence

from attrs import define, evolve, field, frozen

from modelslab_async._engine.poll import REPLAN_AFTER
from modelslab_async._policy.durations import DurationModel
from modelslab_async._policy.poll import (
    PollAfter,
    PollPolicy,
    PollState,
    RateLimiter,
    next_action,
    observe,
)
from modelslab_async._protocol.replies import Pending

from .services_jobs import list_schedule

KIND = "one kind"

LAWS: dict[str, Callable[[random.Random], float]] = {
    "1.2 to 1.8 s": lambda draw: draw.uniform(1.2, 1.8),
    "1.5 s, sigma 0.3": lambda draw: max(0.3, draw.gauss(1.5, 0.3)),
    "30 to 60 s": lambda draw: draw.uniform(30, 60),
    "20 s, log-normal 0.5": lambda draw: 20 * math.exp(draw.gauss(0, 0.5)),
    "10 s or 40 s": lambda draw: draw.choice([10, 40]) * math.exp(draw.gauss(0, 0.1)),
}
ETAS: dict[str, Callable[[random.Random, float], float | None]] = {
    "right": lambda _, took: took,
    "within 10 %": lambda draw, took: took * math.exp(draw.gauss(0, 0.1)),
    "always x 0.3": lambda _, took: 0.3 * took,
    "always x 2": lambda _, took: 2 * took,
    "each x 0.3 to 2": lambda draw, took: took * draw.uniform(0.3, 2),
    "none": lambda _, took: None,
}


@frozen
class Load:
    """So many jobs, so many at once, over a network with this round trip."""

    count: int = 300
    places: int = 50
    latency: float = 0.005


@frozen
class Outcome:
    """What one run came to: makespan by the bound, questions a job, each lag by its job's time."""

    ratio: float
    polls: float
    lags: Sequence[float]


@define(eq=False)
class _Job:
    took: float
    eta: float | None
    begun: float = 0.0
    state: PollState = field(factory=lambda: PollState(0.0))
    due: float = 0.0
    draw: float = 0.0
    asked_at: float | None = None


def simulate(
    law: str, eta: str, load: Load, seed: int, policy: PollPolicy | None = None
) -> Outcome:
    """One run; the same for the same arguments."""
    draw = random.Random(f"{law} {eta} {seed}")
    times = [LAWS[law](draw) for _ in range(load.count)]
    jobs = [_Job(took, ETAS[eta](draw, took)) for took in times]
    run = _Run(jobs, load, draw, policy or PollPolicy())
    end = run.wait_shielded()
    bound = list_schedule(times, load.places)
    return Outcome(end / bound, run.polls / load.count, tuple(run.lags))


class _Run:
    def __init__(
        self, jobs: list[_Job], load: Load, draw: random.Random, policy: PollPolicy
    ) -> None:
        self.polls = 0
        self.lags: list[float] = []
        self._left = iter(jobs)
        self._load = load
        self._draw = draw
        self._policy = policy
        self._rate_limiter = RateLimiter(policy.rate)
        self._durations = DurationModel(policy.first, policy.min_interval)
        self._running: set[_Job] = set()
        self._events: list[tuple[float, int, Callable[[float, _Job], None], _Job]] = []
        self._count = 0

    def wait_shielded(self) -> float:
        """Run all jobs; when the last end is known."""
        now = 0.0
        for _ in range(self._load.places):
            self._submit(now)
        while self._events:
            now, _, then, job = heapq.heappop(self._events)
            then(now, job)
        return now

    def _at(self, when: float, then: Callable[[float, _Job], None], job: _Job) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, then, job))

    def _submit(self, now: float) -> None:
        job = next(self._left, None)
        if job is None:
            return
        job.begun = now + self._load.latency / 2
        accepted = now + self._load.latency
        job.state = PollState(accepted, probe=self._durations.is_probe(KIND, job.eta))
        job.draw = self._draw.random()
        self._running.add(job)
        self._plan(job, accepted)

    def _delay(self, job: _Job, now: float) -> float:
        schedule = self._durations.schedule(KIND, job.eta, probe=job.state.probe)
        job.state = evolve(job.state, schedule=schedule)
        action = next_action(job.state, now, self._policy, job.draw)
        assert isinstance(action, PollAfter)
        return action.delay

    def _plan(self, job: _Job, now: float) -> None:
        job.due = now + self._delay(job, now)
        job.asked_at = None
        self._at(job.due, self._look, job)

    def _look(self, now: float, job: _Job) -> None:
        if now != job.due or job.asked_at is not None:
            return  # planned anew since
        if self._delay(job, now) > 1e-9:
            self._plan(job, now)
            return
        job.asked_at, self._rate_limiter = self._rate_limiter.reserve(now)
        self._at(job.asked_at + self._load.latency, self._answer, job)

    def _answer(self, now: float, job: _Job) -> None:
        assert job.asked_at is not None
        self.polls += 1
        finished = job.begun + job.took
        if job.asked_at + self._load.latency / 2 >= finished - 1e-9:
            self._finish(job, now)
            return
        job.state = observe(job.state, Pending(), now, asked_at=job.asked_at)
        job.draw = self._draw.random()
        self._plan(job, now)

    def _finish(self, job: _Job, now: float) -> None:
        assert job.asked_at is not None
        self._running.discard(job)
        self.lags.append((now - job.begun - job.took) / job.took)
        begun, unfinished = job.state.started, job.state.unfinished_at
        low = None if unfinished is None else unfinished - begun
        self._durations.observe(KIND, job.eta, low, job.asked_at - begun)
        if self._durations.by_kind[KIND].samples in REPLAN_AFTER:
            self._replan(now)
        self._submit(now)

    def _replan(self, now: float) -> None:
        for job in sorted(self._running, key=lambda job: job.due):
            late = self._policy.growth * (job.due - job.state.started)
            if job.asked_at is None and now + self._delay(job, now) < job.due - late:
                self._plan(job, now)
