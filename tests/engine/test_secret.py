"""T01: the key can be sent, and not be shown, stored or compared by accident."""

from __future__ import annotations

import base64
import binascii
import copy
import json
import pickle
import pprint
import re
import string
import traceback
from collections.abc import Callable
from urllib.parse import quote

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import ConfigurationError
from modelslab_async._engine.secret import Secret

KEY = "Canary-7f3d1b5e9a2c4608/+bdf13579ace"
SECRET = Secret(KEY)


@attrs.frozen
class Holder:
    secret: Secret


def a_traceback_with_locals() -> str:
    try:
        shown = SECRET
        raise RuntimeError(f"about {shown}")
    except RuntimeError as error:
        return "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(lambda: str(SECRET), id="str"),
        pytest.param(lambda: repr(SECRET), id="repr"),
        pytest.param(lambda: f"{SECRET}", id="f-string"),
        pytest.param(lambda: f"{SECRET:>80}", id="f-string with a width"),
        pytest.param(lambda: f"{SECRET!r:s}", id="f-string of the repr"),
        pytest.param(lambda: format(SECRET, "s"), id="format"),
        pytest.param(lambda: "%s %r" % (SECRET, SECRET), id="percent"),  # noqa: UP031
        pytest.param(lambda: ascii(SECRET), id="ascii"),
        pytest.param(lambda: repr([SECRET, {"k": SECRET}]), id="inside a list"),
        pytest.param(lambda: repr(Holder(SECRET)), id="inside a value"),
        pytest.param(lambda: repr(attrs.asdict(Holder(SECRET))), id="asdict"),
        pytest.param(lambda: pprint.pformat({"k": SECRET}), id="pprint"),
        pytest.param(lambda: string.Template("$k").substitute(k=SECRET), id="template"),
        pytest.param(lambda: json.dumps({"k": SECRET}, default=str), id="json with default"),
        pytest.param(a_traceback_with_locals, id="traceback with locals"),
        pytest.param(lambda: str(SECRET == "x"), id="comparison"),
        pytest.param(lambda: SECRET.fingerprint, id="fingerprint"),
    ],
)
def test_t01_no_way_to_print_a_key_shows_it(show: Callable[[], str]) -> None:
    shown = show()
    assert not any(KEY[at : at + 6] in shown for at in range(len(KEY) - 6))


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda: pickle.dumps(SECRET), id="pickle"),
        pytest.param(lambda: pickle.dumps(SECRET, protocol=0), id="pickle 0"),
        pytest.param(lambda: copy.deepcopy(SECRET), id="deepcopy"),
        pytest.param(lambda: json.dumps(SECRET), id="json"),
        pytest.param(lambda: vars(SECRET), id="vars"),
        pytest.param(lambda: bytes(SECRET), id="bytes"),  # type: ignore[call-overload]
        pytest.param(lambda: "".join([SECRET]), id="join"),  # type: ignore[list-item]
        pytest.param(lambda: "key=" + SECRET, id="plus"),  # type: ignore[operator]
    ],
)
def test_t01_a_key_is_not_taken_for_text_or_stored(leak: Callable[[], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leak()
    assert KEY not in str(caught.value)


def test_the_same_key_is_the_same_secret() -> None:
    assert Secret(KEY) == SECRET
    assert hash(Secret(KEY)) == hash(SECRET)
    assert Secret(KEY).fingerprint == SECRET.fingerprint
    assert Secret(KEY[::-1]) != SECRET
    assert Secret(KEY[::-1]).fingerprint != SECRET.fingerprint
    assert SECRET != KEY


def test_white_space_around_a_key_is_no_part_of_it() -> None:
    assert Secret(f" {KEY}\n") == SECRET


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "\n", "a b", "a\nb", "a\0b", "clé", "a\u200bb", "“quoted”"),
        *('"quoted"', "'quoted'", "`quoted`", ' "quoted"\r\n', '"'),
    ],
)
def test_what_no_key_can_be_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ConfigurationError, match="MODELSLAB_API_KEY") as caught:
        Secret(value)
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "hint"), [("sk-0123456789-9ace", "***9ace"), ("x" * 16, "***xxxx"), ("x" * 15, "***")]
)
def test_a_hint_tells_long_keys_apart(key: str, hint: str) -> None:
    assert Secret(key).hint == hint


@pytest.mark.parametrize(
    ("rest", "members"),
    [(b"{}", {}), (b'{"a":1}', {"a": 1}), (b'{"a":{"b":[]},"c":"}"}', {"a": {"b": []}, "c": "}"})],
)
def test_a_sealed_object_holds_the_key_and_the_rest(
    rest: bytes, members: dict[str, object]
) -> None:
    with_key = SECRET.with_key(rest)
    assert json.loads(with_key) == {"key": KEY, **members}
    assert SECRET.keyed_size(rest) == len(with_key)


def test_a_key_with_quotes_in_it_cannot_break_out_of_its_place() -> None:
    assert json.loads(Secret('a","b":"c').with_key(b"{}")) == {"key": 'a","b":"c'}


# What a server hands back


def small(code: re.Match[str]) -> str:
    return code[0].lower()


FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "reversed": lambda key: key[::-1].encode(),
    "hex": lambda key: key.encode().hex().encode(),
    "HEX": lambda key: key.encode().hex().upper().encode(),
    "percent": lambda key: quote(key, safe="").encode(),
    "percent in small letters": lambda key: re.sub("%..", small, quote(key, safe="")).encode(),
    "JSON": lambda key: json.dumps(key).encode(),
    "JSON as PHP writes it": lambda key: json.dumps(key).replace("/", "\\/").encode(),
    "base64": lambda key: base64.b64encode(key.encode()),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()),
    "base64 one on": lambda key: base64.b64encode(b"x" + key.encode() + b"yz"),
    "base64 two on": lambda key: base64.b64encode(b"xy" + key.encode() + b"z"),
    "UTF-16": lambda key: key.encode("utf-16-le"),
    "UTF-16, the other way": lambda key: key.encode("utf-16-be"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_t20_a_key_that_a_server_hands_back_is_removed(form: Callable[[str], bytes]) -> None:
    shown = form(KEY)
    cleaned = SECRET.redact(b"before " + shown + b" after " + shown)
    assert b"***" in cleaned
    assert not any(shown[at : at + 12] in cleaned for at in range(len(shown) - 11))
    assert cleaned.startswith(b"before ")


def test_t20_of_a_key_cut_short_less_than_a_piece_is_left() -> None:
    for start in range(len(KEY) - 11):
        for end in range(start + 12, len(KEY) + 1):
            cleaned = SECRET.redact(b"<" + KEY[start:end].encode() + b">")
            assert len(cleaned.replace(b"***", b"")) - 2 < 12


def test_bytes_without_the_key_stay_as_they_are() -> None:
    body = b'{"status":"success","output":["https:\\/\\/r2.dev\\/x.wav"]}'
    assert SECRET.redact(body) == body


def test_a_key_that_any_text_may_hold_by_chance_is_not_removed() -> None:
    assert Secret("abc").redact(b"abcdef") == b"abcdef"


keys = st.text(string.ascii_letters + string.digits + string.punctuation, min_size=12, max_size=60)


@given(keys, st.sampled_from(list(FORMS.values())), st.binary(max_size=40), st.binary(max_size=40))
def test_t20_no_key_of_any_letters_survives(
    key: str, form: Callable[[str], bytes], before: bytes, after: bytes
) -> None:
    cleaned = Secret(key).redact(before + form(key) + after)
    assert key.encode() not in cleaned
    assert form(key) not in cleaned


@given(keys, st.binary(max_size=7), st.binary(max_size=7))
def test_t20_no_key_can_be_read_back_out_of_base64(key: str, before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + key.encode() + after)
    cleaned = Secret(key).redact(text)
    for start in range(4):
        try:
            decoded = base64.b64decode(cleaned.replace(b"*", b"")[start:] + b"===")
        except binascii.Error:
            continue
        assert key.encode() not in decoded
