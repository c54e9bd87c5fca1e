"""The outcome of one row, as iterating over a batch yields it."""

from __future__ import annotations

from attrs import frozen

from .._engine.job import Generation
from .._engine.preview import html_of
from .._engine.saved import SavedFile, shown
from ..errors import ModelsLabError


@frozen(kw_only=True)
class Succeeded:
    """One row that is done: its files are on disk, complete.

    Attributes:
        id: the row's own key.
        row: its number, from 1.
        job_id: the server's id of its job.
        saved: its files; this API makes one.
        generation: the result of the job; its times are those of this run.
    """

    id: str
    row: int
    job_id: str
    saved: tuple[SavedFile, ...]
    generation: Generation

    def _repr_html_(self) -> str:
        """A small player for each of the first files, for notebooks."""
        return html_of([shown(saved, self.id) for saved in self.saved])


@frozen(kw_only=True)
class Failed:
    """One row that has no file, and why. If its job is paid for, the ledger keeps it."""

    id: str
    row: int
    error: ModelsLabError


Outcome = Succeeded | Failed
"""What a batch yields for each row."""
