"""Decode the content codings of a body in bounded memory, without trusting its label.

Downloads use this, and replies that cannot be requested again. A ``Content-Encoding`` label may be
wrong: object stores return the label of the upload, and proxies compress without adding one.
Therefore the first bytes decide; the label decides only for codings without a magic number.

Every coding here marks its own end, so a truncated body raises.

Sources: RFC 1950, 1951, 1952 (zlib, deflate, gzip), RFC 7932 (br), RFC 8878 (zstd). Some stores
keep the chunk framing of an upload: AWS, "Signature Calculations for the Authorization Header:
Transferring Payload in Multiple Chunks".
"""

from __future__ import annotations

import contextlib
import importlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from attrs import frozen

MAX_LAYERS = 4
"""The maximum number of nested codings; no real server applies more."""

LABELLED_ONLY = frozenset(("br", "deflate"))
"""Codings without a magic number: only their label identifies them."""

_PIECE = 64 * 1024
_STEP = 4 * 1024
_SHORT_BODY = 16 * 1024
_HEAD = 64
_WITH_MAGIC = frozenset({"gzip", "zstd"})
_WITHOUT_MAGIC = LABELLED_ONLY | {"zlib"}
_MAX_PARTS = 100_000
_GZIP, _ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\x21-\x7e]{1,200})?\r\n")
_LONGEST_LINE = 8 + 201 + 2


class Undecodable(ValueError):
    """The body is invalid in its coding. The message never quotes the body.

    Attributes:
        cut: the body ends too early, so another transfer may bring the rest.
    """

    def __init__(self, reason: str, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.cut = cut


def labels_of(header: str | None) -> tuple[str, ...]:
    """Return the codings of a `Content-Encoding` header in lower case, the outermost last."""
    names = (name.strip().lower().removeprefix("x-") for name in (header or "").split(","))
    return tuple(name for name in names if name)


def coding_of(head: bytes, labels: tuple[str, ...] = ()) -> str | None:
    """Return the outermost coding of a body by its first bytes, or ``None`` if none is known.

    Call this only if the bytes are not yet the wanted content: a zlib header is weak evidence.
    Brotli and raw deflate have no header, so for them the label decides.
    """
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD):
        return "zstd"
    if _CHUNK_LINE.match(head):
        return "aws-chunked"
    if len(head) > 2 and head[0] & 0x8F == 8 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "zlib"
    return next((label for label in reversed(labels) if label in LABELLED_ONLY), None)


def undo(coding: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the decoded body in pieces of about 64 KiB; the caller may stop early.

    Args:
        coding: a result of `coding_of`.
        blocks: the body.

    Raises:
        Undecodable: while iterating, if the body is broken or truncated, or if the package for
            this coding is not installed.
    """
    return _unchunked(blocks) if coding == "aws-chunked" else _decompressed(coding, blocks)


# Whole bodies


@frozen
class Decoded:
    """A body without its codings.

    Attributes:
        body: as much as could be decoded.
        problem: why ``body`` is incomplete; empty if it is complete.
    """

    body: bytes
    problem: str = ""


def decode(body: bytes, header: str | None, limit: int) -> Decoded:
    """Decode a short body; of a truncated or broken one, return the part before the fault.

    Args:
        body: the encoded bytes.
        header: the ``Content-Encoding``; it decides only if the bytes do not.
        limit: the maximum decoded size of each layer, in bytes.
    """
    labels = labels_of(header)
    problem = ""
    for _ in range(MAX_LAYERS + 1):
        coding = coding_of(body[:_HEAD], labels)
        if coding is None or (coding in _WITHOUT_MAGIC and _is_text(body[:_HEAD])):
            return Decoded(body, problem)
        inner, fault = _decode_layer(coding, body, limit)
        if not inner and coding not in _WITH_MAGIC:
            return Decoded(body, problem)  # a wrong label, or only a coincidence
        labels = labels[: labels.index(coding)] if coding in labels else labels
        body = inner
        problem = problem or fault
    return Decoded(b"", "too many nested codings")


def _is_text(head: bytes) -> bool:
    """Return whether the body is already text; compressed data never look like text for long."""
    characters = head[:16].removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace")
    return head.lstrip().startswith(b"{") or all(
        character.isspace() or " " <= character <= "~" for character in characters
    )


def _decode_layer(coding: str, body: bytes, limit: int) -> tuple[bytes, str]:
    """Decode one layer; return the result and why it is incomplete."""
    inner, problem, broken = _collect(coding, _blocks(body, _STEP), limit)
    if broken and len(body) <= _SHORT_BODY:
        # When a step fails, the library discards that step's output. Decode byte by byte instead,
        # since the output may contain the id of a paid job.
        inner, _, _ = _collect(coding, _blocks(body, 1), limit)
    return inner, problem


def _blocks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def _collect(coding: str, blocks: Iterable[bytes], limit: int) -> tuple[bytes, str, bool]:
    """Decode one layer; return the result, why it is incomplete, and whether the data is broken."""
    parts = bytearray()
    try:
        for piece in undo(coding, blocks):
            parts += piece
            if len(parts) > limit:
                return bytes(parts[:limit]), f"unpacks to more than {limit} bytes", False
    except Undecodable as error:
        return bytes(parts), str(error), not error.cut
    return bytes(parts), "", False


# Chunks


def unchunked(body: bytes) -> bytes:
    """Return the content of a body in chunks, as far as they are whole."""
    return _collect("aws-chunked", [body], len(body))[0]


def _unchunked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    reader = _ChunkReader(blocks)
    for _ in range(_MAX_PARTS):
        left = reader.chunk_size()
        if not left:
            return  # only checksums follow, and the file format is checked anyway
        while left:
            piece = reader.take(min(left, _PIECE))
            left -= len(piece)
            yield piece
        reader.line_end()
    raise Undecodable("too many chunks inside the body")


class _ChunkReader:
    """A buffer for the body's unread bytes."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._source = iter(blocks)
        self._bytes = bytearray()

    def _fill(self) -> None:
        block = next(self._source, b"")
        if not block:
            raise Undecodable("the chunks inside the body end early", cut=True)
        self._bytes += block

    def chunk_size(self) -> int:
        while (line := _CHUNK_LINE.match(self._bytes)) is None:
            if len(self._bytes) > _LONGEST_LINE:
                raise Undecodable("a broken chunk inside the body")
            self._fill()
        size = int(line[1], 16)
        del self._bytes[: line.end()]
        return size

    def take(self, most: int) -> bytes:
        if not self._bytes:
            self._fill()
        piece = bytes(self._bytes[:most])
        del self._bytes[:most]
        return piece

    def line_end(self) -> None:
        while len(self._bytes) < 2:
            self._fill()
        if self._bytes[:2] != b"\r\n":
            raise Undecodable("a broken chunk inside the body")
        del self._bytes[:2]


# Compression


class _Decoder(Protocol):
    """A decompressor with bounded output per call; it buffers the remaining input."""

    errors: tuple[type[Exception], ...]

    def feed(self, data: bytes) -> bytes: ...

    @property
    def ended(self) -> bool: ...

    @property
    def rest(self) -> bytes: ...


def _decompressed(coding: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    new, magic = _DECODERS[coding]
    decoder = new()
    members, held = 1, b""
    for block in blocks:
        data = held + block
        held = b""
        while data:
            if decoder.ended:
                if len(data) < len(magic):
                    held = data
                    break
                if not magic or not data.startswith(magic):
                    return  # padding or other bytes, which every decoder ignores
                members += 1
                if members > _MAX_PARTS:
                    raise Undecodable(f"too many {coding} members")
                decoder = new()
            yield from _pieces(coding, decoder, data)
            data = decoder.rest
    if not decoder.ended or (held and magic.startswith(held)):
        raise Undecodable(f"the {coding} data end early", cut=True)


def _pieces(coding: str, decoder: _Decoder, data: bytes) -> Iterator[bytes]:
    try:
        while piece := decoder.feed(data):
            yield piece
            data = b""
    except decoder.errors as error:
        raise Undecodable(f"broken {coding} data") from error


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self.errors: tuple[type[Exception], ...] = (zlib.error,)
        self._zlib = zlib.decompressobj(wbits)

    def feed(self, data: bytes) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, _PIECE)

    @property
    def ended(self) -> bool:
        return self._zlib.eof

    @property
    def rest(self) -> bytes:
        return self._zlib.unused_data


class _Zstd:
    def __init__(self) -> None:
        zstd = _imported("zstd", "compression.zstd", "backports.zstd")
        self.errors: tuple[type[Exception], ...] = (zstd.ZstdError,)
        self._zstd = zstd.ZstdDecompressor()

    def feed(self, data: bytes) -> bytes:
        return b"" if self._zstd.eof else bytes(self._zstd.decompress(data, _PIECE))

    @property
    def ended(self) -> bool:
        return bool(self._zstd.eof)

    @property
    def rest(self) -> bytes:
        return bytes(self._zstd.unused_data)


class _Brotli:
    def __init__(self) -> None:
        brotli = _imported("br", "brotli", "brotlicffi")
        # Releases before 1.2 have no output limit, so that one block may expand to gigabytes. They
        # raise TypeError for the unknown argument.
        self.errors: tuple[type[Exception], ...] = (brotli.error, TypeError)
        self._brotli = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        return bytes(self._brotli.process(data, output_buffer_limit=_PIECE))

    @property
    def ended(self) -> bool:
        return bool(self._brotli.is_finished())

    @property
    def rest(self) -> bytes:
        return b""


def _imported(coding: str, *modules: str) -> Any:
    """Import the first of these optional modules that is installed."""
    for module in modules:
        with contextlib.suppress(ImportError):
            return importlib.import_module(module)
    raise Undecodable(f"{coding} data, and no package that decodes them is installed")


_DECODERS: dict[str, tuple[Callable[[], _Decoder], bytes]] = {
    "gzip": (partial(_Zlib, 31), _GZIP),
    "zlib": (partial(_Zlib, 15), b""),
    "deflate": (partial(_Zlib, -15), b""),
    "zstd": (_Zstd, _ZSTD),
    "br": (_Brotli, b""),
}
