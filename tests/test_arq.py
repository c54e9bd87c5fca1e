"""The page's task for arq, with a real Redis and real workers that are killed."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelslab_async.sandbox import Sandbox, Scenario

from .support.quick import free_port
from .test_documentation import FETCH, environment_of, service

pytestmark = pytest.mark.anyio
ORDER = "order-17"


@asynccontextmanager
async def redis(tmp_path: Path) -> AsyncIterator[tuple[int, Any]]:
    """A Redis of this test's own, and a pool of arq that reaches it."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server here")
    arq = pytest.importorskip("arq.connections")
    port = free_port()
    settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    async with await anyio.open_process([server, *settings], cwd=tmp_path) as process:
        reached = arq.RedisSettings(port=port, conn_retries=500, conn_retry_delay=0)
        pool = await arq.create_pool(reached)
        try:
            yield port, pool
        finally:
            await pool.aclose()
            process.terminate()


@asynccontextmanager
async def worker(tmp_path: Path, port: int, box: Sandbox) -> AsyncIterator[anyio.abc.Process]:
    """A worker that ends when the queue is empty; killed at the end if it still runs."""
    code = service("services", "arq").replace("RedisSettings()", f"RedisSettings(port={port})")
    (tmp_path / "music.py").write_text(code)
    command = [sys.executable, "-m", "arq", "--burst", "music.WorkerSettings"]
    env = environment_of(box)
    env["PYTHONPATH"] = f"{env['PYTHONPATH']}:{tmp_path}"
    async with await anyio.open_process(command, cwd=tmp_path, env=env) as process:
        yield process
        if process.returncode is None:
            process.kill()


async def test_a_task_whose_worker_is_killed_is_delivered_again_and_pays_once(
    tmp_path: Path,
) -> None:
    async with (
        Sandbox(scenario=Scenario(generation_seconds=1, eta="absent")) as box,
        redis(tmp_path) as (port, pool),
    ):
        job = await pool.enqueue_job("track", ORDER, "rain on a tin roof", _job_id=ORDER)
        assert await pool.enqueue_job("track", ORDER, "rain", _job_id=ORDER) is None
        async with worker(tmp_path, port, box):
            while not box.book.count(path_prefix=FETCH):
                await asyncio.sleep(0.005)
        await pool.delete(f"arq:in-progress:{ORDER}")  # which expires after job_timeout
        async with worker(tmp_path, port, box) as again:
            assert await again.wait() == 0
        assert len(box.book.debits) == 1
        result = await job.result(timeout=5)
    assert result == {"state": "done", "path": "00001-rain-on-a-tin-roof.wav"}
    assert (tmp_path / "orders" / ORDER / result["path"]).is_file()
