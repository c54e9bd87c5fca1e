"""Each voice endpoint has fields of its own, and rules over several of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import (
    CreateDubbing,
    MusicGen,
    MusicGenV7,
    Request,
    RequestError,
    SongGenerator,
    SongInpaintV7,
    SoundGenerationV7,
    SpeechToSpeechV7,
    SpeechToText,
    TextToAudio,
    TextToSpeech,
    VocalIsolator,
    VoiceCover,
    VoiceToVoice,
)
from modelslab_async.endpoints import REQUESTS, Section, known_fields
from modelslab_async.endpoints.base import encode
from modelslab_async.endpoints.clips import encode_clip
from modelslab_async.endpoints.fields import VIDEO, Clip

from ..protocol.test_files import MP4
from ..support.all_endpoints import SAMPLES
from .test_music import wav

URL = "https://files.example/a%20song.wav"


def test_there_is_a_sample_of_each_endpoint() -> None:
    assert [type(sample) for sample in SAMPLES] == list(REQUESTS.values())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.NAME)
def test_a_request_is_priced_named_sent_and_shown(sample: Request) -> None:
    estimate = sample.estimate()
    assert estimate.seconds >= 0
    assert estimate.megabytes > 0
    assert sample.title
    assert sample.path.startswith("/api/v")
    assert sample.NAME.removeprefix("v7_") in sample.path.replace("-", "_")
    fields = encode(sample, track_id=7)
    assert fields["track_id"] == 7
    assert not {"unchecked", "enterprise", "extra"} & set(fields)
    assert repr(sample).startswith(f"{type(sample).__name__}(")


@pytest.mark.parametrize(
    ("request_", "path", "fetch"),
    [
        (MusicGen("a", enterprise=True), "voice/music_gen", "voice/fetch"),
        (
            SpeechToText(URL, language="en", enterprise=True),
            "speech_to_text/transcribe",
            "speech_to_text/fetch",
        ),
        (
            TextToSpeech("a", voice_id="v", language="hindi", enterprise=True),
            "text_to_speech/make",
            "text_to_speech/fetch",
        ),
    ],
)
def test_an_enterprise_twin_has_a_path_and_a_family_of_its_own(
    request_: Request, path: str, fetch: str
) -> None:
    assert request_.path == f"/api/v1/enterprise/{path}"
    assert request_.fetch == f"/api/v1/enterprise/{fetch}"
    assert "enterprise=True" in repr(request_)


def test_what_has_no_enterprise_twin_says_so() -> None:
    with pytest.raises(RequestError, match="song_generator has no enterprise twin"):
        SongGenerator(lyrics="la", enterprise=True)


def test_jobs_of_v7_and_transcripts_are_asked_about_in_their_own_families() -> None:
    assert SoundGenerationV7("rain", model_id="m").fetch == "/api/v7/voice/fetch"
    assert SpeechToText(URL, language="en").fetch == "/api/v6/whisper/fetch"


def test_a_field_is_sent_as_the_api_calls_it() -> None:
    request = SoundGenerationV7("rain", model_id="eleven_sound_effect", duration=5)
    assert encode(request, track_id=1)["time in seconds"] == 5
    assert "duration" not in encode(request, track_id=1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SongGenerator("a waltz"), "needs lyrics, or lyrics_generation=True"),
        (lambda: SongGenerator("x", lyrics_generation=True), "needs prompt and caption"),
        (lambda: TextToAudio("hello"), "has no voice: give init_audio, or voice_id"),
        (lambda: VocalIsolator(), "either init_audio or init_video"),
        (lambda: VocalIsolator(URL, init_video=URL), "either init_audio or init_video"),
        (lambda: TextToSpeech("a" * 2501, voice_id="v", language="hindi"), "2500 characters"),
        (lambda: TextToSpeech("a", voice_id=" ", language="hindi"), "voice_id is empty"),
        (lambda: TextToSpeech("a", voice_id="v", language="english"), "american english"),
        (lambda: VoiceCover(URL, model_id="m", speed=float("nan")), "finite number"),
        (lambda: VoiceCover(URL, model_id="m", speed=True), "must be int or float"),
        (lambda: VoiceCover(URL, model_id="m", rate=1.5), "0 to 1"),
        (lambda: VoiceCover(URL, model_id="m", instrument_volume_delta="+6"), "-5"),
        (lambda: SpeechToText("song.wav", language="en"), "client.base64_to_url"),
        (lambda: SpeechToText(Path("a.wav"), language="en"), "init_audio is"),  # type: ignore[arg-type]
        (lambda: VoiceToVoice(URL, target_audio=Path("a.wav")), "must have one form"),
        (lambda: VoiceToVoice(URL, target_audio=""), "is empty"),
        (lambda: VoiceToVoice("aGk=", target_audio=URL, base64=True), "is said to be base64"),
        (lambda: SpeechToSpeechV7("clip", model_id="m", voice_id="v"), "no http"),
    ],
)
def test_what_an_endpoint_does_not_take_is_refused_in_words(make: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        make()


def test_what_an_endpoint_takes_in_several_ways_is_taken() -> None:
    assert SongGenerator("x", lyrics_generation=True, caption="waltz").title == "x"
    assert TextToAudio("hello", voice_id="v").voice_id == "v"
    assert VoiceCover(URL, model_id="m", instrument_volume_delta="-5", speed=1).speed == 1
    assert VoiceToVoice(Path("a.wav"), target_audio=Path("b.wav")).local_media()
    assert VoiceToVoice("aGk=", target_audio="aGk=", base64=True).title == "voice_to_voice"
    text = "A" * 256
    assert SpeechToSpeechV7(text, model_id="m", voice_id="v").init_audio == text


@pytest.mark.parametrize(
    ("request_", "title"),
    [
        (VoiceCover(URL, model_id="m"), "a song"),
        (VoiceCover(Path("music/waltz.mp3"), model_id="m"), "waltz"),
        (VoiceCover(b"RIFF", model_id="m"), "voice_cover"),
        (VocalIsolator(init_video="https://files.example/"), "vocal_isolator"),
        (SongGenerator(lyrics="la la", caption="waltz"), "waltz"),
    ],
)
def test_a_request_without_a_prompt_is_called_by_what_it_is_made_from(
    request_: Request, title: str
) -> None:
    assert request_.title == title


def test_speech_is_estimated_by_its_characters() -> None:
    request = TextToSpeech("a" * 150, voice_id="v", language="hindi")
    assert (request.estimate().seconds, request.estimate().characters) == (Decimal(10), 150)
    fast = TextToSpeech("a" * 150, voice_id="v", language="hindi", speed=2)
    assert fast.estimate().seconds == 5
    assert request.kind == TextToSpeech("b" * 151, voice_id="w", language="hindi").kind


def test_what_is_made_of_a_recording_is_of_no_known_length() -> None:
    unknown = {one.NAME for one in SAMPLES if not one.estimate().is_known}
    assert unknown >= {"voice_cover", "speech_to_text", "create_dubbing", "vocal_isolator"}
    assert not unknown & {"music_gen", "sfx", "text_to_speech", "song_generator", "v7_music_gen"}
    assert not MusicGenV7("waltz", model_id="music_v1").estimate().is_known


def test_a_local_file_is_sent_with_the_flag_that_the_endpoint_has() -> None:
    media = {"init_audio": "AAAA"}
    flagged = encode(VoiceCover(b"x", model_id="m"), track_id=1, media=media)
    assert (flagged["init_audio"], flagged["base64"]) == ("AAAA", True)
    bare = encode(SpeechToSpeechV7(b"x", model_id="m", voice_id="v"), track_id=1, media=media)
    assert bare["init_audio"] == "AAAA"
    assert "base64" not in bare


@pytest.mark.parametrize(
    ("clip", "data", "words"),
    [
        (known_fields(TextToAudio)["init_audio"].clip, wav(3), "must be 4 s at least"),
        (known_fields(VoiceToVoice)["target_audio"].clip, wav(31), "must be 30 s at most"),
        (known_fields(CreateDubbing)["init_video"].clip, wav(3), "is no video: neither MP4"),
        (known_fields(VocalIsolator)["init_video"].clip, MP4[:-1], "not all of it is there"),
    ],
)
def test_a_local_file_must_be_what_its_field_takes(clip: Clip, data: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        encode_clip("init", data, clip=clip)


def test_a_local_file_that_its_field_takes_is_sent() -> None:
    assert encode_clip("init_video", MP4, clip=VIDEO)
    assert encode_clip("init_audio", wav(60))


def test_a_file_too_large_for_a_field_without_a_bound_is_to_be_sent_as_a_url() -> None:
    with pytest.raises(RequestError, match="send its URL instead"):
        encode_clip("init_video", bytes(32 * 2**20 + 1), clip=VIDEO)


PARTS: list[Section] = [{"start": 0, "end": 9.5}, {"start": 30, "end": 45}]


def test_sections_of_a_song_are_sent_as_they_are_and_kept_in_a_copy() -> None:
    given = [*PARTS]
    request = SongInpaintV7(URL, model_id="song-inpaint", lyrics="la", sections=given)
    given.clear()
    assert encode(request, track_id=1)["sections"] == PARTS
    assert hash(request) == hash(evolve(request, sections=None))


@pytest.mark.parametrize(
    "sections",
    [
        [],
        [[0, 9.5]],
        [{"start": 0}],
        [{"start": 0, "end": 9, "lyrics": "la"}],
        [{"start": 9, "end": 9}],
        [{"start": -1, "end": 9}],
        [{"start": 0, "end": True}],
        [{"start": "0", "end": "9"}],
    ],
    ids=str,
)
def test_sections_of_another_shape_are_sent_only_unchecked(sections: Any) -> None:
    with pytest.raises(RequestError, match="each start before its end"):
        SongInpaintV7(URL, model_id="m", sections=sections)
    sent = SongInpaintV7(URL, model_id="m", sections=sections, unchecked=True)
    assert encode(sent, track_id=1)["sections"] == sections


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ("0-9", "must be list"),
        ((PARTS,), "must be list"),
        ([{"start": 0, "end": float("nan")}], "cannot be sent as JSON"),
        ([object()], "cannot be sent as JSON"),
    ],
    ids=["text", "tuple", "nan", "object"],
)
def test_sections_that_are_no_json_list_are_never_sent(sections: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        SongInpaintV7(URL, model_id="m", sections=sections, unchecked=True)
