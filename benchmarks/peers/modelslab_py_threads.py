"""The vendor's own SDK, its blocking half, in as many threads as there are places.

It needs ``requests``, which its package does not ask for. Asking and downloading as in
`modelslab_py`, with requests in place of aiohttp.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests
from modelslab_py.core.apis.audio import Audio
from modelslab_py.core.client import Client
from modelslab_py.schemas.audio import MusicGenSchema

from .running import Order, measured, prompt


def work(order: Order) -> None:
    client = Client("key", fetch_timeout=1)
    client.base_url = f"{order.url}/api/"
    audio = Audio(client)

    def one(number: int) -> None:
        ticket = audio.music_gen(MusicGenSchema(prompt=prompt(number)))
        news = audio.fetch(str(ticket["id"]))
        order.path(number).write_bytes(requests.get(news["output"][0], timeout=60).content)

    with ThreadPoolExecutor(order.at_once) as pool:
        list(pool.map(one, range(order.count)))


if __name__ == "__main__":
    measured(work)
