"""Propose which jobs of the account belong to which ambiguous rows. A person decides.

Pure. A wrong pair saves another piece of music under a row's name, so this only proposes, and only
where there are as many jobs as rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from ._records import request_of

if TYPE_CHECKING:
    from ._reconcile import UnmatchedJob
    from ._rows import Row

T = TypeVar("T")


@frozen
class Pair:
    """A row, and the job that may be its own.

    Attributes:
        row: the row's number.
        job: the job's id.
        same_prompt: whether the API says that the job has the row's prompt; otherwise only the
            order of sending speaks for it.
    """

    row: int
    job: str
    same_prompt: bool


def propose_pairs(rows: Iterable[Row], jobs: Iterable[UnmatchedJob]) -> list[Pair]:
    """Pair rows with jobs of their family and prompt, in the order of sending and of the ids.

    Jobs whose prompt the API does not repeat are paired with rows for which it repeats none.
    Where there are more jobs than rows, or fewer, no pair is proposed.

    Args:
        rows: AMBIGUOUS ones.
        jobs: without a row, from `Reconciler.unmatched`.
    """
    ids: dict[tuple[str, str | None], list[str]] = {}
    for job in sorted(jobs, key=lambda job: (len(job.id), job.id)):
        ids.setdefault((job.family, job.prompt), []).append(job.id)
    sent: dict[tuple[str, str | None], list[int]] = {}
    for row in sorted(rows, key=lambda row: (row.submitted_at or row.updated_at, row.seq)):
        family = request_of(row).fetch
        prompt = row.prompt if (family, row.prompt) in ids else None
        sent.setdefault((family, prompt), []).append(row.seq)
    return sorted(
        (
            Pair(row, job, same_prompt=prompt is not None)
            for (family, prompt), group in sent.items()
            if len(group) == len(ids.get((family, prompt), ()))
            for row, job in zip(group, ids[family, prompt], strict=True)
        ),
        key=lambda pair: pair.row,
    )


def accepted_between(
    asked: Iterable[int], accepted: Iterable[tuple[int, float]]
) -> dict[int, tuple[float | None, float | None]]:
    """Between which times other jobs were accepted, as the ids of a family increase.

    Args:
        asked: ids of the other jobs.
        accepted: ids and times of known jobs, in any order, consumed one by one.

    Returns:
        For each of them the time of the known job before it, and of the one after it, if any.
    """
    ids = sorted(asked)
    newest: list[tuple[int, float] | None] = [None] * (len(ids) + 1)  # of each gap between them
    oldest = list(newest)
    for known in accepted:
        gap = bisect_left(ids, known[0])
        newest[gap] = max(newest[gap] or known, known)
        oldest[gap] = min(oldest[gap] or known, known)
    before = accumulate(newest, _latter)
    after = list(accumulate(reversed(oldest), _latter))[-2::-1]
    return {
        job: (earlier and earlier[1], later and later[1])
        for job, earlier, later in zip(ids, before, after, strict=False)
    }


def _latter(carried: T | None, own: T | None) -> T | None:
    return carried if own is None else own
