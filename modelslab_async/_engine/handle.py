"""Serialize a job's handle, and read it back in this process or another.

A handle contains no key. It may have been stored anywhere, so every part is validated on reading.
"""

from __future__ import annotations

import json
from typing import Any, Final

from .._protocol.output import ENDINGS, Output
from .._protocol.replies import Links
from .._protocol.urls import VOICE_FETCH, family_and_id
from .._protocol.urls import job_id as trusted_id
from ..errors import RequestError

_VERSION: Final = 1


def write_handle(
    *,
    id: str,  # noqa: A002
    track_id: int | str | None,
    path: str,
    links: Links,
    gives: Output = "audio",
) -> str:
    """Return the text for `read_handle`; ``path`` is the full path for polling the job."""
    handle: dict[str, Any] = {
        "version": _VERSION,
        "id": id,
        "track_id": track_id,
        "path": path,
        "links": {"output": links.output, "proxy": links.proxy, "future": links.future},
    }
    if gives != "audio":
        handle["gives"] = gives
    return json.dumps(handle)


def short_handle(id: str, path: str, gives: Output) -> str:  # noqa: A002
    """Return a handle for people to copy: the bare id where that is enough."""
    if (path, gives) == (f"{VOICE_FETCH}/{id}", "audio"):
        return id
    return write_handle(id=id, track_id=None, path=path, links=Links(), gives=gives)


def read_handle(text: str | int) -> dict[str, Any]:
    """Return the arguments for `Job` from an id or from the text of `Job.to_json`.

    Raises:
        RequestError: it is neither.
    """
    own = trusted_id(text.strip() if isinstance(text, str) else text)
    if own is not None:
        return {"id": own}
    try:
        handle = json.loads(text) if isinstance(text, str) else None
        return _checked(handle)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise RequestError(
            "this is neither a job id nor a job handle; pass an id such as 43730, "
            "or the text from Job.to_json()",
            field="job",
        ) from None


def _checked(handle: Any) -> dict[str, Any]:
    """Validate every part of a handle: the text may come from anywhere."""
    if handle["version"] != _VERSION:
        raise ValueError(handle["version"])
    own, route = trusted_id(handle["id"]), family_and_id(handle["path"])
    links = Links(**{name: _urls(urls) for name, urls in handle["links"].items()})
    nameless = handle["id"] == "" and links.output  # finished at once: it has a link but no id
    if not nameless and (own is None or route is None):  # in another family, the id is another job
        raise ValueError("id")
    if not isinstance(handle["track_id"], int | str | None):
        raise TypeError("track_id")
    gives = handle.get("gives", "audio")
    if gives not in ENDINGS:
        raise ValueError("gives")
    family, polled = route or (VOICE_FETCH, None)
    return {
        "id": own or "",
        "path": family,
        "fetch_id": polled,
        "track_id": handle["track_id"],
        "links": links,
        "gives": gives,
    }


def _urls(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(url, str) for url in value):
        raise TypeError("links")
    return tuple(value)
