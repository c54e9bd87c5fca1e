"""The preview that a notebook shows of a file plays in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from modelslab_async import MusicGen
from modelslab_async.sandbox import Sandbox

from ..support.batches import quick
from ..support.quick import client_of
from .browsers import browser

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

_PLAYS = """
(() => {
    const player = document.querySelector("audio");
    if (player.error) throw new Error(player.error.message);
    player.muted = true;
    player.play();
    return player.currentTime > 0.2;
})()
"""


@pytest.mark.parametrize("format_", ["wav", "mp3"])
async def test_the_preview_of_a_saved_file_plays(
    tmp_path: Path, format_: Literal["wav", "mp3"]
) -> None:
    request = MusicGen("waltz", max_new_token=256, output_format=format_)
    async with Sandbox(quick()) as box, client_of(box) as client:
        saved = await client.generate(request, to=tmp_path / f"waltz.{format_}")
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{saved._repr_html_()}")
    async with browser("chromium") as tab:
        await tab.go(page.as_uri())
        await tab.until(_PLAYS)
