"""Serve finished files and uploads by GET, like the object storage of the API.

A single range follows RFC 9110; a request for several ranges gets the whole object.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from attrs import define, evolve, field, frozen

from ._answer import Answer, text_answer
from ._fault import FILE_KINDS, Fault
from ._faults import inject, inject_early
from ._files import File, FileStore, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._account import Account, Job
    from ._clock import Clock
    from ._context import ActiveScenario, RequestContext

UPLOAD_LIFE_SECONDS = 86_400.0
_FIRST_UPLOAD = 900_000
_ENDINGS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "video/mp4": "mp4",
}
_OTHER_ETAG = '"00000000000000000000000000000000"'
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@frozen
class _Upload:
    file: File
    expires: float


@define(eq=False)
class Storage:
    """The objects of one sandbox; the storage and mirror hosts serve them."""

    _account: Account
    _file_store: FileStore
    _clock: Clock
    _origin: str
    _scenario_of: Callable[[str], ActiveScenario]
    _jobs: dict[str, Job] = field(factory=dict, init=False, repr=False)
    _uploads: dict[str, _Upload] = field(factory=dict, init=False, repr=False)

    def register(self, job: Job) -> None:
        """Add the job's objects by their paths; they can be read when the job has finished."""
        for path in job.names.values():
            self._jobs[path] = job

    def keep_upload(self, body: bytes, content_type: str) -> tuple[int, str]:
        """Store an upload for a day; return its id and URL."""
        number = _FIRST_UPLOAD + len(self._uploads)
        digest = hashlib.sha256(b"%d" % number + body).hexdigest()[:32]
        ending = _ENDINGS.get(content_type, "bin")
        path = f"/temp/{digest}.{ending}"
        expires = self._clock.now() + UPLOAD_LIFE_SECONDS
        served_as = content_type if content_type in _ENDINGS else "application/octet-stream"
        self._uploads[path] = _Upload(stored(body, served_as), expires)
        return number, self._origin + path

    async def handle(self, x: RequestContext, path: str) -> Answer | None:
        """Return the response, or None if a fault has already used the connection."""
        job = self._jobs.get(path)
        if job and job.pinned and not x.active.name:
            x.active = self._scenario_of(job.pinned)
        host = self._link(x, path, job)
        if (fault := x.draw("download", host=host, early=True)) and inject_early(fault, x):
            return None
        await x.read()
        if x.record.method not in ("GET", "HEAD"):
            return text_answer("Method Not Allowed", status=405)
        self._account.settle(self._clock.now())
        fault = x.draw("download", host=host)
        found = await self._find(x, path, job)
        if fault is None:
            return _served(x, found)
        return await self._with_fault(fault, x, found, job)

    def _link(self, x: RequestContext, path: str, job: Job | None) -> str:
        if x.record.host == "mirror":
            return "mirror"
        apart = job is not None and job.names["future"] != job.names["output"]
        return "future" if apart and job and path == job.names["future"] else "primary"

    async def _with_fault(
        self, fault: Fault, x: RequestContext, found: File | Answer, job: Job | None
    ) -> Answer | None:
        if isinstance(found, File) and (fault.kind in FILE_KINDS):
            if job and fault.kind in ("mp3", "flac"):
                await self._file_store.prepare(job, fault.kind)
            return self._changed(fault, x, found, job).with_headers(fault.headers)

        async def genuine() -> Answer:
            return _served(x, found)

        return await inject(fault, x, genuine)

    def _changed(self, fault: Fault, x: RequestContext, file: File, job: Job | None) -> Answer:
        """Return valid bytes that are not the requested ones."""
        size = len(file.body)
        match fault.kind:
            case "mp3" | "flac" if job:
                other = self._file_store.file(job, fault.kind)
                return ranged(x, evolve(other, content_type="audio/wav"))
            case "other_wav" if job:
                return ranged(x, stored(self._file_store.other_wav(job), "audio/wav"))
            case "new_etag":
                return ranged(x, evolve(file, etag=_OTHER_ETAG))
            case "other_etag":
                return ranged(x, file).with_headers({"ETag": _OTHER_ETAG})
            case "partial_unasked":
                return part(file, 0, fault.offset(size))
            case "wrong_offset":
                return part(file, fault.offset(size), size)
            case "range_refused":
                return refused_range(file)
            case _:
                return whole(file)

    async def _find(self, x: RequestContext, path: str, job: Job | None) -> File | Answer:
        """Return the object at `path`, or the response if it cannot be read now."""
        now = self._clock.now()
        if upload := self._uploads.get(path):
            return upload.file if now < upload.expires else _denied("Request has expired")
        if job is None or job.state != "success":
            return _NO_SUCH_KEY
        scenario = x.scenario
        lagging = x.record.host == "storage" or scenario.cdn_lag_on == "both"
        if lagging and now < job.finished_at + scenario.cdn_lag_seconds:
            return _NO_SUCH_KEY if scenario.cdn_lag_status == 404 else _denied("Access Denied")
        if job.temp and now > job.finished_at + scenario.temp_link_seconds:
            return _denied("Request has expired")
        if _signature_expired(x.record.path, now):
            return _denied("Request has expired")
        await self._file_store.prepare(job)
        file = self._file_store.file(job)
        if scenario.output == "base64_body":
            return stored(base64.b64encode(file.body), "text/plain")
        return file


def _served(x: RequestContext, found: File | Answer) -> Answer:
    return found if isinstance(found, Answer) else ranged(x, found)


def ranged(x: RequestContext, file: File) -> Answer:
    """Return the requested range, or the whole object if `If-Range` does not match."""
    headers = x.request.headers
    asked = _RANGE.fullmatch(headers.get("Range", ""))
    if asked is None or headers.get("If-Range", file.etag) != file.etag:
        return whole(file)
    size = len(file.body)
    first, last = asked.groups()
    if first:
        start, end = int(first), min(size, int(last) + 1) if last else size
    elif last:
        start, end = max(0, size - int(last)), size
    else:
        return whole(file)
    return part(file, start, end) if start < end else refused_range(file)


def whole(file: File) -> Answer:
    return Answer(200, file.body, _headers(file))


def part(file: File, start: int, end: int) -> Answer:
    content_range = {"Content-Range": f"bytes {start}-{end - 1}/{len(file.body)}"}
    return Answer(206, file.body[start:end], {**_headers(file), **content_range})


def refused_range(file: File) -> Answer:
    headers = {"Content-Range": f"bytes */{len(file.body)}", "Content-Type": "text/plain"}
    return Answer(416, b"", headers)


def _headers(file: File) -> dict[str, str]:
    return {"Content-Type": file.content_type, "ETag": file.etag, "Accept-Ranges": "bytes"}


def _signature_expired(target: str, now: float) -> bool:
    expires = parse_qs(target.partition("?")[2]).get("X-Expires")
    try:
        return expires is not None and float(expires[0]) < now
    except ValueError:
        return True


def _xml_error(status: int, code: str, message: str) -> Answer:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
    return text_answer(text, status=status, content_type="application/xml")


def _denied(message: str) -> Answer:
    return _xml_error(403, "AccessDenied", message)


_NO_SUCH_KEY = _xml_error(404, "NoSuchKey", "The specified key does not exist.")
