"""Jobs without a row are proposed to rows without a job, only where nothing else could be meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import MusicGen, Request, SoundGenerationV7
from modelslab_async.batch import Row, UnmatchedJob, accepted_between, propose_pairs
from modelslab_async.batch._intake import rows_of
from modelslab_async.batch._lines import BadRow
from modelslab_async.batch._rows import COLUMNS, request_text

OTHER = SoundGenerationV7("x", model_id="m").fetch


def row(seq: int, request: Request, *, sent: float = 1.0) -> Row:
    [planned] = rows_of([request])
    assert not isinstance(planned, BadRow)
    kept = planned.planned()
    about = {"seq": seq, "id": f"{seq}", "state": "ambiguous", "submitted_at": sent}
    request_ = {"request": request_text(kept), "prompt": kept.prompt}
    return Row(**{**dict.fromkeys(COLUMNS), **about, **request_})  # type: ignore[arg-type]


def waltz(seq: int, **about: Any) -> Row:
    return row(seq, MusicGen("waltz"), **about)


def job(job_id: int, prompt: str | None = "waltz", **about: Any) -> UnmatchedJob:
    return UnmatchedJob(str(job_id), None, prompt, **about)


def proposed(rows: list[Row], jobs: list[UnmatchedJob]) -> dict[int, str]:
    return {pair.row: pair.job for pair in propose_pairs(rows, jobs)}


def test_rows_of_one_prompt_get_its_jobs_in_the_order_of_sending() -> None:
    rows = [waltz(1, sent=20.0), waltz(2, sent=10.0), row(3, MusicGen("raga"))]
    jobs = [job(100), job(99), job(98, "raga"), job(97, "techno")]
    pairs = propose_pairs(rows, jobs)
    assert [(pair.row, pair.job) for pair in pairs] == [(1, "100"), (2, "99"), (3, "98")]
    assert all(pair.same_prompt for pair in pairs)


@pytest.mark.parametrize("jobs", [[], [job(1)], [job(1), job(2), job(3)]], ids=len)
def test_where_there_are_more_or_fewer_jobs_than_rows_none_is_proposed(
    jobs: list[UnmatchedJob],
) -> None:
    assert not propose_pairs([waltz(1), waltz(2)], jobs)


def test_a_job_without_a_prompt_is_proposed_by_its_order_alone() -> None:
    [pair] = propose_pairs([waltz(1)], [job(7, None)])
    assert (pair.row, pair.job, pair.same_prompt) == (1, "7", False)


def test_a_row_whose_prompt_the_api_repeats_gets_no_job_without_one() -> None:
    rows = [waltz(1), row(2, MusicGen("raga"))]
    assert proposed(rows, [job(7, None), job(8)]) == {1: "8", 2: "7"}


def test_a_job_of_another_family_is_not_proposed() -> None:
    rows = [row(1, SoundGenerationV7("waltz", model_id="m"))]
    assert not proposed(rows, [job(7)])
    assert proposed(rows, [job(7, family=OTHER)]) == {1: "7"}


@given(
    st.sets(st.integers(0, 30)).flatmap(
        lambda ids: st.tuples(st.just(ids), st.sets(st.sampled_from(sorted(ids) or [0])))
    )
)
def test_a_jobs_time_lies_between_those_of_its_neighbours(sets: tuple[set[int], set[int]]) -> None:
    ids, asked = sets
    known = ids - asked
    found = accepted_between(asked, [(one, one / 4) for one in known])
    for one in asked:
        below, above = [id_ for id_ in known if id_ < one], [id_ for id_ in known if id_ > one]
        expected = (max(below) / 4 if below else None, min(above) / 4 if above else None)
        assert found[one] == expected
