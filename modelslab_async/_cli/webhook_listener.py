"""Receive the webhooks of a batch directory, in any process.

All processes share one secret, so that each accepts URLs signed by another, and one inbox, so
that deliveries that arrive while no batch runs are kept for the next run.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._engine.secret import Secret

if TYPE_CHECKING:
    from modelslab_async.webhooks import WebhookReceiver

PORT: Final = 8787
_FROM_ENVIRONMENT: Final = "MODELSLAB_ASYNC_WEBHOOK_SECRET"
_KEPT_IN: Final = "webhook.secret"
_INBOX: Final = "webhooks.sqlite3"


@asynccontextmanager
async def receiving(
    directory: Path, public_url: str, port: int, *, key: str | None = None
) -> AsyncIterator[WebhookReceiver]:
    """A receiver that listens for the batch in a directory.

    An API key that no client hides is taken out of what is delivered.

    Raises:
        ConfigurationError: the URL or the secret cannot be used.
        LedgerError: the file with the secret cannot be trusted.
        WebhookError: the port cannot be listened on.
    """
    from modelslab_async.webhooks import SqliteInbox, WebhookReceiver

    async with SqliteInbox(directory / _INBOX) as inbox:
        given = os.environ.get(_FROM_ENVIRONMENT, "").strip()
        secret = given or _own_secret(directory / _KEPT_IN)
        receiver = WebhookReceiver(secret, public_url, inbox=inbox)
        if key:
            receiver.hide(Secret(key))
        async with receiver.serve(port=port):
            yield receiver


def _own_secret(path: Path) -> bytes:
    """The secret in a file, which is made when there is none, by one process alone."""
    import secrets

    from .._engine.filesystem import lock
    from ..batch._sqlite.location import open_private

    with os.fdopen(open_private(path), "r+b") as file:
        lock(file.fileno(), wait=True)
        with suppress(OSError):  # a memory card has no modes
            os.fchmod(file.fileno(), 0o600)
        known = file.read().strip()
        if not known:
            known = secrets.token_urlsafe().encode()
            file.write(known + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return known
