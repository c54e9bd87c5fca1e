"""Bugs of time: too early, too often, for ever, and places in the queue that are lost."""

from __future__ import annotations

from .mutant import Patch, of, planted

_ENDED = "    if ended is not None:\n        return ended\n"

MUTANTS = (
    planted(
        "slot_given_back_before_the_job_ends",
        of(
            "engine/test_cancelling",
            "a_submit_that_is_cancelled_while_it_waits_for_a_place_is_not_sent[x02_native]",
        ),
        Patch(
            "_engine/submit.py",
            "                await self._poller.watch(result.outcome)\n",
            "                attempt.slot.release()\n"
            "                await self._poller.watch(result.outcome)\n",
        ),
    ),
    planted(
        "slot_not_given_back",
        of("engine/test_slots", "a_place_is_free_before_the_download_begins"),
        Patch(
            "_engine/submit.py",
            "        finally:\n            attempt.slot.release()\n",
            "        finally:\n            pass\n",
        ),
    ),
    planted(
        "slot_not_given_back_on_failure",
        of("batch/test_planted", "a_submit_whose_journal_fails_gives_its_place_back"),
        Patch(
            "_engine/submit.py",
            "        except ModelsLabError as error:\n            attempt.slot.release()\n",
            "        except ModelsLabError as error:\n",
        ),
    ),
    planted(
        "slot_given_back_twice",
        of("engine/test_slots", "a_place_given_back_twice_is_given_back_once"),
        Patch("_engine/queue.py", "slots, self._slots = self._slots, None", "slots = self._slots"),
    ),
    planted(
        "slot_lost_with_a_cancelled_waiter",
        of(
            "engine/test_slots",
            "a_place_handed_to_a_waiter_that_is_just_cancelled_goes_to_the_next",
        ),
        Patch(
            "_engine/queue.py",
            "                slot.release()  # it was",
            "                pass  # it was",
        ),
    ),
    planted(
        "no_slots_at_all",
        of("engine/test_slots", "a_cancelled_waiter_leaves_the_line"),
        Patch(
            "_engine/queue.py", "return self._taken < self._pace.limit and now()", "return now()"
        ),
    ),
    planted(
        "newcomers_go_before_who_was_refused",
        of("engine/test_slots", "who_was_refused_before_goes_before_newcomers"),
        Patch(
            "_engine/queue.py", "self._waiting.appendleft(waiter)", "self._waiting.append(waiter)"
        ),
    ),
    planted(
        "each_client_has_slots_of_its_own",
        of("batch/test_planted", "clients_of_one_account_have_the_same_slots"),
        Patch("_engine/queue.py", ".setdefault(account, Slots())", ".pop(account, Slots())"),
    ),
    planted(
        "refusal_leaves_the_slots_as_they_are",
        of("policy/test_queue", "a_refusal_that_names_no_maximum_halves_the_slots"),
        Patch("_policy/queue.py", "limit=max(1, self.limit // 2)", "limit=self.limit"),
    ),
    planted(
        "retry_after_is_not_obeyed",
        of("engine/test_submit_limits", "nothing_is_sent_before_the_wait_is_over"),
        Patch(
            "_engine/queue.py",
            " and now() >= self._pace.next_submit_at()\n",
            " and now() >= 0 * self._pace.next_submit_at()\n",
        ),
    ),
    planted(
        "retry_after_uncapped_for_submits",
        of("policy/test_queue", "s23_a_wait_that_nobody_sleeps_through_is_said_out_loud"),
        Patch(
            "_policy/queue.py",
            "remaining if remaining > MAX_WAIT else None",
            "remaining if remaining < 0 else None",
        ),
    ),
    planted(
        "retry_after_uncapped_for_polls",
        of(
            "policy/test_poll",
            "p06_a_rate_limit_pauses_the_questions_about_every_job",
        ),
        Patch(
            "_policy/poll.py",
            ", MAX_PAUSE)\n\n\ndef _ended(",
            ", 1e12)\n\n\ndef _ended(",
        ),
    ),
    planted(
        "retry_after_uncapped_for_files",
        of("policy/test_download", "no_host_makes_us_wait_beyond_our_patience"),
        Patch("_policy/download.py", "Get(0, min(remaining, max(", "Get(0, max(remaining, max("),
    ),
    planted(
        "jitter_downward",
        of("policy/test_poll", "the_draw_only_ever_lengthens_a_wait"),
        Patch("_policy/poll.py", _ENDED, _ENDED + "    draw = -draw\n"),
    ),
    planted(
        "nan_eta",
        of("protocol/test_replies", "an_eta_that_is_no_number_of_seconds_reads_as_none"),
        Patch(
            "_protocol/wire_json.py",
            "return number if math.isfinite(number) else None",
            "return number",
        ),
    ),
    planted(
        "eta_of_thirty_years",
        of("policy/test_poll", "s39_the_first_question_comes_near_the_eta_within_bounds"),
        Patch("_policy/poll.py", "MAX_FIRST_WAIT = 900.0", "MAX_FIRST_WAIT = 9e9"),
    ),
    planted(
        "wall_clock_deadlines",
        of("engine/test_download_faults", "d40_a_jump_of_the_wall_clock_changes_nothing"),
        Patch(
            "_engine/aio.py",
            "        return now() - self._stopped - self._late()\n",
            "        import time\n\n        return time.time()\n",
        ),
    ),
    planted(
        "time_of_a_stopped_process_counts",
        of(
            "engine/test_stopped",
            "x24_a_submit_whose_process_is_stopped_keeps_the_rest_of_its_time[20]",
        ),
        Patch("_engine/aio.py", "min(left, seconds / _TICKS, _LONGEST_TICK)", "left"),
    ),
    planted(
        "patience_ends_for_a_stopped_process",
        of(
            "engine/test_stopped",
            "x24_patience_with_dead_links_is_for_as_long_as_the_process_runs[10]",
        ),
        Patch("_engine/aio.py", "late if late > _STOPPED else 0.0", "0.0"),
    ),
    planted(
        "a_link_is_left_for_a_stopped_process",
        of(
            "engine/test_stopped",
            "x24_a_download_whose_process_is_stopped_is_one_download[in_the_body-5.0]",
        ),
        Patch(
            "_engine/storage.py",
            "time_limit(seconds, grace=GRACE):",
            "asyncio.timeout(seconds):",
        ),
        Patch("_engine/storage.py", "import socket\n", "import asyncio\nimport socket\n"),
    ),
    planted(
        "jobs_time_out_for_a_stopped_process",
        of(
            "engine/test_stopped",
            "x24_jobs_of_a_process_that_is_stopped_do_not_time_out_for_it[int-100-200.0]",
        ),
        Patch("_engine/poll.py", "> _MIN_STALL:", "> 1e9:"),
    ),
    planted(
        "shared_inbox_is_not_looked_into",
        of(
            "webhooks/test_elsewhere",
            "w23_a_job_ends_within_a_second_of_its_delivery_to_another_process[a store]",
        ),
        Patch("_engine/webhook.py", "        if self._is_shared:\n", "        if False:\n"),
    ),
    planted(
        "end_of_a_job_frees_no_submit",
        of(
            "engine/test_submit_limits",
            "s48_a_job_that_ends_frees_a_submit_however_long_a_full_queue_asks_to_wait[15-5-30]",
        ),
        Patch("_engine/session.py", "left_queue=slots.ended,", "left_queue=lambda: None,"),
    ),
    planted(
        "sock_read_without_total",
        of("batch/test_planted", "s16_an_answer_that_drips_ends_with_the_time_for_all_of_it"),
        Patch(
            "_engine/http.py",
            "                time_limit(timeout, grace=GRACE),\n",
            "                time_limit(1e9),\n",
        ),
        Patch(
            "_engine/http.py",
            "aiohttp.ClientTimeout(total=None, sock_connect=connecting)",
            "aiohttp.ClientTimeout(None, sock_connect=connecting, sock_read=timeout)",
        ),
    ),
    planted(
        "no_time_for_the_resolver",
        of("batch/test_planted", "d09_a_resolver_that_never_answers_is_not_waited_for"),
        Patch("_engine/storage.py", "time_limit(timeout, grace=GRACE)", "time_limit(1e9)"),
    ),
    planted(
        "deadline_beats_what_is_terminal",
        of("policy/test_poll", "what_is_terminal_beats_the_deadline"),
        Patch(
            "_policy/poll.py",
            _ENDED,
            "    if ended is not None and (state.deadline is None or now < state.deadline):\n"
            "        return ended\n",
        ),
    ),
    planted(
        "bad_poll_fails_the_job",
        of(
            "policy/test_poll",
            "p01_p05_bad_answers_never_end_a_job_and_space_the_questions",
        ),
        Patch(
            "_policy/poll.py",
            "        case Refused(reason=Refusal.SERVER | Refusal.RATE):\n"
            "            return None\n        case Refused() | Failed",
            "        case Refused(reason=Refusal.SERVER | Refusal.RATE):\n"
            "            return Stop(state.result)\n        case Refused() | Failed",
        ),
    ),
    planted(
        "one_no_ends_the_job",
        of("engine/test_poll_faults", "one_answer_ends_no_job[p24_key]"),
        Patch(
            "_policy/poll.py",
            "if state.verdict_count > 1 else None",
            "if state.verdict_count else None",
        ),
    ),
    planted(
        "one_long_wait_times_out_the_others",
        of(
            "engine/test_poll_limits",
            "p25_one_long_wait_times_out_neither_its_job_nor_another[30-field]",
        ),
        Patch(
            "_policy/poll.py",
            "if deadline is None or self.not_before < deadline:",
            "if self.not_before >= 0:",
        ),
    ),
    planted(
        "who_is_refused_for_ever_stands_before_all",
        of(
            "engine/test_submit_limits",
            "s43_who_is_refused_again_and_again_does_not_stand_before_all_others[1]",
        ),
        Patch("_engine/submit.py", "retry=0 < tries <= _PRIORITY_RETRIES", "retry=tries > 0"),
    ),
    planted(
        "not_found_is_believed_at_once",
        of("engine/test_poll_faults", "p08_a_job_that_is_not_found_at_first_is_found"),
        Patch("_policy/poll.py", " >= policy.patience:", " >= 0:"),
    ),
    planted(
        "success_of_another_job_is_taken",
        of("engine/test_poll_faults", "p15_the_success_of_another_job_is_ignored"),
        Patch(
            "_policy/poll.py", "return result.id is None or result.id in ids", "return bool(ids)"
        ),
    ),
    planted(
        "timeout_loses_the_job",
        of("engine/test_session", "a_timeout_is_no_loss_and_waiting_again_goes_on"),
        Patch(
            "_policy/error_mapping.py",
            "                job=job,\n                job_id=job_id,\n                "
            "track_id=track_id,\n            )\n        case Failed(reason=Failure.NOT_FOUND",
            "                job_id=job_id,\n                "
            "track_id=track_id,\n            )\n        case Failed(reason=Failure.NOT_FOUND",
        ),
    ),
    planted(
        "poll_budget_is_not_kept",
        of("policy/test_poll", "p20_a_client_asks_at_evenly_spaced_times"),
        Patch("_policy/poll.py", "free_at=at + 1 / self.rate", "free_at=at"),
    ),
)
