"""What the page is told of a batch, and that no text of it becomes code."""

from __future__ import annotations

import json
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import LedgerError
from modelslab_async.batch import Decision, Reader, write_decisions
from modelslab_async.listening import write_page
from modelslab_async.listening._facts import money_of
from modelslab_async.listening._page import PAGE_NAME

from .batches import HOSTILE, made

pytestmark = pytest.mark.anyio
REFUSAL = "</script><b>no</b> \u202e bass is too loud"


class Parsed(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        about = dict(attrs)
        if about.get("http-equiv") == "Content-Security-Policy":
            self.policy = about["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts.append(data)

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.scripts[0]))


def page_of(directory: Path) -> Parsed:
    path = write_page(directory)
    assert path == directory / PAGE_NAME
    return Parsed(path.read_bytes().decode("ascii"))


async def test_the_page_has_what_is_known_of_each_row(tmp_path: Path) -> None:
    await made(tmp_path, "bells", "bells", "gongs", refusal="the prompt is refused", mood="calm")
    with Reader.open(tmp_path) as reader:
        row = reader.row(2)
    write_decisions(tmp_path, [Decision(row=2, sha256=row.sha256 or "", stars=4, note="this one")])
    data = page_of(tmp_path).data
    refused, bells, gongs = data["rows"]
    assert refused["state"] == "rejected"
    assert "the prompt is refused" in refused["error"]
    assert data["advice"]["rejected"]["command"] == (
        f"modelslab-async resume {tmp_path} --retry rejected"
    )
    assert bells["file"] == row.path
    assert bells["fields"] == {"mood": "calm", "max_new_token": "256", "sampling_rate": "10000"}
    assert (bells["plays"], bells["seconds"], len(bells["peaks"])) == (True, row.seconds, 320)
    assert sorted(bells["at"]) == bells["at"]
    assert (gongs["prompt"], gongs["row"]) == ("gongs", 3)
    assert data["money"] == {"jobs": 2, "cost": None, "unpriced": 2}
    assert [one["stars"] for one in data["decisions"]] == [4]


async def test_no_text_of_prompts_fields_and_errors_becomes_an_element(tmp_path: Path) -> None:
    await made(tmp_path / HOSTILE[2].replace("/", ""), "plain", refusal="no")
    plain = page_of(tmp_path / HOSTILE[2].replace("/", ""))
    await made(tmp_path / "batch", *HOSTILE, refusal=REFUSAL, mood=HOSTILE[0])
    page = page_of(tmp_path / "batch")
    assert page.tags == plain.tags
    assert [row["prompt"] for row in page.data["rows"]] == HOSTILE
    assert "bass is too loud" in page.data["rows"][0]["error"]
    assert page.data["rows"][1]["fields"]["mood"] == HOSTILE[0]


async def test_the_page_loads_nothing_but_the_files_beside_it(tmp_path: Path) -> None:
    await made(tmp_path, "bells")
    policy = page_of(tmp_path).policy
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("media-src") == "'self' file:"
    assert all(
        re.fullmatch(r"'sha256-[^']+'", rules.pop(f"{kind}-src")) for kind in ("script", "style")
    )
    assert rules.pop("img-src") == "data:"
    assert set(rules.values()) == {"'none'"}
    assert "default-src" in rules


async def test_a_row_of_an_edited_ledger_names_no_file_elsewhere(tmp_path: Path) -> None:
    await made(tmp_path, "bells")
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as db:
        db.execute("UPDATE rows SET path = '../../etc/passwd'")
    db.close()
    assert "file" not in page_of(tmp_path).data["rows"][0]


async def test_a_link_in_the_place_of_the_page_is_replaced_and_not_followed(tmp_path: Path) -> None:
    await made(tmp_path, "bells")
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / PAGE_NAME).symlink_to("mine")
    (tmp_path / f".{PAGE_NAME}.part").symlink_to("mine")
    page_of(tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not (tmp_path / PAGE_NAME).is_symlink()


async def test_a_directory_without_a_batch_or_without_a_place_for_the_page_says_so(
    tmp_path: Path,
) -> None:
    with pytest.raises(LedgerError, match="there is no batch"):
        write_page(tmp_path)
    await made(tmp_path, "bells")
    (tmp_path / PAGE_NAME).mkdir()
    with pytest.raises(LedgerError, match=r"listen\.html cannot be written: "):
        write_page(tmp_path)
    assert not [*tmp_path.glob(".*.part")]


def test_what_was_paid_is_exact_and_says_what_is_not_known() -> None:
    assert money_of([("0.1", "", 3), (None, "{}", 2)]) == {"jobs": 5, "cost": "0.3", "unpriced": 2}
    assert money_of([]) == {"jobs": 0, "cost": None, "unpriced": 0}
