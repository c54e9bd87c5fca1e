"""The defaults on a network like a real one: ``python -m benchmarks real_network``.

The server is 100 ms away and speaks TLS: bytes pass a relay in a process of its own that holds them
back, those of the handshake too (`benchmarks.far_away`). Jobs of 4 to 6 s, ten at once, with a
right eta and with none, all settings as they are.

A submit opens a connection of its own, on purpose: a round trip for TCP, one for TLS, one for the
question. With the answer to the last question that is four round trips a job which no client that
pays so carefully can save, and they are part of the bound here. Questions about jobs share
connections that stay open: what is opened beside the submits' is counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from modelslab_async import ModelsLab, MusicGen

from .measuring import Figure, Goal, Meter, Result, child, quantile, serving
from .recorded import late_parts, record
from .services_jobs import Pace, list_schedule

MODULE = "benchmarks.real_network"
LATENCY = 0.1
AT_ONCE = 10
_PACE = Pace(5.0, 1.0)
_ROUND_TRIPS = 4
_OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
    *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
)


async def generate(url: str, count: int) -> dict[str, float]:
    """In the child: all jobs, without their files."""
    async with ModelsLab("key", base_url=url, max_jobs=AT_ONCE) as client:
        meter = Meter()
        requests = (MusicGen(f"piece {number}") for number in range(count))
        made = await asyncio.gather(*(client.generate(request) for request in requests))
        return {**meter.read(), "polls": sum(one.polls for one in made) / count}


def run(quick: bool) -> Result:
    """With a right eta, and with none."""
    count = 10 if quick else 100
    figures, raw = [], []
    for eta in ("right", "absent"):
        one = measure(eta, count)
        raw.append(one)
        figures += _figures(f"100 ms, TLS, eta {eta}", one, Goal(1.05 if eta == "right" else 1.10))
    return Result("real_network", figures, raw=raw)


def _figures(subject: str, one: dict[str, float], goal: Goal) -> list[Figure]:
    return [
        Figure(subject, "makespan / bound", [one["ratio"]], "", goal),
        Figure(subject, "polls a job", [one["polls"]], "", Goal(3.0)),
        Figure(subject, "lag p95 / job", [one["late"]]),
        Figure(subject, "CPU a job", [1e3 * one["cpu"]], "ms"),
        Figure(subject, "connections for all polls", [one["connections"]], "", Goal(AT_ONCE)),
    ]


def measure(eta: str, count: int) -> dict[str, float]:
    """One run."""
    options = ("--mean", _PACE.mean, "--spread", _PACE.spread, "--eta", eta)
    with serving("benchmarks.services", *options) as service, _certificate() as files:
        port = urlsplit(service["url"]).port
        with serving("benchmarks.far_away", port, LATENCY, *files) as far:
            cost = child(MODULE, f"https://localhost:{far['port']}", count)
            connections = _connections(far["count"])
        found = record(service["url"])
    times = [_PACE.seconds(number) + _ROUND_TRIPS * LATENCY for number in range(count)]
    return {
        "ratio": cost["wall"] / list_schedule(times, AT_ONCE),
        "polls": cost["polls"],
        "cpu": cost["cpu"] / count,
        "late": quantile(late_parts(found["jobs"]), 0.95),
        "connections": connections - count,
    }


@contextmanager
def _certificate() -> Iterator[tuple[str, str]]:
    """A certificate for localhost and its key, trusted by the children of this process."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = (str(Path(folder) / name) for name in ("certificate.pem", "key.pem"))
        subprocess.run(
            [*_OPENSSL, "-out", certificate, "-keyout", key],
            check=True,
            capture_output=True,
        )
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = certificate
        try:
            yield certificate, key
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


def _connections(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port)) as one:
        return int(one.recv(100))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(generate(sys.argv[1], int(sys.argv[2])))))
