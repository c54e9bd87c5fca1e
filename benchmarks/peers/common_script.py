"""The script that people write with aiohttp: ask each second, read the whole file, write it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from .running import Order, all_of, measured_async, prompt


async def work(order: Order) -> None:
    async with aiohttp.ClientSession() as session:

        async def post(path: str, **fields: Any) -> Any:
            async with session.post(f"{order.url}{path}", json={"key": "key", **fields}) as answer:
                return await answer.json()

        async def one(number: int) -> None:
            ticket = await post("/api/v6/voice/music_gen", prompt=prompt(number))
            while True:
                await asyncio.sleep(1)
                news = await post(f"/api/v6/voice/fetch/{ticket['id']}")
                if news["status"] == "success":
                    break
            async with session.get(news["output"][0]) as answer:
                order.path(number).write_bytes(await answer.read())

        await all_of(order, one)


if __name__ == "__main__":
    measured_async(work)
