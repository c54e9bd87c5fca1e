"""A link goes on the wire as it is spelled, or the true reason says why not (T05, T07, D48)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.addresses import address_ranges
from modelslab_async._protocol.links import MAX_LINK, LinkRefused, read_link, redirected

AS_SPELLED = [
    *("/a.wav", "/it%27s%2001.wav", "/it's.wav", "/a%2Fb%2fc", "/a/b", "/a+b%20c", "/a%2Bb"),
    *('/"a"', "/a|b", "/a^b", "/{a}", "/a`b", "/a\\b", "/%", "/%zz", "/%2", "//a//b/", "/a;b;c="),
    *("/me@home/a:b", "/a/../b", "/a/./b", "/%2e%2e/b", "/a,b!$&'()*+=", "/a[1].wav", "/~a"),
    *("/a?", "/a??", "/a?&", "/a?b", "/a?b=", "/a?b=&c=", "/a?b=c+d%20e", "/a?b=/c?d", "/a?;b"),
    *("/a?b=c|d^e", "/a?b='c'", "/a?X-Sig=aB%2Fc%2f%3D&owner=a%40b.c", "/a?sig=a==", "/a?%E9=%e9"),
    "/a?sv=2024-11-04&se=2026-01-01T00%3A00%3A00Z&sr=b&sp=r&sig=Zm9v%2Bbar%3D",
    "/a?Expires=1&Signature=AbC~d-e_f&Key-Pair-Id=K2",
    "/a?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=x%40y.iam%2F2026",
    "/" + "x" * 8000,
]


@pytest.mark.parametrize("target", AS_SPELLED)
def test_d48_path_and_query_go_on_the_wire_as_they_are_spelled(target: str) -> None:
    link = read_link(f"https://cdn.example{target}", allow_loopback=False)
    assert link.target == target


@pytest.mark.parametrize(
    ("spelled", "sent"),
    [
        ("/a song.wav", "/a%20song.wav"),
        ("/a  b.wav?c d", "/a%20%20b.wav?c%20d"),
        ("/m\u00fcsik.wav", "/m%C3%BCsik.wav"),
        ("/\u97f3\u6a02?\u540d=\u266b", "/%E9%9F%B3%E6%A8%82?%E5%90%8D=%E2%99%AB"),
        ("/m\udcfcsik.wav", "/m%FCsik.wav"),
        ("/\u202ewav.x", "/%E2%80%AEwav.x"),
        ("/a%20b c%2520d", "/a%20b%20c%2520d"),
        ("/a.wav#t=3", "/a.wav"),
        ("/a.wav?b#c?d", "/a.wav?b"),
        ("?a=b", "/?a=b"),
        ("", "/"),
        ("#", "/"),
    ],
)
def test_d48_what_no_request_line_can_hold_is_encoded_once(spelled: str, sent: str) -> None:
    assert read_link(f"https://cdn.example{spelled}", allow_loopback=False).target == sent


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("https://cdn.example/x", "cdn.example", 443, "cdn.example"),
        ("HTTPS://CDN.Example:8443/x", "cdn.example", 8443, "CDN.Example:8443"),
        ("https://[2606:4700::1111]/x", "2606:4700::1111", 443, "[2606:4700::1111]"),
        ("https://1.1.1.1/x", "1.1.1.1", 443, "1.1.1.1"),
        ("https://a_b.example/x", "a_b.example", 443, "a_b.example"),
        ("https://b\u00fccher.example:1/x", "xn--bcher-kva.example", 1, "xn--bcher-kva.example:1"),
        ("https://\u212aelvin.example/x", "kelvin.example", 443, "kelvin.example"),
        ("https://cdn\u3002example/x", "cdn.example", 443, "cdn.example"),
        (" https://cdn.example/x\r\n", "cdn.example", 443, "cdn.example"),
    ],
)
def test_a_host_is_read_as_it_will_be_connected_to(
    url: str, host: str, port: int, authority: str
) -> None:
    link = read_link(url, allow_loopback=False)
    assert (link.host, link.port, link.authority) == (host, port, authority)
    assert link.scheme == "https"
    assert link.target == "/x"


REFUSED: list[tuple[object, str]] = [
    *((value, "not text") for value in (None, 5, ["https://a.example/x"])),
    *((text, "no https://") for text in ("", "a.wav", "//a.example/x", "https:///x", "https:/a/x")),
    *((f"{scheme}://a.example/x", "no https://") for scheme in ("ftp", "gopher", "ws", "s3")),
    *((text, "no https://") for text in ("file:///etc/passwd", "data:audio/wav;base64,UklGRg==")),
    ("http://a.example/x", "is http://"),
    *((f"https://{user}@a.example/x", "user or password") for user in ("user", "user:pw", "", "@")),
    ("https://a.example\\@b.example/x", "user or password"),
    *((f"https://a.example/{text}", "control") for text in ("x\r\nHost: b", "\x1b[2J", "a\x7f")),
    ("https://a.example\t/x", "control"),
    ("https://a.example/\ud800", "lone surrogate"),
    *(
        (f"https://{host}/x", "invalid host or port")
        for host in (
            *(
                "a.example\\x",
                "a b.example",
                "a%2eexample",
                "..example",
                ".",
                "127.1",
                "2130706433",
            ),
            *("0x7f000001", "0x7f.0.0.0x1", "0177.0.0.1", "127.0.0.01", "127.0.0.1.", "1.2.3.4.5"),
            *("256.1.1.1", "evil.example.0x", "[v1.fe80::a]", "[fe80::1%25eth0]", "[::1"),
            *("a.example:http", "a.example:0", "a.example:65536", "a.example:"),
        )
    ),
    *(
        (f"https://{host}/x", "invalid host name")
        for host in ("\u00fc..example", "\u00fc_.example")
    ),
    (f"https://a.example/{'x' * MAX_LINK}", "too long"),
    ("https://a.example/" + "\u00fc" * 2000, "too long"),
    *(
        (f"{scheme}://{host}/x", "this machine")
        for scheme in ("https", "http")
        for host in ("localhost", "LOCALHOST:8443", "127.0.0.1", "[::1]", "127.0.0.1:8080")
    ),
    *(
        (f"https://{host}/x", "this machine")
        for host in ("\u2460\u2461\u2466.0.0.1", "127\u30020.0.1", "[::ffff:127.0.0.1]")
    ),
    *(
        (f"https://{host}/x", "its local link")
        for host in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "[::]", "[fe80::1]")
    ),
    ("https://[64:ff9b::7f00:1]/x", "its local link"),
    *(
        (f"https://{host}/x", "allow_addresses")
        for host in ("10.0.0.1", "198.18.0.27", "100.64.0.1", "[fd00::1]", "[::ffff:10.0.0.1]")
    ),
]


@pytest.mark.parametrize(("url", "words"), REFUSED)
def test_t41_a_link_is_refused_for_its_true_reason(url: object, words: str) -> None:
    with pytest.raises(LinkRefused, match=words) as caught:
        read_link(url, allow_loopback=False)
    assert caught.value.can_be_allowed == (words == "allow_addresses")


def test_t40_a_refused_address_is_named_with_the_range_to_allow() -> None:
    with pytest.raises(LinkRefused, match=r"198\.18\.0\.27.*allow 198\.18\.0\.0/15 by"):
        read_link("https://198.18.0.27/x", allow_loopback=False)


def test_t40_an_address_of_an_allowed_range_is_a_link() -> None:
    allowed = address_ranges(["10.0.0.0/8"])
    assert read_link("https://10.0.0.1/x", allow_loopback=False, allowed=allowed).port == 443
    with pytest.raises(LinkRefused, match="is http://"):
        read_link("http://10.0.0.1/x", allow_loopback=False, allowed=allowed)


@pytest.mark.parametrize(
    "url", ["http://localhost/x", "http://127.0.0.1:8080/x", "https://[::1]:1/x", "http://[::1]/x"]
)
def test_loopback_may_be_downloaded_from_when_allowed(url: str) -> None:
    """T09: for the sandbox."""
    assert read_link(url, allow_loopback=True).target == "/x"


@pytest.mark.parametrize(
    "url", ["http://a.example/x", "https://10.0.0.1/x", "http://10.0.0.1/x", "https://127.1/x"]
)
def test_allowing_loopback_allows_nothing_else(url: str) -> None:
    """T05, T09."""
    with pytest.raises(LinkRefused):
        read_link(url, allow_loopback=True)


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_a_link_or_refused(text: str, loopback: bool) -> None:
    for url in (text, f"https://{text}", f"https://a.example/{text}"):
        try:
            link = read_link(url, allow_loopback=loopback)
        except LinkRefused as refused:
            shown = str(refused)
        else:
            shown = link.target + link.authority
        assert all("!" <= letter <= "~" for letter in shown.replace(" ", ""))


# Redirects

BASE = "https://a.example/b/c?d=e/f"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (
            "https://z.example/it%27s%2001.wav?o=a%40b.c",
            "https://z.example/it%27s%2001.wav?o=a%40b.c",
        ),
        ("HTTPS://z.example/x", "https://z.example/x"),
        ("//z.example:8/x|y?", "https://z.example:8/x|y?"),
        ("/x%2fy?z=+", "https://a.example/x%2fy?z=+"),
        ("x?", "https://a.example/b/x?"),
        ("x;y=", "https://a.example/b/x;y="),
        ("./x", "https://a.example/b/x"),
        ("../x/../y", "https://a.example/y"),
        ("../../../x", "https://a.example/x"),
        ("..", "https://a.example/"),
        (".", "https://a.example/b/"),
        ("/x/./y/../z?a=/../b", "https://a.example/x/z?a=/../b"),
        ("/x/..hidden/.y", "https://a.example/x/..hidden/.y"),
        ("?sig=1%2f2", "https://a.example/b/c?sig=1%2f2"),
        ("#part", "https://a.example/b/c?d=e/f"),
        ("/x y/\u00fc", "https://a.example/x y/\u00fc"),
        ("  /x ", "https://a.example/x"),
        ("x:y/z", None),
        ("./x:y", "https://a.example/b/x:y"),
        ("mailto:me", None),
        ("https:x", None),
        ("http://a.example/x", None),
        ("file:///etc/passwd", None),
        ("", None),
        ("\t", None),
        ("/x\ny", None),
        ("/" + "x" * MAX_LINK, None),
    ],
)
def test_d48_a_redirect_leads_where_it_is_spelled_to(location: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(LinkRefused):
            redirected(BASE, location)
    else:
        assert redirected(BASE, location) == url


@pytest.mark.parametrize(
    ("base", "location", "url"),
    [
        ("https://a.example", "x", "https://a.example/x"),
        ("https://a.example?b/c", "x", "https://a.example/x"),
        ("http://127.0.0.1:8/b", "//127.0.0.1:9/c", "http://127.0.0.1:9/c"),
        ("http://127.0.0.1:8/b", "https://a.example/c", "https://a.example/c"),
    ],
)
def test_d48_a_redirect_is_seen_from_the_link_that_gave_it(
    base: str, location: str, url: str
) -> None:
    assert redirected(base, location) == url


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "without a location"),
        ("http://a.example/x", "away from https"),
        ("/" + "x" * MAX_LINK, "too long"),
        ("https:x", "no https:// URL"),
        ("/a\r\nb", "control"),
    ],
)
def test_t41_a_redirect_is_refused_for_its_true_reason(location: str, words: str) -> None:
    with pytest.raises(LinkRefused, match=words):
        redirected(BASE, location)
