"""What the search for the key would find, it does find (G7).

A leak is planted in each of the twelve sinks, and every spelling is looked for.
"""

from __future__ import annotations

import base64
import json
import logging
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pytest

from .canary import SINKS, Canary, Watch
from .test_key_canary import SPELLINGS


def said(canary: Canary, _: Watch, __: Path) -> None:
    sys.stdout.write(canary.key)
    sys.stdout.flush()


def warned(canary: Canary, _: Watch, __: Path) -> None:
    sys.stderr.write(base64.b64encode(b"x" + canary.key.encode()).decode())
    sys.stderr.flush()


def logged(canary: Canary, _: Watch, __: Path) -> None:
    def fail(request: str) -> None:
        raise ValueError

    try:
        fail(canary.key)
    except ValueError:
        logging.getLogger("somebody").exception("something")


def in_a_ledger(canary: Canary, _: Watch, folder: Path) -> None:
    db = sqlite3.connect(folder / "ledger.sqlite3")
    db.execute("CREATE TABLE a (b)")
    db.execute("INSERT INTO a VALUES (?)", (canary.key,))
    db.commit()
    db.close()


def in_a_part(canary: Canary, watch: Watch, folder: Path) -> None:
    (folder / ".song.0123456789ab.part").write_bytes(canary.key.encode("utf-16-le"))
    watch.look()
    (folder / ".song.0123456789ab.part").unlink()


def in_results(canary: Canary, _: Watch, folder: Path) -> None:
    (folder / "results.jsonl").write_text(json.dumps({"error": quote(canary.key, safe="")}))


def reported(canary: Canary, watch: Watch, _: Path) -> None:
    watch.reports.append(canary.key[::-1])


def shown(canary: Canary, watch: Watch, _: Path) -> None:
    class Silent:
        __slots__ = ("key",)

        def __init__(self, key: str) -> None:
            self.key = key

    watch.keep(Silent(canary.key))


def pickled(canary: Canary, watch: Watch, _: Path) -> None:
    watch.keep(Quiet(canary.key))


class Quiet:
    """Shows nothing, and pickles all."""

    def __init__(self, key: str) -> None:
        vars(self)["key"] = Masked(key)


class Masked(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def raised(canary: Canary, watch: Watch, _: Path) -> None:
    def fail(key: str) -> None:
        raise ValueError

    try:
        fail(canary.key[5:20])
    except ValueError as error:
        watch.caught(error)


def handed_over(canary: Canary, _: Watch, __: Path) -> None:
    subprocess.run([sys.executable, "-c", "", canary.key.encode().hex()], check=True)


def inherited(canary: Canary, _: Watch, __: Path) -> None:
    subprocess.run([sys.executable, "-c", ""], env={"TOKEN": canary.key}, check=True)


LEAKS = dict(
    zip(
        SINKS,
        (
            *(said, warned, logged, in_a_ledger, in_a_part, in_results, reported),
            *(shown, pickled, raised, handed_over, inherited),
        ),
        strict=True,
    )
)


@pytest.mark.parametrize("sink", SINKS)
def test_a_leak_into_a_sink_is_found_there(sink: str, watch: Watch, tmp_path: Path) -> None:
    canary = Canary()
    with watch.on():
        LEAKS[sink](canary, watch, tmp_path)
    assert canary.found_in(watch.sinks()) == {sink}


def texts(key: str) -> Iterable[bytes]:
    yield from (spelled(key).encode("latin-1") for spelled in SPELLINGS.values())
    yield from (key[start : start + 12].encode() for start in range(len(key) - 11))


def test_every_spelling_and_every_twelve_characters_are_found() -> None:
    canary = Canary()
    assert len(canary.key) == 40
    assert [text for text in texts(canary.key) if not canary.is_in(b"before" + text)] == []
    assert not canary.is_in(canary.key[:11].encode())
    assert pickle.loads(pickle.dumps(repr(canary))) == "<Canary>"
