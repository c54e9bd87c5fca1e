"""Bugs by which a file is not whole, not there, or over another."""

from __future__ import annotations

from .mutant import Patch, of, planted

_CUT = "a_cut_file_is_gone_on_with_where_that_is_safe_and_begun_again_where_not"
_TWICE = "d51_without_a_mark_of_the_end_or_the_same_bytes_twice_nothing_is_published"
_IN_ORDER = of(
    "engine/test_partfile",
    "d34_the_bytes_are_durable_before_the_name_and_the_name_before_we_say_so",
)
_SYNC = "        sync_file(self._fd)\n        target = self._directory / name\n"

MUTANTS = (
    planted(
        "a_changed_file_keeps_its_row_from_getting_another",
        of("batch/test_verify", "l24_what_has_the_name_of_a_file_is_never_overwritten"),
        Patch(
            "batch/_runner.py",
            "        if row.done_at is not None:  # it had",
            "        if row.done_at == 0.0:  # it had",
        ),
    ),
    planted(
        "other_bytes_of_the_same_size_are_as_saved",
        of("batch/test_verify", "l24_other_bytes_of_the_same_size_are_found_by_reading"),
        Patch(
            "batch/_verify.py",
            "    if not content:\n",
            "    if content:\n",
        ),
    ),
    planted(
        "a_link_to_a_file_is_the_file",
        of("batch/test_verify", "l24_a_missing_or_changed_file_is_told_with_its_row"),
        Patch("batch/_verify.py", "os.lstat(path)", "os.stat(path)"),
    ),
    planted(
        "no_fsync_of_the_part",
        _IN_ORDER,
        Patch("_engine/partfile.py", "sync_file(self._fd)", "pass"),
    ),
    planted(
        "no_fsync_of_the_directory",
        _IN_ORDER,
        Patch("_engine/partfile.py", "        sync_directory(self._directory)\n", ""),
    ),
    planted(
        "rename_before_fsync",
        _IN_ORDER,
        Patch("_engine/partfile.py", _SYNC, "        target = self._directory / name\n"),
        Patch(
            "_engine/partfile.py",
            "            return None\n        self.discard()\n",
            "            return None\n        sync_file(self._fd)\n        self.discard()\n",
        ),
    ),
    planted(
        "shared_part_name",
        of("engine/test_partfile", "d29_many_tasks_that_download_one_job_get_one_file"),
        Patch("_engine/partfile.py", "{secrets.token_hex(SCRATCH_BYTES)}", "{'0' * 12}"),
        Patch("_engine/partfile.py", "os.O_CREAT | os.O_EXCL |", "os.O_CREAT |"),
        Patch(
            "_engine/partfile.py",
            "                lock(self._fd, wait=True)",
            "                pass",
        ),
    ),
    planted(
        "living_part_is_swept",
        of("engine/test_partfile", "d33_a_dead_part_is_swept_and_a_living_one_stays"),
        Patch("_engine/partfile.py", "        lock(fd, wait=False)\n", ""),
    ),
    planted(
        "dead_parts_stay",
        of("engine/test_partfile", "d33_a_dead_part_is_swept_and_a_living_one_stays"),
        Patch(
            "_engine/partfile.py",
            "            make_durably(self._directory)\n            _sweep(self._directory)\n",
            "            make_durably(self._directory)\n",
        ),
    ),
    planted(
        "open_wb_in_the_output_directory",
        of(
            "engine/test_partfile",
            "t15_nothing_that_has_the_name_is_replaced_or_written_through",
        ),
        Patch(
            "_engine/filesystem.py",
            "    os.link(part, target, follow_symlinks=False)\n",
            '    with target.open("wb") as file:\n        file.write(part.read_bytes())\n',
        ),
    ),
    planted(
        "publish_replaces",
        of(
            "engine/test_partfile",
            "t15_nothing_that_has_the_name_is_replaced_or_written_through",
        ),
        Patch(
            "_engine/filesystem.py",
            "    os.link(part, target, follow_symlinks=False)\n",
            "    part.replace(target)\n",
        ),
    ),
    planted(
        "a_file_of_equal_size_is_taken_for_ours",
        of(
            "engine/test_partfile",
            "t15_nothing_that_has_the_name_is_replaced_or_written_through",
        ),
        Patch(
            "_engine/partfile.py",
            'hashlib.file_digest(file, "sha256").hexdigest() == sha256',
            "about.st_size == size",
        ),
    ),
    planted(
        "failed_download_leaves_its_part",
        of(
            "engine/test_partfile",
            "d24_a_disk_error_names_itself_leaves_nothing_and_can_be_tried_again",
        ),
        Patch(
            "_engine/partfile.py",
            "            self.path.unlink(missing_ok=True)\n",
            "            pass\n",
        ),
    ),
    planted(
        "skip_riff",
        of(
            "engine/test_download_faults",
            "d15_a_short_source_that_is_never_the_same_is_not_published",
        ),
        Patch(
            "_policy/download.py",
            "    if sound.completeness is Completeness.SHORT:\n",
            "    if sound.completeness is Completeness.SHORT and not announced:\n",
        ),
    ),
    planted(
        "nothing_vouches_and_it_is_published",
        of("engine/test_download_faults", f"{_TWICE}[closed]"),
        Patch(
            "_policy/download.py",
            'AttemptFailure(FailureKind.CUT, "nothing says whether the file is whole")',
            "Integrity.LENGTH",
        ),
    ),
    planted(
        "one_transfer_vouches_for_itself",
        of("engine/test_download_faults", f"{_TWICE}[never_the_same]"),
        Patch(
            "_policy/download.py",
            "    if confirmed and can_be_repeated(",
            "    if can_be_repeated(",
        ),
    ),
    planted(
        "a_closed_connection_is_an_end",
        of("engine/test_download_faults", f"{_TWICE}[closed]"),
        Patch(
            "_policy/download.py",
            "    return ending is not Ending.CLOSED or",
            "    return ending is Ending.CLOSED or",
        ),
    ),
    planted(
        "published_as_it_came",
        of("engine/test_opens_elsewhere", "d52_a_file_opens_in_libsndfile[bad_list]"),
        Patch("_engine/download.py", "content.mended:\n", "not content.mended:\n"),
    ),
    planted(
        "page_saved_as_music",
        of("protocol/test_audio", "what_is_no_sound_is_named_for_what_it_is"),
        Patch(
            "_protocol/audio.py", "    return _sniff_text(head)\n", "    return AudioFormat.FLAC\n"
        ),
    ),
    planted(
        "cut_body_is_whole",
        of("batch/test_planted", "d03_a_cut_file_that_cannot_say_so_itself_is_not_published"),
        Patch(
            "_engine/download.py",
            "if body.size is not None and self._part.size < body.size:",
            "if body.size is not None and self._part.size < 0:",
        ),
        Patch(
            "_engine/storage.py",
            "        except (aiohttp.ClientError, OSError) as error:\n"
            "            failure = LinkFailed(_attempt_failure(error))\n",
            "        except aiohttp.ClientPayloadError:\n"
            '            return b""\n'
            "        except (aiohttp.ClientError, OSError) as error:\n"
            "            failure = LinkFailed(_attempt_failure(error))\n",
        ),
    ),
    planted(
        "resume_spliced_under_another_etag",
        of("engine/test_download_faults", f"{_CUT}[d30_other_etag]"),
        Patch(
            "_engine/storage.py",
            "if asked and not is_same_version(",
            "if False and not is_same_version(",
        ),
    ),
    planted(
        "resume_spliced_at_another_offset",
        of("batch/test_planted", "d30_a_part_from_another_place_is_not_spliced_in"),
        Patch(
            "_engine/storage.py",
            "if held is None or held.first != asked:",
            "if held is None:",
        ),
    ),
    planted(
        "a_part_is_announced_as_all",
        of(
            "engine/test_download_faults",
            "d54_the_beginning_of_a_file_is_not_published_whatever_its_status",
        ),
        Patch("_engine/storage.py", "asked, held.total, validator", "asked, length, validator"),
    ),
    planted(
        "resume_without_if_range",
        of("engine/test_download_faults", f"{_CUT}[d30_changed_file]"),
        Patch("_engine/storage.py", ', "If-Range": validator}', "}"),
    ),
    planted(
        "weak_tag_is_a_validator",
        of(
            "engine/test_download_faults",
            "d30_only_what_tells_the_very_bytes_lets_a_file_be_gone_on_with[weak_tag]",
        ),
        Patch("_protocol/versions.py", "etag if etag.startswith('\"') else None", "etag"),
    ),
    planted(
        "mirrors_are_mixed",
        of("batch/test_planted", "d39_a_tag_of_one_host_is_no_tag_of_another"),
        Patch(
            "_engine/download.py",
            "if self._source and self._source[0] == url else None",
            "if self._source else None",
        ),
    ),
    planted(
        "auto_decompress_on",
        of("engine/test_unpacking", "d12_a_label_that_is_wrong_does_not_matter[gzip]"),
        Patch("_engine/http.py", "auto_decompress=False", "auto_decompress=True"),
    ),
    planted(
        "no_size_cap_of_a_file",
        of(
            "engine/test_download_faults",
            "d23_a_body_over_the_limit_is_refused_by_its_length_or_when_it_gets_there[chunked]",
        ),
        Patch("_engine/download.py", "if size > self._policy.max_bytes:", "if size < 0:"),
    ),
    planted(
        "no_size_cap_of_an_answer",
        of("batch/test_planted", "t11_an_answer_without_end_is_cut_by_its_size"),
        Patch(
            "_engine/http.py",
            "        if len(received.body) > MAX_ANSWER_BYTES:\n",
            "        if len(received.body) < 0:\n",
        ),
    ),
    planted(
        "trickle_is_waited_for",
        of(
            "batch/test_planted", "d22_a_link_that_comes_whole_but_too_slowly_gives_way_to_the_next"
        ),
        Patch(
            "_engine/speed.py",
            "if self._bytes < self._policy.min_rate * elapsed:",
            "if elapsed < 0:",
        ),
    ),
    planted(
        "only_the_first_link",
        of(
            "engine/test_download_faults",
            "d01_a_mirror_gives_the_file_when_the_first_host_is_not_there",
        ),
        Patch("_policy/download.py", "link=(transfer.link + 1) % transfer.links", "link=0"),
    ),
    planted(
        "dead_links_are_not_asked_for_anew",
        of("engine/test_download_faults", "d19_expired_links_are_asked_for_anew_once"),
        Patch(
            "_policy/download.py",
            "isinstance(step, Abort)) and not transfer.refreshed:\n",
            "isinstance(step, Abort)) and transfer.refreshed:\n",
        ),
    ),
    planted(
        "cancelled_write_is_left_alone",
        of("batch/test_planted", "d32_a_cancelled_caller_leaves_when_his_thread_has_ended"),
        Patch(
            "_engine/aio.py",
            "    cancelled = await wait_shielded(work)\n    if cancelled",
            "    cancelled = None\n    await asyncio.shield(work)\n    if cancelled",
        ),
    ),
)
