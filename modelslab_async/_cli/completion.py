"""``completion``: the completion script for a shell."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
)

from .console import COMPLETION_VARIABLE, PROGRAM
from .help import Choice, Command

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $env:COMP_WORDS = $commandAst.CommandElements -join "`n"
    $env:COMP_INCOMPLETE = $wordToComplete
    $env:%(complete_var)s = "powershell_complete"
    & %(prog_name)s | ForEach-Object {
        $value, $about = $_ -split "`t", 2
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new(
            $value, $value, "ParameterValue", $about)
    }
    Remove-Item Env:COMP_WORDS, Env:COMP_INCOMPLETE, Env:%(complete_var)s `
        -ErrorAction SilentlyContinue
}
"""


@add_completion_class
class PowerShellComplete(ShellComplete):
    """What click lacks: one word in each line, its help after a tab."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is being typed, and that one."""
        incomplete = os.environ.get("COMP_INCOMPLETE", "")
        words = os.environ.get("COMP_WORDS", "").split("\n")[1:]
        if incomplete and words and words[-1] == incomplete:
            words.pop()
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """One suggestion."""
        return f"{item.value}\t{item.help}" if item.help else str(item.value)


@click.command(cls=Command, no_args_is_help=True)
@click.argument("shell", type=Choice(["bash", "zsh", "fish", "powershell"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the completion script for a shell.

    \b
    Examples:
      eval "$(modelslab-async completion bash)"
      modelslab-async completion fish > ~/.config/fish/completions/modelslab-async.fish
      modelslab-async completion powershell | Out-String | Invoke-Expression
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click does not know {shell}")
    click.echo(kind(context.find_root().command, {}, PROGRAM, COMPLETION_VARIABLE).source())
    return 0
