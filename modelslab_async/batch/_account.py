"""A batch belongs to the account that pays for it: its ledger knows the origin and the key's print.

With another key, the ids of its jobs would name somebody else's, whose music would be saved under
these prompts. Before anything is paid, a batch belongs to whoever works on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final

from .._engine.aio import in_thread
from .._engine.session import Session
from ..errors import WrongAccount
from ._ledger import Ledger

ORIGIN: Final = "origin"
_SALT: Final = "account_salt"
_KEY: Final = "account_key"


async def check_account(ledger: Ledger, session: Session, *, same: bool = False) -> None:
    """See that the client's account is the one that has paid for the batch; bind a new one to it.

    Args:
        ledger: open.
        session: of the open client.
        same: the caller says that it is the same account, whatever the ledger knows.

    Raises:
        WrongAccount: it is another one.
    """
    meta, is_paid = await ledger.read(lambda reader: (reader.meta(), reader.is_paid_for()))
    transport = session.transport
    if _KEY in meta and is_paid:
        key = await in_thread(partial(transport.fingerprint, bytes.fromhex(meta[_SALT])))
        if (meta[ORIGIN], meta[_KEY]) == (transport.origin, key):
            return
        if not same:
            raise _another(meta, transport.origin, is_same_key=meta[_KEY] == key)
    salt = secrets.token_bytes(16)  # one for each ledger: equal prints would tell of equal keys
    key = await in_thread(partial(transport.fingerprint, salt))
    await ledger.set_meta({ORIGIN: transport.origin, _SALT: salt.hex(), _KEY: key})


def _another(meta: Mapping[str, str], origin: str, *, is_same_key: bool) -> WrongAccount:
    key = "the key that it was paid with" if is_same_key else "another key"
    return WrongAccount(
        f"this batch was paid for at {meta[ORIGIN]}, and this run uses {key} at {origin}: jobs of "
        "another account have the same ids, and their music would be saved here. Nothing was "
        "sent. Use the account that paid; if it is this one, and only its key or address is new, "
        "confirm that with same_account=True"
    )
