"""The options that ``batch`` and ``resume`` share, as one value."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import field, frozen

from .completing import rows
from .connection import Connection, tags_files
from .console import command_line, operand
from .help import Choice, nearest
from .options import Command, exec_option, restrict_filenames, tag_option
from .players import programs_of
from .prices import Amount, check_priced, limits_of, price_arguments, pricing
from .webhook_listener import PORT

if TYPE_CHECKING:
    from decimal import Decimal

    from modelslab_async import Limits, RowState

    from .settings import Setting


def row_words(values: Sequence[str]) -> tuple[str, ...] | None:
    """Rows as they are named on a command line, with commas between them; ``None``: all.

    Raises:
        click.UsageError: there are commas and nothing else.
    """
    words = tuple(word for value in values for part in value.split(",") if (word := part.strip()))
    if values and not words:
        raise click.UsageError("no row is named")
    return words or None


_FLAGGED = "flagged="


class _Retry(Choice):
    """A state of rows, or ``flagged=`` and flags with commas between them."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As the help names it."""
        return f"{'|'.join(map(str, self.choices))}|flagged=FLAG,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value; its flags are checked."""
        if not str(value).startswith(_FLAGGED):
            return super().convert(value, param, ctx)
        flags_of(value.removeprefix(_FLAGGED))
        return str(value)


def flags_of(text: str) -> tuple[str, ...]:
    """The flags of a sound that a text names, with commas between them.

    Raises:
        click.UsageError: it names none, or something else.
    """
    from ..batch import Flag

    words = tuple(word for part in text.split(",") if (word := part.strip()))
    wrong = next((word for word in words if word not in set(Flag)), None)
    if wrong is not None or not words:
        names = ", ".join(Flag)
        meant = nearest(wrong or "", list(Flag), f"there are {names}")
        raise click.UsageError(f"{wrong or text!r} is no flag of a sound; {meant}")
    return words


MISSING = "missing"
"""The value of ``--retry`` for done rows whose file is missing or changed."""

same_account = click.option(
    "--same-account",
    is_flag=True,
    help="The account is the same, although the key or origin is new.",
)
_HOW = (
    click.option(
        "--template",
        help="File name template: {seq} {id} {slug} {job}, and columns such as {mood}.  [default: "
        "{id} if each row has an id, else {seq:05d}-{slug}]",
    ),
    restrict_filenames,
    exec_option,
    tag_option,
    click.option(
        "--limit",
        type=click.IntRange(min=0),
        help="Most new jobs of this run; the other rows stay planned.  0: only finish the jobs "
        "that are paid for.",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="ROW,...",
        shell_complete=rows,
        callback=lambda _context, _option, values: row_words(values),
        help="Send these rows alone: 1-100,205,intro; a row is its number or its id. The other "
        "rows stay planned.",
    ),
    click.option(
        "--max-jobs-total",
        type=click.IntRange(min=0),
        help="Most jobs to pay for in this directory, over all runs.",
    ),
    click.option(
        "--max-cost",
        type=Amount(),
        help="Most to spend in this directory, over all runs; needs a price.",
    ),
    pricing,
    click.option(
        "--retry",
        multiple=True,
        type=_Retry(["rejected", "failed", "output_lost", MISSING]),
        help="Retry rows of the manifest (with resume: of DIR) that ended this way, each as a "
        "new, paid job; but output_lost looks for the files again, and missing downloads missing "
        "or changed files of done rows again, both free. flagged=silent,gap makes done rows whose "
        "sound has such a flag again, paid; the old files stay.",
    ),
    click.option(
        "--fail-on",
        metavar="FLAG,...",
        callback=lambda _context, _option, value: flags_of(value) if value else (),
        help="Exit code 8 if a done row has such a flag: silent, dead_tail, gap, clipped, dc, "
        "short, long, same_as.",
    ),
    click.option(
        "--accept-copy",
        is_flag=True,
        help="DIR is a copy or a restored backup: pay for its planned rows from here anyway.",
    ),
    click.option("--listen", is_flag=True, help="Open the page of `listen` while this runs."),
    click.option(
        "--webhook-url",
        metavar="URL",
        help="Public URL of this run's webhooks; a delivery ends a job at once.",
    ),
    click.option(
        "--webhook-port",
        type=click.IntRange(1, 65535),
        allow_from_autoenv=False,
        help=f"Local port for webhooks, behind a proxy or tunnel.  [default: {PORT}]",
    ),
    same_account,
    click.option("--sandbox", is_flag=True, help="Run against a sandbox: no key, no bill."),
    click.option("-n", "--dry-run", is_flag=True, help="Show what would be done; open no socket."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask before paying for several jobs."),
    click.option("--no-input", is_flag=True, help="Never ask; fail where a question is needed."),
)
_NAMES = (
    *(
        "template",
        "restrict_filenames",
        "exec_",
        "limit",
        "only",
        "max_jobs_total",
        "max_cost",
        "retry",
        "fail_on",
    ),
    *(
        "listen",
        "webhook_url",
        "webhook_port",
        "accept_copy",
        "same_account",
        "dry_run",
        "yes",
        "no_input",
    ),
)
# Options that a later run needs to do what this one would have done.
_SETTINGS = ("max_jobs", "timeout", "price_per_job", "price_per_second")
_KEPT = (
    "template",
    "restrict_filenames",
    "exec_",
    "max_jobs_total",
    "max_cost",
    "fail_on",
    "webhook_url",
    "webhook_port",
)


@frozen(kw_only=True)
class BatchOptions:
    """How to run a batch.

    Attributes:
        connection: to what.
        template: file name template; ``None``: as before in this directory, or the default.
        restrict_filenames: ASCII file names only.
        exec_: command to run for each file; ``None``: none.
        limit: jobs that this run may pay for; ``None``: no limit.
        only: the rows that this run may send; ``None``: all.
        max_jobs_total: jobs that may be paid for in the directory; ``None``: no limit.
        max_cost: what may be paid there; ``None``: no limit.
        retry: states of rows that are tried again, `MISSING`, or flags after ``flagged=``.
        fail_on: flags with which a run that brought all files ends with exit code 8.
        accept_copy: rows of a copied or restored directory are paid for.
        listen: the page of the batch is served while it runs.
        webhook_url: where webhooks reach this run; ``None``: results are polled for.
        webhook_port: local port that receives them; ``None``: the default.
        same_account: the account that paid is this one, though its key or origin is new.
        dry_run: nothing is sent or written.
        yes: several jobs are paid for without a question.
        no_input: never ask.
    """

    connection: Connection
    template: str | None
    restrict_filenames: bool
    exec_: str | None
    limit: int | None
    only: tuple[str, ...] | None
    max_jobs_total: int | None
    max_cost: Decimal | None
    retry: tuple[str, ...] = field(converter=tuple)
    fail_on: tuple[str, ...]
    accept_copy: bool
    listen: bool
    webhook_url: str | None
    webhook_port: int | None
    same_account: bool
    dry_run: bool
    yes: bool
    no_input: bool

    def limits(self, directory: Path) -> Limits:
        """What may be paid for in a directory, at the user's own prices.

        Raises:
            click.UsageError: the cost is limited, and no price is known.
            LedgerError: the directory's ledger cannot be read.
        """
        limits = limits_of(
            self.connection.settings,
            directory,
            max_jobs_total=self.max_jobs_total,
            max_cost=self.max_cost,
        )
        check_priced(limits)
        return limits

    @property
    def retried(self) -> frozenset[RowState]:
        """States of rows to retry as new, paid jobs."""
        from modelslab_async import RowState

        words = (word for word in self.retry if not word.startswith(_FLAGGED))
        return frozenset(RowState(state) for state in words if state != MISSING)

    @property
    def retried_flags(self) -> frozenset[str]:
        """Flags of done rows to generate again, as new, paid jobs."""
        words = [word.removeprefix(_FLAGGED) for word in self.retry if word.startswith(_FLAGGED)]
        return frozenset(flag for word in words for flag in flags_of(word))

    @property
    def retries_missing(self) -> bool:
        """Whether to download missing and changed files again."""
        return MISSING in self.retry

    def check(self) -> None:
        """Fail on settings that cannot be used, before anything is done with them.

        Raises:
            click.UsageError, ConfigurationError: what is wrong.
        """
        from ..batch import check_template

        if self.template is not None:
            check_template(self.template)
        self.programs()
        self._check_webhook()
        self.connection.check_sandbox()

    def programs(self) -> Sequence[tuple[str, ...]]:
        """The programs to run for each file.

        Raises:
            click.UsageError: there is no such program.
        """
        return programs_of(self.exec_, play=False, is_piped=False)

    def _check_webhook(self) -> None:
        if self.webhook_url is not None:
            from ..webhooks._signing import checked_url

            checked_url(self.webhook_url)
        elif self.webhook_port is not None:
            raise click.UsageError("--webhook-port needs --webhook-url")

    def again(self, directory: Path, *, missing: bool = False) -> str:
        """The command that continues a directory as this run would have done.

        Args:
            directory: of the batch.
            missing: it also downloads missing and changed files again.
        """
        settings = self.connection.settings
        given = {name: getattr(self, name) for name in _KEPT} | {
            name: settings[name].value for name in _SETTINGS if settings[name].origin == "flag"
        }
        flags = [
            word
            for name, value in given.items()
            if value not in (None, False, ())
            for word in (
                f"--{name.strip('_').replace('_', '-')}",
                *([] if value is True else [_text(value)]),
            )
        ]
        tag = ["--tag"] if tags_files() else []
        retry = ["--retry", MISSING] if missing else []
        prices = price_arguments(settings)
        arguments = [*retry, *flags, *tag, *prices, *self.connection.arguments]
        return command_line("resume", operand(directory), *arguments)


def batch_options(command: Command) -> Command:
    """Options about running a batch; the command gets ``options`` in place of ``settings``."""

    @functools.wraps(command)
    def with_how(settings: dict[str, Setting], sandbox: bool, **rest: Any) -> Any:
        connection = Connection(settings=settings, sandbox=sandbox)
        values = {name: rest.pop(name) for name in _NAMES}
        options = BatchOptions(connection=connection, **values)
        options.check()
        return command(options=options, **rest)

    decorated: Any = with_how
    for option in reversed(_HOW):
        decorated = option(decorated)
    made: Command = decorated
    return made


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else f"{value}"
