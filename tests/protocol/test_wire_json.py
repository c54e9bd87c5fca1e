"""T12: whatever JSON a server sends is read into values that are safe to keep, or refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.wire_json import MAX_VALUES, check_json, decode_json, encode_json


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'{"a": 1}', {"a": 1}, id="object"),
        pytest.param(b"[]", [], id="array"),
        pytest.param(b"null", None, id="null"),
        pytest.param(b'"text"', "text", id="text"),
        pytest.param(b" \n\t 7 \r\n", 7, id="white space around"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="byte order mark"),
        pytest.param(b'"https:\\/\\/x\\/y"', "https://x/y", id="slashes as PHP writes them"),
        pytest.param(b'"\\u00e9"', "é", id="escaped letter"),
        pytest.param('"é"'.encode(), "é", id="plain letter"),
        pytest.param(b'"\\ud83c\\udfb5"', "🎵", id="surrogate pair"),
        pytest.param(b'"\\ud83c"', "?", id="high surrogate alone"),
        pytest.param(b'"\\uDfB5x"', "?x", id="low surrogate alone"),
        pytest.param(b'{"\\ud800": ["\\ud800", 1]}', {"?": ["?", 1]}, id="surrogates inside"),
        pytest.param(b'"\\u0000"', "\0", id="escaped NUL"),
        pytest.param(b"NaN", None, id="NaN"),
        pytest.param(b"[Infinity, -Infinity]", [None, None], id="infinities"),
        pytest.param(b"1e999", None, id="a float that overflows"),
        pytest.param(b"-1e999", None, id="a negative float that overflows"),
        pytest.param(b"1e-999", 0.0, id="a float that underflows"),
        pytest.param(b"1.7976931348623157e308", 1.7976931348623157e308, id="greatest float"),
        pytest.param(b"-0", 0, id="minus nought"),
        pytest.param(b"9223372036854775807", 2**63 - 1, id="greatest signed 64-bit integer"),
        pytest.param(b"9999999999999999999", 9999999999999999999, id="19 digits"),
        pytest.param(b"10000000000000000000", None, id="20 digits"),
        pytest.param(b"9" * 5000, None, id="5000 digits"),
        pytest.param(b"-" + b"9" * 5000, None, id="5000 digits below nought"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="a harmless name twice"),
        pytest.param(b"[" * 64 + b"]" * 64, None, id="64 arrays deep"),
        pytest.param(b"[" + b"[]," * 100 + b"[]]", [[]] * 101, id="wide, not deep"),
        pytest.param(b'"' + b"[" * 100 + b'"', "[" * 100, id="brackets in text"),
        pytest.param(b"[" + b"1," * 99_998 + b"1]", [1] * 99_999, id="as many values as may be"),
        pytest.param(b'"' + b"a" * 2**22 + b'"', "a" * 2**22, id="one long text"),
    ],
)
def test_json_is_read_into_values_that_are_safe_to_keep(body: bytes, value: object) -> None:
    if body.startswith(b"[[[["):
        value = json.loads(body)
    assert decode_json(body) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"   ", "not JSON", id="white space"),
        pytest.param(b"<html>", "not JSON", id="HTML"),
        pytest.param(b'{"a": 1', "not JSON", id="cut short"),
        pytest.param(b'{"a": 1} {"b": 2}', "not JSON", id="two objects"),
        pytest.param(b"{'a': 1}", "not JSON", id="Python"),
        pytest.param(b'{"a": 1,}', "not JSON", id="a comma too many"),
        pytest.param(b'"a\nb"', "not JSON", id="bare line end in text"),
        pytest.param(b'"\\ud8"', "not JSON", id="half an escape"),
        pytest.param(b"01", "not JSON", id="leading nought"),
        pytest.param(b"\xff\xfe{\x00}\x00", "not UTF-8", id="UTF-16 with mark"),
        pytest.param('{"a": 1}'.encode("utf-16-le"), "not JSON", id="UTF-16 without mark"),
        pytest.param(b'"\xed\xa0\x80"', "not UTF-8", id="a raw surrogate"),
        pytest.param(b'"\xe9"', "not UTF-8", id="Latin-1"),
        pytest.param(b"\x1f\x8b\x08\x00", "not UTF-8", id="gzip"),
        pytest.param(b"[" * 65 + b"]" * 65, "nested too deep", id="65 arrays deep"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "nested too deep", id="65 objects deep"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "nested too deep", id="100000 deep"),
        pytest.param(b"[" * 100_000, "nested too deep", id="100000 deep and cut"),
        pytest.param(b"[" + b"1," * 100_000 + b"1]", "too many values", id="too many numbers"),
        pytest.param(b"[" + b"[]," * 50_000 + b"[]]", "too many values", id="too many arrays"),
        pytest.param(b'{"id": 1, "id": 2}', "two values for one name", id="two ids"),
        pytest.param(b'{"status": "error", "status": "success"}', "two values", id="two statuses"),
        pytest.param(b'{"meta": {"id": 1, "id": 2}}', "two values", id="two ids further in"),
        pytest.param(b'{"id": 1, "id": 2, "id": 1}', "two values", id="two ids, one twice"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words_of_ours(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        decode_json(body)
    assert str(caught.value) in (
        "not JSON",
        "not UTF-8",
        "nested too deep",
        "too many values",
        "two values for one name",
    )
    assert caught.value.__cause__ is None


def test_a_name_that_is_there_twice_with_one_value_is_read() -> None:
    body = b'{"id": 1, "status": "success", "id": 1, "status": "success"}'
    assert decode_json(body) == {"id": 1, "status": "success"}


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value, *(leaf for child in value.values() for leaf in leaves(child))]
    return (
        [leaf for child in value for leaf in leaves(child)] if isinstance(value, list) else [value]
    )


# `json.dumps` writes NaN and infinities, and any text escaped, also halves of surrogate pairs.
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=25,
)


@given(values)
def test_every_value_comes_through_and_every_text_can_be_encoded(value: Any) -> None:
    decoded = decode_json(json.dumps(value).encode())
    assert depth(decoded) <= 64
    for leaf in leaves(decoded):
        assert not isinstance(leaf, str) or leaf.encode().decode() == leaf
    json.dumps(decoded, allow_nan=False)


@given(st.binary() | st.text('[]{}:,"\\ud8eE+-.0123456789NaInfity').map(str.encode))
def test_any_bytes_are_a_value_or_a_value_error(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        json.dumps(decode_json(body), allow_nan=False)


# --- what is sent --------------------------------------------------------------------------------

scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False,
    allow_infinity=False) | st.text()  # fmt: skip
sent = st.recursive(
    scalar, lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(), one, max_size=4)
)


@given(sent, st.booleans())
def test_what_is_sent_is_what_the_json_module_writes(value: object, sort_keys: bool) -> None:
    check_json(value, 10**6)
    plain = json.dumps(value, sort_keys=sort_keys, separators=(",", ":"))
    assert encode_json(value, sort_keys=sort_keys) == plain.encode()


@pytest.mark.parametrize(
    "value",
    [
        "é🎵\ud800" * 10**6,
        {"b": "x" * 3 * 2**20, "a": {"c": ["y" * 2**21, 1, None]}, 7: {}, "e": ()},
        {"a": [[], {}, [[1]], {"b": {"c": []}}]},
        list(range(10**4)),
        {str(n): "x" * 2**11 for n in range(2000)},
    ],
    ids=["text", "nested", "empty", "numbers", "names"],
)
def test_a_large_value_is_encoded_in_pieces_that_make_the_same(value: Any) -> None:
    check_json(value, 2**24)
    assert encode_json(value) == json.dumps(value, separators=(",", ":")).encode()
    if "7" not in str(value):
        assert json.loads(encode_json(value, sort_keys=True)) == json.loads(json.dumps(value))


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def doubled(levels: int) -> object:
    """A value of 2**levels parts, in as many objects as there are levels."""
    value: object = 1
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (nested(65), "deeper than 64"),
        (nested(100_000), "deeper than 64"),
        (doubled(60), "over 100000 values"),
        ([[0] * 10**6] * 10**6, "over 100000 values"),
        ([0] * (MAX_VALUES + 1), "over 100000 values"),
        ({"a": "x" * 600, "b": ["y" * 600]}, "over 1000 characters"),
        ({"x" * 1001: 1}, "over 1000 characters"),
        ([float("nan")], "not finite"),
        ({float("inf"): 1}, "not finite"),
        ([10**5000], "too many digits"),
        ([b"x"], "holds a bytes"),
        ([{1}], "holds a set"),
        ({(1, 2): 3}, "name is a tuple"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_sent_is_refused_before_it_costs_anything(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_json(value, 1000)


def test_what_is_just_small_enough_is_sent() -> None:
    for value in (nested(64), [0] * MAX_VALUES, {"x" * 500: "y" * 500}, [10**1000, 1.5, True]):
        check_json(value, 1000)
