"""Targets: what the API says, in answers to a submit, to polls, in webhooks and in a header."""

from __future__ import annotations

import contextlib
import math
from urllib.parse import unquote

from modelslab_async._policy.error_mapping import polling_stopped, request_refused, submit_unknown
from modelslab_async._policy.poll import (
    MAX_PAUSE,
    Action,
    Finish,
    PollAfter,
    PollPolicy,
    PollState,
    Stop,
    describe,
    is_about,
    next_action,
    observe,
    pause,
)
from modelslab_async._policy.submit import Accepted, Busy, Rejected, Unknown, classify
from modelslab_async._protocol.links import LinkRefused, read_link
from modelslab_async._protocol.replies import (
    Failed,
    Finished,
    Pending,
    Refused,
    Reply,
    Ticket,
    Unreadable,
    read_reply,
)
from modelslab_async._protocol.retry_after import retry_after
from modelslab_async._protocol.urls import job_id
from modelslab_async.errors import ModelsLabError, RequestError, WebhookError
from modelslab_async.webhooks._delivery import Delivery
from modelslab_async.webhooks._signing import Head, Signer, read_hint, reject_status

_POLICY = PollPolicy()
_LATER = 10.0
_POLLS = 16


def submit(data: bytes) -> None:
    """``STATUS BODY``: it means exactly one thing, and that can be told to a person."""
    status, body = _answer(data)
    reply = read_reply(body, status)
    _is_usable(reply)
    outcome = classify(reply, status)
    kinds = (Busy, Rejected, Accepted, Unknown)
    assert [isinstance(outcome, kind) for kind in kinds].count(True) == 1
    match outcome:
        case Busy(refused):
            assert refused.id is None
            assert status == 503 or (not 300 <= status < 400 and status < 500)
            _is_told(request_refused("submit", refused, status))
        case Rejected(no):
            assert status < 500
            _is_told(request_refused("submit", no, status))
        case Accepted(yes):
            assert not 300 <= status < 400
            assert yes.id or (isinstance(yes, Finished) and yes.links.output)
        case Unknown(reason, hint):
            assert hint is None or job_id(hint) == hint
            _is_told(submit_unknown(reason, 1, hint))


def fetch(data: bytes) -> None:
    """Lines of ``STATUS BODY``, one a poll: each leads to one action, in its bounds."""
    state, now = PollState(started=0.0), 0.0
    for line in data.split(b"\n")[:_POLLS]:
        now += _LATER
        status, body = _answer(line)
        reply = read_reply(body, status)
        _is_usable(reply)
        state = observe(state, reply, now)
        assert describe(reply).isprintable()
        assert is_about(reply, frozenset()) or reply.id
        action = next_action(state, now, _POLICY, 1.0)
        _is_in_bounds(state, action)
        in_time = next_action(state, now, _POLICY, 0.0)
        if not isinstance(in_time, PollAfter):
            assert action == in_time, "what is terminal does not hang on a draw"
            return


def _is_in_bounds(state: PollState, action: Action) -> None:
    match action:
        case PollAfter(delay):
            longest = 1.1 * max(_POLICY.max_interval, min(state.retry_after or 0.0, MAX_PAUSE))
            assert _POLICY.min_interval <= delay <= longest
            away = pause(state, _POLICY)
            assert away is None or away <= delay
        case Finish(finished):
            files = finished.links.files(finished.id or "")
            assert files
            assert [file.index for file in files] == list(range(len(files)))
            for url in (url for file in files for url in file.urls):
                with contextlib.suppress(LinkRefused):
                    read_link(url, allow_loopback=False)
        case Stop(reply):
            assert reply is not None, "nobody set a deadline"
            _is_told(
                polling_stopped(
                    action, job="", job_id="7", known_as="7", track_id=1, waited=1.0, last=""
                )
            )


_SIGNER = Signer({"v2": "0123456789abcdef", "v1": b"fedcba9876543210"})


def webhook(data: bytes) -> None:
    """Lines ``PATH``, ``ENCODING``, ``LENGTH``, then a body: nothing of it is believed."""
    path, encoding, length, body, *_ = [*data.split(b"\n", 3), b"", b"", b""]
    _proves_nothing(path.decode("utf-8", "surrogateescape"))
    head = Head("POST", "/", _header(encoding), _header(length))
    assert reject_status(head) in (None, 413, 415)
    reply = read_hint(body)
    if reply is not None:
        _is_usable(reply)
        _is_kept(Delivery("17", reply, 1.5, "digest"))
    with contextlib.suppress(WebhookError):
        _is_kept(Delivery.from_json(body))


def _proves_nothing(text: str) -> None:
    named = _SIGNER.track_id(unquote(text))
    assert named is None or _SIGNER.path(named).rpartition("/")[2] in text
    with contextlib.suppress(RequestError):
        assert _SIGNER.track_id(unquote(_SIGNER.path(text))) == text


def _is_kept(delivery: Delivery) -> None:
    text = delivery.to_json()
    assert text.isascii()
    assert text.isprintable()
    assert Delivery.from_json(text) == delivery


def retry_header(data: bytes) -> None:
    """A header: a wait that ends, which grows shorter as time goes by, or none."""
    header = _header(data)
    wait = retry_after(header, 1e9)
    assert wait is None or 0 <= wait < math.inf
    later = retry_after(header, 1e9 + 60)
    if wait is None or header.strip().isdigit():
        assert later == wait
    else:
        assert later == max(0.0, wait - 60)


def _answer(line: bytes) -> tuple[int, bytes]:
    word, _, body = line.partition(b" ")
    if len(word) == 3 and word.isdigit() and 200 <= int(word) < 600:
        return int(word), body
    return 200, line


def _header(data: bytes) -> str:
    """As aiohttp gives it."""
    return data.decode("utf-8", "surrogateescape")


def _is_usable(reply: Reply) -> None:
    """Its numbers are finite, its ids fit into a path, and its words onto a terminal."""
    kinds = (Ticket, Pending, Finished, Refused, Failed, Unreadable)
    assert [isinstance(reply, kind) for kind in kinds].count(True) == 1
    assert reply.id is None or job_id(reply.id) == reply.id
    for name in ("eta", "generation_time", "audio_time", "retry_after"):
        seconds = getattr(reply, name, None)
        assert seconds is None or 0 <= seconds < math.inf
    for name in ("message", "reason", "excerpt", "track_id"):
        words = getattr(reply, name, None)
        assert not isinstance(words, str) or words.isprintable()


def _is_told(error: ModelsLabError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 2000
