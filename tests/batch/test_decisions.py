"""What listeners decide is on disk before it counts, and counts for the bytes they heard."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from attrs import evolve

from modelslab_async import LedgerError, RequestError, RowState
from modelslab_async.batch import (
    Decision,
    PlannedRow,
    Reader,
    Row,
    Verdict,
    read_decisions,
    write_decisions,
)
from modelslab_async.batch._decisions import DECISIONS_NAME
from modelslab_async.batch._ledger import Ledger

pytestmark = pytest.mark.anyio
HEARD, OTHER = "a" * 64, "b" * 64


def about(row: int = 1, sha256: str = HEARD, **what: object) -> Decision:
    return Decision.of({"row": row, "sha256": sha256, **what})


async def row_with(directory: Path, sha256: str) -> Row:
    async with Ledger(directory) as ledger:
        await ledger.plan([PlannedRow("sitar", {"prompt": "sitar"}, "hash", "sitar")])
    with Reader.open(directory) as reader:
        row = reader.row(1)
    return evolve(row, state=RowState.DONE, sha256=sha256)


async def test_the_last_decision_about_a_file_wins_and_counts_for_its_bytes_only(
    tmp_path: Path,
) -> None:
    row = await row_with(tmp_path, HEARD)
    assert read_decisions(tmp_path).of(row) is None
    write_decisions(tmp_path, [about(verdict="kept", stars=4), about(2, OTHER, verdict="kept")])
    write_decisions(tmp_path, [about(verdict="rejected", note="\ud800 off key\n")])
    found = read_decisions(tmp_path).of(row)
    assert found is not None
    assert (found.verdict, found.stars, found.note) == (Verdict.REJECTED, None, "\ud800 off key\n")
    assert read_decisions(tmp_path).of(await row_with(tmp_path, OTHER)) is None
    write_decisions(tmp_path, [about()])  # taken back
    assert read_decisions(tmp_path).of(row) is None


async def test_lines_that_are_no_decisions_are_counted_and_a_torn_one_hides_no_other(
    tmp_path: Path,
) -> None:
    write_decisions(tmp_path, [about(verdict="kept")])
    path = tmp_path / DECISIONS_NAME
    with path.open("ab") as file:
        file.write(b'nonsense\n[1]\n\n{"row": 1, "sha256": "short"}\n{"row": 1, "sha')
    assert read_decisions(tmp_path).unreadable == 3
    write_decisions(tmp_path, [about(2, verdict="rejected")])
    decisions = read_decisions(tmp_path)
    assert decisions.unreadable == 4
    assert [(one.row, one.verdict) for one in decisions] == [(1, "kept"), (2, "rejected")]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"row": 0},
        {"row": True},
        {"row": 2**63},
        {"sha256": "A" * 64},
        {"sha256": None},
        {"verdict": "maybe"},
        {"verdict": ["kept"]},
        {"stars": 6},
        {"stars": 2.0},
        {"note": "x" * 2001},
        {"note": 7},
    ],
)
def test_what_is_no_decision_says_what_it_must_be(wrong: object) -> None:
    data = {"row": 1, "sha256": HEARD} | wrong if isinstance(wrong, dict) else wrong
    with pytest.raises(RequestError, match="must be"):
        Decision.of(data)


def test_an_instant_that_is_none_is_now() -> None:
    for at in (float("nan"), float("inf"), -1, "noon", None):
        assert json.dumps(about(at=at, verdict="kept").at, allow_nan=False) > "1"


def _decide(directory: Path, row: int) -> None:
    for stars in (1, 2, 3, 4, 5):
        write_decisions(directory, [about(row, stars=stars, note="x" * 500)])


def test_several_processes_decide_at_once(tmp_path: Path) -> None:
    processes = [
        multiprocessing.get_context("fork").Process(target=_decide, args=(tmp_path, row))
        for row in (1, 2, 3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    decisions = read_decisions(tmp_path)
    assert sorted((one.row, one.stars) for one in decisions) == [(1, 5), (2, 5), (3, 5)]
    assert decisions.unreadable == 0


def test_no_link_and_no_directory_is_written_to_or_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / DECISIONS_NAME).symlink_to("elsewhere")
    with pytest.raises(LedgerError, match="cannot be opened"):
        write_decisions(tmp_path, [about()])
    with pytest.raises(LedgerError, match="cannot be read"):
        read_decisions(tmp_path)
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
