"""Undo what a downloaded file is packed in, from part file to part file. Plain blocking code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._protocol.audio import HEAD, begins, sniff
from .._protocol.encoding import LABELLED_ONLY, MAX_LAYERS, Undecodable, coding_of, undo
from .._protocol.files import begins_as, refusal
from .._protocol.output import Output
from .partfile import PartFile


def undo_all(part: PartFile, gives: Output, codings: tuple[str, ...], max_bytes: int) -> bool:
    """Unpack a file until it begins as what was asked for; False if it did from the start.

    Bytes come before labels: what is that already is not unpacked, whatever it is said to be.

    Args:
        part: the file; it stays as it is if this fails.
        gives: what was asked for.
        codings: what the server says that it is encoded with.
        max_bytes: more than these are not written.

    Raises:
        Undecodable: it is broken, cut, too large, or something else inside.
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
            break  # only its label said that it was packed
        codings = tuple(label for label in codings if label != coding)
        undone = True
    return undone


def _is_behind_text(head: bytes) -> bool:
    """Whether a sound begins behind text. Behind other bytes it may show through its packing."""
    found = begins(head)
    return not isinstance(found, str) and sniff(head[: found[1]]) in ("text", "empty")


def _checked(pieces: Iterable[bytes], gives: Output, max_bytes: int) -> Iterator[bytes]:
    """The pieces, as long as they can be what was asked for, of a size that is allowed."""
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
