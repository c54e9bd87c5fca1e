"""What a program or a gateway puts around an answer does not hide its job; a quotation is none."""

from __future__ import annotations

import codecs
import html
import json
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.loose_json import MAX_NOISE, is_object, object_in_noise, plain_json
from modelslab_async._protocol.replies import (
    Finished,
    Refusal,
    Refused,
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
    "a text": json.dumps(TICKET).encode(),
    "a text in a text": json.dumps(json.dumps(TICKET)).encode(),
    "three times a text": json.dumps(json.dumps(json.dumps(TICKET))).encode(),
    "a text in UTF-16": json.dumps(TICKET).encode("utf-16"),
    "a mark in a text": json.dumps("\ufeff\n" + TICKET + "\n").encode(),
    "a guard before a text": b")]}',\n" + json.dumps(TICKET).encode(),
    "a warning in a text": json.dumps(PHP.decode() + TICKET).encode(),
    "a list": b"[" + RAW + b"]",
    "a list in lines": b"[\n  " + RAW + b"\n]\n",
    "a list in a text": json.dumps(f"[{TICKET}]").encode(),
    "a call": b"callback(" + RAW + b");",
    "a guarded call": b"/**/ angular.callbacks._0( " + RAW + b" )",
    "a call in a text": json.dumps(f"cb({TICKET})").encode(),
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
    "a list of two": (b"[" + RAW + b"," + RAW + b"]", "310816"),
    "a list that is cut": (b"[" + RAW, "310816"),
    "a call that is cut": (b"cb(" + RAW, "310816"),
    "a call and another": (b"cb(" + RAW + b"); cb(1)", "310816"),
    "a call in a sentence": (b"we call cb(" + RAW + b")", "310816"),
    "a list of an object of no known status": (b'[{"id":310816}]', "310816"),
    "a text of no known status": (b'"{\\"id\\":310816}"', "310816"),
    "a text that is cut": (json.dumps(TICKET).encode()[:-1], "310816"),
    "a text in a text that is cut": (json.dumps(json.dumps(TICKET)).encode()[:-9], "310816"),
    "four times a text": (
        json.dumps(json.dumps(json.dumps(json.dumps(TICKET)))).encode(),
        "310816",
    ),
    "a text in lines that is cut": (
        json.dumps(json.dumps(json.loads(TICKET), indent=1)).encode()[:-1],
        "310816",
    ),
    "a text with a cut id": (b'"{\\"status\\":\\"processing\\",\\"id\\":3108', None),
    "an object as Python writes it": (str(json.loads(TICKET)).encode(), "310816"),
    "an object as Python writes it, in a text": (
        json.dumps(str(json.loads(TICKET))).encode(),
        "310816",
    ),
    "an id that is text, as Python writes it": (b"{'status': 'queued', 'id': 'a-1'}", "a-1"),
    "what a page shows": (
        b"<!DOCTYPE html><html><head><title>1</title></head><body><pre>" + RAW + b"</pre></body>",
        "310816",
    ),
    "what a page shows, escaped": (
        b"<html><body><pre class=json>\n" + html.escape(TICKET).encode() + b"\n</pre></html>",
        "310816",
    ),
    "what a page without a head shows": (b"<pre>" + RAW + b"</pre>", "310816"),
    "a page that is nothing else": (b"<html><body>" + RAW + b"</body></html>", "310816"),
    "numbers with apostrophes": (TICKET.replace('"', "&#39;").encode(), "310816"),
    "a page with a script behind what it shows": (
        b'<html><pre>{"a": 1}</pre><script>x=' + RAW + b"</script></html>",
        None,
    ),
    "a page that shows something else": (b"<html><pre>so</pre><b>" + RAW + b"</b>", None),
    "a text inside of an object": (b'{"message": "{\\"id\\": 5}", "x":', None),
    "a text inside of a text": (
        json.dumps(json.dumps({"message": json.dumps({"id": 5})}))[:-4].encode(),
        None,
    ),
    "a quotation of an object without a name": (b"sorry {} " + RAW, "310816"),
    "megabytes before it": (b"\n".join([b"Notice: x in y on line 1"] * 20_000) + RAW, None),
}


@pytest.mark.parametrize(("body", "hint"), ONLY_A_HINT.values(), ids=ONLY_A_HINT)
def test_what_may_be_a_quotation_is_a_hint_at_most(body: bytes, hint: str | None) -> None:
    reply = read_reply(body)
    assert isinstance(reply, Unreadable)
    assert reply.id == hint


def test_a_finished_job_in_a_text_is_read() -> None:
    done = {"status": "success", "output": ["https://x/y.wav"], "generationTime": 3}
    reply = read_reply(json.dumps(json.dumps(done)).encode())
    assert isinstance(reply, Finished)
    assert reply.links.output == ("https://x/y.wav",)


BUSY = '{"status":"error","message":"Rate limit exceeded"}'


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_refusal_in_a_text_is_the_api_s_own(layers: int) -> None:
    body = BUSY
    for _ in range(layers):
        body = json.dumps(body)
    reply = read_reply(body.encode())
    assert isinstance(reply, Refused)
    assert (reply.reason, reply.bare) == (Refusal.RATE, False)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps('{"message":"Rate limit exceeded"}'),
        json.dumps('{"error":"Rate limit exceeded"}'),
        json.dumps(f"{BUSY} {BUSY}"),
        f"[{BUSY}]",
        json.dumps(f"[{BUSY}]"),
        f"cb({BUSY})",
        f"<pre>{BUSY}</pre>",
        str(json.loads(BUSY)),
    ],
)
def test_a_refusal_in_any_other_wrapping_proves_nothing(body: str) -> None:
    assert isinstance(read_reply(body.encode()), Unreadable)


ECHOES = [
    '{"id": 5}',
    '{"status":"processing","id":5,"eta":1}',
    "{'status': 'processing', 'id': 5}",
    '{"status": "success", "id": "5", "output": ["https://x/y.wav"]}',
    '{"status":"error","message":"Rate limit exceeded. Maximum 5 queued requests allowed."}',
    '[{"status":"processing","id":5}]',
    'cb({"status":"processing","id":5})',
    json.dumps('{"status":"processing","id":5}'),
    json.dumps(json.dumps(BUSY)),
    '"\\u007b\\"status\\":\\"error\\",\\"message\\":\\"Insufficient credits\\"}"',
    "{&quot;status&quot;:&quot;processing&quot;,&quot;id&quot;:5}",
]
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "a text": json.dumps,
    "twice a text": lambda prompt: json.dumps(json.dumps(prompt)),
    "quoted": lambda prompt: f'Bad prompt: "{prompt}"',
    "in a page": lambda prompt: f"<html><body><pre>{prompt}</pre></body></html>",
    "escaped in a page": lambda prompt: f"<pre>{html.escape(prompt)}</pre>",
    "in a list": lambda prompt: json.dumps([prompt]),
    "as the one of a list": lambda prompt: f"[{prompt}]",
    "in a call": lambda prompt: f"echo({prompt})",
    "in a broken answer": lambda prompt: json.dumps({"status": "x", "message": prompt})[:-1],
    "unescaped in a broken answer": lambda prompt: f'{{"status":"x","message":"{prompt}"',
    "by Python": lambda prompt: str({"message": prompt}),
}


@pytest.mark.parametrize("prompt", ECHOES)
def test_what_a_server_repeats_of_the_request_is_neither_a_job_nor_a_refusal_nor_a_hint(
    prompt: str,
) -> None:
    for (way, echo), around in product(WAYS.items(), ["{}", "rain {} and wind", "{}x"]):
        sent = ("x", around.replace("{}", prompt))
        reply = read_reply(echo(prompt).encode(), sent=sent)
        assert isinstance(reply, Unreadable), (way, around)
        assert reply.id is None, (way, around)
        assert id_in_fragment(echo(prompt).encode(), sent) is None, (way, around)


def test_the_words_of_a_request_hide_no_answer_that_goes_on_in_others() -> None:
    reply = read_reply(json.dumps(TICKET).encode(), sent=["{status processing id 5}", "310816"])
    assert isinstance(reply, Ticket)
    hint = read_reply(b"so: " + RAW, sent=['{"status":"processing","id":5}', "id"])
    assert isinstance(hint, Unreadable)
    assert hint.id == "310816"


def test_an_id_behind_those_that_the_request_named_is_a_hint() -> None:
    body = b'{"message": "' + b'{"id": 5} ' * 15 + b'", "id": 310816, "x'
    assert id_in_fragment(body, ['{"id": 5}']) == "310816"
    assert id_in_fragment(body.replace(b'", "id"', b'{"id": 5}", "id"'), ['{"id": 5}']) is None


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
