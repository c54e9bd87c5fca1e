"""The key leaves no trace in any of twelve sinks (G7; T01, T17, T18, T19, T20, T24).

A run does all that a user does: asks for the balance, submits, waits, downloads, runs a batch, is
told by webhook. Meanwhile the server repeats the key in every spelling, or what it says is broken.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve

from modelslab_async import ModelsLab, ModelsLabError, MusicGen
from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.webhooks import SqliteInbox, WebhookReceiver

from ..cli.test_cli import environment
from ..support.batches import pieces
from ..support.forking import forked
from ..support.quick import POLL, SOON_GIVEN_UP, client_of, free_port
from .canary import SINKS, Canary, Watch

SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "reversed": lambda key: key[::-1],
    "hex": lambda key: key.encode().hex(),
    "quoted": lambda key: quote(key, safe=""),
    "html": html.escape,
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of more": lambda key: base64.b64encode(f'{{"key":"{key}"}}'.encode()).decode(),
    "a piece": lambda key: f"{key[3:25]}...",
    "utf-16": lambda key: key.encode("utf-16-le").decode("latin-1"),
}
WIRE_FAULTS = [
    *("cut_headers", "cut_body", "chunked_cut", "bad_chunk", "two_lengths", "garbage"),
    *("gzip", "html", "xml"),
]
WIRE = """HTTP/1.1 200 KEY\r\nX-KEY: KEY\r\nLocation: https://KEY@evil.example/KEY\r\nETag: KEY\r
Set-Cookie: KEY=KEY; Domain=KEY\r\nRetry-After: KEY\r\nContent-Type: KEY; charset=KEY\r
Content-Encoding: KEY\r\nContent-Length: 46\r\n\r\nKEY"""


def wherever(**about: Any) -> tuple[Fault, ...]:
    """The same fault at every question, twice."""
    places: tuple[Any, ...] = ("submit", "fetch", "balance", "request_count", "assets")
    return tuple(Fault(on=place, times=2, **about) for place in places)


def scenario(*faults: Fault, **fields: Any) -> Scenario:
    quick = {"generation_seconds": 0.01, "eta": "float", "fetch_meta": True, "echo_key": True}
    return Scenario(**{**quick, **fields}, faults=faults)


def roads(key: str) -> dict[str, Scenario]:
    """All that may happen, by name."""
    found = {"nothing goes wrong": scenario(), "at once": scenario(mode="sync")}
    for name, spelled in SPELLINGS.items():
        words = json.dumps({"status": "error", "message": f"no {spelled(key)} here"})
        refused = wherever(kind="answer", status=400, body=words)
        failed = {"status": "error", "failure_message": f"failed {spelled(key)}"}
        found[f"refused, {name}"] = scenario(*refused)
        found[f"failed, {name}"] = scenario(**failed)
    for kind in WIRE_FAULTS:
        found[kind] = scenario(*wherever(kind=kind))
    found["on the wire"] = scenario(*wherever(kind="raw", body=WIRE.replace("KEY", key)))
    page = f"<html>{key}</html>" * 100
    found["a page"] = scenario(*wherever(kind="answer", status=500, body=page))
    found["half an object"] = scenario(*wherever(kind="answer", body=f'{{"id": 7, "key": "{key}'))
    links = {"output": [f"http://127.0.0.1:9/{quote(key)}"], "proxy_links": [f"https://{key}@x/"]}
    found["links"] = scenario(*wherever(kind="patch", body=json.dumps({"patch": links})))
    missing = Fault(on="download", kind="answer", status=404, body=f"no {key}", times=None)
    found["no file"] = scenario(missing)
    return found


ROADS = list(roads("x" * 40))


class User:
    """Does all that a user does, and keeps whatever comes of it."""

    def __init__(self, client: ModelsLab, watch: Watch, folder: Path) -> None:
        self._client = client
        self._watch = watch
        self._folder = folder

    async def everything(self) -> None:
        self._watch.keep(self._client)
        for step in (self._ask, self._make, self._make_many, self._be_cancelled):
            try:
                await step()
            except ModelsLabError as error:
                self._watch.caught(error)
                self._watch.keep(error.job)

    async def _ask(self) -> None:
        self._watch.keep(await self._client.balance())
        self._watch.keep(await self._client.queue_depth())

    async def _make(self) -> None:
        job = await self._client.submit(MusicGen("bells", max_new_token=256, sampling_rate=10000))
        self._watch.keep(job)
        self._watch.reports.append(job.to_json())
        made = await job.result(20)
        self._watch.keep(made)
        saved = await self._client.download(
            made, to=self._folder / "one", progress=lambda *_: self._watch.look()
        )
        self._watch.keep(saved)

    async def _make_many(self) -> None:
        async with self._client.batch(pieces(2), directory=self._folder / "many") as outcomes:
            async for outcome in outcomes:
                self._watch.look()
                self._watch.keep(outcome)

    async def _be_cancelled(self) -> None:
        task = asyncio.create_task(
            self._client.submit(MusicGen("gone", max_new_token=256, sampling_rate=10000))
        )
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            self._watch.caught(error)


@asynccontextmanager
async def told(folder: Path) -> AsyncIterator[WebhookReceiver]:
    port = free_port()
    async with SqliteInbox(folder / "inbox.sqlite3") as inbox:
        url = f"http://127.0.0.1:{port}"
        receiver = WebhookReceiver("a secret of sixteen bytes", url, inbox=inbox)
        async with receiver.serve(port=port):
            yield receiver


@pytest.mark.anyio
@pytest.mark.parametrize("road", ROADS)
async def test_no_sink_has_the_key(road: str, watch: Watch, tmp_path: Path) -> None:
    canary = Canary()
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # each step of each task is logged
    with watch.on():
        async with (
            told(tmp_path) as receiver,
            Sandbox(roads(canary.key)[road], key=canary.key) as box,
            client_of(
                box,
                submit_timeout=1.0,
                timeout=2.0,
                poll=evolve(POLL, patience=1.0),  # a lost answer waits so long for its webhook
                download=SOON_GIVEN_UP,
                webhook=receiver,
            ) as client,
        ):
            await User(client, watch, tmp_path).everything()
            watch.keep(receiver)
        loop.set_debug(False)
    sinks = watch.sinks()
    assert canary.found_in(sinks) == set()
    assert set(sinks) == set(SINKS)
    assert {name for name in ("logs", "repr", "ledger") if not sinks[name]} == set()
    assert box.book.key_seen_on() == {"api"}


# The command as a process


async def processes(box: Sandbox, folder: Path, key: str) -> AsyncIterator[tuple[str, bytes]]:
    """What commands say, with all that Python has to say about them in its most talkative mode."""
    env = environment(folder, MODELSLAB_BASE_URL=box.url)
    (folder / "key").write_text(key)
    (folder / "key").chmod(0o600)
    (folder / "songs.txt").write_text("bells\nsitar\n")
    for arguments in (
        ("balance", "-vv"),
        ("generate", "sitar", "--json", "-vv"),
        ("batch", "songs.txt", "-o", "many", "--yes", "-vv"),
        ("status", "many", "--json"),
        ("config", "show"),
    ):
        words = [*arguments, *(() if arguments[0] == "status" else ("--api-key-file", "key"))]
        done = await asyncio.to_thread(forked, words, folder, env, "", "-X", "dev")
        yield f"{arguments[0]} says", done.stdout.encode()
        yield f"{arguments[0]} warns", done.stderr.encode()


@pytest.mark.anyio
@pytest.mark.parametrize("road", ["nothing goes wrong", "failed, plain"])
async def test_t19_no_command_shows_the_key_of_a_file(road: str, tmp_path: Path) -> None:
    canary = Canary()
    async with Sandbox(roads(canary.key)[road], key=canary.key) as box:
        said = [pair async for pair in processes(box, tmp_path, canary.key)]
    assert [name for name, text in said if canary.is_in(text)] == []
    assert sum(len(text) for _, text in said) > 1000
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "key"]
    assert [path.name for path in left if canary.is_in(path.read_bytes())] == []
