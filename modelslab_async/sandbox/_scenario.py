"""The description of how the sandbox behaves: one value; every field has a default.

`Scenario()` is the documented API. Each field changes one behaviour, to one that was observed or
is documented for an older version; `faults` adds network and HTTP faults.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from attrs import Attribute, field, frozen, validators

from ._fault import Fault

Mode = Literal["async", "sync"]
Eta = Literal["int", "float", "string", "absent"]
PollEta = Literal["absent", "right", "growing"]
IdKind = Literal["int", "string", "fetch_differs", "task_id", "same"]
FetchHost = Literal["own", "legacy", "foreign", "whisper", "absent"]
Spelling = Literal["message", "messege"]
Tip = Literal["tip", "tips", "tip_1"]
Output = Literal[
    "list",
    "string",
    "empty_then_list",
    "links",
    "object",
    "data_uri",
    "base64",
    "base64_body",
    "chunk",
    "inline_text",
    "inline_object",
    "inline_words",
    "meta_text",
    "always_empty",
    "null",
    "number",
    "nested",
    "twice",
    "one_dead",
]
Status = Literal["normal", "absent", "failed", "error", "queued", "unknown"]
Validation = Literal["flat", "object"]
QueueFull = Literal["json429", "text429", "text503", "text200"]
LagOn = Literal["primary", "both"]
ProxyLinks = Literal["list", "null", "empty", "absent"]
WebhookId = Literal["as_answered", "string"]
JsonStyle = Literal["php", "plain"]
ErrorStatus = Literal["http", "always200"]
Wav = Literal[
    "pcm16",
    "pcm24",
    "float32",
    "extensible",
    "extensible_float",
    "extra_chunks",
    "bad_list",
    "odd_chunk",
    "rf64",
    "streaming_size",
    "zero_size",
    "size_too_small",
    "size_too_big",
    "data_past_end",
    "silent",
]


def span(value: float | tuple[float, float]) -> tuple[float, float]:
    """Return (low, high) for a number or a pair."""
    return value if isinstance(value, tuple) else (value, value)


def _check_span(_: object, attribute: Attribute[Any], value: float | tuple[float, float]) -> None:
    low, high = span(value)
    if not 0 <= low <= high < math.inf:
        raise ValueError(f"{attribute.name} is {value!r}; wanted seconds, or (low, high) seconds")


def _among(literal: Any) -> Any:
    return validators.in_(get_args(literal))


def _number(least: float = 0, most: float = math.inf, kinds: Any = (int, float)) -> Any:
    return [validators.instance_of(kinds), validators.ge(least), validators.le(most)]


def _maybe(check: Any) -> Any:
    return validators.optional(check)


_SWITCH = validators.instance_of(bool)
_SECONDS = _number()
_SHARE = _number(0, 1)
_COUNT = _number(0, kinds=int)
_AT_LEAST_ONE = _maybe(_number(1, kinds=int))


@frozen(kw_only=True)
class Scenario:
    """How the sandbox behaves. All durations are seconds on the sandbox's own clock.

    Jobs
        mode: `async` replies to a submit with a ticket, `sync` replies when the file is ready.
        generation_seconds: how long a job runs, or (low, high).
        polls_to_finish: if set, a job ends at its n-th fetch, independent of time.
        never_finishes: jobs stay `processing`.
        failure_probability, failure_message: the fraction of jobs that fail, and their message.
        status: `absent` (a success without `status`), `failed` or `error` (every job fails with
            this status), `queued` or `unknown` (the status while a job is pending).
        workers: the number of jobs that run at once; None: as many as slots.
        taken_slots, taken_seconds: queue slots taken by other clients, and for how long after
            the first submit (None: always).
        price: dollars per accepted submit.

    The ticket and the fetch
        eta, eta_factor: the type of `eta`, and its error as a factor (1.0: correct).
        poll_eta: whether a pending fetch has an `eta` too, and whether it grows without limit.
        id: `string`; `fetch_differs` (only the id in `fetch_result` works); `task_id` (no `id`,
            but a `taskId`); `same` (every submit returns the first job's id).
        fetch_host: the host in `fetch_result`.
        spelling, tip: the keys of the two texts.
        output, empty_polls: what `output` is: a list, a string, empty (for `empty_polls`
            successes), under `links`, an object with a `url`, data or base64 instead of a URL,
            the URL of a base64 text (`base64_body`), a wrong type, the same URL twice, or with a
            second, dead URL. `chunk` is base64 text under `chunk_output`. A transcript may be
            inline: as text, as `{text}`, as a list of `{text, words}`, or under
            `meta.transcription` (`meta_text`); other jobs return a URL then.
        try_again, not_found_polls, wrong_id_polls, flap_polls: how many fetches return "Failed,
            Try Again" before the success, "Request not found" at the start (-1: always), the
            success of another id, and `processing` again after the first success.
        fetch_meta: a finished fetch echoes the request in `meta`, including `track_id`. The docs
            do not say so. Without it, a job whose id was lost cannot be distinguished from other
            jobs of the account.
        seed_above_2_31: `meta` contains a seed that does not fit a signed 32-bit integer.

    Refusals
        validation: a sentence with HTTP 400, or an object of lists with HTTP 200.
        error_status: `always200` sends every refusal with HTTP 200.
        queue_full, retry_after: the response if the queue is full, and its `retry_after` in
            seconds (None: absent).
        spam_filter_seconds: an identical body within this time is refused with HTTP 200.
        echo_key: messages and `meta` contain the caller's key.
        json_style: PHP's escapes, numbers and yes/no, or plain JSON.
        checks_content_type: a body whose content type is not JSON is refused.

    Files
        wav: the WAV variant of files, also of `box.canonical`.
        cdn_lag_seconds, cdn_lag_on, cdn_lag_status: how long after success a file is missing, on
            which hosts, and the HTTP status meanwhile.
        temp_link_seconds: lifetime of the links of a `temp` job.
        link_seconds: if set, `output` is a signed link with this lifetime; each fetch returns a
            new one.
        mirror_differs: a finished job's mirror has a different object name.
        future_differs: a finished job's output is not the object in `future_links`.
        proxy_links: list, null, empty or absent.

    Webhooks
        webhook_lost: fraction of deliveries that are never sent. webhook_duplicates: extra copies.
        webhook_delay_seconds: delay after the job's end. webhook_early: the job ends and its
        webhook is sent before the reply to the submit. webhook_processing: number of deliveries
        about an unfinished job. webhook_id: as in the ticket, or always a string.

    faults: network and HTTP faults; see `Fault`.
    """

    mode: Mode = field(default="async", validator=_among(Mode))
    generation_seconds: float | tuple[float, float] = field(default=2.0, validator=_check_span)
    polls_to_finish: int | None = field(default=None, validator=_AT_LEAST_ONE)
    never_finishes: bool = field(default=False, validator=_SWITCH)
    failure_probability: float = field(default=0.0, validator=_SHARE)
    failure_message: str = "Processing failed: model ran out of memory"
    status: Status = field(default="normal", validator=_among(Status))
    workers: int | None = field(default=None, validator=_AT_LEAST_ONE)
    taken_slots: int = field(default=0, validator=_COUNT)
    taken_seconds: float | None = field(default=None, validator=_maybe(_SECONDS))
    price: float = field(default=0.01, validator=_SECONDS)

    eta: Eta = field(default="int", validator=_among(Eta))
    eta_factor: float = field(default=1.0, validator=_SECONDS)
    poll_eta: PollEta = field(default="absent", validator=_among(PollEta))
    id: IdKind = field(default="int", validator=_among(IdKind))
    fetch_host: FetchHost = field(default="own", validator=_among(FetchHost))
    spelling: Spelling = field(default="message", validator=_among(Spelling))
    tip: Tip = field(default="tip", validator=_among(Tip))
    output: Output = field(default="list", validator=_among(Output))
    empty_polls: int = field(default=1, validator=_COUNT)
    try_again: int = field(default=0, validator=_COUNT)
    not_found_polls: int = field(default=0, validator=_number(-1, kinds=int))
    wrong_id_polls: int = field(default=0, validator=_COUNT)
    flap_polls: int = field(default=0, validator=_COUNT)
    fetch_meta: bool = field(default=False, validator=_SWITCH)
    seed_above_2_31: bool = field(default=False, validator=_SWITCH)

    validation: Validation = field(default="flat", validator=_among(Validation))
    error_status: ErrorStatus = field(default="http", validator=_among(ErrorStatus))
    queue_full: QueueFull = field(default="json429", validator=_among(QueueFull))
    retry_after: float | None = field(default=30, validator=_maybe(_SECONDS))
    spam_filter_seconds: float = field(default=0.0, validator=_SECONDS)
    echo_key: bool = field(default=False, validator=_SWITCH)
    json_style: JsonStyle = field(default="php", validator=_among(JsonStyle))
    checks_content_type: bool = field(default=False, validator=_SWITCH)

    wav: Wav = field(default="pcm16", validator=_among(Wav))
    cdn_lag_seconds: float = field(default=0.0, validator=_SECONDS)
    cdn_lag_on: LagOn = field(default="primary", validator=_among(LagOn))
    cdn_lag_status: Literal[404, 403] = field(default=404, validator=validators.in_((404, 403)))
    temp_link_seconds: float = field(default=86_400.0, validator=_SECONDS)
    link_seconds: float | None = field(default=None, validator=_maybe(_SECONDS))
    mirror_differs: bool = field(default=False, validator=_SWITCH)
    future_differs: bool = field(default=False, validator=_SWITCH)
    proxy_links: ProxyLinks = field(default="list", validator=_among(ProxyLinks))

    webhook_lost: float = field(default=0.0, validator=_SHARE)
    webhook_duplicates: int = field(default=0, validator=_COUNT)
    webhook_delay_seconds: float = field(default=0.0, validator=_SECONDS)
    webhook_early: bool = field(default=False, validator=_SWITCH)
    webhook_processing: int = field(default=0, validator=_COUNT)
    webhook_id: WebhookId = field(default="as_answered", validator=_among(WebhookId))

    faults: tuple[Fault, ...] = field(
        default=(), validator=validators.deep_iterable(validators.instance_of(Fault))
    )
