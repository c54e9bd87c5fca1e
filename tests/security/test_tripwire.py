"""No answer leads a download to where it must not go (T05, T06, T07, T25, G8).

Sixty hosts, in each of the places where an answer can name one. The hostile API is met as the real
one would be; what counts is what this process connected to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen

from modelslab_async import DownloadError, JobTimeout, ModelsLab, MusicGen, OutputLost, RemoteFile
from modelslab_async._engine import storage
from modelslab_async._protocol.links import Link

from ..support.doors import receiver_of, target_of
from .hostile import FETCH, SUBMIT, WHOLE, Asked, Certificate, Stage, reply, staged

pytestmark = pytest.mark.anyio

_LITERALS = """
    127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 127.0.0.1. 127.0.0.01 0 0.0.0.0
    2130706433 017700000001 0177.0.0.1 0x7f000001 0x7f.1 0x7f.0.0.1 10.0.0.1 10.255.255.255
    100.64.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.168.1.1
    192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255
    [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1]
    [64:ff9b:1::1] [100::1] [2001::1] [2002:7f00:1::] [5f00::1] [fc00::1] [fd00:ec2::254]
    [fe80::1] [fec0::1] [ff02::1]
"""
ODD = [
    "localhost",
    "LOCALHOST",
    "user@127.0.0.1",
    "127.0.0.1%2f.cdn.test",
    "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021",
    "cdn.test\\@127.0.0.1",
]

NAMES = {
    "inside.test": ["127.0.0.2"],
    "xn--nside-6pa.test": ["127.0.0.3"],
    "office.test": ["10.1.2.3"],
    "metadata.test": ["169.254.169.254"],
    "six.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
}
HOSTS = [*_LITERALS.split(), *ODD, *NAMES]


def test_there_are_sixty_hosts() -> None:
    assert len(HOSTS) == len(set(HOSTS)) == 60


@frozen
class Place:
    """A place of an answer: the links that put an evil one there, and whether a good one is left.

    The function takes the stage and the evil link.
    """

    links: Callable[[Stage, str], dict[str, list[str]]]
    saved: bool


def _in_output(stage: Stage, evil: str) -> dict[str, list[str]]:
    return {"output": [evil], "proxy_links": [stage.good]}


def _in_proxy_links(stage: Stage, evil: str) -> dict[str, list[str]]:
    return {"output": [stage.missing], "proxy_links": [evil], "future_links": [stage.good]}


def _in_future_links(stage: Stage, evil: str) -> dict[str, list[str]]:
    return {"output": [stage.missing], "future_links": [evil]}


def _in_location(stage: Stage, evil: str) -> dict[str, list[str]]:
    hop = stage.good.replace("/good.wav", f"/hop?{evil}")
    return {"output": [hop], "proxy_links": [stage.good]}


PLACES = {
    "output": Place(_in_output, saved=True),
    "proxy_links": Place(_in_proxy_links, saved=True),
    "future_links": Place(_in_future_links, saved=False),
    "location": Place(_in_location, saved=True),
}


def number_of(asked: Asked) -> int:
    """Which host this request is about: the prompt says so, or the id."""
    if asked.path == SUBMIT:
        return int(asked.fields["prompt"])
    return int(asked.path.removeprefix(FETCH)) - 1


def evil_links(stage: Stage) -> list[str]:
    return [f"https://{host}:{stage.trap.port}/a.wav" for host in HOSTS]


async def saved_by(client: ModelsLab, number: int, folder: Path) -> bytes | None:
    """The file of one job, if it came."""
    made = await client.generate(MusicGen(f"{number}", max_new_token=256))
    try:
        saved = await client.download(made, to=folder / f"{number}.wav")
    except DownloadError:
        return None
    return saved.path.read_bytes()


@pytest.mark.parametrize("name", PLACES)
async def test_t05_t07_no_place_of_an_answer_leads_to_a_forbidden_address(
    name: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = PLACES[name]

    def answer(asked: Asked) -> bytes:
        number = number_of(asked)
        links = place.links(stage, evil_links(stage)[number])
        return reply(status="success", id=number + 1, **links)

    async with staged(monkeypatch, certificate, answer, NAMES) as stage, stage.client() as client:
        for number in range(len(HOSTS)):
            found = await saved_by(client, number, tmp_path)
            assert found == (WHOLE if place.saved else None), HOSTS[number]
            assert stage.strayed == [], HOSTS[number]
        stage.assert_nobody_strayed()


async def test_t05_links_of_an_unfinished_job_are_not_looked_at_where_they_must_not(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path == SUBMIT:
            number = number_of(asked)
            evil = evil_links(stage)[number]
            later = {"future_links": [evil], "output": [evil], "proxy_links": [evil]}
            return reply(status="processing", id=number + 1, eta=0, **later)
        job = asked.path.removeprefix(FETCH)
        if sum(one.path == asked.path for one in stage.api.asked) < 3:
            return reply(status="processing", id=job)
        return reply(status="success", id=job, output=[])

    patient = {"timeout": 0.1}
    async with (
        staged(monkeypatch, certificate, answer, NAMES) as stage,
        stage.client(**patient) as client,
    ):
        async with anyio.create_task_group() as group:
            for number in range(len(HOSTS)):
                group.start_soon(_watched_until_the_end, client, number)
        assert len(stage.paths) == 1 + len(HOSTS)
        stage.assert_nobody_strayed()


async def _watched_until_the_end(client: ModelsLab, number: int) -> None:
    job = await client.submit(MusicGen(f"{number}", max_new_token=256))
    with pytest.raises((JobTimeout, OutputLost)):  # whichever is first on this machine
        await job.result()


async def test_t25_no_payload_of_a_webhook_leads_anywhere(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: set[str] = set()

    def answer(asked: Asked) -> bytes:
        if asked.path == SUBMIT:
            return reply(status="processing", id=number_of(asked) + 1, eta=600)
        job = asked.path.removeprefix(FETCH)
        if job not in told:
            return reply(status="processing", id=job)
        return reply(status="success", id=job, output=[stage.good])

    receiver = receiver_of()
    async with (
        staged(monkeypatch, certificate, answer, NAMES) as stage,
        stage.client(webhook=receiver) as client,
    ):
        for number, evil in enumerate(evil_links(stage)):
            job = await client.submit(MusicGen(f"{number}", max_new_token=256))
            spoof: dict[str, Any] = {"status": "success", "id": job.id, "fetch_result": evil}
            spoof |= {"output": [evil], "proxy_links": [evil], "future_links": [evil]}
            target = target_of(receiver, job.track_id or "")
            told.add(job.id)
            assert await receiver.deliver(target, json.dumps(spoof).encode()) == 200
            saved = await client.download(await job.result(), to=tmp_path / f"{number}.wav")
            assert saved.path.read_bytes() == WHOLE
        stage.assert_nobody_strayed()


async def test_without_the_guard_the_wire_would_be_tripped(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> bytes:
        number = number_of(asked)
        return reply(status="success", id=number + 1, output=[evil_links(stage)[number]])

    tripped = set()
    async with staged(monkeypatch, certificate, answer, NAMES) as stage, stage.client() as client:
        monkeypatch.setattr(storage, "forbidden_address", lambda *_, **__: False)
        monkeypatch.setattr(storage, "read_link", _any_link)
        for number, host in enumerate(HOSTS):
            before = len(stage.strayed)
            await saved_by(client, number, tmp_path)
            if len(stage.strayed) > before:
                tripped.add(host)
        assert stage.trap.caught > 4
    assert {"127.0.0.1", "10.0.0.1", "[::1]", "inside.test", "office.test"} <= tripped
    assert len(tripped) > 40


def _any_link(url: str, **_: object) -> Link:
    authority, path = url.removeprefix("https://").split("/", 1)
    host, port = authority.rsplit(":", 1)
    return Link("https", host.strip("[]"), int(port), authority, f"/{path}")


# T06: a name that leads somewhere else the next time

PUBLIC = "93.184.215.14"


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"])
async def test_t06_of_the_addresses_of_a_name_only_the_public_ones_are_tried(
    inside: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"both.test": [PUBLIC, inside]}
    async with staged(monkeypatch, certificate, lambda _: b"", names) as stage:
        link = f"https://both.test:{stage.trap.port}/a.wav"
        async with stage.client() as client:
            with pytest.raises(DownloadError):
                await client.download(RemoteFile((link,)), to=tmp_path / "a.wav")
        assert {ip for ip, _ in stage.connected} <= {PUBLIC}
        assert stage.trap.caught == 0


async def test_t06_a_name_that_led_outside_and_now_leads_inside_is_not_followed(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"turning.test": [PUBLIC]}
    async with staged(monkeypatch, certificate, lambda _: b"", names) as stage:
        link = RemoteFile((f"https://turning.test:{stage.trap.port}/a.wav",))
        for address in (PUBLIC, "127.0.0.9"):
            names["turning.test"][:] = [address]
            async with stage.client() as client:
                with pytest.raises(DownloadError):
                    await client.download(link, to=tmp_path / "a.wav")
        assert {ip for ip, _ in stage.connected} == {PUBLIC}
        assert stage.trap.caught == 0
