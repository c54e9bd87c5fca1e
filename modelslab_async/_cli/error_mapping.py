"""Map each error to a message, a hint and an exit code, by one table."""

from __future__ import annotations

import ast
import errno
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from modelslab_async import (
    AuthenticationError,
    ConfigurationError,
    IncompleteDownload,
    InsufficientCredits,
    JobTimeout,
    LedgerCopied,
    LimitReached,
    ModelsLabError,
    NotFound,
    PermissionDenied,
    RateLimited,
    RequestError,
    TransportError,
    WrongAccount,
)

from .._text import safe_text
from .console import (
    COMPLETION_VARIABLE,
    INVOCATION,
    PROGRAM,
    Console,
    fetch_command,
    help_command,
    json_by_default,
)
from .help import short_help
from .streams import silence, unwritten

OK, OTHER, USAGE, SOME_FAILED, LEFT_OVER = 0, 1, 2, 8, 9
INTERRUPTED = 130
BROKEN_PIPE = 141
_OUTPUT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
_FORM = re.compile(r"(?<!^)(?=[A-Z])")

# What the library advises in Python, which is said in the words of the command line here.
_JOB = re.compile(r"""client\.job\(('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)""")
_DOWNLOAD = "client.download(client.job(id), to=...)"
_ARGUMENT = re.compile(r"\b(accept_copy|base64|lyrics_generation|same_account|unchecked)=True\b")


class NoKey(ConfigurationError):
    """A command that needs the API found no key anywhere."""


class NotThere(click.ClickException):
    """A file that was named does not exist or cannot be read."""

    exit_code = 5


@frozen
class ErrorMapping:
    """The exit code and the hint for one class of error."""

    kind: type[Exception]
    exit_code: int
    hint: str = ""


# The first match counts, so subclasses come before their bases.
MEANINGS = (
    ErrorMapping(NoKey, 3, f"no account? --sandbox, or {INVOCATION} demo"),
    ErrorMapping(AuthenticationError, 3, f"{INVOCATION} config show says which key was used"),
    ErrorMapping(PermissionDenied, 3),
    ErrorMapping(WrongAccount, 3, "only the key or the origin is new: --same-account"),
    ErrorMapping(RateLimited, 4),
    ErrorMapping(NotFound, 5),
    ErrorMapping(InsufficientCredits, 6, f"{INVOCATION} balance shows what is left"),
    ErrorMapping(JobTimeout, 7),
    ErrorMapping(LimitReached, LEFT_OVER),
    ErrorMapping(LedgerCopied, OTHER, "to pay for its rows from here: --accept-copy"),
    ErrorMapping(TransportError, 10, f"{INVOCATION} doctor shows the proxy and the origin in use"),
    ErrorMapping(IncompleteDownload, 10),
    ErrorMapping(RequestError, USAGE),
    ErrorMapping(ConfigurationError, USAGE),
    ErrorMapping(Exception, OTHER),
)


def meaning_of(error: Exception) -> ErrorMapping:
    """The table's entry for an error."""
    return next(meaning for meaning in MEANINGS if isinstance(error, meaning.kind))


def exit_code_of(errors: Iterable[Exception], *, asked: int) -> int:
    """The exit code of a run that was asked for ``asked`` files and met these errors.

    Errors of one kind that left nothing over give their own code; otherwise some failed.
    """
    codes = [meaning_of(error).exit_code for error in errors]
    if not codes:
        return OK
    return codes[0] if len(codes) == asked and len(set(codes)) == 1 else SOME_FAILED


def explain(console: Console, error: Exception, hint: str = "") -> None:
    """Print an error as text or JSON; ``hint`` replaces the table's."""
    meaning = meaning_of(error)
    hint = hint or meaning.hint
    if console.json:
        console.error_json(as_json(error, hint=hint))
    else:
        console.error(message_of(error), hint)
    if console.verbose >= 2:
        console.always("".join(traceback.format_exception(error)).rstrip())


def message_of(error: Exception) -> str:
    """An error's message, with commands and options where the library names calls and arguments."""
    text = _JOB.sub(lambda job: fetch_command([ast.literal_eval(job[1])]), str(error))
    text = text.replace(_DOWNLOAD, f"{INVOCATION} fetch")
    return _ARGUMENT.sub(lambda argument: f"--{argument[1].replace('_', '-')}", text)


def as_json(error: Exception, *, hint: str = "") -> dict[str, Any]:
    """An error as JSON."""
    meaning = meaning_of(error)
    return error_shape(
        _FORM.sub("_", type(error).__name__).lower(),
        message_of(error),
        hint or meaning.hint,
        meaning.exit_code,
        retryable=getattr(error, "retryable", False),
    )


def error_shape(
    code: str, message: str, hint: str, exit_code: int, *, retryable: bool = False
) -> dict[str, Any]:
    """An error in JSON, from its parts."""
    return {
        "error": {
            "code": code,
            "message": message,
            "hint": hint,
            "exit_code": exit_code,
            "retryable": retryable,
        }
    }


def run_command(commands: click.Group, arguments: list[str]) -> int:
    """Run a command and return its exit code, without a traceback for expected errors."""
    _open_closed_streams()
    console = _voice_of(arguments)
    try:
        code = _run(commands, arguments)
        sys.stdout.flush()
        if code == OK and unwritten:
            raise unwritten[0]
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        return _misused(console, error)
    except ModelsLabError as error:
        explain(console, error)
        return meaning_of(error).exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        silence(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        return _refused(console, error)
    except ModuleNotFoundError as error:  # an extra is not installed; the error names it
        return _misused(console, click.UsageError(message_of(error)))
    except Exception as error:  # noqa: BLE001  the last line of defence: a bug, and we say so
        return _bug(console, error)
    return code


def _run(commands: click.Group, arguments: list[str]) -> int:
    """What click's own ``main`` does, but for a closed pipe, which it turns into a failure."""
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(commands, {}, PROGRAM, COMPLETION_VARIABLE, instruction)
    with commands.make_context(PROGRAM, arguments) as context:
        code: int = commands.invoke(context)
    return code


def _open_closed_streams() -> None:
    """A process may be started without any of its streams; nothing must fail for that."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  as long as we run


def _voice_of(arguments: list[str]) -> Console:
    """The console for errors before the arguments are parsed."""
    verbose = 2 if "-vv" in arguments else 0
    return Console(
        json="--json" in arguments or json_by_default(),
        verbose=verbose,
        no_color="--no-color" in arguments,
    )


def _misused(console: Console, error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        console.always(short_help(error.ctx))
        return error.exit_code
    hint = help_command(context.command_path) if context else ""
    message = error.format_message()
    if isinstance(error, click.NoSuchOption | click.NoSuchCommand) and error.possibilities:
        message = f"{error.message} Did you mean {error.possibilities[0]!r}?"
    if console.json:
        code = _FORM.sub("_", type(error).__name__).lower()
        console.error_json(error_shape(code, message, hint, error.exit_code))
        return error.exit_code
    if context is not None:
        console.always(context.get_usage())
    console.error(message, hint)
    return error.exit_code


def _refused(console: Console, error: OSError) -> int:
    """The system gives no access to what was named, or takes no output."""
    if error.filename is not None:
        return _misused(console, NotThere(f"{safe_text(error.filename, 200)}: {error.strerror}"))
    if error.errno not in _OUTPUT:
        return _bug(console, error)
    silence(sys.stdout)
    return _misused(console, click.ClickException(f"stdout cannot be written: {error.strerror}"))


def _bug(console: Console, error: Exception) -> int:
    if console.json:
        console.error_json(as_json(error, hint="this is a bug: please report it"))
        return OTHER
    console.always("".join(traceback.format_exception(error)).rstrip())
    console.error(
        f"this is a bug in {PROGRAM}, not in what you did",
        f"please report it with the lines above and what {INVOCATION} doctor --json prints",
    )
    return OTHER
