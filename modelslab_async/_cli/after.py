"""``--exec`` and ``--play``: run a program for each file once it is saved.

A program gets its arguments as they are, without a shell. One runs at a time, beside the downloads;
whatever becomes of it, the file stays.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from modelslab_async._engine.aio import wait_shielded

from .._text import plural
from .console import Console, operand
from .error_mapping import OK, OTHER
from .players import PATH
from .streams import write


class AfterSaved:
    """Runs programs for saved files, inside an ``async with`` block that waits for them.

    Args:
        programs: their words; ``{path}`` stands for the file.
        console: where their output goes, and their failures.

    Attributes:
        failed: how many have failed.
    """

    def __init__(self, programs: Sequence[tuple[str, ...]], console: Console) -> None:
        self._programs = programs
        self._console = console
        self._waiting: list[Path] = []
        self.failed = 0

    @property
    def exit_code(self) -> int:
        """Of a run in which nothing else has failed."""
        return OTHER if self.failed else OK

    async def __aenter__(self) -> Self:
        self._send, self._receive = anyio.create_memory_object_stream[Path](float("inf"))
        # No task group: it would wrap errors of the block, which callers tell apart.
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._send.close()
        if kind is not None:
            self._scope.cancel()
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._scope.cancel()
            await wait_shielded(self._task)
            raise
        finally:
            if self._waiting:
                files = plural(len(self._waiting), "file")
                self._console.warn(f"stopped before the programs for {files} had ended")

    def saved(self, path: Path) -> None:
        """The programs are to run for this file, after those for earlier ones."""
        if self._programs:
            self._waiting.append(path)
            self._send.send_nowait(path)

    async def _work(self) -> None:
        with self._scope, self._receive:
            async for path in self._receive:
                for words in self._programs:
                    await self._run([word.replace(PATH, operand(path)) for word in words], path)
                self._waiting.remove(path)

    async def _run(self, words: Sequence[str], path: Path) -> None:
        try:
            done = await anyio.run_process(
                words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False
            )
        except (OSError, RuntimeError) as error:  # gone meanwhile; no thread for it
            self._fail(words, path, f"cannot be run: {error}")
            return
        write(sys.stderr, done.stdout)
        if done.returncode > 0:
            self._fail(words, path, f"failed with exit code {done.returncode}")
        elif done.returncode < 0:
            self._fail(words, path, f"was stopped by signal {-done.returncode}")

    def _fail(self, words: Sequence[str], path: Path, what: str) -> None:
        self.failed += 1
        self._console.warn(f"{words[0]} {what}; the file is complete: {path}")
