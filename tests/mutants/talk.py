"""Bugs of webhooks, of what is shown to people, and of how the command stops."""

from __future__ import annotations

from .mutant import Patch, of, planted

MUTANTS = (
    planted(
        "webhook_trusted_without_a_fetch",
        of("webhooks/test_jobs", "a_job_is_told_of_and_confirmed_by_one_fetch"),
        Patch(
            "_engine/webhook.py",
            "            self._spawn(self._poll(job))\n\n",
            "            from .policy.polling import Finish, Stop\n\n"
            "            told = delivery.reply\n"
            "            job.end(Finish(told) if isinstance(told, Finished) else Stop(told))\n",
        ),
    ),
    planted(
        "links_of_a_webhook_are_used",
        of("webhooks/test_frameworks", "t25_a_link_in_a_delivery_is_left_out[bare_asgi]"),
        Patch(
            "webhooks/_signing.py",
            "return evolve(reply, links=Links(), fetch_result=None, raw={})",
            "return reply",
        ),
    ),
    planted(
        "webhook_answered_before_commit",
        of(
            "webhooks/test_frameworks",
            "w15_a_broken_inbox_is_answered_503_and_the_next_try_counts[bare_asgi]",
        ),
        Patch(
            "webhooks/_receiver.py",
            "                await self.inbox.put(delivery)\n",
            "                import asyncio\n\n"
            "                asyncio.gather(self.inbox.put(delivery), return_exceptions=True)\n",
        ),
    ),
    planted(
        "no_inbox_dedupe",
        of(
            "webhooks/test_inboxes",
            "w04_what_arrives_before_anybody_asks_is_kept_in_order_and_once[sqlite_inbox]",
        ),
        Patch(
            "webhooks/_sqlite_inbox.py",
            "    delivery TEXT NOT NULL,\n    UNIQUE (track_id, digest)\n",
            "    delivery TEXT NOT NULL\n",
        ),
    ),
    planted(
        "repeated_delivery_is_told_again",
        of("webhooks/test_frameworks", "w02_a_repeated_delivery_has_one_effect[bare_asgi]"),
        Patch(
            "webhooks/_receiver.py",
            "        if key not in self._reported:  # an",
            "        if key:  # an",
        ),
    ),
    planted(
        "inbox_synchronous_normal",
        of("batch/test_planted", "l03_a_delivery_outlives_a_power_loss"),
        Patch(
            "webhooks/_sqlite_inbox.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"
        ),
    ),
    planted(
        "token_compared_with_equals",
        of("batch/test_planted", "t21_nothing_secret_is_compared_but_in_constant_time"),
        Patch(
            "webhooks/_signing.py",
            "if hmac.compare_digest(self._token(parts[index], track_id), presented):",
            "if self._token(parts[index], track_id) == presented:",
        ),
    ),
    planted(
        "key_compared_with_equals",
        of("batch/test_planted", "t21_nothing_secret_is_compared_but_in_constant_time"),
        Patch(
            "_engine/secret.py",
            "return hmac.compare_digest(self._value, other._value)",
            "return self._value == other._value",
        ),
    ),
    planted(
        "token_of_another_job_passes",
        of("webhooks/test_core", "a_token_is_not_that_of_another_job_version_or_secret"),
        Patch("webhooks/_signing.py", '_bytes(f"{version}/{track_id}")', "_bytes(version)"),
    ),
    planted(
        "access_log_on",
        of("webhooks/test_frameworks", "t24_no_token_is_in_any_log[own_listener]"),
        Patch(
            "webhooks/_aiohttp_app.py",
            "        access_log=None,\n",
            '        access_log=logging.getLogger("access"),\n',
        ),
    ),
    planted(
        "token_in_the_scope",
        of("webhooks/test_frameworks", "t24_no_token_is_in_any_log[fastapi_under_uvicorn]"),
        Patch(
            "webhooks/_asgi.py",
            '        scope["path"] = scope["path"].rpartition("/")[0] + "/..."\n',
            "",
        ),
    ),
    planted(
        "token_in_the_log_of_aiohttp",
        of("webhooks/test_frameworks", "t24_no_token_is_in_any_log[aiohttp_application]"),
        Patch(
            "webhooks/_aiohttp_app.py",
            '("aiohttp.access", "aiohttp.server")',
            '("aiohttp.server",)',
        ),
    ),
    planted(
        "token_in_the_log_of_what_is_no_http",
        of("webhooks/test_frameworks", "t24_a_request_that_is_no_http_leaves_no_token_in_any_log"),
        Patch(
            "webhooks/_aiohttp_app.py",
            '("aiohttp.access", "aiohttp.server")',
            '("aiohttp.access",)',
        ),
    ),
    planted(
        "slow_body_is_waited_for",
        of("webhooks/test_listener", "w10_w11_a_slow_request_is_ended"),
        Patch(
            "webhooks/_aiohttp_app.py",
            "anyio.move_on_after(BODY_SECONDS)",
            "anyio.move_on_after(None)",
        ),
    ),
    planted(
        "webhook_is_unpacked",
        of(
            "webhooks/test_frameworks",
            "w08_a_compressed_body_is_not_unpacked[own_listener]",
        ),
        Patch("webhooks/_signing.py", "        return 415\n", "        return None\n"),
        Patch("webhooks/_aiohttp_app.py", "auto_decompress=False", "auto_decompress=True"),
    ),
    planted(
        "flood_of_hints_is_a_flood_of_questions",
        of(
            "webhooks/test_jobs",
            "w17_a_flood_of_hints_about_one_job_brings_one_fetch_a_second_at_most",
        ),
        Patch("_engine/webhook.py", "if job.identity in self._polled_at:\n", "if False:\n"),
    ),
    planted(
        "server_message_printed_raw",
        of("cli/test_talk", "what_the_server_says_cannot_act_on_the_terminal"),
        Patch(
            "_protocol/wire_values.py",
            'return safe_text("; ".join(dict.fromkeys(words)))',
            'return "; ".join(dict.fromkeys(words))',
        ),
    ),
    planted(
        "json_of_any_depth",
        of("protocol/test_wire_json", "what_cannot_be_kept_is_refused_in_words_of_ours"),
        Patch(
            "_protocol/wire_json.py",
            "        return _without_surrogates(value, MAX_DEPTH)\n",
            "        return value\n",
        ),
    ),
    planted(
        "json_with_integers_of_any_length",
        of("protocol/test_wire_json", "json_is_read_into_values_that_are_safe_to_keep"),
        Patch(
            "_protocol/wire_json.py",
            "return int(digits) if len(digits) <= _MAX_DIGITS else None",
            "return int(digits)",
        ),
    ),
    planted(
        "text_of_a_server_becomes_a_path",
        of("engine/test_download_faults", "t14_no_text_of_a_server_becomes_a_path"),
        Patch("client.py", "slug(file.job_id or 'track', ascii_only=True)", "file.job_id"),
    ),
    planted(
        "sigterm_handler_missing",
        of(
            "cli/test_stopping",
            "a_signal_submits_nothing_more_and_ends_with_the_command_that_goes_on[SIGTERM]",
        ),
        Patch("_cli/signals.py", "(signal.SIGINT, signal.SIGTERM)", "(signal.SIGINT,)"),
    ),
    planted(
        "second_signal_does_nothing",
        of("cli/test_stopping", "the_second_signal_leaves_at_once_and_says_which_job_may_exist"),
        Patch(
            "_cli/signals.py", "            os._exit(128 + self.number)\n", "            return\n"
        ),
    ),
    planted(
        "unfinished_is_called_success",
        of("cli/test_batch", "code_8_when_jobs_fail_and_only_retry_pays_for_new_ones"),
        Patch(
            "_cli/batch_run.py",
            "return SOME_FAILED if missing else check.exit_code",
            "return OK if missing else OK",
        ),
    ),
)
