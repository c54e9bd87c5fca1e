"""A batch keeps what any other job was asked for, and goes on with it after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import LimitReached, Limits, ModelsLab, MusicGen, RawRequest, Succeeded
from modelslab_async.batch import Reader

from ..protocol.test_files import PNG, WORDS
from ..support.one_job import OneJob, serving
from ..support.quick import DOWNLOAD, POLL

pytestmark = pytest.mark.anyio

PATH = "/api/v6/images/text2img"
LAKE = RawRequest(PATH, {"prompt": "a lake", "path": "x"}, gives="image", extra={"seed": 7})
TICKET = {"status": "processing", "id": 7, "fetch_result": "{url}/api/v6/images/fetch/7"}
DONE = {"status": "success", "id": 7, "output": ["{url}/f/a"]}


def client_of(api: OneJob) -> ModelsLab:
    return ModelsLab("k" * 40, base_url=api.url, poll=POLL, download=DOWNLOAD, timeout=1)


async def run(api: OneJob, directory: Path, *requests: Any) -> list[Any]:
    async with (
        serving(api),
        client_of(api) as client,
        client.batch(requests or None, directory=directory, same_account=True) as outcomes,
    ):
        return [outcome async for outcome in outcomes]


@pytest.mark.parametrize(("body", "name"), [(PNG, "-a-lake.png"), (b"\x89" * 99, "-a-lake.bin")])
async def test_a_row_of_any_other_job_is_saved(tmp_path: Path, body: bytes, name: str) -> None:
    api = OneJob(TICKET, DONE, {"/f/a": body})
    [outcome] = await run(api, tmp_path, LAKE)
    assert isinstance(outcome, Succeeded)
    assert outcome.saved[0].path.name.endswith(name)
    (path, sent), *_ = api.asked[1:] if api.asked[0][0] != PATH else api.asked
    assert (path, sent["prompt"], sent["path"], sent["seed"]) == (PATH, "a lake", "x", 7)


async def test_a_job_that_was_not_finished_is_gone_on_with_in_its_own_family(
    tmp_path: Path,
) -> None:
    slow = OneJob(TICKET, {"status": "processing"})
    await run(slow, tmp_path, LAKE)
    with Reader.open(tmp_path) as reader:
        row = reader.row(1)
    assert json.loads(row.handle or "")["gives"] == "image"
    api = OneJob(TICKET, DONE, {"/f/a": PNG})
    [outcome] = await run(api, tmp_path)
    assert isinstance(outcome, Succeeded)
    assert outcome.saved[0].path.read_bytes() == PNG
    assert PATH not in [path for path, _ in api.asked]
    assert "/api/v6/images/fetch/7" in [path for path, _ in api.asked]


async def test_a_text_in_the_answer_is_kept_with_its_row(tmp_path: Path) -> None:
    request = RawRequest("/api/v6/voice/speech_to_text", {"init_audio": "u"}, gives="text")
    api = OneJob({"status": "success", "id": 7, "output": 2 * json.loads(WORDS)})
    [outcome] = await run(api, tmp_path, request)
    assert isinstance(outcome, Succeeded)
    assert outcome.saved[0].path.suffix == ".json"
    assert json.loads(outcome.saved[0].path.read_text()) == 2 * json.loads(WORDS)


async def test_requests_that_differ_in_what_they_give_or_where_they_go_are_different_rows(
    tmp_path: Path,
) -> None:
    api = OneJob({"status": "error", "message": "Insufficient credits"})
    one, two = {"prompt": "a"}, {"prompt": "a", "track_id_of_mine": 1}
    requests = [
        RawRequest(PATH, one, gives="image"),
        RawRequest(PATH, one, gives="file"),
        RawRequest("/api/v6/images/img2img", one, gives="image"),
        RawRequest(PATH, two, gives="image"),
        MusicGen("a"),
    ]
    with pytest.raises(Exception, match="credits"):
        await run(api, tmp_path, *requests)
    with Reader.open(tmp_path) as reader:
        hashes = [row.payload_hash for row in reader.each()]
    assert len(set(hashes)) == len(requests)


@pytest.mark.parametrize(
    ("prices", "is_sent"),
    [
        ({"price_per_job": "0.1"}, True),
        ({"price_per_second": "0.1"}, False),
        ({"price_per_job": "0.1", "price_per_second": "0.1"}, False),
    ],
)
async def test_m11_a_limited_cost_that_cannot_be_told_is_not_paid(
    tmp_path: Path, prices: dict[str, Any], is_sent: bool
) -> None:
    api = OneJob(TICKET, DONE, {"/f/a": PNG})
    limits = Limits(max_cost="1", **prices)
    async with serving(api), client_of(api) as client:
        batch = client.batch([LAKE], directory=tmp_path, limits=limits)
        if is_sent:
            async with batch as outcomes:
                assert len([outcome async for outcome in outcomes]) == 1
        else:
            with pytest.raises(LimitReached, match="cannot be told"):
                async with batch as outcomes:
                    assert not [outcome async for outcome in outcomes]
    assert (PATH in [path for path, _ in api.asked]) == is_sent
    assert len([path for path, _ in api.asked if path == PATH]) == int(is_sent)


async def test_l25_a_lost_job_is_found_in_its_own_family_and_not_by_its_number_in_another(
    tmp_path: Path,
) -> None:
    """A job of the same number, and of the same track_id, in another family is not this row's."""
    lost = OneJob({"meta": {}})
    await run(lost, tmp_path, LAKE)
    (track_id,) = [body["track_id"] for path, body in lost.asked if path == PATH]
    found = OneJob({"status": "success", "data": [{"id": 7}]}, DONE | {"track_id": track_id})
    found.files = {"/f/a": PNG}
    [outcome] = await run(found, tmp_path)
    assert isinstance(outcome, Succeeded)
    asked = {path for path, _ in found.asked}
    assert "/api/v6/images/fetch/7" in asked
    assert not asked & {PATH, "/api/v6/voice/fetch/7"}
    with Reader.open(tmp_path) as reader:
        handle = json.loads(reader.row(1).handle or "")
    assert (handle["path"], handle["gives"]) == ("/api/v6/images/fetch/7", "image")
