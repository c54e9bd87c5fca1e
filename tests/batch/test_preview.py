"""What a notebook shows of files and batches on a real disk."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from attrs import evolve

from modelslab_async import MusicGen, SavedFile, Succeeded
from modelslab_async._policy.preview import MAX_HTML
from modelslab_async.sandbox import Sandbox

from ..policy.test_preview import HOSTILE, Page
from ..support.batches import pieces, quick, run
from ..support.quick import client_of

pytestmark = pytest.mark.anyio


def page_of(shown: object) -> Page:
    """What a notebook calls, and the bound that holds for all of it."""
    text = shown._repr_html_()  # type: ignore[attr-defined]
    assert len(text.encode()) <= MAX_HTML
    return Page(text)


async def one(box: Sandbox, directory: Path) -> SavedFile:
    async with client_of(box) as client:
        saved = await client.generate("bells", max_new_token=256, to=directory / "bells.wav")
    assert isinstance(saved, SavedFile)
    return saved


async def test_a_saved_file_is_a_player(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        saved = await one(box, tmp_path)
    page = page_of(saved)
    assert [tag for tag, _ in page.elements].count("audio") == 1
    assert str(saved.path) in page.text


async def test_a_file_that_has_gone_or_changed_or_is_none_any_more_says_so(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        saved = await one(box, tmp_path)
    data = saved.path.read_bytes()
    saved.path.write_bytes(data + b"\0")
    assert "has changed since it was saved" in page_of(saved).text
    saved.path.unlink()
    assert "is no longer there" in page_of(saved).text
    saved.path.mkdir()
    assert "has changed since it was saved" in page_of(saved).text
    saved.path.rmdir()
    os.mkfifo(saved.path)
    assert "has changed since it was saved" in page_of(saved).text
    saved.path.unlink()
    saved.path.symlink_to("elsewhere")
    assert "cannot be read" in page_of(saved).text
    assert "cannot be read" in page_of(evolve(saved, path=Path("nul\0"))).text


async def test_a_file_of_half_a_gigabyte_costs_a_few_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(quick()) as box:
        saved = await one(box, tmp_path)
    size = 500_000_000
    with saved.path.open("r+b") as file:
        file.seek(4)
        file.write((size - 8).to_bytes(4, "little"))
        file.seek(40)
        file.write((size - 44).to_bytes(4, "little"))
        file.truncate(size)
    read, pread = [], os.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        read.append(count)
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", counted)
    page = page_of(evolve(saved, size=size, seconds=3000.0))
    assert 0 < sum(read) < 6_000_000
    assert "3000.0 s" in page.text
    assert "as an 8-bit preview" in page.text


async def test_an_error_of_the_disk_is_a_line_and_not_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(quick()) as box:
        saved = await one(box, tmp_path)

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert "no preview" in page_of(saved).text


async def test_a_batch_shows_counts_and_its_first_files_before_during_and_after(
    tmp_path: Path,
) -> None:
    requests = [MusicGen(HOSTILE, max_new_token=256, sampling_rate=10_000), *pieces(5)]
    async with Sandbox(quick()) as box, client_of(box) as client:
        batch = client.batch(requests, directory=tmp_path)
        assert "there is no batch in" in page_of(batch).text
        async with batch as outcomes:
            shown = [page_of(batch).text async for _ in outcomes]
        page, found = page_of(batch), await run(client, requests, tmp_path)
    assert len(shown) == 6
    assert all("Batch in" in text for text in shown)
    assert f"Batch in {tmp_path}: 6 done" in page.text
    assert [tag for tag, _ in page.elements].count("audio") == 3
    assert "script" not in [tag for tag, _ in page.elements]
    assert "<script>alert(1)</script>" in page.text
    assert "and 3 more files" in page.text
    assert found == []


async def test_the_outcome_of_a_row_is_a_player_with_its_id(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        [outcome] = await run(client, pieces(1), tmp_path)
    assert isinstance(outcome, Succeeded)
    page = page_of(outcome)
    assert page.text.startswith(outcome.id)
    assert len(page.sources) == 1


async def test_an_edited_ledger_shows_no_file_of_another_place(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of another place")
    directory = tmp_path / "out"
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(1), directory)
        size = secret.stat().st_size
        with sqlite3.connect(directory / "ledger.sqlite3") as db:
            db.execute("UPDATE rows SET path = ?, size = ?", (str(secret), size))
        db.close()
        page = page_of(client.batch(None, directory=directory))
    assert "a secret" not in page.text
    assert "is no longer there" in page.text
