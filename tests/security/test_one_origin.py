"""The key goes to one origin, whatever that origin says (T02, T03, T04, T08, T09, G8).

Each answer tries to take the keyed request, or the next one, somewhere else or to another path.
"""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelslab_async import (
    JobStatus,
    ModelsLab,
    ModelsLabError,
    MusicGen,
    SubmitUnknown,
    TransportError,
)

from ..support.tracks import says
from .hostile import FETCH, KEY, SUBMIT, Asked, Certificate, Stage, in_raw, reply, staged

pytestmark = pytest.mark.anyio

EVIL = {"evil.test": ["127.0.0.2"]}


# T02: redirects

LOCATIONS: dict[str, Callable[[Stage], str]] = {
    "same host": lambda stage: f"{stage.base_url}/api/again",
    "other host": lambda stage: f"https://evil.test:{stage.trap.port}/",
    "other port": lambda stage: f"https://api.test:{stage.trap.port}/",
    "http": lambda stage: f"http://api.test:{stage.trap.port}/",
    "user": lambda stage: f"https://api.test:{stage.api.place[1]}@127.0.0.3:{stage.trap.port}/",
    "protocol-relative": lambda stage: f"//evil.test:{stage.trap.port}/",
}


async def ask_all(client: ModelsLab, answer: type[ModelsLabError]) -> None:
    """A submit, a poll, and a question about the account; none is answered."""
    with pytest.raises(answer):
        await client.submit(MusicGen("quiet", max_new_token=256))
    assert await client.job(7).refresh() is JobStatus.PROCESSING
    with pytest.raises(ModelsLabError):
        await client.balance()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", LOCATIONS)
async def test_t02_no_keyed_post_is_redirected(
    location: str, status: int, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Asked) -> bytes:
        target = LOCATIONS[location](stage)
        return says(b"", f"Location: {target}", status=f"{status} Moved")

    async with staged(monkeypatch, certificate, answer, EVIL) as stage, stage.client() as client:
        await ask_all(client, SubmitUnknown)
        asked = [one.path for one in stage.api.asked]
        assert asked == [SUBMIT, f"{FETCH}7", "/api/wallet_balance"]
        stage.assert_nobody_strayed()


@pytest.mark.parametrize("location", ["other host", "other port", "http", "user"])
async def test_a_client_that_follows_redirects_is_caught(
    location: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Asked) -> bytes:
        return says(b"", f"Location: {LOCATIONS[location](stage)}", status="307 Moved")

    async with (
        staged(monkeypatch, certificate, answer, EVIL) as stage,
        aiohttp.ClientSession() as naive,
    ):
        with contextlib.suppress(aiohttp.ClientError):
            await naive.post(stage.base_url, json={"key": KEY})
        assert stage.strayed != []
        assert stage.trap.caught > 0


# T03, T04: where an answer says to ask next

_FETCH = "/api/v6/voice/fetch/7"
FETCH_RESULTS = [
    *("", "x", _FETCH, "//evil.test:{trap}" + _FETCH, "http://api.test:{api}" + _FETCH),
    *(f"https://evil.test:{{trap}}{_FETCH}", f"https://127.0.0.4:{{trap}}{_FETCH}"),
    *(f"https://api.test:{{trap}}{_FETCH}", f"https://api.test{_FETCH}"),
    *(
        f"https://api.test:{{api}}@evil.test:{{trap}}{_FETCH}",
        f"https://u@api.test:{{api}}{_FETCH}",
    ),
    *(
        f"https://evil.test:{{trap}}\\@api.test:{{api}}{_FETCH}",
        f"https://API.TEST.:{{api}}{_FETCH}",
    ),
    *(
        f"https://evil.test:{{trap}}#@api.test:{{api}}{_FETCH}",
        f"https://api.test:{{api}}/{_FETCH}",
    ),
    *(f"https://[::1]:{{trap}}{_FETCH}", f"https://[::ffff:7f00:1]:{{trap}}{_FETCH}"),
    *(f"https://2130706433:{{trap}}{_FETCH}", f"https://\u2460\u2461\u2466.0.0.1:{{trap}}{_FETCH}"),
    *(f"ftp://api.test:{{api}}{_FETCH}", f"file://{_FETCH}", f"javascript:{_FETCH}"),
    "https://api.test:{api}/api/v6/voice/fetch/../../../buy_subscription",
    "https://api.test:{api}/api/v6/voice/fetch/%2e%2e/%2e%2e/buy_subscription",
    "https://api.test:{api}/api/v6/voice/fetch/..%2f..%2fbuy_subscription",
    "https://api.test:{api}/api/buy_subscription",
    "https://api.test:{api}/api/v6/voice/music_gen",
    "https://api.test:{api}/api/v6/voice/fetch/7/extra",
    "https://api.test:{api}/api/v6/voice/fetch/7?to=https://evil.test",
    "https://api.test:{api}/api/v6/voice/fetch/7#evil",
    "https://api.test:{api}/api/v6/voice/fetch/7;evil",
    "https://api.test:{api}/api/v6/voice/fetch/7\r\nX-Evil: 1",
    "https://api.test:{api}/api/v6/voice/fetch/7\x00",
    "https://api.test:{api}/api/v6/voice/fetch/" + "7" * 5000,
    "https://api.test:{api}/api/v3/dreambooth/fetch/7",
    "https://api.test:{api}/api/v6/voice/fetch/",
    " https://api.test:{api}/api/v6/voice/fetch/7 x",
    "https://api.test:{api}\t/api/v6/voice/fetch/7",
    "https://api.test:{api}/api/v6/voice/fetch/\u0661",
    "https://api.test:{api}/api/v6/voice/fetch/\ud800",
]


def test_there_are_forty_links_to_ask_at() -> None:
    assert len(FETCH_RESULTS) == len(set(FETCH_RESULTS)) == 40


def aimed(text: str, stage: Stage) -> str:
    return text.replace("{trap}", f"{stage.trap.port}").replace("{api}", f"{stage.api.place[1]}")


async def test_t03_no_fetch_result_moves_the_next_question(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path == SUBMIT:
            number = int(asked.fields["prompt"])
            link = aimed(FETCH_RESULTS[number], stage)
            return reply(status="processing", id=1000 + number, eta=0, fetch_result=link)
        return reply(status="success", id=asked.path.removeprefix(FETCH), output=[stage.good])

    async with staged(monkeypatch, certificate, answer, EVIL) as stage, stage.client() as client:
        for number in range(len(FETCH_RESULTS)):
            made = await client.generate(MusicGen(f"{number}", max_new_token=256))
            assert made.id == f"{1000 + number}", FETCH_RESULTS[number]
        wanted = {f"{FETCH}{1000 + number}" for number in range(len(FETCH_RESULTS))}
        assert stage.paths == {SUBMIT, *wanted}
        stage.assert_nobody_strayed()


IDS = [
    *('""', '"."', '".."', '"../../../buy_subscription"', '"..%2f..%2fbuy_subscription"'),
    *('"%2e%2e"', '"7/../../../../buy_subscription"', '"7/"', '"/7"', '"7?x"', '"7#x"', '"7;x"'),
    *('"7\\r\\nX-Evil: 1"', '"7\\u0000"', '"\\u0661"', '"\\ud800"'),
    *('"' + "7" * 10_000 + '"', "9" * 5000, "-7", "true", "NaN"),
]


def test_there_are_twenty_one_ids() -> None:
    assert len(IDS) == len(set(IDS)) == 21


async def test_t04_no_id_moves_the_next_question(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path != SUBMIT:
            return reply(status="error", message="Request not found")
        job = IDS[int(asked.fields["prompt"])]
        return in_raw(f'{{"status": "processing", "id": {job}, "eta": 0}}')

    async with staged(monkeypatch, certificate, answer) as stage, stage.client() as client:
        for number in range(len(IDS)):
            with pytest.raises(SubmitUnknown):
                await client.submit(MusicGen(f"{number}", max_new_token=256))
        assert [asked.path for asked in stage.api.asked] == [SUBMIT] * len(IDS)
        stage.assert_nobody_strayed()


# T08: what the environment says


async def test_t08_nothing_of_the_environment_leads_elsewhere(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password hidden\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    def answer(_: Asked) -> bytes:
        return reply(status="success", id=7, output=[stage.good])

    async with staged(monkeypatch, certificate, answer) as stage:
        for name in ("http", "https", "all", "ws", "wss"):
            for spelling in (f"{name}_proxy", f"{name}_PROXY".upper()):
                monkeypatch.setenv(spelling, f"http://127.0.0.5:{stage.trap.port}")
        async with stage.client() as client:
            made = await client.generate(MusicGen("quiet", max_new_token=256))
            await client.download(made, to=tmp_path / "quiet.wav")
        heads = [asked.head.lower() for asked in (*stage.api.asked, *stage.cdn.asked)]
        assert len(heads) == 2
        assert not [head for head in heads if "authorization" in head]
        stage.assert_nobody_strayed()


# T09: a server that cannot prove who it is

_AUTHORITY = """
[ca]
default_ca = own
[own]
new_certs_dir = {folder}
database = {folder}/index
serial = {folder}/serial
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:api.test,DNS:cdn.test
"""


def expired(folder: Path) -> Certificate:
    """A certificate that was good for one day in the year 2000."""
    folder.mkdir()
    (folder / "config").write_text(_AUTHORITY.format(folder=folder))
    (folder / "index").touch()
    (folder / "serial").write_text("01")
    key, request, made = folder / "key", folder / "request", folder / "made"
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test"
    run(f"openssl req -new {kind} -keyout {key} -out {request}")
    then = "-startdate 20000101000000Z -enddate 20000102000000Z"
    files = f"-config {folder}/config -keyfile {key} -in {request} -out {made}"
    run(f"openssl ca -batch -selfsign -notext {then} {files}")
    (folder / "both.pem").write_text(key.read_text() + made.read_text())
    return Certificate(folder / "both.pem")


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


def of_another_host(folder: Path) -> Certificate:
    folder.mkdir()
    return Certificate.made(folder / "both.pem", "subjectAltName=DNS:other.test")


@pytest.mark.parametrize("made", [expired, of_another_host])
async def test_t09_no_key_is_sent_to_a_host_with_a_bad_certificate(
    made: Callable[[Path], Certificate],
    certificate: Certificate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = made(tmp_path / "tls")
    async with staged(monkeypatch, bad, lambda _: b"") as stage, stage.client() as client:
        await ask_all(client, TransportError)
        assert stage.api.asked == []


def test_t09_the_default_way_to_tls_checks_names_and_takes_nothing_below_1_2() -> None:
    connector_of: Any = aiohttp.connector
    context: ssl.SSLContext = connector_of._SSL_CONTEXT_VERIFIED
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
