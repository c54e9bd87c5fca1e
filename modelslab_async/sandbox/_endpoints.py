"""The table of endpoints, by submit path.

Fields, bounds, the wording of tickets and the echo of the request follow the ModelsLab docs, those
of 2025 where the current pages have no samples. Version 7 follows the official clients.

The sandbox never downloads an input URL: the output is always a generated tune, text or video.
Speech is a tune as well, with the duration that the text would take.
"""

from __future__ import annotations

from attrs import evolve

from ._validation import (
    BITRATES,
    FORMATS,
    Check,
    Endpoint,
    boolean,
    choice,
    number,
    text,
    track_id,
    webhook,
    whole,
)

_JOB: dict[str, Check] = {"webhook": webhook, "track_id": track_id}
_TEMP: dict[str, Check] = {"temp": boolean("temp")}
_BASE64: dict[str, Check] = {"base64": boolean("base64")}
_SOUND: dict[str, Check] = {
    "output_format": choice("output_format", FORMATS),
    "bitrate": choice("bitrate", BITRATES),
}
_PROMPT: dict[str, Check] = {"prompt": text("prompt")}
_EMOTIONS = ("neutral", "happy", "sad", "angry", "dull")
_SHARES = ("rate", "mix", "originality", "reverb_size", "wetness", "dryness", "damping")
_VOLUMES = ("lead_voice", "backup_voice", "instrument")
_SPOKEN = ("base64", "emotion", "filename", "input_sound_clip", "input_text", "language")

_V6: dict[str, Endpoint] = {
    "music_gen": Endpoint(
        checks={
            **_PROMPT,
            "sampling_rate": whole("sampling_rate", 5000, 192_000),
            "max_new_token": whole("max_new_token", 256, 1024),
            "duration": whole("duration", 30, 480),
            **_SOUND,
            **_BASE64,
            **_TEMP,
            **_JOB,
        },
        media=("init_audio",),
        default_seconds=30,
        words="music generation",
    ),
    "sfx": Endpoint(
        checks={**_PROMPT, "duration": whole("duration", 3, 15), **_SOUND, **_TEMP, **_JOB},
        meta=("duration", "filename", "id", "prompt", "temp", "track_id", "webhook"),
    ),
    "song_generator": Endpoint(
        checks={
            "lyrics_generation": boolean("lyrics_generation"),
            "lyrics": text("lyrics"),
            "duration": whole("duration", 30, 480),
            "instrumental": boolean("instrumental"),
            **{name: text(name) for name in ("prompt", "caption", "language")},
            **_JOB,
        },
        required=(),
        one_of=("lyrics", "lyrics_generation"),
        media=("init_audio",),
        default_seconds=30,
        words="song",
        meta=("text_prompt", "seed", "music_duration", "filename", "temp", "track_id", "base64"),
    ),
    "lyrics_generator": Endpoint(
        checks={**_PROMPT, "length": choice("length", ("short", "long")), **_JOB},
        extension="txt",
        words="lyrics generation",
        meta=("prompt", "webhook", "id", "filename", "temp", "track_id", "base64"),
    ),
    "text_to_speech": Endpoint(
        checks={
            "prompt": text("prompt", 2500),
            "voice_id": text("voice_id"),
            "language": text("language"),
            "speed": number("speed"),
            "emotion": boolean("emotion"),
            "output_format": choice("output_format", ("wav", "mp3")),
            **_TEMP,
            **_JOB,
        },
        required=("prompt", "voice_id", "language"),
        is_spoken=True,
        meta=(*_SPOKEN, "speed", "temp"),
    ),
    "text_to_audio": Endpoint(
        checks={
            **_PROMPT,
            "voice_id": text("voice_id"),
            "language": text("language"),
            "speed": number("speed"),
            "emotion": choice("emotion", _EMOTIONS),
            **_BASE64,
            **_TEMP,
            **_JOB,
        },
        one_of=("init_audio", "voice_id"),
        media=("init_audio",),
        is_spoken=True,
        meta=(*_SPOKEN, "speed", "temp"),
    ),
    "voice_design": Endpoint(
        checks={
            "prompt": text("prompt", 1000),
            "voice_description": text("voice_description", 1000),
            "language": text("language"),
            **_JOB,
        },
        required=("prompt", "voice_description"),
        is_spoken=True,
        meta=("prompt", "language", "filename"),
    ),
    "speech_to_text": Endpoint(
        checks={
            "language": text("language"),
            "timestamp_level": choice("timestamp_level", ("word", "sentence")),
            **_JOB,
        },
        required=("init_audio", "language"),
        media=("init_audio",),
        extension="txt",
        family="whisper",
        words="transcription",
        meta=("language", "timestamp_level", "file_id", "init_audio"),
    ),
    "voice_to_voice": Endpoint(
        checks={**_BASE64, **_TEMP, **_JOB},
        required=("init_audio", "target_audio"),
        media=("init_audio", "target_audio"),
        meta=("base64", "filename", "id", "temp", "track_id", "webhook"),
    ),
    "voice_cover": Endpoint(
        checks={
            "model_id": text("model_id"),
            "pitch": choice("pitch", ("m2f", "f2m", "none")),
            "algorithm": choice("algorithm", ("rmvpe", "mangio-crepe")),
            "seed": whole("seed", 0, 2**32),
            "language": text("language"),
            "emotion": choice("emotion", _EMOTIONS),
            "speed": number("speed", 0.5, 2),
            "radius": number("radius", 0, 3),
            **{name: number(name, 0, 1) for name in _SHARES},
            **_BASE64,
            **_TEMP,
            **_JOB,
        },
        required=("init_audio", "model_id"),
        media=("init_audio",),
        words="voice cover",
        meta=(
            *("model_id", "pitch", "algorithm", "language", "emotion", "speed", "radius"),
            *_SHARES,
            *(f"{name}_volume_delta" for name in _VOLUMES),
            *("input_sound_clip", "seed", "temp", "base64"),
        ),
    ),
    "vocal_isolator": Endpoint(
        checks={"seed": whole("seed", 0, 2**32), **_BASE64, **_JOB},
        required=(),
        one_of=("init_audio", "init_video"),
        media=("init_audio", "init_video"),
        words="vocal isolation",
        meta=("input_sound_clip", "webhook", "id", "filename", "temp", "base64"),
    ),
    "create_dubbing": Endpoint(
        checks={
            **{name: text(name) for name in ("output_lang", "source_lang", "voice_id")},
            "voice_model": text("voice_model"),
            "speed": number("speed"),
            "seed": whole("seed", 0, 2**32),
            **_BASE64,
            **_JOB,
        },
        required=("init_video", "output_lang"),
        media=("init_video",),
        extension="mp4",
        meta=("source_lang", "output_lang", "speed", "file_prefix", "webhook", "track_id", "id"),
    ),
}

_MODEL: dict[str, Check] = {"model_id": text("model_id"), **_JOB}
_FROM_TEXT = Endpoint(checks={**_PROMPT, **_MODEL}, required=("prompt", "model_id"), family="v7")
_FROM_AUDIO = evolve(
    _FROM_TEXT, checks=_MODEL, required=("init_audio", "model_id"), media=("init_audio",)
)
_V7: dict[str, Endpoint] = {
    "music-gen": evolve(
        _FROM_TEXT,
        checks={**_FROM_TEXT.checks, "duration": number("duration", 1)},
        words="music generation",
    ),
    "sound-generation": evolve(
        _FROM_TEXT,
        checks={**_FROM_TEXT.checks, "time in seconds": number("time in seconds", 1, 22)},
    ),
    # The docs have `prompt` and `voice_id`; the official command line sends only `text`.
    "text-to-speech": evolve(
        _FROM_TEXT,
        checks={**_FROM_TEXT.checks, "text": text("text"), "voice_id": text("voice_id")},
        required=("model_id",),
        one_of=("prompt", "text"),
        is_spoken=True,
    ),
    "speech-to-speech": evolve(_FROM_AUDIO, required=("init_audio", "model_id", "voice_id")),
    "speech-to-text": evolve(_FROM_AUDIO, extension="txt", words="transcription"),
    "song-extender": evolve(_FROM_AUDIO, required=(*_FROM_AUDIO.required, "extend_duration")),
    "song-inpaint": _FROM_AUDIO,
    "create-dubbing": evolve(
        _FROM_AUDIO,
        required=("target_language",),
        one_of=("init_video", "init_audio"),
        media=("init_video", "init_audio"),
        extension="mp4",
    ),
}
_ENTERPRISE = ("music_gen", "sfx", "text_to_audio", "voice_to_voice", "voice_cover")
_TWINS = {
    "voice": {name: (name, "enterprise") for name in _ENTERPRISE},
    "speech_to_text": {"transcribe": ("speech_to_text", "enterprise_stt")},
    "text_to_speech": {"make": ("text_to_speech", "enterprise_tts")},
}

ENDPOINTS: dict[str, Endpoint] = {
    **{f"/api/v6/voice/{name}": one for name, one in _V6.items()},
    **{f"/api/v7/voice/{name}": evolve(one, meta=("model_id",)) for name, one in _V7.items()},
    **{
        f"/api/v1/enterprise/{group}/{path}": evolve(_V6[name], family=family)
        for group, twins in _TWINS.items()
        for path, (name, family) in twins.items()
    },
}
"""The submit endpoints by path."""

FETCH_PATHS = {
    "voice": "/api/v6/voice/fetch/",
    "whisper": "/api/v6/whisper/fetch/",
    "v7": "/api/v7/voice/fetch/",
    "enterprise": "/api/v1/enterprise/voice/fetch/",
    "enterprise_stt": "/api/v1/enterprise/speech_to_text/fetch/",
    "enterprise_tts": "/api/v1/enterprise/text_to_speech/fetch/",
}
"""The path prefixes for polling jobs, by family."""
