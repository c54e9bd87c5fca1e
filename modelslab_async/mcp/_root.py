"""The batches below one root, read from their ledgers. Blocking; it changes nothing.

The ledgers are the account book: what was spent is counted from them, so a limit holds over
restarts of the server, and for several servers of one root.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen
from mcp.server.mcpserver.exceptions import ToolError

from .._text import decimal_text, safe_text, slug
from ..batch import Budget, Limits, Reader, Row, RowState, holds_batch, paid_so_far, request_of
from ..errors import ConfigurationError, LedgerError, ModelsLabError

_MAX_NAME: Final = 64
_LEDGER: Final = "ledger.sqlite3"
_ARGUMENT: Final = re.compile(r"\bpass (accept|same)_(copy|account)=True")
"""What the library advises in Python; here the person has a command."""


@frozen
class Root:
    """A directory whose direct children are batches.

    Attributes:
        path: absolute, without links.
        limits: what may be paid for by all batches together, and the prices.
    """

    path: Path
    limits: Limits

    @classmethod
    def at(cls, path: Path, limits: Limits) -> Root:
        """The root at a path, which is created if it does not exist.

        Raises:
            ConfigurationError: it cannot be, or a cost is limited without a price.
        """
        limits.check()
        try:
            path.mkdir(parents=True, exist_ok=True)
            return cls(path.resolve(strict=True), limits)
        except OSError as error:
            raise ConfigurationError(
                f"the root {safe_text(path)} cannot be made: {error.strerror}; name another with "
                "--root"
            ) from None

    @property
    def prices(self) -> Limits:
        """The prices alone: the limits are of the root, and no batch keeps them."""
        return evolve(self.limits, max_cost=None, max_jobs_total=None)

    def folder(self, batch: str) -> Path:
        """The directory of a batch, which need not exist.

        Raises:
            ToolError: the name could lead elsewhere, or a link has it.
        """
        fit = slug(batch, _MAX_NAME)
        if fit != batch and batch not in (one.name for one in self.folders()):
            raise ToolError(
                f"{safe_text(batch, 60)!r} cannot be a batch's name: use one name without a path, "
                f"of lower-case letters, digits and - _ . such as {fit!r}"
            )
        folder = self.path / batch
        if folder.is_symlink() or (folder / _LEDGER).is_symlink():
            raise ToolError(f"{batch} is a link, and batches are plain directories of the root")
        return folder

    def existing(self, batch: str) -> Path:
        """The same of a batch that is there.

        Raises:
            ToolError: there is none of that name.
        """
        folder = self.folder(batch)
        if not holds_batch(folder):
            raise ToolError(f"there is no batch {batch!r}; list_music names those there are")
        return folder

    def folders(self) -> Iterator[Path]:
        """The directories of all batches, by name."""
        with os.scandir(self.path) as found:
            names = sorted(one.name for one in found if one.is_dir(follow_symlinks=False))
        for name in names:
            if _is_file(self.path / name / _LEDGER):
                yield self.path / name

    def spent(self) -> Budget:
        """What all batches together have paid, or may have.

        Raises:
            LedgerError: a ledger cannot be read, so that nobody can tell.
        """
        total = Budget(self.limits)
        for folder in self.folders():
            try:
                one = self.spent_in(folder)
            except LedgerError as error:
                raise LedgerError(f"batch {safe_text(folder.name, 60)}: {error}") from None
            total.cost += one.cost
            total.jobs += one.jobs
        return total

    def spent_in(self, folder: Path) -> Budget:
        """The same of one batch."""
        if not holds_batch(folder):
            return Budget(self.prices)
        with Reader.open(folder) as reader:
            budget = paid_so_far(self.prices, reader)
            for row in reader.each((RowState.SUBMITTING,)):  # whether it was accepted shows later
                budget.charge(self._cost(row))
        return budget

    def _cost(self, row: Row) -> Decimal:
        if row.cost is not None:
            return Decimal(row.cost)
        return self.prices.price_of(request_of(row)) or Decimal(0)

    def money(self) -> dict[str, Any]:
        """What is spent and what is left, as far as there are prices and limits."""
        try:
            spent, limits = self.spent(), self.limits
        except LedgerError as error:  # nothing can be paid, and all else goes on
            return {"problem": words_of(error)}
        known: dict[str, Any] = {"jobs_paid": spent.jobs}
        if limits.priced:
            known["spent"] = decimal_text(spent.cost)
        if limits.max_cost is not None:
            known["left"] = decimal_text(max(limits.max_cost - spent.cost, Decimal(0)))
        if limits.max_jobs_total is not None:
            known["jobs_left"] = max(limits.max_jobs_total - spent.jobs, 0)
        return known


def file_of(folder: Path, row: Row) -> Path | None:
    """The file of a done row, if it is where it was saved: a regular file of that size."""
    name = row.path
    if row.state is not RowState.DONE or not name or os.path.basename(name) != name:  # noqa: PTH119
        return None
    try:
        about = (folder / name).lstat()
    except (OSError, ValueError):
        return None
    return folder / name if stat.S_ISREG(about.st_mode) and about.st_size == row.size else None


def _is_file(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def counts_of(folder: Path) -> dict[RowState, int]:
    """How many rows of a batch are in each state; empty if there is no batch."""
    if not holds_batch(folder):
        return {}
    with Reader.open(folder) as reader:
        return {state: count for state, count in reader.counts().items() if count}


def words_of(error: Exception) -> str:
    """An error as one printable line."""
    kind = "" if isinstance(error, ModelsLabError) else f"{type(error).__name__}: "
    text = _ARGUMENT.sub(r"continue it with `modelslab-async resume DIR --\1-\2`", str(error))
    return safe_text(f"{kind}{text}", 600)
