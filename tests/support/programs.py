"""Programs that note how they were called."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_NOTES = """#!{python}
import json, sys
with open({notes!r}, "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
print("said by the program")
sys.exit({code})
"""


class Program:
    """A program in a directory of its own.

    Attributes:
        path: of the directory, for the variable PATH.
    """

    def __init__(self, tmp_path: Path, name: str, code: int = 0) -> None:
        self.path = tmp_path / "bin"
        self.path.mkdir(exist_ok=True)
        self._notes = tmp_path / f"{name}.notes"
        text = _NOTES.format(python=sys.executable, notes=str(self._notes), code=code)
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [json.loads(line) for line in lines]
