"""What a shell completes besides commands and options: files, directories, rows and names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

_MAX_ROWS = 1000

Completer = Callable[["click.Context", "click.Parameter", str], "list[CompletionItem]"]


def _kind(kind: str) -> Completer:
    def complete(
        context: click.Context, option: click.Parameter, start: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(start, type=kind)]

    return complete


files = _kind("file")
directories = _kind("dir")


def _words(words: Callable[[click.Context], Iterable[str]]) -> Completer:
    def complete(
        context: click.Context, option: click.Parameter, start: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in words(context) if word.startswith(start)]

    return complete


def _rows(context: click.Context) -> list[str]:
    """Ids of the rows of the batch in DIR; their numbers where an id would be no word."""
    from itertools import islice

    from modelslab_async import LedgerError

    from ..batch import Reader, holds_batch

    # An option whose value is being typed keeps click from telling the arguments apart.
    words = [context.params.get("directory"), *context.args]
    try:
        directory = next((Path(one) for one in words if one and holds_batch(Path(one))), None)
        if directory is None:
            return []
        with Reader.open(directory) as reader:
            return [
                row_id if row_id.isprintable() and " " not in row_id else f"{seq}"
                for seq, row_id in islice(reader.ids(), _MAX_ROWS)
            ]
    except (LedgerError, OSError):
        return []


def _scenarios(_: click.Context) -> list[str]:
    from ..sandbox import SCENARIOS

    return [*SCENARIOS]


def _profiles(_: click.Context) -> list[str]:
    from .keys import profiles

    return profiles()


def _settings(_: click.Context) -> list[str]:
    from .settings import settable

    return settable()


def _schemas(_: click.Context) -> list[str]:
    from .schemas import SCHEMAS

    return [*SCHEMAS]


rows = _words(_rows)
schema_names = _words(_schemas)
profile_names = _words(_profiles)
setting_names = _words(_settings)


def scenarios(context: click.Context, option: click.Parameter, start: str) -> list[CompletionItem]:
    """Names of scenarios, and files once none begins so."""
    return _words(_scenarios)(context, option, start) or files(context, option, start)
