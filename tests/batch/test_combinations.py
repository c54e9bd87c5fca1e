"""Lists of values become rows whose ids come from the values: more values add rows, change none."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import MusicGen, RequestError
from modelslab_async.batch import Manifest, combinations, plan_batch
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._lines import BadRow
from modelslab_async.batch._manifest import Format, read_manifest
from modelslab_async.batch._naming import file_name
from modelslab_async.batch._records import NewRow
from modelslab_async.sandbox import Sandbox

from ..support.batches import paid, quick, rows, run
from ..support.quick import client_of

ALBUM = """
[defaults]
max_new_token = 256

[[tracks]]
prompt = "{mood} {genre}, {bpm} bpm"
takes = 2
matrix = {genre = ["techno", "waltz"], mood = ["calm", "tense"], bpm = [90, 120]}
exclude = [{genre = "waltz", bpm = 120}]
include = [{genre = "polka", mood = "silly", bpm = 140}]

[[tracks]]
id = "boss-fight"
prompt = "epic orchestral boss fight, choir"
max_new_token = 512
"""


def read(text: str, folder: Path | None = None, form: Format = "toml") -> list[NewRow | BadRow]:
    return [*read_manifest(io.BytesIO(text.encode()), form, folder=folder)]


def ids(text: str, folder: Path | None = None) -> list[str]:
    found = read(text, folder)
    assert all(isinstance(row, NewRow) for row in found), found
    return [row.id for row in found if isinstance(row, NewRow)]


def test_a_manifest_of_lists_becomes_a_row_per_combination_and_take() -> None:
    found = read(ALBUM)
    assert [row.id for row in found if isinstance(row, NewRow)] == [
        *("calm-techno-90", "calm-techno-90~2", "calm-techno-120", "calm-techno-120~2"),
        *("tense-techno-90", "tense-techno-90~2", "tense-techno-120", "tense-techno-120~2"),
        *("calm-waltz-90", "calm-waltz-90~2", "tense-waltz-90", "tense-waltz-90~2"),
        *("silly-polka-140", "silly-polka-140~2", "boss-fight"),
    ]
    first, last = found[1], found[-1]
    assert isinstance(first, NewRow)
    assert isinstance(last, NewRow)
    assert first.request == MusicGen("calm techno, 90 bpm", max_new_token=256)
    assert first.fields == {"genre": "techno", "mood": "calm", "bpm": 90, "take": 2}
    assert (last.request, last.fields) == (
        MusicGen("epic orchestral boss fight, choir", max_new_token=512),
        {},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('prompt = "slow waltz"', ["slow-waltz"]),
        ('prompt = "slow waltz"\ntakes = 3', ["slow-waltz", "slow-waltz~2", "slow-waltz~3"]),
        ('prompt = "{a}{{x}}"\nmatrix = {a = [true, 0.5, -1]}', ["true", "0.5", "1"]),
        ('id = "{n}+x"\nprompt = "p"\nmatrix = {n = ["Ä b"]}', ["ä-b+x"]),
        ('matrix.prompt = ["waltz", "raga"]', ["waltz", "raga"]),
        ('prompt = "{b} {a}"\nmatrix = {a = [1], b = [2], z = [4], c = [3]}', ["2-1-3-4"]),
        ('prompt = "{a}"\ninclude = [{a = "x"}, {a = "y"}]', ["x", "y"]),
        ('prompt = "x"\nmatrix = {duration = [30, 60]}', ["30", "60"]),
    ],
)
def test_an_id_comes_from_the_values(text: str, expected: list[str]) -> None:
    assert ids(text) == expected


def test_the_order_of_the_lists_is_no_part_of_an_id() -> None:
    one = 'prompt = "{a} {b}"\nmatrix = {a = ["x"], b = ["y"], c = [1], d = [2]}'
    other = 'prompt = "{a} {b}"\nmatrix = {d = [2], c = [1], b = ["y"], a = ["x"]}'
    assert ids(one) == ids(other)


MOODS = ["calm", "tense", "wild", "soft", "odd", "loud", "slow"]
WORDS = st.lists(st.sampled_from(MOODS), min_size=1, unique=True)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), WORDS, min_size=1),
    st.sampled_from(["new", "neuer", "7"]),
    st.integers(1, 3),
    st.data(),
)
def test_a_value_or_a_take_more_adds_rows_and_changes_none(
    matrix: dict[str, list[str]], value: str, takes: int, data: st.DataObject
) -> None:
    prompt = " ".join(f"{{{name}}}" for name in sorted(matrix))
    name = data.draw(st.sampled_from(sorted(matrix)))
    at = data.draw(st.integers(0, len(matrix[name])))
    more = {**matrix, name: [*matrix[name][:at], value, *matrix[name][at:]]}
    before = {row["id"]: row for row in combinations(prompt, matrix=matrix, takes=takes)}
    after = {row["id"]: row for row in combinations(prompt, matrix=more, takes=takes)}
    again = {
        row["id"]: row["prompt"] for row in combinations(prompt, matrix=matrix, takes=takes + 1)
    }
    assert len(after) > len(before)
    assert {key: after[key] for key in before} == before
    assert {key: again[key] for key in before} == {
        key: row["prompt"] for key, row in before.items()
    }


def test_a_sample_is_chosen_by_values_so_that_a_longer_list_changes_few() -> None:
    values = [f"v{number}" for number in range(200)]
    few = {row["id"] for row in combinations("{a}", matrix={"a": values}, sample={"rows": 20})}
    more = {
        row["id"]
        for row in combinations("{a}", matrix={"a": [*values, "w1", "w2"]}, sample={"rows": 20})
    }
    other = {
        row["id"]
        for row in combinations("{a}", matrix={"a": values}, sample={"rows": 20, "seed": 1})
    }
    assert len(few) == len(more) == 20
    assert len(few & more) >= 18
    assert few != other


WRONG = {
    'prompt = "{mod}"\nmatrix = {mood = ["x"]}': "did you mean mood?",
    'prompt = "{mood}"': "names mood, which the matrix does not have: there is no matrix",
    'prompt = "a { b"\nmatrix = {a = [1]}': "a { that is not around a name",
    'prompt = "{a.b}"\nmatrix = {a = [1]}': "a { that is not around a name",
    'prompt = "x"\nmatrix = {a = []}': "matrix.a is [], but must be a list of values",
    'prompt = "x"\nmatrix = {a = "y"}': "matrix.a is 'y', but must be a list of values",
    'prompt = "x"\nmatrix = {a = [[1]]}': "a value is text, a number, true or false",
    'prompt = "x"\nmatrix = {a = [1, 1]}': "matrix.a holds 1 twice",
    'prompt = "x"\nmatrix = {id = [1]}': "matrix has the name 'id'",
    'prompt = "x"\nmatrix = 3': "matrix is 3, but must be a table of lists",
    'prompt = "{a}"\nmatrix = {a = ["C", "c"]}': "id 'c' comes twice, from 'a = C' and 'a = c'",
    'prompt = "{a}"\nmatrix = {a = [1]}\nexclude = [{b = 1}]': "exclude names b",
    'prompt = "{a}"\nmatrix = {a = [1]}\nexclude = [{a = 2}]': "but matrix.a has 1",
    'prompt = "{a}"\nmatrix = {a=[1,2],b=[1,2]}\nexclude = [{a=1},{a=1,b=2},{a=1,b=2}]': "",
    'prompt = "x"\nexclude = {a = 1}': "exclude is {'a': 1}, but must be a list of tables",
    'prompt = "x"\nsample = 3': "but must be a table such as {rows = 50, seed = 7}",
    'prompt = "x"\nsample = {rows = 0}': "sample.rows is 0, but must be 1 or more",
    'prompt = "x"\ntakes = 0': "takes is 0, but must be a whole number, 1 to 1000",
    'prompt = "x"\ntakes = "many"': "takes is 'many', but must be a whole number, 1 to 1000",
    "prompt = 3": "prompt is 3, but must be text",
    "duration = 30": "has neither a prompt nor an id",
    'prompt = "x"\nprompt = "y"': "is not TOML: Cannot overwrite a value (at end",
    'defaults = {takes = 3}\nprompt = "x"': "defaults is {'takes': 3}, but must be a table of",
    'prompt = "x"\n[[tracks]]\nprompt = "y"': "prompt stands beside [[tracks]]",
    "tracks = 3": "tracks must be tables: write [[tracks]] above each",
    '[[tracks]]\nprompt="x"\n[[tracks]]\nprompt = "{y}"': "tracks 2: prompt names y",
    '[[tracks]]\nprompt="x"\n[[tracks]]\nprompt = "x"': "row 2: id 'x' is also that of row 1",
    'prompt = "x"\nduration = 5': "row 1: duration",
    'prompt = "x"\nmatrix = {a = {file = "../x"}}': "in the manifest's directory or below it",
    'prompt = "x"\nmatrix = {a = {file = "gone"}}': "matrix.a.file: there is no file 'gone'",
}


@pytest.mark.parametrize("text", WRONG)
def test_each_mistake_is_one_error_that_names_it(text: str, tmp_path: Path) -> None:
    bad = [str(row) for row in read(text, tmp_path) if isinstance(row, BadRow)]
    assert len(bad) == (1 if WRONG[text] else 0), bad
    assert WRONG[text] in "".join(bad)


def test_a_list_can_be_a_file_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "genres.txt").write_text("techno\n\n# no\nslow waltz\n")
    text = 'prompt = "{genre}"\nmatrix.genre = {file = "genres.txt"}'
    assert ids(text, tmp_path) == ["techno", "slow-waltz"]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("jsonl", '{"prompt": "a", "id": "x", "takes": 3}', ["x", "x~2", "x~3"]),
        ("csv", "id,prompt,takes\nx,a,2\ny,b,\n", ["x", "x~2", "y"]),
    ],
)
def test_takes_is_a_field_of_every_kind_of_manifest(
    form: Format, text: str, expected: list[str]
) -> None:
    assert [row.id for row in read(text, form=form) if isinstance(row, NewRow)] == expected


def test_takes_without_an_id_are_rows_of_their_own_and_more_of_them_add_rows() -> None:
    two = [row.id for row in read('{"prompt": "a", "takes": 2}', form="jsonl")]  # type: ignore[union-attr]
    three = [row.id for row in read('{"prompt": "a", "takes": 3}', form="jsonl")]  # type: ignore[union-attr]
    assert len({*three}) == 3
    assert three[:2] == two


def test_a_take_has_a_name_that_no_other_id_has() -> None:
    def name(row_id: str) -> str:
        return file_name("{id}", 1, row_id, "", "")

    assert name("boss-fight~2") == "boss-fight.take2"
    others = ["boss-fight", "boss-fight.take2", "boss-fight~02", "Boss-fight~2", "boss-fight~2~2"]
    names = [name(row_id) for row_id in [*others, "boss-fight~2"]]
    assert len({*names}) == len(names)


@pytest.mark.anyio
async def test_a_batch_pays_for_the_new_rows_of_a_longer_list_only(tmp_path: Path) -> None:
    def album(*moods: str) -> list[dict[str, Any]]:
        matrix = {"mood": moods, "genre": ["techno", "waltz"]}
        return [*combinations("{mood} {genre}", matrix=matrix, max_new_token=256)]

    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, album("calm"), tmp_path)
        await run(client, album("calm", "tense"), tmp_path)
        await run(client, [{"prompt": "drone", "takes": 2, "id": "drone"}], tmp_path)
        assert paid(box) == {
            **{f"{mood} {genre}": 1 for mood in ("calm", "tense") for genre in ("techno", "waltz")},
            "drone": 2,
        }
    assert [row.id for row in rows(tmp_path)] == [
        *("calm-techno", "calm-waltz", "tense-techno", "tense-waltz", "drone", "drone~2"),
    ]


def test_a_hundred_thousand_rows_come_one_by_one() -> None:
    values = [f"v{number}" for number in range(320)]
    made = combinations("{a} {b}", matrix={"a": values, "b": values})
    assert [row["id"] for row in itertools.islice(made, 2)] == ["v0-v0", "v0-v1"]
    with pytest.raises(RequestError, match="takes is 2000"):
        next(combinations("x", takes=2000))


def test_a_manifest_of_lists_is_planned_like_any_other(tmp_path: Path) -> None:
    plan = plan_batch(tmp_path / "out", Manifest(io.BytesIO(ALBUM.encode()), "toml", tmp_path))
    assert (plan.jobs, plan.template) == (15, "{id}")
    assert plan.reading is not None
    assert [name for name, _ in plan.first][:2] == [
        "calm-techno-90.wav",
        "calm-techno-90.take2.wav",
    ]
    assert not plan.reading.misspelled


@pytest.mark.anyio
async def test_a_field_that_is_added_to_rows_that_were_not_sent_reaches_their_file_names(
    tmp_path: Path,
) -> None:
    before = '{"prompt": "waltz", "id": "a"}\n{"prompt": "raga", "id": "b"}\n'
    after = before.replace('"a"', '"a", "mood": "calm"').replace('"b"', '"b", "mood": "x"')
    template = "{seq}-{mood}"

    def manifest(text: str) -> Manifest:
        return Manifest(io.BytesIO(text.encode()), "jsonl", tmp_path)

    async with Ledger(tmp_path) as ledger:
        await ledger.plan(manifest(before).planned(), whole=True)
    plan = plan_batch(tmp_path, manifest(after), template=template)
    assert (plan.alters, plan.jobs, plan.replaced) == (True, 2, 0)
    async with Ledger(tmp_path) as ledger:
        planned = await ledger.plan(manifest(after).planned(), replaces=True, whole=True)
        assert (planned.kept, planned.replaced) == (2, 0)
    assert not plan_batch(tmp_path, manifest(after), template=template).alters
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, None, tmp_path, template=template)
        assert paid(box) == {"waltz": 1, "raga": 1}
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["1-calm.wav", "2-x.wav"]
