"""``--print-curl``: requests as commands of curl, with the key masked. Nothing is sent."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from modelslab_async.endpoints.base import encode, routed

from .._protocol.urls import api_origin
from .console import Console
from .masking import masked

if TYPE_CHECKING:
    from modelslab_async import Request

    from .connection import Connection


def print_curl(connection: Connection, requests: Sequence[Request], console: Console) -> int:
    """Print one command per request.

    Raises:
        click.UsageError: there is no origin that a command could name, or a file would be sent.
    """
    if connection.sandbox:
        raise click.UsageError("--print-curl and --sandbox exclude each other: name a --base-url")
    settings = connection.settings
    origin = api_origin(connection.origin)
    found = []
    for one in requests:
        request = routed(one, enterprise=settings["enterprise"].value)
        if request.local_media():
            raise click.UsageError("--print-curl shows no request with a local file: give its URL")
        sent = encode(request, track_id=request.track_id or 0)
        body = {"key": masked(settings["api_key"].value) or "***", **sent}
        found.append((f"{origin}{request.path}", body))
    if console.json:
        shown = [{"url": url, "body": body, "curl": _command(url, body)} for url, body in found]
        console.print_json({"schema_version": 1, "requests": shown})
        return 0
    for url, body in found:
        console.print(_command(url, body))
    return 0


def _command(url: str, body: dict[str, Any]) -> str:
    words = ["curl", url, "-H", "Content-Type: application/json", "--data-raw", _json(body)]
    return shlex.join(words)


def _json(body: dict[str, Any]) -> str:
    """JSON in letters of all scripts; what a terminal might act on is escaped."""
    text = json.dumps(body, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
