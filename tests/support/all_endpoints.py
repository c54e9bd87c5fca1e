"""One request of each endpoint, in the order of `REQUESTS`."""

from __future__ import annotations

from modelslab_async import (
    CreateDubbing,
    CreateDubbingV7,
    LyricsGenerator,
    MusicGen,
    MusicGenV7,
    Request,
    SongExtenderV7,
    SongGenerator,
    SongInpaintV7,
    SoundEffect,
    SoundGenerationV7,
    SpeechToSpeechV7,
    SpeechToText,
    SpeechToTextV7,
    TextToAudio,
    TextToSpeech,
    TextToSpeechV7,
    VocalIsolator,
    VoiceCover,
    VoiceDesign,
    VoiceToVoice,
)

SOUND = "https://files.example/clip.wav"
VIDEO = "https://files.example/film.mp4"

SAMPLES: tuple[Request, ...] = (
    MusicGen("waltz", max_new_token=256),
    SoundEffect("thunder", duration=3),
    SongGenerator(lyrics="[Verse]\nThe sun goes up", duration=30),
    LyricsGenerator("a song about rain", length="short"),
    TextToSpeech("Good morning", voice_id="tara", language="american english", speed=1.5),
    TextToAudio("Good evening", init_audio=SOUND, emotion="happy"),
    VoiceDesign("Good night", voice_description="old and warm", language="english"),
    SpeechToText(SOUND, language="en"),
    VoiceToVoice(SOUND, target_audio=SOUND),
    VoiceCover(SOUND, model_id="cover-1", pitch="m2f", rate=0.5, instrument_volume_delta="+2"),
    VocalIsolator(SOUND, seed=1),
    CreateDubbing(VIDEO, output_lang="fr"),
    MusicGenV7("polka", model_id="music_v1", duration=30),
    SoundGenerationV7("rain", model_id="eleven_sound_effect", duration=3),
    TextToSpeechV7("Good day", model_id="inworld-tts-1", voice_id="tara", temperature=0.5),
    SpeechToSpeechV7(SOUND, model_id="eleven_english_sts_v2", voice_id="tara"),
    SpeechToTextV7(SOUND, model_id="scribe_v1"),
    SongExtenderV7(SOUND, model_id="song-extender", extend_duration=4.5, side="left"),
    SongInpaintV7(SOUND, model_id="song-inpaint", lyrics="la", sections=[{"start": 1, "end": 2.5}]),
    CreateDubbingV7(VIDEO, target_language="fr"),
)
