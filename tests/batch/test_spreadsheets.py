"""Manifests as spreadsheets, data frames and old editors write them, and files that are none."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from modelslab_async.batch import _manifest as manifests
from modelslab_async.batch._lines import MAX_ROW, BadRow
from modelslab_async.batch._manifest import (
    CHUNK,
    Format,
    Reading,
    read_manifest,
    snapshot,
)
from modelslab_async.batch._records import NewRow
from modelslab_async.endpoints import MusicGen, Request

from ..cli.test_cli import command

WANTED = [MusicGen("lo-fi beat, rainy", duration=30), MusicGen("raga")]


def read(
    content: str | bytes,
    format: Format | None = None,  # noqa: A002
    reading: Reading | None = None,
) -> list[NewRow | BadRow]:
    data = content.encode() if isinstance(content, str) else content
    return list(read_manifest(io.BytesIO(data), format, reading=reading))


def requests(content: str | bytes, format: Format | None = None) -> list[Request]:  # noqa: A002
    rows = read(content, format)
    assert all(isinstance(row, NewRow) for row in rows), [str(row) for row in rows]
    return [row.request for row in rows if isinstance(row, NewRow)]


def refusals(content: str | bytes, format: Format | None = None) -> list[str]:  # noqa: A002
    rows = read(content, format)
    assert rows
    assert all(isinstance(row, BadRow) for row in rows), rows
    return [str(row) for row in rows]


TABLES = {
    "semicolons": "prompt;duration\nlo-fi beat, rainy;30\nraga;\n",
    "tabs": "prompt\tduration\nlo-fi beat, rainy\t30\nraga\t\n",
    "bars": "prompt|duration\nlo-fi beat, rainy|30\nraga|\n",
    "quotes": 'prompt,duration\n"lo-fi beat, rainy",30\nraga,\n',
    "all quoted": '"prompt","duration"\n"lo-fi beat, rainy","30"\n"raga",""\n',
    "blanks before quotes": 'duration, prompt\n30, "lo-fi beat, rainy"\n,raga\n',
    "blanks after quotes": '"prompt" ,duration\n"lo-fi beat, rainy" ,30\n"raga" , \n',
    "sep": "sep=;\r\nprompt;duration\r\nlo-fi beat, rainy;30\r\nraga;\r\n",
    "sep of a tab": "sep=\t\r\nprompt\tduration\r\nlo-fi beat, rainy\t30\r\nraga\t\r\n",
    "sep spelled": "SEP=\\t\nprompt\tduration\nlo-fi beat, rainy\t30\nraga\t\n",
    "sep quoted": '"sep=;"\nprompt;duration\nlo-fi beat, rainy;30\nraga;\n',
    "sep saved again": "sep=;;\nprompt;duration\nlo-fi beat, rainy;30\nraga;\n",
    "sep of none of the usual": "sep=^\nprompt^duration\nlo-fi beat, rainy^30\nraga^\n",
    "sep after a mark": "\ufeffsep=|\r\n\r\nprompt|duration\r\nlo-fi beat, rainy|30\r\nraga|",
    "trailing columns": "prompt;duration;;\r\nlo-fi beat, rainy;30;;\r\nraga;;;\r\n",
    "trailing cells": "prompt;duration\nlo-fi beat, rainy;30;;;\nraga;;\n",
    "trailing columns that a row lacks": "prompt;duration;;;\nlo-fi beat, rainy;30\nraga;\n",
    "empty rows": ";\nprompt;duration\n;\nlo-fi beat, rainy;30\n\n ; \nraga;\n;;;;\n",
    "an unnamed column": "prompt;;duration\nlo-fi beat, rainy;;30\nraga;;\n",
    "row numbers of a data frame": ";prompt;duration\n0;lo-fi beat, rainy;30.0\n1;raga;\n",
    "CR": "prompt;duration\rlo-fi beat, rainy;30\rraga;\r",
    "CR LF": "prompt;duration\r\nlo-fi beat, rainy;30\r\nraga;\r\n",
    "mixed ends": "prompt;duration\r\nlo-fi beat, rainy;30\rraga;\n",
    "blanks in names": " Prompt ; \xa0DURATION\xa0\nlo-fi beat, rainy; 30 \nraga;\n",
    "marks around names": "“Prompt”;'duration:'\nlo-fi beat, rainy;30\nraga;\n",
    "comments before": "# mine\n\n#: more, of it\nprompt;duration\nlo-fi beat, rainy;30\nraga;\n",
    "a comma for the point": "prompt;duration\nlo-fi beat, rainy;30,0\nraga;\n",
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_n10_a_table_is_read_as_it_was_meant(text: str) -> None:
    assert requests(text) == WANTED
    assert requests(text, "csv") == WANTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("form", ["csv", "text", "jsonl"])
def test_n11_utf_8_and_marked_utf_16_are_read(form: Format, encoding: str) -> None:
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    text = {
        "csv": "prompt\tmood\r\nlo-fi é 🎵\tx\r\n",
        "text": "lo-fi é 🎵\r\n",
        "jsonl": '{"prompt": "lo-fi é 🎵"}\r\n',
    }[form]
    content = (mark + text).encode(encoding)
    assert requests(content) == [MusicGen("lo-fi é 🎵")]
    assert requests(content, form) == [MusicGen("lo-fi é 🎵")]


def test_n11_utf_16_is_read_by_the_chunk() -> None:
    texts = [f"🎵 {n}" for n in range(CHUNK // 8)]
    assert [one.title for one in requests("\n".join(texts).encode("utf-16"))] == texts


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("rock\nfi é\n".encode("cp1252"),
         "line 2: not UTF-8 (byte 0xe9, the 4. of the line), but Windows-1252: 'fi é'"),
        ("rock\nlo-fi é\n".encode("mac-roman"), "line 2: not UTF-8 (byte 0x8e"),
        ("rock\nロック\n".encode("shift-jis"), "line 2: not UTF-8 (byte 0x83"),
        ("rock\nджиз\n".encode("koi8-r"), "line 2: not UTF-8 (byte 0xc4"),
        ("rock\nraga\n".encode("utf-16")[:-1], "line 2: not UTF-16: the file ends within"),
        ("rock\nra\ud800ga\n".encode("utf-16", "surrogatepass"), "line 2: not UTF-8"),
        ("rock\nraga\n".encode("utf-16-le"), "line 1: the manifest holds NUL bytes: UTF-16"),
        ("rock\nraga\n".encode("utf-16-be"), "line 1: the manifest holds NUL bytes: UTF-16"),
        ("rock\nraga\n".encode("utf-32"), "line 1: the manifest is UTF-32"),
        (b"prompt,mood\nrock,x\nra\0ga,x\n", "line 3: holds the control character '\\x00'"),
        (b"prompt\nrock\n" + bytes(5000), "line 3: holds the control character '\\x00'"),
        (bytes(5000), "line 1: the manifest holds NUL bytes"),
    ],
    ids=range(12),
)  # fmt: skip
def test_n11_text_that_cannot_be_read_is_named_by_line_and_byte(
    content: bytes, reason: str
) -> None:
    rows = [str(row) for row in read(content) if isinstance(row, BadRow)]
    assert len(rows) == 1
    assert rows[0].startswith(reason)


# Cells


@pytest.mark.parametrize("size", [131_072, 131_073, 500_000, MAX_ROW - 20])
@pytest.mark.parametrize("quote", ["", '"'])
def test_n12_a_cell_may_be_as_long_as_a_row(size: int, quote: str) -> None:
    (request,) = requests(f"prompt,mood\n{quote}{'x' * size}{quote},y\n")
    assert len(request.title) == size


@pytest.mark.parametrize(
    ("cell", "prompt"),
    [
        ('"two\r\nlines"', "two\r\nlines"),
        ('"two\rlines"', "two\rlines"),
        ('"say ""lo-fi"", now"', 'say "lo-fi", now'),
        ('""""', '"'),
        ('7" vinyl', '7" vinyl'),
        ("#lofi chill", "#lofi chill"),
        ("“smart” quotes", "“smart” quotes"),
        ("=SUM(1)", "=SUM(1)"),
        ("'30s swing", "'30s swing"),
        ("a\u2028b", "a\u2028b"),
    ],
)
def test_n12_a_prompt_in_a_cell_is_taken_as_it_stands(cell: str, prompt: str) -> None:
    assert requests(f"prompt,mood\n{cell},x\n{cell},\n", "csv") == [MusicGen(prompt)] * 2


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("duration", " 45 ", 45), ("duration", "45.0", 45), ("duration", "45,00", 45),
        ("Max New Token", "512", 512), ("max-new-token", "512", 512), ("MAX_NEW_TOKEN", "512", 512),
        ("temp", "TRUE", True), ("temp", "WAHR", True), ("temp", "Falsch", False),
        ("temp", "VRAI", True), ("temp", "falso", False), ("output_format", " MP3", "mp3"),
        ("Output Format", "flac ", "flac"), ("bitrate", "192K", "192k"), ("webhook", "  ", None),
    ],
)  # fmt: skip
def test_n12_a_cell_is_read_as_its_column_needs_it(name: str, cell: str, value: object) -> None:
    (request,) = requests(f"prompt\t{name}\nrock\t{cell}\n")
    assert getattr(request, name.lower().replace(" ", "_").replace("-", "_")) == value


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("rock;1.000", "duration is '1.000', but must be a whole number"),
        ("rock;30.000", "duration is '30.000', but must be a whole number"),
        ("rock;1 000", "duration is '1 000', but must be a whole number"),
        ("rock;30,5", "duration is '30,5', but must be a whole number"),
        ("rock;NaN", "duration is 'NaN', but must be a whole number"),
        ("rock;30-Jan", "duration is '30-Jan', but must be a whole number"),
        ("rock;=15*2", "duration is '=15*2', but must be a whole number"),
        ("rock;3E+01", "duration is '3E+01', but must be a whole number"),
        ("rock;#N/A", "duration is '#N/A', but must be a whole number"),
        ("#REF!;30", "prompt is #REF!, the error of a spreadsheet formula"),
        (" #Name? ;30", "prompt is #Name?, the error of a spreadsheet formula"),
        (";30", "prompt is missing"),
        ("  ;30", "prompt is missing"),
        ("lo-fi; rainy;30", "has 3 cells, but the header has 2; a cell that holds ';' needs"),
        ("rock", "has 1 cells, but the header has 2"),
        ('"rock;30', "not CSV: a quote is left open"),
        ('"ro"ck;30', "not CSV: ';' expected after '\"'"),
    ],
)  # fmt: skip
def test_n12_a_cell_that_is_not_certain_is_refused(row: str, reason: str) -> None:
    (refusal,) = refusals(f"prompt;duration\n{row}\n")
    assert refusal.startswith(f"line 2: {reason}")


def test_n12_blanks_before_a_cell_are_not_part_of_it_unless_quoted() -> None:
    found = requests('id, prompt\na,  lo-fi \nb,"  lo-fi"\n')
    assert found == [MusicGen("lo-fi "), MusicGen("  lo-fi")]


def test_n10_nothing_is_lost_in_a_column_without_a_name() -> None:
    (refusal,) = refusals("prompt,,mood,\nlo-fi, rainy,x,\n")
    assert refusal == "line 2: has 'rainy' in column 2, which has no name"
    (refusal,) = refusals("prompt,mood,,\nlo-fi, rainy,x,\n")
    assert "has 3 cells, but the header has 2" in refusal


def test_n10_a_name_that_stands_twice_is_refused() -> None:
    for header in ("prompt,Prompt ", "prompt,duration,DURATION", "prompt,mood,mood,"):
        assert "twice" in refusals(f"{header}\n{header}\n")[0]


@pytest.mark.parametrize(
    "table",
    ["prompt\nlo-fi\nprompt\nraga\n", "prompt,mood\nlo-fi,\nPrompt , mood\nraga,\n",
     "mood;prompt;;\nx;lo-fi\n\ufeffmood;prompt;;\ny;raga\n",
     'prompt\tid\nlo-fi\ta\n"prompt"\t"id"\nb\tb'],
)  # fmt: skip
def test_n13_a_header_that_comes_again_is_not_paid_for(table: str) -> None:
    rows = read(table)
    assert [isinstance(row, NewRow) for row in rows] == [True, False, True]
    assert "the header again" in str(rows[1])


@pytest.mark.parametrize(
    "tables",
    [["lo-fi beat\n", "raga"], ["prompt,mood\nlo-fi beat,\n", "raga,x"],
     ['{"prompt": "lo-fi beat"}\r\n', '{"prompt": "raga"}'], ["# a\nlo-fi beat\n", "# b\nraga"]],
)  # fmt: skip
def test_n10_the_mark_of_a_file_that_was_appended_is_no_part_of_its_text(tables: list[str]) -> None:
    found = requests("".join(f"\ufeff{one}" for one in tables))
    assert [one.title for one in found] == ["lo-fi beat", "raga"]


# What is taken for text


@pytest.mark.parametrize(
    "header",
    ["prompts,duration", "Prompts", "promt;mood", "title,Prompts", "name,duration", "text;bitrate",
     "titel\tmax_new_token", "Song|Track ID", "sep=;", '"my\nprompt";duration'],
)  # fmt: skip
def test_n13_a_header_without_prompt_is_not_paid_for(header: str) -> None:
    assert "header" in refusals(f"{header}\nlo-fi,30\n")[0] or header == "sep=;"
    assert not [row for row in read(f"{header}\n") if isinstance(row, NewRow)]


@pytest.mark.parametrize(
    "table",
    ["My album,,\r\nprompt,duration,\r\nlo-fi,30,\r\n", "Table 1\n\nPrompt;duration\nlo-fi;30\n",
     "Songs\tof 2026\n\tprompt\tduration\n\tlo-fi\t30\n", '"Songs"\n"prompt","bpm"\n"lo-fi","9"\n',
     "Exported by me\nprompt\nlo-fi\n", "a\nb\nduration|PROMPT:\n30|lo-fi\n"],
)  # fmt: skip
def test_n13_a_table_under_a_title_is_not_paid_for_as_text(table: str) -> None:
    (refusal,) = [str(row) for row in read(table) if isinstance(row, BadRow)]
    assert "looks like the header of a table" in refusal
    assert requests(table, "text")


@pytest.mark.parametrize(
    "line",
    ["lo-fi, rainy", "prompt: lo-fi", "prompt, lo-fi and slow"[8:], "30; rainy", "a | b", "sep",
     "tempo, key, id", "a\tb", "<lofi> beat", "[lofi]", "- lofi", "\\o/", "PKs and more"],
)  # fmt: skip
def test_n13_a_prompt_that_looks_a_little_like_data_is_a_prompt(line: str) -> None:
    assert requests(f"{line}\n") == [MusicGen(line.strip())]
    assert requests(f"raga\n{line}\n")[1:] == [MusicGen(line.strip())]


def test_n13_comments_and_blank_lines_are_counted() -> None:
    reading = Reading()
    content = "\ufeff# mine\n\n#lofi beats\n \t\nrock\n#phonk\n\\#synth wave\n\\o/\n"
    read(content, None, reading)
    assert reading == Reading("text", "", 3, 2, "#lofi beats", 2, rows=3)
    assert [one.title for one in requests(content)] == ["rock", "#synth wave", "\\o/"]


def test_n13_comments_of_jsonl_and_before_a_table_are_counted() -> None:
    reading = Reading()
    read('# mine\n{"prompt": "a"}\n# more\n\n{"prompt": "b"}\n', None, reading)
    assert reading == Reading("jsonl", "", 2, 0, "", 1, rows=2)
    reading = Reading()
    read("# mine\nprompt;x\n#rock;\n;\n", None, reading)
    assert reading == Reading("csv", ";", 1, 0, "", 1, rows=1)


def test_n13_a_column_of_numbers_may_be_named_by_a_hash() -> None:
    assert requests("#,prompt\n1,rock\n") == [MusicGen("rock")]


# Files that are none


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "xlsx": (workbook(), "workbook"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "workbook"),
    "gzip": (gzip.compress(b"rock\n"), "gzip"),
    "rtf": (b"{\\rtf1\\ansi rock}\n", "RTF"),
    "pdf": (b"%PDF-1.7\nrock\n", "PDF"),
    "html": (b"<!DOCTYPE html>\n<p>rock</p>\n", "HTML"),
    "html without a type": (b"\n <html><body>rock\n", "HTML"),
    "table that Excel opens": (b"<table><tr><td>prompt</td></tr></table>\n", "HTML"),
    "xml": (b'\xef\xbb\xbf<?xml version="1.0"?>\n<a>rock</a>\n', "XML"),
    "sqlite": (b"SQLite format 3\0" + bytes(100), "SQLite"),
    "wav": (b"RIFF\x10\0\0\0WAVEfmt ", "sound"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(10), "picture"),
    "zeros": (bytes(3 * CHUNK), "NUL"),
    "parquet": (b"PAR1" + b"x" * 100, "Parquet"),
}


@pytest.mark.parametrize("format_", [None, "text", "jsonl", "csv"])
@pytest.mark.parametrize(("content", "kind"), FILES.values(), ids=FILES)
def test_n14_a_file_of_another_kind_is_named_and_is_no_row(
    content: bytes, kind: str, format_: Format | None
) -> None:
    (refusal,) = refusals(content, format_)
    assert kind in refusal
    assert refusal.isprintable()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[{"prompt": "rock"}]', "write one object per line, as jq -c '.[]' does"),
        ('[\n  {"prompt": "rock"}\n]\n', "write one object per line, as jq -c '.[]' does"),
        ('{\n  "prompt": "rock"\n}\n', "write one object per line, as jq -c does"),
        ('{"prompt": "rock"},\n', "more than one JSON value (column 19)"),
        ('{"prompt": "rock"}{"prompt": "raga"}\n', "more than one JSON value (column 19)"),
        ('{"prompt": "rock",}\n', "not JSON"),
        ("{'prompt': 'rock'}\n", "not JSON"),
        ("---\nprompts:\n- rock\n", "looks like YAML"),
        ("```\nrock\n```\n", "looks like Markdown"),
    ],
)
def test_n14_json_and_markup_that_is_no_manifest_is_named(content: str, reason: str) -> None:
    rows = read(content)
    assert not any(isinstance(row, NewRow) for row in rows)
    assert reason in str(rows[0])


def test_n14_a_line_separator_inside_of_jsonl_ends_no_line() -> None:
    row = json.dumps({"prompt": "a\u2028b\u2029c\x85d"}, ensure_ascii=False)
    assert requests(f"{row}\r\n{row}\r{row}") == [MusicGen("a\u2028b\u2029c\x85d")] * 3


def test_n14_a_pipe_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def read(self, size: Any = -1) -> bytes:
            return b"rock\n" * 1000

    monkeypatch.setattr(manifests, "MAX_COPY", 10**6)
    with pytest.raises(OSError, match="no end of it"):
        snapshot(Pipe())


# What the command line says of it


def test_n13_what_was_read_is_shown_before_it_is_paid_for(tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("#lofi chill beats\n# mine\n\nsitar\ntabla\nveena\nraga\n")
    done = command(tmp_path, "batch", "h.txt", "-n")
    assert done.stdout.splitlines()[2:] == [
        "manifest: text, one prompt per line; 4 rows; skipped 2 comment lines (#) and 1 blank line",
        "  00001-sitar.wav  sitar",
        "  00002-tabla.wav  tabla",
        "  00003-veena.wav  veena",
        "  ...",
    ]
    assert "skipped as 1 comment: " in done.stderr
    assert "'#lofi chill beats'" in done.stderr
    paid = command(tmp_path, "batch", "h.txt", "--sandbox", "--max-jobs-total", "0", "-o", "out")
    assert "manifest: text, one prompt per line; 4 rows" in paid.stderr
    assert "  00001-sitar.wav  sitar" in paid.stderr


def test_n13_a_plan_says_in_json_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\nid;prompt;output_format\nx;sitar;MP3\n;;\n")
    done = command(tmp_path, "batch", "t.csv", "-n", "--json", "--template", "{id}")
    assert json.loads(done.stdout)["manifest"] == {
        "format": "csv",
        "delimiter": ";",
        "rows": 1,
        "comments": 0,
        "blank": 1,
        "first": [{"path": "x.mp3", "prompt": "sitar"}],
    }


@pytest.mark.parametrize("name", ["a.md", "a.yaml", "a.html", "a.py", "a.MD"])
def test_n14_a_name_that_no_manifest_has_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("rock\n")
    done = command(tmp_path, "batch", name, "-n")
    assert done.returncode == 2
    assert "--format" in done.stderr
    assert command(tmp_path, "batch", name, "-n", "--format", "text").returncode == 0


def test_n14_a_device_is_no_manifest(tmp_path: Path) -> None:
    assert "is a device" in command(tmp_path, "batch", "/dev/zero", "-n").stderr


def test_n13_only_names_that_are_close_to_ours_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("prompt,mood,Duraton,max_new_tokens\nsitar,x,30,512\n")
    done = command(tmp_path, "batch", "t.csv", "-n")
    assert "Duraton (did you mean duration?)" in done.stderr
    assert "max_new_tokens (did you mean max_new_token?)" in done.stderr
    assert "mood" not in done.stderr
