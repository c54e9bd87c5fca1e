"""Receive webhooks instead of polling: `WebhookReceiver` and its inboxes.

ModelsLab's webhooks are unsigned, best-effort and may repeat (ModelsLab docs, webhooks page). So
each job has its own URL that only this library can create, and a delivery only says when to poll.
"""

from ._delivery import Delivery
from ._inbox import Inbox, MemoryInbox
from ._logs import HideTokens
from ._receiver import WebhookReceiver
from ._sqlite_inbox import SqliteInbox

__all__ = ["Delivery", "HideTokens", "Inbox", "MemoryInbox", "SqliteInbox", "WebhookReceiver"]
