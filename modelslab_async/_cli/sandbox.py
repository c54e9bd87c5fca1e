"""``sandbox``: the API on this machine, until it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .completing import scenarios
from .console import INVOCATION, Console
from .help import Command
from .options import output_options
from .textfiles import read_text

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@click.command(cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    allow_from_autoenv=False,  # a service of that name brings tcp://10.0.0.1:80 into containers
    help="Of the API; 0: a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    allow_from_autoenv=False,
    help="Name that clients reach it by, such as containers; opens all interfaces.",
)
@click.option("--key", allow_from_autoenv=False, help="API key that it takes.  [default: made up]")
@click.option("--webhooks-anywhere", is_flag=True, help="Post webhooks to other machines, too.")
@click.option(
    "--scenario",
    metavar="FILE|NAME",
    default="clean",
    shell_complete=scenarios,
    help="How it behaves.",
)
@click.option("--slots", type=click.IntRange(min=1), default=5, help="Jobs that its queue holds.")
@click.option("--seed", type=int, default=0, help="What is random is the same for the same seed.")
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    allow_from_autoenv=False,
    help="Answer as in this recording of --record.",
)
@output_options
def sandbox(
    console: Console,
    port: int,
    host: str,
    key: str | None,
    webhooks_anywhere: bool,
    scenario: str,
    slots: int,
    seed: int,
    replay: Path | None,
) -> int:
    """Serve a sandbox of the API on this machine until Ctrl-C.

    \b
    Examples:
      modelslab-async sandbox
      modelslab-async sandbox --port 8765 --scenario flaky --slots 10
      modelslab-async sandbox --scenario my.json
      modelslab-async sandbox --replay exchanges.jsonl
      modelslab-async sandbox --host host.docker.internal --key test-key

    It prints the two environment variables that point any ModelsLab client to it. A scenario is a
    name (clean, slow, busy, flaky, ambiguous, messy, cdn-lag) or a JSON file with
    fields of modelslab_async.sandbox.Scenario.
    """
    console.info("starting a sandbox")  # before what takes a while to load
    from ..sandbox import RecordingError, Sandbox, ScenarioError, load_scenario
    from .signals import run

    try:
        behaviour = load_scenario(_source(scenario))
    except ScenarioError as error:
        raise click.BadParameter(str(error), param_hint="--scenario") from None
    try:
        box = Sandbox(
            behaviour,
            slots=slots,
            key=key,
            seed=seed,
            port=port,
            host=host,
            webhooks_anywhere=webhooks_anywhere,
            replay=replay,
        )
    except RecordingError as error:
        raise click.BadParameter(str(error), param_hint="--replay") from None
    except OSError as error:
        raise click.BadParameter(f"{replay}: {error.strerror}", param_hint="--replay") from None
    try:
        return run(_serve(box, console))
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be used: {error.strerror}") from None


def _source(scenario: str) -> str:
    path = Path(scenario)
    return read_text(path) if path.suffix or path.is_file() else scenario


async def _serve(box: Sandbox, console: Console) -> int:
    import anyio

    async with box:
        if console.json:
            console.print_json({"schema_version": 1, "url": box.url, "key": box.key})
        else:
            console.print(f"export MODELSLAB_BASE_URL={box.url}")
            console.print(f"export MODELSLAB_API_KEY={box.key}")
        console.info(
            f"serving until Ctrl-C; paste these lines elsewhere, then: {INVOCATION} balance"
        )
        await anyio.sleep_forever()
    return 0
