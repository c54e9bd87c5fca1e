"""Decompress a downloaded file, from part file to part file. Plain blocking code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._protocol.audio import HEAD, begins, sniff
from .._protocol.encoding import LABELLED_ONLY, MAX_LAYERS, Undecodable, coding_of, undo
from .._protocol.files import begins_as, refusal
from .._protocol.output import Output
from .partfile import PartFile


def undo_all(part: PartFile, gives: Output, codings: tuple[str, ...], max_bytes: int) -> bool:
    """Decompress a file until it begins like the requested content; False if it already did.

    The bytes decide, not the labels: a file that already is the requested content stays as it is,
    whatever codings the server states.

    Args:
        part: the file; unchanged if this fails.
        gives: the requested kind of content.
        codings: the content codings that the server states.
        max_bytes: the largest decompressed size.

    Raises:
        Undecodable: it is damaged, truncated, too large, or contains something else.
    """
    undone = False
    for _ in range(MAX_LAYERS):
        head = part.read_at(0, HEAD)
        coding = None if begins_as(gives, head) else coding_of(head, codings)
        if coding is None:
            break
        try:
            part.rewrite(_checked(undo(coding, part.read(range(part.size))), gives, max_bytes))
        except Undecodable:
            if coding not in LABELLED_ONLY or not _is_behind_text(head):
                raise
            break  # it is not compressed, whatever its label says
        codings = tuple(label for label in codings if label != coding)
        undone = True
    return undone


def _is_behind_text(head: bytes) -> bool:
    """Return whether audio follows text; after other bytes, the match may be compressed data."""
    found = begins(head)
    return not isinstance(found, str) and sniff(head[: found[1]]) in ("text", "empty")


def _checked(pieces: Iterable[bytes], gives: Output, max_bytes: int) -> Iterator[bytes]:
    """Pass the pieces on while they may be the requested content and within the size limit."""
    head, size = b"", 0
    for piece in pieces:
        size += len(piece)
        if len(head) < HEAD:
            head += piece
            reason = refusal(gives, head[:HEAD])
            if reason and len(head) >= HEAD and coding_of(head) is None:
                raise Undecodable(f"packed, and {reason} inside")
        if size > max_bytes:
            raise Undecodable(f"over {max_bytes} bytes when unpacked (max_bytes)")
        yield piece
