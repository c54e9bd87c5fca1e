"""Be told by webhook instead of asking: `WebhookReceiver` and where it keeps deliveries.

ModelsLab's webhooks are unsigned, best effort and may repeat (ModelsLab docs, webhooks page). So
each job has a URL of its own that only we can make, and a delivery only says when to ask.
"""

from ._delivery import Delivery
from ._inbox import Inbox, MemoryInbox
from ._logs import HideTokens
from ._receiver import WebhookReceiver
from ._sqlite_inbox import SqliteInbox

__all__ = ["Delivery", "HideTokens", "Inbox", "MemoryInbox", "SqliteInbox", "WebhookReceiver"]
