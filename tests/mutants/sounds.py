"""Bugs by which a sound is misjudged, marked wrongly, or paid for twice because of it."""

from __future__ import annotations

from .mutant import Patch, of, planted

_OLD = "a_run_that_is_killed_before_the_new_file_is_there_does_not_take_the_old_one"
_AGAIN = "a_done_row_is_made_again_on_request_because_of_its_sound_and_keeps_its_old_file"

MUTANTS = (
    planted(
        "a_fade_is_a_dead_tail",
        of("protocol/test_sound_check", "a_file_has_exactly_the_flags_of_its_faults[a long fade]"),
        Patch("_protocol/sound_check.py", "10 ** (QUIET_DBFS / 20)", "10 ** (QUIET_DBFS / 120)"),
    ),
    planted(
        "clipping_across_parts_is_missed",
        of(
            "protocol/test_sound_check",
            "a_run_at_full_scale_is_found_wherever_the_file_is_cut_into_parts",
        ),
        Patch("_protocol/sound_check.py", "(end - begin + CLIPPED_SAMPLES - 1)", "(end - begin)"),
    ),
    planted(
        "the_old_file_passes_for_the_new_one",
        of("batch/test_sounds", _OLD),
        Patch(
            "batch/_transitions.py",
            "    values = {**_NO_JOB, **dict.fromkeys(FILE_COLUMNS)}\n",
            "    values = dict(_NO_JOB)\n",
        ),
    ),
    planted(
        "every_flag_pays_again",
        of("batch/test_sounds", _AGAIN),
        Patch(
            "batch/_sqlite/sounds.py",
            "if wanted & flag_names(stored)]",
            "if wanted and stored]",
        ),
    ),
    planted(
        "an_id_depends_on_the_order_of_lists",
        of("batch/test_combinations", "the_order_of_the_lists_is_no_part_of_an_id"),
        Patch(
            "batch/_combinations.py",
            "sorted(cell, key=lambda name: (places[name] < 0, places[name], name))",
            "list(cell)",
        ),
    ),
    planted(
        "a_tag_breaks_a_signature",
        of("protocol/test_marks", "a_file_that_a_tag_would_harm_gets_none"),
        Patch("_protocol/marks.py", "    if Mark.C2PA in marks:\n", "    if not chunks:\n"),
    ),
    planted(
        "a_manifest_is_lost_silently",
        of("sound/test_export", "a_c2pa_manifest_is_never_lost_silently"),
        Patch("sound/_export.py", "        if is_kept:\n", "        if False:\n"),
    ),
    planted(
        "a_file_of_somebody_else_is_replaced",
        of("sound/test_export", "a_second_export_makes_only_what_is_new_or_different"),
        Patch("sound/_export.py", "elif os.path.lexists(target):", "elif False:"),
    ),
)
