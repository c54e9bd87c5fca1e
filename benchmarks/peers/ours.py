"""This client, with default settings but for the places in the queue."""

from __future__ import annotations

import asyncio

from modelslab_async import ModelsLab, MusicGen

from .running import Order, load, measured_async, prompt


async def work(order: Order) -> None:
    async with ModelsLab("key", base_url=order.url, max_jobs=order.at_once) as client:

        async def one(number: int) -> None:
            generation = await client.generate(MusicGen(prompt(number)))
            await client.download(generation, to=order.path(number))

        await asyncio.gather(*(one(number) for number in range(order.count)))


if __name__ == "__main__":
    load("anyio._backends._asyncio")
    load("encodings.utf_8_sig", "encodings.utf_16_le", "encodings.utf_16_be")
    measured_async(work)
