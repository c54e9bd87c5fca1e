"""JSON Schemas of what commands print with ``--json``.

Each field is said once, in one table, so it has one type wherever it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NOT: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_NUMBER_OR_NOT: Schema = {"type": ["number", "null"]}
_INTEGER_OR_NOT: Schema = {"type": ["integer", "null"]}
_TRUTH: Schema = {"type": "boolean"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _same(schema: Schema, names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), schema)


_FIELDS: dict[str, Schema] = {
    "schema_version": {"const": 1},
    "error": {
        "type": "object",
        "properties": {
            **_same(_TEXT, "code message hint"),
            "exit_code": _INTEGER_OR_NOT,
            "retryable": _TRUTH,
        },
        "required": ["code", "message", "hint", "exit_code", "retryable"],
        "additionalProperties": False,
    },
    "row": {"type": "integer", "minimum": 1},
    "value": {"type": ["string", "number", "boolean", "null"]},
    "counts": _map(_COUNT),
    **_same(_TEXT, "event warning name id state status message payload_hash"),
    **_same(_TEXT, "directory advice example old new note url curl currency language origin"),
    **_same(_TEXT, "profile removed family problem"),
    **_same(_TEXT, "version question assumption verdict observed"),
    **_same(_TEXT_OR_NOT, "track_id job_id path prompt reason resume delimiter kind key host"),
    **_same(_TEXT_OR_NOT, "format error_kind sha256 source_sha256 integrity"),
    "flags": {"type": ["array", "null"], "items": _TEXT},
    **_same(_TEXTS, "paths unfinished profiles recordings marks"),
    **_same(_COUNT, "rows jobs underway left characters dropped replaced held comments blank"),
    **_same(_COUNT, "checked polls attempt attempts first_row flagged unchecked doubles"),
    **_same(_INTEGER_OR_NOT, "exit_code size pid sample_rate channels"),
    **_same(_NUMBER, "gain mb oldest latest at amount received_at planned_at updated_at"),
    **_same(_NUMBER_OR_NOT, "peak_dbfs lufs"),
    **_same(_NUMBER_OR_NOT, "seconds cost generation_time waited rows_per_minute seconds_left"),
    **_same(_NUMBER_OR_NOT, "submitted_at accepted_at finished_at done_at after before"),
    **_same(_TRUTH, "silent is_new healthy same_prompt"),
    **_same({"type": "object"}, "body fields"),
}


def _object(names: str, **nested: Schema) -> Schema:
    """An object of these fields, all of them there; a ``?`` marks one that may be missing."""
    required = [name for name in names.split() if not name.endswith("?")]
    properties = {name: _FIELDS[name] for name in (one.rstrip("?") for one in names.split())}
    return {
        "type": "object",
        "properties": {**properties, **nested},
        "required": [*required, *nested],
        "additionalProperties": False,
    }


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _or_not(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_TOTAL = "jobs seconds characters mb cost"
_ROW = "row id state track_id job_id"
_EVENT = "schema_version event track_id"
_FAULTS = {"missing", "changed", "unreadable"}
_KINDS = dict.fromkeys(sorted(_FAULTS), _COUNT)
_SETTING = _object("value origin")
_PREVIEW = _object("format delimiter rows comments blank", first=_list(_object("path prompt")))
_SAVED = (
    "path size sha256 source_sha256 seconds sample_rate channels integrity silent flags peak_dbfs"
)

SCHEMAS: Mapping[str, tuple[str, Schema]] = {
    "files": (
        "generate, speak, sfx, song, lyrics, cover, isolate, transcribe, dub, fetch, demo",
        _object(
            "schema_version unfinished",
            files=_list(_object(f"name job_id track_id {_SAVED}")),
            failed=_list(_object("name error")),
        ),
    ),
    "estimate": (
        "generate --dry-run",
        _object(f"schema_version {_TOTAL}", files=_list(_object("path seconds mb"))),
    ),
    "requests": (
        "generate --print-curl",
        _object("schema_version", requests=_list(_object("url body curl"))),
    ),
    "plan": (
        "batch --dry-run, resume --dry-run",
        _object(
            f"{_EVENT} directory rows underway left {_TOTAL} dropped replaced held",
            endpoints=_map(_object(_TOTAL)),
            manifest=_or_not(_PREVIEW),
        ),
    ),
    "manifest": (
        "plan",
        _object(
            f"schema_version rows {_TOTAL} doubles",
            endpoints=_map(_object(_TOTAL)),
            manifest=_or_not(_PREVIEW),
        ),
    ),
    "succeeded": (
        "event of batch and resume: the files of a row are saved",
        _object(f"{_EVENT} row id job_id state paths seconds size sha256 flags peak_dbfs"),
    ),
    "failed": (
        "event of batch and resume: a row ended without a file",
        _object(f"{_EVENT} row id job_id state error"),
    ),
    "waiting": (
        "event of batch and resume: why nothing moves",
        _object(f"{_EVENT} job_id reason seconds"),
    ),
    "progress": (
        "event of batch and resume, every ten seconds",
        _object(f"{_EVENT} counts size cost"),
    ),
    "ended": (
        "last event of batch, resume and verify",
        _object(f"{_EVENT} exit_code counts? checked? resume", faults=_object("", **_KINDS)),
    ),
    "check": (
        "check",
        _object(
            "schema_version",
            files=_list(
                _object(
                    "path format seconds sample_rate channels flags peak_dbfs lufs marks problem"
                )
            ),
        ),
    ),
    "exported": (
        "export",
        _object("schema_version", exported=_list(_object("row id path is_new problem note gain"))),
    ),
    "fault": (
        "event of verify, named after the fault: missing, changed or unreadable",
        _object(f"{_EVENT} row id path reason"),
    ),
    "delivery": (
        "event of webhook",
        _object(f"{_EVENT} job_id status message received_at"),
    ),
    "findings": (
        "probe",
        _object(
            "schema_version version jobs recordings",
            findings=_list(_object("question assumption verdict observed")),
        ),
    ),
    "listening": ("event of listen, and of batch --listen", _object("schema_version event url")),
    "picks": (
        "picks",
        _object(
            "schema_version counts",
            kept=_list(
                _object(
                    "row id path prompt sha256",
                    stars={"type": ["integer", "null"], "minimum": 1, "maximum": 5},
                    note=_TEXT,
                )
            ),
        ),
    ),
    "reroll": (
        "reroll --dry-run",
        _object(f"{_EVENT} {_TOTAL}", takes=_list(_TEXT)),
    ),
    "page": ("event of listen --file", _object("schema_version event path")),
    "status": (
        "status DIR",
        _object(
            "schema_version rows",
            running=_or_not(_object("pid host rows_per_minute seconds_left")),
            states=_map(
                _object(
                    "rows oldest latest size seconds advice",
                    errors=_list(_object("kind rows first_row example")),
                )
            ),
            sound=_object("flagged unchecked counts"),
            faults=_object("advice", **_KINDS),
        ),
    ),
    "row": (
        "status DIR ROW",
        _object(
            "schema_version",
            details=_object(
                f"{_ROW} reason payload_hash attempt cost prompt path sha256 source_sha256 size "
                "seconds integrity flags peak_dbfs error_kind planned_at submitted_at accepted_at "
                "finished_at done_at polls generation_time updated_at"
            ),
            history=_list(_object("at old new note")),
        ),
    ),
    "reconcile": (
        "reconcile",
        _object(
            "schema_version",
            resolved=_list(_object(_ROW)),
            ambiguous=_list(_object(f"{_ROW} submitted_at cost prompt reason")),
            unmatched=_list(_object("id track_id prompt family after before")),
            proposed=_list(_object("row job_id same_prompt")),
        ),
    ),
    "skip": ("skip", _object("schema_version", changed=_list(_object("row id state")))),
    "balance": ("balance", _object("schema_version amount currency")),
    "voices": ("voices", _object("schema_version", voices=_list(_object("id name language")))),
    "settings": ("config show", _object("schema_version", settings=_map(_SETTING))),
    "setting": ("config set", _object("schema_version path", setting=_SETTING)),
    "path": ("config path", _object("schema_version path")),
    "auth": ("auth login, auth status", _object("schema_version profile key origin profiles")),
    "logout": ("auth logout", _object("schema_version profile removed")),
    "sandbox": ("sandbox", _object("schema_version url key")),
    "doctor": (
        "doctor; its sections are for people",
        {**_object("schema_version healthy"), "additionalProperties": {"type": "object"}},
    ),
    "result": (
        "a line of results.jsonl in the directory of a batch",
        _object(
            "row id job_id track_id prompt path seconds sha256 source_sha256 flags peak_dbfs "
            "generation_time "
            "waited polls attempts reason fields"
        ),
    ),
    "error": ("any command, on standard error", _object("error")),
    "warning": ("any command, on standard error", _object("warning")),
}
"""What each document is printed by, and its schema."""


def schema_of(name: str) -> Schema:
    """A schema as a document of its own."""
    about, schema = SCHEMAS[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "description": about,
        **schema,
    }
