"""A whole answer is unpacked as far as it goes: what it names was paid for (S28, T10)."""

from __future__ import annotations

import gzip
import random
import sys
import zlib
from collections.abc import Callable

import pytest

from modelslab_async._protocol.encoding import Decoded, decode, unchunked

ANSWER = b'{"status":"processing","id":310816,"eta":12.5,"message":""}'
LIMIT = 4 * 1024 * 1024


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, tuple[bytes, str]] = {
    "gzip": (gzip.compress(ANSWER), "gzip"),
    "gzip by its old name": (gzip.compress(ANSWER), "x-gzip"),
    "gzip in capitals": (gzip.compress(ANSWER), "GZIP"),
    "gzip without a label": (gzip.compress(ANSWER), ""),
    "gzip under the label of another": (gzip.compress(ANSWER), "br"),
    "gzip labelled as identity": (gzip.compress(ANSWER), "identity"),
    "zlib": (zlib.compress(ANSWER), "deflate"),
    "zlib without a label": (zlib.compress(ANSWER), ""),
    "zlib of each level": (zlib.compress(ANSWER, 1), "deflate"),
    "bare deflate": (bare(ANSWER), "deflate"),
    "bare deflate before an upload label": (bare(ANSWER), "deflate, aws-chunked"),
    "gzip twice": (gzip.compress(gzip.compress(ANSWER)), "gzip, gzip"),
    "gzip twice, labelled once": (gzip.compress(gzip.compress(ANSWER)), "gzip"),
    "bare deflate in gzip": (gzip.compress(bare(ANSWER)), "deflate, gzip"),
    "gzip in bare deflate": (bare(gzip.compress(ANSWER)), "gzip, deflate"),
    "members, one for each byte": (b"".join(gzip.compress(bytes([b])) for b in ANSWER), "gzip"),
    "chunked twice": (b"%x\r\n%b\r\n0\r\n\r\n" % (len(ANSWER), ANSWER), ""),
    "zeros behind it": (gzip.compress(ANSWER) + bytes(40), "gzip"),
    "a line end behind it": (gzip.compress(ANSWER) + b"\r\n\x1f\x8b", "gzip"),
}
PLAIN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "gzip"),
    "no label": (ANSWER, ""),
    **{
        f"plain under {label!r}": (ANSWER, label)
        for label in ("gzip", "br", "zstd", "deflate", "aws-chunked", "none", "utf-8", "identity")
    },
    "HTML under deflate": (b"<!doctype html><p>hello</p>", "deflate"),
    "HTML under br": (b"<!doctype html><p>hello</p>", "br"),
    "a sentence under deflate": (b"Rate limit exceeded", "deflate"),
    "a sentence that begins as zlib does": (b"x^2 is what the prompt said", ""),
    "a mark before the text": (b"\xef\xbb\xbf" + ANSWER, "deflate"),
    "a word": (b"busy", "deflate"),
    "bytes that zlib refuses": (b"\x78\x9c" + b"\xff" * 40, ""),
    "bytes that deflate refuses": (b"\xf7" * 40, "deflate"),
}


@pytest.mark.parametrize(("body", "label"), PACKED.values(), ids=PACKED)
def test_what_is_packed_is_unpacked_whatever_its_label(body: bytes, label: str) -> None:
    assert decode(body, label, LIMIT) == Decoded(ANSWER)


@pytest.mark.parametrize(("body", "label"), PLAIN.values(), ids=PLAIN)
def test_what_is_plain_stays_as_it_is_whatever_its_label(body: bytes, label: str) -> None:
    assert decode(body, label, LIMIT) == Decoded(body)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "deflate": bare,
}


@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.parametrize("lost", [1, 4])
def test_of_a_body_that_was_cut_the_beginning_is_told(coding: str, lost: int) -> None:
    decoded = decode(PACKERS[coding](ANSWER * 3)[:-lost], "deflate", LIMIT)
    assert decoded.problem == f"the {coding} data end early"
    assert b'"id":310816' in decoded.body


def test_of_a_body_that_is_damaged_all_before_the_damage_is_told() -> None:
    wrong_sum = gzip.compress(ANSWER)[:-8] + b"12345678"
    assert decode(wrong_sum, "gzip", LIMIT) == Decoded(ANSWER, "broken gzip data")
    large = gzip.compress(random.Random(1).randbytes(40_000))[:-8] + b"12345678"
    decoded = decode(large, "gzip", LIMIT)
    assert decoded.problem == "broken gzip data"
    assert len(decoded.body) > 32_000


def test_a_damaged_body_of_a_known_format_is_not_taken_for_plain() -> None:
    assert decode(b"\x1f\x8b\x08" + b"\xff" * 40, "", LIMIT).problem == "broken gzip data"


@pytest.mark.parametrize(("label", "module"), [("br", "brotli"), ("zstd", "backports.zstd")])
def test_codings_of_other_packages_are_undone_where_these_are_installed(
    label: str, module: str
) -> None:
    packed = pytest.importorskip(module).compress(ANSWER)
    assert decode(packed, label, LIMIT) == Decoded(ANSWER)
    assert decode(gzip.compress(packed), f"{label}, gzip", LIMIT) == Decoded(ANSWER)


def test_a_coding_that_cannot_be_undone_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    decoded = decode(b"\x28\xb5\x2f\xfd" + bytes(20), "", LIMIT)
    assert decoded == Decoded(b"", "zstd data, and no package that decodes them is installed")


BOMBS = {
    "gzip": (gzip.compress(bytes(2**26), 1), "gzip"),
    "gzip twice": (gzip.compress(gzip.compress(bytes(2**26), 1)), "gzip, gzip"),
    "bare deflate": (bare(bytes(2**26)), "deflate"),
}


@pytest.mark.parametrize(("body", "label"), BOMBS.values(), ids=BOMBS)
def test_no_more_than_the_limit_is_unpacked(body: bytes, label: str) -> None:
    decoded = decode(body, label, 100_000)
    assert decoded.problem == "unpacks to more than 100000 bytes"
    assert len(decoded.body) <= 100_000


def test_there_is_an_end_to_layers_and_members() -> None:
    body = ANSWER
    for _ in range(4):
        body = gzip.compress(body)
    assert decode(body, "", LIMIT) == Decoded(ANSWER)
    assert decode(gzip.compress(body), "", LIMIT).problem.startswith("too many nested")
    members = decode(gzip.compress(b"") * 100_002, "", LIMIT)
    assert members.problem == "too many gzip members"


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"3;x=y\r\nabc\r\n2\r\nd", b"abcd"),
        (b"3\r\nabcX2\r\nde", b"abc"),
        (b"abc", b""),
        (b"", b""),
    ],
)
def test_s12_chunks_are_joined_as_far_as_they_are_whole(body: bytes, content: bytes) -> None:
    assert unchunked(body) == content
