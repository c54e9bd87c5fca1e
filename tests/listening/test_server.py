"""The page's server: live beside a run, durable before it acknowledges, and for its owner only."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from modelslab_async import ConfigurationError, LedgerError, MusicGen
from modelslab_async.batch import Reader, read_decisions
from modelslab_async.listening import serve
from modelslab_async.sandbox import Sandbox

from ..support.batches import pieces, quick, run
from ..support.quick import client_of
from .batches import made, served

pytestmark = pytest.mark.anyio


def decision(directory: Path, number: int = 1, **what: Any) -> dict[str, Any]:
    with Reader.open(directory) as reader:
        row = reader.row(number)
    return {"row": number, "sha256": row.sha256, "verdict": "kept", **what}


async def test_a_decision_is_in_the_file_when_it_is_acknowledged(tmp_path: Path) -> None:
    await made(tmp_path, "bells")
    async with served(tmp_path) as (url, caller):
        async with caller.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            assert "frame-ancestors" in answer.headers["Content-Security-Policy"]
        kept = decision(tmp_path, stars=5, note="yes")
        async with caller.post(f"{url}decisions", json=kept) as answer:
            assert answer.status == 204
            found = [
                (one.row, one.verdict, one.stars, one.note) for one in read_decisions(tmp_path)
            ]
        assert found == [(1, "kept", 5, "yes")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sha256": "0" * 64}, 409),
        ({"row": 7}, 409),
        ({"verdict": "maybe"}, 400),
        ({"note": "x" * 2001}, 400),
        ("nonsense", 400),
        ("[" * 5000, 400),
        ("x" * 20_000, 413),
    ],
)
async def test_what_is_no_decision_about_a_file_of_the_batch_is_refused(
    body: Any, status: int, tmp_path: Path
) -> None:
    await made(tmp_path, "bells")
    text = body if isinstance(body, str) else json.dumps(decision(tmp_path, **body))
    kind = {"Content-Type": "application/json"}
    async with (
        served(tmp_path) as (url, caller),
        caller.post(f"{url}decisions", data=text, headers=kind) as answer,
    ):
        assert answer.status == status
    assert len(read_decisions(tmp_path)) == 0


async def test_a_sound_is_the_file_of_a_row_whole_or_in_part(tmp_path: Path) -> None:
    await made(tmp_path, "bells")
    (path,) = tmp_path.glob("*.wav")
    data = path.read_bytes()
    async with served(tmp_path) as (url, caller):
        async with caller.get(f"{url}sound/1") as answer:
            assert (answer.status, answer.content_type) == (200, "audio/wav")
            assert await answer.read() == data
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        part = {"Range": "bytes=10-"}
        async with caller.get(f"{url}sound/1", headers=part) as answer:
            assert (answer.status, await answer.read()) == (206, data[10:])
            assert answer.headers["Content-Range"] == f"bytes 10-{len(data) - 1}/{len(data)}"
        async with caller.get(f"{url}sound/1", headers={"Range": "bytes=99999999-"}) as answer:
            assert answer.status == 416


async def test_nothing_is_served_but_the_files_of_done_rows(tmp_path: Path) -> None:
    await made(tmp_path, "bells", "gongs", "drums")
    first, second, third = sorted(tmp_path.glob("*.wav"))
    outside = tmp_path.parent / "secret.wav"
    outside.write_bytes(b"secret")
    async with served(tmp_path) as (url, caller):
        first.unlink()
        first.symlink_to(outside)
        second.unlink()
        os.mkfifo(second)
        third.unlink()
        third.mkdir()
        paths = ["sound/1", "sound/2", "sound/3", "sound/4", "sound/0", "sound/9" * 30]
        paths += ["sound/..%2f..%2fsecret.wav", "ledger.sqlite3", "..%2fsecret.wav", "sound/"]
        for path in paths:
            async with caller.get(URL(url + path, encoded=True)) as answer:
                assert answer.status == 404, path
                assert b"secret" not in await answer.read()


async def test_only_the_owner_is_answered(tmp_path: Path) -> None:
    await made(tmp_path, "bells")
    async with served(tmp_path) as (url, caller):
        here = url.rsplit("/", 2)[0]
        foreign = [{"Host": "evil.example"}, {"Origin": "http://evil.example"}]
        for path, headers, status in [
            (f"{here}/", {}, 404),
            (f"{here}/nonsense/", {}, 404),
            (f"{here}/nonsense/sound/1", {}, 404),
            *((url, headers, 403) for headers in foreign),
            (f"{url}sound/1", {"Sec-Fetch-Site": "cross-site"}, 403),
        ]:
            async with caller.get(path, headers=headers) as answer:
                assert answer.status == status, path
        async with caller.put(url) as answer:
            assert answer.status == 404


async def test_the_address_for_a_command_line_leads_to_the_page_once(tmp_path: Path) -> None:
    await made(tmp_path, "bells")
    async with serve(tmp_path) as page, aiohttp.ClientSession() as caller:
        assert page.url not in repr(page)
        async with caller.get(page.once) as answer:
            assert (str(answer.url), answer.status) == (page.url, 200)
        async with caller.get(page.once) as answer:
            assert answer.status == 404


async def test_a_notebook_shows_the_page_of_a_batch_also_after_its_block(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        async with client.batch(pieces(1), directory=tmp_path) as outcomes:
            page = await outcomes.listen()
            assert [outcome.row async for outcome in outcomes] == [1]
        assert f'<iframe src="{page.url}"' in page._repr_html_()
        async with aiohttp.ClientSession() as caller:
            async with caller.get(page.url) as answer:
                assert b"piece 1" in await answer.read()
            async with caller.get(f"{page.url}sound/1") as answer:
                assert answer.status == 200
            await page.close()
            with pytest.raises(aiohttp.ClientConnectorError):
                await caller.get(page.url)


async def news(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream."""
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


async def test_a_row_of_a_running_batch_arrives_when_it_is_done(tmp_path: Path) -> None:
    seen = asyncio.Event()

    async def requests() -> AsyncIterator[MusicGen]:
        for piece in pieces(3, start=2):
            yield piece
        await seen.wait()

    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(1), tmp_path)
        async with served(tmp_path) as (url, caller), caller.get(f"{url}events") as answer:
            stream = news(answer)
            event = await anext(stream)
            assert [row["state"] for row in event["rows"]] == ["done"]
            running, done = asyncio.create_task(run(client, requests(), tmp_path)), {1}
            while done != {1, 2, 3, 4} or not event["running"]:
                event = await anext(stream)
                done |= {row["row"] for row in event["rows"] if row["state"] == "done"}
            seen.set()
            while event["running"]:
                event = await anext(stream)
            await running
            last = event["seen"]
            async with caller.post(f"{url}decisions", json=decision(tmp_path, 2)) as kept:
                assert kept.status == 204
            event = await anext(stream)
            assert [(one["row"], one["verdict"]) for one in event["decisions"]] == [(2, "kept")]
            assert event["rows"] == []
            # A page that was away asks for what it does not know.
            again = {"Last-Event-ID": last}
            async with caller.get(f"{url}events", headers=again) as other:
                assert (await anext(news(other)))["rows"] == []


async def test_a_port_in_use_and_a_directory_without_a_batch_say_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no batch"):
        async with serve(tmp_path):
            pass
    await made(tmp_path, "bells")
    async with serve(tmp_path) as page:
        port = int(page.url.split(":")[2].partition("/")[0])
        with pytest.raises(ConfigurationError, match=f"port {port} .* choose another port"):
            async with serve(tmp_path, port=port):
                pass
