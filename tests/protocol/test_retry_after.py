"""G11: `Retry-After` is read to the second, and what cannot be read asks for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.retry_after import max_or_none, retry_after

NOW = 784_111_747.0  # Sun, 06 Nov 1994 08:49:07 GMT, half a minute before RFC 9110's own example


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        # numbers
        ("0", 0.0),
        ("1", 1.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("\t30", 30.0),
        ("0030", 30.0),
        ("120", 120.0),
        ("86400", 86_400.0),
        ("1000000000", 1e9),
        ("9" * 18, float("9" * 18)),
        # the three formats of RFC 9110
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        ("Sun Nov  6 08:49:37 1994", 30.0),
        # zones
        ("Sun, 06 Nov 1994 08:49:37", 30.0),
        ("Sun, 06 Nov 1994 08:49:37 UTC", 30.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 30.0),
        ("Sun, 06 Nov 1994 08:49:37 +0000", 30.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 30.0),
        ("Sun, 06 Nov 1994 03:49:37 -0500", 30.0),
        ("Sun, 06 Nov 1994 03:49:37 EST", 30.0),
        # the past asks for nothing more
        ("Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:06 GMT", 0.0),
        ("Sunday, 06-Nov-70 08:49:37 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu Jan  1 00:00:00 1970", 0.0),
        # the far future
        ("Mon, 07 Nov 1994 08:49:07 GMT", 86_400.0),
        ("Mon, 06 Nov 2094 08:49:07 GMT", 36_525 * 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 252_618_189_052.0),
        # fractions, which RFC 9110 does not know and servers send
        ("1.5", 1.5),
        ("0.129", 0.129),
        ("30.0", 30.0),
        # nothing at all
        (None, None),
        ("", None),
        ("   ", None),
        # neither a number of seconds nor a date
        ("-1", None),
        ("+30", None),
        ("1.", None),
        (".5", None),
        ("1.5.5", None),
        ("1." + "5" * 19, None),
        ("1e3", None),
        ("0x1e", None),
        ("1_000", None),
        ("٣٠", None),
        ("²", None),
        ("9" * 19, None),
        ("9" * 5000, None),
        ("30 seconds", None),
        ("30, 60", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("null", None),
        ("1994-11-06T08:49:37Z", None),
        ("Sun, 06 Nov 1994", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +999999999", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ("\x00", None),
    ],
)
def test_retry_after_is_read_exactly_or_not_at_all(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after(header, NOW) == seconds


LATER = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        # servers whose clocks are wrong by an hour, a day and years
        (LATER, "Sun, 06 Nov 1994 08:49:27 GMT", 10.0),
        (LATER, "Sun, 06 Nov 1994 07:49:37 GMT", 3600.0),
        ("Sun, 06 Nov 1994 07:49:37 GMT", "Sun, 06 Nov 1994 07:49:07 GMT", 30.0),
        ("Mon, 07 Nov 1994 09:00:05 GMT", "Mon, 07 Nov 1994 09:00:00 GMT", 5.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", 30.0),
        # any of the three formats on either side
        ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:17 1994", 20.0),
        # asked for before it was said
        (LATER, "Sun, 06 Nov 1994 09:49:37 GMT", 0.0),
        # no date that can be read: by our own clock
        (LATER, None, 30.0),
        (LATER, "", 30.0),
        (LATER, "yesterday", 30.0),
        (LATER, "784111777", 30.0),
        (LATER, "Sun, 06 Nov 1994 25:49:37 GMT", 30.0),
        # a number needs no clock
        ("30", "Sun, 06 Nov 1994 07:49:37 GMT", 30.0),
        ("soon", "Sun, 06 Nov 1994 07:49:37 GMT", None),
    ],
)
def test_s23_a_date_is_reckoned_from_the_answers_own(
    header: str, date: str | None, seconds: float | None
) -> None:
    assert retry_after(header, NOW, date=date) == seconds


@given(st.text() | st.text("0123456789 :,+-GMTSunNovJan"), st.floats(0, 1e11))
def test_any_header_asks_for_a_finite_wait_or_for_none(header: str, now: float) -> None:
    wait = retry_after(header, now)
    assert wait is None or 0 <= wait < float("inf")


@pytest.mark.parametrize(
    ("hints", "longest"),
    [
        ((), None),
        ((None, None), None),
        ((3.0, None), 3.0),
        ((None, 0.0), 0.0),
        ((3.0, 30.0, 1.0), 30.0),
    ],
)
def test_of_several_hints_the_longest_is_obeyed(
    hints: tuple[float | None, ...], longest: float | None
) -> None:
    assert max_or_none(*hints) == longest
