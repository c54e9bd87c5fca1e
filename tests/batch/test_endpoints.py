"""A batch has rows of several endpoints."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import Limits, MusicGen, SoundEffect
from modelslab_async.batch import Manifest, plan_batch
from modelslab_async.batch._lines import BadRow
from modelslab_async.batch._manifest import RequestLike, read_manifest
from modelslab_async.batch._records import Row
from modelslab_async.sandbox import Sandbox

from ..support.batches import quick, run
from ..support.quick import client_of

SFX = {"endpoint": "sfx", "prompt": "thunder", "duration": 3}


def read(content: str) -> list[Row | BadRow]:
    return list(read_manifest(io.BytesIO(content.encode())))


def row_of(**fields: Any) -> Row | BadRow:
    (row,) = read(json.dumps(fields) + "\n")
    return row


def test_a_row_names_its_endpoint_and_music_is_the_default() -> None:
    rows = read("prompt,endpoint,duration\nthunder,sfx,3\nwaltz,,30\npolka,Music_Gen,31\n")
    assert [row.request for row in rows if isinstance(row, Row)] == [
        SoundEffect("thunder", duration=3),
        MusicGen("waltz", duration=30),
        MusicGen("polka", duration=31),
    ]


def test_a_row_of_another_endpoint_is_read_again_as_it_was_kept() -> None:
    row = row_of(**SFX, mood="dark")
    assert isinstance(row, Row)
    assert row_of(**row.given()) == row


def test_the_same_words_for_two_endpoints_are_two_rows() -> None:
    music, effect = row_of(prompt="thunder"), row_of(prompt="thunder", endpoint="sfx")
    assert isinstance(music, Row)
    assert isinstance(effect, Row)
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
    preview = plan_batch(tmp_path, Manifest(file, "jsonl", None)).preview
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
