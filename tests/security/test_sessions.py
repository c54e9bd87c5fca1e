"""Keyed and unkeyed traffic share nothing: no cookies, no connections, no key (T31, T32)."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from modelslab_async import MusicGen
from modelslab_async._engine import storage

from ..support.tracks import says
from .hostile import KEY, SUBMIT, Asked, Certificate, reply, staged

pytestmark = pytest.mark.anyio


async def test_t31_a_cookie_of_the_api_is_neither_sent_back_nor_passed_on(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = "Set-Cookie: planted=1; Domain=test; Path=/"

    def answer(asked: Asked) -> bytes:
        if asked.path != SUBMIT:
            return says(b'{"status": "error", "message": "no"}', planted)
        job = int(asked.fields["prompt"]) + 1
        whole = reply(status="success", id=job, output=[stage.good])
        return whole.replace(b"\r\n\r\n", f"\r\n{planted}\r\n\r\n".encode(), 1)

    async with staged(monkeypatch, certificate, answer) as stage, stage.client() as client:
        for number in range(2):
            made = await client.generate(MusicGen(f"{number}", max_new_token=256))
            await client.download(made, to=tmp_path / f"{number}.wav")
        asked = [*stage.api.asked, *stage.cdn.asked]
        assert len(asked) == 4
        assert [one for one in asked if "cookie" in one.head.lower()] == []


async def test_t32_a_file_host_sees_neither_key_nor_name_of_the_api_nor_where_we_come_from(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Asked) -> bytes:
        return reply(status="success", id=7, output=[stage.good])

    async with staged(monkeypatch, certificate, answer) as stage, stage.client() as client:
        made = await client.generate(MusicGen("quiet", max_new_token=256))
        await client.download(made, to=tmp_path / "quiet.wav")
        (asked,) = stage.cdn.asked
    assert asked.body == b""
    for word in (KEY, "api.test", "Referer", "Authorization", "Origin"):
        assert word.lower() not in asked.head.lower()


def test_t32_the_way_to_file_hosts_takes_no_key() -> None:
    """What a class is not given it cannot send."""
    parameters = inspect.signature(storage.Storage).parameters
    # A function to call with each exchange; what it does with the key is tested with recordings.
    assert set(parameters) == {"network", "policy", "allow_loopback", "record"}
    assert not [name for name in vars(storage) if "secret" in name.lower()]
