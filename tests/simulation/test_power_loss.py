"""A power loss takes nothing that was acknowledged (L03, D34, D35), and the order that sees to it.

`python -m tests.simulation.power --states 20000` does the same at full size.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelslab_async._engine.partfile import PartFile
from modelslab_async.batch import Reader, RowState, holds_batch, verify_batch
from modelslab_async.batch._sqlite.reader import LEDGER_NAME

from .kills import MEMORY
from .power import ROWS, Recording
from .power_child import AS_IT_IS, FULL_DISK, OUT
from .power_disk import Disk, File, Renaming, Write, put
from .power_judge import Verdict
from .power_order import BYTES, COMMIT, HASH, INTENT, NAME, Order
from .power_trace import MISSING, can_trace

STATES = 500
OF_A_CONTROL = 150


@pytest.fixture(scope="module")
def recording() -> Iterator[Recording]:
    if not can_trace():
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        yield Recording.make(Path(folder))


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Each ledger that is opened in memory says so."""
    caplog.set_level(logging.ERROR, "modelslab_async.batch")


def test_the_recording_holds_every_call_that_made_the_files(recording: Recording) -> None:
    *_, (_, replay) = recording.steps(AS_IT_IS)
    out = recording.folder / AS_IT_IS / OUT
    found = {path: path.read_bytes() for path in out.iterdir()}
    assert {path: replay.disk.file(path).live for path in found} == found
    assert len(found) == ROWS + 3  # the ledger, its lock, and the results


def test_l03_d34_a_power_loss_takes_nothing_that_was_acknowledged(recording: Recording) -> None:
    tally = recording.lose_power(AS_IT_IS, STATES)
    assert tally.states == STATES
    assert tally.bad == []


def test_l04_a_power_loss_takes_nothing_that_the_side_file_was_given(recording: Recording) -> None:
    tally = recording.lose_power(FULL_DISK, STATES // 2)
    assert [verdict for _, verdict in tally.bad if verdict != Verdict(by_hand=1)] == []
    *_, (_, replay) = recording.steps(FULL_DISK)
    assert "kept" in replay.told


@pytest.mark.parametrize(
    ("way", "harm", "harmless"),
    [
        ("normal", ("lost",), "damaged"),
        ("off", ("lost", "damaged"), "torn"),
        ("no-file-sync", ("torn",), "lost"),
        ("no-directory-sync", ("missing",), "lost"),
    ],
)
def test_g4_without_one_of_the_syncs_a_power_loss_does_harm(
    recording: Recording, way: str, harm: tuple[str, ...], harmless: str
) -> None:
    tally = recording.lose_power(way, OF_A_CONTROL)
    assert sum(map(tally.count, harm)) > 0, str(tally)
    assert tally.count(harmless) == 0, str(tally)


def test_g5_what_must_be_synced_is_synced_before_the_next_step(recording: Recording) -> None:
    order = Order.of(recording, AS_IT_IS)
    assert order.broken == {}
    assert {rule: order.kept[rule] for rule in (INTENT, BYTES, HASH, NAME)} == {
        INTENT: ROWS,
        BYTES: ROWS,
        HASH: ROWS,
        NAME: ROWS,
    }
    assert order.kept[COMMIT] >= 4 * 2  # each step of a row, if all rows took it together


@pytest.mark.parametrize(
    ("way", "rule"),
    [
        ("normal", INTENT),
        ("normal", COMMIT),
        ("no-file-sync", BYTES),
        ("no-directory-sync", NAME),
    ],
)
def test_g5_a_sync_that_is_left_out_is_noticed(recording: Recording, way: str, rule: str) -> None:
    assert Order.of(recording, way).broken[rule] > 0


@pytest.mark.parametrize("way", [AS_IT_IS, "no-file-sync", "no-directory-sync"])
def test_l24_what_a_disk_has_lost_of_done_rows_is_found(way: str, recording: Recording) -> None:
    """Where a disk breaks its word, a done row has no file, or a torn one."""
    lost = 0
    for number, (_, replay) in enumerate(recording.steps(way)):
        if number % 7:
            continue
        with tempfile.TemporaryDirectory(dir=MEMORY) as place:
            put(replay.disk.after_loss(random.Random(number)), Path(place))
            out = Path(place) / OUT
            if not (out / LEDGER_NAME).exists() or not holds_batch(out):
                continue
            faults = {fault.row for fault in verify_batch(out, content=True)}
            with Reader.open(out) as reader:
                done = list(reader.each([RowState.DONE]))
            torn = {row.seq for row in done if _sha256(out / (row.path or "")) != row.sha256}
            assert faults == torn
        lost += len(faults)
    assert (lost == 0) is (way == AS_IT_IS)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def test_d35_a_file_that_has_its_name_when_the_power_fails_is_taken_for_ours(
    recording: Recording, tmp_path: Path
) -> None:
    out = recording.folder / AS_IT_IS / OUT
    adopted = 0
    for call, replay in recording.steps(AS_IT_IS):
        if call.name != "linkat" or call.paths[1].name.startswith(".probe"):
            continue
        name = call.paths[1].name
        content = (out / name).read_bytes()
        for seed in range(3):
            place = tmp_path / f"{call.ended}-{seed}"
            found = replay.disk.after_loss(random.Random(seed))
            put({path: data for path, data in found.items() if is_of(path, name)}, place)
            adopted += (place / OUT / name).exists()
            part = PartFile(place / OUT, Path(name).stem, sweep=True)
            part.add(content)
            part.flush()
            assert part.publish(name) == place / OUT / name
            assert [path.name for path in (place / OUT).iterdir()] == [name]
            assert (place / OUT / name).read_bytes() == content
    assert 0 < adopted < 3 * ROWS


def is_of(path: Path, name: str) -> bool:
    """Whether this is a file, or a part of one, under that name."""
    return Path(name).stem in path.name


def test_d34_directories_that_are_made_for_a_file_are_synced_in_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = set[Path](), os.fsync

    def noting(fd: int) -> None:
        synced.add(Path(f"/proc/self/fd/{fd}").readlink())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    part = PartFile(tmp_path / "new" / "newer", "sitar")
    part.add(b"sound")
    part.flush()
    part.publish("sitar.wav")
    assert {tmp_path, tmp_path / "new", tmp_path / "new" / "newer"} <= synced


def test_a_disk_forgets_what_was_not_synced_and_tears_it_at_sectors() -> None:
    disk = Disk(Path("/d"))
    file, late = File(), File()
    disk.rename({Path("/d/a"): file}, 1)
    disk.top.sync(2)
    file.take(Write(0, b"x" * 1024, 3))
    file.sync(4)
    file.take(Write(256, b"y" * 768, 5))
    disk.top.take(Renaming({"b": late}, 6))
    seen = [disk.after_loss(random.Random(seed)) for seed in range(200)]
    first, second = b"x" * 256, b"x" * 512
    assert {found[Path("a")] for found in seen} == {
        first + old + new for old in (b"x" * 256, b"y" * 256) for new in (second, b"y" * 512)
    }
    assert {Path("b") in found for found in seen} == {True, False}


def test_a_sync_promises_nothing_for_a_write_that_came_back_after_it_began() -> None:
    file = File()
    file.take(Write(0, b"early", 1))
    file.take(Write(5, b" late", 3))
    file.sync(begun=2)
    assert file.synced == b"early"
    assert file.live == b"early late"
