"""Prepare a request for sending: read and encode its local files, and set its ids."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from attrs import evolve, field, frozen

from .._protocol.wire_json import Encoded, encode_json
from ..endpoints.base import Request, encode, is_light, known_fields
from ..endpoints.clips import encode_clip
from ..endpoints.fields import SHORT_SOUND, Clip
from ..endpoints.media import MAX_CLIP_BYTES
from ..errors import RequestError
from .aio import in_thread


@frozen
class Submission:
    """One request, ready to be sent: its JSON fields without the key and local files.

    A clip takes megabytes and thousands of requests may wait for a slot, so `completed` adds the
    clips only when the request is sent.
    """

    request: Request
    fields: dict[str, Any] = field(repr=False)

    @property
    def track_id(self) -> int | str:
        """As it is sent."""
        track_id: int | str = self.fields["track_id"]
        return track_id


async def prepare(
    request: Request,
    track_id: int | str,
    *,
    webhook: str | None = None,
    clips: anyio.CapacityLimiter,
) -> Submission:
    """Encode the request, and check that the local files that it names can be sent.

    Args:
        request: the request.
        track_id: the track_id to send.
        webhook: the webhook URL, unless the request has its own.
        clips: limits how many clips are checked at once.

    Raises:
        RequestError: a file cannot be read, or the API does not accept it.
    """
    ready = partial(_submission, request, track_id, webhook)
    if is_light(request):
        return ready()
    async with clips:
        return await in_thread(ready)


def _submission(request: Request, track_id: int | str, webhook: str | None) -> Submission:
    """Blocking: see `prepare`."""
    if request.webhook is None and webhook is not None:
        request = evolve(request, webhook=webhook)
    _encoded(request)
    return Submission(request, encode(request, track_id=track_id))


async def completed(submission: Submission) -> Encoded:
    """Return the JSON object to send, without the key, with local files read and encoded.

    Raises:
        RequestError: a file has changed and is no longer valid.
    """
    body = partial(_body, submission)
    return body() if is_light(submission.request) else await in_thread(body)


def _body(submission: Submission) -> Encoded:
    """Blocking: see `completed`."""
    request = submission.request
    if media := _encoded(request):
        fields = encode(request, track_id=submission.track_id, media=media)
        return Encoded(encode_json(fields))
    return Encoded(encode_json(submission.fields))


async def media_text(field: str, clip: Path | bytes) -> str:
    """Return a local clip encoded for sending.

    Raises:
        RequestError: it cannot be read, or the API does not accept it.
    """
    return await in_thread(partial(_text_of, field, clip, unchecked=False))


def _encoded(request: Request) -> dict[str, str]:
    """Blocking: encode the local files, by field name."""
    known = known_fields(type(request))
    return {
        field: _text_of(field, media, known[field].clip, unchecked=request.unchecked)
        for field, media in request.local_media().items()
    }


def _text_of(field: str, media: Path | bytes, clip: Clip = SHORT_SOUND, *, unchecked: bool) -> str:
    if isinstance(media, bytes):
        return encode_clip(field, media, clip=clip, unchecked=unchecked)
    data = _read(field, media)
    return encode_clip(field, data, clip=clip, name=media.name, unchecked=unchecked)


def _read(field: str, path: Path) -> bytes:
    try:
        if not path.is_file() and path.exists():
            raise OSError(errno.EINVAL, "not a regular file")  # reading a FIFO could block forever
        with path.open("rb") as file:
            return file.read(MAX_CLIP_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(
            f"{field} {str(path)!r} cannot be read: {reason}; check the path",
            field=field,
            value=str(path),
        ) from None
