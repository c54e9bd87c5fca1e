"""Schemathesis finds no request that the sandbox answers by a broken server, late or in no JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
import pytest

from modelslab_async.sandbox import Sandbox

from ..support.batches import quick
from .schema import openapi

pytestmark = [pytest.mark.anyio, pytest.mark.peers]

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method"
)


@pytest.mark.timeout(600)  # for a busy machine; 40 s of one core
async def test_no_request_breaks_the_sandbox(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="pip install -e '.[peers]'")
    document = tmp_path / "openapi.json"
    async with Sandbox(quick(generation_seconds=0), slots=15) as box:
        document.write_text(json.dumps(openapi(box.key)))
        ended = await anyio.run_process(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", str(document)),
                *("--url", box.url, "--checks", CHECKS, "--request-timeout", "10"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "6"),
                *("--seed", "1", "--generation-deterministic"),
                "--no-color",
            ],
            cwd=tmp_path,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout.decode()
    assert len(box.book.requests) > 1000
    assert len({job.path for job in box.book.jobs.values()}) > 20
