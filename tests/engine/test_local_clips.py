"""A clip to go on from that is here: as bytes, or as what a path leads to."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from modelslab_async import MusicGen, RequestError
from modelslab_async.sandbox import Sandbox, Scenario

from ..support.quick import client_of
from ..support.tracks import wav

pytestmark = pytest.mark.anyio


async def test_a_clip_of_bytes_is_sent_as_base64() -> None:
    clip = wav(20_000)
    async with (
        Sandbox(scenario=Scenario(mode="sync", generation_seconds=0)) as box,
        client_of(box) as client,
    ):
        await client.submit(MusicGen("like this", max_new_token=256, init_audio=clip))
        (job,) = box.book.jobs.values()
    assert job.request["base64"] is True
    assert base64.b64decode(job.request["init_audio"]) == clip


@pytest.mark.parametrize("kind", ["pipe", "directory"])
async def test_a_path_that_is_no_file_is_refused_and_not_waited_for(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    async with Sandbox() as box, client_of(box) as client:
        with pytest.raises(RequestError, match="not a regular file"):
            await client.submit(MusicGen("like this", init_audio=path))
        assert not box.book.requests
