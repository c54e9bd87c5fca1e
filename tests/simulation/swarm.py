"""Many things at once: a script drawn by a seed, each part by dice of its own.

Dice are named, so that one more kind of trouble does not change what the others do.
"""

from __future__ import annotations

from random import Random

from attrs import evolve

from modelslab_async.sandbox import Fault, Scenario

from .disk import DiskFault
from .network import Mishap
from .world import CALM, Script

_ANSWERS = (
    "reset", "silent", "cut_headers", "cut_body", "reset_body", "stall_body", "drip", "hang_up",
    "chunked_cut", "chunked_early_end", "bad_chunk", "close_delimited", "close_delimited_cut",
    "http10", "http10_cut", "long_length", "short_length", "two_lengths", "negative_length",
    "length_and_chunked", "garbage", "long_header", "many_headers", "edge", "runtime",
    "gzip", "gzip_cut", "empty", "html", "json", "base64",
)  # fmt: skip
_FILES = ("partial_unasked", "ignores_range", "new_etag", "wrong_offset", "range_refused")
_WIRES = ("dropped", "fin", "rst", "silence", "half_closed", "slow", "sliced", "late")
_CONNECTS = ("refused", "nowhere", "no_files")
_DISK = (
    ("open", "EMFILE"), ("open", "EACCES"), ("write", "ENOSPC"), ("write", "EIO"),
    ("fsync", "EIO"), ("link", "ENOSPC"),
)  # fmt: skip
_EDGES = (502, 504, 520, 522, 524)
_RUNTIMES = (503, 500, 408)


def drawn(seed: int) -> Script:
    """The script of a seed."""
    size = Random(f"{seed}|size")
    return Script(
        id=f"swarm{seed}",
        jobs=size.choice((1, 2, 3, 3, 4, 6, 10, 20, 40)) if size.random() < 0.3 else 3,
        slots=size.choice((1, 2, 5, 10, 15)),
        max_jobs=size.choice((1, 3, 5, 15)),
        scenario=evolve(
            _habits(Random(f"{seed}|habits")), faults=_faults(Random(f"{seed}|faults"))
        ),
        mishaps=_mishaps(Random(f"{seed}|mishaps")),
        disk=_disk(Random(f"{seed}|disk")),
        kills=_kills(Random(f"{seed}|kills")),
        damages=Random(f"{seed}|damages").choice((0, 0, 0, 0, 0, 0, 0, 1, 2)),
        stops=_moments(Random(f"{seed}|stops"), 600.0),
        leaps=_moments(Random(f"{seed}|leaps"), 86_400.0, both_ways=True),
        webhook=Random(f"{seed}|webhook").random() < 0.3,
        storm=Random(f"{seed}|storm").choice((60.0, 300.0, 3600.0)),
    )


def _habits(dice: Random) -> Scenario:
    """A server that is well, and has ways of its own."""
    return evolve(
        CALM,
        generation_seconds=dice.choice(((0.0, 0.0), (1.0, 4.0), (5.0, 90.0))),
        eta=dice.choice(("int", "float", "string", "absent")),
        eta_factor=dice.choice((1.0, 1.0, 0.3, 3.0)),
        mode=dice.choice(("async", "async", "async", "sync")),
        id=dice.choice(("int", "int", "string")),
        queue_full=dice.choice(("json429", "text429", "text503", "text200")),
        retry_after=dice.choice((None, 1.0, 30.0)),
        cdn_lag_seconds=dice.choice((0.0, 0.0, 20.0)),
        not_found_polls=dice.choice((0, 0, 1)),
        flap_polls=dice.choice((0, 0, 1)),
        webhook_lost=dice.choice((0.0, 0.5)),
        webhook_duplicates=dice.choice((0, 2)),
    )


def _faults(dice: Random) -> tuple[Fault, ...]:
    return tuple(_fault(dice) for _ in range(dice.choice((0, 1, 2, 3, 5))))


def _fault(dice: Random) -> Fault:
    on = dice.choice(("submit", "submit", "fetch", "fetch", "download", "download", "assets"))
    kinds = (*_ANSWERS, *_FILES) if on == "download" else _ANSWERS
    kind = dice.choice(kinds)
    return Fault(
        on=on,  # type: ignore[arg-type]
        kind=kind,  # type: ignore[arg-type]
        times=dice.choice((1, 1, 2, 5, None)),
        skip=dice.choice((0, 0, 1, 3)),
        probability=dice.choice((1.0, 0.5, 0.2)),
        accepted=kind != "json" and dice.random() < 0.5,  # an error that lies is no fault of ours
        status=_status(kind, dice),
        at=dice.choice((None, 0.1, 0.9, 1)) if "cut" in kind or "body" in kind else None,
        seconds=0.3 if kind == "drip" else None,
    )


def _status(kind: str, dice: Random) -> int | None:
    if kind == "edge":
        return dice.choice(_EDGES)
    return dice.choice(_RUNTIMES) if kind == "runtime" else None


def _mishaps(dice: Random) -> tuple[Mishap, ...]:
    return tuple(_mishap(dice) for _ in range(dice.choice((0, 0, 1, 2, 4))))


def _mishap(dice: Random) -> Mishap:
    on = dice.choice(("api", "submit", "fetch", "storage", "mirror", "hooks"))
    early = on in ("api", "storage") and dice.random() < 0.4
    return Mishap(
        on=on,  # type: ignore[arg-type]
        kind=dice.choice(_CONNECTS if early else _WIRES),  # type: ignore[arg-type]
        up=dice.random() < 0.4,
        at=dice.choice((1, 60, 400, 2000, 30_000)),
        times=dice.choice((1, 1, 2, 5, None)),
        skip=dice.choice((0, 0, 1, 3)),
        probability=dice.choice((1.0, 0.5, 0.2)),
        seconds=dice.choice((1.0, 20.0)),
        rate=dice.choice((200.0, 5000.0, 50_000.0)),
    )


def _disk(dice: Random) -> tuple[DiskFault, ...]:
    if dice.random() < 0.7:
        return ()
    call, name = dice.choice(_DISK)
    return (
        DiskFault(
            call=call,  # type: ignore[arg-type]
            name=name,
            times=dice.choice((1, 2, None)),
            skip=dice.choice((0, 1, 2)),
            short=dice.random() < 0.5,
        ),
    )


def _kills(dice: Random) -> tuple[float, ...]:
    if dice.random() < 0.5:
        return ()
    return tuple(
        dice.choice((0.1, 1.0, 5.0, 30.0)) * dice.random() for _ in range(dice.randint(1, 4))
    )


def _moments(
    dice: Random, most: float, *, both_ways: bool = False
) -> tuple[tuple[float, float], ...]:
    if dice.random() < 0.85:
        return ()
    by = dice.uniform(-most if both_ways else 1.0, most)
    return ((dice.uniform(0.1, 20.0), by),)
