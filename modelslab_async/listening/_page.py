"""Make the page of a batch: one HTML document with its style, script and data inside.

Nothing of it comes from elsewhere, and its policy names the hashes of its own style and script: no
text of a prompt, a server or a file can become code. Blocking.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from .._engine.filesystem import sync_directory
from ..errors import LedgerError
from ._facts import script_text
from ._source import Source

PAGE_NAME: Final = "listen.html"
PROGRAM: Final = "modelslab-async"

_PART_NAME: Final = f".{PAGE_NAME}.part"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_page(directory: str | os.PathLike[str], *, program: str = PROGRAM) -> Path:
    """Write the page of a batch to ``listen.html`` in its directory, and return its path.

    It opens without a server, plays the files beside it, and keeps decisions in the browser until
    they are saved as a file, which ``modelslab-async picks --import`` reads.

    Args:
        directory: of the batch.
        program: how the command line is called in advice.

    Raises:
        LedgerError: there is no batch, it cannot be read, or the page cannot be written.
    """
    place = Path(directory)
    text = page_html(Source(place, program).all(), live=False)
    path, part = place / PAGE_NAME, place / _PART_NAME
    try:
        part.unlink(missing_ok=True)  # a killed process left it
        try:
            fd = os.open(part, _FLAGS, 0o666)  # less the umask, as any file that the user creates
            with os.fdopen(fd, "w", encoding="ascii") as file:
                file.write(text)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        sync_directory(place)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}") from error
    return path


def page_html(data: Mapping[str, Any], *, live: bool) -> str:
    """The page in ASCII.

    Args:
        data: of `Source.all`.
        live: it is served, and can ask for changes and send decisions.
    """
    policy = html.escape(policy_of(live=live))
    style, script = _asset("page.css"), _asset("page.js")
    values = {
        "policy": policy,
        "title": html.escape(f"{data['name']} - listen"),
        "style": style,
        "data": script_text({**data, "live": live}),
        "script": script,
    }
    parts = _asset("page.html").split("%%")  # text, name, text, name, ..., text
    parts[1::2] = [values[name] for name in parts[1::2]]
    return "".join(parts).encode("ascii", "xmlcharrefreplace").decode()


@functools.cache
def policy_of(*, live: bool) -> str:
    """The content security policy of the page."""
    sounds, news = ("'self'", "'self'") if live else ("'self' file:", "'none'")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest('page.js')}'",
            f"style-src '{_digest('page.css')}'",
            f"media-src {sounds}",
            f"connect-src {news}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@functools.cache
def _asset(name: str) -> str:
    """A file of this package, in ASCII."""
    return files(__package__).joinpath(name).read_text(encoding="ascii")


def _digest(name: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()}"
