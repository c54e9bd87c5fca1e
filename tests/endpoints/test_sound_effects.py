"""A sound effect has fields and bounds of its own, and all else from what requests share."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from modelslab_async import MusicGen, Request, RequestError, SoundEffect
from modelslab_async.endpoints.base import encode


def test_every_field_of_a_sound_effect_is_sent_by_its_own_name() -> None:
    request = SoundEffect(
        "a door falls shut", duration=4, output_format="mp3", bitrate="128k", temp=True
    )
    assert encode(request, track_id=17) == {
        "prompt": "a door falls shut",
        "duration": 4,
        "output_format": "mp3",
        "bitrate": "128k",
        "temp": True,
        "track_id": 17,
    }


@pytest.mark.parametrize(
    ("seconds", "is_allowed"), [(2, False), (3, True), (15, True), (16, False)]
)
def test_a_sound_effect_has_bounds_of_its_own(seconds: int, is_allowed: bool) -> None:
    if is_allowed:
        assert SoundEffect("thunder", duration=seconds).duration == seconds
        return
    with pytest.raises(RequestError, match="sfx page"):
        SoundEffect("thunder", duration=seconds)
    assert SoundEffect("thunder", duration=seconds, unchecked=True).duration == seconds


@pytest.mark.parametrize("field", ["max_new_token", "init_audio", "base64"])
def test_what_is_a_field_of_music_alone_is_none_of_a_sound_effect(field: str) -> None:
    fields: dict[str, Any] = {field: None}
    with pytest.raises(TypeError, match=field):
        SoundEffect("thunder", **fields)


@pytest.mark.parametrize(
    ("request_", "seconds", "megabytes"),
    [
        (SoundEffect("thunder"), "10", 1.28),
        (SoundEffect("thunder", duration=3, output_format="mp3"), "3", 0.12),
        (SoundEffect("thunder", duration=3, output_format="mp3", bitrate="128k"), "3", 0.048),
        (MusicGen("waltz", sampling_rate=44_100), "30", 5.292),
        (MusicGen("waltz", duration=60, max_new_token=256), "60", 7.68),
    ],
)
def test_an_estimate_says_how_long_and_how_large(
    request_: Request, seconds: str, megabytes: float
) -> None:
    estimate = request_.estimate()
    assert estimate.seconds == Decimal(seconds)
    assert estimate.megabytes == pytest.approx(megabytes)


def test_requests_of_two_endpoints_say_nothing_of_how_long_each_other_takes() -> None:
    assert SoundEffect("rain").kind != MusicGen("rain", duration=30).kind
    assert SoundEffect("rain", duration=10).kind == SoundEffect("storm").kind


def test_what_a_request_comes_to_is_said_by_its_endpoint() -> None:
    with pytest.raises(NotImplementedError):
        Request().estimate()


def test_a_request_is_called_by_its_prompt() -> None:
    assert SoundEffect("rain").title == "rain"
