"""Targets: text from outside that becomes a host, a path, a cell, or a line on a terminal."""

from __future__ import annotations

import contextlib
import csv
import io
import ipaddress
import re
import unicodedata
from pathlib import PureWindowsPath
from urllib.parse import urlsplit

from yarl import URL

from modelslab_async import _text
from modelslab_async._protocol import addresses, links
from modelslab_async._protocol import urls as trust
from modelslab_async.batch._manifest import Reading, read_fields
from modelslab_async.batch._naming import DEFAULT_TEMPLATE, file_name
from modelslab_async.errors import ConfigurationError
from modelslab_async.webhooks._signing import checked_url

_BASE = "https://modelslab.com"
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")
_FORBIDDEN = frozenset('/\\:*?"<>|')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,128}")


def urls(data: bytes) -> None:
    """A URL or an address: what passes is read alike by all who read it, and leads nowhere bad."""
    text = data.decode("utf-8", "surrogateescape")
    strict, loose = (_link(text, allow_loopback=allowed) for allowed in (False, True))
    assert strict is None or loose == strict
    if loose is not None:
        _is_read_alike(loose)
    if strict is not None:
        _leads_out(strict)
    _is_a_route(text)
    _is_an_origin(text)
    _is_an_address(text)
    named = trust.job_id(text)
    assert named is None or (named == text and _PLAIN.fullmatch(text))


def _link(text: str, *, allow_loopback: bool) -> links.Link | None:
    try:
        return links.read_link(text, allow_loopback=allow_loopback)
    except links.LinkRefused:
        return None


def _is_read_alike(link: links.Link) -> None:
    """By us, who judge it, and by the library that connects."""
    read = URL(f"{link.scheme}://{link.authority}{link.target}", encoded=True)
    assert (read.scheme, read.port, read.user) == (link.scheme, link.port, None)
    assert _same_host(read.host or "", link.host)
    assert re.fullmatch("/[!-~]*", link.target)


def _same_host(one: str, other: str) -> bool:
    if ":" in other:
        return ipaddress.IPv6Address(one) == ipaddress.IPv6Address(other)
    return one.lower() == other


def _leads_out(link: links.Link) -> None:
    assert link.scheme == "https"
    assert not trust.is_loopback(link.host)
    _is_an_address(link.host)


def _is_a_route(text: str) -> None:
    for found in (text, _BASE + text):
        route = trust.fetch_route(found, _BASE)
        if route is not None:
            family, job = route
            assert _PLAIN.fullmatch(job)
            assert urlsplit(found).path == f"{family}/{job}"
            assert trust.origin(found) == trust.origin(_BASE)


def _is_an_origin(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        plain = trust.api_origin(text)
        assert trust.api_origin(plain) == plain
        _keeps_secrets(plain)
    with contextlib.suppress(ConfigurationError):
        _keeps_secrets(checked_url(text))


def _keeps_secrets(url: str) -> None:
    scheme, host, _ = trust.origin(url)
    assert scheme == "https" or trust.is_loopback(host)
    assert "@" not in urlsplit(url).netloc


def _is_an_address(text: str) -> None:
    if not addresses.forbidden_address(text, allow_loopback=False):
        address = ipaddress.ip_address(text.partition("%")[0])
        translated = getattr(address, "ipv4_mapped", None) or text.startswith("64:ff9b:")
        assert translated or address.is_global or getattr(address, "sixtofour", None)
        assert not addresses.forbidden_address(text, allow_loopback=True)


def text(data: bytes) -> None:
    """Any text: one component of a path, one line on a terminal, and one cell of a table."""
    foreign = data.decode("utf-8", "surrogateescape")
    for limit in (1, 5, 60):
        _is_a_name(_text.slug(foreign, limit), limit)
        plain = _text.slug(foreign, limit, ascii_only=True)
        _is_a_name(plain, limit)
        assert _NAME.fullmatch(plain)
        assert _text.slug(plain, limit, ascii_only=True) == plain
    for ascii_only in (False, True):
        stem = file_name(DEFAULT_TEMPLATE, 17, foreign, foreign, foreign, ascii_only=ascii_only)
        assert PureWindowsPath("out", stem).parent == PureWindowsPath("out")
    line = _text.safe_text(foreign)
    assert line.isprintable()
    assert len(line) <= 300
    assert _text.safe_text(line) == line
    _is_one_cell(data.decode("utf-8", "replace").replace("\0", "#"))


def _is_a_name(name: str, limit: int) -> None:
    """By itself, and as a file system that normalises names, or knows no case, reads it."""
    assert name.isprintable()
    assert not name.startswith((".", "-"))
    assert not name.endswith((".", "-"))
    assert len(name.encode()) <= limit
    assert _text.slug(name, limit) == name
    for read in (name, unicodedata.normalize("NFKC", name), _text.folded(name)):
        assert not _FORBIDDEN & {*read}
        assert not _DEVICE.fullmatch(read)
        assert ".." not in read
    assert unicodedata.normalize("NFC", name) == name == name.lower()


def _is_one_cell(cell: str) -> None:
    table = io.StringIO(newline="")
    # All cells are quoted: blanks before an unquoted one are no part of it.
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows([["prompt", "note"], [cell, "x"]])
    rows = list(read_fields(io.BytesIO(table.getvalue().encode()), "csv", Reading()))
    assert rows == [(2, {**({"prompt": cell} if cell.strip() else {}), "note": "x"})]
