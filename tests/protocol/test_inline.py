"""A text that stands in the answer itself becomes a link to it, whatever shape it has there."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from modelslab_async._protocol.inline import with_inline_text
from modelslab_async._protocol.replies import Finished, Links, Pending, read_reply

LINK = "https://pub-1.r2.dev/generations/a.txt"
WORDS = [{"text": "sun rises", "words": [{"word": "sun", "start": 0.1}]}]


def links_of(answer: dict[str, Any]) -> Links:
    body = json.dumps({"status": "success", "id": 7, **answer}).encode()
    reply = with_inline_text(read_reply(body))
    assert isinstance(reply, Finished)
    return reply.links


def text_of(link: str) -> tuple[str, str]:
    kind, _, data = link.removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(data, validate=True).decode()


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ({"output": "hello wörld"}, "text/plain", "hello wörld"),
        ({"output": " hello\nworld "}, "text/plain", " hello\nworld "),
        ({"output": ["hello"]}, "text/plain", "hello"),
        ({"output": {"text": "hello"}}, "text/plain", "hello"),
        ({"output": [{"text": "hello"}]}, "text/plain", "hello"),
        ({"output": WORDS}, "application/json", WORDS[0]),
        ({"output": WORDS * 2}, "application/json", WORDS * 2),
        ({"output": {"text": "a", "words": []}}, "application/json", {"text": "a", "words": []}),
        ({"output": ["one", "two"]}, "application/json", ["one", "two"]),
        ({"output": [[1], [2]]}, "application/json", [[1], [2]]),
        ({"output": "data: the new oil"}, "text/plain", "data: the new oil"),
        ({"meta": {"transcription": "hello"}}, "text/plain", "hello"),
        ({"output": [], "meta": {"transcription": {"text": "a"}}}, "text/plain", "a"),
        ({"output": "", "meta": {"transcription": WORDS * 2}}, "application/json", WORDS * 2),
    ],
)
def test_a_text_in_the_answer_is_a_link_to_it(answer: dict[str, Any], kind: str, text: Any) -> None:
    (link,) = links_of(answer).output
    found_kind, found = text_of(link)
    assert found_kind == kind
    assert (found if kind == "text/plain" else json.loads(found)) == text


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ({"output": LINK}, (LINK,)),
        ({"output": [LINK]}, (LINK,)),
        ({"output": [f" {LINK} "]}, (LINK,)),
        ({"output": [LINK, LINK + "2"]}, (LINK, LINK + "2")),
        ({"output": [{"url": LINK}]}, (LINK,)),
        ({"output": [{"url": LINK}, {"url": LINK}]}, (LINK, LINK)),
        ({"output": ["data:text/plain;base64,aGk="]}, ("data:text/plain;base64,aGk=",)),
        ({"output": [LINK], "meta": {"transcription": "hello"}}, (LINK,)),
        ({"links": [LINK], "meta": {"transcription": "hello"}}, (LINK,)),
        ({"output": []}, ()),
        ({"output": "  "}, ()),
        ({"output": {}}, ()),
        ({"output": 7}, ()),
        ({"meta": {"transcription": ""}}, ()),
        ({"meta": ["transcription"]}, ()),
    ],
)
def test_links_and_nothing_stay_what_they_are(
    answer: dict[str, Any], output: tuple[str, ...]
) -> None:
    assert links_of(answer).output == output


def test_the_mirror_of_a_link_is_kept_beside_the_text() -> None:
    links = links_of({"output": "hello", "proxy_links": [LINK]})
    assert links.proxy == (LINK,)
    assert [file.urls[1:] for file in links.files("7", gives="text")] == [(LINK,)]


def test_what_is_not_finished_is_left_alone() -> None:
    reply = read_reply(b'{"status": "processing", "output": "hello"}')
    assert isinstance(reply, Pending)
    assert with_inline_text(reply) is reply
