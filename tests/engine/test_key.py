"""The API key stays at home: it is in request bodies to its one origin, and nowhere else (T01-T20).

One scanner looks for a planted key, in every spelling, in all that a run leaves behind.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import attrs
import pytest

from modelslab_async import APIError, JobFailed, ModelsLab, ModelsLabError, MusicGen
from modelslab_async._engine.secret import Secret
from modelslab_async._protocol.replies import Failed
from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.webhooks import WebhookReceiver

from ..support.quick import client_of

KEY = "canary-7Qw9-Zx31-kLmN-0pRs-tUvW-xYzA-5b6c"


def spellings(key: str) -> list[bytes]:
    raw = key.encode()
    forms = [raw, raw[::-1], raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")]
    forms += [quote(key, safe="").encode(), key.encode("utf-16-le")]
    return forms + [raw[start : start + 12] for start in range(len(raw) - 11)]


def leaks(data: bytes | str) -> bool:
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return any(form in data for form in spellings(KEY))


def everything_about(error: BaseException) -> str:
    """What a crash reporter would keep of an error: text, notes, causes, locals, attributes."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join([*report.format(), repr(error), repr(vars(error))])


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged by anybody at DEBUG, formatted with tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def fault(kind: str, **about: object) -> Scenario:
    return Scenario(echo_key=True, faults=(Fault(on="submit", kind=kind, **about),))  # type: ignore[arg-type]


ROADS = {
    "a success": Scenario(mode="sync", echo_key=True, generation_seconds=0),
    "a job that fails": Scenario(status="error", echo_key=True, generation_seconds=0),
    "a refusal": fault("answer", status=400, body=f'{{"status":"error","message":"no {KEY}"}}'),
    "a refusal in html": fault("answer", status=403, body=f"<html>{KEY}</html>"),
    "an unreadable answer": fault("answer", status=200, body=f"?? {KEY} ??"),
    "an answer that is not HTTP": fault("raw", body=f"{KEY} {KEY}\r\n\r\n"),
    "a reset": fault("reset"),
    "a reset while sending": fault("reset_in_request"),
    "silence": fault("silent"),
    "a redirect": fault("redirect", status=308, location="{foreign}/x"),
    "a compressed answer": fault("gzip"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("road", ROADS)
async def test_a_planted_key_leaves_no_trace(
    road: str, log: io.StringIO, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept: list[object] = []
    reports: list[str] = []
    async with Sandbox(key=KEY, scenario=ROADS[road]) as box:
        async with client_of(box, submit_timeout=0.3) as client:
            kept += [client, await client.balance()]
            try:
                job = await client.submit(MusicGen("quiet", max_new_token=256))
                kept += [job, job.to_json()]
                generation = await job.result()
                kept += [generation, await client.download(generation, to=tmp_path)]
            except ModelsLabError as error:
                reports.append(everything_about(error))
                kept += [error, pickle.dumps(error), str(error.job)]
        elsewhere = [record for record in box.book.requests if record.host != "api"]
        assert not any(record.has_key for record in elsewhere)
    files: list[bytes | str] = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    output = capfd.readouterr()
    sinks: list[bytes | str] = [
        log.getvalue(),
        output.out,
        output.err,
        *reports,
        *files,
        *map(repr, kept),
    ]
    sinks += [repr(vars(thing)) for thing in kept if hasattr(thing, "__dict__")]
    assert kept
    assert log.getvalue()
    assert not [sink for sink in sinks if leaks(sink)]


@pytest.mark.parametrize("spelling", spellings(KEY)[:6])
def test_the_scanner_finds_a_planted_leak(spelling: bytes) -> None:
    assert leaks(b"before " + spelling + b" after")


@pytest.mark.anyio
async def test_the_key_does_not_reach_the_argument_list() -> None:
    assert not leaks(Path("/proc/self/cmdline").read_bytes() if sys.platform == "linux" else b"")


@pytest.mark.anyio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["{foreign}/x", "{api}{path}", "//127.0.0.1:9/x", "http://user@127.0.0.1:9/", ""]
)
async def test_t02_no_redirect_of_a_keyed_request_is_followed(status: int, location: str) -> None:
    strike = Fault(on="balance", kind="redirect", status=status, location=location)
    async with Sandbox(key=KEY, scenario=Scenario(faults=(strike,))) as box:
        async with client_of(box) as client:
            with pytest.raises(ModelsLabError):
                await client.balance()
        assert [record.host for record in box.book.requests] == ["api"]


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["foreign", "legacy"])
async def test_t03_a_foreign_fetch_result_is_not_asked(host: str) -> None:
    scenario = Scenario(fetch_host=host, generation_seconds=0, eta="float")  # type: ignore[arg-type]
    async with Sandbox(key=KEY, scenario=scenario) as box:
        async with client_of(box) as client:
            await client.generate(MusicGen("quiet", max_new_token=256))
        assert box.book.count(host="foreign") == 0


def ways_to_show(secret: Secret) -> Iterator[str]:
    @attrs.define
    class Holder:
        secret: Secret

    yield from (repr(secret), str(secret), f"{secret}", f"{secret!r:>10}", "%s" % secret)  # noqa: UP031
    yield from (repr(Holder(secret)), str(attrs.asdict(Holder(secret))), repr([secret]))
    yield from (repr({"k": secret}), secret.hint[:3], secret.fingerprint, repr(dir(secret)))


def test_t01_there_are_twelve_ways_to_print_a_secret_and_none_shows_it() -> None:
    shown = list(ways_to_show(Secret(KEY)))
    assert len(shown) == 12
    assert not [text for text in shown if leaks(text)]


def test_t01_a_client_can_neither_be_pickled_nor_shown_with_its_key() -> None:
    client = ModelsLab(KEY)
    assert not leaks(repr(client) + repr(vars(client)))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client)


@pytest.mark.anyio
async def test_a_job_failure_repeats_the_servers_words_without_the_key() -> None:
    words = f"model refused {KEY}"
    scenario = Scenario(status="error", failure_message=words, generation_seconds=0, eta="float")
    async with Sandbox(key=KEY, scenario=scenario) as box, client_of(box) as client:
        with pytest.raises(JobFailed) as caught:
            await client.generate(MusicGen("quiet", max_new_token=256))
    assert caught.value.server_message == "model refused ***"


@pytest.mark.anyio
async def test_a_cancelled_submit_shows_no_key(log: io.StringIO) -> None:
    scenario = Scenario(faults=(Fault(on="submit", kind="silent", times=None),))
    async with (
        Sandbox(key=KEY, scenario=scenario) as box,
        client_of(box, submit_timeout=0.3) as client,
    ):
        task = asyncio.create_task(client.submit(MusicGen("quiet")))
        while not box.book.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert not leaks(everything_about(caught.value) + log.getvalue())


ESCAPED = {
    "JSON": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
    "JSON of one letter": lambda text: f"\\u{ord(text[0]):04x}{text[1:]}",
    "the other case": str.swapcase,
    "JSON of the other case": lambda text: "".join(f"\\u{ord(one):04X}" for one in text.swapcase()),
    "percent": lambda text: "".join(f"%{ord(one):02X}" for one in text),
    "HTML": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "cut short": lambda text: text[:20] + "...",
}


@pytest.mark.anyio
@pytest.mark.parametrize("spelled", ESCAPED.values(), ids=ESCAPED)
async def test_t42_a_key_that_shows_only_after_decoding_is_removed(spelled: Any) -> None:
    body = f'{{"status":"error","message":"no {spelled(KEY)} here"}}'
    refusal = Fault(on="submit", kind="answer", status=400, body=body)
    scenario = Scenario(faults=(refusal,))
    async with Sandbox(key=KEY, scenario=scenario) as box, client_of(box) as client:
        with pytest.raises(APIError) as caught:
            await client.submit(MusicGen("quiet", max_new_token=256))
    assert caught.value.server_message in ("no *** here", "no ***... here")


@pytest.mark.anyio
@pytest.mark.parametrize("spelled", ESCAPED.values(), ids=ESCAPED)
@pytest.mark.parametrize("own", [False, True])
async def test_t42_the_secret_of_a_webhook_is_removed_from_what_the_api_says(
    own: bool, spelled: Any
) -> None:
    receiver = WebhookReceiver("a secret of sixteen bytes", "https://me.example/hooks")
    url = "https://me.example/hook?secret=AbCd1234EfGh5678" if own else receiver.url_for(7)
    token = url.rpartition("=" if own else "/")[2]
    body = f'{{"status":"error","message":"no {spelled(token)} here"}}'
    refusal = Fault(on="submit", kind="answer", status=400, body=body)
    request = MusicGen("quiet", track_id=7, webhook=url if own else None)
    async with (
        Sandbox(scenario=Scenario(faults=(refusal,))) as box,
        client_of(box, webhook=None if own else receiver) as client,
    ):
        with pytest.raises(APIError) as caught:
            await client.submit(request)
    assert caught.value.server_message in ("no *** here", "no ***... here")


@pytest.mark.anyio
async def test_t42_a_job_of_another_process_repeats_no_token_either() -> None:
    receiver = WebhookReceiver("a secret of sixteen bytes", "https://me.example/hooks")
    words = f"could not tell {receiver.url_for(7)}"
    scenario = Scenario(status="error", failure_message=words, generation_seconds=0, eta="float")
    async with Sandbox(scenario=scenario) as box:
        async with client_of(box) as client:
            handle = (await client.submit(MusicGen("quiet", track_id=7))).to_json()
        async with client_of(box, webhook=receiver) as client:
            with pytest.raises(JobFailed) as caught:
                await client.job(handle).result()
    assert caught.value.server_message == "could not tell https://me.example/hooks/v1/7/***"


@pytest.mark.anyio
async def test_t42_a_delivery_is_kept_without_the_token_it_came_by() -> None:
    receiver = WebhookReceiver("a secret of sixteen bytes", "https://me.example/hooks")
    url = receiver.url_for(7)
    said = json.dumps({"status": "error", "id": 9, "message": f"no {url} here"})
    assert await receiver.deliver(urlsplit(url).path, said.encode()) == 200
    (kept,) = await receiver.inbox.take("7")
    assert isinstance(kept.reply, Failed)
    assert kept.reply.message == "no https://me.example/hooks/v1/7/*** here"
