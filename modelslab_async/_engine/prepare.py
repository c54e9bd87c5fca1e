"""Make a request ready to be sent: its local clip read and encoded, its ids in place."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from attrs import evolve, field, frozen

from .._protocol.wire_json import Encoded, encode_json
from ..endpoints.music import MAX_INIT_AUDIO_BYTES, MusicGen, encode, encode_audio, is_light
from ..errors import RequestError
from .aio import in_thread


@frozen
class Submission:
    """One request, ready to be sent: its fields on the wire, without the key and a local clip.

    A clip is megabytes, and thousands of requests may wait for a slot: `completed` puts it in.
    """

    request: MusicGen
    fields: dict[str, Any] = field(repr=False)

    @property
    def track_id(self) -> int | str:
        """As it is sent."""
        track_id: int | str = self.fields["track_id"]
        return track_id


async def prepare(
    request: MusicGen,
    track_id: int | str,
    *,
    webhook: str | None = None,
    clips: anyio.CapacityLimiter,
) -> Submission:
    """Encode the request, and see whether its local clip, if it has one, can be sent.

    Args:
        request: what to ask for.
        track_id: the one to send.
        webhook: where to be told, unless the request names a place of its own.
        clips: how many clips may be looked at at once.

    Raises:
        RequestError: the clip cannot be read, or is not what the API takes.
    """
    ready = partial(_submission, request, track_id, webhook)
    if is_light(request):
        return ready()
    async with clips:
        return await in_thread(ready)


def _submission(request: MusicGen, track_id: int | str, webhook: str | None) -> Submission:
    """Blocking: see `prepare`."""
    if request.webhook is None and webhook is not None:
        request = evolve(request, webhook=webhook)
    if not isinstance(request.init_audio, Path | bytes):
        return Submission(request, encode(request, track_id=track_id))
    _encoded(request.init_audio, unchecked=request.unchecked)
    return Submission(request, encode(evolve(request, init_audio=None), track_id=track_id))


async def completed(submission: Submission) -> Encoded:
    """The JSON object that is sent, without the key, a local clip read and encoded.

    Raises:
        RequestError: the clip is no longer what it was.
    """
    body = partial(_body, submission)
    return body() if is_light(submission.request) else await in_thread(body)


def _body(submission: Submission) -> Encoded:
    """Blocking: see `completed`."""
    request = submission.request
    if not isinstance(request.init_audio, Path | bytes):
        return Encoded(encode_json(submission.fields))
    clip = _encoded(request.init_audio, unchecked=request.unchecked)
    return Encoded(encode_json(encode(request, track_id=submission.track_id, audio=clip)))


def _encoded(clip: Path | bytes, *, unchecked: bool) -> str:
    """Blocking: the clip as it is sent."""
    if isinstance(clip, Path):
        return encode_audio(_read(clip), name=clip.name, unchecked=unchecked)
    return encode_audio(clip, unchecked=unchecked)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() and path.exists():
            raise OSError(errno.EINVAL, "it is no regular file")  # a pipe would wait for ever
        with path.open("rb") as file:
            return file.read(MAX_INIT_AUDIO_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(
            f"init_audio {str(path)!r} cannot be read: {reason}; check the path",
            field="init_audio",
            value=str(path),
        ) from None
