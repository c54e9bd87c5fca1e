"""What others say cannot act on a terminal, a log, a spreadsheet or a page (T26 to T30).

Sixty strings that make some terminal or log do something, said by a server in all of its fields.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import logging
import sqlite3
from pathlib import Path

import pytest

import modelslab_async
from modelslab_async import ModelsLabError, MusicGen
from modelslab_async.endpoints.base import encode

from ..support.tracks import says
from .hostile import FETCH, SUBMIT, Asked, Certificate, reply, staged

PACKAGE = Path(modelslab_async.__file__).parent

CONTROLS = [chr(code) for code in (*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)]
EVIL = [
    *(f"a{control}b" for control in CONTROLS),
    *("\x1b[2J", "\x1b[31mred", "\x1b[1A\x1b[2K", "\x1b[6n", "\x1b[?1049h", "\x1bc", "\x1b[5i"),
    *(
        "\x1b]0;title\x07",
        "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07",
        "\x1b]52;c;ZXZpbA==\x07",
    ),
    *('\x1bP$q"p\x1b\\', "\x1b_apc\x1b\\", "\x1b^pm\x1b\\", "\x9b2J", "\x9d0;t\x9c", "\x90q\x9c"),
    *("a\rb", "a\nb", "a\r\nb", "a\u2028b", "a\u2029b", "a\x85b", "\u202egnp.exe", "\u2066a\u2069"),
    *("a\u200bb", "\ufeffa", "\ud800", "\udc00", "\u00ada", "\U000e0041"),
    '\n{"level": "error", "message": "forged"}',
]


def test_there_are_sixty_strings() -> None:
    assert len(EVIL) == len(set(EVIL)) == 60


def unsafe(text: str) -> bool:
    """Whether a terminal or a log might act on it. Lines are ours to end."""
    return not all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.anyio
async def test_t26_t29_no_string_of_a_server_acts_on_a_terminal_or_a_log(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path == SUBMIT:
            evil = EVIL[int(asked.fields["prompt"])]
            words = dict.fromkeys(("message", "error", "tips", "track_id", "fetch_result"), evil)
            return reply(status="error", **words, **{evil: evil})
        evil = EVIL[int(asked.path.removeprefix(FETCH))]
        return reply(status="failed", id=evil, message={"prompt": [evil]}, output=[evil])

    caplog.set_level(logging.DEBUG)
    told = []
    async with staged(monkeypatch, certificate, answer) as stage, stage.client() as client:
        for number in range(len(EVIL)):
            with pytest.raises(ModelsLabError) as refused:
                await client.submit(MusicGen(f"{number}", max_new_token=256))
            job = client.job(number or 1)
            await job.refresh()
            told += [f"{refused.value}", f"{refused.value!r}", f"{job!r}", f"{job.__dict__}"]
    assert [text for text in told if unsafe(text)] == []
    logged = [record.getMessage() for record in caplog.records if "modelslab" in record.name]
    assert [text for text in logged if unsafe(text) or "\n" in text] == []
    assert logged != []


@pytest.mark.anyio
async def test_t29_no_header_of_a_server_makes_a_line_of_the_log(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    evil = "\x9b2J\x85\x1b"
    head = (f"Location: {evil}", f"Retry-After: {evil}", f"Set-Cookie: {evil}={evil}")
    answers = iter([says(b"no", *head, status=f"400 {evil}"), says(b"", *head, status="302 x")])

    caplog.set_level(logging.DEBUG)
    async with (
        staged(monkeypatch, certificate, lambda _: next(answers)) as stage,
        stage.client() as client,
    ):
        for _ in range(2):
            with pytest.raises(ModelsLabError) as caught:
                await client.balance()
            assert not unsafe(f"{caught.value} {caught.value!r}")
    assert [record for record in caplog.records if unsafe(record.getMessage())] == []


def test_t26_the_library_of_the_ledger_cannot_be_told_odd_text_either() -> None:
    """A lone surrogate is what SQLite refuses; the decoder has replaced it long before."""
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as db,
        pytest.raises(UnicodeEncodeError),
    ):
        db.execute("SELECT ?", ("\ud800",))


# What we do not make cannot be injected into. Whoever makes it first meets these tests.


@functools.cache
def trees() -> list[tuple[str, ast.AST]]:
    """Every node of our code, and the module it is in."""
    return [
        (str(path.relative_to(PACKAGE)), node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
    ]


def test_t27_nothing_writes_a_table_for_spreadsheets() -> None:
    writers = [
        name
        for name, node in trees()
        if isinstance(node, ast.Attribute)
        and node.attr in ("writer", "DictWriter")
        and isinstance(node.value, ast.Name)
        and node.value.id == "csv"
    ]
    assert writers == []


def test_t28_nothing_but_the_sandbox_and_a_preview_writes_a_page() -> None:
    """What a notebook shows of a file escapes each text: `policy/test_preview`."""
    pages = {
        name
        for name, node in trees()
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and any(sign in node.value.lower() for sign in ("<html", "<!doctype", "<svg", "<script"))
    }
    assert {name for name in pages if not name.startswith("sandbox/")} == {"_policy/preview.py"}


TABLED = {("batch/_advice.py", "self.command")}
"""Templates that are taken from a table of ours."""


def test_t30_only_text_of_ours_is_a_template() -> None:
    """`"{0.__class__}".format(...)` reads whatever it likes: the text before `.format` is ours."""
    templates = [
        (name, ast.unparse(node.func.value))
        for name, node in trees()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("format", "format_map", "safe_substitute", "substitute")
    ]
    assert [
        one
        for one in templates
        if one not in TABLED and (not one[1].startswith(("_", "'")) or one[1][1].islower())
    ] == []


@pytest.mark.parametrize(
    "text", ["{0.__class__}", "{self}", "{prompt!r:>999999999}", "%s%n", "%(key)s", "${HOME}", "{"]
)
def test_t30_a_prompt_that_looks_like_a_template_is_sent_as_it_is(text: str) -> None:
    assert encode(MusicGen(text), track_id=1)["prompt"] == text
