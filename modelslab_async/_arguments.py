"""Validate the arguments of the client's methods."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from ._engine.job import Generation, Job
from ._protocol.replies import RemoteFile
from ._text import shown
from .endpoints.base import Request, known_fields
from .errors import ConfigurationError, DownloadError, RequestError

_KEY_NAMES = ("MODELSLAB_API_KEY", "MODELS_LAB_API_KEY")

_Text = TypeVar("_Text", bound=str)


def key_from_environment() -> str:
    """Return the API key from the environment.

    Raises:
        ConfigurationError: there is none.
    """
    for name in _KEY_NAMES:
        if os.environ.get(name, "").strip():
            return os.environ[name]
    raise ConfigurationError(
        "no API key: set MODELSLAB_API_KEY (your ModelsLab dashboard shows it), or pass api_key=; "
        "without an account, use modelslab_async.sandbox"
    )


def at_least(name: str, value: Any, least: int = 1) -> int:
    if type(value) is not int or value < least:
        raise ConfigurationError(
            f"{name} is {value!r:.40}, but must be an integer of at least {least}"
        )
    return value


def request_of(request: object, values: dict[str, Any]) -> Request:
    """Return the request itself, or a `MusicGen` request for a prompt."""
    if isinstance(request, Request):
        if values:
            raise RequestError(
                f"{', '.join(values)} cannot be passed along with a request: "
                f"write {type(request).__name__}(..., {next(iter(values))}=...)",
                field=next(iter(values)),
            )
        return request
    if not isinstance(request, str):
        raise RequestError(
            f"{shown(request)} is neither a request nor a prompt; write MusicGen(prompt)"
        )
    from .endpoints.music import MusicGen

    for name in values:
        if name not in known_fields(MusicGen) or name == "prompt":
            near = get_close_matches(name, known_fields(MusicGen), n=1)
            meant = f"did you mean {near[0]}?" if near else "pass it in extra={...} to send it"
            raise RequestError(f"{name} is not a field of MusicGen; {meant}", field=name)
    return MusicGen(request, **values)


def several(name: str, values: Iterable[_Text]) -> frozenset[_Text]:
    if isinstance(values, str):  # iterating it would give single letters
        raise ConfigurationError(f"{name} is {values!s:.40}, but takes several; put it into a list")
    return frozenset(values)


def above_zero(name: str, seconds: Any) -> float:
    if type(seconds) not in (int, float) or not seconds > 0:
        raise ConfigurationError(f"{name} is {seconds!r:.40}, but must be more than 0 seconds")
    return float(seconds)


async def file_of(what: object) -> RemoteFile:
    """Return the only file of a generation, or of a job after waiting for it.

    Raises:
        RequestError: it is something else.
        DownloadError: it has several files.
        ModelsLabError: as `Job.result`, for a job.
    """
    if isinstance(what, Job):
        what = await what.result()
    if isinstance(what, RemoteFile):
        return what
    if not isinstance(what, Generation):
        raise RequestError(
            f"{shown(what)} is not a generation, file or job; "
            "client.job(...) accepts a job's id, or the text from its to_json()"
        )
    if len(what.files) == 1:
        return what.files[0]
    raise DownloadError(
        f"job {what.id} made {len(what.files)} files; "
        "name one of generation.files, or use download_all",
        job_id=what.id,
    )
