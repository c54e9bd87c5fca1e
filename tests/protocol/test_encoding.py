"""Codings are undone by their bytes, within limits, and a cut body never passes (D12, T10)."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import itertools
import sys
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.encoding import Undecodable, coding_of, labels_of, undo

TEXT = bytes(range(256)) * 900


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def chunked(data: bytes, size: int = 70_000, more: bytes = b"", end: bytes = b"0\r\n\r\n") -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), more, part) for part in parts) + end


SIGNED = b";chunk-signature=" + b"a" * 64
TRAILER = b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
PACKED: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "gzip": ("gzip", gzip.compress(TEXT), ()),
    "gzip of several members": (
        "gzip",
        b"".join(gzip.compress(TEXT[at : at + 999]) for at in range(0, len(TEXT), 999)),
        ("identity",),
    ),
    "zlib": ("zlib", zlib.compress(TEXT), ("deflate",)),
    "zlib without a label": ("zlib", zlib.compress(TEXT), ()),
    "raw deflate": ("deflate", raw_deflate(TEXT), ("deflate",)),
    "signed chunks": ("aws-chunked", chunked(TEXT, more=SIGNED, end=b"0" + SIGNED + b"\r\n"), ()),
    "chunks and a checksum": ("aws-chunked", chunked(TEXT, end=TRAILER), ("aws-chunked",)),
    "small chunks": ("aws-chunked", chunked(TEXT, 100), ()),
}


def packed_by_others() -> Iterator[tuple[str, tuple[str, bytes, tuple[str, ...]]]]:
    """What needs packages that may be absent."""
    for name, module in (("zstd", "backports.zstd"), ("br", "brotli")):
        try:
            made = importlib.import_module(module).compress(TEXT)
        except ImportError:
            continue
        yield name, (name, made, ("gzip", "br"))
        if name == "zstd":
            yield "zstd of two frames", (name, made + made, ())


PACKED |= dict(packed_by_others())


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 64 * 1024])
@pytest.mark.parametrize(("coding", "data", "labels"), PACKED.values(), ids=PACKED.keys())
def test_each_coding_is_known_by_its_bytes_and_undone_in_small_pieces(
    coding: str, data: bytes, labels: tuple[str, ...], size: int
) -> None:
    assert coding_of(data[:4096], labels) == coding
    pieces = list(undo(coding, blocks(data, size)))
    whole = b"".join(pieces)
    assert whole.replace(TEXT, b"") == b""
    assert whole
    assert max(map(len, pieces)) <= 128 * 1024


@pytest.mark.parametrize(("coding", "data", "_"), PACKED.values(), ids=PACKED.keys())
def test_a_coded_body_that_is_cut_never_passes_for_a_whole_one(
    coding: str, data: bytes, _: tuple[str, ...]
) -> None:
    """Finding 5: the length of a cut body can be the announced one."""
    end = data.rindex(b"\r\n0") + 2 if coding == "aws-chunked" else len(data) - 1
    for at in (0, 1, 9, len(data) // 3, end):
        with pytest.raises(Undecodable) as caught:
            list(undo(coding, blocks(data[:at], 1000)))
        assert caught.value.cut


def test_a_second_member_that_is_cut_in_its_first_bytes_is_noticed() -> None:
    one = gzip.compress(TEXT)
    for start in (1, 2):
        with pytest.raises(Undecodable) as caught:
            list(undo("gzip", blocks(one + one[:start], len(one))))
        assert caught.value.cut


@pytest.mark.parametrize("behind", [b"\0" * 512, b"\n", b"<html>oops</html>", b"\x1f"[:0]])
def test_padding_behind_the_last_member_is_left_alone(behind: bytes) -> None:
    for size in (10, 64 * 1024):
        body = blocks(gzip.compress(TEXT) + behind, size)
        assert b"".join(undo("gzip", body)) == TEXT


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", gzip.compress(TEXT)[:10] + b"\xff" * 5000),
        ("gzip", gzip.compress(TEXT)[:-8] + bytes(8)),
        ("zlib", zlib.compress(TEXT)[:-4] + bytes(4)),
        ("deflate", b"<html>not deflate</html>"),
        ("zstd", b"\x28\xb5\x2f\xfd" + b"\xff" * 400),
        ("br", b"<html>not brotli at all</html>" * 9),
        ("aws-chunked", b"404\r\n" + b"x" * 0x404 + b"no line end"),
        ("aws-chunked", b"4\r\nRIFF\r\n" + b"z" * 400),
    ],
)
def test_a_broken_body_is_an_error_in_words_of_ours(coding: str, data: bytes) -> None:
    with pytest.raises(Undecodable) as caught:
        list(undo(coding, [data]))
    assert not caught.value.cut
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("module", ["backports.zstd", "brotli"])
def test_a_coding_whose_package_is_absent_is_named(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (module, "brotlicffi", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    coding = {"brotli": "br"}.get(module, "zstd")
    with pytest.raises(Undecodable, match=f"{coding} data, and no package"):
        list(undo(coding, [b"x"]))


@pytest.mark.parametrize(
    ("data", "labels", "coding"),
    [
        (b"RIFF\x24\0\0\0WAVE", ("aws-chunked",), None),
        (b"RIFF\x24\0\0\0WAVE", ("gzip",), None),
        (b"RIFF\x24\0\0\0WAVE", (), None),
        (b"", ("br",), "br"),
        (b"", (), None),
        (b"x\x9c", (), None),
        (b"\x0b\x02\x80", ("gzip", "br"), "br"),
        (b"\x0b\x02\x80", ("br", "identity"), "br"),
    ],
)
def test_a_label_alone_decides_only_where_bytes_cannot(
    data: bytes, labels: tuple[str, ...], coding: str | None
) -> None:
    assert coding_of(data, labels) == coding


@pytest.mark.parametrize(
    ("header", "labels"),
    [
        (None, ()),
        ("", ()),
        ("gzip", ("gzip",)),
        ("X-GZIP , br", ("gzip", "br")),
        (",,", ()),
        ("aws-chunked,gzip", ("aws-chunked", "gzip")),
    ],
)
def test_a_label_is_read_without_regard_to_case_and_spaces(
    header: str | None, labels: tuple[str, ...]
) -> None:
    assert labels_of(header) == labels


def test_t10_a_bomb_costs_no_more_than_what_is_taken_of_it() -> None:
    bomb = gzip.compress(gzip.compress(bytes(64 * 2**20)))
    inner = b"".join(undo("gzip", [bomb]))
    tracemalloc.start()
    taken = list(itertools.islice(undo("gzip", [inner]), 4))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, taken)) <= 4 * 64 * 1024
    assert peak < 2 * 2**20


def test_t10_members_and_chunks_without_number_are_refused() -> None:
    member = gzip.compress(b"")
    with pytest.raises(Undecodable, match="too many"):
        list(undo("gzip", itertools.repeat(member * 50, 3000)))
    with pytest.raises(Undecodable, match="too many"):
        list(undo("aws-chunked", itertools.repeat(b"1\r\nx\r\n" * 50, 3000)))


@given(st.sampled_from(sorted(PACKED)), st.binary(max_size=60), st.integers(1, 50))
def test_any_bytes_end_in_bytes_or_in_an_error_of_ours(name: str, tail: bytes, size: int) -> None:
    coding, data, _ = PACKED[name]
    for body in (data[:30] + tail, tail):
        with contextlib.suppress(Undecodable):
            list(undo(coding, blocks(body, size)))
