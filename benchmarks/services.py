"""Three services in one process, for the same jobs: ``python -m benchmarks.services OPTIONS``.

ModelsLab's API as its docs have it (music-gen, fetch-voice and rate-limits pages), fal's queue
(submit, status, result) and Replicate's predictions (answered at once, or held by ``Prefer: wait``
until the job is done), each with the file behind a link. The first line printed is JSON with the
``url``; `GET /record` gives back when each job was submitted, started, finished and first told of,
the requests by kind, and the CPU seconds of this process.

It is asyncio with the plainest protocol: no framework, no date, no routing table, the same noise in
every file. That it is not what limits a client is not taken for granted: its CPU time a job stands
beside the client's in the table of `benchmarks.jobs`. It is less than half of it for every client,
and each process has a core of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from typing import Any

from attrs import asdict

from .services_http import Answer, Connection, Request
from .services_jobs import SEED, Job, Pace, Track, Works

ETAS = ("right", "wrong", "absent")
_JSON = b"Content-Type: application/json\r\n"
_FILE = b'Content-Type: audio/wav\r\nAccept-Ranges: bytes\r\nETag: "%d"\r\n'
_TIP = "Get 20x faster image generation using enterprise plan."
_QUEUED = (
    "Your music generation is processing in background, you can get the result using fetch API"
)
_LATER = "Try to fetch request after seconds estimated"


class Services:
    """All three, over one list of jobs."""

    def __init__(self, works: Works, eta: str) -> None:
        self._works = works
        self._eta = eta
        self._requests: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._cpu = time.process_time()
        self.url = ""

    def handle(self, request: Request, answer: Answer) -> None:
        path = request.path
        if path.startswith("/files/"):
            self._file(path, answer)
        elif path.startswith("/api/v6/voice/"):
            self._modelslab(request, answer)
        elif path.startswith("/fal/"):
            self._fal(request, answer)
        elif path.startswith("/v1/"):
            self._replicate(request, answer)
        elif path == "/record":
            self._say(answer, self._record())
        else:
            answer(404, (), b"")

    # --- ModelsLab --------------------------------------------------------------------------

    def _modelslab(self, request: Request, answer: Answer) -> None:
        if request.path == "/api/v6/voice/music_gen":
            self._ticket(request.document()["prompt"], answer)
            return
        self._requests["poll"] += 1
        place, job = self._find(request.path.rpartition("/")[2])
        self._say(answer, self._fetched(place) if self._tells(job) else _PENDING, php=True)

    def _ticket(self, prompt: str, answer: Answer) -> None:
        accepted = self._accept(prompt)
        if accepted is None:
            words = f"Rate limit exceeded. Maximum {self._works.queue} queued requests allowed."
            refusal = {"status": "error", "message": words, "retry_after": 1}
            self._say(answer, refusal, status=429, php=True)
            return
        place, job = accepted
        link = self._link(place)
        document = {
            "status": "processing",
            "tip": _QUEUED,
            **self._guess(job),
            "message": _LATER,
            "fetch_result": f"{self.url}/api/v6/voice/fetch/{place}",
            "id": place,
            "output": [],
            "future_links": [link],
            "proxy_links": [link],
            "meta": {"base64": "no", "filename": f"{place}.wav", "input_text": prompt},
        }
        self._say(answer, document, php=True)

    def _guess(self, job: Job) -> dict[str, float]:
        """What the ticket says about how long it takes."""
        if self._eta == "absent":
            return {}
        wrong = random.Random(SEED + job.number).uniform(0.3, 2.0)
        factor = wrong if self._eta == "wrong" else 1.0
        return {"eta": round(factor * (job.finished - job.submitted), 3)}

    def _fetched(self, place: int) -> dict[str, Any]:
        links = [self._link(place)]
        return {"status": "success", "id": place, "output": links, "proxy_links": links}

    # --- fal --------------------------------------------------------------------------------

    def _fal(self, request: Request, answer: Answer) -> None:
        path, _, _ = request.path.partition("?")
        if request.method == "POST":
            self._queued(path, request.document()["prompt"], answer)
            return
        status = path.endswith("/status")
        self._requests["poll" if status else "result"] += 1
        place, job = self._find(path.removesuffix("/status").rpartition("/")[2])
        if not status:
            self._say(answer, {"audio_file": self._fal_file(place)})
            return
        urls = self._fal_urls(path.partition("/requests/")[0], place)
        if self._tells(job):
            metrics = {"inference_time": job.finished - job.started}
            self._say(answer, {"status": "COMPLETED", **urls, "logs": None, "metrics": metrics})
        else:
            self._say(answer, {"status": "IN_PROGRESS", **urls, "logs": None})

    def _queued(self, path: str, prompt: str, answer: Answer) -> None:
        accepted = self._accept(prompt)
        if accepted is None:
            self._say(answer, {"detail": "Too many requests"}, status=429)
            return
        urls = self._fal_urls(path, accepted[0])
        self._say(answer, {"status": "IN_QUEUE", **urls, "queue_position": 0})

    def _fal_urls(self, app: str, place: int) -> dict[str, str]:
        base = f"{self.url}{app}/requests/{place}"
        urls = {
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }
        return {"request_id": str(place), **urls}

    def _fal_file(self, place: int) -> dict[str, Any]:
        return {
            "url": self._link(place),
            "content_type": "audio/wav",
            "file_name": f"{place}.wav",
        }

    # --- Replicate --------------------------------------------------------------------------

    def _replicate(self, request: Request, answer: Answer) -> None:
        if request.method == "GET":
            self._requests["poll"] += 1
            self._say(answer, self._prediction(*self._find(request.path.rpartition("/")[2])))
            return
        accepted = self._accept(request.document()["input"]["prompt"])
        if accepted is None:
            self._say(answer, {"detail": "Request was throttled.", "status": 429}, status=429)
            return
        place, job = accepted

        def say() -> None:
            self._say(answer, self._prediction(place, job), status=201)

        if b"\r\nprefer: wait" in request.head:
            self._loop.call_at(job.finished, say)
        else:
            say()

    def _prediction(self, place: int, job: Job) -> dict[str, Any]:
        done = self._tells(job)
        url = f"{self.url}/v1/predictions/{place}"
        return {
            "id": str(place),
            "model": "meta/musicgen",
            "version": "hidden",
            "input": {"prompt": f"piece {job.number}"},
            "logs": "",
            "output": self._link(place) if done else None,
            "data_removed": False,
            "error": None,
            "status": "succeeded" if done else "starting",
            "created_at": "2026-01-01T00:00:00.000Z",
            "urls": {"get": url, "cancel": f"{url}/cancel"},
        }

    # --- what all share ---------------------------------------------------------------------

    def _accept(self, prompt: str) -> tuple[int, Job] | None:
        job = self._works.accept(int(prompt.rpartition(" ")[2]), self._loop.time())
        self._requests["submit" if job else "refused"] += 1
        return (len(self._works.jobs), job) if job else None

    def _find(self, name: str) -> tuple[int, Job]:
        """The place in the list is the id; the first is 1, as an id is never 0."""
        return int(name), self._works.jobs[int(name) - 1]

    def _tells(self, job: Job) -> bool:
        """Whether the client is told now that the job is done; the first time is kept."""
        now = self._loop.time()
        if now < job.finished:
            return False
        if job.told is None:
            job.told = now
        return True

    def _link(self, place: int) -> str:
        return f"{self.url}/files/{place}.wav"

    def _file(self, path: str, answer: Answer) -> None:
        self._requests["file"] += 1
        place, job = self._find(path.removeprefix("/files/").removesuffix(".wav"))
        if self._loop.time() < job.finished:
            answer(404, (), b"")
        else:
            answer(200, Track(job.number).pieces(), _FILE % place)

    def _say(self, answer: Answer, document: Any, *, status: int = 200, php: bool = False) -> None:
        text = json.dumps(document, separators=(",", ":"))
        answer(status, [(text.replace("/", "\\/") if php else text).encode()], _JSON)

    def _record(self) -> dict[str, Any]:
        return {
            "jobs": [asdict(job) for job in self._works.jobs],
            "requests": dict(self._requests),
            "cpu": time.process_time() - self._cpu,
        }


_PENDING = {"status": "processing", "message": "try again later.", "output": "", "tip": _TIP}


async def serve(works: Works, eta: str) -> None:
    """Serve on a port of the system's choice, until the process is ended."""
    Track(0).pieces()
    services = Services(works, eta)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(services.handle), "127.0.0.1", 0)
    services.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps({"url": services.url}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.services")
    parser.add_argument("--eta", choices=ETAS, default="right")
    parser.add_argument("--mean", type=float, default=Pace().mean, help="seconds a job takes")
    parser.add_argument("--spread", type=float, default=Pace().spread, help="more or less")
    parser.add_argument("--queue", type=int, default=0, help="unfinished jobs at most; 0: any")
    parser.add_argument("--workers", type=int, default=0, help="jobs made at once; 0: all")
    given = parser.parse_args()
    works = Works(Pace(given.mean, given.spread), given.queue, given.workers)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(works, given.eta))


if __name__ == "__main__":
    main()
