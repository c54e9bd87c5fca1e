"""Find the marks that say where a sound comes from, and add them to a WAV file.

Marks are ``LIST/INFO`` chunks, which players show; XMP, in which the IPTC's digital source type
says that a model has made the sound; and C2PA manifests, which are signed. The samples are never
touched. A file with a C2PA manifest is left alone: any change would break its signature.

Sources: Microsoft, "Multimedia Programming Interface 1.0" (INFO); Adobe, "XMP Specification Part
3" (chunk ``_PMX``, ID3 frame ``PRIV``); C2PA 2.2, appendix A (chunk ``C2PA``, ID3 frame ``GEOB``);
IPTC Photo Metadata 2025.1 (properties of AI).
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from .mpeg import after_tags
from .sound import Piece, ReadAt
from .wav import Chunk, chunks_of

AI_SOURCE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""The IPTC's word for "made by a generative model"."""

_MAX_TEXT = 2000
_MAX_TITLE = 120
_MAX_READ = 4 * 1024 * 1024
_MAX_BLOCKS = 1000
# What no XML may hold, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Mark(enum.StrEnum):
    """A mark in a file."""

    C2PA = "c2pa"
    """A signed manifest. Whether its signature holds is not checked here."""
    XMP = "xmp"
    """XMP that does not say that a model made the sound."""
    XMP_AI = "xmp_ai"
    """XMP with the IPTC digital source type ``trainedAlgorithmicMedia``."""
    INFO = "info"
    """Title, comment and the like in a WAV file."""
    ID3 = "id3"
    """The same as an ID3 tag."""
    VORBIS = "vorbis"
    """The same as Vorbis comments, in FLAC."""
    VORBIS_AI = "vorbis_ai"
    """Vorbis comments with the IPTC digital source type ``trainedAlgorithmicMedia``."""


@frozen(kw_only=True)
class Provenance:
    """Where a sound comes from.

    Attributes:
        prompt: what was asked for.
        model: the endpoint, such as ``music_gen``.
        job_id: the server's id of its job.
        track_id: as it was sent.
        created: when the file was saved, as ``2026-11-27T17:00:00Z``.
        software: what wrote the mark.
        sha256: of the file as the server sent it, in hex.
    """

    prompt: str = ""
    model: str = ""
    job_id: str = ""
    track_id: str = ""
    created: str = ""
    software: str = ""
    sha256: str = ""


def marks_in(read_at: ReadAt, size: int) -> tuple[Mark, ...]:
    """The marks of a file of ``size`` bytes: WAV, MP3 or FLAC."""
    head = read_at(0, 12)
    found: list[Mark] = []
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        for chunk in chunks_of(read_at, size):
            found += _marks_of_chunk(read_at, chunk)
    else:
        start = after_tags(read_at)
        if start:
            found += _marks_of_id3(read_at(0, min(start, _MAX_READ)))
        if read_at(start, 4) == b"fLaC":
            found += _marks_of_flac(read_at, start + 4)
        if size > 128 and read_at(size - 128, 3) == b"TAG":
            found.append(Mark.ID3)
    return tuple(mark for mark in Mark if mark in found)


def _marks_of_chunk(read_at: ReadAt, chunk: Chunk) -> Iterator[Mark]:
    name = chunk.name.upper()
    if name == b"LIST" and read_at(chunk.start, 4) == b"INFO":
        yield Mark.INFO
    elif name == b"_PMX":
        yield _xmp(read_at(chunk.start, min(chunk.length, _MAX_READ)))
    elif name == b"C2PA":
        yield Mark.C2PA
    elif name == b"ID3 ":
        yield from _marks_of_id3(read_at(chunk.start, min(chunk.length, _MAX_READ)))


def _marks_of_id3(tag: bytes) -> Iterator[Mark]:
    yield Mark.ID3
    if b"GEOB" in tag and re.search(rb"application/(?:x-)?c2pa|c2pa\0", tag):
        yield Mark.C2PA
    if b"PRIV" in tag and b"XMP\0" in tag:
        yield _xmp(tag)


def _marks_of_flac(read_at: ReadAt, at: int) -> Iterator[Mark]:
    for _ in range(_MAX_BLOCKS):
        head = read_at(at, 4)
        length = int.from_bytes(head[1:], "big")
        if len(head) == 4 and head[0] & 0x7F == 4:
            comments = read_at(at + 4, min(length, _MAX_READ))
            yield Mark.VORBIS_AI if AI_SOURCE.encode() in comments else Mark.VORBIS
        if len(head) < 4 or head[0] & 0x80:
            return
        at += 4 + length


def _xmp(packet: bytes) -> Mark:
    return Mark.XMP_AI if AI_SOURCE.encode() in packet else Mark.XMP


def tagged(read_at: ReadAt, size: int, about: Provenance) -> tuple[Piece, ...] | str:
    """The pieces of a WAV file with marks after its last chunk; or why it gets none.

    Marks that it has already stay, so a file that was tagged before stays as it is. All its other
    chunks, and the samples, are the same bytes.
    """
    if read_at(0, 4) != b"RIFF":
        return "only WAV files of up to 4 GiB can be tagged"
    chunks, marks = chunks_of(read_at, size), marks_in(read_at, size)
    if Mark.C2PA in marks:
        return "it has a C2PA manifest, whose signature a tag would break"
    riff = int.from_bytes(read_at(4, 4), "little") + 8
    if not chunks or riff not in (size, size - 1) or chunks[-1].end > size:
        return "its header does not fit its size"
    added = b"" if Mark.INFO in marks else _info(about)
    if not {Mark.XMP, Mark.XMP_AI} & {*marks}:
        added += _chunk(b"_PMX", xmp_of(about).encode())
    pad = b"\0" * (size % 2)
    length = size + len(pad) + len(added) - 8
    if not added:
        return (range(size),)
    if length > 0xFFFF_FFFF:
        return "only WAV files of up to 4 GiB can be tagged"
    return b"RIFF" + length.to_bytes(4, "little"), range(8, size), pad + added


def comment_of(about: Provenance) -> str:
    """What a comment says: JSON, for programs and for people."""
    named = {
        "prompt": about.prompt,
        "model": about.model,
        "job_id": about.job_id,
        "track_id": about.track_id,
        "sha256": about.sha256,
    }
    texts = {name: _plain(text) for name, text in named.items() if text}
    return json.dumps(texts, ensure_ascii=False)


def title_of(about: Provenance) -> str:
    """The prompt as a title: its first line, and not all of a long one."""
    return " ".join(_plain(about.prompt).split())[:_MAX_TITLE]


def xmp_of(about: Provenance) -> str:
    """An XMP packet that says that a model made the sound, and which."""
    system = f"ModelsLab {about.model}".strip()
    made = f"Generated by {system}" + (f", job {about.job_id}" if about.job_id else "")
    dated = f"<xmp:CreateDate>{_xml(about.created)}</xmp:CreateDate>" if about.created else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{AI_SOURCE}</Iptc4xmpExt:DigitalSourceType>"
        f"<Iptc4xmpExt:AISystemUsed>{_xml(system)}</Iptc4xmpExt:AISystemUsed>"
        f"<Iptc4xmpExt:AIPromptInformation>{_xml(about.prompt)}</Iptc4xmpExt:AIPromptInformation>"
        f"<xmp:CreatorTool>{_xml(about.software)}</xmp:CreatorTool>{dated}"
        f"<dc:title>{_alternatives(title_of(about))}</dc:title>"
        f"<dc:description>{_alternatives(made)}</dc:description>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def _alternatives(text: str) -> str:
    return f'<rdf:Alt><rdf:li xml:lang="x-default">{_xml(text)}</rdf:li></rdf:Alt>'


def _xml(text: str) -> str:
    return _plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> str:
    """The start of a text, without what XML and texts that end with NUL cannot hold."""
    return _NOT_XML.sub("\ufffd", text[:_MAX_TEXT])


def _info(about: Provenance) -> bytes:
    fields = {
        b"INAM": title_of(about),
        b"ICMT": comment_of(about),
        b"ISFT": _plain(about.software),
        b"ICRD": _plain(about.created[:10]),
        b"IKEY": "AI-generated",
    }
    texts = (_chunk(name, text.encode() + b"\0") for name, text in fields.items() if text)
    return _chunk(b"LIST", b"INFO" + b"".join(texts))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
