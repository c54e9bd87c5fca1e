"""Say errors about requests in the words of the command line: ``--voice-id``, not ``voice_id``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from modelslab_async import Request, RequestError
from modelslab_async.endpoints import known_fields

from .options import first_field


@contextmanager
def option_words(request: type[Request]) -> Iterator[None]:
    """Raise an error about such a request in the words of the command that makes it.

    Raises:
        RequestError: in those words.
    """
    try:
        yield
    except RequestError as error:
        text = in_option_words(str(error), request, click.get_current_context())
        raise RequestError(text, field=error.field, value=error.value) from error


def in_option_words(text: str, request: type[Request], context: click.Context) -> str:
    """The message with options for fields, and with the command for the endpoint.

    A field whose name is a word of English is meant at the start of a message, and nowhere else.
    """
    operand = next((one.metavar for one in context.command.params if one.name == "prompts"), "")
    names = {name: f"--{name.replace('_', '-')}" for name in known_fields(request)}
    names |= {first_field(request): (operand or "").strip("[].")}
    names[request.NAME] = context.info_name or request.NAME
    said = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b(=True)?")

    def spelled(found: re.Match[str]) -> str:
        is_name = "_" in found[1] or found[2] or not found.start()
        return names[found[1]] if is_name else found[0]

    return said.sub(spelled, text)
