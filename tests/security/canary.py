"""Look for a planted key in all that a run leaves behind.

A canary is a key that stands nowhere else. `Watch` gathers what was said, logged, written, shown,
pickled, raised and handed to other processes, in twelve sinks; `Canary.found_in` looks through
them for the key in every spelling, and for any twelve characters of it in a row.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import logging
import os
import pickle
import secrets
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

SINKS = (
    *("stdout", "stderr", "logs", "ledger", "parts", "results", "reports"),
    *("repr", "pickle", "tracebacks", "command line", "environment"),
)
_ROW = 12


class Canary:
    """A key of forty characters, some of which every spelling changes."""

    def __init__(self) -> None:
        letters = secrets.token_urlsafe(40).replace("_", "").replace("-", "")
        self.key = f"can/{letters[:16]}+{letters[16:33]}=&"
        raw = self.key.encode()
        rows = (raw[start : start + _ROW] for start in range(len(raw) - _ROW + 1))
        self._forms = tuple({*_spellings(self.key), *rows})

    def __repr__(self) -> str:
        return "<Canary>"  # it stands in the frames of tests, whose locals are looked at too

    def is_in(self, data: bytes) -> bool:
        """Whether the key, or a part of it, stands in these bytes in any spelling."""
        return any(form in data for form in self._forms)

    def found_in(self, sinks: Mapping[str, bytes]) -> set[str]:
        """The names of the sinks that it is in."""
        return {name for name, data in sinks.items() if self.is_in(data)}


def _spellings(key: str) -> Iterator[bytes]:
    raw = key.encode()
    yield from (raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode())
    yield from (quote(key, safe="").encode(), quote(key, safe="").lower().encode())
    yield from (key.encode("utf-16-le"), key.encode("utf-16-be"), html.escape(key).encode())
    yield json.dumps(key)[1:-1].replace("/", "\\/").encode()
    for before in range(3):  # base64 reads three bytes at a time, from wherever it began
        coded = base64.b64encode(bytes(before) + raw)
        core = coded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield from (core, core.translate(bytes.maketrans(b"+/", b"-_")))


class _Children:
    """What this process hands to those it starts. The hook is never taken away again."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] | None = None
        sys.addaudithook(self._note)

    def _note(self, event: str, details: tuple[Any, ...]) -> None:
        if self.seen is not None and event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
            self.seen.append(details)


_CHILDREN = _Children()


class Watch:
    """All that a run leaves behind. Used by `watch`.

    Args:
        folders: whose files are looked at, by `look` meanwhile and at the end.
        output: what this process says.
    """

    def __init__(self, folders: Iterable[Path], output: pytest.CaptureFixture[str]) -> None:
        self.log = io.StringIO()
        self.reports: list[str] = []
        self._folders = tuple(folders)
        self._output = output
        self._shown: list[str] = []
        self._pickled: list[bytes] = []
        self._raised: list[str] = []
        self._files: dict[str, set[bytes]] = {"ledger": set(), "parts": set(), "results": set()}
        self._children: list[tuple[Any, ...]] = []

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Watch meanwhile."""
        handler = logging.StreamHandler(self.log)
        handler.setFormatter(_All())
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        _CHILDREN.seen = self._children
        try:
            yield
        finally:
            _CHILDREN.seen = None
            root.removeHandler(handler)
            root.setLevel(level)

    def keep(self, thing: object) -> None:
        """Something that a user has in hand."""
        self._shown += [repr(thing), str(thing), f"{thing}", repr(_attributes(thing))]
        with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
            self._pickled.append(pickle.dumps(thing))

    def caught(self, error: BaseException) -> None:
        """Something that was raised: with the locals of every frame, causes included."""
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        self._raised += report.format()
        self.keep(error)

    def look(self) -> None:
        """Read all files, whose content may be another at the end."""
        for path in (path for folder in self._folders for path in folder.rglob("*")):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                self._files[_kind(path)].add(path.name.encode() + b"\n" + path.read_bytes())

    def sinks(self) -> dict[str, bytes]:
        """The twelve, by name."""
        self.look()
        said = self._output.readouterr()
        sinks = {
            "stdout": said.out,
            "stderr": said.err,
            "logs": self.log.getvalue(),
            "reports": "\n".join(self.reports),
            "repr": "\n".join(self._shown),
            "tracebacks": "\n".join(self._raised),
            "command line": repr([sys.argv, sys.orig_argv, *(one[:2] for one in self._children)]),
            "environment": repr([dict(os.environ), *(one[2:] for one in self._children)]),
        }
        texts = {name: text.encode("utf-8", "backslashreplace") for name, text in sinks.items()}
        files = {name: b"\n".join(sorted(found)) for name, found in self._files.items()}
        own = Path("/proc/self/cmdline").read_bytes()
        texts["command line"] += own
        return {**texts, **files, "pickle": b"\n".join(self._pickled)}


def _kind(path: Path) -> str:
    if "ledger" in path.name or "inbox" in path.name:
        return "ledger"
    return "results" if path.name.endswith((".jsonl", ".jsonl.part")) else "parts"


def _attributes(thing: object) -> object:
    names = getattr(type(thing), "__slots__", ())
    slots = [getattr(thing, name, None) for name in names if isinstance(name, str)]
    return [getattr(thing, "__dict__", None), slots]


class _All(logging.Formatter):
    """Everything that a record has, and its traceback with all locals."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        told = f"{record.getMessage()} {vars(record)}"
        if error is None:
            return told
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        return told + "".join(report.format())
