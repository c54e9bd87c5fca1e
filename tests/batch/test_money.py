"""What stops a batch, and that nothing is paid for twice or unasked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from modelslab_async import (
    AuthenticationError,
    BadRequest,
    InsufficientCredits,
    LedgerError,
    LimitReached,
    Limits,
    ModelsLab,
    ModelsLabError,
    MusicGen,
    NotFound,
    PermissionDenied,
    PollPolicy,
    RateLimited,
    RequestError,
    SubmitUnknown,
    TransportError,
)
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._intake import RequestLike
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._reconcile import Reconciler
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox

from ..support.batches import (
    errors,
    paid,
    pieces,
    quick,
    results,
    rows,
    run,
    run_until_stopped,
    states,
    submits,
)
from ..support.fastloop import fast
from ..support.ledgers import planned
from ..support.quick import client_of, free_port
from ..webhooks.test_jobs import told

pytestmark = pytest.mark.anyio

S = RowState


def refused(status: int, message: str, *, skip: int = 4, body: str = "") -> Fault:
    text = body or f'{{"status": "error", "message": "{message}"}}'
    return Fault(
        on="submit", kind="answer", status=status, body=text, accepted=False, skip=skip, times=None
    )


def next_process(box: Sandbox, directory: Path) -> int:
    """Run the rest on a loop of its own, which knows of no wait that this one was told."""

    async def rest() -> int:
        async with client_of(box) as client:
            return len(await run(client, pieces(30), directory))

    return asyncio.run(rest())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (refused(401, "Invalid API Key"), AuthenticationError),
        (refused(402, "Insufficient credits"), InsufficientCredits),
        (refused(403, "Your plan does not include this"), PermissionDenied),
        (
            refused(
                404, "", body='{"message": "The route api/v6/voice/music_gen could not be found."}'
            ),
            NotFound,
        ),
        (
            refused(
                429, "", body='{"status": "error", "message": "Rate limit", "retry_after": 7200}'
            ),
            RateLimited,
        ),
    ],
    ids=["401", "402", "403", "no such address", "429 beyond an hour"],
)
async def test_s18_a_refusal_of_the_account_stops_the_batch_and_loses_no_row(
    tmp_path: Path, fault: Fault, error: type[ModelsLabError]
) -> None:
    async with Sandbox(quick(fault)) as box:
        async with client_of(box, max_jobs=2) as client:
            outcomes = await run_until_stopped(client, pieces(30), tmp_path, error)
        assert (len(outcomes), errors(outcomes)) == (4, {})
        assert states(tmp_path) == {S.DONE: 4, S.PLANNED: 26}
        assert submits(box) <= 4 + 2  # those that wait for a slot do not leave any more
        box.scenario = quick()
        assert await anyio.to_thread.run_sync(next_process, box, tmp_path) == 26
        assert states(tmp_path) == {S.DONE: 30}
        assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("anyio_backend", [fast()])
async def test_s01_an_api_that_cannot_be_reached_stops_the_batch_and_loses_no_row(
    tmp_path: Path,
) -> None:
    async with ModelsLab("key", base_url=f"http://127.0.0.1:{free_port()}", max_jobs=2) as client:
        assert not await run_until_stopped(
            client, pieces(9), tmp_path, TransportError, "nothing was accepted"
        )
    assert states(tmp_path) == {S.PLANNED: 9}
    async with Sandbox(quick()) as box, client_of(box) as client:
        assert len(await run(client, None, tmp_path)) == 9


NO_PROOF: dict[str, tuple[int, str]] = {
    "internal": (200, '{"status": "error", "message": "Internal server error. Try again."}'),
    "timeout": (408, '{"status": "error", "message": "Request Timeout"}'),
    "deadlock": (400, '{"status": "failed", "message": "Deadlock found"}'),
    "unknown words": (200, '{"status": "error", "message": "words nobody has seen"}'),
    "gate": (403, "<html>Attention Required!</html>"),
    "limiter": (429, "<html>Too Many Requests</html>"),
}


@pytest.mark.parametrize(("status", "body"), NO_PROOF.values(), ids=NO_PROOF.keys())
async def test_s40_a_retry_of_what_was_rejected_pays_for_nothing_that_is_unknown(
    tmp_path: Path, status: int, body: str
) -> None:
    lost = Fault(on="submit", kind="answer", status=status, body=body)
    async with Sandbox(quick(lost, fetch_meta=False)) as box, client_of(box) as client:
        (error,) = errors(await run(client, pieces(3), tmp_path)).values()
        assert isinstance(error, SubmitUnknown)
        assert states(tmp_path) == {S.DONE: 2, S.AMBIGUOUS: 1}
        await run(client, None, tmp_path, retry=[S.REJECTED, S.FAILED])
        assert states(tmp_path) == {S.DONE: 2, S.AMBIGUOUS: 1}
        assert set(paid(box).values()) == {1}


async def test_s42_a_refusal_that_quotes_a_prompt_stops_no_other_row(tmp_path: Path) -> None:
    body = '{"status": "error", "message": "prompt \'{prompt}\' violates the content policy"}'
    bad = Fault(on="submit", kind="answer", status=400, body=body, prompt="bad", accepted=False)
    words = ["bad: recharge your wallet", "bad: spam filter", "bad: internal timeout"]
    async with Sandbox(quick(*[bad] * 3)) as box, client_of(box) as client:
        outcomes = await run(client, [*words, *pieces(5)], tmp_path)
        assert [type(error) for error in errors(outcomes).values()] == [BadRequest] * 3
        assert states(tmp_path) == {S.DONE: 5, S.REJECTED: 3}
        assert len(box.book.debits) == 5


async def test_p14_a_key_that_is_revoked_leaves_paid_jobs_to_the_next_run(tmp_path: Path) -> None:
    gone = Fault(
        on="fetch",
        kind="answer",
        status=401,
        body='{"status": "error", "message": "Invalid API Key"}',
        times=None,
    )
    async with Sandbox(quick(gone)) as box:
        async with client_of(box, max_jobs=1) as client:
            outcomes = await run_until_stopped(client, pieces(9), tmp_path, AuthenticationError)
        assert len(outcomes) == len(errors(outcomes)) == len(box.book.debits)
        assert states(tmp_path)[S.DETACHED] == len(outcomes) <= 2
        box.scenario = quick()
        async with client_of(box) as client:
            await run(client, None, tmp_path)
        assert states(tmp_path) == {S.DONE: 9}
        assert len(box.book.debits) == 9


# Limits


async def test_a_limit_of_jobs_holds_over_several_runs(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box, max_jobs=1) as client:
        for limit, made in ((5, 5), (5, 0), (7, 2)):
            outcomes = await run_until_stopped(
                client,
                pieces(9),
                tmp_path,
                LimitReached,
                f"max_jobs_total is {limit}",
                limits=Limits(max_jobs_total=limit),
            )
            assert len(outcomes) == made
        assert states(tmp_path) == {S.DONE: 7, S.PLANNED: 2}
        assert len(box.book.debits) == 7


async def test_a_limit_of_cost_counts_jobs_and_seconds(tmp_path: Path) -> None:
    limits = Limits(max_cost=1.0, price_per_job=0.1, price_per_second=0.02)  # 5.12 s each
    async with Sandbox(quick()) as box, client_of(box) as client:
        outcomes = await run_until_stopped(
            client, pieces(9), tmp_path, LimitReached, "max_cost is 1;", limits=limits
        )
        assert len(outcomes) == len(box.book.debits) == 4


async def test_a_job_that_failed_counts_when_its_row_is_made_anew(tmp_path: Path) -> None:
    limits = Limits(max_jobs_total=3)
    async with Sandbox(quick(status="error")) as box, client_of(box) as client:
        await run(client, pieces(2), tmp_path, limits=limits)
        outcomes = await run_until_stopped(
            client, None, tmp_path, LimitReached, limits=limits, retry={S.FAILED}
        )
        assert len(outcomes) == 1
        assert len(box.book.debits) == 3


async def test_a_row_that_was_refused_does_not_count(tmp_path: Path) -> None:
    bad = refused(400, "The prompt is not allowed", skip=0)
    async with Sandbox(quick(bad)) as box, client_of(box) as client:
        await run(client, pieces(2), tmp_path, limits=Limits(max_jobs_total=2))
        box.scenario = quick()
        await run(client, pieces(4), tmp_path, limits=Limits(max_jobs_total=2))
        assert states(tmp_path) == {S.REJECTED: 2, S.DONE: 2}


# Answers that were lost


async def test_a_lost_answer_is_found_in_the_same_run(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset", times=2, skip=1)
    async with Sandbox(quick(lost)) as box, client_of(box, max_jobs=1) as client:
        outcomes = await run(client, pieces(4), tmp_path)
        assert sorted(outcome.row for outcome in outcomes) == [1, 2, 3, 4]
        assert not errors(outcomes)
        assert submits(box) == len(box.book.debits) == 4
        assert [line["row"] for line in results(tmp_path)] == [1, 2, 3, 4]


async def test_a_job_that_cannot_be_told_apart_is_shown_and_not_paid_again(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset")
    async with Sandbox(quick(lost, fetch_meta=False)) as box, client_of(box) as client:
        for times in (1, 2):
            outcomes = await run(client, pieces(3), tmp_path)
            told = errors(outcomes)
            assert [type(error) for error in told.values()] == [SubmitUnknown]
            [row] = [row for row in rows(tmp_path) if row.state is S.AMBIGUOUS]
            assert told[row.seq].track_id == row.track_id
            assert len(outcomes) == (3 if times == 1 else 1)
        assert len(box.book.debits) == 3


async def test_a_lost_job_that_can_be_found_is_found_also_when_it_may_be_paid_again(
    tmp_path: Path,
) -> None:
    lost = Fault(on="submit", kind="reset", times=None)
    policy = PollPolicy(first=0.01, min_interval=0.01, rate=1000)
    async with Sandbox(quick(lost, generation_seconds=60)) as box:
        async with client_of(box, poll=policy) as client:
            assert len(errors(await run(client, pieces(2), tmp_path))) == 2
        box.advance(60)
        box.scenario = quick()
        async with client_of(box) as client:
            await run(client, None, tmp_path, retry={S.AMBIGUOUS})
        assert states(tmp_path) == {S.DONE: 2}
        assert len(box.book.debits) == 2


async def test_a_lost_job_that_cannot_be_found_is_paid_again_when_told_so(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset", accepted=False)
    async with Sandbox(quick(lost)) as box, client_of(box) as client:
        assert len(errors(await run(client, pieces(2), tmp_path))) == 1
        assert len(await run(client, None, tmp_path, retry={S.AMBIGUOUS})) == 1
        assert states(tmp_path) == {S.DONE: 2}
        assert set(paid(box).values()) == {1}


async def test_a_job_of_somebody_else_with_the_same_track_id_is_not_taken(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await client.generate(MusicGen("somebody else's", max_new_token=256, track_id=7))
        box.scenario = quick(Fault(on="submit", kind="reset", accepted=False))
        mine = MusicGen("mine", max_new_token=256, track_id=7)
        outcomes = await run(client, [mine], tmp_path)
        assert isinstance(errors(outcomes)[1], SubmitUnknown)


async def test_l16_a_lost_job_is_found_though_the_clock_was_set_back_after_it(
    tmp_path: Path,
) -> None:
    times = iter((*(100.0,) * 20, *(50.0,) * 20))
    async with Sandbox(quick()) as box, client_of(box) as client:
        lost = await client.generate(MusicGen("lost", max_new_token=256, track_id=7))
        async with Ledger(tmp_path, clock=lambda: next(times)) as ledger:
            await ledger.plan(planned(2))
            await ledger.write(changes.intent(1, 7, 1))
            await ledger.write(changes.ambiguous(1, "reset"))
            while next(times) == 100.0:
                pass
            await ledger.write(changes.intent(2, 8, 1))
            await ledger.write(changes.accepted(2, str(int(lost.id) + 1), "{}"))
            assert await Reconciler(client._session, ledger).run() == 1
            assert (await ledger.row(1)).job_id == lost.id


async def test_the_list_of_assets_is_read_to_its_end_though_it_holds_nonsense(
    tmp_path: Path,
) -> None:
    lost = Fault(on="submit", kind="reset")
    nonsense = '{"status": "success", "data": [{"id": null}, 7, {"id": "../x"}, {"id": %d}]}'
    async with Sandbox(quick(lost)) as box, client_of(box) as client:
        assert not errors(await run(client, pieces(1), tmp_path / "first"))
        [job] = box.book.jobs
        strange = Fault(on="assets", kind="answer", status=200, body=nonsense % (job + 1))
        box.scenario = quick(lost, strange)
        assert not errors(await run(client, pieces(1, start=2), tmp_path / "second"))
        assert len(box.book.debits) == 2


async def test_s10_a_lost_answer_is_found_by_its_webhook(tmp_path: Path) -> None:
    lost = Fault(on="submit", kind="reset")
    async with told(quick(lost, fetch_meta=False)) as (box, client, _):
        assert not errors(await run(client, pieces(2), tmp_path))
        assert states(tmp_path) == {S.DONE: 2}
        assert len(box.book.debits) == 2


# Requests


async def test_bad_requests_are_all_named_before_anything_is_sent(tmp_path: Path) -> None:
    requests: list[RequestLike] = [
        *pieces(600),
        {"prompt": ""},
        {"prompt": "x", "max_new_token": 1},
    ]
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(
            client, requests, tmp_path, RequestError, r"(?s)2 of 602 .*request 601.*request 602"
        )
        assert submits(box) == 0
    assert rows(tmp_path) == []


async def test_a_bad_request_without_end_in_sight_stops_the_batch_when_it_comes(
    tmp_path: Path,
) -> None:
    async def feed() -> AsyncIterator[str]:
        yield "piece 1"
        yield "piece 2"
        yield ""

    async with Sandbox(quick()) as box, client_of(box) as client:
        await run_until_stopped(client, feed(), tmp_path, RequestError, "request 3")
        assert len(box.book.debits) == states(tmp_path)[S.DONE]
        assert not errors(await run(client, None, tmp_path))
        assert states(tmp_path) == {S.DONE: 2}


async def test_changed_rows_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    def given(count: int, prompt: str) -> list[dict[str, object]]:
        return [
            {"id": str(n), "prompt": prompt if n in (2, 700) else "sitar", "max_new_token": 256}
            for n in range(1, count + 1)
        ]

    bad = refused(400, "The prompt is not allowed", skip=0)
    async with Sandbox(quick(bad)) as box, client_of(box, max_jobs=15) as client:
        await run(client, given(700, "a"), tmp_path)  # refused, and so sent
        sent = submits(box)
        await run_until_stopped(
            client,
            given(701, "b"),
            tmp_path,
            LedgerError,
            "2 rows not as planned before: 2, 700;",
        )
        assert submits(box) == sent
    assert len(rows(tmp_path)) == 700


async def test_a_clip_that_is_gone_is_told_of_its_row_alone(tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(1), tmp_path / "made")
        clip.write_bytes(next((tmp_path / "made").glob("*.wav")).read_bytes())
        with_clip = MusicGen("like this", max_new_token=256, init_audio=clip)
        requests = [with_clip, *pieces(1, start=2)]
        await run_until_stopped(
            client, requests, tmp_path / "out", LimitReached, limits=Limits(max_jobs_total=0)
        )
        clip.unlink()
        outcomes = await run(client, None, tmp_path / "out", limits=Limits(max_jobs_total=2))
        assert [type(error) for error in errors(outcomes).values()] == [RequestError]
        assert states(tmp_path / "out") == {S.PLANNED: 1, S.DONE: 1}


# Rows that are refused while others are accepted


def too_much(**fields: object) -> Fault:
    return Fault(
        on="submit",
        kind="answer",
        status=429,
        body='{"status": "error", "message": "Rate limit exceeded", "retry_after": 1}',
        accepted=False,
        times=None,
        prompt="stuck",
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("anyio_backend", [fast(20)])
@pytest.mark.parametrize("stuck", [1, 6])
async def test_m08_rows_that_are_always_refused_hold_up_no_others_and_no_run(
    tmp_path: Path, stuck: int
) -> None:
    requests = [*(f"stuck {n}" for n in range(stuck)), *(f"piece {n}" for n in range(9))]
    async with Sandbox(quick(too_much())) as box, client_of(box, max_jobs=1) as client:
        outcomes = await run(client, requests, tmp_path)
        refused = errors(outcomes)
        assert sorted(refused) == list(range(1, stuck + 1))
        assert all("other rows were accepted" in str(error) for error in refused.values())
        assert states(tmp_path) == {S.DONE: 9, S.PLANNED: stuck}
        assert len(box.book.debits) == 9
        box.scenario = quick()
        assert not errors(await run(client, None, tmp_path, limits=Limits(max_jobs_total=99)))
        assert set(paid(box).values()) == {1}


@pytest.mark.parametrize("anyio_backend", [fast(20)])
async def test_m08_a_row_that_is_refused_for_a_while_is_made_in_the_same_run(
    tmp_path: Path,
) -> None:
    fault = evolve(too_much(), times=8)
    requests = ["stuck", *(f"piece {n}" for n in range(9))]
    async with Sandbox(quick(fault)) as box, client_of(box) as client:
        assert not errors(await run(client, requests, tmp_path, limits=Limits(max_jobs_total=10)))
        assert states(tmp_path) == {S.DONE: 10}


@pytest.mark.parametrize("anyio_backend", [fast(20)])
async def test_m08_a_queue_that_is_full_for_all_is_waited_out(tmp_path: Path) -> None:
    fault = evolve(too_much(), times=40, prompt="piece")
    async with Sandbox(quick(fault)) as box, client_of(box, max_jobs=2) as client:
        assert not errors(await run(client, pieces(4), tmp_path))
