"""Inject faults: change a response, or write invalid HTTP to the raw connection.

`inject` returns the response to send, or None if the fault has already used the connection.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Awaitable, Callable
from itertools import repeat
from typing import TYPE_CHECKING

from ._answer import Answer, json_answer, reason, text_answer
from ._context import RawConnection, RequestContext
from ._wire_faults import DRIP_SECONDS, WIRE_FAULTS, count, hold

if TYPE_CHECKING:
    from ._fault import Fault

Genuine = Callable[[], Awaitable[Answer]]


def inject_early(fault: Fault, x: RequestContext) -> bool:
    """Inject a fault before the body is read; return whether the connection is closed."""
    if fault.kind == "reset_in_request":
        RawConnection(x.request).reset()
        return True
    x.pace = (count(fault, 1024), DRIP_SECONDS if fault.seconds is None else fault.seconds)
    return False


async def inject(fault: Fault, x: RequestContext, genuine: Genuine) -> Answer | None:
    """Apply `fault` to the response that `genuine` returns."""
    if fault.kind in _REPLACED:
        return _REPLACED[fault.kind](fault, x).with_headers(fault.headers)
    if fault.kind in _CHANGED:
        answer = (await genuine()).with_headers(fault.headers)
        return await _CHANGED[fault.kind](fault, x, answer)
    await _inject_raw(fault, x, genuine)
    return None


async def _inject_raw(fault: Fault, x: RequestContext, genuine: Genuine) -> None:
    wire = RawConnection(x.request)
    if fault.kind == "reset":
        return wire.reset()
    if fault.kind == "silent":
        return await hold(fault, wire)
    answer = (await genuine()).with_headers(fault.headers)
    x.record.status = answer.status
    await WIRE_FAULTS[fault.kind](fault, wire, answer)
    return wire.close()


# Faults that replace the response.


def _answer(fault: Fault, x: RequestContext) -> Answer:
    content = fault.content()
    if fault.prompt is not None:
        spelled = json.dumps(str(x.document.get("prompt", "")))[1:-1]
        content = content.replace(b"{prompt}", spelled.encode())
    return Answer(fault.status or 200, content, {"Content-Type": "application/json"})


def _edge(fault: Fault, _: RequestContext) -> Answer:
    status = fault.status or 502
    title = {520: "Web server is returning an unknown error", 524: "A timeout occurred"}
    words = title.get(status, reason(status))
    page = f"<!DOCTYPE html><html><head><title>{status}: {words}</title></head><body></body></html>"
    return text_answer(fault.body or page, status=status, content_type="text/html")


def _runtime(fault: Fault, _: RequestContext) -> Answer:
    """Return an error of the PHP runtime, which has no `status` field."""
    status = fault.status or 503
    error, message = {
        408: ("Request Timeout", "Request exceeded maximum execution time of 60 seconds"),
        500: ("Internal Server Error", "An error occurred while processing your request"),
    }.get(status, ("Service Unavailable", "Worker not initialized yet"))
    return json_answer({"error": error, "message": message, "worker_id": 5}, status=status)


def _redirect(fault: Fault, x: RequestContext) -> Answer:
    location = fault.location
    headers = {"Content-Type": "text/html"}
    if location is not None:
        at = x.origins
        for name, value in (
            ("{api}", at.api),
            ("{storage}", at.storage),
            ("{mirror}", at.mirror),
            ("{foreign}", at.foreign),
            ("{path}", x.record.path),
        ):
            location = location.replace(name, value)
        headers["Location"] = location
    return Answer(fault.status or 307, b"", headers)


def _empty(fault: Fault, _: RequestContext) -> Answer:
    return Answer(fault.status or 200, b"", {"Content-Type": "application/octet-stream"})


def _html(fault: Fault, _: RequestContext) -> Answer:
    page = fault.body or "<!DOCTYPE html><html><body><h1>Just a moment...</h1></body></html>"
    return text_answer(page, status=fault.status or 200, content_type="text/html")


def _xml(fault: Fault, _: RequestContext) -> Answer:
    page = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    )
    return text_answer(
        fault.body or page, status=fault.status or 200, content_type="application/xml"
    )


def _json(fault: Fault, _: RequestContext) -> Answer:
    return json_answer({"status": "error", "message": "Not found"}, status=fault.status or 200)


_REPLACED: dict[str, Callable[[Fault, RequestContext], Answer]] = {
    "answer": _answer,
    "edge": _edge,
    "runtime": _runtime,
    "redirect": _redirect,
    "empty": _empty,
    "html": _html,
    "xml": _xml,
    "json": _json,
}


# Faults that change the response.


async def _delay(fault: Fault, _: RequestContext, answer: Answer) -> Answer:
    await asyncio.sleep(DRIP_SECONDS if fault.seconds is None else fault.seconds)
    return answer


async def _patch(fault: Fault, x: RequestContext, answer: Answer) -> Answer:
    document = json.loads(answer.body)
    document |= fault.fields or {}
    for name in fault.without:
        document.pop(name, None)
    return x.json(document, status=fault.status or answer.status)


async def _noise(fault: Fault, _: RequestContext, answer: Answer) -> Answer:
    return Answer(answer.status, (fault.body or "").encode() + answer.body, answer.headers)


async def _gzip(_: Fault, __: RequestContext, answer: Answer) -> Answer:
    body = gzip.compress(answer.body, 1, mtime=0)
    return Answer(answer.status, body, {**answer.headers, "Content-Encoding": "gzip"})


async def _gzip_cut(fault: Fault, x: RequestContext, answer: Answer) -> Answer:
    """Truncate the compressed body; Content-Length is that of the truncated one."""
    whole = await _gzip(fault, x, answer)
    return Answer(whole.status, whole.body[: fault.offset(len(whole.body))], whole.headers)


async def _base64(_: Fault, __: RequestContext, answer: Answer) -> Answer:
    return Answer(answer.status, base64.b64encode(answer.body), {"Content-Type": "text/plain"})


async def _informational(fault: Fault, x: RequestContext, answer: Answer) -> Answer:
    """Send interim responses before the final one."""
    wire = RawConnection(x.request)
    for _ in repeat(None, count(fault, 100)):
        await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")
    return answer


_CHANGED: dict[str, Callable[[Fault, RequestContext, Answer], Awaitable[Answer]]] = {
    "delay": _delay,
    "patch": _patch,
    "noise": _noise,
    "gzip": _gzip,
    "gzip_cut": _gzip_cut,
    "base64": _base64,
    "informational": _informational,
}
