"""Names of files, and ``results.jsonl``: no two rows collide, and no line is ever half there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import MusicGen, Request
from modelslab_async._text import folded, slug
from modelslab_async.batch._columns import columns_of
from modelslab_async.batch._naming import (
    DEFAULT_TEMPLATE,
    check_template,
    file_name,
    longest_name,
)
from modelslab_async.batch._results import (
    RESULTS_NAME,
    Result,
    check_results_name,
    result_line,
    write_results,
)
from modelslab_async.errors import ConfigurationError, LedgerError

# Names


def name(
    template: str = DEFAULT_TEMPLATE,
    seq: int = 17,
    row_id: str = "a1",
    prompt: str = "Rock music from the 90s!",
    job_id: str = "43730",
) -> str:
    return file_name(template, seq, row_id, prompt, job_id)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (DEFAULT_TEMPLATE, "00017-rock-music-from-the-90s"),
        ("{seq}", "17"),
        ("song{seq:d}x", "song17x"),
        ("{slug}_{seq:03d}", "rock-music-from-the-90s_017"),
        ("{id}", "a1"),
        ("{id}+{slug}", "a1+rock-music-from-the-90s"),
        ("{id}+{prompt}", "a1+rock-music-from-the-90s"),
        ("{job}@{id}", "43730@a1"),
        ("{seq}-{id}-{job}-{slug}", "17-a1-43730-rock-music-from-the-90s"),
        ("con.{seq}", "_con.17"),
    ],
)
def test_a_template_is_filled_in(template: str, expected: str) -> None:
    assert name(template) == expected


@pytest.mark.parametrize(
    "template",
    [
        "",
        "song",
        "{slug}",
        "{job}",
        "{slug}{seq}",
        "{seq}{slug}",
        "{seq}1-{slug}",
        "{slug}-{seq}-{job}",
        "{id}-{slug}",
        "{slug}-{id}",
        "{id}{seq}",
        "{seq}-{seq}",
        "{seq.__class__}",
        "{seq[0]}",
        "{0}",
        "{}",
        "{seq!r}",
        "{seq:>9}",
        "{seq:99999d}",
        "{seq:5d}",
        "{seq:{id}}",
        "{id:s}",
        "{mood}-{seq}-{mood}",
        "{mood}",
        "{mood!r}-{seq}",
        "{mood:>9}-{seq}",
        "{mood.upper}-{seq}",
        "{../x}-{seq}",
        "{ mood}-{seq}",
        "{seq}-{a}-{b}-{c}-{d}",
        "{seq",
        "seq}",
        "{{seq}}",
        "../{seq}",
        "a/{seq}",
        "a\\{seq}",
        "\0{seq}",
        "é-{seq}",
        ".{seq}",
        "-{seq}",
        "{seq}.",
        "{seq}-" + "x" * 40,
    ],
)
def test_a_template_that_is_not_safe_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError, match="the default is"):
        check_template(template)


WALTZ = MusicGen("waltz", duration=30, output_format="wav")


def of_columns(template: str, request: Request = WALTZ, **rest: object) -> str:
    columns = columns_of(template, request, rest, "the row in line 4")
    return file_name(template, 4, "w", request.title, "", columns=columns)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{mood}-{seq}", "calm-4"),
        ("{seq:03d}_{take}-{mood}", "004_7-calm"),
        ("{Album title}-{seq}", "side-a-4"),
        ("{seq}-{duration}s.{output_format}", "4-30s.wav"),
        ("{seq}-{live}", "4-true"),
        ("{prompt}-{seq}", "waltz-4"),
    ],
)
def test_a_template_takes_the_columns_of_a_row(template: str, expected: str) -> None:
    rest = {"mood": "Calm", "take": 7, "Album title": "Side A", "live": True, "prompt": "no"}
    columns = columns_of(template, WALTZ, rest, "the row in line 4")
    assert file_name(template, 4, "w", "waltz", "", columns=columns) == expected


def test_a_column_of_the_manifest_goes_before_a_field_of_the_request() -> None:
    request = MusicGen("waltz", extra={})
    assert of_columns("{seq}-{duration}", request, duration="long") == "4-long"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{slgu}-{seq}", r"names 'slgu', which the row in line 4 does not have: did you mean slug"),
        ("{moood}-{seq}", r"did you mean mood\?"),
        ("{duratoin}-{seq}", r"did you mean duration\?"),
        ("{xyzzy}-{seq}", r"its fields are seq, id, slug, prompt, job, .*mood"),
        ("{empty}-{seq}", "names 'empty'"),
        ("{tags}-{seq}", "names 'tags'"),
        ("{lyrics}-{seq}", "names 'lyrics'"),
    ],
)
def test_a_column_that_a_row_does_not_have_is_refused_and_the_nearest_named(
    template: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        of_columns(template, mood="calm", empty="  ", tags=["a"], none=None)


@pytest.mark.parametrize(
    ("prompt", "expected"), [("{seq.real}", "seq.real"), ("%s%n", "s-n"), ("{job}", "job")]
)
def test_a_prompt_is_no_template(prompt: str, expected: str) -> None:
    assert name(prompt=prompt) == f"00017-{expected}"


TEMPLATES = [
    DEFAULT_TEMPLATE,
    "{seq}",
    "{slug}-{seq}",
    "{job}.{slug}_{seq}",
    "{id}",
    "x{id}",
    "{id}+{slug}",
    "{slug}~{id}",
    "{job}-{slug}={id}",
]
foreign = st.text(max_size=30) | st.sampled_from(
    [
        "../../etc/passwd",
        "",
        "\0",
        "a\r\nb",
        "-rf",
        ".bashrc",
        "\u202egnp",
        "CON",
        "lpt1.x",
        "~",
        "+",
    ]
)
tricky_id = (
    foreign
    | st.text("aA-_.1", max_size=6)
    | st.text("é\u0301e", max_size=4)
    | st.text("sSß\u0131iI音", max_size=3)
)


@given(st.sampled_from(TEMPLATES), st.integers(0, 2**63), tricky_id, foreign, foreign)
def test_a_name_is_one_safe_component_whatever_is_in_it(
    template: str, seq: int, row_id: str, prompt: str, job_id: str
) -> None:
    plain = file_name(template, seq, row_id, prompt, job_id, ascii_only=True)
    assert plain.isascii()
    found = file_name(template, seq, row_id, prompt, job_id) + ".wav"
    assert Path("out", found).name == found
    assert PureWindowsPath("out", found).parent == PureWindowsPath("out")
    assert found.isprintable()
    assert not found.startswith((".", "-"))
    assert len(found.encode()) < 240
    assert longest_name(template) <= 255
    stem = folded(found).partition(".")[0]
    assert stem not in {"con", "prn", "aux", "nul", "com1", "lpt1"}


@given(foreign, foreign)
def test_a_column_is_made_safe_as_a_prompt_is(mood: str, album: str) -> None:
    template = "{seq}-{mood}+{album}"
    found = file_name(template, 4, "w", "", "", columns={"mood": mood, "album": album})
    assert found == f"4-{slug(mood)}+{slug(album)}"
    assert Path("out", found).name == found
    assert PureWindowsPath("out", found).parent == PureWindowsPath("out")
    assert longest_name(template) <= 255


row = st.tuples(st.integers(0, 200), tricky_id, foreign | st.text("a-1", max_size=5), foreign)


@given(st.sampled_from(TEMPLATES), row, row)
def test_two_rows_never_have_one_name(
    template: str, one: tuple[int, str, str, str], other: tuple[int, str, str, str]
) -> None:
    if one[0] == other[0] or one[1] == other[1]:
        return
    first, second = (
        {folded(file_name(template, *row, ascii_only=ascii_only)) for ascii_only in (False, True)}
        for row in (one, other)
    )
    assert not first & second


def test_ids_that_differ_in_case_alone_have_two_names() -> None:
    assert name("{id}", row_id="song") == "song"
    assert name("{id}", row_id="Song").startswith("song-")
    assert name("{id}", row_id="straße").startswith("straße-")
    assert name("{id}", row_id="雨の音") == "雨の音"


def test_an_id_that_looks_like_one_of_ours_is_hashed_too() -> None:
    hashed = name("{id}", row_id="Song")
    assert name("{id}", row_id=hashed) != hashed


# Lines


def result(number: int = 1, **more: Any) -> Result:
    return Result(row=number, id=f"r{number}", prompt="rock", **more)


def written(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / RESULTS_NAME).read_bytes().splitlines()]


def test_a_line_says_all_there_is_to_say() -> None:
    line = result_line(
        Result(
            row=17,
            id="a",
            job_id="43730",
            track_id=5,
            prompt="rock",
            path="00017-rock.wav",
            seconds=30.0,
            sha256="00",
            source_sha256="01",
            flags=("dead_tail",),
            peak_dbfs=-0.5,
            generation_time=21.5,
            waited=25.0,
            polls=4,
            attempts=1,
            fields={"mood": [1, None]},
        )
    )
    assert json.loads(line) == {
        "row": 17,
        "id": "a",
        "job_id": "43730",
        "track_id": 5,
        "prompt": "rock",
        "path": "00017-rock.wav",
        "seconds": 30.0,
        "sha256": "00",
        "source_sha256": "01",
        "flags": ["dead_tail"],
        "peak_dbfs": -0.5,
        "generation_time": 21.5,
        "waited": 25.0,
        "polls": 4,
        "attempts": 1,
        "reason": None,
        "fields": {"mood": [1, None]},
    }


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_a_line_is_one_line_and_comes_back(prompt: str, error: str, more: dict[str, str]) -> None:
    line = result_line(Result(row=1, id="a", prompt=prompt, reason=error, fields=more))
    assert len(line.decode("ascii").splitlines()) == 1
    assert line.endswith(b"\n")
    found = json.loads(line)
    assert (found["prompt"], found["reason"], found["fields"]) == (prompt, error, more)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_seconds_that_are_no_number_are_not_known(value: float) -> None:
    assert json.loads(result_line(result(waited=value)))["waited"] is None


# The file


def test_the_file_has_one_line_a_row_in_their_order(tmp_path: Path) -> None:
    for last in (2, 3):
        write_results(tmp_path, (result(number) for number in range(1, last + 1)))
        assert [line["row"] for line in written(tmp_path)] == [*range(1, last + 1)]
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS_NAME]


@pytest.mark.parametrize("rows", [[2, 1], [1, 1]])
def test_results_that_are_out_of_order_replace_nothing(tmp_path: Path, rows: list[int]) -> None:
    write_results(tmp_path, [result(5)])
    with pytest.raises(LedgerError, match="came after row"):
        write_results(tmp_path, map(result, rows))
    assert [line["row"] for line in written(tmp_path)] == [5]
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS_NAME]


def test_a_source_that_fails_replaces_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[Result]:
        yield result(1)
        raise LedgerError("gone")

    write_results(tmp_path, [result(5)])
    with pytest.raises(LedgerError, match="gone"):
        write_results(tmp_path, failing())
    assert [line["row"] for line in written(tmp_path)] == [5]


def test_a_part_file_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f".{RESULTS_NAME}.part").write_bytes(b"x" * 100_000)
    write_results(tmp_path, [result(1)])
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS_NAME]
    assert len(written(tmp_path)) == 1


def test_a_name_that_is_free_or_that_of_a_file_is_fit_for_results(tmp_path: Path) -> None:
    check_results_name(tmp_path)
    write_results(tmp_path, [result(1)])
    check_results_name(tmp_path)


@pytest.mark.parametrize(
    "plant",
    [os.mkfifo, os.mkdir, lambda path: path.symlink_to("precious")],
    ids=["pipe", "directory", "link"],
)
def test_what_is_no_file_is_refused(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / RESULTS_NAME)
    with pytest.raises(LedgerError, match="not a regular file"):
        check_results_name(tmp_path)


FULL = """
import resource, signal, sys
from pathlib import Path
from modelslab_async.batch._results import Result, write_results
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    write_results(Path(sys.argv[1]), (Result(row=n, id="a", prompt="rock") for n in range(99)))
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    write_results(tmp_path, [result(5)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "File too large\n"
    assert [line["row"] for line in written(tmp_path)] == [5]
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS_NAME]
