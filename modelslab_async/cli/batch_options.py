"""Decide how a batch is run: the options that ``batch`` and ``resume`` share, as one value."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import field, frozen

from .connection import Connection
from .options import Command
from .receiving import PORT
from .voice import PROGRAM

if TYPE_CHECKING:
    from modelslab_async import Limits, RowState

    from .settings import Setting

_PRICES = (
    click.option(
        "--price-per-job",
        type=click.FloatRange(min=0),
        allow_from_autoenv=False,
        help="What you pay for a job, in your currency.  [default: async.price_per_job]",
    ),
    click.option(
        "--price-per-second",
        type=click.FloatRange(min=0),
        allow_from_autoenv=False,
        help="What you pay for a second of music.  [default: async.price_per_second]",
    ),
)
_HOW = (
    click.option("--template", help="Name of a file.  [default: {seq:05d}-{slug}]"),
    click.option(
        "--max-jobs-total",
        type=click.IntRange(min=0),
        help="Jobs that may be paid for in this directory, over all runs.",
    ),
    click.option(
        "--max-cost",
        type=click.FloatRange(min=0),
        help="What may be paid in this directory, over all runs; wants a price.",
    ),
    *_PRICES,
    click.option(
        "--retry",
        multiple=True,
        type=click.Choice(["rejected", "failed", "output_lost"]),
        help="Make rows anew that ended so, each as a new job that is paid for; "
        "for output_lost look for the files again, free.",
    ),
    click.option(
        "--webhook-url",
        metavar="URL",
        help="Where webhooks reach this run from outside; results are then told, not polled for.",
    ),
    click.option(
        "--webhook-port",
        type=click.IntRange(1, 65535),
        help=f"Port of 127.0.0.1 for them; a proxy or tunnel leads there.  [default: {PORT}]",
    ),
    click.option("--sandbox", is_flag=True, help="Run against a sandbox: no key, no bill."),
    click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; open no socket."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask before paying for several jobs."),
    click.option("--no-input", is_flag=True, help="Never ask; fail where one would have to."),
)
_NAMES = (
    *("template", "max_jobs_total", "max_cost", "retry", "webhook_url", "webhook_port"),
    *("dry_run", "yes", "no_input"),
)
# What a later run must be told again, so that it does as this one would have done.
_SETTINGS = ("max_jobs", "timeout", "price_per_job", "price_per_second")
_KEPT = ("template", "max_jobs_total", "max_cost", "webhook_url", "webhook_port")


@frozen(kw_only=True)
class How:
    """How a batch is run.

    Attributes:
        connection: to what.
        template: how files are named; ``None``: as usual.
        max_jobs_total: jobs that may be paid for in the directory; ``None``: no limit.
        max_cost: what may be paid there; ``None``: no limit.
        retry: states of rows that are tried again.
        webhook_url: where webhooks reach this run; ``None``: results are polled for.
        webhook_port: where it listens for them; ``None``: where as usual.
        dry_run: nothing is sent or written.
        yes: several jobs are paid for without a question.
        no_input: nothing is ever asked.
    """

    connection: Connection
    template: str | None
    max_jobs_total: int | None
    max_cost: float | None
    retry: tuple[str, ...] = field(converter=tuple)
    webhook_url: str | None
    webhook_port: int | None
    dry_run: bool
    yes: bool
    no_input: bool

    @property
    def limits(self) -> Limits:
        """What may be paid for, at the user's own prices."""
        return limits_of(
            self.connection.settings, max_jobs_total=self.max_jobs_total, max_cost=self.max_cost
        )

    @property
    def capped(self) -> bool:
        """Whether there is a limit."""
        return self.max_jobs_total is not None or self.max_cost is not None

    @property
    def retried(self) -> frozenset[RowState]:
        """States of rows that are made anew."""
        from modelslab_async import RowState

        return frozenset(map(RowState, self.retry))

    def check(self) -> None:
        """Fail on settings that cannot be used, before anything is done with them.

        Raises:
            click.UsageError, ConfigurationError: what is wrong.
        """
        from ..batch.naming import check_template

        if self.template is not None:
            check_template(self.template)
        self._check_webhook()
        if self.connection.sandbox and self.connection.arguments:
            raise click.UsageError("--sandbox and --base-url exclude each other")
        if self.max_cost is not None and not self.limits.priced:
            raise click.UsageError("--max-cost needs --price-per-job or --price-per-second")

    def _check_webhook(self) -> None:
        from ..webhooks.core import checked_url

        if self.webhook_url is not None:
            checked_url(self.webhook_url)
        elif self.webhook_port is not None:
            raise click.UsageError("--webhook-port needs --webhook-url")

    def again(self, directory: Path) -> str:
        """The command that goes on with a directory as this run would have done."""
        settings = self.connection.settings
        given = {name: getattr(self, name) for name in _KEPT} | {
            name: settings[name].value for name in _SETTINGS if settings[name].origin == "flag"
        }
        flags = [
            word
            for name, value in given.items()
            if value is not None
            for word in (f"--{name.replace('_', '-')}", f"{value}")
        ]
        sandbox = ["--sandbox"] if self.connection.sandbox else []
        command = [PROGRAM, "resume", str(directory), *flags, *sandbox, *self.connection.arguments]
        return shlex.join(command)


def limits_of(
    settings: Mapping[str, Setting],
    *,
    max_jobs_total: int | None = None,
    max_cost: float | None = None,
) -> Limits:
    """These limits, at the user's own prices.

    Raises:
        ConfigurationError: a price is below zero.
    """
    from modelslab_async import Limits

    return Limits(
        max_jobs_total=max_jobs_total,
        max_cost=max_cost,
        price_per_job=settings["price_per_job"].value or 0.0,
        price_per_second=settings["price_per_second"].value or 0.0,
    )


def pricing(command: Command) -> Command:
    """Options about what a job costs; they go to ``settings``."""
    for option in reversed(_PRICES):
        command = option(command)
    return command


def carrying(command: Command) -> Command:
    """Options about running a batch; the command gets ``how`` in place of ``settings``."""

    @functools.wraps(command)
    def with_how(settings: dict[str, Setting], sandbox: bool, **rest: Any) -> Any:
        connection = Connection(settings=settings, sandbox=sandbox)
        values = {name: rest.pop(name) for name in _NAMES}
        how = How(connection=connection, **values)
        how.check()
        return command(how=how, **rest)

    decorated: Any = with_how
    for option in reversed(_HOW):
        decorated = option(decorated)
    made: Command = decorated
    return made
