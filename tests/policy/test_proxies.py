"""Which proxy a URL goes through, and which are refused by name (T08)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.proxies import Proxies, Proxy, proxies_of, read_proxy
from modelslab_async.errors import ConfigurationError

PROXY = {"HTTPS_PROXY": "http://p:1"}
HTTPS = ("https", "cdn.example.com", 443)


def chosen(environment: dict[str, str], host: str = "cdn.example.com", port: int = 443) -> Any:
    proxy = proxies_of(environment).proxy_for("https", host, port)
    return None if proxy is None else proxy.url


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:1"}, "http://small:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": " "}, None),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"all_proxy": "http://all:1"}, "http://all:1"),
        ({"ALL_PROXY": "socks5://all:1", "HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTP_PROXY": "socks5://p:1"}, None),
    ],
)
def test_t08_the_variable_that_is_about_a_url_says_its_proxy(
    environment: dict[str, str], url: str | None
) -> None:
    assert chosen(environment) == url


def test_t08_a_variable_that_a_client_of_a_web_server_can_set_is_not_believed() -> None:
    given_by_header = {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}
    assert proxies_of(given_by_header) == Proxies()
    own = proxies_of({**given_by_header, "http_proxy": "http://own:1"})
    assert own.proxy_for("http", "a.example", 80) == Proxy("http://own:1")
    assert proxies_of({"HTTP_PROXY": "http://p:1"}).proxy_for("http", "a.example", 80) is not None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "127.8.8.8"])
def test_t08_no_proxy_stands_before_this_machine(host: str) -> None:
    assert chosen({"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, host) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("*", "cdn.example.com", 443),
        ("a.test, *", "cdn.example.com", 443),
        ("cdn.example.com", "cdn.example.com", 443),
        ("CDN.Example.COM", "cdn.example.com", 443),
        ("cdn.example.com", "CDN.example.com.", 443),
        ("example.com", "cdn.example.com", 443),
        (".example.com", "cdn.example.com", 443),
        (".example.com", "example.com", 443),
        ("*.example.com", "cdn.example.com", 443),
        ("a.test b.test\texample.com", "cdn.example.com", 443),
        ("a.test,,example.com", "cdn.example.com", 443),
        ("cdn.example.com:443", "cdn.example.com", 443),
        (".example.com:8443", "cdn.example.com", 8443),
        ("192.0.2.1", "192.0.2.1", 443),
        ("192.0.2.0/24", "192.0.2.77", 443),
        ("192.0.2.1:443", "192.0.2.1", 443),
        ("2001:db8::1", "2001:db8::1", 443),
        ("[2001:db8::1]", "2001:db8::1", 443),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
        ("2001:db8::/32", "2001:db8:0::2", 443),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_t08_what_no_proxy_names_is_connected_to_directly(
    name: str, no_proxy: str, host: str, port: int
) -> None:
    assert chosen({"HTTPS_PROXY": "http://p:1", name: no_proxy}, host, port) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("", "cdn.example.com", 443),
        (",", "cdn.example.com", 443),
        (".", "cdn.example.com", 443),
        ("ample.com", "cdn.example.com", 443),
        ("cdn.example.com.evil.test", "cdn.example.com", 443),
        ("cdn.example.com", "cdn.example.com.evil.test", 443),
        ("cdn.example.com:8443", "cdn.example.com", 443),
        ("192.0.2.0/24", "192.0.3.1", 443),
        ("192.0.2.1", "192.0.2.11", 443),
        ("192.0.2.0/24", "cdn.example.com", 443),
        ("2001:db8::/32", "192.0.2.1", 443),
        ("example.com:99999999", "example.com", 443),
    ],
)
def test_t08_what_no_proxy_does_not_name_goes_through_the_proxy(
    no_proxy: str, host: str, port: int
) -> None:
    assert chosen(PROXY | {"NO_PROXY": no_proxy}, host, port) == PROXY["HTTPS_PROXY"]


def test_t08_the_small_letters_of_no_proxy_count_first() -> None:
    both = {"no_proxy": "a.test", "NO_PROXY": "*", "HTTPS_PROXY": "http://p:1"}
    assert chosen(both) == "http://p:1"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("HTTP://proxy:3128/", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("//proxy:3128", "http://proxy:3128"),
        ("proxy", "http://proxy:80"),
        ("https://proxy", "https://proxy:443"),
        (" http://10.0.0.1:8080 ", "http://10.0.0.1:8080"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("http://me:p%40ss%2F@proxy:1", "http://proxy:1"),
        ("me:pass@proxy:1", "http://proxy:1"),
    ],
)
def test_t08_a_proxy_is_read_in_the_spellings_that_other_tools_take(text: str, url: str) -> None:
    assert read_proxy(text, "HTTPS_PROXY").url == url


@pytest.mark.parametrize(
    ("user", "pair"),
    [
        ("me:secret", b"me:secret"),
        ("me", b"me:"),
        (":secret", b":secret"),
        ("me%40home:p%3A%2F%25", b"me@home:p:/%"),
        ("me:a@b", b"me:a@b"),
        ("me:a:b", b"me:a:b"),
        ("m\u00fc:p%C3%A4ss", "m\u00fc:p\u00e4ss".encode()),
    ],
)
def test_t08_a_user_is_told_to_the_proxy_and_shown_to_nobody(user: str, pair: bytes) -> None:
    proxy = read_proxy(f"http://{user}@proxy:1", "HTTPS_PROXY")
    assert proxy.authorization == f"Basic {base64.b64encode(pair).decode()}"
    assert repr(proxy) == "Proxy(url='http://proxy:1')"


SOCKS = ["socks", "socks4", "socks4a", "socks5", "SOCKS5h"]
ODD = [
    *("http://", "http://:3128", "http:///x", "https://proxy:port", "proxy:0", "proxy:65536"),
    *(
        "proxy:99999999",
        "http://proxy:3128/path",
        "http://proxy?x",
        "http://proxy#x",
        "ftp://proxy",
    ),
    *(
        "quic://proxy:1",
        '"http://proxy:1"',
        "http://pro xy:1",
        "http://proxy:1\x00",
        "http:proxy:1",
    ),
    *("http://[::1", "http://me:se/cret@proxy:1", "http://\u2460.example", "http://127.1:1"),
]


@pytest.mark.parametrize("text", [*(f"{one}://me:secret@h:1" for one in SOCKS), *ODD])
def test_t08_what_is_no_http_proxy_is_refused_by_the_name_of_its_variable(text: str) -> None:
    proxies = proxies_of({"https_proxy": text})
    asking: tuple[Callable[[], object], ...] = (proxies.check, partial(proxies.proxy_for, *HTTPS))
    for ask in asking:
        with pytest.raises(
            ConfigurationError, match=r"https_proxy is .*nothing was sent"
        ) as caught:
            ask()
        assert ("SOCKS" in str(caught.value)) == ("secret@h" in text)
        assert "secret" not in str(caught.value)
        assert "se/cret" not in str(caught.value)


def test_t08_all_proxy_is_named_where_it_is_the_one_that_cannot_be_used() -> None:
    with pytest.raises(ConfigurationError, match="ALL_PROXY is a SOCKS proxy"):
        proxies_of({"ALL_PROXY": "socks5h://h:1"}).check()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HTTPS_PROXY": "http://p:1"},
        {"HTTPS_PROXY": "socks5://p:1", "NO_PROXY": "*"},
        {"HTTP_PROXY": "socks5://p:1"},
    ],
)
def test_t08_a_proxy_that_no_file_needs_is_not_judged(environment: dict[str, str]) -> None:
    proxies_of(environment).check()


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_variables_give_a_proxy_or_a_refusal(text: str, exceptions: str) -> None:
    proxies = proxies_of({"https_proxy": text, "no_proxy": exceptions})
    try:
        found = proxies.proxy_for(*HTTPS)
    except ConfigurationError as error:
        shown = str(error)
    else:
        shown = found.url if found else "none"
    assert shown.isprintable()
    assert shown.startswith(("http://", "https://", "https_proxy is ", "none"))
