"""Every fault of the sandbox, seen as bytes on a plain socket, and every odd shape as JSON."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING, Any, get_args

import pytest

from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.sandbox._fault import (
    AnswerKind,
    EarlyKind,
    FaultPlan,
    FileKind,
    Kind,
    WebhookKind,
    WireKind,
)

from ..support.callers import Seen, ask, fetch, finished, submit

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.anyio


def _whole(seen: Seen, body: bytes) -> bool:
    return seen.body == body


WIRE: dict[str, tuple[dict[str, Any], str, Callable[[Seen, bytes], bool]]] = {
    "reset": ({}, "reset", lambda s, _: s.data == b""),
    "silent": ({"seconds": 0}, "eof", lambda s, _: s.data == b""),
    "cut_headers": (
        {},
        "eof",
        lambda s, _: b"\r\n\r\n" not in s.data and b"HTTP/1.1 200" in s.data,
    ),
    "cut_body": ({"at": 0.25}, "eof", lambda s, b: s.body == b[: round(len(b) / 4)]),
    "reset_body": ({"at": -1}, "reset", lambda s, b: s.body == b[:-1]),
    "stall_body": ({"at": 10, "seconds": 0}, "eof", lambda s, b: s.body == b[:10]),
    "drip": ({"at": 50_000, "seconds": 0}, "eof", _whole),
    "hang_up": ({}, "eof", lambda s, b: s.body == b and b"keep-alive" in s.head),
    "chunked": ({}, "eof", lambda s, b: s.body == b"%x\r\n%b\r\n0\r\n\r\n" % (len(b), b)),
    "chunked_cut": ({"at": 16}, "eof", lambda s, b: s.body == b"10\r\n" + b[:16] + b"\r\n"),
    "chunked_early_end": (
        {"at": 16},
        "eof",
        lambda s, b: s.body == b"10\r\n" + b[:16] + b"\r\n0\r\n\r\n",
    ),
    "bad_chunk": ({}, "eof", lambda s, _: s.body.startswith(b"zz\r\n")),
    "close_delimited": ({}, "eof", lambda s, b: s.body == b and b"Content-Length" not in s.head),
    "close_delimited_cut": ({"at": 7}, "eof", lambda s, b: s.body == b[:7]),
    "http10": ({}, "eof", lambda s, b: s.body == b and s.head.startswith(b"HTTP/1.0 200 OK")),
    "http10_cut": ({"at": 7}, "eof", lambda s, b: s.body == b[:7]),
    "long_length": (
        {"at": 5},
        "eof",
        lambda s, b: s.body == b and b"Content-Length: %d" % (len(b) + 5) in s.head,
    ),
    "short_length": ({"at": 5}, "eof", lambda s, b: s.body == b and b"Length: 5" in s.head),
    "two_lengths": ({}, "eof", lambda s, _: s.head.count(b"Content-Length") == 2),
    "negative_length": ({}, "eof", lambda s, _: b"Content-Length: -1" in s.head),
    "length_and_chunked": (
        {},
        "eof",
        lambda s, _: b"Content-Length" in s.head and b"chunked" in s.head,
    ),
    "garbage": ({}, "eof", lambda s, _: not s.data.startswith(b"HTTP")),
    "long_header": ({}, "eof", lambda s, b: s.body == b and len(s.head) > 9216),
    "many_headers": ({}, "eof", lambda s, b: s.body == b and s.head.count(b"\n") > 200),
    "raw": (
        {"body": "HTTP/0.9 hello\xff", "encoding": "latin-1"},
        "eof",
        lambda s, _: s.data == b"HTTP/0.9 hello\xff",
    ),
    "endless": ({}, "silence", lambda s, b: len(s.body) > 4 * len(b)),
}


@pytest.mark.parametrize("kind", WIRE)
async def test_an_answer_spoiled_on_the_wire(kind: str) -> None:
    options, end, holds = WIRE[kind]
    async with Sandbox() as box:
        job, reply = await finished(box)
        box.scenario = Scenario(faults=(Fault(on="download", kind=kind, **options),))  # type: ignore[arg-type]
        patience = 0.2 if end == "silence" else 5
        seen = await ask(reply["output"][0], patience=patience)
        after = await ask(reply["output"][0])
        body = box.canonical(job)
    assert seen.end == end
    assert holds(seen, body)
    assert _whole(after, body)


CHANGED: dict[str, tuple[dict[str, Any], Callable[[Seen, bytes], bool]]] = {
    "delay": ({"seconds": 0}, _whole),
    "answer": (
        {"status": 418, "body": "tea", "encoding": "utf-16"},
        lambda s, _: (s.status, s.body) == (418, "tea".encode("utf-16")),
    ),
    "redirect": (
        {"status": 308, "location": "{foreign}{path}"},
        lambda s, _: s.status == 308 and b"Location: http://127.0.0.1:" in s.head,
    ),
    "edge": ({"status": 524}, lambda s, _: s.status == 524 and b"<title>524:" in s.body),
    "runtime": ({"status": 408}, lambda s, _: s.status == 408 and "status" not in s.json),
    "informational": (
        {"at": 3},
        lambda s, b: s.data.count(b"HTTP/1.1 102") == 3 and s.data.endswith(b),
    ),
    "noise": ({"body": "Notice"}, lambda s, b: s.body == b"Notice" + b),
    "gzip": ({}, lambda s, b: gzip.decompress(s.body) == b),
    "gzip_cut": ({}, lambda s, b: b"gzip" in s.head and b"Length: %d" % len(s.body) in s.head),
    "empty": ({}, lambda s, _: (s.status, s.body) == (200, b"")),
    "html": ({}, lambda s, _: s.body.startswith(b"<!DOCTYPE html>")),
    "xml": ({"status": 403}, lambda s, _: s.status == 403 and b"AccessDenied" in s.body),
    "json": ({}, lambda s, _: s.json["status"] == "error"),
    "base64": ({}, lambda s, b: base64.b64decode(s.body) == b),
    "mp3": ({}, lambda s, _: s.body[:1] == b"\xff"),
    "flac": ({}, lambda s, _: s.body[:4] == b"fLaC"),
    "other_wav": ({}, lambda s, b: s.body != b and len(s.body) == len(b)),
    "partial_unasked": ({"at": 9}, lambda s, b: (s.status, s.body) == (206, b[:9])),
    "ignores_range": ({}, lambda s, b: (s.status, s.body) == (200, b)),
    "new_etag": ({}, lambda s, b: (s.status, s.body) == (200, b)),
    "other_etag": ({}, lambda s, b: (s.status, s.body) == (206, b[4:])),
    "wrong_offset": ({"at": 8}, lambda s, b: (s.status, s.body) == (206, b[8:])),
    "range_refused": ({}, lambda s, _: s.status == 416),
}


@pytest.mark.parametrize("kind", CHANGED)
async def test_another_answer_than_the_genuine_one(kind: str) -> None:
    options, holds = CHANGED[kind]
    resumed = kind in ("ignores_range", "new_etag", "other_etag", "wrong_offset")
    async with Sandbox() as box:
        job, reply = await finished(box)
        url = reply["output"][0]
        etag = (await ask(url)).head.partition(b'"')[2].partition(b'"')[0].decode()
        headers = ["Range: bytes=4-", f'If-Range: "{etag}"'] if resumed else []
        fault = Fault(on="download", kind=kind, **options)  # type: ignore[arg-type]
        box.scenario = Scenario(faults=(fault,))
        seen = await ask(url, None, *headers)
        body = box.canonical(job)
    assert holds(seen, body)


def test_every_kind_of_fault_is_tested() -> None:
    tested = {*WIRE, *CHANGED, *get_args(EarlyKind), *get_args(WebhookKind)}
    assert tested == set(get_args(Kind))
    assert set(get_args(WireKind)) == set(WIRE)
    assert set(get_args(AnswerKind) + get_args(FileKind)) == {*CHANGED, "patch"}


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_fault_on_submit_says_whether_the_job_was_made(accepted: bool) -> None:
    """S09, S10: from outside they look the same; only the book knows."""
    fault = Fault(on="submit", kind="reset", accepted=accepted)
    async with Sandbox(scenario=Scenario(faults=(fault,))) as box:
        seen = await submit(box)
        again = await submit(box)
    assert (seen.data, seen.end) == (b"", "reset")
    assert again.status == 200
    assert len(box.book.debits) == len(box.book.jobs) == 1 + accepted


async def test_a_refused_submit_does_not_use_up_a_fault() -> None:
    async with Sandbox(scenario=Scenario(faults=(Fault(on="submit", kind="edge"),))) as box:
        assert (await submit(box, prompt="")).status == 400
        assert (await submit(box)).status == 502


async def test_a_reset_inside_the_request_makes_no_job() -> None:
    """S08."""
    fault = Fault(on="submit", kind="reset_in_request")
    async with Sandbox(scenario=Scenario(faults=(fault,))) as box:
        assert (await submit(box)).end == "reset"
    assert box.book.debits == []


async def test_a_reset_connection_has_sent_no_request() -> None:
    """S07."""
    async with Sandbox(scenario=Scenario(faults=(Fault(on="connect", kind="reset"),))) as box:
        assert (await submit(box)).end == "reset"
        assert (box.book.count(), box.book.connections["api"]) == (0, 1)
        assert (await submit(box)).status == 200


async def test_a_request_read_slowly_is_still_read_whole() -> None:
    """S37."""
    fault = Fault(on="submit", kind="slow_request", at=7, seconds=0)
    async with Sandbox(scenario=Scenario(faults=(fault,))) as box:
        assert (await submit(box, prompt="a long prompt " * 100)).status == 200


async def test_a_patched_ticket_keeps_its_other_fields() -> None:
    """S29: any type in any place, over a job that exists."""
    fault = Fault(
        on="submit",
        kind="patch",
        fields={"id": None, "eta": float("nan"), "output": 5},
        without=("fetch_result", "status"),
    )
    async with Sandbox(scenario=Scenario(faults=(fault,))) as box:
        ticket = (await submit(box)).json
    assert (ticket["id"], ticket["output"], ticket["eta"] != ticket["eta"]) == (None, 5, True)
    assert "fetch_result" not in ticket
    assert "status" not in ticket
    assert "message" in ticket
    assert len(box.book.debits) == 1


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("{foreign}{path}", "{foreign}/generations/"),
        ("//127.0.0.1:1/x", "//127.0.0.1:1/x"),
        ("../x.wav", "../x.wav"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        (None, None),
    ],
)
async def test_a_redirect_leads_where_it_is_told(location: str | None, place: str | None) -> None:
    """D21, S33, P22."""
    async with Sandbox() as box:
        _, reply = await finished(box)
        fault = Fault(on="download", kind="redirect", location=location, status=302)
        box.scenario = Scenario(faults=(fault,))
        seen = await ask(reply["output"][0])
        foreign = box.foreign_url
    assert seen.status == 302
    if place is None:
        assert b"Location" not in seen.head
    else:
        assert f"Location: {place.replace('{foreign}', foreign)}".encode() in seen.head


async def test_a_fault_may_strike_one_link_of_a_job_alone() -> None:
    async with Sandbox(scenario=Scenario(future_differs=True)) as box:
        ticket = (await submit(box)).json
        box.advance(10)
        reply = (await fetch(box, ticket["id"])).json
        links = [reply["output"][0], reply["proxy_links"][0], ticket["future_links"][0]]
        for number, host in enumerate(("primary", "mirror", "future")):
            fault = Fault(on="download", kind="edge", host=host, times=None)  # type: ignore[arg-type]
            box.scenario = Scenario(faults=(fault,))
            statuses = [(await ask(link)).status for link in links]
            assert statuses == [502 if place == number else 200 for place in range(3)]


async def test_a_fault_skips_then_strikes_as_often_as_it_may() -> None:
    fault = Fault(on="balance", kind="runtime", skip=1, times=2)
    async with Sandbox(scenario=Scenario(faults=(fault,))) as box:
        url, key = f"{box.url}/api/wallet_balance", {"key": box.key}
        assert [(await ask(url, key)).status for _ in range(5)] == [200, 503, 503, 200, 200]


def test_one_more_fault_does_not_reshuffle_the_others() -> None:
    often = Fault(on="fetch", kind="reset", probability=0.3, times=None)
    other = Fault(on="fetch", kind="edge", probability=0.3, times=None)

    def struck(*faults: Fault) -> list[bool]:
        plan = FaultPlan(faults, seed=7)
        return [plan.draw("fetch") is often for _ in range(200)]

    alone = struck(often)
    assert 30 < sum(alone) < 90
    assert struck(often, other) == alone
    assert struck(Fault(on="submit", kind="reset"), often) == alone


@pytest.mark.parametrize(
    "options",
    [
        {"on": "nowhere", "kind": "reset"},
        {"on": "submit", "kind": "mp3"},
        {"on": "webhook", "kind": "reset"},
        {"on": "fetch", "kind": "reset", "times": 0},
        {"on": "fetch", "kind": "reset", "probability": 2},
        {"on": "fetch", "kind": "answer", "status": 99},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Fault(**options)
