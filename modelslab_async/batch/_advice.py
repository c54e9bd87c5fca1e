"""What to do about rows in each state, as a command. Nothing here may lead a user to pay twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from attrs import frozen

from ._states import RowState

_S = RowState
_AGAIN: Final = "{program} resume {place}"
_FREE: Final = f"{_AGAIN}{{unpaid}}"


@frozen
class Advice:
    """What to do, with places for the program, the directory, and `unpaid`.

    Attributes:
        about: what is the matter.
        command: what mends it; empty: nothing does.
        effect: what the command does, as the end of a sentence about it.
    """

    about: str
    command: str = ""
    effect: str = ""

    def text(self, words: Mapping[str, str]) -> str:
        """All of it in one line."""
        if not self.command:
            return self.about
        return f"{self.about}: {self.command_line(words)}{self.effect}"

    def command_line(self, words: Mapping[str, str]) -> str:
        """The command as it can be pasted."""
        return self.command.format_map(words)


ADVICE: Final[Mapping[RowState, Advice]] = {
    _S.PLANNED: Advice("not sent yet", _AGAIN),
    _S.SUBMITTING: Advice("being sent now, or interrupted", _AGAIN, " finds out"),
    _S.SUBMITTED: Advice("in the queue, perhaps since an earlier run", _FREE, " continues, free"),
    _S.READY: Advice("finished and paid for, not downloaded yet", _FREE, " downloads them, free"),
    _S.DETACHED: Advice("no longer polled", _FREE, " polls again, free"),
    _S.AMBIGUOUS: Advice("may exist and be paid for", "{program} reconcile {place}"),
    _S.REJECTED: Advice("refused, not paid for", f"{_AGAIN} --retry rejected"),
    _S.FAILED: Advice(
        "the server reports failure", f"{_AGAIN} --retry failed", " pays for new jobs"
    ),
    _S.OUTPUT_LOST: Advice(
        "paid for, but no link worked",
        f"{_AGAIN} --retry output_lost{{unpaid}}",
        " looks again, free",
    ),
    _S.ABANDONED: Advice("abandoned by the user"),
    _S.SKIPPED: Advice(
        "not sent: no longer in the manifest, or skipped by hand; to generate them, add them again "
        "or",
        "{program} skip --undo {place} ROW",
    ),
}


def unpaid(states: Collection[RowState]) -> str:
    """What keeps `resume` from paying for rows that are not sent yet, where there are any."""
    return " --limit 0" if RowState.PLANNED in states else ""
