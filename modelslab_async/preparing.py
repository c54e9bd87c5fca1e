"""Make a request ready to be sent: its local clip read and encoded, its ids in place."""

from __future__ import annotations

from typing import Any

import anyio
from attrs import evolve, frozen

from .errors import RequestError
from .protocol.requests import MAX_INIT_AUDIO_BYTES, MusicGen, encode, encode_audio


@frozen
class Submission:
    """One request, ready to be sent: its fields on the wire, without the key."""

    request: MusicGen
    fields: dict[str, Any]

    @property
    def track_id(self) -> int | str:
        """As it is sent."""
        track_id: int | str = self.fields["track_id"]
        return track_id


async def prepare(request: MusicGen, track_id: int | str, webhook: str | None = None) -> Submission:
    """Read the local clip, if there is one, and encode the request.

    Args:
        request: what to ask for.
        track_id: the one to send.
        webhook: where to be told, unless the request names a place of its own.

    Raises:
        RequestError: the clip cannot be read, or is not what the API takes.
    """
    if request.webhook is None and webhook is not None:
        request = evolve(request, webhook=webhook)
    audio = request.init_audio
    if audio is None or isinstance(audio, str):
        return Submission(request, encode(request, track_id=track_id))
    if isinstance(audio, bytes):
        name, data = "", audio
    else:
        name, data = audio.name, await _read(anyio.Path(audio))
    text = await anyio.to_thread.run_sync(
        lambda: encode_audio(data, name=name, unchecked=request.unchecked)
    )
    return Submission(request, encode(request, track_id=track_id, audio=text))


async def _read(path: anyio.Path) -> bytes:
    try:
        async with await path.open("rb") as file:
            return await file.read(MAX_INIT_AUDIO_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(
            f"init_audio {str(path)!r} cannot be read: {reason}; check the path",
            field="init_audio",
            value=str(path),
        ) from None
