"""Amounts, prices and limits: exact, kept, and never raised by what comes with a repository."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from modelslab_async import (
    ConfigurationError,
    LimitReached,
    Limits,
    LyricsGenerator,
    MusicGen,
    Request,
    SoundEffect,
    SpeechToText,
    TextToSpeech,
)
from modelslab_async._text import decimal_text
from modelslab_async.batch import Budget, amount


@pytest.mark.parametrize(
    ("value", "is_taken_for"),
    [
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        (0.1 * 3, "0.3"),
        (1e-3, "0.001"),
        ("1e-3", "0.001"),
        ("1E+3", "1000"),
        (" 0.10 ", "0.1"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+2", "2"),
        (7, "7"),
        (0, "0"),
        (-0.0, "0"),
        (Decimal("0.0000001"), "0.0000001"),
        (999_999_999_999_999, "999999999999999"),
    ],
)
def test_an_amount_is_the_decimal_that_was_written(value: Any, is_taken_for: str) -> None:
    assert decimal_text(amount(value)) == is_taken_for


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), float("-inf"), -1, -0.01, 1e15, 10**5000, True, b"1", []),
        *("nan", "inf", "-1", "", "free", "1_000", "1,000.5", "0x10", "1e99", "1 2", "\u0661"),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal(-1)),
    ],
    ids=lambda value: f"{value:.9}" if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("name", ["max_cost", "price_per_job", "price_per_second"])
def test_what_is_no_amount_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is .*, but must be a number"):
        Limits(**{name: value})


def test_a_comma_is_answered_with_the_number_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match=r"'0,1', but .* with a point, as in 0\.1"):
        Limits(price_per_job="0,1")


@pytest.mark.parametrize("value", [-1, 1.5, float("inf"), True, "3", Decimal(3)])
def test_a_number_of_jobs_is_whole(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_jobs_total"):
        Limits(max_jobs_total=value)


def bought(limits: Limits, request: MusicGen, most: int = 2000) -> int:
    """How many jobs of this kind a budget lets pass."""
    budget = Budget(limits)
    cost = limits.price_of(request) or Decimal(0)
    while budget.refusal(cost) is None and budget.jobs < most:
        budget.charge(cost)
    return budget.jobs


@pytest.mark.parametrize(
    ("price", "second", "cap", "jobs"),
    [
        (0.1, None, 0.3, 3),
        (0.1, None, 0.7, 7),
        ("0.01", None, "10.15", 1015),
        (1.1, None, 3.3, 3),
        (0.1 + 0.2, None, 0.9, 3),
        ("1e-3", None, "3e-3", 3),
        (None, 0.01, 0.9, 3),
        (0.1, 0.01, 1.2, 3),
        (0.1, 0.01, 1.1999, 2),
        (1, None, 0, 0),
        ("0.333333333333333333", None, 1, 3),
        (999_999_999_999_999, None, 999_999_999_999_999, 1),
    ],
)
def test_a_cap_is_reached_exactly(price: Any, second: Any, cap: Any, jobs: int) -> None:
    limits = Limits(price_per_job=price, price_per_second=second, max_cost=cap)
    assert bought(limits, MusicGen("waltz", duration=30)) == jobs


def test_what_comes_back_leaves_nothing_behind() -> None:
    budget = Budget(Limits(price_per_job=0.1, max_cost=0.3))
    for _ in range(1000):
        budget.charge(Decimal("0.1"))
        budget.refund(Decimal("0.1"))
    assert (budget.jobs, budget.cost) == (0, Decimal(0))


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [
        (MusicGen("a"), "30"),
        (MusicGen("a", duration=31), "31"),
        (MusicGen("a", max_new_token=256), "5.12"),
        (MusicGen("a", max_new_token=257), "5.14"),
    ],
)
def test_seconds_are_as_exact_as_prices(request_: MusicGen, seconds: str) -> None:
    assert request_.estimate().seconds == Decimal(seconds)


def test_a_run_changes_what_it_names_and_keeps_the_rest() -> None:
    kept = Limits(max_jobs_total=5, max_cost=2, price_per_job="0.10")
    assert Limits().over(kept) == kept
    assert Limits(max_jobs_total=0).over(kept) == Limits(
        max_jobs_total=0, max_cost=2, price_per_job="0.1"
    )
    assert Limits.of_texts({**kept.as_texts(), "origin": "elsewhere"}) == kept
    assert Limits.of_texts(Limits().as_texts()) == Limits()


@pytest.mark.parametrize(
    ("kept", "file", "in_force"),
    [(None, None, None), (None, 1, 1), (1, None, 1), (1, 0.5, 1), (1, 2, 2), (0, 1, 1)],
)
def test_a_price_from_a_file_only_raises(kept: Any, file: Any, in_force: Any) -> None:
    raised = Limits(price_per_job=kept).raised_to(Limits(price_per_job=file))
    assert raised == Limits(price_per_job=in_force)


@pytest.mark.parametrize("prices", [{}, {"price_per_job": 0}, {"price_per_second": 0.0}])
def test_a_cost_without_a_price_is_no_limit_and_is_refused(prices: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="max_cost is 1, but no price is known"):
        Limits(max_cost=1, **prices).check()  # type: ignore[arg-type]


def test_a_refusal_names_all_the_digits_that_count() -> None:
    budget = Budget(Limits(price_per_job="0.00015", max_cost="0.0003"))
    budget.charge(Decimal("0.00015"), 2)
    refusal = budget.refusal(Decimal("0.00015"))
    assert isinstance(refusal, LimitReached)
    assert "cost to 0.00045, and max_cost is 0.0003;" in str(refusal)


TALK = SpeechToText("https://files.example/talk.wav", language="en")
SPEECH = TextToSpeech("Hello there", voice_id="tara", language="american english")


@pytest.mark.parametrize(
    ("prices", "request_", "cost"),
    [
        ({"text_to_speech.per_character": "0.00002"}, SPEECH, "0.00022"),
        ({"text_to_speech.per_character": 0.1, "text_to_speech.per_job": 1}, SPEECH, "2.1"),
        ({"text_to_speech.per_character": "0.00002"}, MusicGen("a"), "30.5"),
        ({"music_gen.per_second": "0.01"}, MusicGen("a"), "0.3"),
        ({"sfx.per_job": "0.1"}, SoundEffect("rain", duration=3), "0.1"),
        (
            {"speech_to_text.per_job": "0.2"},
            SpeechToText("https://a.b/c.wav", language="en"),
            "0.2",
        ),
        ({"lyrics_generator.per_job": 0}, LyricsGenerator("rain"), "0"),
        ({"sfx.per_character": 1}, SoundEffect("rain", duration=3), None),
        ({}, TALK, None),
        ({}, LyricsGenerator("rain"), None),
    ],
)
def test_an_endpoint_with_a_price_of_its_own_takes_no_part_of_the_one_for_all(
    prices: dict[str, Any], request_: Request, cost: str | None
) -> None:
    limits = Limits(price_per_job="0.5", price_per_second=1, prices=prices)
    assert limits.price_of(request_) == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text_to_speach.per_job", "'text_to_speach' is no endpoint; did you mean text_to_speech?"),
        ("text-to-speech.per_job", "did you mean text_to_speech?"),
        ("text_to_speech.per_charakter", "no unit of a price; did you mean per_character?"),
        ("text_to_speech", "'' is no unit of a price, but must be one of per_job, per_second"),
        ("images.per_job", "'images' is no endpoint, but must be one of music_gen, sfx"),
    ],
)
def test_a_price_of_nothing_known_is_answered_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Limits(prices={name: 1})


def test_the_amount_of_an_endpoints_price_is_checked_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match=r"prices\['sfx.per_job'\] is -1, but must be a"):
        Limits(prices={"sfx.per_job": -1})
    with pytest.raises(ConfigurationError, match="prices is 'sfx', but must be a mapping"):
        Limits(prices="sfx")  # type: ignore[arg-type]


def test_prices_of_endpoints_are_kept_one_by_one() -> None:
    kept = Limits(price_per_job=1, prices={"sfx.per_job": "0.10", "sfx.per_second": "0.000001"})
    assert Limits.of_texts(kept.as_texts()) == kept
    assert kept.as_texts()["price.sfx.per_second"] == "0.000001"
    later = Limits(prices={"sfx.per_job": 2, "music_gen.per_job": 3}).over(kept)
    assert later.prices == {
        "sfx.per_job": 2,
        "sfx.per_second": Decimal("0.000001"),
        "music_gen.per_job": 3,
    }


@pytest.mark.parametrize(
    ("kept", "file", "in_force"),
    [
        ({}, {"sfx.per_job": 1}, {"sfx.per_job": 1}),
        ({"sfx.per_job": 2}, {"sfx.per_job": 1}, {"sfx.per_job": 2}),
        ({"sfx.per_job": 2}, {"sfx.per_job": 3}, {"sfx.per_job": 3}),
        ({"sfx.per_job": 2}, {"sfx.per_second": 1}, {"sfx.per_job": 2, "sfx.per_second": 1}),
        ({"sfx.per_job": 2}, {}, {"sfx.per_job": 2}),
    ],
)
def test_an_endpoints_price_from_a_file_only_raises(
    kept: Any, file: Any, in_force: dict[str, int]
) -> None:
    assert Limits(prices=kept).raised_to(Limits(prices=file)).prices == in_force


def test_an_endpoints_price_from_a_file_does_not_lower_the_one_for_all() -> None:
    kept = Limits(price_per_second=1)
    raised = kept.raised_to(Limits(prices={"music_gen.per_job": "0.1", "music_gen.per_second": 0}))
    for request in (MusicGen("a"), MusicGen("a", duration=480)):
        before, after = kept.price_of(request), raised.price_of(request)
        assert before is not None
        assert after == before + Decimal("0.1")
