"""``webhook``: receive deliveries while a batch is not running, and keep them for its next run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .completing import directories
from .console import Console
from .help import Command
from .options import output_options
from .resume import check_batch
from .webhook_listener import PORT, receiving

if TYPE_CHECKING:
    from modelslab_async.webhooks import Delivery

    from .._protocol.replies import Reply


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@click.option(
    "--public-url",
    required=True,
    metavar="URL",
    help="Where the outside reaches it, as --webhook-url of the batch.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PORT,
    allow_from_autoenv=False,
    help="Of 127.0.0.1.",
)
@output_options
def webhook(console: Console, directory: str, public_url: str, port: int) -> int:
    """Receive webhooks for the batch in DIR until Ctrl-C, and keep them for its next run.

    \b
    Examples:
      modelslab-async webhook music/ --public-url https://music.example.com/hooks
      modelslab-async webhook music/ --public-url http://127.0.0.1:8787 --json

    It listens on 127.0.0.1; put a TLS proxy or a tunnel in front of it.
    A delivery is on disk before it is acknowledged. It is only a hint: the next
    `resume DIR --webhook-url URL` asks the API, and so finds jobs whose ids were
    lost. The secret is MODELSLAB_ASYNC_WEBHOOK_SECRET, or else made in DIR. The API
    key of the environment or the configuration is taken out of what is delivered.
    """
    from .settings import Flags, read_settings
    from .signals import run

    place = Path(directory)
    check_batch(place)
    key = read_settings(Flags())["api_key"].value
    return run(_listen(place, public_url, port, console, key))


async def _listen(
    directory: Path, public_url: str, port: int, console: Console, key: str | None
) -> int:
    import anyio

    async with receiving(directory, public_url, port, key=key) as receiver:
        receiver.subscribe(partial(_tell, console))
        console.info(f"listening on 127.0.0.1 port {port} for {public_url} until Ctrl-C")
        await anyio.sleep_forever()
    return 0


def _tell(console: Console, delivery: Delivery) -> None:
    from .._text import safe_text

    about = _about(delivery)
    if console.json:
        console.print_json({"schema_version": 1, "event": "delivery", **about})
        return
    job = f", job {delivery.job_id}" if delivery.job_id else ""
    message = f": {about['message']}" if about["message"] else ""
    console.print(f"{safe_text(delivery.track_id)}: {about['status']}{job}{message}")


def _about(delivery: Delivery) -> dict[str, Any]:
    from .._text import safe_text

    return {
        "track_id": delivery.track_id,
        "job_id": delivery.job_id,
        "status": _word(delivery.reply),
        "message": safe_text(getattr(delivery.reply, "message", "")),
        "received_at": delivery.received_at,
    }


def _word(reply: Reply) -> str:
    from .._protocol.replies import Failed, Finished, Refused

    match reply:
        case Finished():
            return "success"
        case Failed():
            return "failed"
        case Refused():
            return "refused"
    return "processing"
