"""Any other job, by its path: the same submit and fetch, with fields that nobody here knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen

from .._protocol.output import ENDINGS, Output
from .._protocol.urls import FAMILIES
from .._text import shown
from ..errors import RequestError
from .base import Estimate, Request, check_extra, copied, of_unknown_length
from .fields import must

_PATH = re.compile(r"/api(?:/[A-Za-z0-9_-]{1,64}){2,6}")
_NO_JOBS = frozenset({"fetch", "voice_list", "voice_upload", "base64_to_url"}) | frozenset(
    {"system_details", "clear_queue", "clear_cache", "restart_server", "update_server", "update"}
)


def _copied(fields: Mapping[str, Any]) -> dict[str, Any]:
    return copied("fields", fields)


@frozen(repr=False)
class RawRequest(Request):
    """A job of any endpoint that answers with a ticket or a result, as those for voice do.

    It has slots, polling, the ledger and downloads as any other request. Its fields are sent as
    they are, and its price and length are not known. A file that cannot be judged is saved with
    ``integrity="announced"`` when its length agrees with what the host announced.

    Args:
        path: where it is sent, such as ``/api/v6/images/text2img``.
        fields: what is sent, without the key, ``webhook`` and ``track_id``.
        gives: ``audio``, ``text``, ``video``, ``image``, or ``file`` for anything else.
        webhook: ``https://`` URL to be told on (``http://`` on loopback only).
        track_id: your own id, echoed by the server; one is made when you give none.

    Raises:
        RequestError: the path is none of a job, or of a group whose jobs are asked about nowhere
            that is known; a field holds the key, or what JSON cannot carry.
    """

    NAME: ClassVar[str] = "raw"

    path: str = field(**must(str, is_sent=False))
    fields: Mapping[str, Any] = field(converter=_copied, hash=False, **must(dict, is_sent=False))
    gives: Output = field(kw_only=True, **must(str, is_sent=False))

    def __attrs_post_init__(self) -> None:
        _check_path(self.path)
        if self.gives not in ENDINGS:
            raise RequestError(
                f"gives is {shown(self.gives)}, but must be one of {', '.join(ENDINGS)}",
                field="gives",
                value=self.gives,
            )
        check_extra("fields", self.fields, {"webhook", "track_id"})
        super().__attrs_post_init__()

    @property
    def fetch(self) -> str:
        """Beside the path: each group has its own."""
        return f"{self.path.rpartition('/')[0]}/fetch"

    @property
    def further(self) -> Mapping[str, Any]:
        """All of its own fields."""
        return {**self.extra, **self.fields}

    @property
    def title(self) -> str:
        """Its prompt, or else the end of its path."""
        prompt = self.fields.get("prompt")
        return prompt if isinstance(prompt, str) else self.path.rpartition("/")[2]

    def estimate(self) -> Estimate:
        """Nothing is known of it."""
        return of_unknown_length(0.0)


def _check_path(path: str) -> None:
    group, _, name = path.rpartition("/")
    if not _PATH.fullmatch(path):
        reason = "is no path of an endpoint, such as /api/v6/images/text2img"
    elif name in _NO_JOBS or f"{path}/fetch" in FAMILIES:
        reason = "makes no job: it is asked once, and not submitted"
    elif f"{group}/fetch" not in FAMILIES:
        reason = f"is of a group whose jobs are asked about nowhere that is known: {group}/fetch"
    else:
        return
    raise RequestError(f"path {shown(path)} {reason}; nothing was sent", field="path", value=path)
