"""Replicate's own SDK with answers that are held until the job is done: `async_run`.

The service holds an answer for a minute at most, so this is the way of jobs that are short: nothing
is asked again, and a connection stands open for each job.
"""

from __future__ import annotations

from replicate import Client

from .replicate_sdk import MODEL, save
from .running import Order, all_of, load, measured_async, prompt


async def work(order: Order) -> None:
    client = Client("token", base_url=order.url)

    async def one(number: int) -> None:
        url = await client.async_run(MODEL, input={"prompt": prompt(number)})
        await save(client, str(url), order, number)

    await all_of(order, one)


if __name__ == "__main__":
    load("anyio._backends._asyncio", "certifi", "httpcore")
    measured_async(work)
