"""Make the server, and let it speak on standard input and output."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from modelslab_async import __version__

from .._engine.aio import in_thread, wait_shielded
from ..batch import Limits, amount
from ..client import ModelsLab
from ..errors import ConfigurationError
from ._gate import Allowance
from ._pages import Pages
from ._root import Root
from ._runs import Runs
from ._stdin import hangable_stdin
from ._tools import READING, WRITING, Service

_LONGEST: Final = 2000
_INSTRUCTIONS: Final = """\
Music from text, as files in batches: directories that remember what is paid for.
make_music pays, and only for tracks that its batch does not have: repeat a call that failed or was
cut off with the same batch and tracks. Never rename a batch or a track to get round a failure: that
pays again. Another version of a track is another take.
price_music is free. wait_music waits for tracks under way. Files are paths and links; their sound
is never in an answer."""


@asynccontextmanager
async def opened_server(
    client: ModelsLab,
    root: str | os.PathLike[str],
    *,
    limits: Limits | None = None,
    ask_above: Decimal | float | str | None = 0,
    grace: float = 1.0,
) -> AsyncGenerator[MCPServer[Any], None]:
    """A server whose tools make music with a client, for any transport of the SDK.

    Args:
        client: open.
        root: the directory below which everything is; it is created if it does not exist.
        limits: prices, and what all batches below the root may cost together, also over restarts.
        ask_above: what may be paid without a question, added up since a person's last yes. They
            are asked before a call that exceeds it, or whose cost is not known. ``None``: they
            never are, for an API that costs nothing, such as a sandbox.
        grace: seconds that jobs have to finish when the block is left; no new one is submitted.

    Raises:
        ConfigurationError: the root cannot be created, a cost is limited without a price, or
            ``ask_above`` is no amount.
    """
    above = _amount(ask_above)
    place = await in_thread(partial(Root.at, Path(root), limits or Limits()))
    async with Runs(client, place, grace=grace) as runs, Pages() as pages:
        yield _server_of(Service(runs, Allowance(above), pages))


class _Server(MCPServer[Service]):
    """Its refusals are as short as its answers: the SDK lists each wrong field of each track."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> Any:
        """Call a tool."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if len(str(error)) <= _LONGEST:
                raise
            raise ToolError(f"{str(error)[:_LONGEST]} ...") from None


def _server_of(service: Service) -> MCPServer[Service]:
    @asynccontextmanager
    async def lifespan(_: MCPServer[Service]) -> AsyncGenerator[Service, None]:
        yield service

    server = _Server(
        "modelslab-async",
        title="Music from text",
        instructions=_INSTRUCTIONS,
        version=__version__,
        log_level="WARNING",
        lifespan=lifespan,
    )
    for tools, hints in (READING, WRITING):
        for tool in tools:
            server.add_tool(tool, annotations=hints, structured_output=False)
    return server


async def serve(
    client: ModelsLab,
    root: str | os.PathLike[str],
    *,
    limits: Limits | None = None,
    ask_above: Decimal | float | str | None = 0,
    grace: float = 1.0,
) -> None:
    """Serve on standard input and output until the client closes them, or the caller is cancelled.

    Args:
        client: as those of `opened_server`, and so are the others.

    Raises:
        ConfigurationError: as `opened_server`.
    """
    async with opened_server(
        client, root, limits=limits, ask_above=ask_above, grace=grace
    ) as server:
        with hangable_stdin() as hang_up:
            serving = asyncio.create_task(_until_closed(server))
            try:
                await asyncio.shield(serving)
            except asyncio.CancelledError:
                hang_up()
                await wait_shielded(serving)
                raise


async def _until_closed(server: MCPServer[Any]) -> None:
    try:
        await server.run_stdio_async()
    except* (BrokenPipeError, ConnectionError):
        pass  # the client is gone, and nobody is left to be told


def _amount(ask_above: Any) -> Decimal | None:
    try:
        return None if ask_above is None else amount(ask_above)
    except ValueError as error:
        raise ConfigurationError(f"ask_above is {ask_above!r:.40}, but must be {error}") from None
