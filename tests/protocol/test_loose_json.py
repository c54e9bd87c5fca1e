"""What a program or a gateway puts around an answer does not hide its job; a quotation is none."""

from __future__ import annotations

import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.loose_json import MAX_NOISE, is_object, object_in_noise, plain_json
from modelslab_async._protocol.replies import (
    Finished,
    Reply,
    Ticket,
    Unreadable,
    read_reply,
    with_id,
)
from modelslab_async._protocol.wire_values import id_in_fragment

TICKET = '{"status":"processing","id":310816,"eta":12.5}'
RAW = TICKET.encode()
PHP = (
    b"<br />\n<b>Warning</b>:  fopen(/tmp/x): Failed to open stream in <b>/app/Log.php</b> "
    b"on line <b>31</b><br />\n"
)
LATIN = '{"status":"processing","id":310816,"message":"caf\xe9"}'

READ_AS_THE_TICKET: dict[str, bytes] = {
    "as it is": RAW,
    "a mark": codecs.BOM_UTF8 + RAW,
    "two marks": codecs.BOM_UTF8 + b"\n" + codecs.BOM_UTF8 + RAW,
    "UTF-16 with a mark": TICKET.encode("utf-16"),
    "UTF-16, big end first, with a mark": codecs.BOM_UTF16_BE + TICKET.encode("utf-16-be"),
    "UTF-16 without a mark": TICKET.encode("utf-16-le"),
    "UTF-16, big end first, without a mark": TICKET.encode("utf-16-be"),
    "UTF-32 with a mark": TICKET.encode("utf-32"),
    "zeros before and behind": bytes(8) + RAW + bytes(500),
    "empty lines": b"\r\n\r\n\x0c" + RAW + b"\n\n",
    "Latin-1": LATIN.encode("latin-1"),
    "a guard": b")]}',\n" + RAW,
    "another guard": b"while(1);" + RAW,
    "a third guard": b"for (;;); " + RAW,
    "a warning": PHP + RAW,
    "several warnings": PHP * 5 + RAW,
    "a warning without HTML": b"PHP Notice:  Undefined index: a in /app/x.php on line 3\n" + RAW,
    "a deprecation and a mark": codecs.BOM_UTF8 + b"\nDeprecated: x in y on line 1\n" + RAW,
    "a comment behind it": RAW + b"<!-- cache hit, 3 ms -->",
    "a warning behind it": RAW + PHP,
    "the rest of a chunk behind it": RAW + b"\r\n0\r\n\r\n",
    "the same twice": RAW + RAW,
    "the finished one behind it": RAW + b'\n{"status":"success","id":"310816","output":["u"]}',
}


@pytest.mark.parametrize("body", READ_AS_THE_TICKET.values(), ids=READ_AS_THE_TICKET)
def test_a_ticket_is_read_whatever_is_around_it(body: bytes) -> None:
    reply = read_reply(body)
    assert isinstance(reply, Ticket)
    assert reply.id == "310816"


ONLY_A_HINT: dict[str, tuple[bytes, str | None]] = {
    "a sentence before it": (b"Error in prompt: " + RAW, "310816"),
    "a sentence in the shape of a warning, and another": (PHP + b"so: " + RAW, "310816"),
    "a word on both sides": (b"x" + RAW + b"x", "310816"),
    "two jobs": (RAW + RAW.replace(b"310816", b"310817"), "310816"),
    "an error, then a ticket": (b'{"status":"error","message":"busy"}' + RAW, "310816"),
    "a ticket that is cut behind a warning": (PHP + RAW[:-9], "310816"),
    "a cut id": (PHP + b'{"status":"processing","id":3108', None),
    "a page with a script": (b"<html><script>x=" + RAW + b"</script></html>", None),
    "a page before it": (b"<!DOCTYPE html><title>502</title>" + RAW, None),
    "a list": (b"[" + RAW + b"]", "310816"),
    "a quotation of an object without a name": (b"sorry {} " + RAW, "310816"),
    "megabytes before it": (b"\n".join([b"Notice: x in y on line 1"] * 20_000) + RAW, None),
}


@pytest.mark.parametrize(("body", "hint"), ONLY_A_HINT.values(), ids=ONLY_A_HINT)
def test_what_may_be_a_quotation_is_a_hint_at_most(body: bytes, hint: str | None) -> None:
    reply = read_reply(body)
    assert isinstance(reply, Unreadable)
    assert reply.id == hint


REFUSALS = [
    {"status": "error", "message": "Rate limit exceeded. Maximum 5 queued requests allowed."},
    {"status": "error", "message": "Insufficient credits"},
    {"status": "error", "message": {"prompt": ["required"]}},
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
@pytest.mark.parametrize("status", [200, 400])
def test_a_refusal_in_noise_proves_nothing(refusal: dict[str, object], status: int) -> None:
    """What an object says behind a warning is good enough to follow a job, not to pay again."""
    assert object_in_noise(PHP + json.dumps(refusal).encode()) == refusal
    if status == 200:
        assert isinstance(read_reply(PHP + json.dumps(refusal).encode(), status), Unreadable)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no object",
        PHP,
        PHP + b"{",
        PHP + b'{"id": ' + b"9" * 5000 + b"}",
        PHP + b'{"id": 1, "id": 2}',
        PHP + b'{"a":' * 100_000,
        b" " * MAX_NOISE + RAW + b"x",
        b"Warning: " * 4000 + RAW,
    ],
)
def test_where_no_whole_object_is_found_there_is_none(body: bytes) -> None:
    assert object_in_noise(body) is None


@given(st.binary() | st.text('{}[]":,0aid \n<b>Warning: x on line 1').map(str.encode))
def test_any_bytes_are_looked_through_without_an_error(body: bytes) -> None:
    plain = plain_json(body)
    assert plain_json(plain) == plain or len(plain) > len(plain_json(plain))
    object_in_noise(plain)
    is_object(body)
    id_in_fragment(body)


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (RAW, True),
        (TICKET.encode("utf-16"), True),
        (RAW[:-1], False),
        (b"[]", False),
        (b"", False),
    ],
)
def test_a_whole_object_is_known(body: bytes, whole: bool) -> None:
    assert is_object(body) is whole


# --- the job that a link names


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": 1.5}, {"id": ""}, {"id": True}])
@pytest.mark.parametrize("word", ["processing", "queued", "warming up", None])
def test_a_ticket_without_a_usable_id_is_one_with_the_id_of_its_link(
    fields: dict[str, object], word: str | None
) -> None:
    said = {"status": word, "fetch_result": "u", "eta": 3, "future_links": ["f"], **fields}
    reply = with_id(read_reply(json.dumps(said).encode()), "310816")
    assert isinstance(reply, Ticket)
    assert (reply.id, reply.eta, reply.links.future) == ("310816", 3.0, ("f",))


@pytest.mark.parametrize("output", [[], ["https://x/y.wav"]])
def test_a_finished_job_without_an_id_is_one_with_the_id_of_its_link(output: list[str]) -> None:
    said = {"status": "success", "output": output, "fetch_result": "u"}
    reply = with_id(read_reply(json.dumps(said).encode()), "310816")
    assert isinstance(reply, Finished)
    assert (reply.id, list(reply.links.output)) == ("310816", output)


@pytest.mark.parametrize("reply", [read_reply(RAW), read_reply(b"OK")])
def test_an_answer_with_an_id_or_without_any_sense_stays_as_it_is(reply: Reply) -> None:
    assert with_id(reply, "7") is reply
