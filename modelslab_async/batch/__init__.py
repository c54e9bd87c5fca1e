"""Many requests as one durable batch: kill it at any moment, and pay for nothing twice.

`ModelsLab.batch` runs one. This module has what stands around a run: reading a manifest
(`Manifest`), planning and pricing (`plan_batch`, `Limits`), looking at a directory (`Reader`),
finding files that are missing or changed (`verify_batch`), what listeners decided
(`read_decisions`), and deciding about rows whose outcome is unknown (`Ledger`, `Reconciler`).

A name is loaded with its module when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._protocol.sound_check import Flag
    from ._batch import Batch
    from ._chosen import RowKey, choose
    from ._combinations import combinations
    from ._decisions import Decision, Decisions, Verdict, read_decisions, write_decisions
    from ._ledger import Ledger
    from ._limits import Budget, Limits, paid_so_far
    from ._lines import BadRow
    from ._manifest import Format, Manifest, Reading, snapshot
    from ._naming import check_template
    from ._outcomes import Failed, Outcome, Succeeded
    from ._pairs import Pair, accepted_between, propose_pairs
    from ._plan import Plan, plan_batch
    from ._prices import amount, price_key
    from ._reconcile import Reconciler, UnmatchedJob
    from ._records import request_of
    from ._rerolls import rerolls
    from ._rows import (
        ErrorSummary,
        KnownRow,
        PlannedRow,
        Row,
        SoundSummary,
        StateSummary,
        Step,
        StoredFile,
    )
    from ._sqlite.reader import Reader, Runner, holds_batch, is_writable, runner_of
    from ._states import RowState, settled
    from ._totals import Total
    from ._verify import FaultKind, FileFault, verify_batch

__all__ = [
    "BadRow",
    "Batch",
    "Budget",
    "Decision",
    "Decisions",
    "ErrorSummary",
    "Failed",
    "FaultKind",
    "FileFault",
    "Flag",
    "Format",
    "KnownRow",
    "Ledger",
    "Limits",
    "Manifest",
    "Outcome",
    "Pair",
    "Plan",
    "PlannedRow",
    "Reader",
    "Reading",
    "Reconciler",
    "Row",
    "RowKey",
    "RowState",
    "Runner",
    "SoundSummary",
    "StateSummary",
    "Step",
    "StoredFile",
    "Succeeded",
    "Total",
    "UnmatchedJob",
    "Verdict",
    "accepted_between",
    "amount",
    "check_template",
    "choose",
    "combinations",
    "holds_batch",
    "is_writable",
    "paid_so_far",
    "plan_batch",
    "price_key",
    "propose_pairs",
    "read_decisions",
    "request_of",
    "rerolls",
    "runner_of",
    "settled",
    "snapshot",
    "verify_batch",
    "write_decisions",
]

_MODULES = {
    "_batch": ("Batch",),
    "_combinations": ("combinations",),
    "_chosen": ("RowKey", "choose"),
    "_decisions": (
        "Decision",
        "Decisions",
        "Verdict",
        "read_decisions",
        "write_decisions",
    ),
    "_ledger": ("Ledger",),
    "_limits": ("Budget", "Limits", "paid_so_far"),
    "_lines": ("BadRow",),
    "_manifest": ("Format", "Manifest", "Reading", "snapshot"),
    "_naming": ("check_template",),
    "_outcomes": ("Failed", "Outcome", "Succeeded"),
    "_pairs": ("Pair", "accepted_between", "propose_pairs"),
    "_plan": ("Plan", "plan_batch"),
    "_prices": ("amount", "price_key"),
    "_records": ("request_of",),
    "_rerolls": ("rerolls",),
    "_reconcile": ("Reconciler", "UnmatchedJob"),
    "_rows": (
        "ErrorSummary",
        "Flag",
        "KnownRow",
        "PlannedRow",
        "Row",
        "SoundSummary",
        "StateSummary",
        "Step",
        "StoredFile",
    ),
    "_sqlite.reader": ("Reader", "Runner", "holds_batch", "is_writable", "runner_of"),
    "_states": ("RowState", "settled"),
    "_totals": ("Total",),
    "_verify": ("FaultKind", "FileFault", "verify_batch"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
