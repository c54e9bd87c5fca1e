"""Say where the page of a batch is, open it in a browser, and serve it beside a run."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .console import INVOCATION, Console

if TYPE_CHECKING:
    from ..listening import Page


@asynccontextmanager
async def beside(place: Path, console: Console) -> AsyncIterator[None]:
    """The page of a batch while it runs. The run does not depend on it: a problem is a warning."""
    from modelslab_async import ModelsLabError

    from ..listening import serve

    async with AsyncExitStack() as stack:
        try:
            page = await stack.enter_async_context(serve(place, program=INVOCATION))
        except ModelsLabError as error:
            console.warn(f"there is no page: {error}")
        else:
            _tell_beside(page, console)
        yield


def _tell_beside(page: Page, console: Console) -> None:
    if console.json:
        console.print_json({"schema_version": 1, "event": "listening", "url": page.url})
    else:
        console.always(f"listen at {page.url}")
    _open(page)


def tell(page: Page, console: Console, *, opens: bool) -> None:
    """Print the address of a page, and open it in a browser if there is one to show it."""
    if console.json:
        console.print_json({"schema_version": 1, "event": "listening", "url": page.url})
    else:
        console.print(page.url)
    if opens:
        _open(page)
    if _is_far():
        port = page.url.split(":")[2].partition("/")[0]
        console.info(f"from your own machine, first: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE")
    console.info("Ctrl-C ends it")


def _open(page: Page) -> None:
    """Open a page, if there is a browser that can show it."""
    if not _is_far() and _has_browser():
        import webbrowser

        webbrowser.open(page.once)


def _is_far() -> bool:
    return bool(os.environ.get("SSH_CONNECTION"))


def _has_browser() -> bool:
    """Whether a browser with windows can be started; one in the terminal would take that over."""
    if sys.platform == "darwin":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
