"""No value of any field costs more than linear time.

Each value is a quarter of a mebibyte, made to trap a pattern that tries the same characters again
and again: such a pattern takes minutes, and a test's time limit is a hundred times what these take.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import pkgutil
import re
from collections.abc import Callable
from typing import Any

import pytest

import modelslab_async
from modelslab_async import MusicGen, RequestError
from modelslab_async._engine.secret import Secret
from modelslab_async._protocol import links, wire_values
from modelslab_async._protocol.audio import examine_bytes
from modelslab_async._protocol.replies import read_reply
from modelslab_async._protocol.retry_after import retry_after
from modelslab_async._protocol.sound import NotSound
from modelslab_async._protocol.urls import fetch_route, job_id, origin
from modelslab_async._text import safe_text, slug
from modelslab_async.batch._lines import BadRow
from modelslab_async.batch._manifest import read_manifest
from modelslab_async.webhooks._logs import HIDE_TOKENS
from modelslab_async.webhooks._signing import Signer

SIZE = 256 * 1024
MARKS = "\u0345\u0334"  # each run of these is sorted by Unicode normalization

TRAPS = {
    "blanks": "A" + " " * SIZE + "!",
    "lines": "A" + "\n" * SIZE + "!",
    "padding": "A" + "=" * SIZE + "!",
    "data_urls": "data:" + ";base64," * (SIZE // 8),
    "media_type": "data:" + "a;" * (SIZE // 2),
    "dots": "." * SIZE,
    "dashes": "-." * (SIZE // 2),
    "marks": "a" + MARKS[0] * (SIZE // 2) + MARKS[1] * (SIZE // 2),
    "slashes": "/" * SIZE,
    "folders": "a/" * (SIZE // 2),
    "parents": "../" * (SIZE // 3),
    "host": "https://" + "a." * (SIZE // 2),
    "host_marks": "https://" + MARKS[0] * (SIZE // 2) + MARKS[1] * (SIZE // 2) + ".org/",
    "address": "https://[" + ":" * SIZE + "]/",
    "user": "https://" + "@" * SIZE,
    "path": "https://example.org/" + "%2e/" * (SIZE // 4),
    "fetch": "https://example.org/api/v6/voice/fetch/" + "1" * SIZE,
    "digits": "9" * SIZE,
    "fraction": "0." + "1" * SIZE,
    "waits": "wait " * (SIZE // 5) + "9",
    "maxima": "maximum of " * (SIZE // 11),
    "credits": "not enough " + "a " * (SIZE // 2),
    "spaces_in_words": "insufficient" + "\t" * SIZE,
    "quotes": '"' * SIZE,
    "backslashes": "\\" * SIZE,
    "brackets": "[" * SIZE,
    "braces": "{" * SIZE,
    "names": '{"id":' * (SIZE // 6),
    "html": "<" * SIZE,
    "commas": "," * SIZE,
    "semicolons": "prompt" + ";" * SIZE,
    "hashes": "#" * SIZE,
    "tokens": ("/v1/" + "a" * 42) * (SIZE // 46),
}


FIELDS: list[dict[str, Any]] = [
    {"base64": True},
    {"unchecked": True},
    {"base64": True, "unchecked": True},
]
NAMES = [
    "prompt", "init_audio", "sampling_rate", "max_new_token", "duration", "output_format",
    "bitrate", "base64", "temp", "webhook", "track_id", "id", "init_audio_file", "unchecked",
    "mood",
]  # fmt: skip


def outcome(values: dict[str, Any]) -> str:
    """What a request shows of itself, or why there is none."""
    try:
        return repr(MusicGen(**values))
    except RequestError as error:
        return str(error)


@pytest.mark.parametrize("name", [*NAMES[:11], "extra"])
def test_a_field_of_a_request_is_checked_in_linear_time(name: str) -> None:
    many = [9**100_000, ["x"] * SIZE, dict.fromkeys(range(SIZE)), [[]] * SIZE]
    for value in [*TRAPS.values(), *many, *({trap: [trap]} for trap in TRAPS.values())]:
        for more in FIELDS:
            assert len(outcome({"prompt": "rock", **more, name: value})) < 1000 or name == "prompt"


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_a_manifest_is_checked_in_linear_time(name: str) -> None:
    for trap in TRAPS.values():
        row = {"prompt": "rock", "base64": name == "init_audio", name: trap}
        (read,) = read_manifest(io.BytesIO(json.dumps(row, ensure_ascii=False).encode()), "jsonl")
        if isinstance(read, BadRow):
            assert len(read.reason) < 1000


@pytest.mark.parametrize(
    ("head", "format_"),
    [("", None), ("prompt,duration\n", None), ('"prompt"\n"', "csv"), ('{"prompt":', None)],
)
def test_a_line_of_a_manifest_is_read_in_linear_time(head: str, format_: Any) -> None:
    for trap in TRAPS.values():
        for row in read_manifest(io.BytesIO((head + trap + "\r" * 1000).encode()), format_):
            if isinstance(row, BadRow):
                assert len(row.reason) < 1000


SECRET = Secret("sk_live_" + "aB3/" * 12)
SIGNER = Signer("a secret of the webhook")


def hidden(text: str) -> None:
    HIDE_TOKENS.filter(logging.makeLogRecord({"msg": text, "args": (text,)}))


def said(**answer: object) -> None:
    read_reply(json.dumps(answer).encode(), 200)


def linked(text: str) -> None:
    for url in (text, text[: links.MAX_LINK]):
        with contextlib.suppress(links.LinkRefused):
            links.redirected(f"https://example.org/{url}", url)
        with contextlib.suppress(links.LinkRefused):
            links.read_link(url, allow_loopback=False)


READERS: dict[str, Callable[[str], object]] = {
    "reply": lambda text: read_reply(text.encode()),
    "message": lambda text: said(status="error", message=text),
    "words": lambda text: said(status="error", message={"prompt": [text]}),
    "links": lambda text: said(status="success", id=1, output=[text, {"url": text}]),
    "many_links": lambda text: said(status="success", id=1, output=list(text[:50_000])),
    "names": lambda text: said(status="processing", id=text, fetch_result=text, eta=text),
    "number": wire_values.number,
    "retry_after_field": lambda text: wire_values.retry_after(text, (text,)),
    "max_queued": lambda text: wire_values.max_queued((text,)),
    "quoted": lambda text: read_reply(
        json.dumps({"status": "error", "message": f"bad '{text}'", "tips": text}).encode(),
        400,
        sent=(text,),
    ),
    "plain": lambda text: read_reply(text.encode(), 503, sent=(text,)),
    "fragment": lambda text: wire_values.id_in_fragment(b"{" + text.encode()),
    "job_id": job_id,
    "link": linked,
    "route": lambda text: fetch_route(text, "https://example.org"),
    "slug": slug,
    "safe_text": safe_text,
    "retry_after": lambda text: retry_after(text, 0.0),
    "retry_after_date": lambda text: retry_after("Wed, 21 Oct 2015 07:28:00 " + text, 0.0),
    "sound": lambda text: examine_bytes(text.encode()),
    "mp3": lambda text: examine_bytes(b"ID3\4\0\0\0\0\0\0" + text.encode()),
    "wav": lambda text: examine_bytes(b"RIFF\xff\xff\0\0WAVE" + text.encode()),
    "redacted": lambda text: SECRET.redact(text.encode()),
    "webhook_path": SIGNER.track_id,
    "log": hidden,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_what_a_server_sends_is_read_in_linear_time(reader: Callable[[str], object]) -> None:
    for trap in TRAPS.values():
        reader(trap)


def patterns() -> dict[str, re.Pattern[Any]]:
    """Every pattern that a module of the package holds."""
    found = dict[re.Pattern[Any], str]()
    for module in pkgutil.walk_packages(modelslab_async.__path__, "modelslab_async."):
        if not module.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(module.name)).items():
                for one in value if isinstance(value, tuple) else [value]:
                    if isinstance(one, re.Pattern):
                        found.setdefault(one, f"{module.name}.{name}")
    return {f"{name}-{number}": one for number, (one, name) in enumerate(found.items())}


PATTERNS = patterns()
ANCHORED = {"_MADE", "_TAKE", "_PART", "_PART_NAME", "_CHUNK_LINE"}
"""Those that are never searched for: `fullmatch`, or `match` at one place."""


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_of_any_module_takes_linear_time(name: str) -> None:
    pattern = PATTERNS[name]
    for trap in TRAPS.values():
        text: Any = trap.encode() if isinstance(pattern.pattern, bytes) else trap
        pattern.fullmatch(text)
        if name.split("-")[0].rpartition(".")[2] not in ANCHORED:
            pattern.search(text)


def test_an_address_of_a_server_is_read_in_linear_time() -> None:
    for trap in TRAPS.values():
        with pytest.raises(ValueError, match=r"length|host|port"):
            origin(trap)


def test_the_key_is_removed_in_linear_time_from_what_almost_holds_it() -> None:
    for unit in (b"sk_live_aB3/aB3", b"aB3/", b"/3Ba", b"\\/"):
        SECRET.redact(unit * (SIZE // len(unit)))


def test_bytes_that_look_like_the_start_of_sound_are_searched_in_linear_time() -> None:
    for unit in (
        b"\xff\xfb",
        b"\xff\xfb\x90\x64",
        b"data",
        b"ID3\4\0\0\0\0\0\0",
        b"LIST" + bytes(4),
    ):
        for head in (b"", b"RIFF\0\0\0\0WAVE", b"ID3\4\0\0\0\0\0\0"):
            found = examine_bytes(head + unit * (SIZE // len(unit)))
            assert not isinstance(found, NotSound) or found.reason
