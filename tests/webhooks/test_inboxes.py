"""Where deliveries are kept, for whom, and what happens when they cannot be."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelslab_async import WebhookError
from modelslab_async.webhooks import Delivery, Inbox, MemoryInbox, SqliteInbox

from ..support.doors import SECRET, receiver_of, target_of

pytestmark = pytest.mark.anyio

GOOD = b'{"status":"success","id":7,"output":["https://cdn.example.com/7.wav"],"track_id":5}'


def hint(number: int) -> bytes:
    return b'{"status":"processing","id":%d}' % number


@asynccontextmanager
async def sqlite_inbox(folder: Path) -> AsyncIterator[SqliteInbox]:
    async with SqliteInbox(folder / "inbox.sqlite3") as inbox:
        yield inbox


@asynccontextmanager
async def memory_inbox(_: Path) -> AsyncIterator[MemoryInbox]:
    yield MemoryInbox()


@pytest.mark.parametrize("inbox_of", [memory_inbox, sqlite_inbox])
async def test_w04_what_arrives_before_anybody_asks_is_kept_in_order_and_once(
    inbox_of: Any, tmp_path: Path
) -> None:
    async with inbox_of(tmp_path) as inbox:
        receiver = receiver_of(inbox=inbox)
        target = target_of(receiver, 5)
        for number in (1, 2, 1, 3):
            await receiver_of(inbox=inbox).deliver(target, hint(number))
        for _ in range(2):
            assert [one.job_id for one in await inbox.take("5")] == ["1", "2", "3"]
        assert await inbox.take("6") == []


@pytest.mark.parametrize("inbox_of", [memory_inbox, sqlite_inbox])
async def test_x20_event_loops_of_several_threads_share_one_inbox(
    inbox_of: Any, tmp_path: Path
) -> None:
    """Four loops deliver at once, and each looks for what all of them have delivered."""
    errors: list[BaseException] = []

    async def deliver_and_look(inbox: Inbox, first: int) -> None:
        receiver = receiver_of(inbox=inbox)
        async with anyio.create_task_group() as group:
            for number in range(first, first + 30):
                group.start_soon(receiver.deliver, target_of(receiver, number % 10), hint(number))
                group.start_soon(inbox.take, str(number % 10))
        assert receiver.counts == {200: 30}

    def live(inbox: Inbox, first: int) -> None:
        try:
            asyncio.run(deliver_and_look(inbox, first))
        except BaseException as error:  # noqa: BLE001 - for the assertion below
            errors.append(error)

    async with inbox_of(tmp_path) as inbox:
        threads = [
            threading.Thread(target=live, args=(inbox, first), daemon=True)
            for first in (100, 200, 300, 400)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join, 15)
        assert not any(thread.is_alive() for thread in threads)
        assert not errors
        for track_id in range(10):
            assert len(await inbox.take(str(track_id))) == 12


async def test_x20_an_inbox_that_another_loop_closes_is_closed_for_all(tmp_path: Path) -> None:
    inbox = SqliteInbox(tmp_path / "inbox.sqlite3")
    assert await inbox.take("5") == []
    await asyncio.to_thread(lambda: asyncio.run(inbox.aclose()))
    with pytest.raises(WebhookError, match="closed"):
        await inbox.take("5")


async def test_t23_a_memory_inbox_keeps_the_newest_of_a_flood() -> None:
    receiver = receiver_of()
    for number in range(40):
        await receiver.deliver(target_of(receiver, 5), hint(number + 1))
    kept = await receiver.inbox.take("5")
    assert [one.job_id for one in kept] == [str(number) for number in range(9, 41)]
    for track_id in range(10_000):
        await receiver.deliver(target_of(receiver, 10 + track_id), GOOD)
    assert await receiver.inbox.take("5") == []
    assert len(await receiver.inbox.take("10")) == 1


async def test_a_file_inbox_is_shared_by_processes_and_private(tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite3"
    code = (
        "import sys, anyio\n"
        "from modelslab_async.webhooks import SqliteInbox, WebhookReceiver\n"
        "async def main():\n"
        "    async with SqliteInbox(sys.argv[1]) as inbox:\n"
        "        receiver = WebhookReceiver(sys.argv[2], 'https://a.example', inbox=inbox)\n"
        '        body = b\'{"status":"processing","id":7}\'\n'
        "        print(await receiver.deliver(receiver.url_for(5), body))\n"
        "anyio.run(main)\n"
    )
    command = [sys.executable, "-c", code, str(path), SECRET]
    async with SqliteInbox(path) as inbox:
        assert await inbox.take("5") == []
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(command, capture_output=True, text=True, check=True)
        )
        assert done.stdout == "200\n"
        assert [one.job_id for one in await inbox.take("5")] == ["7"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_many_deliveries_at_once_share_commits(tmp_path: Path) -> None:
    async with SqliteInbox(tmp_path / "inbox.sqlite3") as inbox:
        receiver = receiver_of(inbox=inbox)
        async with anyio.create_task_group() as group:
            for track_id in range(300):
                group.start_soon(receiver.deliver, target_of(receiver, track_id), GOOD)
        assert receiver.counts == {200: 300}
        assert len(await inbox.take("299")) == 1


async def test_w14_a_put_that_is_cancelled_is_whole_or_absent(tmp_path: Path) -> None:
    async with SqliteInbox(tmp_path / "inbox.sqlite3") as inbox:
        receiver = receiver_of(inbox=inbox)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await receiver.deliver(target_of(receiver, 5), GOOD)
        await receiver.deliver(target_of(receiver, 6), GOOD)
        assert [one.track_id for one in await inbox.take("6")] == ["6"]
        assert len(await inbox.take("5")) <= 1


async def test_w15_a_locked_inbox_refuses_and_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelslab_async.webhooks._sqlite_inbox._BUSY_SECONDS", 0.01)
    path = tmp_path / "inbox.sqlite3"
    async with SqliteInbox(path) as inbox:
        receiver = receiver_of(inbox=inbox)
        await receiver.deliver(target_of(receiver, 5), hint(1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert await receiver.deliver(target_of(receiver, 5), hint(2)) == 503
        other.close()
        assert await receiver.deliver(target_of(receiver, 5), hint(2)) == 200
        assert len(await inbox.take("5")) == 2


async def test_w15_an_inbox_without_a_folder_says_what_that_means(tmp_path: Path) -> None:
    async with SqliteInbox(tmp_path / "no folder" / "inbox.sqlite3") as inbox:
        with pytest.raises(WebhookError, match="jobs are polled"):
            await inbox.take("5")
        receiver = receiver_of(inbox=inbox)
        assert await receiver.deliver(target_of(receiver, 5), GOOD) == 503


async def test_an_inbox_leaves_the_database_of_another_program_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE precious (x)")
        path.chmod(0o664)
        async with SqliteInbox(path) as inbox:
            with pytest.raises(WebhookError, match="another program"):
                await inbox.take("5")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert path.stat().st_mode & 0o777 == 0o664


class Hashes:
    """As much of a Redis client as the example in the documentation asks for."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}

    async def hset(self, name: str, key: str, value: str) -> None:
        self.kept.setdefault(name, {})[key] = value

    async def expire(self, name: str, seconds: int) -> None:
        assert seconds > 0

    async def hvals(self, name: str) -> list[bytes]:
        return [value.encode() for value in self.kept.get(name, {}).values()]


async def test_the_documented_inbox_for_a_shared_store_works() -> None:
    example = textwrap.dedent((inspect.getdoc(Inbox) or "").partition("::\n\n")[2])
    room: dict[str, Any] = {"Delivery": Delivery}
    exec(example, room)  # noqa: S102 - the documentation's own lines
    redis = Hashes()
    receivers = [receiver_of(inbox=room["RedisInbox"](redis)) for _ in range(2)]
    for receiver in receivers:
        await receiver.deliver(target_of(receiver, 5), GOOD)
    assert [one.job_id for one in await receivers[0].inbox.take("5")] == ["7"]


def test_an_inbox_is_made_before_there_is_an_event_loop(tmp_path: Path) -> None:
    receiver = receiver_of(inbox=SqliteInbox(tmp_path / "inbox.sqlite3"))

    async def deliver() -> int:
        async with receiver.inbox:  # type: ignore[attr-defined]
            return await receiver.deliver(target_of(receiver, 5), GOOD)

    assert asyncio.run(deliver()) == 200


async def test_a_closed_inbox_says_so(tmp_path: Path) -> None:
    async with sqlite_inbox(tmp_path) as inbox:
        pass
    with pytest.raises(WebhookError, match="is closed"):
        await inbox.take("5")
