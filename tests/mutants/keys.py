"""Bugs that let the key out, or let a foreign link reach forbidden hosts."""

from __future__ import annotations

from .mutant import Patch, of, planted

MUTANTS = (
    planted(
        "span_with_the_words_of_the_server",
        of("telemetry/test_telemetry", "nothing_secret_is_in_spans_metrics_and_logs"),
        Patch(
            "telemetry/_spans.py",
            "words = event.reason if self._prompts else None",
            "words = event.reason",
        ),
    ),
    planted(
        "recording_with_unknown_texts",
        of("protocol/test_recorded", "what_no_rule_knows_is_replaced"),
        Patch("_protocol/recorded.py", 'else self._named("text", value)', "else value"),
    ),
    planted(
        "recording_with_the_words_sent",
        of("protocol/test_recorded", "no_run_of_eight_characters_of_a_prompt_comes_back"),
        Patch("_protocol/recorded.py", "for text in _texts(fields):", "for text in ():"),
    ),
    planted(
        "allow_redirects_on_the_api",
        of("engine/test_key", "t02_no_redirect_of_a_keyed_request_is_followed[{foreign}/x-307]"),
        Patch("_engine/http.py", "allow_redirects=False", "allow_redirects=True"),
    ),
    planted(
        "follow_to_http",
        of("engine/test_storage", "t09_a_redirect_away_from_https_is_refused"),
        Patch(
            "_protocol/links.py",
            'if scheme == "https" and (new_scheme or scheme) != "https":',
            'if scheme == "ftp" and (new_scheme or scheme) != "https":',
        ),
    ),
    planted(
        "plain_http_to_a_foreign_host",
        of("protocol/test_urls", "a_base_url_that_would_spill_the_key_is_refused_with_advice"),
        Patch(
            "_protocol/urls.py",
            'if scheme == "http" and not is_loopback(host):',
            'if scheme == "ftp" and not is_loopback(host):',
        ),
    ),
    planted(
        "accept_fetch_result_host",
        of("engine/test_key", "t03_a_foreign_fetch_result_is_not_asked[foreign]"),
        Patch(
            "_engine/submit.py",
            "        route = fetch_route(reply.fetch_result, self._origin)\n",
            "        route = fetch_route(reply.fetch_result, self._origin) or (\n"
            '            (reply.fetch_result or "").rpartition("/")[0], reply.id or "")\n',
        ),
        Patch(
            "_engine/http.py",
            "                    self._origin + path,\n",
            '                    path if "://" in path else self._origin + path,\n',
        ),
    ),
    planted(
        "fetch_result_of_any_origin",
        of("protocol/test_urls", "a_fetch_result_is_compared_with_the_configured_origin"),
        Patch(
            "_protocol/urls.py",
            "        if origin(fetch_result) != origin(base_url):\n",
            "        if not origin(fetch_result) or not origin(base_url):\n",
        ),
    ),
    planted(
        "no_id_pattern",
        of("engine/test_submit_faults", "s29_a_ticket_with_an_id_of_no_use_is_unknown['../x']"),
        Patch(
            "_protocol/urls.py",
            "if isinstance(value, str) and _ID.fullmatch(value):",
            "if isinstance(value, str) and value:",
        ),
    ),
    planted(
        "key_stays_in_answers",
        of("engine/test_key", "a_job_failure_repeats_the_servers_words_without_the_key"),
        Patch("_engine/http.py", "self._secret.redact(decoded.body)", "decoded.body"),
    ),
    planted(
        "escaped_keys_stay_in_answers",
        of("engine/test_key", "t42_a_key_that_shows_only_after_decoding_is_removed"),
        Patch(
            "_engine/redaction.py", "        if decoded == text:\n", "        if decoded != text:\n"
        ),
    ),
    planted(
        "tokens_stay_in_answers",
        of("engine/test_key", "t42_the_secret_of_a_webhook_is_removed_from_what_the_api_says"),
        Patch("_engine/http.py", "self._tokens.redact(", "bytes("),
    ),
    planted(
        "a_body_in_a_frame",
        of(
            "security/test_frames",
            "t43_a_large_upload_shows_nothing_while_it_waits_and_when_it_fails",
        ),
        Patch(
            "_protocol/wire_json.py",
            'data: bytes = field(repr=lambda data: f"<{len(data)} bytes>")',
            "data: bytes",
        ),
    ),
    planted(
        "key_in_the_log",
        of("engine/test_key", "a_cancelled_submit_shows_no_key"),
        Patch(
            "_engine/http.py",
            "        session = self._paid_session if paid else self._session\n",
            "        session = self._paid_session if paid else self._session\n"
            '        _log.debug("POST %s %s", path, self._secret.with_key(b"{}"))\n',
        ),
    ),
    planted(
        "key_in_a_repr",
        of("engine/test_key", "t01_there_are_twelve_ways_to_print_a_secret_and_none_shows_it"),
        Patch(
            "_engine/secret.py",
            '    def __format__(self, _: str) -> str:\n        return "***"\n',
            "    def __format__(self, _: str) -> str:\n        return self._value\n",
        ),
    ),
    planted(
        "key_in_a_query",
        of("batch/test_planted", "t17_the_key_is_in_no_url_and_no_header"),
        Patch(
            "_engine/http.py",
            "                    self._origin + path,\n",
            '                    self._origin + path + "?key=" + self._secret._value,\n',
        ),
    ),
    planted(
        "key_in_a_pickle",
        of("engine/test_secret", "t01_a_key_is_not_taken_for_text_or_stored"),
        Patch(
            "_engine/secret.py",
            '        raise TypeError("an API key cannot be pickled; '
            "set it in each process's environment\")",
            "        return (Secret, (self._value,))",
        ),
    ),
    planted(
        "one_session_for_api_and_cdn",
        of("batch/test_planted", "t06_a_client_connects_to_no_name_that_leads_inside"),
        Patch(
            "_engine/session.py",
            "        self.slots = slots = slots_of(",
            "        await storage._session.close()\n"
            "        storage._session = self.transport._session\n"
            "        self.slots = slots = slots_of(",
        ),
    ),
    planted(
        "default_cookie_jar",
        of("batch/test_planted", "t31_a_cookie_of_a_host_with_a_name_is_not_kept"),
        Patch("_engine/http.py", "aiohttp.DummyCookieJar()", "aiohttp.CookieJar()"),
    ),
    planted(
        "resolver_only_ssrf_check",
        of("batch/test_planted", "t06_a_name_that_leads_inside_later_is_not_connected_to[1]"),
        Patch("_engine/storage.py", "socket_factory=factory", "socket_factory=None"),
        Patch(
            "_engine/storage.py",
            "        timeout = self._policy.timeout\n        try:\n",
            "        timeout = self._policy.timeout\n"
            "        for info in socket.getaddrinfo(link.host, link.port):\n"
            "            if forbidden_address(str(info[4][0]), allow_loopback=False):\n"
            "                raise LinkFailed(AttemptFailure(FailureKind.REFUSED, _FORBIDDEN))\n"
            "        try:\n",
        ),
    ),
    planted(
        "no_check_of_the_socket",
        of(
            "engine/test_storage",
            "t06_a_public_name_that_leads_inside_is_not_connected_to[127.0.0.1]",
        ),
        Patch("_engine/storage.py", "socket_factory=factory", "socket_factory=None"),
    ),
    planted(
        "mapped_addresses_pass",
        of("protocol/test_addresses", "any_other_address_may_not_be_connected_to"),
        Patch(
            "_protocol/addresses.py",
            "        address = address.ipv4_mapped\n    if address.is_loopback:",
            "        return False\n    if address.is_loopback:",
        ),
    ),
    planted(
        "what_is_inside_an_address_is_not_judged",
        of("protocol/test_addresses", "t39_an_address_that_stands_for_a_private_one_may_not"),
        Patch(
            "_protocol/addresses.py",
            "    if any(_forbids_embedded(one, allowed) for one in inner):\n",
            "    if not inner and any(_forbids_embedded(one, allowed) for one in inner):\n",
        ),
    ),
    planted(
        "a_range_allows_this_machine",
        of("protocol/test_addresses", "t40_no_range_allows_this_machine_its_link_or_a_group"),
        Patch(
            "_protocol/addresses.py",
            "    if _is_unroutable(address) or any(map(_is_never_allowed, inner)):\n",
            "    if _is_unroutable(address) and not allowed:\n",
        ),
    ),
    planted(
        "links_are_put_in_order",
        of("engine/test_links", "d48_a_redirect_to_a_signed_link_is_followed_as_it_is_spelled"),
        Patch(
            "_engine/storage.py",
            "path=link.target, encoded=True)",
            "path=link.target)",
        ),
    ),
    planted(
        "a_host_may_drip_for_ever",
        of("engine/test_links", "d49_hosts_that_drip_for_ever_do_not_keep_others_waiting"),
        Patch(
            "_engine/speed.py",
            "if slow is not None and data:",
            "if slow is not None and not data:",
        ),
    ),
    planted(
        "links_are_not_checked",
        of("engine/test_storage", "t05_no_place_of_an_answer_leads_into_the_network_around_us"),
        Patch(
            "_protocol/links.py",
            "    _check_host(scheme, host, allow_loopback=allow_loopback, allowed=allowed)\n",
            "",
        ),
        Patch("_engine/storage.py", "socket_factory=factory", "socket_factory=None"),
    ),
    planted(
        "redirects_without_end",
        of(
            "engine/test_download_faults",
            "a_redirect_is_followed_three_times_to_where_a_link_may_lead[d21_four_times]",
        ),
        Patch("_engine/storage.py", "_MAX_REDIRECTS = 3", "_MAX_REDIRECTS = 30"),
    ),
    planted(
        "proxies_of_the_environment",
        of("security/test_one_origin", "t08_nothing_of_the_environment_leads_elsewhere"),
        Patch(
            "_engine/http.py",
            "proxies=proxies_of(os.environ) if self.trust_env else Proxies()",
            "proxies=proxies_of(os.environ)",
        ),
    ),
    planted(
        "a_netrc_is_read",
        of("security/test_one_origin", "t08_nothing_of_the_environment_leads_elsewhere"),
        Patch("_engine/http.py", "trust_env=False,\n", "trust_env=True,\n"),
    ),
    planted(
        "a_proxy_takes_the_guard_off",
        of("engine/test_proxies", "t05_what_goes_around_the_proxy_is_guarded"),
        Patch(
            "_engine/storage.py",
            "self._session_of(self._checked_socket)",
            "self._session_of(None if self._network.trust_env else self._checked_socket)",
        ),
    ),
    planted(
        "any_certificate",
        of("engine/test_storage", "t09_a_certificate_that_nobody_has_signed_is_refused"),
        Patch(
            "_engine/storage.py",
            "aiohttp.TCPConnector(limit=0,",
            "aiohttp.TCPConnector(limit=0, ssl=False,",
        ),
    ),
)
