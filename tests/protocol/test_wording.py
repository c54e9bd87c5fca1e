"""What a refusal quotes of the request is not what the API says."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._policy.submit import Accepted, Busy, Rejected, Unknown, classify
from modelslab_async._protocol import wording
from modelslab_async._protocol.replies import Refusal, Refused, read_reply

# Each holds the words of at least one rule, and some of them the words of all.
PROMPTS = [
    "recharge your wallet",
    "please recharge your batteries",
    "spam filter is enabled",
    "Queue is full",
    "queue is full, current_queue: 16",
    "Too many requests",
    "Rate limit exceeded. Maximum 1 queued requests allowed. Please wait for 3000 seconds",
    "Invalid API key",
    "API key required",
    "Unauthenticated.",
    "insufficient credits",
    "not enough balance in my life",
    "Internal server error. Please try again.",
    "gateway timeout",
    "timeout",
    "cURL error 28: timed out, upstream unavailable, deadlock",
    "Request not found",
    "Failed, Try Again",
    "The route to heaven could not be found",
    "This feature requires a premium subscription",
    "it's \"rate limit exceeded\" & <b>'too many requests'</b>",
]
SHAPES: dict[str, Callable[[str], Any]] = {
    "quoted": lambda p: f"prompt '{p}' violates the content policy",
    "double": lambda p: f'Prompt "{p}" is not allowed here.',
    "unquoted": lambda p: f"Your prompt {p} violates the content policy",
    "at the start": lambda p: f"{p}: such a prompt violates the content policy",
    "alone": lambda p: p,
    "lower": lambda p: f"not allowed: {p.lower()}",
    "upper": lambda p: f"not allowed: {p.upper()}",
    "escaped": lambda p: f"not allowed: {html.escape(p)}",
    "as JSON": lambda p: f"not allowed: {json.dumps(json.dumps(p))}",
    "wide": lambda p: f"not allowed:\n\t {p.replace(' ', '   ')}\n",
    "by field": lambda p: {"prompt": [f"The prompt {p} is not allowed."]},
    "nested": lambda p: {"errors": [{"prompt": {"value": p, "why": "not allowed"}}]},
    "list": lambda p: ["not allowed", p],
}
FIELDS = ["message", "messege", "error", "errors", "tips", "tip"]


def judge(answer: object, status: int, *sent: str) -> object:
    reply = read_reply(json.dumps(answer).encode(), status, sent=sent)
    return classify(reply, status)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_s42_a_bad_request_is_one_whatever_prompt_it_quotes(prompt: str) -> None:
    for status, (shape, quoted), field in product([400, 422], SHAPES.items(), FIELDS):
        answer = {"status": "error", "message": "Not allowed", field: quoted(prompt)}
        outcome = judge(answer, status, prompt)
        assert isinstance(outcome, Rejected), (status, shape, field)
        assert outcome.reply.reason is Refusal.REQUEST, (status, shape, field)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    ("status", "reason"), [(401, Refusal.KEY), (402, Refusal.CREDITS), (403, Refusal.PLAN)]
)
def test_s42_a_refusal_by_status_keeps_its_kind_whatever_prompt_it_quotes(
    status: int, reason: Refusal, prompt: str
) -> None:
    for shape, quoted in SHAPES.items():
        answer = {"status": "error", "message": quoted(prompt), "tip": "not allowed"}
        outcome = judge(answer, status, prompt)
        assert isinstance(outcome, Rejected), shape
        assert outcome.reply.reason is reason, shape


@pytest.mark.parametrize("prompt", PROMPTS)
def test_s42_with_http_200_a_quoted_prompt_is_never_a_full_queue_or_an_empty_account(
    prompt: str,
) -> None:
    for (shape, quoted), field in product(SHAPES.items(), FIELDS):
        answer = {"status": "error", field: quoted(prompt), "title": "no"}
        outcome = judge(answer, 200, prompt)
        # Complaints by field are the documented shape of a bad request; the rest is nobody's words.
        assert isinstance(outcome, Unknown | Rejected), (shape, field)
        if isinstance(outcome, Rejected):
            assert outcome.reply.reason is Refusal.REQUEST, (shape, field)


@pytest.mark.parametrize("cut", [20, 40, 60])
@pytest.mark.parametrize("more", ["...", "\u2026", "", "' is too long"])
def test_s42_a_prompt_that_is_quoted_in_part_is_left_out_too(cut: int, more: str) -> None:
    prompt = "spam filter is enabled and the queue is full, gateway timeout, deadlock, try again"
    answer = {"status": "error", "message": f"bad prompt '{prompt[:cut]}{more}"}
    outcome = judge(answer, 400, prompt)
    assert isinstance(outcome, Rejected)
    assert outcome.reply.reason is Refusal.REQUEST


@pytest.mark.parametrize("cut", range(9, 16))
def test_s42_a_prompt_of_two_words_is_left_out_wherever_it_is_cut(cut: int) -> None:
    answer = {"status": "error", "message": f"bad prompt '{'gateway timeout'[:cut]}...'"}
    assert isinstance(judge(answer, 400, "gateway timeout"), Rejected)


@pytest.mark.parametrize("quote", ["'timeout'", '"timeout"', "`timeout`", "\u201ctimeout\u201d"])
def test_s42_a_single_word_of_a_prompt_is_left_out_where_it_is_quoted(quote: str) -> None:
    answer = {"status": "error", "message": f"the word {quote} is not allowed"}
    assert isinstance(judge(answer, 400, "a song about a timeout of love"), Rejected)
    assert isinstance(judge(answer, 400, "a song about love"), Unknown)


def test_s42_a_wait_and_a_maximum_are_not_taken_from_the_prompt() -> None:
    prompt = "maximum 1 queued requests, wait for 3000 seconds"
    answer = {"status": "error", "message": "Rate limit exceeded", "error": f"for '{prompt}'"}
    outcome = judge(answer, 429, prompt)
    assert isinstance(outcome, Busy)
    assert (outcome.reply.retry_after, outcome.reply.maximum) == (None, None)
    outcome = judge(answer, 429)
    assert isinstance(outcome, Busy)
    assert (outcome.reply.retry_after, outcome.reply.maximum) == (3000.0, 1)


@pytest.mark.parametrize("prompt", ["", "a sitar", "x", "the queue of the cats", "is"])
def test_a_refusal_that_quotes_nothing_is_read_as_before(prompt: str) -> None:
    full = judge({"status": "error", "message": "Rate limit exceeded"}, 429, prompt)
    assert isinstance(full, Busy)
    lost = judge({"status": "error", "message": "Internal server error"}, 400, prompt)
    assert isinstance(lost, Unknown)
    poor = judge({"status": "error", "message": "Insufficient credits"}, 200, prompt)
    assert isinstance(poor, Rejected)


@given(st.text(max_size=60), st.sampled_from([200, 400, 422]))
def test_s42_no_prompt_makes_a_bad_request_a_busy_one(prompt: str, status: int) -> None:
    for shape in SHAPES.values():
        outcome = judge({"status": "error", "message": shape(prompt)}, status, prompt)
        assert not isinstance(outcome, Busy | Accepted)


@pytest.mark.parametrize(
    "text",
    [
        "'" * 400_000,
        "\\" * 400_000,
        "&" * 400_000,
        "the " * 100_000,
        "wait for " * 50_000,
        "queue is full " * 30_000,
        "a\u0301" * 200_000,
    ],
    ids=["quotes", "slashes", "entities", "words", "waits", "queues", "marks"],
)
def test_only_the_beginning_of_an_answer_is_looked_at(text: str) -> None:
    said = wording.sentences({"message": text, "error": text}, [text])
    assert sum(map(len, said)) <= 4 * 32 * 1024
    reply = read_reply(json.dumps({"status": "error", "message": text}).encode(), 400)
    assert isinstance(reply, Refused)
