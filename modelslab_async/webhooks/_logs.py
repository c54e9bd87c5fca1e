"""Remove webhook tokens from log records."""

from __future__ import annotations

import logging
import re
import traceback
from typing import Final

_TOKEN: Final = re.compile(r"(/[A-Za-z0-9_-]{1,32}/[^\s/\"]+/)[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


# The quoted part of an invalid request may be cut in the middle of its token.
_BROKEN: Final = re.compile(r"(?<=/)[A-Za-z0-9_-]+(?=[^A-Za-z0-9_/-])|[A-Za-z0-9_-]{16,}")


class HideTokens(logging.Filter):
    """A logging filter that removes the tokens from webhook paths in a server's logs.

    ``logging.getLogger("aiohttp.access").addFilter(HideTokens())``, and the same for the error log,
    in which aiohttp quotes invalid requests (``aiohttp.server``, or the ``logger`` of an
    ``AppRunner``). A traceback that contains a token is replaced by its text without it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _hidden(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(_hidden(value) for value in record.args)
        for name in ("first_request_line", "request_header"):
            if hasattr(record, name):
                setattr(record, name, _hidden(getattr(record, name)))
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            hidden = _TOKEN.sub(r"\1...", text)
            if type(error).__module__.startswith("aiohttp.http") and str(error):
                quoted = _TOKEN.sub(r"\1...", str(error))
                hidden = hidden.replace(quoted, _BROKEN.sub("...", str(error)))
            if hidden != text:
                record.exc_text, record.exc_info = hidden, None
        return True


def _hidden(value: object) -> object:
    return _TOKEN.sub(r"\1...", value) if isinstance(value, str) else value


HIDE_TOKENS: Final = HideTokens()
