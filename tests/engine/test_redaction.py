"""T42: no secret is left in what a server says, after any decoding of it."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._engine.redaction import Tokens
from modelslab_async._engine.secret import Secret

KEY = "sk-Canary_7f3d/1b5e+9a2c.4608==bdf13579ACE"
SECRET = Secret(KEY)


def in_json(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def in_percent(text: str) -> str:
    return "".join(f"%{ord(letter):02X}" for letter in text)


def in_html(text: str) -> str:
    return "".join(f"&#x{ord(letter):X};" for letter in text)


def every_second(escape: Callable[[str], str], text: str) -> str:
    return "".join(escape(one) if at % 2 else one for at, one in enumerate(text))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "JSON escapes": in_json,
    "JSON escapes in capitals": lambda key: in_json(key).upper().replace("\\U", "\\u"),
    "JSON escapes of every second letter": lambda key: every_second(in_json, key),
    "the first letter alone escaped": lambda key: in_json(key[0]) + key[1:],
    "JSON in JSON": lambda key: json.dumps(json.dumps(in_json(key))),
    "hexadecimal escapes": lambda key: "".join(f"\\x{ord(one):02x}" for one in key),
    "percent": in_percent,
    "percent of every second letter": lambda key: every_second(in_percent, key),
    "percent twice": lambda key: quote(in_percent(key)),
    "percent three times": lambda key: quote(quote(in_percent(key))),
    "percent as old scripts write it": lambda key: "".join(f"%u{ord(one):04x}" for one in key),
    "HTML": in_html,
    "HTML in decimal": lambda key: "".join(f"&#{ord(one):03};" for one in key),
    "HTML with zeros": lambda key: "".join(f"&#x{ord(one):09x};" for one in key),
    "HTML in decimal with zeros": lambda key: "".join(f"&#{ord(one):012};" for one in key),
    "HTML without semicolons": lambda key: "".join(f"&#{ord(one)}" for one in key),
    "HTML in HTML": lambda key: html.escape(in_html(key)),
    "HTML in JSON": lambda key: json.dumps(in_html(key)),
    "JSON in percent": lambda key: quote(in_json(key)),
    "percent in JSON": lambda key: in_json(in_percent(key)),
    "capitals": str.upper,
    "small letters": str.lower,
    "the other case": str.swapcase,
    "the other case in percent": lambda key: in_percent(key.swapcase()),
    "PHP": lambda key: json.dumps(key).replace("/", "\\/"),
    "base64 cut short": lambda key: base64.b64encode(key.encode()).decode()[4:30],
    "hex cut short": lambda key: key.encode().hex()[10:50],
    "reversed and cut short": lambda key: key[::-1][3:20],
    "escaped and cut short": lambda key: in_json(key)[:90],
    "in quotes": repr,
}


def all_decodings(text: str) -> str:
    """The text, and what comes of decoding it again and again in each way."""
    seen = [text]
    for one in seen[:40]:
        pairs = re.sub(r"\\(?:u00|x)([0-9a-fA-F]{2})", lambda code: chr(int(code[1], 16)), one)
        seen += {unquote(one), html.unescape(one), pairs, one.replace("\\/", "/")} - set(seen)
    return "\n".join(seen).lower()


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_t42_a_key_is_removed_however_it_is_spelled(spelled: Callable[[str], str]) -> None:
    shown = spelled(KEY)
    cleaned = SECRET.redact(f"before {shown} after".encode()).decode()
    assert "***" in cleaned
    found = all_decodings(cleaned)
    assert not [at for at in range(len(KEY) - 11) if KEY[at : at + 12].lower() in found]
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


def test_t42_what_stands_around_a_key_is_kept_as_it_is_spelled() -> None:
    said = f'{{"a":"\\u00e9%20&amp;","b":"{in_json(KEY)}","c":"\\/x%2F"}}'
    cleaned = SECRET.redact(said.encode()).decode()
    assert cleaned == '{"a":"\\u00e9%20&amp;","b":"***","c":"\\/x%2F"}'


@pytest.mark.parametrize(
    "text",
    [
        '{"output":["https:\\/\\/r2.dev\\/a%20b.wav?x=%2F&amp;y=\\u00e9"]}',
        "&#999; &#x110000; &# &; \\ % %g0 %2 \\u00 \\x \\u20ac",
        "\\" * 100 + "%" * 100 + "&" * 100,
        "",
    ],
)
def test_t42_bytes_without_the_key_stay_as_they_are(text: str) -> None:
    assert SECRET.redact(text.encode()) == text.encode()


def test_t42_a_key_that_repeats_itself_is_removed_as_a_whole() -> None:
    secret = Secret("k" * 20)
    for size in (12, 20, 33, 50, 100):
        cleaned = secret.redact(b"<" + b"k" * size + b">")
        assert cleaned.replace(b"***", b"") == b"<>"


letters = st.characters(min_codepoint=33, max_codepoint=126)


@given(st.text(letters, min_size=12, max_size=50), st.binary(max_size=30), st.binary(max_size=30))
def test_t42_no_key_of_any_letters_is_left_in_json(key: str, before: bytes, after: bytes) -> None:
    cleaned = Secret(key).redact(before + in_json(key).encode() + after)
    assert in_json(key).encode() not in cleaned


# Tokens of webhooks

TOKEN = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z-_A0bC2dE"
URL = f"https://me.example/hooks/v1/1234567890123456/{TOKEN}"


def tokens_of(url: str, track_id: object = 1234567890123456) -> Tokens:
    tokens = Tokens()
    tokens.add(url, track_id)
    return tokens


@pytest.mark.parametrize(
    "spelled",
    [
        *(str, str.upper, str.lower, in_json, in_percent, in_html),
        lambda url: json.dumps(url).replace("/", "\\/"),
        lambda url: quote(url, safe=""),
        lambda url: quote(quote(url, safe="")),
        lambda url: f"{url[:70]}...",
        lambda url: f"could not post to <{url}>: timed out",
    ],
)
def test_t42_the_token_of_a_webhook_is_removed_however_it_is_spelled(
    spelled: Callable[[str], str],
) -> None:
    cleaned = tokens_of(URL).redact(spelled(URL).encode()).decode()
    assert "***" in cleaned
    assert TOKEN[:12].lower() not in all_decodings(cleaned)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://me.example/hook?secret=0123456789abcdef&job=1", "0123456789abcdef"),
        ("https://me.example/hook?s=AbCdEfGhIjKlMnOp", "AbCdEfGhIjKlMnOp"),
        ("https://me.example/AbCd1234EfGh5678/hook", "AbCd1234EfGh5678"),
        ("https://me.example/h?sig=AbCd1234EfGh%2B5678IjKl9012%3D", "AbCd1234EfGh"),
    ],
)
def test_t42_a_secret_of_a_webhook_of_the_users_own_is_removed(url: str, token: str) -> None:
    cleaned = tokens_of(url).redact(f'{{"meta":{{"webhook":"{url}"}}}}'.encode()).decode()
    assert token not in cleaned
    assert cleaned.startswith('{"meta":{"webhook":"https://me.example/')


@pytest.mark.parametrize(
    "text",
    [
        '{"id":1234567890123456,"track_id":"1234567890123456"}',
        '{"output":["https://pub-3626123a908346a7a8be8d9295f44e26.r2.dev/generations/7.wav"]}',
        "me.example/production-hooks",
        TOKEN[:11],
    ],
)
def test_t42_nothing_else_of_a_webhook_is_removed(text: str) -> None:
    tokens = tokens_of(URL)
    tokens.add("https://me.example/production-hooks/123456789012", 1)
    assert tokens.redact(text.encode()) == text.encode()


def test_t42_ids_of_jobs_stay_readable_also_when_they_look_like_tokens() -> None:
    track = "Track0123456789ab"
    tokens = tokens_of(f"https://me.example/v1/{track}/{TOKEN}", track)
    assert tokens.redact(track.encode()) == track.encode()
    assert repr(tokens) == "<1 tokens>"


def test_t42_tokens_are_remembered_within_bounds() -> None:
    tokens = Tokens()
    for number in range(10_050):
        tokens.add(f"https://me.example/{number:06}abcdefghijk", 0)
    tokens.add(None)
    assert repr(tokens) == "<10000 tokens>"
    assert tokens.redact(b"010049abcdefghijk") == b"***"
    assert tokens.redact(b"000001abcdefghijk") == b"000001abcdefghijk"


def test_t42_a_text_full_of_secrets_is_withheld_as_a_whole() -> None:
    secret = Secret(KEY)
    assert secret.redact(f"{KEY} ".encode() * 100).count(b"***") == 100
    assert secret.redact(f"{KEY} ".encode() * 2_000) == b"***"


@pytest.mark.parametrize("before", [0, 1, 262_130, 262_143, 262_144, 266_239, 524_288])
def test_t42_an_escaped_key_is_found_anywhere_in_a_long_text(before: int) -> None:
    spelled = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    found = Secret(KEY).redact(("x" * before + spelled + "y" * 300_000).encode())
    assert found == b"x" * before + b"***" + b"y" * 300_000
