"""Find out what became of submits whose answers were lost, without paying for anything.

A webhook that was posted to the URL of an ambiguous row names its job, and a fetch confirms that.
For the rest, the account's own list of finished assets names every job; a job that no row of the
ledger knows, and that echoes the `track_id` of an ambiguous row, is that row's job. Nothing less is
proof: an account may have other users, and equal prompts are not the same job.
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
    Reply,
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
_MAX_STRANGERS = 200
_SUSPECT = (
    "the files of the ledger in %s were changed between two runs, as by a backup that is put back: "
    "jobs that it may have forgotten are looked for before anything is paid for"
)

_log = logging.getLogger("modelslab_async.batch")


@frozen
class UnmatchedJob:
    """A job of the account that no row knows, and that does not say whose it is.

    Attributes:
        id: its id.
        track_id: as it was sent, if the API says so.
        prompt: the same.
        family: of the path that it was asked about under.
    """

    id: str
    track_id: str | None
    prompt: str | None
    family: str = field(default=VOICE_FETCH, repr=False)


class Reconciler:
    """Looks for the jobs of ambiguous rows.

    Attributes:
        unmatched: jobs that might be theirs, found by the last `run`: for a person to judge.
        adopted: numbers of the rows whose jobs were found, in that order.
        trouble: why the account's list could not be had in the last `run`, if so.
    """

    def __init__(self, session: Session, ledger: Ledger) -> None:
        self._session = session
        self._ledger = ledger
        self._seen: dict[tuple[str, str], UnmatchedJob] = {}
        self._has_looked = False
        self.unmatched: tuple[UnmatchedJob, ...] = ()
        self.adopted: list[int] = []
        self.trouble: ModelsLabError | None = None

    async def check_account(self, *, same: bool = False) -> None:
        """See that the list that will be asked for is that of the account that paid.

        Raises:
            WrongAccount: it is another's, and ``same`` does not say otherwise.
        """
        await check_account(self._ledger, self._session, same=same)

    async def run(self) -> int:
        """Resolve what can be proved, and say how many rows that was.

        In a directory that is copied or restored, or may be, the jobs of planned rows are looked
        for as well: another copy may have sent them, with the `track_id` that this one would send.
        """
        self.trouble = None
        lost = {row.track_id or "": row async for row in self._ledger.each((RowState.AMBIGUOUS,))}
        if self._ledger.in_doubt or self._ledger.is_suspect:
            async for row in self._ledger.each((RowState.PLANNED,)):
                made = track_id_of(self._ledger.name, row.id, row.payload_hash)
                track_id = row.track_id or str(made)
                lost[track_id] = row
        if lost and self._ledger.is_suspect and not (self._ledger.in_doubt or self._has_looked):
            _log.warning(_SUSPECT, self._ledger.directory)
        told = [name for name, one in lost.items() if await self._told(one, name)]
        for name in told:
            del lost[name]
        resolved = len(told)
        if not lost:
            self.unmatched = ()
            return resolved
        unmatched = []
        enough = _MAX_STRANGERS + len(lost)
        families = await in_thread(partial(_families, list(lost.values())))
        async with aclosing(self._strangers(families, enough)) as found:
            async for stranger in found:
                lost_row = lost.get(stranger.track_id or "")
                if lost_row is None or _contradicts(stranger, lost_row):
                    unmatched.append(stranger)
                    continue
                await self.adopt(lost_row, stranger.id, sent_as=stranger.track_id)
                resolved += 1
                del lost[stranger.track_id or ""]
                if not lost:
                    break
        self.unmatched = tuple(unmatched)
        return resolved

    async def settle_doubt(self, *, accept: bool) -> LedgerCopied | None:
        """After `run`: why nothing may be sent. Only what the list has proved goes on in a copy.

        Args:
            accept: the caller says that planned rows are to be paid for all the same.
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
        if ledger.in_doubt or self.trouble is not None:
            return copied(ledger.directory, planned, self.trouble)
        self._has_looked = True
        if not self.unmatched:  # no row that is still to be planned can have a job there
            await ledger.accept()
        return None

    async def trust(self) -> None:
        """All rows of this run were looked for, and are sent: the next run need not ask again."""
        if self._has_looked and self._ledger.is_suspect and not self._ledger.in_doubt:
            await self._ledger.accept()

    async def run_out(self) -> int:
        """As `run`, again and again while a job that was lost may not have finished yet.

        The account lists finished jobs only, so a job counts as absent when twice the time has
        passed that jobs took in this session.
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
        """This job is this row's, it has been found.

        Args:
            row: AMBIGUOUS; or planned here, and sent by another copy of the ledger.
            job_id: of the job.
            sent_as: the job's ``track_id``, if it is known.
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
        """See that the API knows a job of a row, before a person's word for it is believed.

        Raises:
            RequestError: it says nothing of such a job.
        """
        job = self._session.job_of(request_of(row), job_id)
        await self._session.poller.poll(job)
        match job.state.result:
            case Finished() | Ticket() | Pending() | Failed(reason=Failure.FAILED):
                return
        raise RequestError(
            f"the API does not confirm job {job_id} ({describe(job.state.result)}); look at the "
            "id, or try again later; no row was given it",
            field="adopt",
        )

    async def _told(self, row: Row, track_id: str) -> bool:
        """Adopt the job that a webhook of the row names, if a fetch confirms it."""
        if self._session.deliveries is None:
            return False
        for job_id in await self._session.deliveries.job_ids_for(track_id):
            family = request_of(row).fetch
            if await self._ledger.read(partial(_unknown, [job_id], family)):
                stranger = await self._confirmed(row, job_id)
                if stranger is not None and not _is_of_another(stranger, row, track_id):
                    await self.adopt(row, job_id, sent_as=track_id)
                    return True
        return False

    async def _confirmed(self, row: Row, job_id: str) -> UnmatchedJob | None:
        """What the API says of a job that a webhook has named; ``None``: nothing good."""
        job = self._session.job_of(request_of(row), job_id)
        await self._session.poller.poll(job)
        news = job.state.result
        if not isinstance(news, Finished | Ticket | Pending):
            return None
        return UnmatchedJob(job_id, news.track_id, _prompt(news.raw.get("meta")))

    async def _floor(self, families: frozenset[str]) -> int:
        """Ids count upwards: a job lost now has a higher one than jobs accepted before it left.

        Each family counts by itself, and the account's list does not say which an id is of.
        """
        if len(families) != 1:
            return 0
        (family,) = families
        is_copy = self._ledger.in_doubt or self._ledger.is_suspect
        return await self._ledger.read(lambda reader: reader.floor(is_copy=is_copy, family=family))

    async def _strangers(
        self, families: frozenset[str], enough: int
    ) -> AsyncGenerator[UnmatchedJob, None]:
        """Jobs of the account that no row knows, newest first."""
        floor = await self._floor(families)
        seen: set[str] = set()
        found = 0
        for page in range(1, _MAX_PAGES + 1):
            ids = [job_id for job_id in await self._page(page) if job_id not in seen]
            newer = list(takewhile(lambda job_id: _is_above(floor, job_id), ids))
            if not newer:
                return
            seen.update(newer)
            # The list does not say which family an id is of: one that any row has is left out.
            for job_id in await self._ledger.read(partial(_unknown, newer, None)):
                for family in sorted(families):
                    yield await self._asked(job_id, family)
                found += 1
            if len(newer) < len(ids):
                return
            if found >= enough:
                _log.warning("no further than %d jobs that no row knows was looked for", found)
                return

    async def _page(self, page: int) -> list[str]:
        fields = {"type": "voice", "per_page": _PER_PAGE, "page": page}
        answer = await self._session.transport.post(
            _PATH, fields, timeout=self._session.poller.policy.timeout
        )
        ids = await read_off_loop(answer, partial(_listed, answer))
        if not isinstance(ids, list):
            self.trouble = ids
            _log.warning("%s", self.trouble)
            return []
        return ids

    async def _asked(self, job_id: str, family: str) -> UnmatchedJob:
        """What the API says of a job that we do not know; asked once in the life of this object."""
        if (family, job_id) not in self._seen:
            answer = await self._session.transport.post(
                f"{family}/{job_id}", {}, timeout=self._session.poller.policy.timeout
            )
            reply = await read_off_loop(answer, partial(_read, answer))
            if not isinstance(reply, Finished):
                return UnmatchedJob(job_id, None, None, family)
            self._seen[(family, job_id)] = UnmatchedJob(
                job_id, reply.track_id, _prompt(reply.raw.get("meta")), family
            )
        return self._seen[(family, job_id)]


def _read(answer: Response | NoResponse) -> Reply | None:
    return read_reply(answer.body, answer.status) if isinstance(answer, Response) else None


def _listed(answer: Response | NoResponse) -> list[str] | ModelsLabError:
    """The ids on a page of the account's list, or why there are none."""
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


def _unknown(job_ids: list[str], family: str | None, reader: Reader) -> list[str]:
    """Those that no row has; asked together, as each question is a trip to the ledger's thread."""
    return [job_id for job_id in job_ids if reader.with_job_id(job_id, family) is None]


def _families(rows: list[Row]) -> frozenset[str]:
    """Where the jobs of these rows are asked about."""
    return frozenset(request_of(row).fetch for row in rows)


def _is_above(floor: int, job_id: str) -> bool:
    return not job_id.isdigit() or int(job_id) > floor


def _is_of_another(stranger: UnmatchedJob, row: Row, track_id: str) -> bool:
    return stranger.track_id not in (None, track_id) or _contradicts(stranger, row)


def _contradicts(stranger: UnmatchedJob, row: Row) -> bool:
    """A `track_id` of the caller's own may have been used before, for something else."""
    if stranger.family != request_of(row).fetch:
        return True
    own = "track_id" in json.loads(row.request)
    return own and stranger.prompt is not None and stranger.prompt != row.prompt


def _prompt(meta: object) -> str | None:
    if not isinstance(meta, dict):
        return None
    words = meta.get("input_text") or meta.get("prompt")
    return words if isinstance(words, str) else None
