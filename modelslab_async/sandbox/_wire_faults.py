"""Write responses that no HTTP library would: truncated, stalled, inconsistent or endless.

Each function takes the fault, the raw connection and the genuine response; the caller closes the
connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from ._answer import Answer, reason
from ._context import RawConnection
from ._fault import Fault

WireFault = Callable[[Fault, RawConnection, Answer], Awaitable[None]]

DRIP_SECONDS = 0.3
ENDLESS_PIECE = bytes(16 * 1024)


def head(
    answer: Answer,
    *,
    length: int | None = None,
    extra: Iterable[str] = (),
    version: str = "1.1",
    connection: str = "close",
) -> bytes:
    """Return status line and headers; with a Content-Length only if `length` is given."""
    lines = [f"HTTP/{version} {answer.status} {reason(answer.status)}", f"Connection: {connection}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join((*lines, *extra, "", "")).encode("latin-1", "replace")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


async def hold(fault: Fault, wire: RawConnection) -> None:
    """Send nothing for a while; the server cancels this when the client disconnects."""
    if fault.seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(fault.seconds)
        wire.close()


def count(fault: Fault, default: int) -> int:
    return fault.at if isinstance(fault.at, int) else default


async def _cut_headers(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    text = head(answer, length=len(answer.body))
    await wire.send(text[: fault.offset(len(text) - 2)])


async def _cut_body(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, length=len(answer.body)))
    await wire.send(_part(fault, answer))


async def _reset_body(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await _cut_body(fault, wire, answer)
    wire.reset()


async def _stall_body(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await _cut_body(fault, wire, answer)
    await hold(fault, wire)


async def _drip(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, length=len(answer.body)))
    step = max(1, count(fault, 1))
    for start in range(0, len(answer.body), step):
        await wire.send(answer.body[start : start + step])
        await asyncio.sleep(DRIP_SECONDS if fault.seconds is None else fault.seconds)


async def _hang_up(_: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, length=len(answer.body), connection="keep-alive") + answer.body)


async def _chunked(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await _chunked_cut(fault, wire, answer, part=answer.body)
    await wire.send(b"0\r\n\r\n")


async def _chunked_cut(
    fault: Fault, wire: RawConnection, answer: Answer, *, part: bytes | None = None
) -> None:
    await wire.send(head(answer, extra=["Transfer-Encoding: chunked"]))
    await wire.send(_chunk(_part(fault, answer) if part is None else part))


async def _chunked_early_end(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await _chunked_cut(fault, wire, answer)
    await wire.send(b"0\r\n\r\n")


async def _bad_chunk(_: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, extra=["Transfer-Encoding: chunked"]))
    await wire.send(b"zz\r\n" + answer.body + b"\r\n0\r\n\r\n")


async def _close_delimited(_: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer) + answer.body)


async def _close_delimited_cut(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer) + _part(fault, answer))


async def _http10(_: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, version="1.0") + answer.body)


async def _http10_cut(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, version="1.0") + _part(fault, answer))


async def _long_length(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    more = count(fault, 1000)
    await wire.send(head(answer, length=len(answer.body) + more) + answer.body)


async def _short_length(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, length=fault.offset(len(answer.body))) + answer.body)


async def _two_lengths(_: Fault, wire: RawConnection, answer: Answer) -> None:
    size = len(answer.body)
    await wire.send(head(answer, length=size, extra=[f"Content-Length: {size + 1}"]) + answer.body)


async def _negative_length(_: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send(head(answer, length=-1) + answer.body)


async def _length_and_chunked(_: Fault, wire: RawConnection, answer: Answer) -> None:
    extra = ["Transfer-Encoding: chunked"]
    await wire.send(head(answer, length=len(answer.body), extra=extra) + _chunk(answer.body))
    await wire.send(b"0\r\n\r\n")


async def _garbage(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    await wire.send((fault.content() or b"\x00\xffnot http at all\r\n\r\n") + answer.body)


async def _long_header(_: Fault, wire: RawConnection, answer: Answer) -> None:
    extra = ["X-Padding: " + "a" * 9216]
    await wire.send(head(answer, length=len(answer.body), extra=extra) + answer.body)


async def _many_headers(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    extra = [f"X-Padding-{number}: a" for number in range(count(fault, 200))]
    await wire.send(head(answer, length=len(answer.body), extra=extra) + answer.body)


async def _raw(fault: Fault, wire: RawConnection, _: Answer) -> None:
    await wire.send(fault.content())


async def _endless(fault: Fault, wire: RawConnection, answer: Answer) -> None:
    """Send an endless body, at the client's speed or one piece every `seconds`."""
    await wire.send(head(answer, extra=["Transfer-Encoding: chunked"]) + _chunk(answer.body))
    while True:
        await wire.send(_chunk(ENDLESS_PIECE))
        await asyncio.sleep(fault.seconds or 0)


def _part(fault: Fault, answer: Answer) -> bytes:
    return answer.body[: fault.offset(len(answer.body))]


WIRE_FAULTS: dict[str, WireFault] = {
    "cut_headers": _cut_headers,
    "cut_body": _cut_body,
    "reset_body": _reset_body,
    "stall_body": _stall_body,
    "drip": _drip,
    "hang_up": _hang_up,
    "chunked": _chunked,
    "chunked_cut": _chunked_cut,
    "chunked_early_end": _chunked_early_end,
    "bad_chunk": _bad_chunk,
    "close_delimited": _close_delimited,
    "close_delimited_cut": _close_delimited_cut,
    "http10": _http10,
    "http10_cut": _http10_cut,
    "long_length": _long_length,
    "short_length": _short_length,
    "two_lengths": _two_lengths,
    "negative_length": _negative_length,
    "length_and_chunked": _length_and_chunked,
    "garbage": _garbage,
    "long_header": _long_header,
    "many_headers": _many_headers,
    "raw": _raw,
    "endless": _endless,
}
