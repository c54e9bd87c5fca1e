"""Bind a batch to the account that pays for it, by the origin and a fingerprint of the key.

With another key, the ids of its jobs would name other users' jobs, whose files would be saved under
these prompts. The first run that pays for a job binds the batch.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Final

from .._engine.aio import in_thread
from .._engine.session import Session
from ..errors import WrongAccount
from ._ledger import Ledger
from ._sqlite.reader import ORIGIN

_SALT: Final = "account_salt"
_KEY: Final = "account_key"


async def check_account(ledger: Ledger, session: Session, *, same: bool = False) -> None:
    """Check that the client's account has paid for the batch; bind the batch if none has.

    Args:
        ledger: open.
        session: of the open client.
        same: trust the caller that it is the same account.

    Raises:
        WrongAccount: another account has paid.
    """
    meta, is_paid = await ledger.read(lambda reader: (reader.meta(), reader.is_paid_for()))
    transport = session.transport
    if _KEY in meta and is_paid:
        key = await in_thread(partial(transport.fingerprint, bytes.fromhex(meta[_SALT])))
        if (meta[ORIGIN], meta[_KEY]) == (transport.origin, key):
            return
        if not same:
            used = "the key that it was paid with" if meta[_KEY] == key else "another key"
            raise WrongAccount(
                f"this batch was paid for at {meta[ORIGIN]}, and this run uses {used} at "
                f"{transport.origin}: jobs of another account may have the same ids, and their "
                "files would be saved here; nothing was sent. Use the account that paid; if this "
                "is it, and only its key or origin has changed, pass same_account=True"
            )
    salt = secrets.token_bytes(16)  # per ledger, so that equal keys have different fingerprints
    key = await in_thread(partial(transport.fingerprint, salt))
    await ledger.set_meta({ORIGIN: transport.origin, _SALT: salt.hex(), _KEY: key})
