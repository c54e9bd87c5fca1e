"""``help``: the pages of the documentation in the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import modelslab_async

from ..support.screens import shown_by
from .test_cli import command

PAGES = sorted(Path(modelslab_async.__file__).parent.joinpath("help").glob("*.md"))


def test_without_a_topic_all_of_them_are_listed(tmp_path: Path) -> None:
    listed = re.findall(r"\]\((\w+)\.md\)", command(tmp_path, "help").stdout)
    assert sorted(listed) == [page.stem for page in PAGES if page.stem != "index"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_pipe_gets_a_page_as_it_is_written(page: Path, tmp_path: Path) -> None:
    assert command(tmp_path, "help", page.stem).stdout == page.read_text()


def test_all_pages_come_one_after_the_other(tmp_path: Path) -> None:
    manual = command(tmp_path, "help", "--all").stdout
    assert sum(page.read_text() in manual for page in PAGES) == len(PAGES)


def test_a_terminal_shows_a_page_laid_out(tmp_path: Path) -> None:
    code, lines = shown_by(tmp_path, "help", "errors")
    shown = "\n".join(lines)
    assert code == 0
    assert "Exit codes" in shown
    assert "##" not in shown
    assert "|" not in shown


def test_a_terminal_shows_where_a_link_leads(tmp_path: Path) -> None:
    shown = "\n".join(shown_by(tmp_path, "help", "services")[1])
    assert "help batch" in shown
    assert ".md" not in shown


def test_a_command_is_a_topic_too(tmp_path: Path) -> None:
    assert command(tmp_path, "help", "voices").stdout == command(tmp_path, "voices", "-h").stdout


def test_the_nearest_topic_is_named(tmp_path: Path) -> None:
    done = command(tmp_path, "help", "webhoks")
    assert done.returncode == 2
    assert "did you mean webhooks?" in done.stderr
