"""Bugs that pay twice, or lose what was paid for."""

from __future__ import annotations

from .mutant import Patch, of, planted

_BROKEN = "a_broken_answer_is_unknown_and_never_asked_for_again"

MUTANTS = (
    planted(
        "probe_takes_an_unsent_job_for_paid",
        of("cli/test_probe", "a_job_that_was_never_sent_is_asked_about_again"),
        Patch("_cli/probe.py", "if row.state not in unsent}", "if row.attempt}"),
    ),
    planted(
        "retry_post_on_timeout",
        of("engine/test_submit_faults", f"{_BROKEN}[s15_silent_after_accepting]"),
        Patch(
            "_engine/submit.py",
            "    if answer.sent:\n",
            "    if answer.sent and not answer.timed_out:\n",
        ),
    ),
    planted(
        "retry_post_on_reset",
        of("engine/test_submit_faults", f"{_BROKEN}[s10_reset_after_accepting]"),
        Patch("_engine/http.py", "context.trace_request_ctx.sent = True", "pass"),
    ),
    planted(
        "retry_on_5xx",
        of(
            "engine/test_submit_faults",
            "a_breakdown_of_the_server_is_unknown[s18_json_500-accepted]",
        ),
        Patch(
            "_policy/submit.py",
            '            reason = "the server reports an internal error"\n',
            '            return NotSent("the server reports an internal error")\n',
        ),
    ),
    planted(
        "retry_on_a_page",
        of(
            "engine/test_submit_faults",
            "a_breakdown_of_the_server_is_unknown[s18_edge_500-accepted]",
        ),
        Patch(
            "_policy/submit.py",
            'return Unknown(f"the response is {reply.reason} (HTTP {status})", _hint(reply))',
            'return NotSent(f"the response is {reply.reason} (HTTP {status})")',
        ),
    ),
    planted(
        "full_queue_with_a_job_is_sent_again",
        of("policy/test_submit", "a_full_queue_that_names_a_job_is_never_sent_again"),
        Patch(
            "_policy/submit.py",
            "        case _ if reply.id is not None:\n",
            "        case _ if reply.id is not None and reply.reason is not Refusal.RATE:\n",
        ),
    ),
    planted(
        "broken_answer_about_a_queue_is_a_refusal",
        of(
            "policy/test_submit",
            "s14_a_ticket_cut_short_is_unknown_though_its_prompt_speaks_of_a_full_queue",
        ),
        Patch(
            "_protocol/replies.py",
            'return b"<" not in body and b"{" not in body',
            "return bool(body)",
        ),
        Patch(
            "_protocol/wording.py",
            "map(_QUEUE_FULL.fullmatch, sentences)",
            "map(_QUEUE_FULL.search, sentences)",
        ),
    ),
    planted(
        "redirect_of_a_submit_is_a_refusal",
        of("policy/test_submit", "s33_a_redirect_proves_nothing"),
        Patch("_protocol/replies.py", "if 300 <= status < 400:", "if status < 0:"),
    ),
    planted(
        "a_readable_error_is_a_refusal",
        of(
            "engine/test_submit_faults",
            "what_does_not_prove_that_no_job_exists_is_unknown[s40_conflict-accepted]",
        ),
        Patch(
            "_protocol/replies.py",
            "        return Refusal.SERVER if failed else None\n    if server_problem:",
            "        return Refusal.REQUEST if failed else None\n    if server_problem:",
        ),
    ),
    planted(
        "words_of_a_server_in_trouble_are_a_refusal",
        of(
            "policy/test_submit",
            "s40_a_server_in_trouble_proves_nothing_under_any_status",
        ),
        Patch("_protocol/wording.py", "any(map(_SERVER_PROBLEM.search, sentences))", "False"),
    ),
    planted(
        "a_page_of_a_gate_is_a_refusal",
        of(
            "policy/test_submit",
            "s41_what_anybody_on_the_way_may_have_said_proves_nothing",
        ),
        Patch(
            "_protocol/replies.py", "status in _REFUSING_STATUS and (shaped or", "(status < 430 or"
        ),
    ),
    planted(
        "the_prompt_is_read_as_the_refusal",
        of("protocol/test_wording", "s42_a_bad_request_is_one_whatever_prompt_it_quotes"),
        Patch("_protocol/wording.py", "if pair in own.pairs:", "if pair in ():"),
    ),
    planted(
        "an_error_that_names_a_job_is_no_job",
        of(
            "engine/test_submit_faults",
            "s44_an_answer_that_names_a_job_is_followed_whatever_else_it_says[error]",
        ),
        Patch("_policy/submit.py", "case _ if reply.id is not None:", "case _ if not reply:"),
    ),
    planted(
        "one_id_for_two_submits_is_believed",
        of(
            "engine/test_submit_faults",
            "one_id_for_two_submits_is_unknown_and_the_first_job_stands[s35]",
        ),
        Patch(
            "_engine/submit.py",
            "        if (path, job_id) in self._known:\n            return Unknown(",
            "        if not job_id:\n            return Unknown(",
        ),
    ),
    planted(
        "paid_call_on_an_idle_connection",
        of("engine/test_submit_faults", "s31_every_submit_has_a_connection_of_its_own"),
        Patch("_engine/http.py", "limit=0, force_close=True", "limit=0"),
    ),
    planted(
        "answer_of_a_loop_that_stood_still_is_thrown_away",
        of(
            "engine/test_submit_faults",
            "x14_an_answer_that_came_while_the_loop_stood_still_is_read_before_time_is_up",
        ),
        Patch("_engine/aio.py", "asyncio.timeout(None)", "asyncio.timeout(seconds)"),
    ),
    planted(
        "a_webhook_gives_the_job_of_another",
        of(
            "webhooks/test_jobs",
            "w05_a_delivery_takes_no_job_from_a_submit_whose_answer_is_on_its_way",
        ),
        Patch(
            "_engine/submit.py",
            "if news.track_id not in (None, str(submission.track_id)):",
            "if not known:",
        ),
    ),
    planted(
        "no_shield",
        of(
            "engine/test_cancelling",
            "a_job_that_is_cancelled_anywhere_has_a_name[submit-x01_anyio_scope]",
        ),
        Patch("_engine/aio.py", "anyio.CancelScope(shield=True)", "anyio.CancelScope()"),
        Patch("_engine/aio.py", "                cancelled = error\n", "                raise\n"),
    ),
    planted(
        "anyio_shield_only",
        of(
            "engine/test_cancelling",
            "a_job_that_is_cancelled_anywhere_has_a_name[submit-x03_native_three_times]",
        ),
        Patch("_engine/aio.py", "                cancelled = error\n", "                raise\n"),
    ),
    planted(
        "asyncio_shield_only",
        of(
            "batch/test_planted",
            "x01_a_scope_that_is_cancelled_does_not_spin_while_an_answer_comes",
        ),
        Patch("_engine/aio.py", "anyio.CancelScope(shield=True)", "anyio.CancelScope()"),
    ),
    planted(
        "swallow_cancelled_error",
        of(
            "engine/test_cancelling",
            "x03_a_cancelled_caller_of_a_silent_server_is_told_that_a_job_may_exist[1]",
            "a_cancellation_that_holds_a_job_says_how_to_go_on_with_it",
        ),
        Patch(
            "_engine/submit.py",
            "attempt.submission)\n            raise cancelled\n",
            "attempt.submission)\n",
        ),
    ),
    planted(
        "cancelled_submit_drops_its_job",
        of(
            "engine/test_cancelling",
            "a_job_that_is_cancelled_anywhere_has_a_name[submit-x02_native]",
        ),
        Patch("_engine/submit.py", "cancelled.job = job.to_json()", "str(job.to_json())"),
        Patch("_engine/poll.py", "return tuple(self._watched.values())", "return ()"),
    ),
    planted(
        "cancelled_generate_drops_its_job",
        of("batch/test_planted", "x02_who_is_cancelled_while_his_job_runs_is_given_the_job"),
        Patch("client.py", "            cancelled.job = job.to_json()", "            str(job)"),
    ),
    planted(
        "cancelled_already_and_pays",
        of("engine/test_cancelling", "x01_a_scope_that_is_cancelled_already_does_not_pay"),
        Patch("_engine/submit.py", "        await anyio.lowlevel.checkpoint()", "        pass"),
    ),
    planted(
        "close_does_not_wait_for_answers",
        of(
            "engine/test_slots",
            "a_client_waits_for_the_answer_to_what_it_has_sent_before_it_closes",
        ),
        Patch(
            "_engine/submit.py", "        if self._sending:\n", "        if not self._sending:\n"
        ),
    ),
    planted(
        "reconciler_takes_any_job_with_the_track_id",
        of(
            "batch/test_money",
            "a_job_of_somebody_else_with_the_same_track_id_is_not_taken",
        ),
        Patch(
            "batch/_reconcile.py",
            "    return own and job.prompt is not None and job.prompt != row.prompt\n",
            "    return not own and job.prompt == row.prompt == ''\n",
        ),
    ),
    planted(
        "webhook_of_another_job_is_adopted",
        of(
            "batch/test_webhook",
            "a_delivery_that_names_a_job_with_another_track_id_finds_nothing",
        ),
        Patch(
            "batch/_reconcile.py",
            "if found.track_id in (None, track_id) and not",
            "if not",
        ),
    ),
    planted(
        "limit_forgets_earlier_runs",
        of("batch/test_money", "a_limit_of_jobs_holds_over_several_runs"),
        Patch(
            "batch/_limits.py",
            "        budget.charge(price or Decimal(0), jobs)\n",
            "        budget.charge(price or Decimal(0), 0)\n",
        ),
    ),
    planted(
        "history_counts_at_todays_price",
        of(
            "batch/test_limits",
            "m02_what_died_between_intent_and_answer_counts_at_its_price",
        ),
        Patch(
            "batch/_sqlite/store.py",
            "row.cost if paid else None",
            "None",
        ),
    ),
    planted(
        "pays_for_rows_that_nobody_agreed_to",
        of(
            "batch/test_limits",
            "m06_nothing_is_sent_when_other_rows_are_planned_than_were_agreed_to",
        ),
        Patch("batch/_batch.py", "        if confirmed is None:\n", "        if confirmed:\n"),
    ),
    planted(
        "confirm_whatever_the_family",
        of("batch/test_enterprise", "what_was_confirmed_is_not_sent_to_another_family"),
        Patch(
            "batch/_confirmed.py",
            "storable(payload_hash), enterprise)",
            "storable(payload_hash), False)",
        ),
    ),
    planted(
        "limits_are_forgotten_by_the_next_run",
        of("batch/test_limits", "m02_resume_keeps_limits_and_changes_those_that_are_named"),
        Patch("batch/_batch.py", "        if limits != kept:\n", "        if limits == kept:\n"),
    ),
    planted(
        "project_file_lowers_a_price",
        of("batch/test_limits", "m03_a_projects_file_never_lowers_a_price"),
        Patch(
            "_cli/known_settings.py",
            "        safer=max,\n    ),\n}",
            "        safer=min,\n    ),\n}",
        ),
        Patch(
            "_cli/settings.py",
            "        return own if known.safer(first.value, own.value) == own.value else first\n",
            "        return first\n",
        ),
    ),
    planted(
        "project_file_lowers_a_price_by_one_of_an_endpoint",
        of("batch/test_limits", "m03_a_projects_file_never_lowers_a_price"),
        Patch("_cli/settings.py", "for name in own} - users:", "for name in own} & set():"),
    ),
    planted(
        "other_preference_of_the_client_makes_other_rows",
        of(
            "batch/test_enterprise",
            "a_planned_row_keeps_its_family_when_the_client_prefers_another",
        ),
        Patch(
            "batch/_records.py",
            "return _rows.PlannedRow(self.id, record, self.payload_hash, self.request.title)",
            'return _rows.PlannedRow(self.id, record, f"{self.payload_hash}{enterprise}", "")',
        ),
    ),
)
