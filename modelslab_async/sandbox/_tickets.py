"""Create jobs and the links in their replies. Pure: random values derive from seed and job id."""

from __future__ import annotations

import base64
import hashlib
import uuid
from random import Random
from typing import TYPE_CHECKING, Any

from ._account import Job
from ._endpoints import ENDPOINTS, FETCH_PATHS
from ._scenario import Scenario, span
from ._shapes import Links
from ._validation import extension, length_seconds, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._context import Origins
    from ._files import FileStore

DEFAULT_RATE = 32_000
LEGACY_ORIGIN = "https://stablediffusionapi.com"
OTHER_ID = 500_000_000
_INLINE = ("data_uri", "base64", "chunk")
_TEXTS = ("inline_text", "inline_object", "inline_words", "meta_text")


class Tickets:
    """Creates the job of a valid submit, and the URLs of a job."""

    def __init__(self, seed: int, origins: Origins, file_store: FileStore) -> None:
        self._seed = seed
        self._origins = origins
        self._file_store = file_store

    def job(
        self,
        path: str,
        body: Mapping[str, Any],
        scenario: Scenario,
        *,
        number: int,
        now: float,
    ) -> Job:
        """Return a new job; only its times in the queue are not set yet."""
        dice = Random(f"{self._seed}|job|{number}")
        generation = dice.uniform(*span(scenario.generation_seconds))
        is_immediate = scenario.mode == "sync" or scenario.webhook_early
        digest = self._digest(number, "token")
        sent = {name: value for name, value in body.items() if name != "key"}
        return Job(
            id=number,
            path=path,
            track_id=body.get("track_id"),
            prompt=title(body),
            request=sent,
            submitted_at=now,
            seconds=length_seconds(ENDPOINTS[path], body),
            sample_rate=int(body.get("sampling_rate") or DEFAULT_RATE),
            extension=extension(ENDPOINTS[path], body),
            generation_seconds=0.0 if scenario.webhook_early else generation,
            polls_to_finish=None if is_immediate else scenario.polls_to_finish,
            endless=scenario.never_finishes,
            fails=scenario.status in ("failed", "error")
            or dice.random() < scenario.failure_probability,
            wav=scenario.wav,
            token=f"{digest[:6]}-{digest[6:12]}",
            task_id=str(uuid.UUID(digest[:32])),
            family="whisper" if scenario.fetch_host == "whisper" else ENDPOINTS[path].family,
            names=self._names(number, extension(ENDPOINTS[path], body), body, scenario),
        )

    def _names(
        self, number: int, ending: str, body: Mapping[str, Any], scenario: Scenario
    ) -> dict[str, str]:
        folder = "temp" if body.get("temp") else "generations"

        def path(role: str) -> str:
            name = uuid.UUID(self._digest(number, role)[:32], version=4)
            return f"/{folder}/{name}.{ending}"

        future = path("future")
        output = path("output") if scenario.future_differs else future
        ticket_mirror = path("mirror")
        mirror = ticket_mirror if scenario.mirror_differs else output
        if scenario.mode == "sync":
            ticket_mirror = mirror
        return {
            "future": future,
            "output": output,
            "mirror": mirror,
            "ticket_mirror": ticket_mirror,
        }

    def links(self, job: Job, scenario: Scenario, now: float) -> Links:
        """Return the URLs for a reply at the time `now`."""
        at = self._origins
        output = at.storage + job.names["output"]
        if scenario.link_seconds is not None:
            output += self.signature(job, now + scenario.link_seconds)
        return Links(
            output=output,
            future=at.storage + job.names["future"],
            mirror=at.mirror + job.names["mirror"],
            ticket_mirror=at.mirror + job.names["ticket_mirror"],
            fetch=self._fetch_url(job, scenario),
        )

    def signature(self, job: Job, expires: float) -> str:
        """Return the query of a signed link that expires at `expires`."""
        return f"?X-Expires={expires:.3f}&X-Signature={self._digest(job.id, 'signature')[:32]}"

    def shown_id(self, job: Job, scenario: Scenario, first: Job | None) -> int | str:
        """Return the top-level id in replies about `job`."""
        match scenario.id:
            case "string":
                return job.token
            case "task_id":
                return job.task_id
            case "fetch_differs":
                return job.id + OTHER_ID
            case "same":
                return (first or job).id
            case "int":
                return job.id

    async def prepare(self, job: Job, scenario: Scenario) -> None:
        """Render the file of a finished job if the reply contains its bytes."""
        if scenario.output in (*_INLINE, *_TEXTS) and job.state == "success":
            await self._file_store.prepare(job)

    def output(self, job: Job, scenario: Scenario, links: Links) -> object:
        """Return `output` in the scenario's type."""
        url = links.output
        if scenario.output in _INLINE:
            file = self._file_store.file(job)
            text = base64.b64encode(file.body).decode()
            kind = f"data:{file.content_type};base64," if scenario.output == "data_uri" else ""
            return text if scenario.output == "chunk" else [kind + text]
        if scenario.output in _TEXTS and job.extension == "txt":
            return _inline_text(self._file_store.file(job).body.decode(), scenario)
        shapes: dict[str, object] = {
            "string": url,
            "object": [{"url": url}],
            "always_empty": [],
            "null": None,
            "number": 42,
            "nested": [[url]],
            "twice": [url, url],
            "one_dead": [url, url.replace(f".{job.extension}", f"-2.{job.extension}")],
        }
        return shapes.get(scenario.output, [url])

    def _fetch_url(self, job: Job, scenario: Scenario) -> str | None:
        if scenario.fetch_host == "absent":
            return None
        hosts = {"legacy": LEGACY_ORIGIN, "foreign": self._origins.foreign}
        host = hosts.get(scenario.fetch_host, self._origins.api)
        name = job.id if scenario.id == "fetch_differs" else job.shown_id
        return f"{host}{FETCH_PATHS[job.family]}{name}"

    def _digest(self, number: int, name: str) -> str:
        return hashlib.sha256(f"{self._seed}|{number}|{name}".encode()).hexdigest()


def _inline_text(text: str, scenario: Scenario) -> object:
    """Return an inline transcript in the scenario's shape."""
    if scenario.output == "inline_object":
        return {"text": text}
    if scenario.output != "inline_words":
        return text
    timed = enumerate(text.split())
    return [{"text": text, "words": [{"word": w, "start": n, "end": n + 1} for n, w in timed]}]
