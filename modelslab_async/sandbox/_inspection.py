"""Serve the account book and the files to other processes, under `/sandbox/`.

In the same process, use `box.book` and `box.canonical`. The real API has no such paths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from ._account import AccountBook
from ._answer import Answer, json_answer
from ._context import RequestContext

PREFIX = "/sandbox/"

Handle = Callable[[RequestContext, str], Awaitable[Answer | None]]


def with_inspection(
    handle: Handle, book: Callable[[], AccountBook], canonical: Callable[[str], bytes]
) -> Handle:
    """Wrap the API host's handler to serve `GET /sandbox/book` and `/sandbox/files/ID` too.

    The book is `{"balance", "peak_queue", "debits": [[id, amount]], "jobs": [{"id", "path",
    "track_id", "prompt", "state"}], "requests": {"METHOD /path": count}}`; `path` is the path
    of the submit. A file is the exact bytes of a job's finished file.
    """

    async def answer(x: RequestContext, path: str) -> Answer | None:
        if not path.startswith(PREFIX):
            return await handle(x, path)
        await x.read()
        name, _, rest = path.removeprefix(PREFIX).partition("/")
        if name == "book" and not rest:
            return json_answer(summary(book()), style="plain")
        body = _file(rest) if name == "files" else None
        if body is None:
            return json_answer({"message": "the sandbox has no such thing"}, status=404)
        return Answer(200, body, {"Content-Type": "application/octet-stream"})

    def _file(job_id: str) -> bytes | None:
        try:
            return canonical(job_id)
        except KeyError:
            return None

    return answer


def summary(book: AccountBook) -> dict[str, object]:
    """Return the book as a JSON object."""
    requests = Counter(f"{record.method} {record.path}" for record in book.requests)
    return {
        "balance": book.balance,
        "peak_queue": book.peak_queue,
        "debits": book.debits,
        "jobs": [
            {
                "id": job.id,
                "path": job.path,
                "track_id": job.track_id,
                "prompt": job.prompt,
                "state": job.state,
            }
            for job in book.jobs.values()
        ],
        "requests": requests,
    }
