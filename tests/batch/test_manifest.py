"""Manifests: every row is read as it was meant, or named with its line and its fault."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async.batch._fields import ROW_FIELDS
from modelslab_async.batch._intake import chunks, plan_of, rows_of
from modelslab_async.batch._lines import MAX_ROW, BadRow
from modelslab_async.batch._manifest import (
    MAX_REPORTED,
    Format,
    Manifest,
    Reading,
    read_manifest,
    snapshot,
)
from modelslab_async.batch._records import NewRow, from_record
from modelslab_async.endpoints.music import MusicGen
from modelslab_async.errors import ConfigurationError


def read(
    content: str | bytes,
    format: Format | None = None,  # noqa: A002
    folder: Path | None = None,
) -> list[NewRow | BadRow]:
    data = content.encode() if isinstance(content, str) else content
    return list(read_manifest(io.BytesIO(data), format, folder=folder))


def read_through(content: str | bytes, format: Format | None = None) -> Reading:  # noqa: A002
    """What was read of a manifest."""
    reading = Reading()
    data = content.encode() if isinstance(content, str) else content
    for _ in read_manifest(io.BytesIO(data), format, reading=reading):
        pass
    return reading


def good(
    content: str | bytes,
    format: Format | None = None,  # noqa: A002
    folder: Path | None = None,
) -> list[NewRow]:
    rows = read(content, format, folder)
    assert all(isinstance(row, NewRow) for row in rows), [str(row) for row in rows]
    return [row for row in rows if isinstance(row, NewRow)]


def jsonl(*rows: object) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def only_reason(row: object, folder: Path | None = None) -> str:
    """Why a manifest of this one JSON object is refused."""
    (bad,) = read(jsonl(row), "jsonl", folder)
    assert isinstance(bad, BadRow)
    assert bad.reason.isprintable()
    return bad.reason


def prompts(rows: list[NewRow]) -> list[str]:
    return [row.request.title for row in rows]


# Formats


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("rock\n", 1),
        ("rock", 1),
        ("\r\n  rock \r\n", 2),
        ("\ufeffrock\n", 1),
        ("# mine\nrock\n", 2),
        ('{"prompt": "rock"}', 1),
        ('\n\n  {"prompt": "rock"}\r\n', 3),
        ('\ufeff{"prompt": "rock"}', 1),
        ("prompt\nrock\n", 2),
        ("\ufeffprompt\nrock", 2),
        ("Prompt,Duration\nrock,\n", 2),
        ('"prompt";"duration"\n"rock";""\n', 2),
        ("id\t PROMPT \n\trock\n", 2),
        ("\nprompt,mood\n\nrock,\n,\n", 4),
    ],
)
def test_a_format_is_told_by_the_first_line(content: str, line: int) -> None:
    (row,) = good(content)
    assert row.request == MusicGen("rock")
    assert row.line == line
    assert row.id == good("rock")[0].id


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "\ufeff", "# only this\n", "prompt\n"])
def test_a_manifest_without_rows_has_none(content: str) -> None:
    assert read(content) == []


def test_a_format_that_is_insisted_on_is_not_told() -> None:
    assert prompts(good('prompt,x\n{"a": 1}', "text")) == ["prompt,x", '{"a": 1}']
    assert prompts(good("#1 hit\nrock", "text")) == ["rock"]
    assert all(isinstance(row, BadRow) for row in read("rock\njazz", "jsonl"))


@pytest.mark.parametrize(
    ("content", "format_", "reason"),
    [
        ("rock".encode("utf-16-le"), None, "UTF-16"),
        ("rock".encode("utf-16-be"), None, "UTF-16"),
        ("rock".encode("utf-32"), "text", "UTF-32"),
        (b"caf\xe9\n", None, r"not UTF-8 \(byte 0xe9, the 4\. of the line\)"),
        (b'[{"prompt": "rock"}]', None, "JSON array"),
        (b'[\n{"prompt": "rock"}\n]', None, "JSON array"),
        (b"name,mood\nrock,x", "csv", "no column prompt, but 'name', 'mood'"),
        (b"prompt,mood,mood\nrock,x,y", None, "'mood' twice"),
        (b'prompt,"mood\n', "csv", "no CSV header"),
        (b"x" * (MAX_ROW + 1), None, "longer than 1 MiB"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_bad_row(
    content: bytes, format_: Format | None, reason: str
) -> None:
    (bad,) = read(content, format_)
    assert isinstance(bad, BadRow)
    assert bad.line == 1
    assert re.search(reason, bad.reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"caf\xe9", "not UTF-8"),
        (b"a\0b", "control character '\\x00'"),
        (b"a\x0bb", "control character '\\x0b'"),
        (b"x" * (MAX_ROW + 1), "longer than 1 MiB"),
        (b'{"prompt": "jazz"}', "looks like JSON"),
    ],
)
def test_a_bad_line_of_text_spoils_no_other(content: bytes, reason: str) -> None:
    first, bad, last = read(b"rock\n" + content + b"\njazz\n")
    assert isinstance(first, NewRow)
    assert isinstance(bad, BadRow)
    assert isinstance(last, NewRow)
    assert reason in str(bad)
    assert str(bad).startswith("line 2: ")
    assert last.line == 3


def test_a_line_may_have_the_largest_size() -> None:
    assert len(good(b"x" * (MAX_ROW - 1) + b"\n", "text")[0].request.title) == MAX_ROW - 1


plain = st.characters(exclude_categories=["Cc", "Cs"])


@given(st.lists(st.text(plain, min_size=1).map(str.strip).filter(bool).map("a".__add__)))
def test_any_prompts_come_back_from_a_text_manifest(texts: list[str]) -> None:
    assert prompts(good("\n".join(texts), "text")) == texts


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(), child, max_size=3),
    max_leaves=8,
)  # fmt: skip
foreign = st.text().filter(lambda name: name not in {*ROW_FIELDS, "key"})


@given(st.lists(st.dictionaries(foreign, json_value, max_size=4), max_size=4))
def test_fields_that_are_not_ours_come_back_from_jsonl_as_they_were(
    rows: list[dict[str, Any]],
) -> None:
    content = jsonl(*({**row, "prompt": "rock"} for row in rows))
    assert [row.fields for row in good(content)] == rows


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(cell, cell), max_size=5), st.sampled_from(",;\t"))
def test_any_cells_come_back_from_csv(rows: list[tuple[str, str]], delimiter: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("prompt", "mood"), *((f"rock{a}", b) for a, b in rows)])
    found = good(file.getvalue())
    assert [(row.request.title, row.fields.get("mood", "")) for row in found] == [
        (f"rock{a}", b) for a, b in rows
    ]


@given(st.binary(max_size=200), st.sampled_from([None, "text", "jsonl", "csv"]))
def test_no_bytes_break_the_reader(content: bytes, format_: Format | None) -> None:
    for prefix in (b"", b"prompt,id\n", b'{"prompt":'):
        reading = read_through(prefix + content, format_)
        assert reading.rows >= reading.bad_rows


# JSONL

NOT_FINITE = "field 'x' cannot be kept as JSON: it holds a number that is not finite"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "holds [1], but must be a JSON object"),
        ('"rock"', 'holds "rock", but must be a JSON object'),
        ('{"prompt": "a", "prompt": "b"}', "holds the name 'prompt' twice"),
        ('{"prompt": "a", "x": {"y": 1, "y": 2}}', "holds the name 'y' twice"),
        ('{"prompt": "a", "x": NaN}', NOT_FINITE),
        ('{"prompt": "a", "x": 1e999}', NOT_FINITE),
        ('{"prompt": "a", "x": ' + "9" * 5000 + "}", "holds a number of too many digits"),
        (
            '{"prompt": "a", "x": ' + "[" * 65 + "]" * 65 + "}",
            "field 'x' cannot be kept as JSON: it is nested deeper than 64 levels",
        ),
        ('{"x": ' + "[" * 100_000, "nested deeper than 64 levels"),
        ('{"prompt": "a"', "not JSON: Expecting ',' delimiter (column 15)"),
    ],
)
def test_a_line_that_is_no_sound_object_is_named(line: str, reason: str) -> None:
    (bad,) = read(line, "jsonl")
    assert str(bad) == f"line 1: {reason}"


def test_the_deepest_object_is_taken() -> None:
    assert good('{"prompt": "a", "x": ' + "[" * 64 + "]" * 64 + "}")


def test_text_full_of_brackets_is_not_deep() -> None:
    assert good(jsonl({"prompt": "[" * 100}))


def test_null_leaves_a_field_unset() -> None:
    (row,) = good(jsonl({"prompt": "rock", "duration": None, "id": None, "init_audio_file": None}))
    assert row.request == MusicGen("rock")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"max_new_token": 7.9}, "max_new_token is 7.9, but must be a whole number"),
        ({"max_new_token": 512.0}, "max_new_token is 512.0, but must be a whole number"),
        ({"duration": True}, "duration is True, but must be a whole number"),
        ({"duration": "30"}, "duration is '30', but must be a whole number"),
        ({"prompt": 3}, "prompt is 3, but must be text"),
        ({"prompt": None}, "prompt is missing"),
        ({"prompt": " "}, "prompt is empty; say what to generate"),
        ({"temp": 1}, "temp is 1, but must be true or false"),
        ({"extra": []}, "extra is [], but must be an object"),
        ({"unchecked": "no"}, "unchecked is 'no', but must be true or false"),
        ({"track_id": 1.5}, "track_id is 1.5, but must be a whole number or text"),
        ({"id": 1.5}, "id is 1.5, but must be a whole number or printable text"),
        ({"id": ""}, "id is '', but must be"),
        ({"id": " a"}, "id is ' a', but must be"),
        ({"id": "a\n"}, "id is 'a\\n', but must be"),
        ({"id": "a" * 192}, "id is 'aaa"),
        ({"key": "secret"}, "a manifest holds no API key"),
        ({"max_new_token": 4096}, "max_new_token 4096 is out of bounds: 256 to 1024 (ModelsLab"),
        ({"init_audio": "clip.wav"}, "init_audio is text, but no http(s) URL"),
        ({"webhook": "http://example.org"}, "webhook must be an https:// URL"),
    ],
)
def test_a_value_that_cannot_be_sent_is_named(values: dict[str, Any], reason: str) -> None:
    assert only_reason({"prompt": "rock", **values}).startswith(reason)


def test_all_wrong_types_of_a_row_are_named_together() -> None:
    reason = only_reason({"prompt": 3, "duration": "x", "temp": 0})
    assert [part.split()[0] for part in reason.split("; ")] == ["prompt", "duration", "temp"]


def test_the_reason_for_a_refused_key_does_not_repeat_it() -> None:
    assert "s3cret" not in only_reason({"prompt": "rock", "key": "s3cret"})


def test_values_beyond_the_documents_pass_when_told_so() -> None:
    (row,) = good(jsonl({"prompt": "rock", "output_format": "ogg", "unchecked": True}))
    assert row.request == MusicGen("rock", output_format="ogg", unchecked=True)  # type: ignore[arg-type]


# CSV


def test_cells_have_the_types_of_their_fields() -> None:
    (row,) = good(
        "prompt,max_new_token,temp,track_id,unchecked,mood,id\n007, 512 ,Yes,42,0,007,007\n"
    )
    assert row.request == MusicGen("007", max_new_token=512, temp=True, track_id=42)
    assert row.fields == {"mood": "007"}
    assert row.id == "007"


@pytest.mark.parametrize("text", ["007", "+7", " 7", str(2**53), "x"])
def test_a_track_id_that_is_not_written_as_a_number_stays_text(text: str) -> None:
    (row,) = good(f'prompt,track_id\nrock,"{text}"\n')
    assert row.request.track_id == text


@pytest.mark.parametrize(
    ("words", "value"), [("true TRUE yes 1", True), ("false False no NO 0", False)]
)
def test_truth_has_several_spellings(words: str, value: bool) -> None:
    rows = good("prompt,temp\n" + "".join(f"rock,{word}\n" for word in words.split()))
    assert {row.request for row in rows} == {MusicGen("rock", temp=value)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rock,7.9,", "max_new_token is '7.9', but must be a whole number"),
        ("rock,,maybe", "temp is 'maybe', but must be true or false"),
        ("rock", "has 1 cells, but the header has 3"),
        ("rock,512,yes,more", "has 4 cells, but the header has 3"),
        ('"ro"ck,,', "not CSV: ',' expected after '\"'"),
        (",512,", "prompt is missing"),
        ('"rock" x,,', "not CSV: ',' expected after '\"'"),
        ('"' + ('x","' * 400_000), "longer than 1 MiB"),
    ],
)
def test_a_bad_line_of_csv_spoils_no_other(line: str, reason: str) -> None:
    first, bad, last = read(f"prompt,max_new_token,temp\nrock,,\n{line}\njazz,,\n")
    assert isinstance(first, NewRow)
    assert isinstance(last, NewRow)
    assert str(bad).startswith(f"line 3: {reason}")
    assert last.line == 4


def test_a_cell_may_have_several_lines() -> None:
    first, second = good('prompt,mood\r\n"a\r\nb",x\r\nrock,\r\n')
    assert (first.request.title, first.line) == ("a\r\nb", 2)
    assert second.line == 4


def test_a_row_of_too_many_lines_is_refused_before_it_fills_the_memory() -> None:
    content = "prompt,mood\n" + '"a\n",' * 400_000
    bad = next(read_manifest(io.BytesIO(content.encode())))
    assert str(bad) == "line 2: longer than 1 MiB; is a quote left open?"


# Ids


def test_equal_rows_are_different_jobs_with_ids_of_their_own() -> None:
    ids = [row.id for row in good("rock\njazz\nrock\nrock\n")]
    assert ids == [ids[0], ids[1], f"{ids[0]}-2", f"{ids[0]}-3"]
    assert re.fullmatch("[0-9a-f]{12}", ids[0])


texts = st.lists(st.sampled_from(["rock", "jazz", "raga"]), max_size=6)


@given(texts, texts)
def test_made_ids_stay_when_rows_are_put_between_them(rows: list[str], more: list[str]) -> None:
    before = {row.id for row in good("\n".join(rows), "text")}
    after = {row.id for row in good("\n".join([*more, *rows]), "text")}
    assert before <= after
    assert len(after) == len(rows) + len(more)


def test_an_id_does_not_depend_on_the_format_nor_on_fields_that_are_not_sent() -> None:
    text = good("rock", "text")
    other = good('mood,prompt\nx,"rock"\n') + good(jsonl({"mood": 1, "prompt": "rock"}))
    assert {row.id for row in other} == {text[0].id}


def test_the_hash_is_that_of_what_is_sent() -> None:
    content = jsonl(
        {"prompt": "rock", "id": "a"},
        {"prompt": "rock", "id": "b", "mood": 1},
        {"prompt": "rock", "id": "c", "duration": 30},
        {"prompt": "rock", "id": "d", "track_id": 1},
        {"prompt": "rock", "id": "e", "extra": {"model_id": "x"}},
    )
    hashes = [row.payload_hash for row in good(content)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


@pytest.mark.parametrize(
    ("name", "values"), [("id", ["a", "a"]), ("id", ["7", 7]), ("track_id", [5, "5"])]
)
def test_what_must_be_unique_is_refused_the_second_time(name: str, values: list[Any]) -> None:
    rows = read(jsonl(*({"prompt": f"p{n}", name: value} for n, value in enumerate(values))))
    assert isinstance(rows[0], NewRow)
    assert str(rows[1]).startswith(f"line 2: {name} {str(values[1])!r} is also that of line 1; ")


def test_an_id_that_was_made_for_another_row_is_taken() -> None:
    made = good("rock")[0].id
    rows = read(jsonl({"prompt": "rock"}, {"prompt": "jazz", "id": made}))
    assert "is also that of line 1" in str(rows[1])
    rows = read(jsonl({"prompt": "jazz", "id": made}, {"prompt": "rock"}))
    assert "is also that of line 1" in str(rows[1])


def test_ids_that_differ_in_case_are_two_ids() -> None:
    assert len(good(jsonl({"prompt": "a", "id": "x"}, {"prompt": "b", "id": "X"}))) == 2


# Clips


def wav(seconds: float = 1.0) -> bytes:
    data = b"\1\0" * int(8000 * seconds)
    head = b"WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data"
    body = head + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def clip_row(name: object, **more: object) -> dict[str, object]:
    return {"prompt": "rock", "init_audio_file": name, **more}


def test_a_clip_is_found_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").write_bytes(wav())
    (row,) = good(jsonl(clip_row("clips/a.wav")), folder=tmp_path)
    assert row.request == MusicGen("rock", init_audio=tmp_path / "clips" / "a.wav")
    assert row.fields == {}
    assert good(jsonl(row.to_record()), folder=tmp_path) == [row]


def test_a_clip_with_other_bytes_is_another_request(tmp_path: Path) -> None:
    hashes = set()
    for content in (wav(1), wav(2), wav(1)):
        (tmp_path / "a.wav").write_bytes(content)
        hashes.add(good(jsonl(clip_row("a.wav")), folder=tmp_path)[0].payload_hash)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "must be the path of a file in the manifest's"),
        ("../secret.wav", "must be the path of a file in the manifest's"),
        ("sub/../../secret.wav", "must be the path of a file in the manifest's"),
        ("link.wav", "must be the path of a file in the manifest's"),
        ("a\0b", "must be the path of a file in the manifest's"),
        ("\ud800", "must be the path of a file in the manifest's"),
        (7, "must be the path of a file in the manifest's"),
        ("absent.wav", "cannot be read: there is no such file"),
        ("pipe.wav", "cannot be read: there is no such file"),
        ("x" * 5000, "cannot be read"),
        ("text.wav", "'text.wav' is not audio"),
        ("long.wav", "is 31.0 s long"),
    ],
)
def test_a_clip_that_must_not_be_sent_is_named(tmp_path: Path, name: object, reason: str) -> None:
    folder = tmp_path / "batch"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.wav").write_bytes(wav())
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "text.wav").write_text("no music")
    (folder / "long.wav").write_bytes(wav(31))
    os.mkfifo(folder / "pipe.wav")
    assert reason in only_reason(clip_row(name), folder)


def test_no_setting_lets_a_manifest_send_a_file_that_is_no_audio(tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_text("PRIVATE")
    assert "is not audio" in only_reason(clip_row("id_rsa", unchecked=True), tmp_path)


def test_init_audio_is_never_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav())
    row = {"prompt": "rock", "init_audio": str(tmp_path / "a.wav")}
    assert "no http(s) URL" in only_reason(row, tmp_path)


def test_a_row_has_one_clip() -> None:
    row = clip_row("a.wav", init_audio="https://example.org/a.wav")
    assert only_reason(row) == "has init_audio and init_audio_file; give one of them"


# Reports


def test_a_report_names_all_bad_rows() -> None:
    report = read_through('{"prompt": "a"}\n{}\n{"prompt": "b"}\n7\n')
    assert (report.rows, report.bad_rows) == (4, 2)
    assert report.faults().splitlines() == [
        "2 of 4 rows cannot be used",
        "line 2: prompt is missing",
        "line 4: holds 7, but must be a JSON object",
    ]


def test_a_report_counts_on_when_it_is_full() -> None:
    report = read_through("{}\n" * (MAX_REPORTED + 5))
    assert len(report.bad) == MAX_REPORTED
    assert report.bad_rows == MAX_REPORTED + 5
    assert report.faults().endswith("\nand 5 more")


def test_a_report_shows_the_fields_that_are_not_ours() -> None:
    report = read_through(jsonl({"prompt": "a", "max_new_tokens": 512, "mood": "x"}))
    assert report.unknown == ["max_new_tokens", "mood"]


def test_a_pipe_can_be_read_twice() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"rock\njazz\n")
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe, snapshot(pipe) as copy:
        manifest = Manifest(copy, None, None)
        first = list(manifest.rows())
        assert list(manifest.rows()) == first
    assert len(first) == 2


@pytest.mark.parametrize("size", [1, 20 * 1024 * 1024], ids=["in memory", "on disk"])
def test_m06_what_is_added_to_a_manifest_later_is_not_in_it(tmp_path: Path, size: int) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(b"#" * size + b"\nrock\n")
    with path.open("rb") as file, snapshot(file) as copy:
        with path.open("ab") as more:
            more.write(b"jazz\n")
        for _ in range(2):
            copy.seek(0)
            assert copy.read().endswith(b"#\nrock\n")


# From Python


def test_requests_come_as_values_mappings_or_prompts() -> None:
    requests: list[Any] = [MusicGen("a"), {"prompt": "a", "id": "x", "mood": 1}, "a", "#a", 7, {}]
    first, second, third, fourth, *bad = rows_of(requests)
    assert isinstance(first, NewRow)
    assert isinstance(second, NewRow)
    assert isinstance(third, NewRow)
    assert isinstance(fourth, NewRow)
    assert (second.id, second.fields, second.line) == ("x", {"mood": 1}, None)
    assert third.id == f"{first.id}-2"
    assert fourth.request.title == "#a"
    assert [str(row) for row in bad] == [
        "request 5: is 7, but must be a request, a mapping or text",
        "request 6: prompt is missing",
    ]


@pytest.mark.anyio
async def test_requests_are_taken_one_by_one_from_an_endless_source() -> None:
    asked = []

    async def source() -> AsyncIterator[str]:
        while True:
            asked.append(1)
            yield "rock"

    rows = chunks(source())
    (first,) = await anext(rows)
    assert first.request.title == "rock"
    assert len(asked) == 1
    await rows.aclose()


def test_local_clips_of_requests_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav())
    rows = list(
        rows_of(
            [
                MusicGen("a", init_audio=tmp_path / "a.wav"),
                MusicGen("a", init_audio=wav()),
                {"prompt": "a", "init_audio": tmp_path / "a.wav"},
                MusicGen("a", init_audio=b"none"),
                MusicGen("a", init_audio=tmp_path / "absent.wav"),
            ]
        )
    )
    made = [row.id.partition("-")[0] for row in rows if isinstance(row, NewRow)]
    assert len(made) == 3
    assert len(set(made)) == 1
    assert "is not audio" in str(rows[3])
    assert str(rows[4]).startswith("request 5: the clip ")


def test_a_field_that_json_cannot_carry_is_named() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (object(), float("nan"), endless, {1, 2}):
        (bad,) = rows_of([{"prompt": "a", "mood": value}])
        assert str(bad).startswith("request 1: field 'mood' cannot be kept as JSON: ")


@pytest.mark.anyio
@pytest.mark.parametrize("one", ["rock", b"rock", {"prompt": "rock"}])
async def test_one_request_is_no_batch(one: Any) -> None:
    with pytest.raises(ConfigurationError, match="put it into a list"):
        next(plan_of(one))
    with pytest.raises(ConfigurationError, match="put it into a list"):
        await anext(chunks(one))


# To the ledger and back


def every_request(folder: Path) -> Iterator[MusicGen]:
    yield MusicGen("rock")
    yield MusicGen("rock", duration=30, output_format="mp3", bitrate="128k", temp=False)
    yield MusicGen("rock", sampling_rate=5000, unchecked=True, track_id="x", extra={"a": [1]})
    yield MusicGen("rock", init_audio="https://example.org/a.wav", base64=False)
    yield MusicGen("rock", init_audio=folder / "a.wav", webhook="https://example.org/hook")


def test_a_row_survives_as_json(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav())
    for row in rows_of(every_request(tmp_path)):
        assert isinstance(row, NewRow)
        text = json.dumps(row.to_record())
        assert from_record(json.loads(text)) == (row.request, {})


def test_bytes_survive_as_base64(tmp_path: Path) -> None:
    (row,) = rows_of([MusicGen("rock", init_audio=wav())])
    assert isinstance(row, NewRow)
    request, _ = from_record(json.loads(json.dumps(row.to_record())))
    text = base64.b64encode(wav()).decode()
    assert request == MusicGen("rock", init_audio=text, base64=True)


def test_a_row_keeps_its_id_and_its_fields_as_json() -> None:
    (row,) = good(jsonl({"prompt": "rock", "mood": {"a": [None]}}))
    assert row.to_record() == {"id": row.id, "prompt": "rock", "mood": {"a": [None]}}
    assert from_record(row.to_record()) == (MusicGen("rock"), {"mood": {"a": [None]}})
    assert good(jsonl(row.to_record()))[0].payload_hash == row.payload_hash
