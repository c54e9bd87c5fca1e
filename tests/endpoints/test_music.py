"""A request is checked when it is made, and goes out by the API's own names."""

from __future__ import annotations

import base64
import struct
from collections import UserDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import MusicGen, RequestError, SoundEffect
from modelslab_async._protocol.wire_json import MAX_VALUES
from modelslab_async.endpoints import known_fields
from modelslab_async.endpoints.base import encode, is_light
from modelslab_async.endpoints.clips import encode_clip
from modelslab_async.endpoints.fields import MAX_LINE, MAX_PROMPT
from modelslab_async.endpoints.media import MAX_CLIP_BYTES, MAX_MEDIA_TEXT
from modelslab_async.sandbox._audio.codecs import flac

from ..support import tracks

CLIP = "https://pub-3626123a908346a7a8be8d9295f44e26.r2.dev/generations/2e4c9960.wav"


def refusal(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        MusicGen(**{"prompt": "sitar", **fields})
    return caught.value


def test_the_documented_example_request_is_sent_as_documented() -> None:
    request = MusicGen(
        "rock music from the 90s",
        init_audio=CLIP,
        sampling_rate=5000,  # under the page's own bound of 10000
        max_new_token=256,
        base64=False,
        temp=False,
        unchecked=True,
    )
    assert encode(request, track_id=17) == {
        "prompt": "rock music from the 90s",
        "init_audio": CLIP,
        "sampling_rate": 5000,
        "max_new_token": 256,
        "base64": False,
        "temp": False,
        "track_id": 17,
    }


def test_what_is_not_set_shows_in_no_repr() -> None:
    request = MusicGen("sitar", duration=60, base64=False, extra={"steps": 5})
    assert repr(request) == (
        "MusicGen(prompt='sitar', extra={'steps': 5}, duration=60, base64=False)"
    )


def test_what_is_not_set_is_not_sent() -> None:
    assert encode(MusicGen("sitar"), track_id=17) == {"prompt": "sitar", "track_id": 17}


def test_every_field_is_sent_by_its_own_name() -> None:
    request = MusicGen(
        "sitar",
        duration=45,
        output_format="flac",
        bitrate="192k",
        webhook="https://example.org/hook",
        track_id="order_12345",
        extra={"model_id": "ai-music-generator"},
    )
    assert encode(request, track_id="order_12345") == {
        "prompt": "sitar",
        "duration": 45,
        "output_format": "flac",
        "bitrate": "192k",
        "webhook": "https://example.org/hook",
        "track_id": "order_12345",
        "model_id": "ai-music-generator",
    }


def test_local_audio_is_sent_as_base64_and_says_so() -> None:
    fields = encode(
        MusicGen("sitar", init_audio=b"..."), track_id=1, media={"init_audio": "UklGRg=="}
    )
    assert fields == {"prompt": "sitar", "init_audio": "UklGRg==", "base64": True, "track_id": 1}


# Bounds


@pytest.mark.parametrize(
    ("field", "inside", "outside"),
    [
        ("sampling_rate", [10_000, 10_001, 32_000, 10**12], [9_999, 5_000, 0, -1]),
        ("max_new_token", [256, 257, 1023, 1024], [255, 1025, 0, -256]),
        ("duration", [30, 31, 479, 480], [29, 481, 0, -30]),
        ("output_format", ["wav", "mp3", "flac"], ["ogg", "WAV", "", "wav "]),
        ("bitrate", ["128k", "192k", "320k"], ["64k", "320", "320K", ""]),
    ],
)
def test_a_bound_lets_in_what_is_documented_and_nothing_else(
    field: str, inside: list[Any], outside: list[Any]
) -> None:
    for value in inside:
        assert getattr(MusicGen("sitar", **{field: value}), field) == value
    for value in outside:
        error = refusal(**{field: value})
        assert (error.field, error.value) == (field, value)
        assert all(
            word in str(error) for word in (field, repr(value), "music-gen page", "unchecked")
        )
        passed: Any = MusicGen("sitar", unchecked=True, **{field: value})
        assert encode(passed, track_id=1)[field] == value


WRONG_TYPES: dict[str, list[object]] = {
    "prompt": [None, 5, b"sitar", ["sitar"], Path("sitar")],
    "init_audio": [5, True, ["x"], bytearray(b"x")],
    "sampling_rate": ["32000", 32000.0, True, [32000]],
    "max_new_token": ["512", 512.0, True],
    "duration": ["30", 30.0, True, False],
    "output_format": [1, b"wav", True],
    "bitrate": [320, 320.0],
    "base64": [1, 0, "false", "no", 1.0],
    "temp": [1, 0, "true"],
    "webhook": [5, b"https://example.org"],
    "track_id": [1.0, True, b"1", [1]],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG_TYPES.items() for value in values],
    ids=lambda value: repr(value),
)
def test_a_value_of_the_wrong_type_is_refused_also_without_bounds(
    field: str, value: object
) -> None:
    error = refusal(**{field: value, "unchecked": True})
    assert error.field == field
    assert f"{field} is {value!r}, but must be" in str(error)


@pytest.mark.parametrize("prompt", ["", " ", "\n\t"])
def test_a_prompt_says_something(prompt: str) -> None:
    assert "say what to generate" in str(refusal(prompt=prompt))


def test_a_prompt_can_be_sent_as_text() -> None:
    assert "UTF-8" in str(refusal(prompt="half a pair: \ud83c"))
    assert MusicGen("🎵 सितार").prompt == "🎵 सितार"


@pytest.mark.parametrize("track_id", [0, 1, 2**53 - 1, "1", "order 12345", "ä", "x" * 191])
def test_a_track_id_is_a_number_or_a_line_of_text(track_id: int | str) -> None:
    assert MusicGen("sitar", track_id=track_id).track_id == track_id


@pytest.mark.parametrize(
    "track_id", [-1, 2**53, 10**30, "", "x" * 192, "a\nb", "\0", "\u202e", "\ud800"]
)
def test_a_track_id_that_would_not_come_back_as_it_was_is_refused(track_id: object) -> None:
    assert "track_id is" in str(refusal(track_id=track_id))


# Audio to begin with


@pytest.mark.parametrize(
    "audio", [CLIP, "http://example.org/a.mp3", "HTTPS://example.org/a.mp3", b"RIFF", Path("a.wav")]
)
def test_init_audio_is_a_url_bytes_or_a_path(audio: Any) -> None:
    assert MusicGen("sitar", init_audio=audio).init_audio == audio


@pytest.mark.parametrize(
    "text", ["UklGRg==", "UklG\nRg==\n", "data:audio/wav;base64,UklGRg==", "a-_b", "UklGRg"]
)
def test_text_that_is_said_to_be_base64_is_taken_as_such(text: str) -> None:
    assert MusicGen("sitar", init_audio=text, base64=True).init_audio == text


@pytest.mark.parametrize("text", [CLIP, "clip.wav", "", "data:audio/wav,x", "=", "ab=c", "käse"])
def test_text_that_is_said_to_be_base64_and_is_none_is_refused(text: str) -> None:
    assert "pathlib.Path" in str(refusal(init_audio=text, base64=True))


@pytest.mark.parametrize(
    "text",
    ["clip.wav", "/etc/passwd", "UklGRg==", "", "file:///etc/passwd", "ftp://x/a.wav", "http://[",
     "https:", "https:///a.wav", "https://a b/", "https://a\n/", "data:audio/wav;base64,UklGRg=="],
)  # fmt: skip
@pytest.mark.parametrize("said", [None, False])
def test_t33_text_is_never_opened_as_a_file(text: str, said: bool | None) -> None:
    assert "pathlib.Path" in str(refusal(init_audio=text, base64=said))


@pytest.mark.parametrize(
    "webhook",
    ["https://example.org/hook", "https://u:p@example.org:8443/h?x=1", "http://127.0.0.1:8000/h",
     "http://localhost/h", "http://[::1]:1/h"],
)  # fmt: skip
def test_a_webhook_is_https_or_on_this_machine(webhook: str) -> None:
    assert MusicGen("sitar", webhook=webhook).webhook == webhook


@pytest.mark.parametrize(
    "webhook",
    ["http://example.org/hook", "ftp://example.org", "example.org/hook", "", "https://",
     "https:///hook", "https://[::1", "https://exa mple.org", "https://example.org/\n",
     "http://127.0.0.1.example.org/", "javascript:alert(1)"],
)  # fmt: skip
def test_any_other_webhook_is_refused_and_not_repeated(webhook: str) -> None:
    error = refusal(webhook=webhook)
    assert error.field == "webhook"
    assert error.value is None
    assert "example.org" not in str(error)


def test_a_webhook_does_not_show_in_a_repr() -> None:
    assert "hush" not in repr(MusicGen("sitar", webhook="https://example.org/hush"))


def test_a_long_clip_does_not_fill_a_repr() -> None:
    assert len(repr(MusicGen("sitar", init_audio=b"x" * 10**6))) < 400
    assert "init_audio=b'abc'" in repr(MusicGen("sitar", init_audio=b"abc"))


# Sizes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "x" * (MAX_PROMPT + 1)),
        ("init_audio", "A" * (MAX_MEDIA_TEXT + 1)),
        ("output_format", "x" * (MAX_LINE + 1)),
        ("bitrate", "x" * (MAX_LINE + 1)),
        ("webhook", "https://example.org/" + "x" * MAX_LINE),
        ("track_id", "x" * (MAX_LINE + 1)),
        ("sampling_rate", 2**63),
        ("duration", -(10**5000)),
        ("track_id", 10**5000),
    ],
    ids=range(9),
)
def test_a_value_that_is_too_large_is_refused_also_without_bounds(field: str, value: Any) -> None:
    error = refusal(**{field: value, "unchecked": True, "base64": True})
    assert error.field == field
    assert len(str(error)) < 200


def test_a_url_of_a_clip_is_no_longer_than_servers_take() -> None:
    assert "no http(s) URL" in str(refusal(init_audio="https://example.org/" + "x" * MAX_LINE))


@pytest.mark.parametrize("extra", [None, [], ["a"], "a", 5, [("a", 1)]])
def test_extra_is_a_mapping(extra: Any) -> None:
    assert "but must be a mapping" in str(refusal(extra=extra))


def test_n02_extra_of_too_many_names_is_refused_before_one_is_looked_at() -> None:
    class Endless(UserDict[str, int]):
        def __len__(self) -> int:
            return MAX_VALUES + 1

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("the names are looked at")

    assert "over 100000 values" in str(refusal(extra=Endless()))


@pytest.mark.parametrize(
    "text",
    ["A" + " " * 10**6 + "!", "A=" + " " * 10**6 + "!", "A" + "\n=" * 10**6, " " * 10**6,
     "data:" + ";base64," * 10**5, "data:" + "a" * 10**6 + ";base64,QQ==", "data:;base64,",
     "data:audio/wav;base64,", "data:a b;base64,QQ==", "QQ===", "Q=Q=", "\u00a0QQ=="],
    ids=range(12),
)  # fmt: skip
def test_text_that_is_almost_base64_is_refused_in_linear_time(text: str) -> None:
    assert "pathlib.Path" in str(refusal(init_audio=text, base64=True))


@pytest.mark.parametrize(
    "text", ["QQ== \r\n", " QQ ", "QQ=\n", "data:;base64,QQ", "data:a;base64,Q-_+/", "\x0bQ\x0c"]
)
def test_blanks_around_base64_text_and_both_alphabets_are_taken(text: str) -> None:
    assert MusicGen("sitar", init_audio=text, base64=True).init_audio == text


@pytest.mark.parametrize(
    ("light", "fields"),
    [
        (True, {"extra": {"model_id": "x", "steps": 5}, "init_audio": CLIP}),
        (False, {"init_audio": b"RIFF"}),
        (False, {"init_audio": Path("a.wav")}),
        (False, {"init_audio": "QUJD" * 300_000, "base64": True}),
        (False, {"prompt": "sitar " * 200_000}),
        (False, {"extra": {"x": "y" * 2**21}}),
        (False, {"extra": {"x": [1]}}),
        (False, {"extra": {str(n): n for n in range(2000)}}),
    ],
    ids=range(8),
)
def test_a_request_that_takes_long_to_encode_is_known(light: bool, fields: dict[str, Any]) -> None:
    assert is_light(MusicGen(**{"prompt": "sitar", **fields})) is light


# More fields


@pytest.mark.parametrize("name", ["prompt", "sampling_rate", "track_id", "extra", "unchecked"])
def test_extra_does_not_hold_what_is_a_field(name: str) -> None:
    assert f"pass {name}= instead" in str(refusal(extra={name: 1}))


def test_extra_does_not_hold_a_key() -> None:
    error = refusal(extra={"key": "another account's"})
    assert "the key is the client's" in str(error)
    assert "another account's" not in str(error)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan"), float("inf")])
def test_extra_is_sent_as_json_or_not_at_all(value: object) -> None:
    assert "cannot be sent as JSON" in str(refusal(extra={"x": value}))


def test_extra_that_has_no_end_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert "cannot be sent as JSON" in str(refusal(extra={"x": circle}))
    assert "cannot be sent as JSON" in str(refusal(extra={"x": deep}))


def test_extra_is_a_copy_and_cannot_take_the_place_of_a_field() -> None:
    given: dict[str, Any] = {"model_id": "x"}
    request = MusicGen("sitar", extra=given)
    given["prompt"] = "another"
    assert encode(request, track_id=1) == {"prompt": "sitar", "track_id": 1, "model_id": "x"}


def test_equal_requests_are_equal_and_have_one_hash() -> None:
    one, two = (MusicGen("sitar", duration=60, extra={"a": 1}) for _ in range(2))
    assert one == two
    assert len({one, two}) == 1


@given(st.text(), st.integers() | st.text(), st.booleans())
def test_a_request_is_made_or_refused_and_nothing_else(
    prompt: str, track_id: int | str, unchecked: bool
) -> None:
    try:
        request = MusicGen(prompt, track_id=track_id, unchecked=unchecked)
    except RequestError:
        return
    assert encode(request, track_id=track_id) == {"prompt": prompt, "track_id": track_id}


# Clips


def wav(seconds: float, rate: int = 8000) -> bytes:
    sound = b"\1" * int(seconds * rate)
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, rate, rate, 1, 8, b"data", len(sound))
    return struct.pack("<4sI4s", b"RIFF", 4 + len(head) + len(sound), b"WAVE") + head + sound


BOUNDS = known_fields(MusicGen)["init_audio"].clip
MP3 = (b"\xff\xfb\x90\x64" + b"\x55" * 413) * 10
FLAC = flac(tracks.wav(9000))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (wav(1), "clip.wav"),
        (wav(1), "CLIP.WAVE"),
        (wav(1), "clip"),
        (wav(1), "clip.tmp"),
        (wav(1), ""),
        (wav(30), "clip.wav"),
        (MP3, "clip.mp3"),
        (FLAC, "clip.flac"),
    ],
)
def test_a_clip_is_sent_when_its_bytes_agree_with_its_name(data: bytes, name: str) -> None:
    assert base64.b64decode(encode_clip("init_audio", data, clip=BOUNDS, name=name)) == data


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "clip.wav", "is not audio: empty"),
        (b"<html>", "clip.wav", "is not audio: HTML page"),
        (b"root:x:0:0:root:/root:/bin/sh\n", "passwd", "is not audio: text"),
        (wav(1), "clip.mp3", "holds WAV; rename it"),
        (MP3, "clip.wav", "holds MP3; rename it"),
        (wav(30.01), "clip.wav", "is 30.0 s long, but must be 30 s at most"),
        (wav(61), "", "is 61.0 s long, but must be 30 s at most"),
    ],
)
def test_a_clip_that_the_api_would_not_take_is_refused(data: bytes, name: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        encode_clip("init_audio", data, clip=BOUNDS, name=name)
    assert caught.value.field == "init_audio"
    assert words in str(caught.value)
    assert "unchecked=True" in str(caught.value)
    assert (
        base64.b64decode(encode_clip("init_audio", data, clip=BOUNDS, name=name, unchecked=True))
        == data
    )


@pytest.mark.parametrize("unchecked", [False, True])
def test_a_file_that_was_not_read_to_its_end_is_never_sent(unchecked: bool) -> None:
    with pytest.raises(RequestError, match="is over 32 MiB; send a clip"):
        encode_clip(
            "init_audio", bytes(MAX_CLIP_BYTES + 1), clip=BOUNDS, name="a.wav", unchecked=unchecked
        )


def test_a_request_asks_for_the_lengths_that_it_names() -> None:
    assert MusicGen("a").asked_seconds() is None
    assert MusicGen("a", duration=30).asked_seconds() == (30, 30)
    assert MusicGen("a", duration=60, max_new_token=1024).asked_seconds() == (20.48, 60)
    assert SoundEffect("rain", duration=7).asked_seconds() == (7, 7)
    assert SoundEffect("rain").asked_seconds() is None
