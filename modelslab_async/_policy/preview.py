"""Show saved files in a notebook: one piece of HTML of limited size, with everything inside.

A notebook stores what it shows. Complete files would make it too large to open, and a link to a
file does not play in most front ends. So a small file is embedded as it is, and of a large one only
a coarse beginning and a waveform. Text from outside is escaped; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable

from attrs import field, frozen

from .._protocol.audio import HEAD, sniff
from .._protocol.excerpt import LOUDEST, excerpt, peaks
from .._protocol.image import image_extension
from .._protocol.mpeg import after_tags
from .._protocol.sound import AudioFormat, ReadAt
from .._protocol.text import text_refusal
from .._protocol.video import is_mp4
from .._protocol.wav import Samples, samples_of
from .._text import plural, safe_text, size_text

MAX_HTML = 260_000
"""The most bytes of one preview."""
MAX_PLAYERS = 3
"""The most files of one preview; more would be too short to tell apart."""

_AROUND = 10_000  # bytes around the content: names, the path, the waveform
_MAX_NAME = 200
_MAX_PATH = 600
_MAX_TEXT = 4000
_BARS, _HALF = 160, 22
_AUDIO = {
    AudioFormat.WAV: "audio/wav",
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.FLAC: "audio/flac",
}
_IMAGES = {".png": "png", ".jpg": "jpeg", ".gif": "gif", ".webp": "webp"}


@frozen(kw_only=True)
class Shown:
    """A file to show.

    Attributes:
        name: what the user knows it by; may be empty.
        path: where it is.
        size: bytes when it was saved.
        sha256: of its bytes then, in hex.
        seconds: duration; ``None`` if unknown.
        read_at: reads its bytes; ``None`` if it cannot be read.
        fault: why it cannot be read, as the end of a sentence about it.
    """

    path: str
    size: int
    sha256: str = field(repr=False)
    seconds: float | None
    name: str = ""
    read_at: ReadAt | None = field(default=None, repr=False)
    fault: str = ""


def preview(files: Iterable[Shown], count: int, heading: str = "") -> str:
    """The HTML of the first of ``count`` files; at most `MAX_HTML` bytes.

    Args:
        files: in order; no more than `MAX_PLAYERS` are asked for.
        count: how many there are in all.
        heading: text before them.
    """
    shown = min(count, MAX_PLAYERS)
    parts = [message(heading)] if heading else []
    for index, file in zip(range(shown), files, strict=False):
        used = sum(len(part.encode()) for part in parts)
        room = (MAX_HTML - _AROUND - used) // (shown - index) - _AROUND
        parts.append(_block(file, room))
    if count > shown:
        parts.append(f"<div>and {plural(count - shown, 'more file')}</div>")
    return f'<div style="font:13px/1.6 system-ui,sans-serif">{"".join(parts)}</div>'


def message(text: str) -> str:
    """The HTML of a text in the place of files."""
    return f"<div>{_text(text, _MAX_PATH)}</div>"


def _block(file: Shown, room: int) -> str:
    fact = size_text(file.size) if file.seconds is None else f"{file.seconds:.1f} s"
    title = f"<b>{_text(file.name, _MAX_NAME)}</b> " if file.name else ""
    content = _lines(file.fault) if file.read_at is None else _content(file, file.read_at, room)
    line = f"{title}<code>{_text(file.path, _MAX_PATH)}</code> {fact}"
    return f'<div style="margin:.6em 0">{line}{content}</div>'


def _content(file: Shown, read_at: ReadAt, room: int) -> str:
    head = read_at(0, min(file.size, HEAD))
    kind = sniff(head)
    if isinstance(kind, AudioFormat):
        return _sound(file, kind, read_at, room)
    if picture := _picture(head):
        return _embedded(file, *picture, read_at) if _fits(file.size, room) else _too_large(file)
    if text_refusal(head) is None:
        return _transcript(file, read_at, room)
    return _lines("cannot be shown here: open the file")


def _picture(head: bytes) -> tuple[str, str] | None:
    """The element and the media type of an image or a video; ``None`` if it is neither."""
    if extension := image_extension(head):
        return "img", f"image/{_IMAGES[extension]}"
    return ("video", "video/mp4") if is_mp4(head) else None


def _sound(file: Shown, kind: AudioFormat, read_at: ReadAt, room: int) -> str:
    samples = samples_of(read_at, file.size) if kind is AudioFormat.WAV else None
    wave = _waveform(peaks(read_at, samples, _BARS)) if samples else ""
    if _fits(file.size, room):
        return wave + _embedded(file, "audio", _AUDIO[kind], read_at)
    begun = _beginning(file, kind, samples, read_at, room // 4 * 3)
    if begun is None:
        return wave + _too_large(file)
    data, seconds, how = begun
    player = _element("audio", _AUDIO[kind], data)
    length = "the beginning" if seconds is None else f"the first {seconds:.0f} s"
    return wave + player + _lines(f"{length}{how}; the file has all of it")


def _beginning(
    file: Shown, kind: AudioFormat, samples: Samples | None, read_at: ReadAt, most: int
) -> tuple[bytes, float | None, str] | None:
    """A playable beginning of ``most`` bytes, its seconds if known, and how it differs."""
    if samples:
        return *excerpt(read_at, samples, most), ", as an 8-bit preview"
    if kind is not AudioFormat.MP3:  # its frames stand alone, those of the others do not
        return None
    start = after_tags(read_at)
    data = read_at(start, most)
    part = len(data) / max(file.size - start, 1)
    return data, None if file.seconds is None else file.seconds * part, ""


def _too_large(file: Shown) -> str:
    return _lines(f"{size_text(file.size)} is too large to embed: open the file")


def _fits(size: int, room: int) -> bool:
    return (size + 2) // 3 * 4 <= room


def _embedded(file: Shown, tag: str, mime: str, read_at: ReadAt) -> str:
    data = read_at(0, file.size)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        return _lines("has changed since it was saved")
    return _element(tag, mime, data)


def _element(tag: str, mime: str, data: bytes) -> str:
    source = f'src="data:{mime};base64,{base64.b64encode(data).decode()}"'
    if tag == "img":
        return f'<br><img alt="" style="max-width:100%;max-height:24em" {source}>'
    return f'<br><{tag} controls preload="metadata" style="max-width:100%" {source}></{tag}>'


def _transcript(file: Shown, read_at: ReadAt, room: int) -> str:
    most = min(_MAX_TEXT, room // 10)  # a character takes at most ten bytes when it is escaped
    text = read_at(0, min(file.size, most * 4)).decode(errors="ignore")
    lines = "\n".join(_text(line, most * 10) for line in text[:most].splitlines())
    style = "white-space:pre-wrap;max-height:20em;overflow:auto"
    is_cut = len(text) > most or file.size > most * 4
    rest = _lines("the beginning; the file has all of it") if is_cut else ""
    return f'<pre style="{style}">{lines}</pre>{rest}'


def _waveform(heights: list[int]) -> str:
    bars = (max(height * _HALF // LOUDEST, 1) for height in heights)
    path = "".join(f"M{3 * at + 1},{_HALF - bar}v{2 * bar}" for at, bar in enumerate(bars))
    size = f'width="{3 * _BARS}" height="{2 * _HALF}" viewBox="0 0 {3 * _BARS} {2 * _HALF}"'
    stroke = 'stroke="currentColor" stroke-width="2" opacity=".6"'
    return f'<br><svg {size} role="img" aria-label="waveform"><path d="{path}" {stroke}/></svg>'


def _lines(text: str) -> str:
    return f"<br><small>{_text(text, _MAX_NAME)}</small>"


def _text(text: str, limit: int) -> str:
    return html.escape(safe_text(text, limit))
