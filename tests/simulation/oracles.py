"""What must hold after every run, whatever went wrong in it. Each finding is a sentence.

The account book is the judge of double payment, the ledger of loss, the bytes of corruption.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from modelslab_async._policy.download import Integrity
from modelslab_async.batch._rows import Row
from modelslab_async.batch._states import EDGES, RowState, settled

from .families import FETCHES
from .world import KEY, Outcome

OURS = {"ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "ledger.lock"}
RESULTS = "results.jsonl"
_END_SECONDS = 3600.0
_MOST_GETS = 60


def findings(outcome: Outcome) -> list[str]:
    """Everything that is wrong with an outcome; none: it is as promised."""
    found = [sentence for oracle in ORACLES for sentence in oracle(outcome)]
    if outcome.script.expects is not None:
        found += [f"ideal: {sentence}" for sentence in outcome.script.expects(outcome)]
    return found


def i1_no_job_is_lost(outcome: Outcome) -> Iterator[str]:
    known = {row.job_id for row in outcome.rows}
    unknown = {row.prompt for row in outcome.in_state(RowState.AMBIGUOUS)}
    unknown |= {row.prompt for row in outcome.rows if row.job_id is None and row.path is not None}
    for job_id, _ in outcome.book.debits:
        job = outcome.book.jobs[job_id]
        names = {str(job_id), str(job.shown_id), job.task_id, job.token}
        if not names & known and job.prompt not in unknown and not outcome.script.doubles:
            yield f"I1: job {job_id} was paid for, and no row knows it"


def i2_no_double_charge(outcome: Outcome) -> Iterator[str]:
    paid = Counter(outcome.book.jobs[job_id].prompt for job_id, _ in outcome.book.debits)
    for prompt, times in paid.items():
        if times > 1 and not outcome.script.doubles:
            yield f"I2: {prompt!r} was paid for {times} times"


def i3_honest_ambiguity(outcome: Outcome) -> Iterator[str]:
    for row in outcome.in_state(RowState.AMBIGUOUS):
        if outcome.jobs_of(row) and not outcome.script.doubles:
            yield f"I3: row {row.seq} is ambiguous, though its job can be found"
        if not outcome.touched and not outcome.killed and not outcome.script.scenario.faults:
            yield f"I3: row {row.seq} is ambiguous, though nothing went wrong"


def i4_no_corrupt_file(outcome: Outcome) -> Iterator[str]:
    for row in outcome.in_state(RowState.DONE):
        data = outcome.files.get(row.path or "")
        if data is None:
            yield f"I4: row {row.seq} is done, and {row.path} is not there"
        elif hashlib.sha256(data).hexdigest() != row.sha256:
            yield f"I4: {row.path} is not what the ledger says"
        elif outcome.script.scenario.wav != "pcm16":  # perhaps mended: the ledger has both hashes
            if row.source_sha256 != hashlib.sha256(outcome.right.get(row.id, b"")).hexdigest():
                yield f"I4: {row.path} was not made of what the server sent"
        elif data != _right(row, len(data), outcome):
            yield f"I4: {row.path} is not what the server made"


def _right(row: Row, size: int, outcome: Outcome) -> bytes | None:
    """The bytes of a row's file; a host that announces too few each time is believed at last."""
    made = outcome.right.get(row.id)
    curt = any(
        (fault.on, fault.kind) == ("download", "short_length")
        for fault in outcome.script.scenario.faults
    )
    return made[:size] if made and curt and row.integrity == Integrity.SOURCE_SHORT else made


def i5_no_stray_file(outcome: Outcome) -> Iterator[str]:
    published = {row.path for row in outcome.rows if row.path}
    kept = OURS | {RESULTS} | outcome.changed.keys()
    for name in outcome.files.keys() - published - kept:
        if outcome.files[name] not in outcome.made:  # a job's other file, or one of a lost other
            yield f"I5: {name} lies about"


def i6_the_key_stays_home(outcome: Outcome) -> Iterator[str]:
    echoed = {"api answer"} if outcome.script.scenario.echo_key else set()
    for place in sorted(outcome.leaks - echoed):
        yield f"I6: the key was seen by {place}"
    for name, data in outcome.files.items():
        if KEY.encode() in data:
            yield f"I6: the key is in {name}"


def i7_everything_ends(outcome: Outcome) -> Iterator[str]:
    for row in outcome.rows:
        if not settled(row.state) and row.state is not RowState.AMBIGUOUS:
            yield f"I7: row {row.seq} is {row.state} in the end ({row.error}; {outcome.stopped})"
    if len(outcome.rows) != outcome.script.jobs:
        yield f"I7: {len(outcome.rows)} rows of {outcome.script.jobs}; {outcome.stopped}"
    if outcome.last_life_seconds > _END_SECONDS:
        yield f"I7: the last life took {outcome.last_life_seconds:.0f} s"


def i8_nothing_leaks(outcome: Outcome) -> Iterator[str]:
    for text in outcome.left_behind:
        yield f"I8: left behind: {text}"
    for text in outcome.broken:
        yield f"I8: {text}"


def i9_traffic_is_bounded(outcome: Outcome) -> Iterator[str]:
    for row in outcome.rows:
        if row.attempt > 1 + _proofs(outcome, row):
            yield f"I9: row {row.seq} was sent {row.attempt} times"
    polls = sum(outcome.book.count("api", fetch) for fetch in FETCHES)
    if polls > 3 * outcome.script.jobs * (outcome.lives + 1) + outcome.seconds:
        yield f"I9: {polls} polls in {outcome.seconds:.0f} s"
    gets = outcome.book.count("storage") + outcome.book.count("mirror")
    if gets > _MOST_GETS * outcome.script.jobs * outcome.lives:
        yield f"I9: {gets} GETs of {outcome.script.jobs} files in {outcome.lives} lives"


def _proofs(outcome: Outcome, row: Row) -> int:
    """How often there was proof that no job exists."""
    back = RowState.PLANNED
    return sum(step.new is back for step in outcome.steps if step.row == row.seq)


def i11_the_ledger_is_monotone(outcome: Outcome) -> Iterator[str]:
    last: dict[int, RowState] = {}
    for step in outcome.steps:
        before = last.get(step.row, RowState.PLANNED)
        if step.old is not before or step.new not in EDGES[step.old]:
            yield f"I11: row {step.row} went from {step.old} to {step.new}, being {before}"
        last[step.row] = step.new


def i12_a_changed_file_stays(outcome: Outcome) -> Iterator[str]:
    for name, data in outcome.changed.items():
        if outcome.files.get(name) != data:
            yield f"I12: {name} was changed by others, and is not what they made of it"


def i13_a_file_is_stored_once(outcome: Outcome) -> Iterator[str]:
    stored = Counter(data for name, data in outcome.files.items() if name not in OURS | {RESULTS})
    for data, times in stored.items():
        if times > 1 and data in outcome.made and outcome.script.scenario.output != "twice":
            yield f"I13: a file of {len(data)} bytes is there {times} times"


ORACLES = (
    i1_no_job_is_lost,
    i2_no_double_charge,
    i3_honest_ambiguity,
    i4_no_corrupt_file,
    i5_no_stray_file,
    i6_the_key_stays_home,
    i7_everything_ends,
    i8_nothing_leaks,
    i9_traffic_is_bounded,
    i11_the_ledger_is_monotone,
    i12_a_changed_file_stays,
    i13_a_file_is_stored_once,
)
