"""Say what came of one row, for whoever iterates over a batch."""

from __future__ import annotations

from attrs import frozen

from .._engine.download import SavedFile
from .._engine.job import Generation
from ..errors import ModelsLabError


@frozen(kw_only=True)
class Succeeded:
    """One row that is done: its files are on disk, whole.

    Attributes:
        id: the row's own key.
        row: its number, from 1.
        job_id: the server's id of its job.
        saved: its files; this API gives one.
        generation: what the job made; its times are those of this run.
    """

    id: str
    row: int
    job_id: str
    saved: tuple[SavedFile, ...]
    generation: Generation


@frozen(kw_only=True)
class Failed:
    """One row that has no file, and why. What is paid for is kept in the ledger all the same."""

    id: str
    row: int
    error: ModelsLabError


Outcome = Succeeded | Failed
