"""Manifests for the tests of the command line, whose music is short and so is soon made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def row(prompt: str, **more: Any) -> str:
    """One line of a JSONL manifest."""
    return json.dumps({"prompt": prompt, "max_new_token": 256, **more})


def manifest(tmp_path: Path, *prompts: str, name: str = "rows.jsonl") -> str:
    """Write a manifest with these prompts into ``tmp_path``, and return its name."""
    (tmp_path / name).write_text("".join(f"{row(prompt)}\n" for prompt in prompts))
    return name


def last_line(text: str) -> str:
    """The last line that was said."""
    return text.splitlines()[-1]
