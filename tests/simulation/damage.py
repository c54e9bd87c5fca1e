"""What may become of files between two runs: a careless user deletes them, a disk loses them."""

from __future__ import annotations

from pathlib import Path
from random import Random

from modelslab_async.batch._sqlite.reader import Reader, holds_batch


def damage(directory: Path, dice: Random, changed: dict[str, bytes]) -> None:
    """Delete or change most files of done rows.

    Args:
        directory: of the batch.
        dice: say which, and how.
        changed: files that were changed, by their names, as they are now; is kept up to date.
    """
    if not holds_batch(directory):
        return
    with Reader.open(directory) as reader:
        names = [file.path for file in reader.files()]
    for name in names:
        path = directory / name
        match dice.choice(("deleted", "cut", "same size", "as it was")):
            case "deleted":
                path.unlink(missing_ok=True)
                changed.pop(name, None)
            case "cut" if path.exists():
                changed[name] = path.read_bytes()[:-1]
                path.write_bytes(changed[name])
            case "same size" if path.exists():
                changed[name] = bytes(path.stat().st_size)
                path.write_bytes(changed[name])
