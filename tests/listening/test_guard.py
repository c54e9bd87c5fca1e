"""Who is answered by the page's server, and which bytes of a file a request asks for."""

from __future__ import annotations

from typing import Any

import pytest

from modelslab_async.listening._guard import byte_range, refusal

HOST = "127.0.0.1:8000"
OWN = {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
JSON: dict[str, Any] = {"Content-Type": "application/json", "Content-Length": "20"}


def status(
    method: str = "GET", *, given: str = "token", page: Any = False, **headers: Any
) -> int | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(
        method=method,
        token="token",
        given=given,
        port=8000,
        headers={name: value for name, value in {**OWN, **named}.items() if value != "absent"},
        is_page=page,
    )


def test_the_own_page_and_a_program_with_the_token_are_answered() -> None:
    assert status() is None
    assert status(Origin="absent", **{"Sec-Fetch-Site": "absent"}) is None
    assert status(Host="localhost:8000", Origin="http://localhost:8000") is None
    assert status("POST", **JSON) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Host": "127.0.0.1:8001"}, 403),
        ({"Host": "absent"}, 403),
        ({"Host": "[::1]:8000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"https://{HOST}"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"given": ""}, 404),
        ({"given": "tokem"}, 404),
        ({"given": "\udcff"}, 404),
        ({"method": "POST", **JSON, "Content_Type": "text/plain"}, 415),
        ({"method": "POST", **JSON, "Content_Type": "absent"}, 415),
        ({"method": "POST", **JSON, "Content_Length": "absent"}, 411),
        ({"method": "POST", **JSON, "Content_Length": "99999"}, 413),
        ({"method": "POST", **JSON, "Content_Length": "9" * 5000}, 413),
    ],
)
def test_others_are_refused(change: dict[str, Any], code: int) -> None:
    change = {name.replace("Content-", "Content_"): value for name, value in change.items()}
    assert status(**change) == code


def test_a_notebook_on_this_machine_may_frame_the_page_but_not_ask_for_the_rest() -> None:
    assert status(page=True, Origin="absent", Sec_Fetch_Site="cross-site") is None
    assert status(page=False, Origin="absent", Sec_Fetch_Site="cross-site") == 403


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-", range(100)),
        ("bytes=10-19", range(10, 20)),
        ("bytes=90-500", range(90, 100)),
        ("bytes=-10", range(90, 100)),
        ("bytes=-500", range(100)),
        ("Bytes = 0-0", range(1)),
        ("bytes=100-", range(0)),
        ("bytes=-0", range(0)),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=\u0661-", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("lines=1-2", None),
    ],
)
def test_a_range_is_what_its_standard_says(header: str | None, part: range | None) -> None:
    found = byte_range(header, 100)
    assert (found is None) == (part is None)
    assert found is None or part is None or list(found) == list(part)
