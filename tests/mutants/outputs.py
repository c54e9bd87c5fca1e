"""Bugs by which something else is taken for what was asked for, or a job for another's."""

from __future__ import annotations

from .mutant import Patch, of, planted

_FAMILIES = "s35_two_families_may_give_one_id_to_two_rows_and_one_family_may_not"

MUTANTS = (
    planted(
        "page_saved_as_a_text",
        of(
            "protocol/test_files",
            "a_page_and_an_error_of_the_storage_are_never_what_was_asked_for[text]",
        ),
        Patch("_protocol/text.py", '"zero bytes", "HTML page")', '"zero bytes")'),
    ),
    planted(
        "error_saved_as_a_text",
        of("protocol/test_files", "what_is_no_text_of_a_job_is_refused"),
        Patch("_protocol/text.py", 'return "JSON of an error" if _is_error(value) else', "return"),
    ),
    planted(
        "sound_saved_as_an_image",
        of("protocol/test_files", "what_was_asked_for_decides"),
        Patch("_protocol/files.py", "    if kind in (None, gives) or", "    if True or"),
    ),
    planted(
        "video_without_its_index_is_whole",
        of("protocol/test_files", "the_boxes_of_a_video_add_up_to_it"),
        Patch("_protocol/video.py", ' or b"moov" not in names', ""),
    ),
    planted(
        "unjudged_bytes_are_verified",
        of("engine/test_outputs", "each_kind_is_saved_under_the_ending_of_its_content"),
        Patch(
            "_policy/download.py",
            "return Integrity.ANNOUNCED if unjudged else Integrity.LENGTH",
            "return Integrity.LENGTH",
        ),
    ),
    planted(
        "handle_of_an_unknown_family_is_mapped",
        of("engine/test_handle", "what_is_no_handle_is_refused"),
        Patch(
            "_engine/handle.py",
            "if not nameless and (own is None or route is None):",
            "if not nameless and own is None:",
        ),
    ),
    planted(
        "ledger_takes_an_id_for_a_job",
        of("batch/test_ledger", _FAMILIES),
        Patch(
            "batch/_sqlite/store.py",
            'self.with_job_id(change.job_id, family_of(str(change.values.get("handle"))))',
            "self.with_job_id(change.job_id)",
        ),
    ),
    planted(
        "raw_path_is_not_checked",
        of("endpoints/test_raw", "a_path_that_is_none_of_a_job_is_refused"),
        Patch("endpoints/raw.py", "        _check_path(self.path)\n", ""),
    ),
    planted(
        "cost_that_nobody_knows_is_nothing",
        of("batch/test_raw", "m11_a_limited_cost_that_cannot_be_told_is_not_paid"),
        Patch(
            "batch/_prices.py",
            "if not self or (self.per_second and not is_timed):",
            "if not self:",
        ),
    ),
    planted(
        "lost_upload_is_called_free_to_repeat",
        of(
            "engine/test_one_shots",
            "an_upload_whose_answer_is_lost_is_sent_once_and_says_that_it_may_be_made",
        ),
        Patch("_one_shots.py", "if unknown and answer.sent:", "if unknown and not answer.sent:"),
    ),
    planted(
        "prompt_is_markup_in_a_notebook",
        of("policy/test_preview", "names_paths_and_headings_are_text_and_nothing_else"),
        Patch(
            "_policy/preview.py",
            "html.escape(safe_text(text, limit))",
            "safe_text(text, limit)",
        ),
    ),
    planted(
        "preview_of_three_files_is_three_times_as_large",
        of("policy/test_preview", "a_preview_with_the_longest_texts_everywhere_fits"),
        Patch("_policy/preview.py", " // (shown - index) - _AROUND", ""),
    ),
    planted(
        "other_content_is_played_in_a_notebook",
        of("policy/test_preview", "a_file_with_other_content_than_was_saved_is_not_played"),
        Patch("_policy/preview.py", "hexdigest() != file.sha256", 'hexdigest() == ""'),
    ),
    planted(
        "edited_ledger_shows_any_file",
        of("batch/test_preview", "an_edited_ledger_shows_no_file_of_another_place"),
        Patch("batch/_preview.py", 'os.path.basename(row.path or "")', 'row.path or ""'),
    ),
)
