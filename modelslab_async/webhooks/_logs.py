"""Decide what of a log record about a webhook request may be written."""

from __future__ import annotations

import logging
import re
from typing import Final

_TOKEN: Final = re.compile(r"(/[A-Za-z0-9_-]{1,32}/[^\s/\"]+/)[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


class HideTokens(logging.Filter):
    """A filter for access logs: webhook paths lose their token, and are written without it.

    ``logging.getLogger("aiohttp.access").addFilter(HideTokens())``
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _hidden(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(_hidden(value) for value in record.args)
        for name in ("first_request_line", "request_header"):
            if hasattr(record, name):
                setattr(record, name, _hidden(getattr(record, name)))
        return True


def _hidden(value: object) -> object:
    return _TOKEN.sub(r"\1...", value) if isinstance(value, str) else value


HIDE_TOKENS: Final = HideTokens()
