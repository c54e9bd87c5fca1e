"""The vendor's own SDK, its asynchronous half: ``modelslab_py``.

It waits ``fetch_timeout`` seconds between two questions, a minute when not told otherwise: here it
is told one second, as the common script has it. It downloads nothing, so that script's download
stands behind it. The base URL is an attribute that anybody can set.
"""

from __future__ import annotations

import aiohttp
from modelslab_py.core.apis.audio import Audio
from modelslab_py.core.client import Client
from modelslab_py.schemas.audio import MusicGenSchema

from .running import Order, all_of, measured_async, prompt


async def work(order: Order) -> None:
    async with Client("key", fetch_timeout=1) as client, aiohttp.ClientSession() as session:
        client.base_url = f"{order.url}/api/"
        audio = Audio(client)

        async def one(number: int) -> None:
            ticket = await audio.async_music_gen(MusicGenSchema(prompt=prompt(number)))
            news = await audio.async_fetch(str(ticket["id"]))
            async with session.get(news["output"][0]) as answer:
                order.path(number).write_bytes(await answer.read())

        await all_of(order, one)


if __name__ == "__main__":
    measured_async(work)
