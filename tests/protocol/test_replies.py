"""Answers are read for what they say, in every shape that was documented or seen."""

from __future__ import annotations

import json

import pytest

from modelslab_async._protocol.replies import (
    Finished,
    Links,
    Pending,
    RemoteFile,
    Reply,
    Ticket,
    read_reply,
)

R2 = "https://pub-3626123a908346a7a8be8d9295f44e26.r2.dev/generations"
CDN = "https://cdn2.stablediffusionapi.com/generations"


def read(answer: object, status: int = 200) -> Reply:
    return read_reply(json.dumps(answer).encode(), status)


# ModelsLab docs, music-gen page: the example response, with slashes as PHP writes them.
SUCCESS = (
    rb'{"status":"success","generationTime":10.58609676361084,"id":43730,'
    rb'"output":["https:\/\/pub-3626123a908346a7a8be8d9295f44e26.r2.dev\/generations'
    rb'\/770b2376-93a7-49eb-8275-afecbba16a6e.wav"],'
    rb'"proxy_links":["https:\/\/cdn2.stablediffusionapi.com\/generations'
    rb'\/770b2376-93a7-49eb-8275-afecbba16a6e.wav"],'
    rb'"meta":{"base64":"no","conditioning_melody":["tmp\/0-770b2376-93a7-49eb-8275-afecbba16a6e'
    rb'.wav"],"filename":"770b2376-93a7-49eb-8275-afecbba16a6e.wav",'
    rb'"input_text":"rock music from the 90s","max_new_token":256,"sampling_rate":5000,'
    rb'"temp":"no"}}'
)


def test_the_documented_example_response_is_read_to_the_documented_values() -> None:
    reply = read_reply(SUCCESS)
    assert reply == Finished(
        id="43730",
        links=Links(
            output=(f"{R2}/770b2376-93a7-49eb-8275-afecbba16a6e.wav",),
            proxy=(f"{CDN}/770b2376-93a7-49eb-8275-afecbba16a6e.wav",),
        ),
        generation_time=10.58609676361084,
    )
    assert reply.raw["meta"] == {
        "base64": "no",
        "conditioning_melody": ["tmp/0-770b2376-93a7-49eb-8275-afecbba16a6e.wav"],
        "filename": "770b2376-93a7-49eb-8275-afecbba16a6e.wav",
        "input_text": "rock music from the 90s",
        "max_new_token": 256,
        "sampling_rate": 5000,
        "temp": "no",
    }


MUSIC_TICKET = {
    "status": "processing",
    "tip": "Your music generation is processing in background, you can get the result using "
    "fetch API",
    "eta": 100,
    "message": "Try to fetch request after seconds estimated",
    "fetch_result": "https://modelslab.com/api/v6/voice/fetch/310815",
    "id": 310815,
    "output": [],
    "future_links": [f"{R2}/e143f35e-8d69-4530-80df-e0cad201b3f6.wav"],
    "proxy_links": [f"{CDN}/30ea5aee-fba8-4b65-bf71-2fc2b6b197c0.wav"],
    "meta": {"filename": "30ea5aee-fba8-4b65-bf71-2fc2b6b197c0.wav", "temp": "no"},
}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            MUSIC_TICKET,
            Ticket(
                id="310815",
                eta=100.0,
                fetch_result="https://modelslab.com/api/v6/voice/fetch/310815",
                links=Links(
                    future=(f"{R2}/e143f35e-8d69-4530-80df-e0cad201b3f6.wav",),
                    proxy=(f"{CDN}/30ea5aee-fba8-4b65-bf71-2fc2b6b197c0.wav",),
                ),
            ),
            id="music-gen page",
        ),
        pytest.param(
            {
                "status": "processing",
                "tip": "...",
                "tip_1": "...",
                "eta": 20.9379869184,
                "messege": "Try to fetch request after seconds estimated",
                "webhook_status": "",
                "fetch_result": "https://stablediffusionapi.com/api/v3/dreambooth/fetch/32798037",
                "id": 32798037,
                "output": [],
                "meta": {},
            },
            Ticket(
                id="32798037",
                eta=20.9379869184,
                fetch_result="https://stablediffusionapi.com/api/v3/dreambooth/fetch/32798037",
            ),
            id="former brand",
        ),
        pytest.param(
            {"status": "processing", "eta": 6, "id": 32798037, "output": ""},
            Ticket(id="32798037", eta=6.0),
            id="former brand with output as text",
        ),
        pytest.param(
            {"status": "processing", "eta": 416.94, "id": 155918900, "future_links": ["u"]},
            Ticket(id="155918900", eta=416.94, links=Links(future=("u",))),
            id="video",
        ),
        pytest.param(
            {
                "status": "processing",
                "id": "abc123-def456",
                "eta": 30,
                "message": "Your request is being processed",
            },
            Ticket(id="abc123-def456", eta=30.0),
            id="generic docs",
        ),
        pytest.param(
            {
                "eta": 5,
                "fileId": "8b8f9044-bb13-4d2c-bc42-db427caf182d.wav",
                "links": [f"{R2}/8b8f9044.wav"],
                "message": "Request has been queued",
                "meta": {"filename": "8b8f9044.wav", "prompt": "man laughing", "temp": "no"},
                "proxy_links": [f"{CDN}/8b8f9044.wav"],
                "seconds": None,
                "status": "queued",
                "taskId": "a3525188-a894-47ea-9946-1e5a8f2c4abb",
            },
            Ticket(
                id="a3525188-a894-47ea-9946-1e5a8f2c4abb",
                eta=5.0,
                links=Links(proxy=(f"{CDN}/8b8f9044.wav",), future=(f"{R2}/8b8f9044.wav",)),
            ),
            id="enterprise sfx: a task id, and links that are promises",
        ),
        pytest.param(
            {
                "status": "processing",
                "fetch_result": "https://modelslab.com/api/v6/voice/fetch/271",
                "id": 334166,
                "meta": {"id": "271"},
            },
            Ticket(id="334166", fetch_result="https://modelslab.com/api/v6/voice/fetch/271"),
            id="dubbing: two ids",
        ),
        pytest.param(
            {"status": "warming_up", "id": 7}, Ticket(id="7"), id="unknown word, but an id"
        ),
        pytest.param({"status": 1, "id": 7}, Ticket(id="7"), id="a status that is no word"),
        pytest.param({"id": 7}, Ticket(id="7"), id="an id alone"),
        pytest.param({"id": 7, "error": None}, Ticket(id="7"), id="an empty error is none"),
        pytest.param({"request_id": 7, "id": ""}, Ticket(id="7"), id="request_id"),
    ],
)
def test_a_ticket_is_read_in_every_shape(answer: object, expected: Ticket) -> None:
    assert read(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            {
                "status": "processing",
                "message": "try again later.",
                "output": "",
                "tip": "Get 20x faster image generation using enterprise plan. Click here : "
                "https://modelslab.com/enterprise",
            },
            Pending(),
            id="fetch-voice page",
        ),
        pytest.param(
            {"status": "processing", "messege": "try again later."}, Pending(), id="messege"
        ),
        pytest.param({"status": "queued", "eta": "12.5"}, Pending(eta=12.5), id="queued"),
        pytest.param({"status": "PROCESSING"}, Pending(), id="capitals"),
    ],
)
def test_a_pending_poll_names_no_job(answer: object, expected: Pending) -> None:
    assert read(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            {
                "status": "success",
                "id": 12202888,
                "output": ["https://a/x.png"],
                "proxy_links": ["https://cdn2/x.png"],
            },
            Finished(
                id="12202888",
                links=Links(output=("https://a/x.png",), proxy=("https://cdn2/x.png",)),
            ),
            id="fetch-voice page",
        ),
        pytest.param(
            {
                "generationTime": 1.57,
                "id": 10,
                "links": ["u"],
                "proxy_links": ["p"],
                "audio_time": 9,
            },
            Finished(
                id="10",
                links=Links(output=("u",), proxy=("p",)),
                generation_time=1.57,
                audio_time=9.0,
            ),
            id="voice cover: no status, links for output",
        ),
        pytest.param(
            {"generationTime": 0.24, "links": ["u"], "proxy_links": [], "status": "success"},
            Finished(links=Links(output=("u",)), generation_time=0.24),
            id="enterprise voice to voice: no id",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": ["u"], "proxy_links": None, "tip": ""},
            Finished(id="1", links=Links(output=("u",))),
            id="null proxy_links",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": ["u"], "eta": 5},
            Finished(id="1", links=Links(output=("u",))),
            id="speech to text: eta on success",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": "https://a/x.wav"},
            Finished(id="1", links=Links(output=("https://a/x.wav",))),
            id="output as text",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": {"url": " u "}},
            Finished(id="1", links=Links(output=("u",))),
            id="output as an object",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": [{"url": "u"}, {"text": "t"}, None, 3, ""]},
            Finished(id="1", links=Links(output=("u",))),
            id="a list of odd things",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": ["UklGRiQAAABXQVZF"]},
            Finished(id="1", links=Links(output=("data:audio/wav;base64,UklGRiQAAABXQVZF",))),
            id="the file itself as base64",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": ["data:audio/wav;base64,UklGRg=="]},
            Finished(id="1", links=Links(output=("data:audio/wav;base64,UklGRg==",))),
            id="a data URI",
        ),
        pytest.param(
            {"status": "success", "id": 1, "chunk_output": "UklGRiQAAABXQVZF"},
            Finished(id="1", links=Links(output=("data:audio/wav;base64,UklGRiQAAABXQVZF",))),
            id="the file itself as a chunk",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": ["u"], "chunk_output": "UklGRiQAAABXQVZF"},
            Finished(id="1", links=Links(output=("u",))),
            id="a link beside a chunk",
        ),
        pytest.param(
            {"status": "success", "id": 1, "chunk_output": ["UklGRiQAAABXQVZF", "UklGRg=="]},
            Finished(id="1", links=Links()),
            id="chunks that may be parts of one file",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": ""},
            Finished(id="1", links=Links()),
            id="empty text",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": []},
            Finished(id="1", links=Links()),
            id="empty list",
        ),
        pytest.param(
            {"status": "success", "id": 1, "output": [], "future_links": ["f"]},
            Finished(id="1", links=Links(future=("f",))),
            id="not there yet",
        ),
        pytest.param(
            {"status": "Success", "id": 1}, Finished(id="1", links=Links()), id="capitals"
        ),
        pytest.param(
            {
                "status": "success",
                "id": "abc123-def456",
                "output": ["u"],
                "generationTime": 45.2,
                "track_id": "video_001",
                "meta": {},
            },
            Finished(
                id="abc123-def456",
                links=Links(output=("u",)),
                generation_time=45.2,
                track_id="video_001",
            ),
            id="webhooks page",
        ),
    ],
)
def test_success_is_read_in_every_shape(answer: object, expected: Finished) -> None:
    assert read(answer) == expected


@pytest.mark.parametrize(
    ("track_id", "meta", "expected"),
    [
        (17, {}, "17"),
        ("order_12345", {}, "order_12345"),
        (17.0, {}, "17"),
        (None, {"track_id": "17"}, "17"),
        (None, {"track_id": None}, None),
        (True, {}, None),
        (None, "no object", None),
        (None, None, None),
        ("a\x1b[2J", {}, "a\\x1b[2J"),
    ],
)
def test_a_track_id_is_read_as_text_wherever_it_stands(
    track_id: object, meta: object, expected: str | None
) -> None:
    reply = read({"status": "processing", "id": 1, "track_id": track_id, "meta": meta})
    assert isinstance(reply, Ticket)
    assert reply.track_id == expected


@pytest.mark.parametrize(
    ("eta", "expected"),
    [
        (0, 0.0),
        (13.0679, 13.0679),
        ("100", 100.0),
        (" 81.855 ", 81.855),
        (-5, None),
        (True, None),
        (None, None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ([1], None),
        ({"seconds": 1}, None),
    ],
)
def test_an_eta_that_is_no_number_of_seconds_reads_as_none(eta: object, expected: object) -> None:
    reply = read({"status": "processing", "id": 1, "eta": eta})
    assert isinstance(reply, Ticket)
    assert reply.eta == expected


# Links and files


def test_newer_links_win_field_by_field() -> None:
    older = Links(output=("o",), proxy=("p",), future=("f",))
    assert Links(output=("n",)).merged(older) == Links(("n",), ("p",), ("f",))


def test_a_file_lists_output_then_mirror_then_promise_each_once() -> None:
    assert Links(("o",), ("p",), ("o",)).files("7") == (RemoteFile(("o", "p"), "7", 0),)


def test_each_output_has_its_own_mirror() -> None:
    assert Links(("a", "b"), ("pa", "pb")).files("7") == (
        RemoteFile(("a", "pa"), "7", 0),
        RemoteFile(("b", "pb"), "7", 1),
    )


def test_mirrors_that_are_not_as_many_as_the_outputs_belong_to_nobody() -> None:
    assert Links(("a", "c"), ("pa", "pb", "pc"), ("fa",)).files("7") == (
        RemoteFile(("a",), "7", 0),
        RemoteFile(("c",), "7", 1),
    )


def test_without_an_output_each_promise_may_be_a_file() -> None:
    assert Links(future=("f", "g")).files("7") == (
        RemoteFile(("f",), "7", 0),
        RemoteFile(("g",), "7", 1),
    )


def test_n03_an_answer_makes_no_more_than_a_thousand_files() -> None:
    for name, link in (("output", CDN), ("proxy_links", {"url": CDN}), ("output", {"url": CDN})):
        body = {"status": "success", "id": 7, name: [link] * 5000}
        reply = read_reply(json.dumps(body).encode())
        assert isinstance(reply, Finished)
        assert len(reply.links.files("7")) == 1000


def test_no_links_are_no_files() -> None:
    assert Links().files("7") == ()


def test_links_do_not_show_in_a_repr() -> None:
    assert repr(RemoteFile(("https://a/signed",), "7")) == (
        "RemoteFile(urls=<1 links>, job_id='7', index=0)"
    )


def test_links_are_shown_as_a_number_for_some_are_the_file_itself_and_others_are_signed() -> None:
    reply = read_reply(b'{"status":"success","id":1,"output":["https://a.example/x?secret=1"]}')
    assert "secret" not in repr(reply)
    assert "output=<1 links>" in repr(reply)
