"""What is asked once and answered at once: the state of the account, and its voices. No jobs.

An answer that is lost costs nothing here but a voice that was uploaded and is not known of, so that
an upload is never sent twice by itself.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, field, frozen

from ._arguments import file_of
from ._engine.aio import in_thread
from ._engine.http import Response, read_off_loop
from ._engine.job import Generation, Job
from ._engine.prepare import media_text
from ._engine.session import Session
from ._policy.error_mapping import no_response, request_refused, unexpected_reply
from ._protocol.audio import sniff
from ._protocol.replies import Failed, Finished, Refusal, Refused, RemoteFile, read_reply
from ._protocol.sound import AudioFormat
from ._protocol.wire_json import Encoded, encode_json
from ._text import safe_text, shown
from .errors import RequestError, UnexpectedReply

_KINDS = ("manual", "trained", "voice_cover")
_MEDIA_TYPES: dict[AudioFormat | str, str] = {
    AudioFormat.WAV: "audio/wav",
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.FLAC: "audio/flac",
}
_LONGEST = 200
_TIMEOUT = 180.0
"""Seconds for an upload, as for a submit that carries a clip."""


@frozen
class Balance:
    """What is in the account's wallet, in its own currency."""

    amount: float
    currency: str


@frozen
class Voice:
    """A voice of the library.

    Attributes:
        id: what requests take as ``voice_id``, or as ``model_id`` where the voice was trained.
        name: for people.
        language: as the library says it; empty if it does not.
        raw: all that it says.
    """

    id: str
    name: str
    language: str
    raw: Mapping[str, Any] = field(default=Factory(dict), repr=False, eq=False)


class OneShots:
    """The calls of a client that need no slot, no polling and no download."""

    _enterprise = False

    @property
    def _session(self) -> Session:
        raise NotImplementedError

    async def is_resumable(self, what: Generation | RemoteFile | Job) -> bool:
        """Ask whether a download of this file that breaks off can go on where it stopped.

        Otherwise it begins anew, which is free as well. Only the beginning of the file is read.

        Raises:
            DownloadError: no link of it can be read.
            ModelsLabError: as `Job.result`, for a job.
        """
        return await self._session.downloader.is_resumable(await file_of(what))

    async def balance(self) -> Balance:
        """What is left in the wallet (``POST /api/wallet_balance``).

        Raises:
            APIError, TransportError, UnexpectedReply: no balance to be had.
        """
        data = (await self._ask("balance", "/api/wallet_balance")).get("data")
        if not isinstance(data, dict) or not isinstance(data.get("balance"), int | float):
            raise unexpected_reply("balance", read_reply(b"{}"), 200)
        return Balance(float(data["balance"]), safe_text(data.get("currency", ""), 8))

    async def queue_depth(self) -> int:
        """Requests in the account's queue now (``request_count``; 30 questions a minute).

        Raises:
            APIError, TransportError, UnexpectedReply: no count to be had.
        """
        path = "/api/v6/processing/request_count"
        count = (await self._ask("queue depth", path)).get("processing_count")
        if not isinstance(count, int):
            raise unexpected_reply("queue depth", read_reply(b"{}"), 200)
        return count

    async def voices(
        self, kind: Literal["manual", "trained", "voice_cover"] = "manual"
    ) -> tuple[Voice, ...]:
        """The voices that may be named in a request (``POST /api/v6/voice/voice_list``).

        Args:
            kind: ``manual`` for voices to speak with, those that were uploaded included;
                ``trained`` and ``voice_cover`` for models.

        Raises:
            RequestError: there is no such kind.
            APIError, TransportError, UnexpectedReply: no list to be had.
        """
        if kind not in _KINDS:
            raise RequestError(f"kind is {shown(kind)}, but must be one of {', '.join(_KINDS)}")
        what = "list of voices"
        found = (await self._ask(what, "/api/v6/voice/voice_list", {"type": kind})).get("voices")
        if not isinstance(found, list):
            raise unexpected_reply(what, read_reply(b"{}"), 200)
        return tuple(
            Voice(
                id=safe_text(one["voice_id"], _LONGEST),
                name=safe_text(one.get("name") or "", _LONGEST),
                language=safe_text(one.get("language") or "", _LONGEST),
                raw=one,
            )
            for one in found
            if isinstance(one, dict) and isinstance(one.get("voice_id"), str | int)
        )

    async def upload_voice(
        self,
        name: str,
        clip: str | Path | bytes,
        *,
        language: str,
        gender: Literal["male", "female"] | None = None,
        thumbnail: str | None = None,
    ) -> str:
        """Add a voice to the library (``POST /api/v6/voice/voice_upload``), and give its id.

        A client with ``enterprise=True`` adds it to the account's own servers.

        It is sent once. If no answer can be read, the voice may have been made.

        Args:
            name: what to call it; the server makes the id of it.
            clip: speech of 10 to 25 s: a URL as ``str``, a local file as ``Path`` or ``bytes``.
            language: of the speech, as the server names it.
            gender: of the voice.
            thumbnail: URL of an image for it.

        Raises:
            RequestError: a value or the clip cannot be sent.
            APIError: the API refuses; no voice was made.
            TransportError: nothing was sent.
            UnexpectedReply: the voice may have been made.
        """
        fields = _voice(name, clip, language=language, gender=gender, thumbnail=thumbnail)
        if not isinstance(clip, str):
            fields |= {"init_audio": await media_text("clip", clip), "base64": True}
        what = f"upload of voice {shown(name)}"
        may_be_made = f"{what}: it may have been made; see client.voices() before you send it again"
        path = f"/api/{'v1/enterprise' if self._enterprise else 'v6'}/voice/voice_upload"
        raw = await self._ask(what, path, fields, unknown=may_be_made)
        voice_id = raw.get("voice_id")
        if type(voice_id) not in (str, int):
            raise UnexpectedReply(f"{may_be_made} (the answer names no voice)")
        return safe_text(voice_id, _LONGEST)

    async def base64_to_url(self, clip: Path | bytes) -> str:
        """Keep a local clip on the server, and give its URL (``POST /api/v6/voice/base64_to_url``).

        For requests whose fields take URLs alone. Clips of 10 to 15 s are suggested.

        Raises:
            RequestError: the clip cannot be sent.
            APIError, TransportError, UnexpectedReply: there is no URL; it can be tried again.
        """
        text = await media_text("clip", clip)
        form = _MEDIA_TYPES[sniff(b64decode(text[:64]))]
        fields = {"init_audio": f"data:{form};base64,{text}"}
        what = "upload of a clip"
        raw = await self._ask(what, "/api/v6/voice/base64_to_url", fields)
        output = raw.get("output")
        url = output[0] if isinstance(output, list) and output else output
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise unexpected_reply(what, read_reply(b"{}"), 200)
        return safe_text(url, 8192)

    async def _ask(
        self, what: str, path: str, fields: Mapping[str, Any] | None = None, *, unknown: str = ""
    ) -> dict[str, Any]:
        """A question that costs nothing; ``unknown`` is said if it may have done something."""
        session = self._session
        body = await in_thread(lambda: Encoded(encode_json(fields or {})))
        timeout = _TIMEOUT if fields else session.poller.policy.timeout
        answer = await session.transport.post(path, body, timeout=timeout, paid=bool(unknown))
        if not isinstance(answer, Response):
            if unknown and answer.sent:
                raise UnexpectedReply(f"{unknown} ({answer.reason})")
            raise no_response(what, answer.reason, timed_out=answer.timed_out)
        reply = await read_off_loop(answer, partial(read_reply, answer.body, answer.status))
        match reply:
            case Refused(reason=Refusal.SERVER) if unknown:
                raise UnexpectedReply(f"{unknown} ({reply.message or 'the server is in trouble'})")
            case Refused() | Failed():
                raise request_refused(what, reply, answer.status)
            case Finished(raw=raw):
                return raw
        error = unexpected_reply(what, reply, answer.status)
        raise UnexpectedReply(f"{unknown} ({error})") if unknown else error


def _voice(name: Any, clip: Any, *, language: Any, gender: Any, thumbnail: Any) -> dict[str, Any]:
    """The fields of a voice to upload; a local clip is not among them yet."""
    for field_name, text in (("name", name), ("language", language)):
        if not isinstance(text, str) or not text.strip():
            raise RequestError(f"{field_name} is {shown(text)}, but must say something")
    if gender not in (None, "male", "female"):
        raise RequestError(f"gender is {shown(gender)}, but must be male or female")
    for field_name, url in (("clip", clip), ("thumbnail", thumbnail)):
        if isinstance(url, str) and not url.startswith(("https://", "http://")):
            raise RequestError(
                f"{field_name} is text, but no URL; pass a pathlib.Path to send a local clip"
            )
    if not isinstance(clip, str | Path | bytes):
        raise RequestError(f"clip is {shown(clip)}, but must be a URL, a Path or bytes")
    fields = {"name": name, "init_audio": clip, "language": language}
    optional = {"gender": gender, "thumbnail": thumbnail}
    return fields | {name: value for name, value in optional.items() if value is not None}
