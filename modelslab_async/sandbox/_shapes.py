"""Build the API's replies in every documented or observed shape. Pure: values in, dicts out.

Key order and wording follow the sample responses of the ModelsLab docs (music-gen, fetch-voice,
error-codes, rate-limits and webhooks pages).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ._endpoints import ENDPOINTS
from ._validation import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._account import Job
    from ._scenario import Scenario

PENDING_TIP = (
    "Get 20x faster image generation using enterprise plan."
    " Click here : https://modelslab.com/enterprise"
)
_TICKET_TIP = "is processing in background, you can get the result using fetch API"
JSON_TIP = (
    "1. Make sure you are passing Content-Type: application/json in header."
    " 2. Make sure you are doing POST request with valid JSON."
)
SPAM_TIPS = (
    "you are sending same request multiple times, spam filter is enabled,"
    " please wait for 30 seconds and try again"
)
BIG_SEED = 3_012_382_833


@frozen
class Links:
    """The URLs of one job, in `output`, `future_links` and `proxy_links`.

    `ticket_mirror` is the `proxy_links` of the ticket: the vendor's sample has another name there.
    """

    output: str
    future: str
    mirror: str
    ticket_mirror: str
    fetch: str | None


def ticket(job: Job, scenario: Scenario, links: Links, *, eta: float) -> dict[str, Any]:
    """Return the reply to a submit whose job was queued."""
    if scenario.id == "task_id":
        return _task_ticket(job, scenario, links, eta=eta)
    reply = {
        "status": pending_word(scenario),
        scenario.tip: f"Your {ENDPOINTS[job.path].words} {_TICKET_TIP}",
        **eta_field(eta, scenario),
        scenario.spelling: "Try to fetch request after seconds estimated",
        "fetch_result": links.fetch,
        "id": job.shown_id,
        "output": "" if scenario.output == "string" else [],
        "future_links": [links.future],
        **_proxy(scenario, links.ticket_mirror),
        "meta": meta(job, scenario, links.ticket_mirror),
    }
    if links.fetch is None:
        del reply["fetch_result"]
    return reply


def _task_ticket(job: Job, scenario: Scenario, links: Links, *, eta: float) -> dict[str, Any]:
    """Return the enterprise ticket: no `id` or `output`, but `taskId` and future links."""
    return {
        **eta_field(eta, scenario),
        "fileId": _name(links.future),
        "links": [links.future],
        scenario.spelling: "Request has been queued",
        "meta": meta(job, scenario, links.future),
        **_proxy(scenario, links.mirror),
        "seconds": None,
        "status": "queued",
        "taskId": job.task_id,
    }


def sync_success(job: Job, scenario: Scenario, links: Links, output: object) -> dict[str, Any]:
    """Return the reply to a submit in `sync` mode, whose job has finished."""
    return {
        **_success_word(scenario),
        "generationTime": job.generation_seconds,
        "id": job.shown_id,
        **_output(scenario, output),
        **_proxy(scenario, links.mirror),
        "meta": meta(job, scenario, links.output) | _transcription(scenario, output),
    }


def pending(scenario: Scenario, *, eta: float | None = None) -> dict[str, Any]:
    """Return the reply to a fetch of an unfinished job: no id, and `output` is a string."""
    return {
        "status": pending_word(scenario),
        scenario.spelling: "try again later.",
        **(eta_field(eta, scenario) if eta is not None else {}),
        "output": "",
        scenario.tip: PENDING_TIP,
    }


def success(job_id: int | str, scenario: Scenario, links: Links, output: object) -> dict[str, Any]:
    """Return the reply to a fetch of a finished job: no `meta`, no `generationTime`."""
    return {
        **_success_word(scenario),
        "id": job_id,
        **_output(scenario, output),
        **_proxy(scenario, links.mirror),
        **({"meta": extra} if (extra := _transcription(scenario, output)) else {}),
    }


def failure(scenario: Scenario) -> dict[str, Any]:
    """Return the reply to a fetch of a failed job."""
    word = "failed" if scenario.status == "failed" else "error"
    return {"status": word, scenario.spelling: scenario.failure_message}


def failed_poll(scenario: Scenario, message: str) -> dict[str, Any]:
    """Return a reply with `failed` that need not mean that the job failed."""
    return {
        "status": "failed",
        "id": "",
        scenario.spelling: message,
        "output": "",
        scenario.tip: PENDING_TIP,
    }


def refusal(scenario: Scenario, message: object, **more: object) -> dict[str, Any]:
    return {"status": "error", scenario.spelling: message, **more}


def validation(scenario: Scenario, found: Mapping[str, str]) -> dict[str, Any]:
    """Return the first validation error as a sentence, or all as an object of lists."""
    if scenario.validation == "flat":
        return refusal(scenario, next(iter(found.values())))
    return refusal(scenario, {name: [_laravel(name, text)] for name, text in found.items()})


def _laravel(name: str, sentence: str) -> str:
    if sentence == f"{name} is required":
        return f"The {name} field is required."
    return f"{sentence}." if sentence.startswith("The ") else f"The {sentence}."


def delivery(job: Job, scenario: Scenario, links: Links, output: object) -> dict[str, Any]:
    """Return the webhook payload of a finished or failed job."""
    shown = _webhook_id(job, scenario)
    if job.state == "failed":
        return {
            "status": "failed",
            "id": shown,
            "message": scenario.failure_message,
            "track_id": job.track_id,
        }
    return {
        "status": "success",
        "id": shown,
        "output": output,
        "generationTime": job.generation_seconds,
        "track_id": job.track_id,
        "meta": meta(job, scenario, links.output),
    }


def still_running(job: Job, scenario: Scenario) -> dict[str, Any]:
    """Return the webhook payload of an unfinished job."""
    shown = _webhook_id(job, scenario)
    return {"status": "processing", "id": shown, "output": [], "track_id": job.track_id}


def _webhook_id(job: Job, scenario: Scenario) -> int | str:
    return str(job.shown_id) if scenario.webhook_id == "string" else job.shown_id


def meta(job: Job, scenario: Scenario, file_url: str) -> dict[str, Any]:
    """Return the echo of the request; booleans are yes/no, as in the API's replies."""
    sent = job.request
    if names := ENDPOINTS[job.path].meta:
        known = {
            "duration": job.seconds,
            "filename": _name(file_url),
            "id": str(job.id),
            **dict.fromkeys(("prompt", "input_text", "text_prompt"), job.prompt),
            "temp": _yes_no(job.temp, scenario),
            "base64": _yes_no(bool(sent.get("base64")), scenario),
            "track_id": job.track_id,
            "webhook": job.webhook,
            "music_duration": f"{job.seconds:g}s",
            "input_sound_clip": [f"tmp/0-{_name(file_url)}"],
            "seed": BIG_SEED if scenario.seed_above_2_31 else sent.get("seed"),
        }
        return {name: known[name] if name in known else sent.get(name) for name in names}
    clip = sent.get("init_audio") or None
    fields: dict[str, Any] = {
        "base64": _yes_no(bool(sent.get("base64")), scenario),
        "conditioning_melody": [f"tmp/0-{_name(file_url)}"] if clip else None,
        "filename": _name(file_url),
        "input_text": job.prompt,
        "max_new_token": tokens(sent, job.seconds),
        "sampling_rate": job.sample_rate,
        "temp": _yes_no(job.temp, scenario),
    }
    echoed = ("duration", "output_format", "bitrate")
    fields |= {name: sent[name] for name in echoed if name in sent}
    if scenario.seed_above_2_31:
        fields["seed"] = BIG_SEED
    return fields


def pending_word(scenario: Scenario) -> str:
    words = {"queued": "queued", "unknown": "warming_up"}
    return words.get(scenario.status, "processing")


def eta_field(eta: float, scenario: Scenario) -> dict[str, Any]:
    """Return `eta` in the scenario's type; empty if it is absent."""
    guess = max(0.0, eta) * scenario.eta_factor
    match scenario.eta:
        case "int":
            return {"eta": math.ceil(guess)}
        case "float":
            return {"eta": guess}
        case "string":
            return {"eta": str(math.ceil(guess))}
        case "absent":
            return {}


def _success_word(scenario: Scenario) -> dict[str, Any]:
    return {} if scenario.status == "absent" else {"status": "success"}


def _output(scenario: Scenario, output: object) -> dict[str, Any]:
    if _transcription(scenario, output):
        return {}
    return {{"links": "links", "chunk": "chunk_output"}.get(scenario.output, "output"): output}


def _transcription(scenario: Scenario, output: object) -> dict[str, Any]:
    """Return the transcript for `meta`, where version 7 puts it instead of `output`."""
    is_text = scenario.output == "meta_text" and isinstance(output, str)
    return {"transcription": output} if is_text else {}


def _proxy(scenario: Scenario, mirror: str) -> dict[str, Any]:
    shapes: dict[str, dict[str, Any]] = {
        "list": {"proxy_links": [mirror]},
        "null": {"proxy_links": None},
        "empty": {"proxy_links": []},
        "absent": {},
    }
    return shapes[scenario.proxy_links]


def _yes_no(value: bool, scenario: Scenario) -> object:
    if scenario.json_style == "plain":
        return value
    return "yes" if value else "no"


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
