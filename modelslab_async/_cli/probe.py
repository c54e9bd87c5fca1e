"""``probe``: answer the open questions of the protocol, with the user's own account."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelslab_async import LimitReached

from .completing import directories
from .connection import Connection, recording_path
from .console import Console, confirm_payment
from .error_mapping import OK
from .help import Command
from .options import account, output_options
from .prices import Amount, check_priced, limits_of, pricing, total_text

if TYPE_CHECKING:
    from modelslab_async import Limits, Request

    from .settings import Setting

_MOST_JOBS = 3


@click.command(cls=Command)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    default="modelslab-probe",
    shell_complete=directories,
    help="Directory of the probe; the same one continues it.",
)
@click.option(
    "--max-jobs",
    "paid_jobs",
    type=click.IntRange(0, _MOST_JOBS),
    default=1,
    allow_from_autoenv=False,
    help="Jobs to pay for, in all runs: music, then sounds of version 7 and 6. 0: none.",
)
@click.option(
    "--webhook-url",
    metavar="URL",
    help="Public URL of a proxy or tunnel to --webhook-port, to see what a webhook carries.",
)
@click.option(
    "--webhook-port",
    type=click.IntRange(1, 65535),
    allow_from_autoenv=False,
    help="Port on this machine.  [default: 8787]",
)
@click.option("--sandbox", is_flag=True, help="Run against a sandbox: no key, no network, no bill.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what it would cost; send nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before paying.")
@click.option("--no-input", is_flag=True, help="Never ask; fail where a question is needed.")
@click.option("--max-cost", type=Amount(), help="Send nothing if it costs more; needs a price.")
@pricing
@output_options
@account
def probe(
    console: Console,
    settings: dict[str, Setting],
    output: str,
    paid_jobs: int,
    webhook_url: str | None,
    webhook_port: int | None,
    sandbox: bool,
    dry_run: bool,
    yes: bool,
    no_input: bool,
    max_cost: Decimal | None,
) -> int:
    """Find out how the API behaves where its documents do not say, and report it.

    \b
    Examples:
      modelslab-async probe --sandbox
      modelslab-async probe --max-jobs 0
      modelslab-async probe --max-jobs 1 --price-per-job 0.05 --max-cost 0.05

    It asks before it pays. What is paid for is continued by the same command, and never paid for
    again. The report and the recordings in DIR hold no key, prompt, link, path or amount of your
    wallet, and can go into an issue. Free questions are a wrong key and an unknown job.
    """
    from ..batch import Total

    connection = Connection(settings=settings, sandbox=sandbox)
    connection.check_sandbox()
    with ExitStack() as stack:
        directory = _directory(output, sandbox=sandbox, stack=stack)
        limits = limits_of(settings, directory / "batch", max_cost=max_cost)
        check_priced(limits)
        requests = _requests()[:paid_jobs]
        total = Total()
        for request in _unpaid(requests, directory / "batch"):
            total.add(request.estimate(), limits.price_of(request))
        _check_cost(total.price, limits)
        if dry_run:
            console.print(total_text(total, total.price))
            return OK
        connection.check()
        if total.jobs and connection.is_live and not yes:
            confirm_payment(total_text(total, total.price), "probe", no_input=no_input)
        from .probe_run import Probe

        copy = recording_path()
        run = Probe(directory, requests, limits, connection, console, agreed=total.jobs)
        return run.code(webhook_url=webhook_url, webhook_port=webhook_port, copy=copy)


def _directory(output: str, *, sandbox: bool, stack: ExitStack) -> Path:
    """Where the probe is kept; that of a sandbox ends with it, unless a place is named."""
    source = click.get_current_context().get_parameter_source("output")
    if sandbox and source is click.core.ParameterSource.DEFAULT:
        from tempfile import TemporaryDirectory

        return Path(stack.enter_context(TemporaryDirectory(prefix="modelslab-probe-")))
    return Path(output)


def _requests() -> Sequence[Request]:
    """What is asked for: the shortest that the documents allow, of three families of jobs."""
    from modelslab_async import MusicGen, SoundEffect, SoundGenerationV7

    return (
        MusicGen("calm piano, one voice", duration=30),
        SoundGenerationV7("rain on a tin roof", model_id="eleven_sound_effect"),
        SoundEffect("rain on a tin roof", duration=3),
    )


def _unpaid(requests: Sequence[Request], directory: Path) -> Sequence[Request]:
    """Those that this run would pay for: an earlier run may have sent none, or been stopped."""
    from ..batch import Reader, RowState, holds_batch

    if not holds_batch(directory):
        return requests
    with Reader.open(directory) as reader:
        unsent = (RowState.PLANNED, RowState.SKIPPED)
        sent = {row.seq for row in reader.each() if row.state not in unsent}
    return [one for seq, one in enumerate(requests, 1) if seq not in sent]


def _check_cost(cost: Decimal | None, limits: Limits) -> None:
    if limits.max_cost is not None and (cost is None or cost > limits.max_cost):
        raise LimitReached("the jobs of this probe would cost more than max_cost; nothing was sent")
