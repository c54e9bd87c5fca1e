"""fal's own SDK, ``fal-client``: `subscribe`, and the file by httpx, which it brings.

It can be given another host by its environment, but not plain http: its one constant with the
scheme is set here before anything is sent, so that it need not pay for TLS where others do not.
Nothing else of it is touched: it asks each 0.1 seconds, as it does by itself.
"""

from __future__ import annotations

import fal_client
import fal_client.client
import httpx

from .running import Order, all_of, load, measured_async, prompt


async def work(order: Order) -> None:
    fal_client.client.QUEUE_URL_FORMAT = f"{order.url}/fal/"
    client = fal_client.AsyncClient(key="key")
    async with httpx.AsyncClient() as files:

        async def one(number: int) -> None:
            result = await client.subscribe("fal-ai/stable-audio", {"prompt": prompt(number)})
            async with files.stream("GET", result["audio_file"]["url"]) as answer:
                with order.path(number).open("wb") as file:
                    async for data in answer.aiter_bytes():
                        file.write(data)

        await all_of(order, one)


if __name__ == "__main__":
    load("anyio._backends._asyncio", "certifi", "httpcore")
    measured_async(work)
