"""Any other job is named by its path; what goes with it is sent as it is, but for the key."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from modelslab_async import RawRequest, RequestError
from modelslab_async.endpoints.base import encode, is_light

PATH = "/api/v6/images/text2img"
FIELDS = {"prompt": "a lake", "samples": 2, "path": "x", "extra": None}


def test_its_fields_are_sent_as_they_are_and_it_says_where() -> None:
    request = RawRequest(PATH, FIELDS, gives="image", extra={"seed": 7})
    assert (request.path, request.fetch) == (PATH, "/api/v6/images/fetch")
    assert (request.gives, request.title) == ("image", "a lake")
    assert encode(request, track_id=3) == {**FIELDS, "seed": 7, "track_id": 3}
    assert is_light(request)
    assert not is_light(RawRequest(PATH, {"init_image": "A" * 10_000_000}, gives="image"))
    assert pickle.loads(pickle.dumps(request)) == request
    assert "a lake" in repr(request)


def test_without_a_prompt_it_is_called_by_the_end_of_its_path() -> None:
    assert RawRequest("/api/v6/3d/image_to_3d", {"prompt": 7}, gives="file").title == "image_to_3d"


def test_jobs_of_one_path_are_taken_to_take_about_equally_long() -> None:
    one, two = (RawRequest(PATH, {"n": n}, gives="image") for n in range(2))
    assert one.kind == two.kind != RawRequest("/api/v6/images/img2img", {}, gives="image").kind


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/api/v6/voice/new_thing", "/api/v6/voice/fetch"),
        ("/api/v6/whisper/transcribe", "/api/v6/whisper/fetch"),
        ("/api/v7/video-fusion/text-to-video", "/api/v7/video-fusion/fetch"),
        ("/api/v1/enterprise/text_to_speech/make", "/api/v1/enterprise/text_to_speech/fetch"),
    ],
)
def test_a_job_is_asked_about_in_the_group_of_its_path(path: str, family: str) -> None:
    assert RawRequest(path, {}, gives="file").fetch == family


@pytest.mark.parametrize(
    "path",
    [
        "",
        "api/v6/images/text2img",
        "/v6/images/text2img",
        "//api/v6/images/text2img",
        "https://modelslab.com/api/v6/images/text2img",
        "/api/v6/images/../text2img",
        "/api/v6/images/text2img?key=x",
        "/api/v6/images/text2img#x",
        "/api/v6/images/text2img/",
        "/api/v6/images//text2img",
        "/api/v6/images/%74ext2img",
        "/api/v6/images/text2img\n",
        "/api/v6/images/text 2img",
        "/api/v6/images/tëxt2img",
        "/api\\v6/images/text2img",
        "/api/v6/images/fetch",
        "/api/v6/images",
        "/api/v6/voice/fetch/12",
        "/api/v6/poetry/text2poem",
        "/api/wallet_balance",
        "/api/v6/voice/voice_list",
        "/api/v6/voice/voice_upload",
        "/api/v6/voice/base64_to_url",
        "/api/v1/enterprise/voice/clear_queue",
        "/api/v6/images/" + "x" * 65,
    ],
)
def test_a_path_that_is_none_of_a_job_is_refused(path: str) -> None:
    with pytest.raises(RequestError, match="nothing was sent"):
        RawRequest(path, {}, gives="image")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key": "k"}, "the key is the client's"),
        ({"webhook": "https://a.example"}, "pass webhook= instead"),
        ({"track_id": 7}, "pass track_id= instead"),
        ({"seed": float("nan")}, "cannot be sent as JSON"),
        ({7: 7}, "names are text"),
        ([], "fields is .*must be a mapping"),
    ],
)
def test_fields_hold_no_key_and_nothing_that_json_cannot_carry(fields: Any, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        RawRequest(PATH, fields, gives="image")


@pytest.mark.parametrize("gives", ["picture", "", None, 7])
def test_what_it_gives_is_one_of_the_kinds(gives: Any) -> None:
    with pytest.raises(RequestError, match="gives is"):
        RawRequest(PATH, {}, gives=gives)
