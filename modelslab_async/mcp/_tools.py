"""The tools. Each is thin: what is decided is decided by the ledger and the gate."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final, ParamSpec, TypeVar

from attrs import evolve, frozen
from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from .._engine.aio import in_thread
from .._text import decimal_text
from ..errors import ModelsLabError
from ._answers import about_batch, about_batches, about_unknown, answer
from ._check import about_files
from ._gate import (
    NOT_SENT,
    Allowance,
    Approval,
    Quote,
    Unasked,
    check_can_ask,
    quote_of,
)
from ._pages import Pages
from ._root import Root, counts_of, words_of
from ._runs import Runs
from ._tracks import MAX_TRACKS, Track

MAX_WAIT: Final = 45
"""Seconds; many clients give a call up after 60."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

Batch = Annotated[str, Field(description="Name of the batch, such as boss-fights: a directory.")]
Tracks = Annotated[list[Track], Field(min_length=1, max_length=MAX_TRACKS)]
Wait = Annotated[float, Field(ge=0, le=MAX_WAIT, description="Seconds to wait for files.")]
After = Annotated[
    int, Field(ge=0, le=10**9, description="Only tracks after the one with this `row`.")
]
AfterBatch = Annotated[str, Field(description="Only batches after this name.")]


@frozen
class Service:
    """What the tools work with.

    Attributes:
        runs: of all batches.
        allowance: what may be paid without a question.
        pages: on which the person listens.
    """

    runs: Runs
    allowance: Allowance
    pages: Pages

    @property
    def root(self) -> Root:
        """Where the batches are."""
        return self.runs.root

    async def quote(self, batch: str, tracks: list[Track]) -> Quote:
        """What a call would pay for, beside what a run under way is making already."""
        found = await in_thread(partial(quote_of, self.root, batch, tracks))
        run = self.runs.active(self.root.folder(batch))
        if run is not None and found.ids <= run.ids:
            return evolve(found, jobs=0, cost=Decimal(0), seconds=0.0)
        return found

    async def pay(self, quote: Quote, *, asked: bool) -> None:
        """Begin to make the tracks of a quote."""
        self.allowance.use(quote, asked=asked)
        try:
            await self.runs.pay(quote)
        except BaseException:
            if not asked:
                self.allowance.give_back(quote)
            raise

    async def finish(self, batch: str) -> None:
        """Begin to finish what is paid for, unless that is being done."""
        folder = self.root.folder(batch)
        counts = await in_thread(partial(counts_of, folder))
        if await in_thread(partial(self.runs.needs_work, folder, counts)):
            self.runs.finish(folder)

    async def waited(
        self, batch: str, wait: float, ctx: Context[Any, Any], only: Iterable[str] | None = None
    ) -> CallToolResult:
        """The state of a batch when it has nothing under way, or after so many seconds."""
        folder, stopped = self.root.folder(batch), ""

        async def told(done: int, rows: int) -> None:
            await ctx.report_progress(done, rows, f"{done} of {rows} files saved")

        try:
            await self.runs.wait(folder, wait, told)
        except ModelsLabError as error:
            if not await in_thread(partial(counts_of, folder)):
                raise  # nothing is planned there, and nothing sent
            stopped = words_of(error)
        is_active = self.runs.active(folder) is not None
        tell = partial(about_batch, only=only, is_active=is_active, stopped=stopped)
        return await in_thread(partial(tell, self.root, folder))


def _service(ctx: Context[Any, Any]) -> Service:
    found: Service = ctx.request_context.lifespan_context
    return found


def _told(call: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
    """Let the model read what went wrong: the SDK shows it no other error than a `ToolError`."""

    @functools.wraps(call)
    async def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await call(*args, **kwargs)
        except (ModelsLabError, OSError) as error:
            raise ToolError(words_of(error)) from None

    return wrapped


@_told
async def _quote(batch: str, tracks: list[Track], ctx: Context[Any, Any]) -> Quote:
    service = _service(ctx)
    found = await service.quote(batch, tracks)
    if found.jobs:  # nobody is asked about what would be refused
        await service.runs.check(found)
    return found


@_told
async def _approve(
    quote: Annotated[Quote, Resolve(_quote)], ctx: Context[Any, Any]
) -> Approval | Unasked | Elicit[Approval]:
    if not _service(ctx).allowance.needs_yes(quote):
        return Unasked()
    check_can_ask(ctx, quote)
    return Elicit(quote.question, Approval)


@_told
async def price_music(batch: Batch, tracks: Tracks, ctx: Context[Any, Any]) -> CallToolResult:
    """Say what make_music would pay for the same arguments, and what is left. Free."""
    service = _service(ctx)
    found = await service.quote(batch, tracks)
    data = {
        "batch": batch,
        "new_tracks": found.jobs,
        "already_in_batch": len(tracks) - found.jobs,
        "seconds": found.seconds,
        "price": None if found.cost is None else decimal_text(found.cost),
        "a_person_will_be_asked": service.allowance.needs_yes(found),
        **await in_thread(service.root.money),
    }
    return answer(data)


@_told
async def make_music(
    batch: Batch,
    tracks: Tracks,
    quote: Annotated[Quote, Resolve(_quote)],
    approval: Annotated[ElicitationResult[Approval], Resolve(_approve)],
    ctx: Context[Any, Any],
    wait: Wait = 25,
) -> CallToolResult:
    """Make tracks. PAYS for each that the batch does not have; never twice for the same take.

    The person may be asked first. It returns before all files are there: then wait_music.
    """
    match approval:
        case AcceptedElicitation(data=Unasked()):
            asked = False
        case AcceptedElicitation(data=Approval(pay=True)):
            asked = True
        case _:
            raise ToolError(
                f"the person did not agree: {NOT_SENT}. Ask what they want before you try again"
            )
    service = _service(ctx)
    if quote.jobs:
        await service.pay(quote, asked=asked)
    else:
        await service.finish(batch)
    return await service.waited(batch, wait, ctx, only=[row["id"] for row in quote.rows])


@_told
async def wait_music(batch: Batch, ctx: Context[Any, Any], wait: Wait = 40) -> CallToolResult:
    """Wait for a batch's files, at most 45 s. Free: it sends nothing that is not paid for."""
    service = _service(ctx)
    await in_thread(partial(service.root.existing, batch))
    await service.finish(batch)
    return await service.waited(batch, wait, ctx)


@_told
async def list_music(
    ctx: Context[Any, Any],
    batch: Annotated[str | None, Field(description="Only its tracks.")] = None,
    after: After = 0,
    after_batch: AfterBatch = "",
) -> CallToolResult:
    """List all batches, or the tracks of one, with their states and files. Free."""
    service = _service(ctx)
    if batch is None:
        return await in_thread(partial(about_batches, service.root, after_batch))
    folder = await in_thread(partial(service.root.existing, batch))
    is_active = service.runs.active(folder) is not None
    return await in_thread(
        partial(about_batch, service.root, folder, after=after, is_active=is_active)
    )


@_told
async def check_music(batch: Batch, ctx: Context[Any, Any]) -> CallToolResult:
    """Find files that are missing or changed, and tracks that sound wrong. Free.

    Flags: silent, dead_tail, gap, clipped, dc, short, long, same_as.
    """
    folder = await in_thread(partial(_service(ctx).root.existing, batch))
    return await in_thread(partial(about_files, folder))


@_told
async def reconcile_music(batch: Batch, ctx: Context[Any, Any]) -> CallToolResult:
    """List tracks that may be paid for although no answer came. Free; it decides nothing."""
    root = _service(ctx).root
    folder = await in_thread(partial(root.existing, batch))
    return await in_thread(partial(about_unknown, folder, root.prices))


@_told
async def listen_music(batch: Batch, ctx: Context[Any, Any]) -> CallToolResult:
    """Open a page on which the person hears a batch, and keeps or rejects its files. Free.

    Give them the address. What they decide is in the tracks of list_music.
    """
    service = _service(ctx)
    folder = await in_thread(partial(service.root.existing, batch))
    return answer(
        {
            "batch": batch,
            "url": await service.pages.url(folder),
            "note": "for the person alone, on this machine, while this server runs; the decisions "
            "are theirs: do not open it yourself",
        }
    )


READING: Final = (
    (price_music, list_music, check_music, reconcile_music),
    ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    ),
)
WRITING: Final = (
    (make_music, wait_music, listen_music),
    ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
    ),
)
