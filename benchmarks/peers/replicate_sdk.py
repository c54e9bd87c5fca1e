"""Replicate's own SDK, ``replicate``: a prediction, `async_wait`, and its file output.

So it waits for jobs that take longer than a held answer can, as music does: each half second, as
it does by itself. How it fares with answers that are held is in `replicate_held`.
"""

from __future__ import annotations

from replicate import Client
from replicate.helpers import FileOutput

from .running import Order, all_of, load, measured_async, prompt

MODEL = "meta/musicgen"


async def work(order: Order) -> None:
    client = Client("token", base_url=order.url)

    async def one(number: int) -> None:
        prediction = await client.models.predictions.async_create(
            MODEL, input={"prompt": prompt(number)}
        )
        await prediction.async_wait()
        await save(client, prediction.output, order, number)

    await all_of(order, one)


async def save(client: Client, url: str, order: Order, number: int) -> None:
    """Its own file output, made here because it makes one by itself for https links only."""
    with order.path(number).open("wb") as file:
        async for data in FileOutput(url, client):
            file.write(data)


if __name__ == "__main__":
    load("anyio._backends._asyncio", "certifi", "httpcore")
    measured_async(work)
