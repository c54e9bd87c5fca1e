"""The package where it did not choose to be: interpreters, locales, homes, careless callers."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.forking import complaints

A_FILE = """
import asyncio, sys
from modelslab_async import ModelsLab, MusicGen
from modelslab_async.sandbox import Sandbox, Scenario

async def main():
    async with Sandbox(scenario=Scenario(generation_seconds=0.1, eta="float")) as box:
        async with ModelsLab(box.key, base_url=box.url) as client:
            request = MusicGen("rain", max_new_token=256, sampling_rate=10000)
            async with client.batch([request], directory="out") as outcomes:
                async for outcome in outcomes:
                    same = outcome.saved[0].path.read_bytes() == box.canonical(outcome.job_id)
                    print("whole" if same else "not whole", len(box.book.debits))
"""
RUN = A_FILE + "\nasyncio.run(main())\n"
# The files of Python and of packages are replaced by an upgrade, or there are no descriptors left.
REPLACED = """
import asyncio, io, json, sys, tempfile, wave
from pathlib import Path
from modelslab_async import ModelsLab, MusicGen, PollPolicy

file = io.BytesIO()
with wave.open(file, "wb") as writer:
    writer.setnchannels(1), writer.setsampwidth(2), writer.setframerate(9000)
    writer.writeframes(bytes(9000))

class Gone:
    def find_spec(self, name, path=None, target=None):
        raise ImportError(f"{name} is not there any more")

def answer(path, url):
    if "/fetch/" in path:
        return json.dumps({"status": "success", "id": 101, "output": [f"{url}/a.wav"]}).encode()
    return file.getvalue() if path.endswith(".wav") else ANSWER

async def serve(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    if b"music_gen" in head and not isinstance(sys.meta_path[0], Gone):
        sys.meta_path.insert(0, Gone())
    await reader.readexactly(int((head.lower().split(b"content-length: ") + [b"0"])[1].split()[0]))
    port = writer.get_extra_info("sockname")[1]
    body = answer(head.split()[1].decode(), f"http://127.0.0.1:{port}")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    quick = PollPolicy(first=0.02, min_interval=0.02)
    async with ModelsLab("k" * 20, base_url=url, poll=quick) as client:
        if sys.argv[1] == "generate":
            generation = await client.generate(MusicGen("rain"))
            print((await client.download(generation, to=".")).path.name)
        else:
            async with client.batch([MusicGen("rain")], directory="out") as outcomes:
                async for outcome in outcomes:
                    print(type(outcome).__name__)

asyncio.run(main())
"""
TICKET = b'{"status": "processing", "id": 101, "eta": 0.01}'
ANSWERS = {
    "plain": TICKET,
    "a mark": b"\xef\xbb\xbf" + TICKET,
    "UTF-16": TICKET.decode().encode("utf-16"),
    "UTF-16 without a mark": TICKET.decode().encode("utf-16-be"),
    "UTF-32": TICKET.decode().encode("utf-32"),
    "Latin-1": TICKET[:-1] + b', "message": "caf\xe9"}',
    "gzip": gzip.compress(TICKET),
    "a notice": b"<br />\n<b>Notice</b>: x in y on line <b>3</b><br />\n" + TICKET,
}
FORGOTTEN = """
import asyncio, gc, warnings
from modelslab_async import ModelsLab, MusicGen
from modelslab_async.sandbox import Sandbox, Scenario

async def main():
    async with Sandbox(scenario=Scenario(generation_seconds=60)) as box:
        client = ModelsLab("a-key-that-must-not-be-shown", base_url=box.url)
        await client.__aenter__()
        balance = asyncio.ensure_future(client.balance())
        await asyncio.sleep(0)
    print("left")

asyncio.run(main())
gc.collect()
print("ended")
"""


def run(
    code: str, folder: Path, *flags: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A program in another interpreter that finds this package, in an empty folder."""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (("-O",), {}),
        (("-X", "dev", "-W", "error"), {}),
        ((), {"AIOHTTP_NO_EXTENSIONS": "1"}),
        ((), {"LC_ALL": "C", "PYTHONUTF8": "0"}),
        ((), {"HOME": "/nonexistent"}),
        ((), {"PYTHONHASHSEED": "1"}),
    ],
    ids=["optimised", "dev mode", "no C extensions", "locale C", "no home", "hash seed"],
)
def test_x18_and_x19_a_file_is_made_in_any_interpreter(
    flags: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    done = run(RUN, tmp_path, *flags, **environment)
    assert (done.stdout, complaints(done.stderr)) == ("whole 1\n", [])


@pytest.mark.parametrize(("how", "printed"), [("generate", "101.wav\n"), ("batch", "Succeeded\n")])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_x26_nothing_is_loaded_any_more_when_an_answer_is_paid_for(
    how: str, printed: str, answer: bytes, tmp_path: Path
) -> None:
    code = REPLACED.replace("ANSWER", repr(answer)).replace("sys.argv[1]", repr(how))
    done = run(code, tmp_path)
    assert (done.stdout, complaints(done.stderr)) == (printed, [])


def test_x19_a_file_is_made_on_uvloop(tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    done = run(A_FILE + "\nimport uvloop\nuvloop.run(main())\n", tmp_path)
    assert (done.stdout, complaints(done.stderr)) == ("whole 1\n", [])


def test_x06_and_x21_a_client_that_is_never_closed_lets_its_program_end(tmp_path: Path) -> None:
    done = run(FORGOTTEN, tmp_path)
    assert done.stdout == "left\nended\n"
    assert "must-not-be-shown" not in done.stderr
