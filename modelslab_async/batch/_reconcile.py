"""Find the jobs of submits whose replies were lost, without paying for anything.

A webhook posted to the URL of an ambiguous row names its job, and a fetch confirms it. Otherwise,
the account's list of finished assets names every job: a job that no row has, and that echoes the
`track_id` of an ambiguous row, is that row's job. Nothing less is proof: an account may have other
users, and equal prompts are not the same job.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from itertools import takewhile

import anyio
from attrs import field, frozen

from .._engine.aio import in_thread, now
from .._engine.http import NoResponse, Response, read_off_loop
from .._engine.session import Session
from .._policy.error_mapping import no_response, request_refused, unexpected_reply
from .._policy.poll import describe
from .._protocol.replies import (
    Failed,
    Failure,
    Finished,
    Pending,
    Refused,
    Ticket,
    read_reply,
)
from .._protocol.urls import VOICE_FETCH
from .._protocol.urls import job_id as trusted_id
from ..errors import LedgerCopied, ModelsLabError, RequestError
from . import _transitions as changes
from ._account import check_account
from ._ledger import Ledger
from ._records import request_of
from ._rows import Row
from ._sqlite.identity import copied, track_id_of
from ._sqlite.reader import Reader
from ._states import RowState

_PATH = "/api/assets_generated"
_PER_PAGE = 100
_MAX_PAGES = 100
_MAX_UNMATCHED = 200
_SUSPECT = (
    "the files of the ledger in %s are not as the last run noted them, because it was killed or a "
    "backup was restored: looking for jobs that may be missing before paying for any"
)

_log = logging.getLogger("modelslab_async.batch")


@frozen
class UnmatchedJob:
    """A job of the account that no row has.

    Attributes:
        id: its id.
        track_id: as it was submitted; ``None`` if the API does not say.
        prompt: as it was submitted; ``None`` if the API does not say.
        family: the path below which it was fetched.
    """

    id: str
    track_id: str | None
    prompt: str | None
    family: str = field(default=VOICE_FETCH, repr=False)


class Reconciler:
    """Looks for the jobs of ambiguous rows.

    Attributes:
        unmatched: jobs that may be theirs, found by the last `run`; a person has to decide.
        adopted: numbers of the rows whose jobs were found, in that order.
        error: why the last `run` could not read the account's list; ``None`` if it could.
    """

    def __init__(self, session: Session, ledger: Ledger) -> None:
        self._session = session
        self._ledger = ledger
        self._seen: dict[tuple[str, str], UnmatchedJob] = {}
        self._has_looked = self._has_warned = False
        self.unmatched: tuple[UnmatchedJob, ...] = ()
        self.adopted: list[int] = []
        self.error: ModelsLabError | None = None

    async def check_account(self, *, same: bool = False) -> None:
        """Check that the session's account is the one that paid.

        Raises:
            WrongAccount: it is not, unless ``same`` says that it is.
        """
        await check_account(self._ledger, self._session, same=same)

    async def run(self) -> int:
        """Resolve the rows for which there is proof, and return their number.

        If the directory may be copied or restored, this also looks for jobs of planned rows:
        another copy may have submitted them, with the `track_id` that this one would send.
        """
        self.error = None
        lost = {row.track_id or "": row async for row in self._ledger.each((RowState.AMBIGUOUS,))}
        if self._ledger.in_doubt or self._ledger.is_suspect:
            async for row in self._ledger.each((RowState.PLANNED,)):
                made = track_id_of(self._ledger.name, row.id, row.payload_hash)
                track_id = row.track_id or str(made)
                lost[track_id] = row
        if lost and self._ledger.is_suspect and not (self._ledger.in_doubt or self._has_warned):
            _log.warning(_SUSPECT, self._ledger.directory)
            self._has_warned = True
        named = [name for name, row in lost.items() if await self._adopt_by_webhook(row, name)]
        for name in named:
            del lost[name]
        resolved = len(named)
        if not lost:
            self.unmatched = ()
            return resolved
        unmatched = []
        enough = _MAX_UNMATCHED + len(lost)
        rows = list(lost.values())
        families = await in_thread(lambda: frozenset(request_of(row).fetch for row in rows))
        async with aclosing(self._unmatched_jobs(families, enough)) as found:
            async for job in found:
                lost_row = lost.get(job.track_id or "")
                if lost_row is None or _contradicts(job, lost_row):
                    unmatched.append(job)
                    continue
                await self.adopt(lost_row, job.id, sent_as=job.track_id)
                resolved += 1
                del lost[job.track_id or ""]
                if not lost:
                    break
        self.unmatched = tuple(unmatched)
        return resolved

    async def settle_doubt(self, *, accept: bool) -> LedgerCopied | None:
        """After `run`: return why nothing may be submitted, or ``None``.

        Args:
            accept: pay for planned rows although the directory may be a copy.
        """
        ledger = self._ledger
        if not (ledger.in_doubt or ledger.is_suspect):
            return None
        if accept:
            await ledger.accept()
            return None
        planned = (await ledger.counts())[RowState.PLANNED]
        if not planned:
            return None
        if ledger.in_doubt or self.error is not None:
            return copied(ledger.directory, planned, self.error)
        self._has_looked = True
        if not self.unmatched:  # so no job there can belong to a row that is planned later
            await ledger.accept()
        return None

    async def trust(self) -> None:
        """Trust the ledger again, once all rows of this run were looked for and submitted."""
        if self._has_looked and self._ledger.is_suspect and not self._ledger.in_doubt:
            await self._ledger.accept()

    async def run_out(self) -> int:
        """As `run`, repeated while a lost job may not have finished yet.

        The account lists only finished jobs, so a job counts as absent after twice the longest
        time that a job took in this session.
        """
        policy = self._session.poller.policy
        typical = self._session.poller.durations.longest or policy.first
        deadline = now() + 2 * typical + 10 * policy.first
        resolved = await self.run()
        while now() < deadline and (await self._ledger.counts())[RowState.AMBIGUOUS]:
            await anyio.sleep(policy.first)
            resolved += await self.run()
        return resolved

    async def adopt(self, row: Row, job_id: str, *, sent_as: str | None = None) -> None:
        """Record that this job is the row's.

        Args:
            row: AMBIGUOUS; or planned here, and submitted by another copy of the ledger.
            job_id: of the job.
            sent_as: the job's ``track_id``, if known.
        """
        handle = self._session.job_of(request_of(row), job_id).to_json()
        found = changes.accepted(row.seq, job_id, handle)
        if row.state is RowState.PLANNED:
            await self._ledger.take_over(row, sent_as or row.track_id or "", found)
        else:
            await self._ledger.write(found)
        self.adopted.append(row.seq)
        _log.info("row %s: its job is %s", row.id, job_id, extra={"job_id": job_id})

    async def confirm(self, row: Row, job_id: str) -> None:
        """Check that the API knows a job, before a person's decision for it is recorded.

        Raises:
            RequestError: it does not.
        """
        job = self._session.job_of(request_of(row), job_id)
        await self._session.poller.poll(job)
        match job.state.result:
            case Finished() | Ticket() | Pending() | Failed(reason=Failure.FAILED):
                return
        raise RequestError(
            f"the API does not confirm job {job_id} ({describe(job.state.result)}); check the id, "
            "or try again later; no row was changed",
            field="adopt",
        )

    async def _adopt_by_webhook(self, row: Row, track_id: str) -> bool:
        """Adopt the job that a webhook of the row names, if a fetch confirms it."""
        if self._session.deliveries is None:
            return False
        for job_id in await self._session.deliveries.job_ids_for(track_id):
            request = request_of(row)
            if not await self._ledger.read(partial(_without_row, [job_id], request.fetch)):
                continue
            job = self._session.job_of(request, job_id)
            await self._session.poller.poll(job)
            reply = job.state.result
            if not isinstance(reply, Finished | Ticket | Pending):
                continue
            found = UnmatchedJob(job_id, reply.track_id, _prompt(reply.raw.get("meta")))
            if found.track_id in (None, track_id) and not _contradicts(found, row):
                await self.adopt(row, job_id, sent_as=track_id)
                return True
        return False

    async def _unmatched_jobs(
        self, families: frozenset[str], enough: int
    ) -> AsyncGenerator[UnmatchedJob, None]:
        """Jobs of the account that no row has, newest first."""
        floor = 0
        if len(families) == 1:
            # Ids increase within a family: a lost job has a higher one than those accepted before
            # it was submitted. The account's list does not name the family of an id.
            (only,) = families
            is_copy = self._ledger.in_doubt or self._ledger.is_suspect
            floor = await self._ledger.read(lambda db: db.floor(is_copy=is_copy, family=only))
        seen: set[str] = set()
        found = 0
        for page in range(1, _MAX_PAGES + 1):
            ids = [job_id for job_id in await self._page(page) if job_id not in seen]
            newer = list(takewhile(lambda one: not one.isdigit() or int(one) > floor, ids))
            if not newer:
                return
            seen.update(newer)
            # The list does not name the family of an id, so any row with this id excludes it.
            for job_id in await self._ledger.read(partial(_without_row, newer, None)):
                for family in sorted(families):
                    yield await self._look_up(job_id, family)
                found += 1
            if len(newer) < len(ids):
                return
            if found >= enough:
                _log.warning("stopped looking after %d jobs that no row has", found)
                return

    async def _page(self, page: int) -> list[str]:
        fields = {"type": "voice", "per_page": _PER_PAGE, "page": page}
        answer = await self._session.transport.post(
            _PATH, fields, timeout=self._session.poller.policy.timeout
        )
        ids = await read_off_loop(answer, partial(_asset_ids, answer))
        if not isinstance(ids, list):
            self.error = ids
            _log.warning("%s", self.error)
            return []
        return ids

    async def _look_up(self, job_id: str, family: str) -> UnmatchedJob:
        """Fetch a job that no row has; a finished one only once."""
        if (family, job_id) not in self._seen:
            answer = await self._session.transport.post(
                f"{family}/{job_id}", {}, timeout=self._session.poller.policy.timeout
            )
            reply = None
            if isinstance(answer, Response):
                reply = await read_off_loop(answer, partial(read_reply, answer.body, answer.status))
            if not isinstance(reply, Finished):
                return UnmatchedJob(job_id, None, None, family)
            self._seen[(family, job_id)] = UnmatchedJob(
                job_id, reply.track_id, _prompt(reply.raw.get("meta")), family
            )
        return self._seen[(family, job_id)]


def _asset_ids(answer: Response | NoResponse) -> list[str] | ModelsLabError:
    """The job ids on a page of the account's list, or why it cannot be read."""
    what = "the list of the account's assets"
    if not isinstance(answer, Response):
        return no_response(what, answer.reason, timed_out=answer.timed_out)
    reply = read_reply(answer.body, answer.status)
    if isinstance(reply, Finished):
        data = reply.raw.get("data")
        items = data if isinstance(data, list) else []
        ids = (trusted_id(item.get("id")) for item in items if isinstance(item, dict))
        return list(dict.fromkeys(filter(None, ids)))
    if isinstance(reply, Refused | Failed):
        return request_refused(what, reply, answer.status)
    return unexpected_reply(what, reply, answer.status)


def _without_row(job_ids: list[str], family: str | None, reader: Reader) -> list[str]:
    return [job_id for job_id in job_ids if reader.with_job_id(job_id, family) is None]


def _contradicts(job: UnmatchedJob, row: Row) -> bool:
    """Whether it is not the row's job in spite of its `track_id`, which a caller may reuse."""
    if job.family != request_of(row).fetch:
        return True
    own = "track_id" in json.loads(row.request)
    return own and job.prompt is not None and job.prompt != row.prompt


def _prompt(meta: object) -> str | None:
    if not isinstance(meta, dict):
        return None
    words = meta.get("input_text") or meta.get("prompt")
    return words if isinstance(words, str) else None
