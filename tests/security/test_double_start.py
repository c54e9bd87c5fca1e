"""Of two processes that begin the same batch, one works at a time (T35).

Both try to open one ledger sixty times, as fast as they can. Who has it pays for the next
row; a row that both took would be found twice in what they say.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from modelslab_async.batch._sqlite.store import Store

from ..support.ledgers import planned

ROOT = Path(__file__).parents[2]
STARTS = 60
ROWS = 2 * STARTS

STARTER = """
import json, sys
from pathlib import Path
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._states import RowState
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.errors import LedgerError

sys.stdin.readline()
taken, refused = [], 0
for _ in range(int(sys.argv[2])):
    try:
        store = Store.open(Path(sys.argv[1]))
    except LedgerError:
        refused += 1
        continue
    row = next(store.each([RowState.PLANNED]))
    with store.transaction():
        store.apply(changes.intent(row.seq, 1000 + row.seq, 1))
    taken.append(row.seq)
    store.close()
print(json.dumps([taken, refused]))
"""


def starter(out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(out), str(STARTS)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_t35_of_two_processes_none_takes_what_the_other_has(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store.transaction():
        store.plan(planned(ROWS))
    store.close()
    both = [starter(tmp_path) for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [json.loads(process.communicate()[0]) for process in both]
    taken = [row for rows, _ in said for row in rows]
    assert len(taken) == len(set(taken)) > 0
    assert all(len(rows) + refused == STARTS for rows, refused in said)
    assert sum(refused for _, refused in said) > 0  # they did meet
