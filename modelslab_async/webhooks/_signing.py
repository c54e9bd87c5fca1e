"""Sign and verify webhook URLs, and read the hint in a webhook's body.

Nothing here waits, reads a clock or keeps state. ModelsLab signs no webhooks (ModelsLab docs,
webhooks page), so the URL that we gave it is the proof. The body proves nothing: it only says "poll
this job now", and perhaps gives an id that a poll must confirm.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, NoReturn
from urllib.parse import quote, urlsplit

from attrs import evolve, frozen

from .._protocol.replies import Finished, Links, Reply, Ticket, Unreadable, read_reply
from .._protocol.urls import is_loopback, origin
from .._protocol.wire_json import decode_json
from .._protocol.wire_values import MAX_TRACK_ID_LENGTH
from ..errors import ConfigurationError, RequestError

MAX_BODY: Final = 64 * 1024
BODY_SECONDS: Final = 5.0

_MIN_SECRET: Final = 16
_MAX_PATH: Final = 4096  # 191 characters of four bytes, percent-encoded, and a prefix
_TRIES: Final = 8
_VERSION: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_PREFIX: Final = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)*/?")
_DOMAIN: Final = b"modelslab_async webhook\n"


class Signer:
    """Signs and verifies the job part of a webhook URL: ``version/track_id/token``.

    The first secret signs; all of them verify.
    """

    __slots__ = ("_secrets", "version")

    def __init__(self, secret: str | bytes | Mapping[str, str | bytes]) -> None:
        """Accept one secret, or secrets by version.

        Raises:
            ConfigurationError: no secret, one under 16 bytes, or an invalid version name.
        """
        self._secrets: dict[str, bytes] = {}
        for version, one in (secret if isinstance(secret, Mapping) else {"v1": secret}).items():
            if not _VERSION.fullmatch(version):
                raise ConfigurationError(
                    "the version of a webhook secret must be a word of letters, digits, - and _, "
                    "such as 'v2'"
                )
            if not isinstance(one, str | bytes):
                raise ConfigurationError(f"webhook secret {version} is neither text nor bytes")
            self._secrets[version] = _bytes(one) if isinstance(one, str) else one
            if len(self._secrets[version]) < _MIN_SECRET:
                raise ConfigurationError(
                    f"webhook secret {version} has fewer than {_MIN_SECRET} bytes; "
                    "secrets.token_urlsafe() makes a good one"
                )
        if not self._secrets:
            raise ConfigurationError("a webhook receiver needs at least one secret")
        self.version = next(iter(self._secrets))

    def path(self, track_id: int | str) -> str:
        """Return the path below ``public_url`` for the webhook of a job.

        Raises:
            RequestError: the track_id would not survive a URL unchanged.
        """
        text = str(track_id)
        parts = text.split("/")
        # A proxy, or `track_id`, may read such a path as a different one.
        is_ambiguous = len(parts) > _TRIES or not {"", ".", ".."}.isdisjoint(parts)
        if len(text) > MAX_TRACK_ID_LENGTH or not text.isprintable() or is_ambiguous:
            raise RequestError(
                f"track_id {text!r:.80} cannot be used in a webhook URL: use up to "
                f"{MAX_TRACK_ID_LENGTH} printable characters, fewer than {_TRIES} slashes, and no "
                "empty, '.' or '..' part between them",
                field="track_id",
                value=track_id,
            )
        return f"{self.version}/{quote(text, safe='')}/{self._token(self.version, text).decode()}"

    def track_id(self, path: str) -> str | None:
        """Return the job's track_id from a percent-decoded path; ``None`` without a valid token.

        Anything before the version is the receiver's mount point, and is not signed.
        """
        if len(path) > _MAX_PATH:
            return None
        *parts, token = path.split("/")
        presented = _bytes(token)
        versions = [n for n, part in enumerate(parts[:-1]) if part in self._secrets]
        for index in versions[-_TRIES:]:
            track_id = "/".join(parts[index + 1 :])
            if hmac.compare_digest(self._token(parts[index], track_id), presented):
                return track_id
        return None

    def _token(self, version: str, track_id: str) -> bytes:
        named = _DOMAIN + _bytes(f"{version}/{track_id}")  # a version holds no slash
        digest = hmac.digest(self._secrets[version], named, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=")

    def __repr__(self) -> str:
        return f"<Signer {', '.join(self._secrets)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a webhook secret cannot be pickled; set it in each process's environment")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def checked_url(public_url: str) -> str:
    """Validate the receiver's public URL, and return it without a trailing slash.

    Raises:
        ConfigurationError: it is not ``https://`` (``http://`` on loopback), or has more than a
            plain path. The message does not repeat the URL, which may contain a password.
    """
    advice = "write it as https://host or https://host/prefix"
    try:
        scheme, host, _ = origin(public_url)
    except ValueError:
        raise ConfigurationError(f"public_url is not a plain URL of a host: {advice}") from None
    path = urlsplit(public_url).path
    if "?" in public_url or "#" in public_url or not _PREFIX.fullmatch(path):
        raise ConfigurationError(f"public_url has a query, fragment or odd path: {advice}")
    if scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            "public_url would carry webhook tokens unencrypted: use https://, "
            "or http:// with localhost, 127.0.0.1 or [::1]"
        )
    return public_url.rstrip("/")


@frozen
class Head:
    """A request before its body is read; headers are text, empty if absent."""

    method: str
    path: str
    encoding: str = ""
    length: str = ""


def reject_status(head: Head) -> int | None:
    """Return the HTTP status that rejects a body unread, or ``None`` to read it.

    The content type is not checked: the docs do not say which one the server sends.
    """
    if head.encoding.strip().lower() not in ("", "identity"):
        return 415
    length = head.length.strip()
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > MAX_BODY):
        return 413
    return None


def read_hint(body: bytes) -> Reply | None:
    """Parse a delivery without its URLs; ``None`` if it is not about a job.

    So no URL that only a webhook has named is ever downloaded or contacted.
    """
    try:
        decode_json(body)  # strict, unlike for the API's replies: anyone could have sent this
    except ValueError:
        return None
    reply = read_reply(body)
    match reply:
        case Unreadable():
            return None
        case Finished() | Ticket():
            return evolve(reply, links=Links(), fetch_result=None, raw={})
        case _:
            return evolve(reply, fetch_result=None, raw={})
