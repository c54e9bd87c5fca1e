"""Replay a recording of `ModelsLab(record=...)`: the same answers in the same order.

A recording holds no keys, prompts or links. Its links become links of this sandbox, which serves
rendered files there, and its track ids become those of the client that replays. What a recording
does not hold (the wallet, say) is answered as by any sandbox. Times to wait are shortened.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from ._account import Job
from ._answer import Answer, dump, text_answer
from ._context import RawConnection
from ._endpoints import ENDPOINTS
from ._storage import ranged, whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ._account import AccountBook
    from ._context import Origins, RequestContext
    from ._files import FileStore
    from ._inspection import Handle

FORMAT: Final = 1
_MAX_SIZE = 256 * 1024 * 1024
_LINK = re.compile(r"\{link-(\d+)\}")
_TRACK = re.compile(r"\{(track-\d+)(:int)?\}")
_ENDINGS = ("wav", "mp3", "flac", "txt", "mp4")
_SECONDS = 2.0
_PATH = "/replay/"
_WAITS = ("eta", "retry_after")
_SHORT = 0.05
"""Seconds; nothing is generated here, so nobody has to wait as long as then."""

_NO_MORE = "the recording has no further answer to this request"


class RecordingError(ValueError):
    """A recording cannot be replayed; the message says why."""


@define(eq=False)
class _Series:
    """The recorded exchanges of one target, in their order."""

    exchanges: list[Mapping[str, Any]] = field(factory=list)
    used: int = 0

    def next(self, *, repeats: bool) -> Mapping[str, Any] | None:
        """The next one; after the last one the last, if it repeats."""
        at = min(self.used, len(self.exchanges) - 1) if repeats else self.used
        self.used += 1
        return self.exchanges[at] if at < len(self.exchanges) else None


class Replay:
    """The answers of one recording.

    Args:
        source: the recording's file, or its text.

    Raises:
        RecordingError: it is no recording, or one of another format.
        OSError: the file cannot be read.
    """

    def __init__(self, source: Path | str) -> None:
        self._api: dict[str, _Series] = {}
        self._links: dict[str, _Series] = {}
        self._endings: dict[str, str] = {}
        self._tracks: dict[str, Any] = {}
        for line in _lines(source):
            self._add(line)

    def attach(self, origins: Origins, files: FileStore, book: AccountBook) -> None:
        """Answer for this sandbox from now on."""
        self._origins, self._files, self._book = origins, files, book

    def before(self, handle: Handle) -> Handle:
        """Return a handler that answers what was recorded, and leaves the rest to another one."""

        async def answer(x: RequestContext, path: str) -> Answer | None:
            if x.record.host == "api" and path in self._api:
                return await self._answer(x, path)
            if x.record.host == "storage" and path.startswith(_PATH):
                return await self._file(x, path.removeprefix(_PATH))
            return await handle(x, path)

        return answer

    async def _answer(self, x: RequestContext, path: str) -> Answer | None:
        """Return the recorded response; None if there was none, after resetting the connection."""
        await x.read()
        x.parse()
        is_paid = path in ENDPOINTS
        exchange = self._api[path].next(repeats=not is_paid)
        if exchange is None:
            message = {"status": "error", "message": _NO_MORE}
            return Answer(409, dump(message), {"Content-Type": "application/json"})
        self._learn_tracks(exchange.get("sent"), x.document)
        if not exchange.get("status"):
            RawConnection(x.request).reset()
            return None
        body = self._body(exchange)
        if is_paid and isinstance(exchange.get("body"), dict) and _is_accepted(exchange["body"]):
            job_id = str(exchange["body"].get("id"))
            self._book.debits.append((int(job_id) if job_id.isdecimal() else 0, 0.0))
        return Answer(int(exchange["status"]), body, self._headers(exchange))

    def _add(self, line: Mapping[str, Any]) -> None:
        target = str(line.get("target", ""))
        if line.get("where") == "api" and line.get("was_sent", True):
            self._api.setdefault(target, _Series()).exchanges.append(line)
        elif line.get("where") == "storage" and (link := _LINK.fullmatch(target)):
            self._links.setdefault(link[1], _Series()).exchanges.append(line)
        for name, about in dict(line.get("links") or {}).items():
            self._endings[str(name).removeprefix("link-")] = str(about.get("ending", ""))

    async def _file(self, x: RequestContext, name: str) -> Answer | None:
        await x.read()
        number, _, ending = name.partition(".")
        series = self._links.get(number)
        exchange = series.next(repeats=True) if series else None
        if exchange is not None and not exchange.get("status"):
            RawConnection(x.request).reset()
            return None
        status = int(exchange["status"]) if exchange else 200
        headers = self._headers(exchange) if exchange else {}
        if status not in (200, 206):
            return text_answer("recorded", status=status).with_headers(headers)
        kind = headers.get("content-type", "")
        if kind.startswith(("text/html", "application/xml")) and ending != "txt":
            return text_answer("<html>recorded</html>", status=status, content_type=kind)
        job = _job(int(number), ending if ending in _ENDINGS else "wav")
        await self._files.prepare(job)
        file = self._files.file(job)
        return ranged(x, file) if _supports_ranges(series) else whole(file)

    def _headers(self, exchange: Mapping[str, Any]) -> dict[str, str]:
        """The recorded headers that are still true of what is sent."""
        kept = {}
        for name, value in dict(exchange.get("headers") or {}).items():
            if name == "location":
                kept[name] = self._filled(str(value))
            elif name == "retry-after":
                kept[name] = str(_soon(str(value)))
            elif name == "content-type" or "ratelimit" in name:
                kept[name] = str(value).replace("\r", "").replace("\n", "")
        return kept

    def _body(self, exchange: Mapping[str, Any]) -> bytes:
        if "body" in exchange:
            return dump(self._filled(exchange["body"]))
        return str(self._filled(str(exchange.get("text", "")))).encode()

    def _filled(self, value: Any) -> Any:
        """A recorded value with this sandbox's links and the client's own ids."""
        if isinstance(value, dict):
            return {
                name: _soon(one) if name in _WAITS else self._filled(one)
                for name, one in value.items()
            }
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if not isinstance(value, str):
            return value
        if track := _TRACK.fullmatch(value):
            own = self._tracks.get(track[1], 1 if track[2] else track[1])
            return own if track[2] else str(own)
        value = value.replace("{api}", self._origins.api).replace(
            "{foreign}", self._origins.foreign
        )
        return _LINK.sub(self._url, value)

    def _url(self, link: re.Match[str]) -> str:
        ending = self._endings.get(link[1], "")
        name = f"{link[1]}.{ending}" if ending else link[1]
        return f"{self._origins.storage}{_PATH}{name}"

    def _learn_tracks(self, recorded: Any, document: Mapping[str, Any]) -> None:
        """Note which id of this client stands for which one of the recording."""
        if not isinstance(recorded, dict) or "track_id" not in document:
            return
        track = _TRACK.fullmatch(str(recorded.get("track_id")))
        if track:
            self._tracks[track[1]] = document["track_id"]


def _lines(source: Path | str) -> list[Mapping[str, Any]]:
    if not isinstance(source, str):
        if source.stat().st_size > _MAX_SIZE:
            raise RecordingError(f"{source} is too large for a recording")
        source = source.read_text(encoding="utf-8", errors="replace")
    lines: list[Mapping[str, Any]] = []
    for number, text in enumerate(source.splitlines(), 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            if number == 1:
                break
            continue  # a run that was killed may have left half a line
        if isinstance(line, dict):
            lines.append(line)
    if not lines or "modelslab_recording" not in lines[0]:
        raise RecordingError("this is no recording of modelslab-async")
    if lines[0]["modelslab_recording"] != FORMAT:
        raise RecordingError(f"this recording has another format than {FORMAT}")
    return lines[1:]


def _is_accepted(body: Mapping[str, Any]) -> bool:
    return body.get("status") in ("success", "processing", "queued") and bool(
        body.get("id") or body.get("output")
    )


def _soon(value: Any) -> Any:
    """A recorded time to wait, of the same type and short."""
    if isinstance(value, float):
        return min(value, _SHORT)
    if isinstance(value, int) and not isinstance(value, bool):
        return min(value, 0)
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        return "0"
    return value


def _supports_ranges(series: _Series | None) -> bool:
    """Whether the recorded host could resume a download, as far as its headers told."""
    if series is None:
        return True
    headers = [dict(one.get("headers") or {}) for one in series.exchanges]
    return any(one.get("accept-ranges") == "bytes" or "content-range" in one for one in headers)


def _job(number: int, ending: str) -> Job:
    """What the files of a recording are rendered of: the same for the same link."""
    return Job(
        id=number,
        path=_PATH,
        track_id=None,
        prompt="replay",
        request={},
        submitted_at=0.0,
        seconds=_SECONDS,
        sample_rate=44100,
        extension=ending,
    )
