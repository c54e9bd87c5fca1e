"""How much longer all jobs take than they must: ``python -m benchmarks makespan``.

The bound is the list schedule: a place that gets free is taken at once by the next job. What a
client adds to it is lag, from a job's end to the question that hears of it, and less lag costs more
questions. 300 jobs, 50 at once, in two ways:

- *simulated*: the production decisions, over laws of how long jobs take that the policy does not
  know, and etas that are right, wrong in one way, wrong each in its own way, or absent;
- *real*: the client with default settings, and its downloads, against `benchmarks.services` with
  1.2 to 1.8 s a job. On a busy machine only its polls count.

What can be had at all: of evenly spaced questions about a normal law of spread s, the best at 3.3
questions a job leave a mean lag of 0.32 s, at 2.4 of 0.44 s (the tests of `durations` search for
better ones). With s = 20 % and an eta that says nothing, no policy comes below 1.07 at 3
questions a job. An eta that is wrong by another factor each time says nothing: such rows are those
without one. 30 to 60 s are a spread of 20 %, too, and there the policy takes 3.6 questions to come
to 1.06, and almost 1 more for the first 50 jobs, all under way before anything is known of them.
Where the spread is 50 %, or two kinds are taken for one, the step at which a question costs as much
as its lag is small, and questions are many.

"1.5 s, sigma 0.3" has jobs that are done before `PollPolicy.first`, and one second is right for the
service, which makes no track in less: where these are the first to end, what they teach makes the
next thirty late, and with a right eta 95 % of the lags are below 6 to 7 % of a job, not 5. With
``first=0.3`` it is 4.6 %, for 0.1 questions a job more. To believe the eta instead until a job
says that it is wrong repairs these rows, and doubles the lag of those whose eta is 0.3 times what
is true.
"""

from __future__ import annotations

import statistics
import tempfile

from .makespan_simulated import ETAS, LAWS, Load, Outcome, simulate
from .measuring import Figure, Goal, Result, child, quantile, serving
from .recorded import late_parts, record
from .services_jobs import Pace, list_schedule

_RATIOS = {
    "right": Goal(1.03),
    "always x 0.3": Goal(1.06),
    "always x 2": Goal(1.06),
    "none": Goal(1.10),
}
_LAWS_WITH_GOALS = ("1.2 to 1.8 s", "1.5 s, sigma 0.3", "30 to 60 s")


def run(quick: bool) -> Result:
    """Simulated, then real."""
    load, seeds = (Load(60, 20), 1) if quick else (Load(), 5)
    figures, raw = [], []
    for law in LAWS:
        for eta in ETAS:
            outcomes = [simulate(law, eta, load, seed) for seed in range(seeds)]
            figures += _simulated(law, eta, outcomes)
    for eta in ("right", "wrong", "absent"):
        runs = [real(eta, load) for _ in range(1 if quick else 3)]
        figures += _real(eta, runs)
        raw += runs
    return Result("makespan", figures, raw=raw)


def _simulated(law: str, eta: str, outcomes: list[Outcome]) -> list[Figure]:
    subject = f"{law}; eta {eta}"
    judged = law in _LAWS_WITH_GOALS
    right = judged and eta == "right"
    lags = [quantile(one.lags, 0.95) for one in outcomes]
    means = [statistics.mean(one.lags) for one in outcomes]
    ratios, polls = [one.ratio for one in outcomes], [one.polls for one in outcomes]
    return [
        Figure(subject, "makespan / bound", ratios, "", _RATIOS.get(eta) if judged else None),
        Figure(subject, "polls a job", polls, "", Goal(2.0 if right else 3.0) if judged else None),
        Figure(subject, "lag p95 / job", lags, "", Goal(0.05) if right else None),
        Figure(subject, "mean lag / job", means),
    ]


def real(eta: str, load: Load) -> dict[str, float]:
    """Makespan by the bound and polls a job of one run of the client."""
    with (
        serving("benchmarks.services", "--eta", eta) as service,
        tempfile.TemporaryDirectory() as folder,
    ):
        cost = child("benchmarks.peers.ours", service["url"], load.count, load.places, folder)
        found = record(service["url"])
    pace = Pace()
    bound = list_schedule([pace.seconds(number) for number in range(load.count)], load.places)
    return {
        "ratio": cost["wall"] / bound,
        "polls": found["requests"]["poll"] / load.count,
        "late": quantile(late_parts(found["jobs"]), 0.95),
    }


def _real(eta: str, runs: list[dict[str, float]]) -> list[Figure]:
    goal = {"right": Goal(1.03), "wrong": Goal(1.06), "absent": Goal(1.10)}[eta]
    subject = f"real; eta {eta}"
    return [
        Figure(subject, "makespan / bound", [one["ratio"] for one in runs], "", goal),
        Figure(subject, "polls a job", [one["polls"] for one in runs], "", Goal(3.0)),
        Figure(subject, "lag p95 / job", [one["late"] for one in runs]),
    ]
