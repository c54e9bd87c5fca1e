"""Which ids, URLs and names from outside pass, and which do not (T03 to T09, T14, T26, S29)."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.urls import (
    FAMILIES,
    api_origin,
    fetch_route,
    is_loopback,
    job_id,
    origin,
)
from modelslab_async._text import folded, safe_text, slug
from modelslab_async.errors import ConfigurationError

BASE = "https://modelslab.com"
FETCH = f"{BASE}/api/v6/voice/fetch"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"),
        ("1", "1"),
        (155918900, "155918900"),
        (2**63 - 1, "9223372036854775807"),
        ("abc123-def456", "abc123-def456"),
        ("A_b-9", "A_b-9"),
        ("0", "0"),
        ("x" * 128, "x" * 128),
    ],
)
def test_an_id_of_either_documented_kind_becomes_text(value: object, expected: str) -> None:
    """T04, S29: the documents show integers and short words."""
    assert job_id(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        True,
        False,
        0,
        -1,
        2**63,
        1.0,
        float("nan"),
        [],
        ["1"],
        {"id": 1},
        b"1",
        ".",
        "..",
        "../../../buy_subscription",
        "1/2",
        "1%2f2",
        "%2e%2e",
        "1?x=1",
        "1#x",
        "1;x",
        "1\\2",
        "1\r\nHost: evil.example",
        "1\n",
        "1\x00",
        " 1",
        "a b",
        "\u0661",
        "é",
        "\ud800",
        "x" * 129,
        "x" * 10_000,
    ],
)
def test_an_id_that_could_walk_a_path_is_no_id(value: object) -> None:
    """T04, S29: an id is put into the path of a request that carries the key."""
    assert job_id(value) is None


@pytest.mark.parametrize(
    ("url", "route"),
    [
        (f"{FETCH}/310815", ("/api/v6/voice/fetch", "310815")),
        (f"{FETCH}/abc123-def456", ("/api/v6/voice/fetch", "abc123-def456")),
        ("https://modelslab.com:443/api/v6/voice/fetch/1", ("/api/v6/voice/fetch", "1")),
        ("HTTPS://ModelsLab.COM/api/v6/voice/fetch/1", ("/api/v6/voice/fetch", "1")),
        (f"{BASE}/api/v6/whisper/fetch/330711", ("/api/v6/whisper/fetch", "330711")),
        (f"{BASE}/api/v7/voice/fetch/5", ("/api/v7/voice/fetch", "5")),
        (f"{BASE}/api/v1/enterprise/voice/fetch/5", ("/api/v1/enterprise/voice/fetch", "5")),
        *((f"{BASE}{family}/5", (family, "5")) for family in FAMILIES),
    ],
)
def test_a_fetch_result_of_a_known_family_gives_its_family_and_id(
    url: str, route: tuple[str, str]
) -> None:
    """T03: the families that the documents and the vendor's clients show."""
    assert fetch_route(url, BASE) == route


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        b"https://modelslab.com/api/v6/voice/fetch/1",
        "",
        "/api/v6/voice/fetch/1",
        "//modelslab.com/api/v6/voice/fetch/1",
        "http://modelslab.com/api/v6/voice/fetch/1",
        "ftp://modelslab.com/api/v6/voice/fetch/1",
        "https://evil.example/api/v6/voice/fetch/1",
        "https://stablediffusionapi.com/api/v6/voice/fetch/1",
        "https://www.modelslab.com/api/v6/voice/fetch/1",
        "https://modelslab.com.evil.example/api/v6/voice/fetch/1",
        "https://modelslab.com./api/v6/voice/fetch/1",
        "https://models\u017flab.com/api/v6/voice/fetch/1",
        "https://modelslab\u3002com/api/v6/voice/fetch/1",
        "https://modelslab.com:8443/api/v6/voice/fetch/1",
        "https://modelslab.com:/api/v6/voice/fetch/1",
        "https://modelslab.com:0/api/v6/voice/fetch/1",
        "https://modelslab.com:99999/api/v6/voice/fetch/1",
        "https://user@modelslab.com/api/v6/voice/fetch/1",
        "https://user:pw@modelslab.com/api/v6/voice/fetch/1",
        "https://modelslab.com@evil.example/api/v6/voice/fetch/1",
        "https://evil.example\\@modelslab.com/api/v6/voice/fetch/1",
        "https://evil.example#@modelslab.com/api/v6/voice/fetch/1",
        "https://[::1/api/v6/voice/fetch/1",
        f"{FETCH}/1?key=x",
        f"{FETCH}/1?",
        f"{FETCH}/1#x",
        f"{FETCH}/1#",
        f"{FETCH}/1/",
        f"{FETCH}/",
        FETCH,
        f"{FETCH}//1",
        f"{FETCH}/1;x",
        f"{FETCH}/..",
        f"{FETCH}/../../../buy_subscription",
        f"{FETCH}/%2e%2e",
        f"{FETCH}/1%2f2",
        f"{FETCH}/1\n",
        f"\t{FETCH}/1",
        f" {FETCH}/1",
        f"{FETCH}/{'x' * 129}",
        f"{FETCH}/{'x' * 3000}",
        f"{BASE}/api/v3/dreambooth/fetch/32798037",
        f"{BASE}/api/v6/poetry/fetch/155918900",
        f"{BASE}/evil/api/v6/voice/fetch/1",
        f"{BASE}/api/v6/voice/fetch/1/api/v6/voice/fetch/2",
        f"{BASE}//api/v6/voice/fetch/1",
        f"{BASE}/api/V6/voice/fetch/1",
    ],
)
def test_a_fetch_result_that_points_anywhere_else_is_ignored(url: object) -> None:
    """T03: whatever it says, the key goes to the configured origin only."""
    assert fetch_route(url, BASE) is None


def test_a_fetch_result_is_compared_with_the_configured_origin() -> None:
    """T03: the sandbox on loopback is an origin like any other."""
    route = ("/api/v6/voice/fetch", "9")
    assert fetch_route(f"http://127.0.0.1:8080{'/'.join(route)}", "http://127.0.0.1:8080") == route
    assert fetch_route(f"http://127.0.0.1:8081{'/'.join(route)}", "http://127.0.0.1:8080") is None
    assert fetch_route(f"{FETCH}/9", "nonsense") is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example", ("https", "a.example", 443)),
        ("http://A.example:81/x", ("http", "a.example", 81)),
        ("https://[0:0::1]:8/", ("https", "::1", 8)),
        ("https://127.0.0.1", ("https", "127.0.0.1", 443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: tuple[str, str, int]) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url", ["https://[1.2.3.4]/", "https://[:::]/", "https:/x", "https://-/x y\x00"]
)
def test_what_is_no_url_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        origin(url)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.255.0.9", "::1"])
def test_this_machine_is_loopback_by_its_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "128.0.0.1", "::", "::ffff:127.0.0.1", "127.1", "[::1]", ""]
)
def test_what_only_resembles_loopback_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://modelslab.com", "https://modelslab.com"),
        ("https://modelslab.com/", "https://modelslab.com"),
        ("HTTPS://ModelsLab.com:443/", "https://modelslab.com"),
        ("https://modelslab.com:8443", "https://modelslab.com:8443"),
        ("https://10.0.0.8", "https://10.0.0.8"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[0::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_a_base_url_is_reduced_to_its_origin(base_url: str, expected: str) -> None:
    """T09."""
    assert api_origin(base_url) == expected
    assert api_origin(expected) == expected


@pytest.mark.parametrize(
    ("base_url", "advice"),
    [
        ("", "not a plain URL"),
        ("modelslab.com", "not a plain URL"),
        ("https://", "not a plain URL"),
        ("ftp://modelslab.com", "not a plain URL"),
        ("https://models lab.com", "not a plain URL"),
        ("https://modelslab.com\n", "not a plain URL"),
        ("https://bob:hunter2@modelslab.com", "not a plain URL"),
        ("https://bob:hunter2\u2100@modelslab.com", "not a plain URL"),
        ("https://127.1", "not a plain URL"),
        ("https://a..b", "not a plain URL"),
        ("https://modelslab.com/api/v6", "path, query or fragment"),
        ("https://modelslab.com?key=hunter2", "path, query or fragment"),
        ("https://modelslab.com/?", "path, query or fragment"),
        ("https://modelslab.com#x", "path, query or fragment"),
        ("http://modelslab.com", "unencrypted: use https://"),
        ("http://192.168.0.5:8080", "unencrypted: use https://"),
        ("http://localhost.evil.example", "unencrypted: use https://"),
        ("http://[::ffff:127.0.0.1]", "unencrypted: use https://"),
    ],
)
def test_a_base_url_that_would_spill_the_key_is_refused_with_advice(
    base_url: str, advice: str
) -> None:
    """T09: and a password in it is not repeated."""
    with pytest.raises(ConfigurationError, match=re.escape(advice)) as caught:
        api_origin(base_url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rock music, from the 90s!", "rock-music-from-the-90s"),
        ("Motörhead Ä Œuvre ﬁne", "motörhead-ä-œuvre-fine"),
        ("Moto\u0308rhead", "motörhead"),
        ("雨の音 とピアノ", "雨の音-とピアノ"),
        ("موسيقى هادئة", "موسيقى-هادئة"),
        ("हिन्दी गाना", "हिन्दी-गाना"),
        ("เพลงช้า ๙", "เพลงช้า-๙"),
        ("ДЖАЗ, ночь", "джаз-ночь"),
        ("Straße", "straße"),
        ("\uff26\uff35LL\uff11", "full1"),
        ("می\u200cکنم", "میکنم"),
        ("\u0301a - \u0301b", "a---b"),
        ("🎵 🎶", "track"),
        ("🎵 song\ufe0f 👨‍👩‍👧", "song"),
        ("\u3164\u115f\u2800", "track"),
        ("\ue000\U000e0041x", "x"),
        ("\uff23\uff4fn", "_con"),
        ("sitar_tabla-1.2", "sitar_tabla-1.2"),
        ("../../etc/passwd", "etc-passwd"),
        ("..\\..\\windows", "windows"),
        ("C:\\x", "c-x"),
        (".bashrc", "bashrc"),
        ("-rf.wav", "rf.wav"),
        ("a..b", "a.b"),
        ("ends. ", "ends"),
        ("a\x00b\r\nc", "a-b-c"),
        ("wav.\u202efdp", "wav.fdp"),
        ("", "track"),
        ("...", "track"),
        ("音楽" * 11, "音楽" * 10),
        ("\ud800", "track"),
        ("CON", "_con"),
        ("con.wav", "_con.wav"),
        ("Lpt9", "_lpt9"),
        ("com¹", "_com1"),
        ("console", "console"),
        ("x" * 100, "x" * 60),
        ("x" * 59 + " y", "x" * 59),
    ],
)
def test_a_slug_is_a_plain_file_name(text: str, expected: str) -> None:
    """T14."""
    assert slug(text) == expected


def test_a_slug_is_cut_to_any_limit() -> None:
    """T14: also where the cut makes a device name, or leaves a dot at the end."""
    assert slug("🎵", limit=3) == "tra"
    assert slug("consort", limit=3) == "_co"
    assert slug("con.wav", limit=5) == "_con"


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("音楽会", 8, "音楽"),
        ("गाना", 5, "ग"),  # not between a letter and its sign
        ("गाना", 6, "गा"),
        ("x\u0332\u0333", 2, "x"),
        ("x\u0332\u0333", 3, "x\u0332"),  # better than nothing
        ("音 楽", 4, "音"),
    ],
)
def test_a_slug_is_cut_between_letters(text: str, limit: int, expected: str) -> None:
    """T14."""
    assert slug(text, limit) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Motörhead Ä Œuvre ﬁne", "motorhead-a-uvre-fine"),
        ("雨の音", "track"),
        ("com¹", "_com1"),
        ("wav.\u202efdp", "wav.-fdp"),
    ],
)
def test_a_slug_of_ascii_alone_loses_accents_and_scripts(text: str, expected: str) -> None:
    """T14: --restrict-filenames, and what the server chooses."""
    assert slug(text, ascii_only=True) == expected


@given(st.text(max_size=200), st.integers(min_value=1, max_value=100), st.booleans())
def test_a_slug_is_always_one_safe_component(text: str, limit: int, ascii_only: bool) -> None:
    """T14: on every system, also on one that folds case or drops trailing dots."""
    name = slug(text, limit, ascii_only=ascii_only)
    assert all(one in "._-" or unicodedata.category(one)[0] in "LNM" for one in name)
    assert not name.startswith((".", "-"))
    assert not name.endswith((".", "-"))
    assert ".." not in name
    assert len(name.encode()) <= limit
    assert unicodedata.normalize("NFKC", name) == name == name.lower()
    assert not re.fullmatch(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", folded(name))
    assert slug(name, limit, ascii_only=ascii_only) == name
    assert name.isascii() or not ascii_only


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Stra\u00dfe", "STRASSE"),
        ("\ufb01ne", "FINE"),
        ("Moto\u0308rhead", "MOT\u00d6RHEAD"),
        ("\u0131", "I"),
        ("\u03c2", "\u03a3"),
        ("\u212a", "k"),
    ],
)
def test_names_that_some_file_system_takes_for_one_are_folded_into_one(
    one: str, other: str
) -> None:
    """T14."""
    assert folded(one) == folded(other) != folded("x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, é 音 \\ 'quoted'", "plain text, é 音 \\ 'quoted'"),
        ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b31m\x85\x00\x7f", "\\x9b31m\\x85\\x00\\x7f"),
        ("a\u202eb\u2066c\u200bd\ufeff", "a\\u202eb\\u2066c\\u200bd\\ufeff"),
        ("a\u2028b\u2029c\u00a0d", "a\\u2028b\\u2029c\\xa0d"),
        ("\ud800", "\\ud800"),
        ("\u00ad\uffff", "\\xad\\uffff"),
        ("\U000e0041", "\\U000e0041"),
        (None, "None"),
        (["\x1b"], "['\\x1b']"),
        (404, "404"),
        ("{0.__class__} %s", "{0.__class__} %s"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 297 + "..."),
        ("\x1b" * 300, "\\x1b" * 74 + "\\..."),
    ],
)
def test_foreign_text_is_shown_as_one_plain_line(text: object, expected: str) -> None:
    """T26."""
    assert safe_text(text) == expected


def test_a_value_that_cannot_become_text_is_named_by_its_type() -> None:
    """T26: a number of 5,000 digits is one."""
    assert safe_text(10**5000) == "<int>"


@given(st.text(st.characters(codec=None)), st.integers(min_value=3, max_value=400))
def test_shown_text_has_nothing_a_terminal_acts_on(text: str, limit: int) -> None:
    """T26."""
    line = safe_text(text, limit)
    assert line.isprintable()
    assert len(line) <= limit
    assert safe_text(line, limit) == line
