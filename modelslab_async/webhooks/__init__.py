"""Be told by webhook instead of asking: `WebhookReceiver` and where it keeps deliveries.

ModelsLab's webhooks are unsigned, best effort and may repeat (ModelsLab docs, webhooks page). So
each job has a URL of its own that only we can make, and a delivery only says when to ask.
"""

from .delivery import Delivery
from .inbox import Inbox, MemoryInbox
from .logs import HideTokens
from .receiver import WebhookReceiver
from .sqlite_inbox import SqliteInbox

__all__ = ["Delivery", "HideTokens", "Inbox", "MemoryInbox", "SqliteInbox", "WebhookReceiver"]
