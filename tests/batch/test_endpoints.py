"""A batch has rows of several endpoints."""

from __future__ import annotations

import io
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import (
    Limits,
    MusicGen,
    Request,
    SoundEffect,
    Succeeded,
    TextToAudio,
    TextToSpeech,
    VoiceCover,
)
from modelslab_async.batch import Manifest, plan_batch
from modelslab_async.batch._intake import RequestLike, rows_of
from modelslab_async.batch._lines import BadRow
from modelslab_async.batch._manifest import read_manifest
from modelslab_async.batch._records import NewRow, from_record
from modelslab_async.sandbox import Sandbox

from ..support.all_endpoints import SAMPLES
from ..support.batches import quick, run
from ..support.quick import client_of

SFX = {"endpoint": "sfx", "prompt": "thunder", "duration": 3}


def read(content: str) -> list[NewRow | BadRow]:
    return list(read_manifest(io.BytesIO(content.encode())))


def row_of(**fields: Any) -> NewRow | BadRow:
    (row,) = read(json.dumps(fields) + "\n")
    return row


def test_a_row_names_its_endpoint_and_music_is_the_default() -> None:
    rows = read("prompt,endpoint,duration\nthunder,sfx,3\nwaltz,,30\npolka,Music_Gen,31\n")
    assert [row.request for row in rows if isinstance(row, NewRow)] == [
        SoundEffect("thunder", duration=3),
        MusicGen("waltz", duration=30),
        MusicGen("polka", duration=31),
    ]


def test_a_row_of_another_endpoint_is_read_again_as_it_was_kept() -> None:
    row = row_of(**SFX, mood="dark")
    assert isinstance(row, NewRow)
    assert row_of(**row.to_record()) == row


def test_the_same_words_for_two_endpoints_are_two_rows() -> None:
    music, effect = row_of(prompt="thunder"), row_of(prompt="thunder", endpoint="sfx")
    assert isinstance(music, NewRow)
    assert isinstance(effect, NewRow)
    assert music.payload_hash != effect.payload_hash


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"endpoint": "images"}, "endpoint is 'images', but must be one of music_gen, sfx"),
        ({"endpoint": 5}, "endpoint is 5, but must be one of music_gen, sfx"),
        ({"endpoint": "sfx", "max_new_token": 256}, "max_new_token is no field of sfx"),
        ({"endpoint": "sfx", "init_audio": "aGk="}, "init_audio is no field of sfx"),
        ({"endpoint": "sfx", "init_audio_file": "a.wav"}, "init_audio_file is no field of sfx"),
        ({"endpoint": "sfx", "duration": 30}, "3 to 15 seconds"),
        ({"endpoint": "sfx", "prompt": None}, "prompt is missing"),
    ],
)
def test_a_row_that_its_endpoint_does_not_take_says_why(fields: dict[str, Any], words: str) -> None:
    row = row_of(**{"prompt": "thunder", **fields})
    assert isinstance(row, BadRow)
    assert words in str(row)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("endpont", {"endpont": "endpoint"}),
        ("Endpoint", {"Endpoint": "endpoint"}),
        ("init_audio_fille", {"init_audio_fille": "init_audio_file"}),
        ("durration", {"durration": "duration"}),
        ("aid", {}),
        ("mood", {}),
    ],
)
def test_a_name_close_to_one_that_means_something_is_told(
    name: str, meant: dict[str, str], tmp_path: Path
) -> None:
    """A row whose endpoint is not understood would be paid for as music."""
    file = io.BytesIO(json.dumps({"prompt": "thunder", name: "sfx"}).encode())
    preview = plan_batch(tmp_path, Manifest(file, "jsonl", None)).reading
    assert preview is not None
    assert preview.misspelled == meant


@pytest.mark.anyio
async def test_rows_of_two_endpoints_are_paid_for_once_each_by_their_own_length(
    tmp_path: Path,
) -> None:
    requests: list[RequestLike] = [
        SFX,
        MusicGen("waltz", max_new_token=256),
        SoundEffect("rain", duration=4),
    ]
    async with Sandbox(quick()) as box, client_of(box) as client:
        for _ in range(2):
            await run(client, requests, tmp_path, limits=Limits(price_per_second=1))
        assert sorted(job.path for job in box.book.jobs.values()) == [
            "/api/v6/voice/music_gen",
            "/api/v6/voice/sfx",
            "/api/v6/voice/sfx",
        ]
        assert len(box.book.debits) == 3
        async with client.batch(None, directory=tmp_path) as batch:
            costs = [row.cost async for row in batch.ledger.each()]
    assert sorted(costs, key=str) == ["3", "4", "5.12"]


def test_a_manifest_of_rows_without_a_prompt_names_their_endpoints() -> None:
    rows = read(
        "endpoint,init_audio,model_id,speed,emotion\n"
        'voice_cover,https://a.example/x.wav,cover-1,"1,5",HAPPY\n'
    )
    assert [row.request for row in rows if isinstance(row, NewRow)] == [
        VoiceCover("https://a.example/x.wav", model_id="cover-1", speed=1.5, emotion="happy")
    ]


def test_a_column_is_read_as_each_rows_endpoint_needs_it() -> None:
    header = "endpoint,prompt,voice_id,language,emotion,speed\n"
    rows = read(
        f"{header}text_to_speech,hi,tara,Hindi,yes,2\ntext_to_audio,hi,tara,english,sad,0.75\n"
    )
    assert [row.request for row in rows if isinstance(row, NewRow)] == [
        TextToSpeech("hi", voice_id="tara", language="hindi", emotion=True, speed=2),
        TextToAudio("hi", voice_id="tara", language="english", emotion="sad", speed=0.75),
    ]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.NAME)
def test_a_request_of_any_endpoint_is_read_again_as_it_was_kept(sample: Request) -> None:
    row = next(iter(rows_of([sample])))
    assert isinstance(row, NewRow)
    assert from_record(row.to_record()) == (sample, {})


def test_what_became_a_field_of_another_endpoint_stays_what_a_kept_row_says_besides() -> None:
    """Ledgers were written before there was an endpoint with a language."""
    kept = {"id": "a", "prompt": "waltz", "language": "en", "seed": 3}
    assert from_record(kept) == (MusicGen("waltz"), {"language": "en", "seed": 3})


@pytest.mark.anyio
async def test_one_batch_holds_requests_of_all_endpoints_and_pays_for_each_once(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick(), slots=20) as box, client_of(box, max_jobs=20) as client:
        for _ in range(2):
            outcomes = await run(client, SAMPLES, tmp_path)
            assert {type(outcome) for outcome in outcomes} <= {Succeeded}
        assert len(box.book.debits) == len(SAMPLES)
        assert len({job.path for job in box.book.jobs.values()}) == len(SAMPLES)
    files = [path for path in tmp_path.iterdir() if path.name[:5].isdigit()]
    endings = {"audio": ".wav", "text": ".txt", "video": ".mp4", "file": ".mp4"}
    assert Counter(path.suffix for path in files) == Counter(endings[one.gives] for one in SAMPLES)
    assert "00010-clip.wav" in {path.name for path in files}


@pytest.mark.parametrize(
    ("limits", "price"),
    [
        (Limits(price_per_job="0.5"), Decimal("1.0")),
        (Limits(price_per_second="0.1"), None),
        (Limits(), None),
    ],
)
def test_a_plan_tells_no_price_where_that_of_one_job_cannot_be_told(
    limits: Limits, price: Decimal | None, tmp_path: Path
) -> None:
    lines = "endpoint,prompt,init_audio,model_id\nsfx,rain,,\n"
    file = io.BytesIO(f"{lines}voice_cover,,https://a.example/x.wav,cover-1\n".encode())
    plan = plan_batch(tmp_path, Manifest(file, "csv", None), limits=limits)
    assert plan.jobs == 2
    assert plan.price == price


def test_a_plan_names_the_first_files_as_what_they_will_be(tmp_path: Path) -> None:
    lines = "endpoint,prompt,init_audio,language,output_format\nsfx,rain,,,mp3\n"
    lines += "lyrics_generator,hail,,,\nspeech_to_text,,https://a.example/x.wav,en,\n"
    plan = plan_batch(tmp_path, Manifest(io.BytesIO(lines.encode()), "csv", None))
    assert plan.reading is not None
    names = [name for name, _ in plan.first]
    assert names == ["00001-rain.mp3", "00002-hail.txt", "00003-x.txt"]


def test_a_plan_of_several_endpoints_tells_what_the_jobs_of_each_come_to(tmp_path: Path) -> None:
    lines = "endpoint,prompt,voice_id,language,init_audio\n,waltz,,,\n,polka,,,\n"
    lines += "text_to_speech,Hello there,tara,hindi,\nspeech_to_text,,,en,https://a.example/x.wav\n"
    prices = {"music_gen.per_second": "0.01", "text_to_speech.per_character": "0.001"}
    file = io.BytesIO(lines.encode())
    plan = plan_batch(
        tmp_path, Manifest(file, "csv", None), limits=Limits(prices=prices), max_new_jobs=3
    )
    music, speech = plan.by_endpoint.values()
    assert [*plan.by_endpoint] == ["music_gen", "text_to_speech"]
    assert (music.jobs, float(music.seconds), music.characters) == (2, 60.0, 0)
    assert (speech.jobs, float(speech.seconds), speech.characters) == (1, 1.0, 11)
    assert (music.price, speech.price) == (Decimal("0.6"), Decimal("0.011"))
    assert (plan.jobs, plan.left, plan.price) == (3, 1, Decimal("0.611"))


def test_sections_of_a_song_are_read_from_a_line_of_json_and_from_the_ledger() -> None:
    song = {"endpoint": "v7_song_inpaint", "model_id": "m", "init_audio": "https://a.example/x.wav"}
    row = row_of(**song, sections=[{"start": 0, "end": 9.5}])
    assert isinstance(row, NewRow)
    assert row_of(**row.to_record()) == row
    for wrong, words in (("0-9", "must be a list"), ([[0, 9]], "each start before its end")):
        bad = row_of(**song, sections=wrong)
        assert isinstance(bad, BadRow)
        assert words in str(bad)
