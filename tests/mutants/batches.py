"""Bugs by which a batch forgets, or believes what is not so."""

from __future__ import annotations

from .mutant import Patch, of, planted

_SENT = """\
        await attempt.journal.intent(attempt.submission, attempt.number)
        result = await self._post(attempt, fields)
"""
_SENT_FIRST = """\
        result = await self._post(attempt, fields)
        await attempt.journal.intent(attempt.submission, attempt.number)
"""

MUTANTS = (
    planted(
        "intent_after_send",
        of("batch/test_kill", "l02_a_row_between_intent_and_submit_is_never_paid_for_unasked"),
        Patch("_engine/submit.py", _SENT, _SENT_FIRST),
    ),
    planted(
        "no_commit_before_poll",
        of("batch/test_planted", "l03_a_job_is_asked_about_when_its_id_is_on_disk"),
        Patch(
            "_engine/submit.py",
            "        return evolve(result, outcome=await attempt.journal.answer(result.outcome))\n",
            "        self._spawn(attempt.journal.answer(result.outcome))\n        return result\n",
        ),
    ),
    planted(
        "acknowledged_before_commit",
        of("batch/test_ledger_writing", "a_write_is_in_the_file_when_it_returns"),
        Patch(
            "batch/_sqlite/store.py",
            '        self.db.execute("BEGIN IMMEDIATE")\n        try:\n',
            "        if self.db.in_transaction:\n"
            '            self.db.execute("COMMIT")\n'
            '        self.db.execute("BEGIN IMMEDIATE")\n        try:\n',
        ),
        Patch(
            "batch/_sqlite/store.py",
            '            yield\n            self.db.execute("COMMIT")\n',
            "            yield\n",
        ),
        Patch(
            "batch/_sqlite/files.py",
            "                self.db.close()\n",
            "                self.db.commit()\n                self.db.close()\n",
        ),
    ),
    planted(
        "synchronous_normal",
        of("batch/test_ledger_writing", "l03_a_commit_outlives_a_power_loss"),
        Patch("batch/_sqlite/store.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),
    ),
    planted(
        "start_turns_submitting_into_planned",
        of(
            "batch/test_ledger_crash",
            "l02_a_row_whose_intent_was_committed_is_ambiguous_after_a_crash",
        ),
        Patch(
            "batch/_transitions.py",
            '    return ambiguous(row, "found at start-up',
            '    return not_sent(row, "found at start-up',
        ),
    ),
    planted(
        "unknown_turns_into_planned",
        of("batch/test_money", "a_job_that_cannot_be_told_apart_is_shown_and_not_paid_again"),
        Patch(
            "batch/_journal.py",
            "            return changes.ambiguous(row, reason)\n",
            "            return changes.not_sent(row, reason)\n",
        ),
    ),
    planted(
        "ambiguous_rows_are_made_anew_unasked",
        of("batch/test_money", "a_job_that_cannot_be_told_apart_is_shown_and_not_paid_again"),
        Patch(
            "batch/_batch.py",
            "frozenset(map(RowState, settings.retry))",
            "frozenset(map(RowState, settings.retry)) | {RowState.AMBIGUOUS}",
        ),
    ),
    planted(
        "a_missing_file_is_asked_of_any_account",
        of("batch/test_verify", "l24_another_account_is_not_asked_for_a_missing_file"),
        Patch(
            "batch/_batch.py",
            "await self._check_account()\n                await self.ledger.write_all",
            "await self.ledger.write_all",
        ),
    ),
    planted(
        "a_missing_file_is_paid_for_again",
        of(
            "batch/test_verify",
            "l24_missing_and_changed_files_are_downloaded_again_and_nothing_is_paid",
        ),
        Patch(
            "batch/_states.py",
            "_S.DONE: frozenset({_S.READY, _S.PLANNED}),",
            "_S.DONE: frozenset({_S.PLANNED}),",
        ),
        Patch(
            "batch/_transitions.py",
            "return Change(row, _S.READY, {}, (), message(note), frozenset({_S.DONE}))",
            "return Change(row, _S.PLANNED, {}, (), message(note), frozenset({_S.DONE}))",
        ),
    ),
    planted(
        "a_new_job_takes_the_old_file",
        of("batch/test_verify", "l24_a_row_that_is_paid_for_anew_does_not_take_the_old_file"),
        Patch(
            "batch/_transitions.py",
            "    values = {**_NO_JOB, **_NO_FILE}\n",
            "    values = _NO_JOB\n",
        ),
    ),
    planted(
        "any_step_is_legal",
        of("batch/test_ledger", "an_illegal_step_writes_nothing"),
        Patch("batch/_states.py", "    if new not in EDGES[old]:\n", "    if new not in EDGES:\n"),
    ),
    planted(
        "two_rows_may_have_one_job",
        of("batch/test_ledger", "s35_a_job_id_given_twice_makes_the_second_row_ambiguous"),
        Patch(
            "batch/_sqlite/store.py",
            "            if holder is not None and holder.seq != change.row:\n",
            "            if not self._pid:\n",
        ),
    ),
    planted(
        "paid_answer_is_not_rescued",
        of("batch/test_ledger_writing", "l04_a_paid_id_outlives_a_full_disk"),
        Patch(
            "batch/_sqlite/writer.py",
            "        store.rescue.keep(change)\n",
            "        store.rescue.path\n",
        ),
    ),
    planted(
        "rescued_answer_is_not_taken_in",
        of("batch/test_ledger_writing", "l04_a_paid_id_outlives_a_full_disk"),
        Patch("batch/_sqlite/store.py", "            store._take_in()\n", ""),
    ),
    planted(
        "one_bad_question_breaks_the_ledger",
        of("batch/test_ledger_writing", "a_question_that_fails_fails_alone"),
        Patch(
            "batch/_sqlite/writer.py",
            "        if not isinstance(error, _OWN_FAULT):\n",
            "        if error:\n",
        ),
    ),
    planted(
        "cancelled_write_is_not_awaited",
        of("batch/test_ledger_writing", "l11_a_write_cancelled_by_its_task_is_still_made"),
        Patch(
            "batch/_ledger.py",
            "        cancelled = await wait_shielded(future)\n        answer",
            "        cancelled = None\n        await asyncio.wait([future])\n        answer",
        ),
    ),
    planted(
        "two_processes_in_a_directory",
        of("batch/test_ledger_opening", "l09_one_process_at_a_time_works_on_a_directory"),
        Patch(
            "_engine/filesystem.py",
            "flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)",
            "flock(fd, fcntl.LOCK_SH)",
        ),
    ),
    planted(
        "backup_is_taken_for_the_present",
        of("batch/test_ledger_opening", "t36_a_ledger_put_back_from_a_backup_is_noticed"),
        Patch("batch/_sqlite/location.py", '_count(self._last, "openings") > openings or ', ""),
    ),
    planted(
        "ledger_0644",
        of("batch/test_ledger_opening", "t16_nobody_else_can_read_a_ledger"),
        Patch("batch/_sqlite/location.py", "_PRIVATE: Final = 0o600", "_PRIVATE: Final = 0o644"),
    ),
    planted(
        "ledger_through_a_link",
        of("batch/test_ledger_opening", "a_planted_link_is_refused"),
        Patch("batch/_sqlite/location.py", "os.O_CREAT | os.O_NOFOLLOW |", "os.O_CREAT |"),
    ),
    planted(
        "key_kept_in_the_ledger",
        of("batch/test_states", "a_request_with_a_key_is_not_kept"),
        Patch(
            "batch/_rows.py", '    if "key" in row.request:\n', '    if "keys" in row.request:\n'
        ),
    ),
    planted(
        "done_without_a_file",
        of("batch/test_batch", "d28_a_file_of_somebody_else_is_never_replaced"),
        Patch(
            "batch/_runner.py",
            "        except OutputLost as error:\n"
            "            await self._lost(row, error)\n"
            "            raise\n"
            "        self._arrivals.arrived()\n",
            "        except ModelsLabError:\n"
            "            one = dict(path=Path(row.id), size=0, sha256='', seconds=None)\n"
            "            one |= dict(sample_rate=0, channels=0, source_sha256='')\n"
            "            one |= dict(integrity=row.state, silent=True)\n"
            "            saved = (SavedFile(**one),)\n"
            "        self._arrivals.arrived()\n",
        ),
    ),
    planted(
        "removed_rows_are_paid_for",
        of(
            "batch/test_follows",
            "m09_a_removal_holds_though_nothing_else_is_left_to_do",
        ),
        Patch("_cli/batch_run.py", "        if plan.alters:", "        if not plan.alters:"),
    ),
    planted(
        "replaces_what_was_sent",
        of("batch/test_follows", "m09_requests_that_come_one_by_one_replace_nothing"),
        Patch(
            "batch/_sqlite/store.py",
            "            elif replaces and known.state in UNSENT:\n",
            "            elif True:\n",
        ),
    ),
    planted(
        "pays_on_while_no_file_arrives",
        of(
            "batch/test_arrivals",
            "m05_no_more_is_paid_for_when_no_file_arrives[expired-fast]",
        ),
        Patch(
            "batch/_runner.py",
            "            if not self._arrivals.are_late:\n",
            "            if True:\n",
        ),
        Patch(
            "batch/_runner.py",
            "        if not self._arrivals.pay(row.seq, alone=alone):\n",
            "        if False:\n",
        ),
    ),
    planted(
        "taken_name_is_found_after_payment",
        of(
            "batch/test_arrivals",
            "m04_all_names_of_a_lost_ledger_are_found_and_nothing_is_paid_again",
        ),
        Patch("batch/_runner.py", "        if taken is not None:\n", "        if False:\n"),
    ),
    planted(
        "the_jobs_of_a_run_are_not_counted",
        of(
            "batch/test_limits",
            "m02_a_run_pays_for_as_many_jobs_as_it_was_told_to_and_the_next_for_the_rest",
        ),
        Patch("batch/_limits.py", "            self.left -= jobs\n", "            pass\n"),
    ),
    planted(
        "a_file_that_was_named_otherwise_is_not_looked_for",
        of(
            "cli/test_names",
            "n15_a_file_that_another_run_named_otherwise_is_not_paid_for_again",
        ),
        Patch(
            "batch/_runner.py",
            "for ascii_only in (False, True)\n",
            "for ascii_only in (self._ascii_only,)\n",
        ),
    ),
    planted(
        "room_is_kept_through_the_download",
        of(
            "batch/test_batch",
            "the_next_submit_leaves_when_a_job_is_finished_and_not_when_its_file_is_here",
        ),
        Patch(
            "batch/_runner.py",
            "            if not held:\n                self._room.release()\n",
            "            pass\n",
        ),
        Patch(
            "batch/_runner.py",
            "            self._backlog.release()\n",
            "            self._backlog.release()\n            self._room.release()\n",
        ),
    ),
    planted(
        "results_unescaped",
        of("batch/test_results", "a_line_is_one_line_and_comes_back"),
        Patch(
            "batch/_results.py",
            'allow_nan=False) + "\\n").encode("ascii")',
            'allow_nan=False, ensure_ascii=False) + "\\n").encode("utf-8", "replace")',
        ),
    ),
    planted(
        "half_a_results_file",
        of("batch/test_results", "results_that_are_out_of_order_replace_nothing"),
        Patch(
            "batch/_results.py",
            "    part = directory / _PART_NAME\n",
            "    part = directory / RESULTS_NAME\n",
        ),
    ),
    planted(
        "the_path_is_not_checked_before_an_intent",
        of("batch/test_directory", "x23_a_directory_that_is_lost_while_a_batch_runs_stops_it"),
        Patch(
            "batch/_sqlite/store.py",
            "                self.check_directory()\n                self.",
            "                self.",
        ),
        Patch("batch/_batch.py", "            await self.ledger.check()\n", "            pass\n"),
        Patch("batch/_runner.py", "            await self._ledger.check()\n", "            pass\n"),
    ),
    planted(
        "a_copy_is_taken_for_the_original",
        of("batch/test_directory", "t36_a_copy_asks_its_user_before_it_pays"),
        Patch("batch/_sqlite/identity.py", "known is not None and known != now", "False"),
    ),
    planted(
        "an_old_ledger_in_the_same_file_is_taken_for_the_present",
        of("batch/test_directory", "t36_an_old_state_without_the_rows_that_were_paid_for_since"),
        Patch(
            "batch/_sqlite/identity.py",
            "    return known != now\n",
            "    return [file[1:] for file in known] != [file[1:] for file in now]\n",
        ),
    ),
    planted(
        "the_end_of_a_log_is_not_missed",
        of("batch/test_directory", "l21_a_damaged_end_of_the_log_is_noticed"),
        Patch("batch/_sqlite/location.py", ' or _count(self._last, "steps") > steps', ""),
    ),
    planted(
        "the_hash_is_written_after_the_name",
        of("batch/test_directory", "d42_a_published_file_needs_no_link_any_more"),
        Patch("batch/_runner.py", "None if file.index else expect", "None"),
    ),
    planted(
        "who_reads_leaves_files",
        of("batch/test_ledger_reading", "l22_reading_leaves_a_directory_as_it_is"),
        Patch("batch/_sqlite/reader.py", "mode=ro&immutable=1", "mode=ro"),
    ),
)
