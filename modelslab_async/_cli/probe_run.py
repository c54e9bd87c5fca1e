"""Run a probe: free questions, the paid jobs through a ledger, and the report."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict, evolve

from modelslab_async import Failed, ModelsLabError, RowState, __version__

from .._text import safe_text
from ..batch import Reader, holds_batch
from .connection import Connection, opened, record_to
from .console import Console, command_line
from .error_mapping import OK, SOME_FAILED, explain, meaning_of
from .probe_findings import Finding, findings
from .signals import run
from .webhook_listener import PORT, receiving

if TYPE_CHECKING:
    from modelslab_async import Limits, ModelsLab, Request

_UNPAID = frozenset({RowState.PLANNED, RowState.SKIPPED, RowState.REJECTED})
_NO_JOB = "999999999999999"
_NO_KEY = "modelslab-async-probe-of-a-wrong-key"


class Probe:
    """One run of a probe.

    Args:
        directory: holds the ledger and the recordings of all its runs.
        requests: what to pay for, if it is not paid for yet.
        limits: what may be paid.
        connection: to what.
        console: where to report.
        agreed: how many of the requests may be paid for now.
    """

    def __init__(
        self,
        directory: Path,
        requests: Sequence[Request],
        limits: Limits,
        connection: Connection,
        console: Console,
        *,
        agreed: int,
    ) -> None:
        self._agreed = agreed
        self._directory = directory
        self._batch = directory / "batch"
        self._requests = requests
        self._limits = evolve(limits, max_jobs_total=len(requests))
        self._connection = connection
        self._console = console
        self._spent: float | None = None
        self._stopped: ModelsLabError | None = None

    def code(self, *, webhook_url: str | None, webhook_port: int | None, copy: Path | None) -> int:
        """Run, report, and return the exit code.

        Args:
            webhook_url: where webhooks arrive, if any can.
            webhook_port: to listen on.
            copy: a new file for the recording of this run, besides the one in the directory.
        """
        if copy is not None and copy.exists():
            raise click.UsageError(f"{copy} exists already; name a new file for --record")
        try:
            self._batch.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"{self._directory} cannot be used: {error.strerror}") from None
        place, wrong_key = self._new_recording(""), self._new_recording("-key")
        self._console.info(f"asking {self._connection.origin}; recording to {place}")
        try:
            signalled = run(self._work(place, wrong_key, webhook_url, webhook_port or PORT))
        finally:
            if copy is not None and place.exists():
                _copy(place, copy)
        self._report()
        if signalled:
            self._console.always(f"stopped; continue with: {self._again}")
            return signalled
        return self._end()

    async def _work(self, place: Path, wrong_key: Path, url: str | None, port: int) -> int:
        if not self._connection.sandbox:  # a sandbox of the run knows its own key alone
            await self._ask_with_wrong_key(wrong_key)
        receiver = nullcontext() if url is None else receiving(self._batch, url, port)
        record_to(place)
        try:
            async with receiver as webhook, opened(self._connection, webhook) as client:
                before = await _balance(client)
                with suppress(ModelsLabError):
                    await client.job(_NO_JOB).refresh()
                await self._pay(client)
                await self._look_again(client)
                after = await _balance(client)
                if before is not None and after is not None and self._agreed:
                    self._spent = before - after
        except ModelsLabError as error:
            self._stopped = error
        return OK

    async def _ask_with_wrong_key(self, place: Path) -> None:
        settings = dict(self._connection.settings)
        settings["api_key"] = evolve(settings["api_key"], value=_NO_KEY)
        record_to(place)
        with suppress(ModelsLabError):
            async with opened(evolve(self._connection, settings=settings)) as client:
                await client.job(_NO_JOB).refresh()

    async def _pay(self, client: ModelsLab) -> None:
        """Make the jobs in a batch: each is paid for once, in however many runs."""
        if not self._requests:
            return
        async with client.batch(
            self._requests,
            directory=self._batch,
            limits=self._limits,
            max_new_jobs=self._agreed,
            same_account=self._connection.sandbox,
        ) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, Failed):
                    self._console.warn(f"job {outcome.row}: {safe_text(outcome.error)}")

    async def _look_again(self, client: ModelsLab) -> None:
        """Ask once more about what is finished, and whether its files could be resumed."""
        for row in self._rows():
            if row.state is RowState.DONE and row.handle:
                with suppress(ModelsLabError):
                    job = client.job(row.handle)
                    await job.refresh()
                    for file in (await job.result()).files:
                        await client.is_resumable(file)

    def _rows(self) -> list[Any]:
        if not holds_batch(self._batch):
            return []
        with Reader.open(self._batch) as reader:
            return list(reader.each())

    def _new_recording(self, kind: str) -> Path:
        number = 1
        while (path := self._directory / f"exchanges-{number}{kind}.jsonl").exists():
            number += 1
        return path

    @property
    def _again(self) -> str:
        words = ["probe", "-o", str(self._directory), "--max-jobs", str(len(self._requests))]
        return command_line(*words, *self._connection.account_arguments)

    def _report(self) -> None:
        """Print what all runs of this probe have found."""
        places = sorted(self._directory.glob("exchanges-*.jsonl"))
        found = findings([_lines(place) for place in places], spent=self._spent)
        paid = sum(row.state not in _UNPAID for row in self._rows())
        if self._console.json:
            self._console.print_json(
                {
                    "schema_version": 1,
                    "version": __version__,
                    "jobs": paid,
                    "findings": [asdict(one) for one in found],
                    "recordings": [place.name for place in places],
                }
            )
            return
        self._console.print(f"modelslab-async {__version__}, jobs paid for: {paid}")
        for one in found:
            for line in _shown(one):
                self._console.print(line)

    def _end(self) -> int:
        if self._stopped is not None:
            explain(self._console, self._stopped)
            return meaning_of(self._stopped).exit_code
        rows = self._rows()
        if all(row.state is RowState.DONE for row in rows):
            return OK
        if any(row.state is RowState.AMBIGUOUS for row in rows):
            told = command_line("reconcile", str(self._batch))
            self._console.warn(f"a job may exist and be paid for; it is not sent again: see {told}")
        return SOME_FAILED


async def _balance(client: ModelsLab) -> float | None:
    try:
        return (await client.balance()).amount
    except ModelsLabError:
        return None


def _lines(path: Path) -> list[dict[str, Any]]:
    """The exchanges in a recording; the last line of a killed run may be half a one."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            lines.append(json.loads(text))
    return [line for line in lines if isinstance(line, dict) and "where" in line]


def _shown(one: Finding) -> list[str]:
    return [
        "",
        one.question,
        f"  assumed:  {one.assumption}",
        f"  {one.verdict}: {safe_text(one.observed, 1_000)}",
    ]


def _copy(place: Path, copy: Path) -> None:
    """Copy a recording to a new file that only its owner can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(copy, flags, 0o600), "wb") as file:
            file.write(place.read_bytes())
    except OSError as error:
        raise click.ClickException(
            f"{copy} cannot be written ({error.strerror}); the recording is in {place}"
        ) from None
