"""Start servers as clients do: as processes, with the SDK's own client over their pipes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ElicitResult, ResourceLink, TextContent

from modelslab_async.sandbox import Sandbox

ROOT = Path(__file__).parents[2]


def parameters(box: Sandbox, root: Path, *options: str) -> StdioServerParameters:
    """How a client starts a server that makes music in a sandbox of the test."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "modelslab_async", "mcp", "--root", str(root), *options],
        env={"MODELSLAB_API_KEY": box.key, "MODELSLAB_BASE_URL": box.url, "PYTHONPATH": str(ROOT)},
        cwd=root.parent,
    )


@asynccontextmanager
async def connected(
    box: Sandbox, root: Path, *options: str, asked: Person | None = None, mode: str = "auto"
) -> AsyncIterator[Client]:
    """A client of a server in a process of its own."""
    server = parameters(box, root, *options)
    async with Client(server, elicitation_callback=asked, mode=mode) as client:
        yield client


class Person:
    """Answers questions, and remembers them."""

    def __init__(self, *, pays: bool = True, action: str = "accept") -> None:
        self.questions: list[str] = []
        self._pays = pays
        self._action: Any = action

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.questions.append(params.message)
        if self._action != "accept":
            return ElicitResult(action=self._action)
        return ElicitResult(action="accept", content={"pay": self._pays})


def text_of(answer: CallToolResult) -> str:
    """The text of an answer, which is never longer than the limit."""
    assert len(answer.model_dump_json(by_alias=True, exclude_none=True).encode()) <= 16 * 1024
    first = answer.content[0]
    assert isinstance(first, TextContent)
    return first.text


def told(answer: CallToolResult) -> dict[str, Any]:
    """What a tool has answered, and no error."""
    text = text_of(answer)
    assert not answer.is_error, text
    found: dict[str, Any] = json.loads(text)
    return found


def refused(answer: CallToolResult) -> str:
    """Why a tool has done nothing."""
    text = text_of(answer)
    assert answer.is_error, text
    return text


def links(answer: CallToolResult) -> list[str]:
    """The resources to which an answer links."""
    return [one.uri for one in answer.content if isinstance(one, ResourceLink)]


def tracks(*prompts: str, **fields: Any) -> list[dict[str, Any]]:
    """The argument of that name."""
    return [{"prompt": prompt, **fields} for prompt in prompts]


def environment(**more: str) -> dict[str, str]:
    """For processes that the SDK does not start."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def numbered(count: int) -> Sequence[str]:
    """Prompts that differ."""
    return [f"waltz number {number}" for number in range(1, count + 1)]
