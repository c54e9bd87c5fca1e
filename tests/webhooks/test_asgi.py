"""What an ASGI server may say besides a request: each case by the ASGI 3 specification."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from modelslab_async.webhooks import WebhookReceiver

pytestmark = pytest.mark.anyio

SECRET = "a-secret-of-this-test"
URL = "https://example.com/hooks"
STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


async def told(
    scope: dict[str, Any], messages: Iterable[dict[str, Any]], receiver: WebhookReceiver
) -> list[dict[str, Any]]:
    """All that the application says to these messages; it asks for no more of them."""
    left = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(left)

    async def send(message: Any) -> None:
        sent.append(message)

    await receiver.app(scope, receive, send)
    assert not list(left)
    return sent


def request(receiver: WebhookReceiver, **more: Any) -> dict[str, Any]:
    path = receiver.url_for(7).removeprefix(URL)
    return {"type": "http", "method": "POST", "path": path, "headers": [], **more}


async def test_a_server_that_starts_and_stops_it_is_answered() -> None:
    sent = await told({"type": "lifespan"}, [STARTUP, SHUTDOWN], WebhookReceiver(SECRET, URL))
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_websocket_is_closed_before_it_is_open() -> None:
    connects = [{"type": "websocket.connect"}]
    sent = await told({"type": "websocket"}, connects, WebhookReceiver(SECRET, URL))
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_kind_of_connection_that_nobody_knows_is_left_alone() -> None:
    assert await told({"type": "telepathy"}, [], WebhookReceiver(SECRET, URL)) == []


async def test_who_goes_in_the_midst_of_a_body_is_not_answered() -> None:
    receiver = WebhookReceiver(SECRET, URL)
    half = {"type": "http.request", "body": b'{"status"', "more_body": True}
    gone = {"type": "http.disconnect"}
    assert await told(request(receiver), [half, gone], receiver) == []


async def test_a_server_without_raw_paths_gets_its_answer_and_no_token() -> None:
    receiver = WebhookReceiver(SECRET, URL)
    scope = request(receiver)
    token = scope["path"].rpartition("/")[2]
    body = {"type": "http.request", "body": b'{"status": "processing", "id": 1}'}
    sent = await told(scope, [body], receiver)
    assert [message.get("status") for message in sent] == [200, None]
    assert token not in str(scope)
