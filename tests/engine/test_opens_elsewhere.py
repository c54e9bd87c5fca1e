"""What is published opens in other programs: ffmpeg, libsndfile, the standard library, Chromium.

Every shape of file that the sandbox serves is downloaded once and given to each of them. They must
find all of its sound, not only take the file.
"""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import tempfile
import threading
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, get_args, get_type_hints

import anyio
import pytest
import soundfile
from attrs import evolve

from modelslab_async import SavedFile
from modelslab_async.sandbox import Scenario

from ..support.tracks import SHORT, done, track

FLOATS = {"float32", "extensible_float"}
SHAPES = [*get_args(get_type_hints(Scenario)["wav"]), "mp3", "flac"]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SavedFile]:
    """One file of each shape, as a user has it."""
    folder = tmp_path_factory.mktemp("published")

    async def download(shape: str) -> SavedFile:
        form: Any = shape if shape in ("mp3", "flac") else "wav"
        scenario = done() if form != "wav" else done(wav=shape)
        async with track(folder, scenario, evolve(SHORT, output_format=form)) as it:
            return await it.save(to=f"{shape}.{form}")

    async def download_all() -> dict[str, SavedFile]:
        return {shape: await download(shape) for shape in SHAPES}

    return anyio.run(download_all)


def is_about(seconds: float, saved: SavedFile) -> bool:
    """MP3 is padded: programs differ by a few frames about its length."""
    assert saved.seconds is not None
    return abs(seconds - saved.seconds) < 0.15


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape not in ("mp3", "flac")])
def test_d52_a_wav_opens_in_the_standard_library(
    shape: str, published: dict[str, SavedFile]
) -> None:
    """Which knows no samples but whole numbers: floats would have to be changed for it."""
    if shape in FLOATS:
        pytest.skip("the wave module reads no floating point samples")
    with wave.open(str(published[shape].path)) as reader:
        frame = reader.getnchannels() * reader.getsampwidth()
        data = reader.readframes(reader.getnframes())
    assert is_about(len(data) / frame / reader.getframerate(), published[shape])


@pytest.mark.parametrize("shape", SHAPES)
def test_d52_a_file_opens_in_libsndfile(shape: str, published: dict[str, SavedFile]) -> None:
    samples, rate = soundfile.read(published[shape].path)
    assert is_about(len(samples) / rate, published[shape])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("shape", SHAPES)
def test_d52_a_file_opens_in_ffmpeg(shape: str, published: dict[str, SavedFile]) -> None:
    saved = published[shape]
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(saved.path),
        "-ar",
        "10000",
        "-ac",
        "1",
        "-f",
        "s16le",
    ]
    run = subprocess.run([*command, "-"], capture_output=True, check=True)
    assert is_about(len(run.stdout) / 2 / 10_000, saved)
    assert run.stderr == b""


PAGE = """<script type="module">
const found = {}
for (const name of NAMES) {
  try {
    const bytes = await (await fetch(name)).arrayBuffer()
    const sound = await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes)
    const player = new Audio(name)
    await new Promise((resolve, reject) => {
      player.onloadedmetadata = resolve
      player.onerror = () => reject(player.error.message)
    })
    found[name] = [sound.duration, player.duration]
  } catch (error) { found[name] = String(error) }
}
await fetch("found", {method: "POST", body: JSON.stringify(found)})
</script>"""


@contextmanager
def site(files: Mapping[str, bytes]) -> Iterator[tuple[str, threading.Event, dict[str, Any]]]:
    """A page that plays these files and tells what it found."""
    told, found = threading.Event(), dict[str, Any]()
    page = PAGE.replace("NAMES", json.dumps(list(files))).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            body = files.get(name, page)
            self.send_response(200)
            self.send_header("Content-Type", "audio/x" if name in files else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def do_POST(self) -> None:
            found.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            told.set()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", told, found
        server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_d52_every_file_opens_in_chromium(published: dict[str, SavedFile]) -> None:
    files = {saved.path.name: saved.path.read_bytes() for saved in published.values()}
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run",
        "--autoplay-policy=no-user-gesture-required",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, site(files) as it:
        url, told, found = it
        command = [str(CHROMIUM), *options, f"--user-data-dir={profile}", url]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert told.wait(90), "the browser said nothing"
        finally:
            browser.kill()
            browser.wait()
    for saved in published.values():
        durations = found[saved.path.name]
        assert isinstance(durations, list), f"{saved.path.name}: {durations}"
        assert all(is_about(seconds, saved) for seconds in durations), saved.path.name
