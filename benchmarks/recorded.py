"""What `benchmarks.services` noted down of a run: its jobs, and how late a client knew of each."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit


def record(url: str) -> Any:
    """The whole record of a server."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc)) as connection:
        connection.request("GET", "/record")
        return json.load(connection.getresponse())


def lags(jobs: Iterable[Mapping[str, float]]) -> list[float]:
    """Seconds from the end of each job to the answer that first told of it."""
    return [job["told"] - job["finished"] for job in jobs]


def late_parts(jobs: Iterable[Mapping[str, float]]) -> list[float]:
    """The same as parts of what each job took."""
    jobs = list(jobs)
    took = [job["finished"] - job["started"] for job in jobs]
    return [lag / seconds for lag, seconds in zip(lags(jobs), took, strict=True)]
