"""The pages on which the person hears batches, open as long as the server runs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from attrs import frozen

from ..listening import serve

_MOST: Final = 8


@frozen
class _Open:
    url: str
    stack: AsyncExitStack


class Pages:
    """Opens a page for each batch, on 127.0.0.1. Leaving the block closes all of them."""

    def __init__(self) -> None:
        self._open: dict[Path, _Open] = {}
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Pages:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._open:
            await self._close_oldest()

    async def url(self, folder: Path) -> str:
        """The address of the page of a batch: the same in each call while it is open.

        Raises:
            LedgerError: there is no batch, or it is too large for a page.
        """
        async with self._changing:
            if folder not in self._open:
                while len(self._open) >= _MOST:
                    await self._close_oldest()
                async with AsyncExitStack() as stack:
                    page = await stack.enter_async_context(serve(folder))
                    self._open[folder] = _Open(page.url, stack.pop_all())
            return self._open[folder].url

    async def _close_oldest(self) -> None:
        folder = next(iter(self._open))
        await self._open.pop(folder).stack.aclose()
