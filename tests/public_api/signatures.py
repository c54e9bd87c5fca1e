"""A griffe extension for the API reference: the signatures of attrs classes.

Griffe reads source text and does not know the ``__init__`` that attrs makes from the fields.
"""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import griffe

_KINDS: dict[Any, griffe.ParameterKind] = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
}


class AttrsSignatures(griffe.Extension):
    """Gives each attrs class the ``__init__`` that it has when it runs."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called by griffe once per class, when its members are known."""
        if "__init__" in cls.members or not any(_is_attrs(one) for one in cls.decorators):
            return
        try:
            made = griffe.dynamic_import(cls.path)
        except ImportError:  # of the command line, whose extra is not installed; it is on no page
            return
        if not attrs.has(made):
            return
        own, *parameters = inspect.signature(made.__init__).parameters.values()
        init = griffe.Function("__init__", parameters=griffe.Parameters(_converted(own)))
        for parameter in parameters:
            init.parameters.add(_converted(parameter))
        cls.set_member("__init__", init)


def _is_attrs(decorator: griffe.Decorator) -> bool:
    return decorator.callable_path in ("attrs.frozen", "attrs.define", "attrs.mutable")


def _converted(parameter: inspect.Parameter) -> griffe.Parameter:
    is_annotated = isinstance(parameter.annotation, str)
    return griffe.Parameter(
        parameter.name,
        annotation=parameter.annotation if is_annotated else None,
        kind=_KINDS[parameter.kind],
        default=_default(parameter.default),
    )


def _default(value: object) -> str | None:
    if value is inspect.Parameter.empty:
        return None
    return "..." if value is attrs.NOTHING else repr(value)
