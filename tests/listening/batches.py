"""Batches for the page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from modelslab_async.listening import serve
from modelslab_async.sandbox import Fault, Sandbox

from ..support.batches import quick, run
from ..support.quick import client_of

HOSTILE = [
    "</script><script>window.hit = 1</script>",
    "<!--<script>window.hit = 2</script>",
    "<img src=x onerror='window.hit = 3'>",
    "\u2028window.hit = 4\u2029\u202e\x1b[2J",
    "javascript:window.hit = 5",
    "%%script%% {{hit}} ${window.hit = 6}",
    "__proto__",
]


async def made(directory: Path, *prompts: str, refusal: str = "", **fields: Any) -> None:
    """A batch with one row per prompt; the first is refused in these words, if there are any."""
    rows = [
        {"prompt": prompt, "max_new_token": 256, "sampling_rate": 10000, **fields}
        for prompt in prompts
    ]
    body = json.dumps({"status": "error", "message": refusal})
    no = Fault(on="submit", kind="answer", accepted=False, status=400, body=body, times=1)
    async with (
        Sandbox(quick(*([no] if refusal else []))) as box,
        client_of(box, max_jobs=1) as client,  # one after the other
    ):
        await run(client, rows, directory)


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """The address of the page, and somebody who asks."""
    async with serve(directory) as page, aiohttp.ClientSession() as caller:
        yield page.url, caller
