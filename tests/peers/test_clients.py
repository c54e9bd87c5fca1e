"""Clients written by others get from the sandbox what they expect of the API, unchanged.

Each is pointed at the sandbox as its own documents say, and is otherwise as it was installed.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from modelslab_async.sandbox import Sandbox
from modelslab_async.sandbox._account import Job

from ..support.all_endpoints import SOUND
from ..support.batches import quick

# What they warn of is not ours to mend.
pytestmark = [pytest.mark.anyio, pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(quick(polls_to_finish=2)) as box:
        yield box


def peer(name: str) -> Any:
    """A module of somebody else's, or a skipped test."""
    return pytest.importorskip(name, reason=f"{name} is missing: pip install -e '.[peers]'")


def only_job(box: Sandbox) -> Job:
    """The one job that there is, paid for once."""
    ((number, _),) = box.book.debits
    return box.book.jobs[number]


async def is_served(box: Sandbox, url: str) -> bool:
    """Whether a URL gives the file of the only job."""
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return await answer.read() == box.canonical(only_job(box).id)


# --- the official Python SDK ----------------------------------------------------------------------

WORDS = {"prompt": "a waltz"}
V6: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("music_gen", "MusicGenSchema", {**WORDS, "base64": "false", "temp": 0, "max_new_token": 256}),
    ("sfx_gen", "SFX", {**WORDS, "duration": 3, "temp": False}),
    ("song_generator", "SongGenerator", {**WORDS, "lyrics": "[Verse]\nla la"}),
    ("lyrics_gen", "LyricsGenerator", {**WORDS, "length": "short"}),
    (
        "text_to_speech",
        "Text2Speech",
        {**WORDS, "voice_id": "tara", "language": "american english", "speed": 1, "temp": 1},
    ),
    ("text_to_audio", "Text2Audio", {**WORDS, "init_audio": SOUND, "base64": "false"}),
    ("voice2voice", "Voice2Voice", {"init_audio": SOUND, "target_audio": SOUND, "base64": False}),
    (
        "voice_cover",
        "VoiceCover",
        {
            "init_audio": SOUND,
            "model_id": "cover-1",
            "rate": "0.5",
            "seed": "7",
            "instrument_volume_delta": -5,
        },
    ),
)
HAS_NO_TWIN = ("song_generator", "lyrics_gen", "text_to_speech")
CALLS = [(call, False) for call in V6] + [(call, True) for call in V6 if call[0] not in HAS_NO_TWIN]


def sdk(box: Sandbox, **settings: Any) -> Any:
    client = peer("modelslab_py.core.client").Client(
        box.key, fetch_retry=100, fetch_timeout=0, **settings
    )
    client.base_url = f"{box.url}/api/"
    return client


def schema(module: str, name: str, fields: dict[str, Any]) -> Any:
    return getattr(peer(f"modelslab_py.{module}"), name)(**fields, track_id="row 7")


@pytest.mark.parametrize(
    ("call", "is_twin"), CALLS, ids=[f"{call[0]}{'-enterprise' * twin}" for call, twin in CALLS]
)
async def test_the_python_sdk_submits_and_fetches(
    box: Sandbox, call: tuple[str, str, dict[str, Any]], is_twin: bool
) -> None:
    method, name, fields = call
    voice = peer("modelslab_py.core.apis.audio").Audio(client=sdk(box), enterprise=is_twin)

    def talk() -> Any:
        ticket = getattr(voice, method)(schema("schemas.audio", name, fields))
        assert ticket["status"] == "processing"
        return voice.fetch(str(ticket["id"]))

    done = await anyio.to_thread.run_sync(talk)
    assert only_job(box).track_id == "row 7"
    assert only_job(box).polls == 2
    assert await is_served(box, done["output"][0])


@pytest.mark.parametrize("call", V6, ids=lambda call: call[0])
async def test_the_python_sdk_does_so_without_threads(
    box: Sandbox, call: tuple[str, str, dict[str, Any]]
) -> None:
    method, name, fields = call
    async with sdk(box) as client:
        voice = peer("modelslab_py.core.apis.audio").Audio(client=client)
        ticket = await getattr(voice, f"async_{method}")(schema("schemas.audio", name, fields))
        done = await voice.async_fetch(str(ticket["id"]))
    assert only_job(box).polls == 2
    assert await is_served(box, done["output"][0])


V7: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("elevenlabs", "ElevenLabsProvider", "music_v1", "MusicV1Schema", WORDS),
    (
        "elevenlabs",
        "ElevenLabsProvider",
        "eleven_sound_effect",
        "ElevenSoundEffectSchema",
        {**WORDS, "time in seconds": 5},
    ),
    (
        "elevenlabs",
        "ElevenLabsProvider",
        "eleven_multilingual_v2",
        "ElevenMultilingualV2Schema",
        {**WORDS, "voice_id": "tara"},
    ),
    (
        "elevenlabs",
        "ElevenLabsProvider",
        "eleven_english_sts_v2",
        "ElevenEnglishStsV2Schema",
        {"init_audio": SOUND, "voice_id": "tara"},
    ),
    ("elevenlabs", "ElevenLabsProvider", "scribe_v1", "ScribeV1Schema", {"init_audio": SOUND}),
    ("sonauto", "SonautoProvider", "sonauto_song", "SonautoSongSchema", WORDS),
    (
        "sonauto",
        "SonautoProvider",
        "song_extender",
        "SongExtenderSchema",
        {**WORDS, "init_audio": SOUND, "extend_duration": 4.5},
    ),
    (
        "sonauto",
        "SonautoProvider",
        "song_inpaint",
        "SongInpaintSchema",
        {"lyrics": "la la", "init_audio": SOUND, "sections": [[0, 5]]},
    ),
)


@pytest.mark.parametrize("call", V7, ids=lambda call: call[2])
async def test_the_python_sdk_submits_to_models_of_others(
    box: Sandbox, call: tuple[str, str, str, str, dict[str, Any]]
) -> None:
    """It cannot fetch what they make, so the link of the ticket is asked."""
    package, provider, method, name, fields = call
    client = sdk(box)
    models = getattr(peer(f"modelslab_py.providers.{package}.api"), provider)(client=client)

    def talk() -> Any:
        ticket = getattr(models, method)(schema(f"providers.{package}.schemas", name, fields))
        client.post(ticket["fetch_result"])
        return client.post(ticket["fetch_result"])

    done = await anyio.to_thread.run_sync(talk)
    assert done["status"] == "success"
    if "time in seconds" in fields:
        assert only_job(box).seconds == 5
    assert await is_served(box, done["output"][0])


async def test_the_python_sdk_is_told_why_it_is_refused(box: Sandbox) -> None:
    client = sdk(box)
    voice = peer("modelslab_py.core.apis.audio").Audio(client=client)
    bad = schema("schemas.audio", "SFX", {**WORDS, "duration": 60})
    with pytest.raises(Exception, match=r"status code 400.*duration must be between 3 and 15"):
        await anyio.to_thread.run_sync(voice.sfx_gen, bad)
    # It has the names of fields that the page no longer has.
    old = schema("schemas.audio", "Speech2Text", {"audio_url": SOUND, "input_language": "en"})
    with pytest.raises(Exception, match=r"status code 400.*init_audio is required"):
        await anyio.to_thread.run_sync(voice.speech_to_text, old)
    client.api_key = "another"
    with pytest.raises(Exception, match=r"status code 401.*Invalid API key"):
        await anyio.to_thread.run_sync(voice.sfx_gen, bad)
    assert not box.book.debits


# --- the official command line --------------------------------------------------------------------


class CommandLine:
    """`modelslab`, with a home of its own."""

    def __init__(self, box: Sandbox, home: Path) -> None:
        peer("modelslab_cli")
        self._box, self.home = box, home

    async def __call__(self, *arguments: str) -> Any:
        """Run a command that succeeds; what it prints, as JSON."""
        common = ("--base-url", self._box.url, "--api-key", self._box.key, "--no-update-check")
        answer = await anyio.run_process(
            [sys.executable, "-m", "modelslab_cli", *common, "--output", "json", *arguments],
            env={"HOME": str(self.home), "NO_COLOR": "1"},
            cwd=self.home,
        )
        return json.loads(answer.stdout[answer.stdout.index(b"{") :])


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("music", "--prompt", "a waltz", "--duration", "3", "--model", "music_v1"), "music-gen"),
        (("sfx", "--prompt", "rain", "--model", "eleven_sound_effect"), "sound-generation"),
        (
            ("tts", "--text", "hello", "--language", "en", "--model", "eleven_multilingual_v2"),
            "text-to-speech",
        ),
    ],
    ids=["music", "sfx", "tts"],
)
async def test_the_command_line_waits_and_saves(
    box: Sandbox, tmp_path: Path, arguments: tuple[str, ...], path: str
) -> None:
    modelslab = CommandLine(box, tmp_path)
    done = await modelslab("generate", *arguments, "--output-dir", "made")
    job = only_job(box)
    assert (job.path, done["status"]) == (f"/api/v7/voice/{path}", "success")
    (file,) = (tmp_path / "made").iterdir()
    assert file.read_bytes() == box.canonical(job.id)


async def test_the_command_line_transcribes(box: Sandbox, tmp_path: Path) -> None:
    """It shows the answer to the submit; the rest is a command of its own."""
    modelslab = CommandLine(box, tmp_path)
    spoken = ("--init-audio", SOUND, "--model", "scribe_v1")
    ticket = await modelslab("generate", "stt", *spoken)
    assert (ticket["status"], only_job(box).path) == ("processing", "/api/v7/voice/speech-to-text")
    box.scenario = quick(mode="sync")
    done = await modelslab("generate", "stt", *spoken)
    assert done["status"] == "success"
    async with aiohttp.ClientSession() as http, http.get(done["output"][0]) as answer:
        assert await answer.read() == box.canonical(done["id"])


# --- agno -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mp3", "wav"])
async def test_an_agent_of_agno_is_given_a_sound(box: Sandbox, kind: str) -> None:
    box.scenario = quick(generation_seconds=0)
    tools = peer("agno.tools.models_labs").ModelsLabTools(
        box.key, file_type=peer("agno.models.response").FileType(kind)
    )
    tools.url = tools.url.replace("https://modelslab.com", box.url)
    given = await anyio.to_thread.run_sync(partial(tools.generate_media, "a waltz"))
    assert given.content.startswith(f"{kind.title()} has been generated successfully")
    (audio,) = given.audios
    assert only_job(box).path.endswith({"mp3": "/music_gen", "wav": "/sfx"}[kind])
    assert await is_served(box, audio.url)


# --- curl -----------------------------------------------------------------------------------------

# As the ModelsLab docs spell it, music-gen page of 2025; their two eras leave out what is not given
# in two ways.
DOCUMENTED = """{
    "key": "%s",
    "prompt": "rock music from the 90s",
    "init_audio": "https://files.example/melody.wav",
    "sampling_rate": 5000,
    "max_new_token": 256,
    "base64": false,
    "webhook": %s,
    "track_id": %s
}"""


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
@pytest.mark.parametrize("nothing", ["null", '""'])
async def test_curl_with_the_documented_body(box: Sandbox, nothing: str) -> None:
    async def curl(path: str, body: str) -> Any:
        head = ("--header", "Content-Type: application/json", "--data-raw", body)
        command = ["curl", "-sS", "--fail", "--location", "--request", "POST", *head]
        answer = await anyio.run_process([*command, f"{box.url}{path}"])
        return json.loads(answer.stdout)

    ticket = await curl("/api/v6/voice/music_gen", DOCUMENTED % (box.key, nothing, nothing))
    assert ticket["status"] == "processing"
    key = json.dumps({"key": box.key})
    path = f"/api/v6/voice/fetch/{ticket['id']}"
    assert (await curl(path, key))["status"] == "processing"
    done = await curl(path, key)
    assert await is_served(box, done["output"][0])
