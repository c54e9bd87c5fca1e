"""Deliveries that are lost, doubled, early, late, forged and broken (W): each by its id.

Held elsewhere, for they need a kernel or a second process: W10 to W13
(`tests/webhooks/test_listener.py`), W15 (`tests/webhooks/test_inboxes.py`), W20
(`tests/cli/test_webhook.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from attrs import evolve

from modelslab_async.sandbox import Fault, Sandbox

from .expecting import done_in_the_storm, polls, wants
from .named import all_done
from .network import Mishap, Network
from .world import CALM, HOOKS, Outcome, Script, Visitor

_TOLD = evolve(CALM, generation_seconds=(5.0, 30.0))
_POLLS = 7.5
"""Fetches of such a job where it is polled as if nobody told of its end."""
_GOOD = b'{"status": "success", "id": 310815, "track_id": 4711, "output": ["https://e.test/a.wav"]}'
_FORGERIES: dict[str, tuple[str, str, bytes]] = {
    "W06": ("POST", "/v1/4711/" + "0" * 64, _GOOD),
    "W07-short": ("POST", "/v1/4711/0", _GOOD),
    "W07-letters": ("POST", "/v1/4711/%C3%A9%C3%A9", _GOOD),
    "W07-other": ("POST", "/v2/4711/" + "f" * 64, _GOOD),
    "W08-empty": ("POST", "/", b""),
    "W08-deep": ("POST", "/v1/1/" + "a" * 64, b"[" * 10_000),
    "W09-get": ("GET", "/v1/4711/" + "0" * 64, b""),
    "W09-put": ("PUT", "/", _GOOD),
    "W09-path": ("POST", "/../../etc/passwd", _GOOD),
}
_TOKENED: dict[str, bytes] = {
    "W08-text": b"not JSON",
    "W08-array": b"[1, 2]",
    "W08-nan": b'{"status": "success", "id": NaN}',
    "W08-twice": b'{"status": "success", "status": "failed", "id": 1}',
    "W08-latin": b'{"status": "\xe9"}',
    "W08-huge": b'{"status": "success", "pad": "' + b"x" * 70_000 + b'"}',
    "W17-forged": b'{"status": "failed", "message": "sorry"}',
}


async def _post(method: str, url: str, body: bytes) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.request(method, url, data=body) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0  # nobody listens: the client is between two lives


def _forger(method: str, path: str, body: bytes) -> Visitor:
    """Somebody who guesses."""

    async def visit(box: Sandbox, network: Network) -> None:
        for _ in range(20):
            await asyncio.sleep(0.5)
            status = await _post(method, HOOKS + path, body)
            if status not in (0, 400, 404, 405, 413, 415, 429):
                raise AssertionError(f"a forged request was answered {status}")

    return visit


def _holder(body: bytes) -> Visitor:
    """Somebody who has seen a URL with its token, and posts what he likes."""

    async def visit(box: Sandbox, network: Network) -> None:
        for _ in range(20):
            await asyncio.sleep(0.5)
            for url in {job.webhook for job in box.book.jobs.values() if job.webhook}:
                if await _post("POST", str(url), body) >= 500:
                    raise AssertionError("a broken delivery broke the receiver")

    return visit


def _asked(most: float) -> Callable[[Outcome], list[str]]:
    """All done, with so many fetches a job at most."""

    def check(outcome: Outcome) -> list[str]:
        asked = len(polls(outcome)) / outcome.script.jobs
        return all_done(outcome) + ([] if asked <= most else [f"{asked:.1f} fetches a job"])

    return check


def _found_by_webhook(outcome: Outcome) -> list[str]:
    """The job of a lost answer is found though the API never repeats a track_id."""
    known = {str(job.id) for job in outcome.book.jobs.values()}
    lost = [row for row in outcome.rows if row.job_id not in known]
    return all_done(outcome) + [f"row {row.seq} has job {row.job_id}" for row in lost]


def _nobody_else_asked(outcome: Outcome) -> list[str]:
    asked = outcome.book.connections["foreign"]
    return all_done(outcome) + ([f"{asked} connections to a foreign host"] if asked else [])


def _told(name: str, expects: Callable[[Outcome], list[str]], **habits: Any) -> Script:
    scenario = evolve(_TOLD, **habits)
    return Script(id=name, webhook=True, scenario=scenario, expects=expects)


SCRIPTS: tuple[Script, ...] = (
    _told("W01", _asked(_POLLS)),
    _told("W02", _asked(_POLLS), webhook_duplicates=50),
    _told("W03", _asked(_POLLS + 2.0), webhook_processing=3, webhook_duplicates=1),
    _told("W04", _asked(_POLLS), webhook_early=True),
    Script(
        id="W23-told",
        webhook=True,
        jobs=60,
        slots=5,
        scenario=_TOLD,
        expects=_asked(3.0),
        storm=900,
    ),
    Script(
        id="W23-lost",
        webhook=True,
        jobs=20,
        slots=5,
        scenario=evolve(_TOLD, webhook_lost=1.0),
        expects=wants(done_in_the_storm),
        storm=180,
    ),
    *(
        _told(
            f"W05-{kind}",
            _found_by_webhook,
            fetch_meta=False,
            faults=(Fault(on="submit", kind=kind, times=None),),
        )
        for kind in ("reset", "cut_body", "silent")
    ),
    *(
        Script(
            id=name,
            webhook=True,
            scenario=_TOLD,
            visitor=_forger(*forgery),
            expects=_asked(_POLLS),
        )
        for name, forgery in _FORGERIES.items()
    ),
    *(
        Script(id=name, webhook=True, scenario=_TOLD, visitor=_holder(body), expects=all_done)
        for name, body in _TOKENED.items()
    ),
    *(
        Script(
            id=f"W14-{kind}-{at}",
            webhook=True,
            scenario=_TOLD,
            mishaps=(Mishap(on="hooks", kind=kind, up=True, at=at, times=None),),
            expects=all_done,
        )
        for kind in ("fin", "rst", "silence", "half_closed")
        for at in (1, 150, 400)
    ),
    _told("W16", all_done, webhook_lost=1.0),
    _told(
        "W17",
        all_done,
        faults=(Fault(on="webhook", kind="patch", times=None, fields={"status": "failed"}),),
    ),
    _told(
        "W18",
        _nobody_else_asked,
        faults=(
            Fault(
                on="webhook",
                kind="patch",
                times=None,
                fields={"output": ["http://10.1.2.3/a.wav"], "fetch_result": "http://10.1.2.3/"},
            ),
        ),
    ),
    Script(id="W19", webhook=True, scenario=_TOLD, kills=(6.0, 8.0, 7.0)),
    Script(
        id="W21",
        webhook=True,
        scenario=evolve(_TOLD, webhook_delay_seconds=60.0),
        kills=(20.0, 30.0),
    ),
    Script(
        id="W22",
        webhook=True,
        scenario=_TOLD,
        leaps=((1.0, 86_400.0), (4.0, -172_800.0)),
        expects=_asked(_POLLS),
    ),
)
