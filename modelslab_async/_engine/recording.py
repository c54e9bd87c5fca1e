"""Record what a client sends and receives, redacted, in a file of its own.

The client hands over each exchange and goes on; a thread redacts and writes it. A recording never
affects a job: if its file cannot be written any more, it ends with a warning.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from attrs import field, frozen

from .._protocol.recorded import FORMAT, Redactor
from ..errors import ConfigurationError

_log = logging.getLogger("modelslab_async.recording")
_MAX_WAITING: Final = 10_000


@frozen(kw_only=True)
class Exchange:
    """One request and its response, before redaction; ``status`` 0: no response."""

    where: Literal["api", "storage", "webhook"]
    method: str
    target: str = field(repr=False)
    sent: bytes | None = field(default=None, repr=False)
    status: int = 0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    problem: str = field(default="", repr=False)
    was_sent: bool = True
    started: float = field(factory=time.monotonic)
    ended: float = field(factory=time.monotonic)


class Recording:
    """A file of redacted exchanges, one per line. Blocking to make and to close.

    Args:
        path: a new file, readable by its owner alone.
        origin: of the API.
        hide: removes the key and webhook tokens from bytes.

    Raises:
        ConfigurationError: there is such a file, or it cannot be made.
    """

    def __init__(self, path: Path, origin: str, hide: Callable[[bytes], bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
        try:
            self._file: int = os.open(path, flags, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"cannot record to {path}: {error.strerror}; name a new file"
            ) from error
        self._path = path
        self._redactor = Redactor(origin)
        self._hide = hide
        self._began = time.monotonic()
        self._waiting: queue.Queue[Exchange | None] = queue.Queue(_MAX_WAITING)
        self._write({"modelslab_recording": FORMAT})
        self._thread = threading.Thread(target=self._run, name="modelslab-recording", daemon=True)
        self._thread.start()

    def add(self, exchange: Exchange) -> None:
        """Record an exchange; it is written a moment later."""
        try:
            self._waiting.put_nowait(exchange)
        except queue.Full:
            _log.warning("an exchange is not recorded: the disk is too slow")

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._waiting.put(None)
        self._thread.join()
        os.close(self._file)

    def _run(self) -> None:
        while (exchange := self._waiting.get()) is not None:
            try:
                self._write(self._line(exchange))
            except OSError as error:
                _log.warning("%s cannot be written (%s): it ends here", self._path, error.strerror)
                break
            except Exception as error:  # noqa: BLE001  what cannot be read is left out
                _log.warning("an exchange cannot be recorded (%s)", type(error).__name__)
        else:
            return
        while self._waiting.get() is not None:
            pass

    def _write(self, line: Mapping[str, Any]) -> None:
        data = self._hide(json.dumps(line, separators=(",", ":")).encode()) + b"\n"
        while data:
            data = data[os.write(self._file, data) :]

    def _line(self, one: Exchange) -> dict[str, Any]:
        redactor = self._redactor
        line: dict[str, Any] = {
            "at": round(one.started - self._began, 3),
            "seconds": round(one.ended - one.started, 3),
            "where": one.where,
            "method": one.method,
            "target": _target(redactor, one),
        }
        if one.sent is not None:
            line["sent"] = self._redactor.sent(json.loads(self._hide(one.sent)))
        if one.status:
            line |= {"status": one.status, "headers": redactor.headers(one.headers)}
        if one.problem:
            line |= {"problem": redactor.text(one.problem), "was_sent": one.was_sent}
        if one.body is not None:
            line |= redactor.received(one.body, about_money="balance" in one.target)
        if links := redactor.links(json.dumps(line)):
            line["links"] = links
        return line


def _target(redactor: Redactor, one: Exchange) -> str:
    """What was asked for; of a webhook nothing, as its URL is a secret."""
    match one.where:
        case "api":
            return redactor.target(one.target)
        case "storage":
            return redactor.link(one.target)
    return ""
