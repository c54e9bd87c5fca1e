"""What a row may do, what an event writes, and what text becomes on its way into a ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._rows import (
    COLUMNS,
    FILE_COLUMNS,
    MESSAGE_LIMIT,
    PlannedRow,
    Row,
    request_text,
    storable,
)
from modelslab_async.batch._sqlite.location import file_system_of
from modelslab_async.batch._states import EDGES, RowState, check, settled
from modelslab_async.batch._transitions import Change, validate
from modelslab_async.errors import LedgerError

S = RowState
LEGAL = {
    ("planned", "submitting"),
    ("submitting", "planned"),
    ("submitting", "submitted"),
    ("submitting", "ready"),
    ("submitting", "rejected"),
    ("submitting", "ambiguous"),
    ("ambiguous", "submitted"),
    ("ambiguous", "planned"),
    ("ambiguous", "abandoned"),
    ("submitted", "ready"),
    ("submitted", "failed"),
    ("submitted", "detached"),
    ("detached", "submitted"),
    ("detached", "ready"),
    ("detached", "failed"),
    ("detached", "abandoned"),
    ("ready", "done"),
    ("ready", "output_lost"),
    ("ready", "submitted"),
    ("output_lost", "ready"),
    ("done", "ready"),
    ("done", "planned"),
    ("rejected", "planned"),
    ("failed", "planned"),
    ("planned", "skipped"),
    ("skipped", "planned"),
}
EVENTS: dict[str, tuple[Callable[[Row], Change], set[RowState]]] = {
    "intent": (lambda row: changes.intent(row.seq, 7, row.attempt + 1), {S.PLANNED}),
    "not_sent": (lambda row: changes.not_sent(row.seq, "refused"), {S.SUBMITTING}),
    "accepted": (
        lambda row: changes.accepted(row.seq, "j", "{}"),
        {S.SUBMITTING, S.AMBIGUOUS},
    ),
    "finished_at_once": (
        lambda row: changes.finished_at_once(row.seq, None, "{}"),
        {S.SUBMITTING},
    ),
    "rejected": (lambda row: changes.rejected(row.seq, "BadRequest", "no"), {S.SUBMITTING}),
    "ambiguous": (lambda row: changes.ambiguous(row.seq, "reset"), {S.SUBMITTING}),
    "ready": (
        lambda row: changes.ready(row.seq, "{}"),
        {S.SUBMITTED, S.DETACHED, S.OUTPUT_LOST},
    ),
    "done": (
        lambda row: changes.done(
            row.seq, "a.wav", sha256="0", size=1, seconds=1.0, integrity="whole"
        ),
        {S.READY},
    ),
    "redownload": (lambda row: changes.redownload(row.seq, "a.wav is not there"), {S.DONE}),
    "failed": (
        lambda row: changes.failed(row.seq, "JobFailed", "no"),
        {S.SUBMITTED, S.DETACHED},
    ),
    "detached": (lambda row: changes.detached(row.seq, "late"), {S.SUBMITTED}),
    "reattached": (lambda row: changes.reattached(row.seq, ""), {S.DETACHED, S.READY}),
    "output_lost": (lambda row: changes.output_lost(row.seq, "OutputLost", "gone"), {S.READY}),
    "abandoned": (lambda row: changes.abandoned(row.seq, "never mind"), {S.AMBIGUOUS, S.DETACHED}),
    "skipped": (lambda row: changes.skipped(row.seq, "not in the manifest"), {S.PLANNED}),
    "wanted_again": (lambda row: changes.wanted_again(row.seq, "it is"), {S.SKIPPED}),
    "replanned": (
        lambda row: changes.replanned(row, "asked for"),
        {S.REJECTED, S.FAILED, S.AMBIGUOUS},
    ),
    "retaken": (lambda row: changes.retaken(row, "silent"), {S.DONE}),
}


def row_in(state: RowState) -> Row:
    texts = {"id": "a", "state": state, "request": "{}", "payload_hash": "0", "prompt": "sitar"}
    numbers = {"seq": 1, "attempt": 1, "polls": 0, "planned_at": 0.0, "updated_at": 0.0}
    return Row(**{**dict.fromkeys(COLUMNS), **texts, **numbers})  # type: ignore[arg-type]


def test_the_legal_steps_are_these_and_no_others() -> None:
    assert {(old.value, new.value) for old in RowState for new in EDGES[old]} == LEGAL


@pytest.mark.parametrize("old", RowState)
def test_a_step_off_the_table_raises_and_names_the_row_and_both_states(old: RowState) -> None:
    for new in RowState:
        if new in EDGES[old]:
            check(old, new, "row-17")
            continue
        with pytest.raises(LedgerError, match=f"invalid transition {old} -> {new} for row row-17"):
            check(old, new, "row-17")


def test_every_state_can_be_reached_from_planned() -> None:
    reached, edge = {S.PLANNED}, {S.PLANNED}
    while edge:
        edge = {new for old in edge for new in EDGES[old]} - reached
        reached |= edge
    assert reached == set(RowState)


def test_a_settled_row_is_one_that_a_normal_run_leaves_alone() -> None:
    ended = {S.DONE, S.REJECTED, S.FAILED, S.OUTPUT_LOST, S.ABANDONED, S.SKIPPED}
    assert {state for state in RowState if settled(state)} == ended


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_happens_only_to_rows_that_it_can_happen_to(event: str) -> None:
    make, states = EVENTS[event]
    for row in map(row_in, RowState):
        if row.state in states:
            validate(make(row), row)
            continue
        with pytest.raises(LedgerError):
            validate(make(row), row)


def test_a_row_never_leaves_submitting_for_planned_on_request() -> None:
    row = row_in(S.SUBMITTING)
    with pytest.raises(LedgerError, match="invalid transition"):
        validate(changes.replanned(row, "pay again"), row)


@pytest.mark.parametrize("attempt", [0, 1])
def test_an_attempt_is_counted_once(attempt: int) -> None:
    with pytest.raises(LedgerError, match="attempt"):
        validate(changes.intent(1, 7, attempt), row_in(S.PLANNED))


def test_a_new_job_in_place_of_an_old_one_keeps_the_old_ids_in_the_history() -> None:
    row = evolve(row_in(S.FAILED), job_id="77", track_id="123")
    change = changes.replanned(row, "asked for")
    assert change.note == "asked for; was job 77 with track_id 123"
    assert change.values["job_id"] is None


def test_a_new_job_in_place_of_an_old_one_knows_nothing_of_the_old_file() -> None:
    """The old file, put back from a backup, would be taken for the new job's."""
    change = changes.replanned(row_in(S.FAILED), "asked for")
    assert {change.values[name] for name in (*FILE_COLUMNS, "done_at")} == {None}


def test_a_change_sets_only_columns_that_there_are() -> None:
    with pytest.raises(LedgerError, match="state = 'done' --"):
        Change(1, S.DONE, {"state = 'done' --": 1})


def test_a_change_cannot_set_the_state_by_the_way() -> None:
    with pytest.raises(LedgerError, match="cannot set state"):
        Change(1, S.DONE, {"state": "planned"})


@pytest.mark.parametrize(
    "change",
    [
        changes.accepted(3, "job-1", '{"id": "job-1"}'),
        changes.finished_at_once(3, None, "{}", 4.5),
        changes.finished_at_once(3, "job-1", "{}"),
    ],
)
def test_a_paid_answer_survives_as_json(change: Change) -> None:
    again = changes.from_fields(json.loads(json.dumps(changes.to_fields(change))))
    assert evolve(again, note=change.note) == change
    assert again.paid


def test_a_long_message_is_cut() -> None:
    change = changes.failed(1, "JobFailed", "x" * 1_000_000)
    assert len(str(change.values["error"])) == MESSAGE_LIMIT + 3


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a\0b", "a\\x00b"),
        ("a\ud800b", "a\\ud800b"),
        ("ситар ✓", "ситар ✓"),
        (2**63, 2**63 - 1),
        (-(2**70), -(2**63)),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_odd_values_are_kept_in_a_form_that_sqlite_takes(value: object, kept: object) -> None:
    assert storable(value) == kept  # type: ignore[arg-type]


@given(st.text())
def test_text_is_made_storable_once_for_all(text: str) -> None:
    once = storable(text)
    assert isinstance(once, str)
    once.encode()
    assert "\0" not in once
    assert storable(once) == once


def test_a_request_is_kept_with_the_fields_that_we_do_not_know() -> None:
    row = PlannedRow("a", {"prompt": "sitar", "mood": ["\ud800", 2**70]}, "0")
    assert json.loads(request_text(row)) == row.request


def test_a_request_with_a_key_is_not_kept() -> None:
    with pytest.raises(LedgerError, match="'key'") as caught:
        request_text(PlannedRow("a", {"prompt": "sitar", "key": "SECRET"}, "0"))
    assert "SECRET" not in str(caught.value)


def test_a_request_that_is_no_json_is_refused() -> None:
    with pytest.raises(LedgerError, match="cannot be kept"):
        request_text(PlannedRow("a", {"prompt": object()}, "0"))


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /home/me rw - nfs4 server:/home rw
31 30 0:41 / /home/me/local\\040disk rw master:1 - xfs /dev/vdb rw
32 27 0:42 / /mnt rw - ext4 /dev/vdc rw
33 32 0:43 / /mnt rw - fuse.sshfs host: rw
not a mount
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/srv/out", "ext4"),
        ("/home/me/out", "nfs4"),
        ("/home/me", "nfs4"),
        ("/home/melanie/out", "ext4"),
        ("/home/me/local disk/out", "xfs"),
        ("/mnt/out", "fuse.sshfs"),
    ],
)
def test_a_directory_lies_on_the_mount_nearest_to_it(directory: str, kind: str) -> None:
    assert file_system_of(Path(directory), MOUNTS) == kind


def test_a_mount_table_that_says_nothing_is_no_reason() -> None:
    assert file_system_of(Path("/srv"), "") == ""
