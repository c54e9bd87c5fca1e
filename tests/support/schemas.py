"""Validate what commands print by their published schemas."""

from __future__ import annotations

from typing import Any

import pytest

from modelslab_async._cli.schemas import schema_of


def validator(schema: dict[str, Any]) -> Any:
    """What validates documents by a schema."""
    jsonschema = pytest.importorskip("jsonschema")  # of the extra `test`
    return jsonschema.Draft202012Validator(schema)


def check(document: dict[str, Any], name: str) -> None:
    """See that a document is as a schema says."""
    validator(schema_of(name)).validate(document)
