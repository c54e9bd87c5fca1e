"""``mcp``: what it prints for clients, and what it refuses before it serves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .test_cli import command, environment, started

KEY = "sk-" + "canary" * 6


@pytest.mark.parametrize(
    ("client", "servers"),
    [("claude", "mcpServers"), ("cursor", "mcpServers"), ("vscode", "servers")],
)
def test_a_client_gets_the_whole_command_and_no_key(
    client: str, servers: str, tmp_path: Path
) -> None:
    prices = ["--price", "music_gen.per_second=0.002", "--max-cost", "5", "--ask-above", "0.2"]
    more = ["--root", "my music", "--max-jobs", "3", "--print-config", client]
    done = command(tmp_path, "mcp", *prices, *more, MODELSLAB_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    server = json.loads(done.stdout)[servers]["modelslab"]
    assert server["command"] == sys.executable
    assert server["args"][:5] == ["-m", "modelslab_async", "mcp", "--root", f"{tmp_path}/my music"]
    given = dict(zip(server["args"][5::2], server["args"][6::2], strict=True))
    assert given == {
        "--max-cost": "5",
        "--ask-above": "0.2",
        "--max-jobs": "3",
        "--price": "music_gen.per_second=0.002",
    }
    assert "auth login" in done.stderr  # the client may not hand on this environment
    assert KEY not in done.stdout + done.stderr
    again = command(tmp_path, *server["args"][2:], "--print-config", client)
    assert again.stdout == done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-cost", "5"], "--price-per-job"),
        (["--ask-above", "0.2"], "--price-per-job"),
        (["--sandbox", "--api-key-stdin"], "belongs to the client"),
        (["--print-config", "emacs"], "claude"),
    ],
)
def test_what_cannot_be_kept_is_refused(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = command(tmp_path, "mcp", "--root", "music", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert [*tmp_path.iterdir()] == []


def test_without_a_key_it_says_so_at_once(tmp_path: Path) -> None:
    done = command(tmp_path, "mcp", "--root", "music")
    assert done.returncode == 3
    assert not (tmp_path / "music").exists()


def test_without_its_extra_it_says_how_to_install_it(tmp_path: Path) -> None:
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    raising = "raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')"
    (lacking / "mcp.py").write_text(raising)
    path = f"{lacking}:{environment(tmp_path)['PYTHONPATH']}"
    done = started(tmp_path, "mcp", "--sandbox", "--root", "music", PYTHONPATH=path)
    assert done.returncode == 2
    assert "pip install 'modelslab-async[mcp]'" in done.stderr
    assert not (tmp_path / "music").exists()
